"""Reads one state of the database on a connection of its own, however long that takes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections
from django.db.backends.utils import CursorWrapper

from accounts.seals.leaves import set_canonical

# For the whole of one transaction: as much memory and time as it takes.
READING_SETTINGS = (
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("work_mem", "256MB"),
    ("hash_mem_multiplier", "2"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
)


@contextmanager
def one_state(snapshot: str | None = None) -> Iterator[CursorWrapper]:
    """A cursor that sees one state, in a transaction that writes nothing.

    Args:
        snapshot: the state that another such transaction exported (`pg_export_snapshot`).
    """
    own = connections.create_connection("default")
    try:
        with own.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if snapshot is not None:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", [snapshot])
            for name, value in READING_SETTINGS:
                cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
            set_canonical(cursor)
            yield cursor
            cursor.execute("ROLLBACK")
    finally:
        own.close()
