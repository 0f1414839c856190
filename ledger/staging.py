"""Work of the day's end: entries by the million, staged in the database and posted in chunks.

Each chunk is an act of its own. Two connections share the work: while one chunk is written, the
next is staged, read and given its keys; chunks are written and committed in their order. What was
posted is told by the keys: a run that was cut off is begun again with the same drafts, and posts
what is missing.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

from django.db import connection, transaction
from psycopg import sql

from accounts.audit import Actor, acting
from ledger.posting import Draft, check_texts, drafted, plain

CHUNK = 50_000
FIRST_CHUNK = 2_000
GROWTH = 1.5
"""What there is to post in one chunk lasts while the next is made ready; so the first is small."""
POSTERS = 2

COPY = "COPY ledger_stageddraft (batch, ordinal, {}) FROM STDIN"
WHOLE = "draft"
PLAIN = "key, kind, effective_at, reference, narrative, accounts, amounts"
NOTHING_ELSE = (None, None, None)
# What would end a column or a row where it is not meant to.
SPECIAL = re.compile("[\\\\\n\r\0\ud800-\udfff]")
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


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
    batch = _Batch(uuid4(), actor, reason)
    total = len(drafts) if isinstance(drafts, Sequence) else 0
    entries = new = 0
    try:
        for done in _in_turn(_chunks(batch, drafts, chunk)):
            entries, new = entries + done.entries, new + done.new
            if progress is not None:
                progress.report(entries, max(entries, total), "Post")
        return Staged(entries, new)
    finally:
        batch.clear()


class _Batch(NamedTuple):
    """What the chunks of one run have in common."""

    id: UUID
    actor: Actor
    reason: str

    def clear(self) -> None:
        """Delete the drafts that were not posted."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM ledger_stageddraft WHERE batch = %s", [self.id])


class _Turn(NamedTuple):
    """How far a chunk has come: its turn is taken, its transaction has ended."""

    taken: Event
    ended: Event


class _Chunk(NamedTuple):
    """Drafts of one act.

    Attributes:
        first: number of its first draft in the batch.
        before: the turn of the chunk that is written first, if there is one.
        repeats: whether it asks for keys of that chunk, and so cannot take its own beside it.
    """

    batch: _Batch
    first: int
    drafts: list[Draft]
    turn: _Turn
    before: _Turn | None
    repeats: bool

    def post(self) -> Staged:
        """Stage the drafts, wait for the turn to write them, and post them."""
        try:
            self._stage()
            until = self.first + len(self.drafts)
            if self.before is not None and self.repeats:
                self.before.ended.wait()
            with (
                acting(self.batch.actor, reason=self.batch.reason),
                connection.cursor() as cursor,
            ):
                cursor.execute("SELECT ledger.take_turn(%s, %s)", [self.batch.id, until])
                self.turn.taken.set()
                if self.before is not None:
                    self.before.taken.wait()
                cursor.execute(
                    "SELECT entries, fresh FROM ledger.post_staged(%s, %s, %s)",
                    [self.batch.id, self.first, until],
                )
                return Staged(*cursor.fetchone())
        finally:
            self.turn.taken.set()
            self.turn.ended.set()

    def _stage(self) -> None:
        columns = PLAIN if all(map(_is_plain, self.drafts)) else WHOLE
        row = _plain_row if columns is PLAIN else _whole_row
        head = f"{self.batch.id}\t"
        text = "".join(
            f"{head}{ordinal}\t{row(draft)}\n"
            for ordinal, draft in enumerate(self.drafts, start=self.first)
        )
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            copy = cursor.copy(sql.SQL(COPY.format(columns)))
            with connection.wrap_database_errors, copy as rows:
                rows.write(text)


def _is_plain(draft: Draft) -> bool:
    """Whether a draft says nothing but its header, and of its legs account and amount."""
    return (
        draft.reverses is None
        and draft.approval_id is None
        and draft.release_id is None
        and draft.loss is None
        and all(
            leg.amount.is_finite() and (leg.reference, leg.price, leg.average) == NOTHING_ELSE
            for leg in draft.legs
        )
    )


def _plain_row(draft: Draft) -> str:
    said = (draft.key, draft.kind, draft.effective_at.isoformat(), draft.reference, draft.narrative)
    texts = "\t".join(said)
    if texts.count("\t") > len(said) - 1 or SPECIAL.search(texts):
        check_texts(draft)
        texts = "\t".join([text.translate(ESCAPES) for text in said])
    accounts = ",".join([str(leg.account_id) for leg in draft.legs])
    amounts = ",".join([plain(leg.amount) for leg in draft.legs])
    return f"{texts}\t{{{accounts}}}\t{{{amounts}}}"


def _whole_row(draft: Draft) -> str:
    return json.dumps(drafted(draft)).translate(ESCAPES)


def _chunks(batch: _Batch, drafts: Iterable[Draft], size: int) -> Iterator[_Chunk]:
    """The drafts cut into growing chunks, each of which knows the one before."""
    waiting = iter(drafts)
    first, many, before = 0, float(FIRST_CHUNK), None
    keys: set[str] = set()
    while part := list(islice(waiting, min(size, int(many)))):
        keys_before, keys = keys, {draft.key for draft in part}
        turn = _Turn(Event(), Event())
        yield _Chunk(batch, first, part, turn, before, not keys.isdisjoint(keys_before))
        first, many, before = first + len(part), many * GROWTH, turn


def _in_turn(chunks: Iterator[_Chunk]) -> Iterator[Staged]:
    """What became of each chunk, in order, while those after it are made ready elsewhere."""
    under_way: deque[Future[Staged]] = deque()
    with ExitStack() as stack:
        posters = [_Poster() for _ in range(POSTERS)]
        for poster in posters:
            stack.callback(poster.stop)
        for number, chunk in enumerate(chunks):
            if len(under_way) == POSTERS:
                yield under_way.popleft().result()
            under_way.append(posters[number % POSTERS].give(chunk))
        while under_way:
            yield under_way.popleft().result()


class _Poster:
    """A thread with a connection of its own, which posts chunks one after another."""

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[_Chunk, Future[Staged]] | None] = SimpleQueue()
        self._thread = Thread(target=copy_context().run, args=(self._work,), daemon=True)
        self._thread.start()

    def give(self, chunk: _Chunk) -> Future[Staged]:
        """Have a chunk posted; the future says what became of it."""
        future: Future[Staged] = Future()
        self._given.put((chunk, future))
        return future

    def stop(self) -> None:
        """Wait for what is under way, and end."""
        self._given.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (given := self._given.get()) is not None:
                chunk, future = given
                try:
                    future.set_result(chunk.post())
                except BaseException as error:
                    future.set_exception(error)
        finally:
            connection.close()
