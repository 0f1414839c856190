"""The same figures on an empty book and on one of ten million postings, by turns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

from psycopg import sql

from brokerage.benchmarks.scratch import Connection, Scratch
from brokerage.benchmarks.writers import (
    fresh_start,
    posts_batch,
    posts_one,
    rate,
    together,
)

POSTINGS = 10_000_000
CHUNK = 100_000
DAYS = 50
BATCH = 1_000
ROUNDS = 5
TABLES = (
    "accounts_act", "ledger_entry", "ledger_entrykey", "ledger_posting", "ledger_balance",
    "ledger_dailymovement",
)  # fmt: skip


class Growth(NamedTuple):
    """Entries per second on both books, by figure, and the smallest share that the full one has."""

    empty: dict[str, float]
    full: dict[str, float]
    shares: dict[str, float]
    of_empty: float

    def figures(self) -> dict[str, dict[str, float]]:
        return {"empty": self.empty, "full": self.full, "shares": self.shares}


def measure(empty: Scratch, full: Scratch, *, seconds: float) -> Growth:
    """Fill one of two equal books, then measure both by turns."""
    fill(full, postings=POSTINGS)
    found: dict[str, dict[str, list[float]]] = {"empty": {}, "full": {}}
    for turn in range(ROUNDS):
        books = [("empty", empty), ("full", full)]
        for name, book in books if turn % 2 else reversed(books):
            for figure, value in _figures(book, seconds).items():
                found[name].setdefault(figure, []).append(value)
    shares = {
        figure: median(
            of_full / of_empty
            for of_full, of_empty in zip(values, found["empty"][figure], strict=True)
        )
        for figure, values in found["full"].items()
    }
    medians = {
        name: {figure: median(values) for figure, values in by_figure.items()}
        for name, by_figure in found.items()
    }
    return Growth(medians["empty"], medians["full"], shares, of_empty=min(shares.values()))


def _figures(book: Scratch, seconds: float) -> dict[str, float]:
    with book.connect() as connection:
        step = posts_batch(book, BATCH)(connection, fresh_start())
        step()
        batches = BATCH * rate(step, seconds=seconds)
    return {
        "batch_1000": batches,
        "single_1": together(book, posts_one(book), writers=1, seconds=seconds),
        "single_4": together(book, posts_one(book), writers=4, seconds=seconds),
        "hot_4": together(book, posts_one(book, hot=True), writers=4, seconds=seconds),
    }


# ---------------------------------------------------------------- a large book

ENTRIES = """
    WITH act AS (
        INSERT INTO accounts_act (actor, channel, request_id, reason)
        VALUES ('system:command:benchmark', 'job', '', 'Fill the book')
    ), many AS (
        SELECT n, timestamptz '2025-01-01 12:00Z'
                  + (n * %(days)s / %(all)s) * interval '1 day' AS at
        FROM generate_series(%(first)s::bigint, %(last)s) n
    ), entries AS (
        INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, posting_count)
        SELECT n + 1, 'deposit', at, 'REF-' || n, '', 2 FROM many
    ), keys AS (
        INSERT INTO ledger_entrykey (key, entry_id, digest)
        SELECT 'filled:' || n, n + 1, sha256(n::text::bytea) FROM many
    )
    INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                balance_after)
    SELECT s.account_id, s.seq, s.n + 1, %(pool)s, %(asset)s, s.side, s.side * s.seq
    FROM (
        SELECT m.n, 1 AS side, b.id AS account_id, m.n / %(bank_count)s + 1 AS seq
        FROM many m JOIN unnest(%(banks)s::bigint[]) WITH ORDINALITY b(id, nth)
            ON b.nth = 1 + m.n %% %(bank_count)s
        UNION ALL
        SELECT m.n, -1, c.id, m.n / %(claim_count)s + 1
        FROM many m JOIN unnest(%(claims)s::bigint[]) WITH ORDINALITY c(id, nth)
            ON c.nth = 1 + m.n * 7919 %% %(claim_count)s
    ) s ORDER BY s.account_id, s.seq
"""
BALANCES = """
    UPDATE ledger_balance b SET amount = l.balance_after, seq = l.account_seq
    FROM (SELECT DISTINCT ON (account_id) account_id, account_seq, balance_after
          FROM ledger_posting ORDER BY account_id, account_seq DESC) l
    WHERE b.account_id = l.account_id
"""
MOVEMENTS = """
    INSERT INTO ledger_dailymovement (account_id, effective_on, debit, credit, first_seq,
                                      amount_before, first_xid)
    SELECT p.account_id, (e.effective_at AT TIME ZONE 'UTC')::date, sum(greatest(p.amount, 0)),
           sum(greatest(-p.amount, 0)), min(p.account_seq),
           (array_agg(p.balance_after - p.amount ORDER BY p.account_seq))[1],
           (array_agg(p.xid ORDER BY p.account_seq))[1]
    FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id GROUP BY 1, 2
"""


def fill(scratch: Scratch, *, postings: int) -> None:
    """Write a history of deposits past the guards, sound in every balance, and analyse it.

    The number of clients must have no factor in common with the stride between them.
    """
    entries = postings // 2
    values = {
        "days": DAYS, "all": entries, "pool": scratch.pool, "asset": scratch.asset,
        "banks": list(scratch.banks), "bank_count": len(scratch.banks),
        "claims": list(scratch.claims), "claim_count": len(scratch.claims),
    }  # fmt: skip
    with scratch.connect_superuser() as superuser:
        superuser.execute("SET work_mem = '256MB'")
        with without_guards(superuser, TABLES):
            for first in range(0, entries, CHUNK):
                last = min(first + CHUNK, entries) - 1
                superuser.execute(ENTRIES, {**values, "first": first, "last": last})
            superuser.execute("SELECT setval('ledger_entry_id', %s)", [entries])
            superuser.execute(BALANCES)
            superuser.execute(MOVEMENTS)
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")


GUARDS = """
    SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
    WHERE tgrelid = ANY (%s::regclass[]) AND NOT tgisinternal ORDER BY 1, 2
"""
HOW = {"A": "ENABLE ALWAYS", "O": "ENABLE", "R": "ENABLE REPLICA", "D": "DISABLE"}


@contextmanager
def without_guards(superuser: Connection, tables: Sequence[str] = TABLES) -> Iterator[None]:
    """Have the body write past the guards of tables; afterwards each stands as it stood."""
    watchers = superuser.execute("SELECT evtname, evtenabled FROM pg_event_trigger").fetchall()
    for watcher, _ in watchers:
        _stand(superuser, "ALTER EVENT TRIGGER {} {}", watcher, state="D")
    guards = superuser.execute(GUARDS, [list(tables)]).fetchall()
    for name in tables:
        _stand(superuser, "ALTER TABLE {} {} TRIGGER ALL", name, state="D")
    yield
    for name in tables:
        _stand(superuser, "ALTER TABLE {} {} TRIGGER ALL", name, state="O")
    for table, guard, state in guards:
        _stand(superuser, "ALTER TABLE {} {} TRIGGER {}", table, guard, state=state)
    for watcher, state in watchers:
        _stand(superuser, "ALTER EVENT TRIGGER {} {}", watcher, state=state)


def _stand(superuser: Connection, order: str, *names: object, state: object) -> None:
    """Set one guard, or all of a table, to a state as the catalogue spells it."""
    first, *others = (sql.Identifier(str(name)) for name in names)
    superuser.execute(sql.SQL(order).format(first, sql.SQL(HOW[str(state)]), *others))
