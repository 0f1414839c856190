"""A bank of many tellers: they write at once, others read, and nobody may see anything wrong.

What a teller is told is compared with what it must be told (`Asked`), what a reader sees with what
holds in every snapshot, and at the end the whole history with itself and with what was told.
Nothing that any teller says is kept but the entry of each key and the sums of each account, so
millions of operations fit.
"""

import json
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from random import Random
from threading import Event, Lock
from typing import Any

import psycopg

from tests.bank.checker import Reader, wrong_book
from tests.bank.firm import scale_of
from tests.bank.held import HELD, Desk, released_again, reversal
from tests.bank.operations import Asked, Content, Teller
from tests.ledger.book import Book

Connection = psycopg.Connection[Any]
Connect = Callable[[str], Connection]

WRITERS = 16
READERS = 2
ACT = "SELECT accounts.act('system:job:test-desk', NULL, 'job', '', 'A bank')"
POST = "SELECT ordinal, entry_id, is_new FROM ledger.post_entries(%s::jsonb) ORDER BY 1"
# One entry takes a way of its own, so one in ten comes alone.
BATCHES = (*[1] * 12, 3, 10, 25, 60)
REPEATED, CHANGED = 0.3, 0.1
HELD_SHARE = {"perpetual": 0.02, "released": 0.01, "reversal": 0.004}
REMEMBERED = 4_000
READ_EVERY = 0.25  # seconds
VIOLATIONS_MAX = 20


@dataclass
class Tally:
    """What all tellers were told, and what was wrong with it.

    Attributes:
        first: by number of a key, the entry it named first; 0 while none.
        is_new: by number of a key, whether somebody was told that the entry is new.
        recent: what was asked for lately, to be asked for again.
        taken: what was posted lately, whose keys are therefore taken.
        violations: what must not happen, and did.
    """

    scales: dict[int, Decimal]
    first: "array[int]"
    is_new: bytearray
    stops_at_first: bool
    done: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sums: Counter[int] = field(default_factory=Counter)
    recent: deque[Asked] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    taken: deque[tuple[Asked, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    violations: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def wrong(self, what: str) -> None:
        """Something that must not be."""
        with self.lock:
            if len(self.violations) < VIOLATIONS_MAX:
                self.violations.append(f"after {self.done} operations: {what}")
        if self.stops_at_first or len(self.violations) >= VIOLATIONS_MAX:
            self.over.set()

    def refused(self, asked: Asked, rule: str) -> None:
        """A teller was refused alone."""
        with self.lock:
            self.done += 1
            self.refusals[rule] += 1
        if rule not in asked.may and rule not in asked.must:
            if rule == "key_names_one_content" and asked.number < 0:
                return
            self.wrong(f"{asked.content['kind']} {asked.content['key']} was refused by {rule}")

    def posted(self, asked: Asked, entry: int | None, is_new: bool | None) -> None:
        """A teller was told that its entry stands."""
        key = asked.content["key"]
        if entry is None:
            self.wrong(f"{key} was posted without an answer")
            return
        with self.lock:
            self.done += 1
            before = self.first[asked.number]
            twice = is_new and self.is_new[asked.number]
            self.first[asked.number] = entry
            if is_new:
                self.is_new[asked.number] = 1
                self.kinds[asked.content["kind"]] += 1
                for leg in asked.content["legs"]:
                    account = leg["account"]
                    self.sums[account] += int(Decimal(leg["amount"]) * self.scales[account])
                self.taken.append((asked, entry))
        if asked.must:
            self.wrong(
                f"{asked.content['kind']} {key} passed; {sorted(asked.must)} should refuse it"
            )
        if before not in (0, entry) or twice:
            self.wrong(f"{key} is entry {before} and entry {entry} too")


@dataclass(frozen=True)
class Outcome:
    """What a run of the bank came to."""

    operations: int
    kinds: Counter[str]
    refusals: Counter[str]
    looks: int
    seconds: float
    violations: list[str]


class Writer:
    """One teller at work on a connection of its own."""

    def __init__(self, teller: Teller, connection: Connection, desk: Desk, tally: Tally) -> None:
        self.teller, self.connection, self.desk, self.tally = teller, connection, desk, tally
        self.random = teller.random

    def work(self, count: int) -> None:
        """Ask for so many operations, unless something was wrong before."""
        left = count
        while left > 0 and not self.tally.over.is_set():
            size = min(self.random.choice(BATCHES), left)
            asked = [self._choose() for _ in range(size)]
            self.tally.recent.extend(one for one in asked if one.number >= 0 and not one.must)
            self._post_together([one for one in asked if not one.is_alone])
            for one in asked:
                if one.is_alone:
                    self._post_alone(one)
            left -= size
            left -= self._some_held(size)

    def _choose(self) -> Asked:
        random, tally = self.random, self.tally
        if random.random() >= REPEATED:
            return self.teller.any()
        if random.random() < CHANGED and tally.taken:
            before, _ = random.choice(tally.taken)
            return self.teller.other_content(before.content)
        return random.choice(tally.recent) if tally.recent else self.teller.any()

    # ------------------------------------------------------------------ posting

    @contextmanager
    def _act(self) -> Iterator[None]:
        with self.connection.transaction():
            self.connection.execute(ACT)
            yield

    def _send(self, contents: list[Content]) -> list[tuple[int, int | None, bool | None]]:
        rows = self.connection.execute(POST, [json.dumps(contents)]).fetchall()
        given = {ordinal: (ordinal, entry, is_new) for ordinal, entry, is_new in rows}
        return [given.get(n, (n, None, None)) for n in range(1, len(contents) + 1)]

    def _post_together(self, asked: list[Asked]) -> None:
        """As one batch; where one is refused, halves of it, down to the one."""
        if len(asked) < 2:
            for one in asked:
                self._post_alone(one)
            return
        try:
            with self._act():
                answers = self._send([one.content for one in asked])
        except psycopg.errors.IntegrityError:
            middle = len(asked) // 2
            self._post_together(asked[:middle])
            self._post_together(asked[middle:])
        except psycopg.Error as error:
            self.tally.wrong(f"a batch of {len(asked)} failed: {told(error)}")
        else:
            for one, (_, entry, is_new) in zip(asked, answers, strict=True):
                self.tally.posted(one, entry, is_new)

    def _post_alone(self, asked: Asked) -> bool:
        return self._try(lambda: asked) is not None

    def _try(self, decide: Callable[[], Asked]) -> Asked | None:
        """One act that decides and posts; what was posted, or None if it was refused."""
        asked = None
        try:
            with self._act():
                asked = decide()
                ((_, entry, is_new),) = self._send([asked.content])
        except psycopg.Error as error:
            rule = error.diag.constraint_name
            if asked is None or rule is None:
                self.tally.wrong(told(error))
            else:
                self.tally.refused(asked, rule)
            return None
        if asked.number >= 0:
            self.tally.posted(asked, entry, is_new)
        else:
            self.tally.wrong(f"{asked.content['key']} was taken with other content")
        return asked

    # ------------------------------------------------------------------ held

    def _some_held(self, size: int) -> int:
        """Operations that look first; returns how many were asked for."""
        done = 0
        for kind, share in HELD_SHARE.items():
            if self.random.random() < share * size:
                done += self._reverse() if kind == "reversal" else self._look_and_post(kind)
        return done

    def _look_and_post(self, kind: str) -> int:
        made = self._try(partial(HELD[kind], self.teller, self.connection))
        if made is None:
            return 1
        self._post_alone(made)  # once more, as somebody does whose answer was lost
        if kind == "released":
            self._post_alone(released_again(self.teller, made))
            return 3
        return 2

    def _reverse(self) -> int:
        """Undo something that was posted lately, and then once more, which must not pass."""
        if not self.tally.taken:
            return 0
        before, entry = self.random.choice(self.tally.taken)
        if before.content["kind"] not in UNDONE:
            return 0
        undo = partial(reversal, self.teller, self.connection, self.desk, entry)
        if not self._post_alone(undo(is_first=True)):
            return 1
        self._post_alone(undo(is_first=False))
        return 2


UNDONE = {"deposit", "withdrawal", "fee", "bucket_move", "custody_move", "unidentified_receipt"}


def told(error: psycopg.Error) -> str:
    """An error as a line of the report."""
    return f"{error.sqlstate} {error.diag.constraint_name or ''} {error}".replace("\n", " ")


def run_bank(
    book: Book,
    connect: Connect,
    *,
    seed: str,
    operations: int,
    stops_at_first: bool = False,
    seconds_max: float | None = None,
    beside: Callable[[], None] | None = None,
) -> Outcome:
    """Let the tellers work and look at everything they did.

    Args:
        seed: chooses what is asked for; who comes first is the machine's choice.
        stops_at_first: end with the first thing that is wrong, without looking at the whole book.
        seconds_max: end the work, not the looking, after so long.
        beside: something to do again and again while they work.
    """
    before = sums_of(connect("runtime"), scale_of(book))
    # Keys of entries that look first come on top of those that are asked for.
    keys = 2 * operations + 64 * WRITERS
    tally = Tally(scale_of(book), array("q", bytes(8 * keys)), bytearray(keys), stops_at_first)
    writers = [
        Writer(
            Teller(book, Random(f"{seed} {n}"), first=n, step=WRITERS, total=operations),
            connect("runtime"), Desk.of(book), tally,
        )
        for n in range(WRITERS)
    ]  # fmt: skip
    readers = [Reader(connect("runtime")) for _ in range(READERS)]
    began, stop = time.monotonic(), Event()
    with ThreadPoolExecutor(WRITERS + READERS + 2) as pool:
        watched = [pool.submit(_watch, reader, tally, stop) for reader in readers]
        if beside is not None:
            watched.append(pool.submit(_beside, beside, tally, stop))
        if seconds_max is not None:
            watched.append(pool.submit(_limit, seconds_max, tally, stop))
        works = [pool.submit(writer.work, operations // WRITERS + 1) for writer in writers]
        try:
            for work in works:
                work.result()
        finally:
            stop.set()
        for each in watched:
            each.result()
    looks = sum(reader.looks for reader in readers)
    if not (stops_at_first and tally.violations):
        for wrong in wrong_book(connect("owner"), tally.first, _after(before, tally.sums)):
            tally.wrong(wrong)
    return Outcome(
        tally.done, tally.kinds, tally.refusals, looks, time.monotonic() - began, tally.violations
    )


def sums_of(connection: Connection, scales: dict[int, Decimal]) -> dict[int, int]:
    """What stands on each account, in smallest units."""
    rows = connection.execute("SELECT account_id, amount FROM ledger_balance")
    return {pk: int(amount * scales[pk]) for pk, amount in rows if pk in scales}


def _after(before: dict[int, int], sums: Counter[int]) -> dict[int, int]:
    return {pk: cents + sums[pk] for pk, cents in before.items()}


def _watch(reader: Reader, tally: Tally, stop: Event) -> None:
    while True:
        is_last = stop.wait(READ_EVERY)
        for wrong in reader.look():
            tally.wrong(f"a reader saw {wrong}")
        if is_last or tally.over.is_set():
            return


def _beside(work: Callable[[], None], tally: Tally, stop: Event) -> None:
    """Other work while the tellers post; where it fails the run is over and says so."""
    while not stop.wait(2 * READ_EVERY) and not tally.over.is_set():
        try:
            work()
        except Exception as error:  # what the tellers did until now is still judged
            tally.wrong(f"the work beside failed: {error}")
            tally.over.set()


def _limit(seconds: float, tally: Tally, stop: Event) -> None:
    if not stop.wait(seconds):
        tally.over.set()
