"""Queries that pack the balances and scopes of a whole book into a few long columns.

A balance row that nobody wrote since a horizon is as the horizon knew it; the others, and those
with entries that take effect later, are looked up in the history. How everything is read, page by
page, is in `margin.book.scan`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import numpy as np
from django.db import connection, transaction

from accounts.agreed_terms import IN_FORCE_IDS
from accounts.packed import as_numbers, fetch_packed, joined_numbers
from margin.engine.column_ground import SCALE_MAX
from margin.engine.column_rules import COST_DECIMALS
from margin.engine.wide import Ints

READERS: Final = 2
ACCOUNTS_AT_ONCE: Final = 250_000
WORK_MEMORY: Final = "128MB"
# What stands for a number that is no whole number of units in 64 bits.
ODD: Final = int(np.iinfo(np.int64).min)
ASSET_BITS: Final = 20

SCOPES_OF: Final = f"""
    SELECT {joined_numbers("int8send", "s.id")}, {joined_numbers("int8send", "k.id")},
           {joined_numbers("int8send", "a.id")},
           {joined_numbers("int8send", "coalesce(v.id, 0) * 2 + (a.mode = 'cash')::int")}
    FROM accounts_scope s JOIN accounts_bucket k ON k.id = s.bucket_id
    JOIN accounts_marginaccount a ON a.id = k.account_id
    LEFT JOIN ({IN_FORCE_IDS}) v ON v.account_id = a.id
    WHERE s.bucket_id = ANY (%(buckets)s::bigint[])
"""  # noqa: S608 - fixed texts

POWERS: Final = ",".join(str(10**scale) for scale in range(SCALE_MAX + 1))
LIMITS: Final = ",".join(str(10 ** (17 - scale)) for scale in range(SCALE_MAX + 1))
UNITS: Final = (
    f"CASE WHEN x.scale <= {SCALE_MAX} AND abs(x.amount) < ('{{{LIMITS}}}'::numeric[])[x.scale + 1]"
    f" THEN (x.amount * ('{{{POWERS}}}'::numeric[])[x.scale + 1])::int8 ELSE {ODD} END"
)
COSTS: Final = (
    "CASE WHEN x.average_cost IS NULL THEN 0"
    f" WHEN scale(x.average_cost) <= {COST_DECIMALS} AND abs(x.average_cost) < 10000000"
    f" THEN (x.average_cost * {10**COST_DECIMALS})::int8 ELSE {ODD} END"
)
# Claims, positions and loans stand in buckets.
HELD: Final = "('claim', 'position', 'loan_receivable')"
KEY: Final = (
    f"(x.bucket_id << {ASSET_BITS + 1}) | (x.asset_id << 1)"
    " | (x.account_class = 'loan_receivable')::int::int8"
)
PACKED: Final = ", ".join(
    joined_numbers("int8send", value) for value in (KEY, "x.id", "x.seq", UNITS, COSTS)
)
# Of some buckets alone, found by their index.
NOW_OF: Final = f"""
    SELECT {PACKED} FROM (
        SELECT a.id, a.bucket_id, a.asset_id, a.account_class, a.scale, b.seq, b.amount,
               b.average_cost
        FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
        WHERE a.bucket_id = ANY (%(buckets)s::bigint[]) AND a.account_class IN {HELD}
          AND b.amount <> 0 AND NOT a.id = ANY (%(changed)s::bigint[])) x
"""  # noqa: S608 - fixed texts
THEN: Final = f"""
    SELECT {PACKED} FROM (
        SELECT b.ledger_account_id AS id, b.bucket_id, b.asset_id, b.account_class, a.scale,
               b.account_seq AS seq, b.amount, b.average_cost
        FROM ledger_horizon h
        CROSS JOIN LATERAL margin.balances_of(h.snapshot, %(as_of)s, %(some)s::bigint[]) b
        JOIN ledger_ledgeraccount a ON a.id = b.ledger_account_id
        WHERE h.id = %(horizon)s AND b.amount <> 0) x
"""  # noqa: S608 - fixed texts
CHANGED: Final = """
    SELECT p.account_id FROM ledger_horizon h
    JOIN ledger_entry e ON e.xid >= pg_snapshot_xmin(h.snapshot)
        AND NOT pg_visible_in_snapshot(e.xid, h.snapshot)
    JOIN ledger_posting p ON p.entry_id = e.id
    WHERE h.id = %(horizon)s
    UNION
    SELECT p.account_id FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
    WHERE e.effective_at > %(as_of)s
"""


T = TypeVar("T")
# Asks one query at the snapshot of a reading: its columns as they were joined.
Ask = Callable[[str, Mapping[str, object]], Sequence[Any]]


def read_apart(snapshot: str, jobs: Sequence[Callable[[Ask], T]]) -> list[T]:
    """What jobs read at one exported snapshot, in their order; two connections share them."""
    waiting: SimpleQueue[tuple[int, Callable[[Ask], T]]] = SimpleQueue()
    for job in enumerate(jobs):
        waiting.put(job)

    def some() -> list[tuple[int, T]]:
        found = []
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET TRANSACTION SNAPSHOT %s", [snapshot])
                cursor.execute(f"SET LOCAL work_mem = '{WORK_MEMORY}'")
                cursor.execute("SET LOCAL jit = off")
                with suppress(Empty):
                    while True:
                        place, job = waiting.get_nowait()
                        found.append((place, job(lambda *asked: fetch_packed(cursor, *asked)[0])))
        finally:
            connection.close()
        return found

    with ThreadPoolExecutor(READERS, thread_name_prefix="margin-reader") as readers:
        asked = [readers.submit(some) for _ in range(min(READERS, len(jobs)))]
        found = sorted((each for one in asked for each in one.result()), key=itemgetter(0))
    return [said for _, said in found]


def whole_numbers(sql: str, values: Mapping[str, object]) -> Callable[[Ask], list[Ints]]:
    """A job that reads columns of whole numbers."""
    return lambda ask: as_whole(ask(sql, values))


def as_whole(columns: Iterable[bytes]) -> list[Ints]:
    """Columns of whole numbers as they were joined."""
    return [as_numbers("int8send", column) for column in columns]


def changed_since(horizon_id: int, *, as_of: datetime) -> list[int]:
    """Ledger accounts with entries that the horizon does not know, or that take effect later."""
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, {"horizon": horizon_id, "as_of": as_of})
        return [account for (account,) in cursor.fetchall()]


def in_parts(accounts: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(accounts), ACCOUNTS_AT_ONCE):
        yield accounts[start : start + ACCOUNTS_AT_ONCE]
