"""Checkpoints as a test takes them: after as few postings as it likes."""

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


def begin(writer: Connection) -> None:
    """Say who acts in the transaction that is open."""
    writer.execute("SELECT accounts.act('system:job:test', NULL, 'job', '', 'A test acts')")


def take_checkpoint(owner: Connection, *, of_postings: int = 1) -> str | None:
    """The next checkpoint: the transaction below which it ends, or None if it is not due."""
    with owner.transaction():
        begin(owner)
        row = owner.execute("SELECT ledger.take_checkpoint(%s)", [of_postings]).fetchone()
    assert row is not None
    return None if row[0] is None else str(row[0])


def take_all(owner: Connection, *, of_postings: int = 1) -> int:
    """Take checkpoints until none is due; how many there were."""
    taken = 0
    while take_checkpoint(owner, of_postings=of_postings) is not None:
        taken += 1
    return taken
