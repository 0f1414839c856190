"""Work of the day's end: entries by the million, staged in the database and posted in chunks.

Each chunk is an act of its own. What was posted is told by the keys: a run that was cut off is
begun again with the same drafts, and posts what is missing.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

from django.db import connection, transaction
from psycopg import sql

from accounts.audit import Actor, acting
from ledger.posting import Draft, drafted

CHUNK = 50_000


class Progress(Protocol):
    """Where a long step says how far it is; a job's progress, or nothing at all."""

    def report(self, done: int, total: int, step: str) -> None:
        """`done` of `total` parts of `step` are finished."""


class Staged(NamedTuple):
    """What became of staged drafts: how many there were, and how many were new."""

    entries: int
    new: int


def post_staged(
    drafts: Iterable[Draft],
    *,
    actor: Actor,
    reason: str,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Staged:
    """Post many entries in their order, a chunk at a time; call it outside of any act.

    Args:
        chunk: entries per act; what an act posts is there whole or not at all.
        progress: told after each chunk.

    Raises:
        RefusedError: a rule of the book refused a chunk; the chunks before it are posted, and a
            second run with the same drafts goes on there.
    """
    batch = uuid4()
    try:
        count = _stage(batch, drafts)
        entries = new = 0
        for first in range(0, count, chunk):
            with acting(actor, reason=reason), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT entries, fresh FROM ledger.post_staged(%s, %s, %s)",
                    [batch, first, min(first + chunk, count) - 1],
                )
                posted, fresh = cursor.fetchone()
            entries, new = entries + posted, new + fresh
            if progress is not None:
                progress.report(entries, count, "Post")
        return Staged(entries, new)
    finally:
        _clear(batch)


def _stage(batch: UUID, drafts: Iterable[Draft]) -> int:
    """Copy the drafts to the server; returns how many."""
    count = 0
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        copy = sql.SQL("COPY ledger_stageddraft (batch, ordinal, draft) FROM STDIN")
        with connection.wrap_database_errors, cursor.copy(copy) as rows:
            for count, draft in enumerate(drafts, start=1):
                rows.write_row((batch, count - 1, json.dumps(drafted(draft))))
    return count


def _clear(batch: UUID) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_stageddraft WHERE batch = %s", [batch])
