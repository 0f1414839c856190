"""Writers: processes that post, or insert plainly, each on a connection of its own."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from multiprocessing.connection import Connection as Pipe

from brokerage.benchmarks.scratch import BENCH, NOW, Connection, Scratch
from ledger.posting import Draft, Leg, drafted

AMOUNT = Decimal("10.25")
WARM_UP = 40
STRIDE = 7_919
"""Prime, so that neighbours in time are not neighbours in the book."""

ACT = "SELECT accounts.act(%s, NULL, 'job', '', 'Benchmark')"
POST_ONE = "SELECT entry_id FROM ledger.post_as(%s, NULL, 'job', '', 'Benchmark', %s::jsonb)"
POST_BATCH = "SELECT count(*) FROM ledger.post_entries(%s::jsonb)"

INSERT_ENTRY = (
    "INSERT INTO plain.entry (id, kind_id, effective_at, reference, narrative, posting_count)"
    " VALUES (%s, 'deposit', %s, %s, '', 2)"
)
INSERT_POSTING = (
    "INSERT INTO plain.posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,"
    " balance_after) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)

# What a writer does once; it is made in the writer's own process.
Step = Callable[[], object]
Writer = Callable[[Connection, int], Step]


def drafts(scratch: Scratch, count: int, *, start: int, hot: bool = False) -> Iterator[Draft]:
    """Deposits of `count` clients, one after another, under keys that `start` makes new."""
    for n in range(start, start + count):
        bank = scratch.banks[0 if hot else n % len(scratch.banks)]
        claim = scratch.claims[n * STRIDE % len(scratch.claims)]
        yield Draft(
            key=f"benchmark:{n}",
            kind="deposit",
            effective_at=NOW,
            reference=f"REF-{n}",
            legs=(Leg(bank, AMOUNT), Leg(claim, -AMOUNT)),
        )


def fresh_start() -> int:
    """A number from which on no key was used."""
    return random.SystemRandom().randrange(10**15)


def posts_one(scratch: Scratch, *, hot: bool = False) -> Writer:
    """Says who acts and posts one entry, in one round trip and one transaction."""

    def made(connection: Connection, start: int) -> Step:
        waiting = drafts(scratch, 10**9, start=start, hot=hot)

        def step() -> object:
            body = json.dumps([drafted(next(waiting))])
            return connection.execute(POST_ONE, [BENCH.name, body], prepare=True).fetchone()

        return step

    return made


def posts_batch(scratch: Scratch, size: int, *, hot: bool = False) -> Writer:
    """Posts a batch in a transaction of its own."""

    def made(connection: Connection, start: int) -> Step:
        place = start

        def step() -> object:
            nonlocal place
            body = json.dumps([drafted(one) for one in drafts(scratch, size, start=place, hot=hot)])
            place += size
            with connection.transaction():
                connection.execute(ACT, [BENCH.name], prepare=True)
                return connection.execute(POST_BATCH, [body], prepare=True).fetchone()

        return step

    return made


def inserts(scratch: Scratch) -> Writer:
    """Three plain prepared INSERTs in a transaction: an entry and its two postings."""

    def made(connection: Connection, start: int) -> Step:
        place = start

        def step() -> object:
            nonlocal place
            n, place = place, place + 1
            bank = scratch.banks[n % len(scratch.banks)]
            claim = scratch.claims[n * STRIDE % len(scratch.claims)]
            fixed = (n, n, scratch.pool, scratch.asset)
            with connection.transaction():
                connection.execute(INSERT_ENTRY, [n, NOW, f"REF-{n}"], prepare=True)
                for account, amount in ((bank, AMOUNT), (claim, -AMOUNT)):
                    connection.execute(
                        INSERT_POSTING, [account, *fixed, amount, amount], prepare=True
                    )
            return n

        return step

    return made


def together(
    scratch: Scratch, writer: Writer, *, writers: int, seconds: float, user: str = "bo_runtime"
) -> float:
    """Steps per second of some writers at once, each a process; they start at the same time."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(writers)
    pipes = [context.Pipe(duplex=False) for _ in range(writers)]
    processes = [
        context.Process(target=_write, args=(scratch, writer, seconds, user, barrier.wait, sender))
        for _, sender in pipes
    ]
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    rates = [receiver.recv() for receiver, _ in pipes]
    for process in processes:
        process.join()
    return float(sum(rates))


def _write(
    scratch: Scratch,
    writer: Writer,
    seconds: float,
    user: str,
    all_are_ready: Callable[[], int],
    answer: Pipe,
) -> None:
    with scratch.connect(user) as connection:
        step = writer(connection, fresh_start())
        for _ in range(WARM_UP):
            step()
        all_are_ready()
        answer.send(rate(step, seconds=seconds))


def rate(step: Step, *, seconds: float) -> float:
    """How often a step is done in a second."""
    start = time.perf_counter()
    end, done = start + seconds, 0
    while time.perf_counter() < end:
        step()
        done += 1
    return done / (time.perf_counter() - start)
