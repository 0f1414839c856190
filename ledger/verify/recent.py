"""What is younger than a mark, read as in a full run; and balances held against last postings.

The queries of the full run read all entries and postings. Here each name stands for the younger
part of its table, so the same queries read that alone. What goes on from an earlier row (running
balances, average costs) is held against that row by checks of its own.
"""

# Every part of these queries is text of this app.
# ruff: noqa: S608

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction, Query, Wrong
from ledger.verify import CHECKS
from ledger.verify.checkpoints import check_checkpoints, check_recent_checkpoints
from ledger.verify.costs import (
    FETCHED_AT_ONCE,
    UNPRICED,
    Cost,
    after_trade,
    check_average_costs,
)
from ledger.verify.entries import (
    APPROVALS,
    CUSTODY,
    ENTRIES,
    KEYS,
    LEGS,
    LOSSES,
    OWNERS,
    RELEASES,
    REVERSALS,
    WIDE_KINDS,
    check_entries,
    check_kinds,
    check_leave,
)
from ledger.verify.running import (
    ACCOUNTS,
    OPENINGS,
    POOLS,
    POSTINGS,
    check_balances,
    check_running,
)

# What the checks here stand for.
READS_ALL = (
    check_running,
    check_entries,
    check_kinds,
    check_average_costs,
    check_balances,
    check_checkpoints,
    check_leave,
)
YOUNG_ENTRIES = "ledger_entry AS (SELECT * FROM public.ledger_entry WHERE xid >= %(since)s::xid8)"
# By the entry, since what hangs on one has no index over transactions.
YOUNG_PARTS = ", ".join(
    f"{table} AS (SELECT w.* FROM public.ledger_entry y JOIN public.{table} w ON w.entry_id = y.id"
    " WHERE y.xid >= %(since)s::xid8)"
    for table in ("ledger_posting", "ledger_entrykey", "ledger_releaseuse", "ledger_loss")
)
YOUNG = f"{YOUNG_ENTRIES}, {YOUNG_PARTS}"
OF_ENTRIES = (
    ENTRIES,
    OWNERS,
    KEYS,
    POSTINGS,
    UNPRICED,
    LEGS,
    WIDE_KINDS,
    CUSTODY,
    RELEASES,
    LOSSES,
)
# These look at older postings or at approvals besides.
OF_HEADERS = (REVERSALS, APPROVALS)
OF_BALANCES = (POOLS, OPENINGS, ACCOUNTS)

RUNNING = Query(
    "postings_follow_one_another",
    "ledger_posting",
    """
    SELECT 'ledger_posting', p.account_id || '/' || p.account_seq,
           'it does not go on from the posting before it'
    FROM ledger_posting p
    LEFT JOIN public.ledger_posting b
        ON b.account_id = p.account_id AND b.account_seq = p.account_seq - 1
    WHERE p.balance_after <> coalesce(b.balance_after, 0) + p.amount
       OR (b.account_id IS NULL) <> (p.account_seq = 1)
    """,
)

BALANCES = Query(
    "balances_are_what_their_last_posting_left",
    "ledger_balance",
    """
    SELECT 'ledger_balance', coalesce(b.account_id, a.id)::text,
           'it differs from its last posting, or belongs to no account'
    FROM ledger_balance b
    FULL JOIN ledger_ledgeraccount a ON a.id = b.account_id
    LEFT JOIN LATERAL (SELECT account_seq, balance_after, average_after FROM ledger_posting x
                       WHERE x.account_id = b.account_id ORDER BY account_seq DESC LIMIT 1) p
        ON true
    WHERE b.account_id IS NULL OR a.id IS NULL OR b.seq <> coalesce(p.account_seq, 0)
       OR b.amount <> coalesce(p.balance_after, 0)
       OR b.average_cost IS DISTINCT FROM p.average_after
    """,
)

MOVEMENTS = Query(
    "daily_movements_end_in_the_balance",
    "ledger_dailymovement",
    """
    SELECT 'ledger_dailymovement', coalesce(m.account_id, b.account_id)::text,
           'the movements of the account do not come to its balance'
    FROM ledger_balance b
    FULL JOIN (SELECT account_id, sum(debit - credit) AS amount FROM ledger_dailymovement
               GROUP BY 1) m ON m.account_id = b.account_id
    WHERE coalesce(b.amount, 0) <> coalesce(m.amount, 0)
    """,
)

# Younger postings of positions, each beside the one it goes on from.
POSITIONS = f"""
    WITH {YOUNG}
    SELECT p.account_id, p.account_seq, coalesce(-b.balance_after, 0), coalesce(b.average_after, 0),
           -p.amount, p.price, p.average_after, p.realised, coalesce(m.scale, 2)
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'position'
    JOIN ledger_asset t ON t.id = a.asset_id LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
    LEFT JOIN public.ledger_posting b
        ON b.account_id = p.account_id AND b.account_seq = p.account_seq - 1
    ORDER BY p.account_id, p.account_seq
"""


def recent_checks(since: int) -> list[CheckFunction]:
    """Checks of what transactions from `since` on wrote, and of all balances.

    Whatever else belongs to the whole book is looked at as in a full run.
    """

    def check_recent_entries(cursor: CursorWrapper) -> list[Check]:
        found = [_younger(cursor, query, YOUNG, since) for query in (RUNNING, *OF_ENTRIES)]
        return found + [_younger(cursor, query, YOUNG_ENTRIES, since) for query in OF_HEADERS]

    def check_recent_costs(cursor: CursorWrapper) -> list[Check]:
        return [_check_costs(cursor, since)]

    def check_last_balances(cursor: CursorWrapper) -> list[Check]:
        return [query.run(cursor, {}) for query in (BALANCES, MOVEMENTS, *OF_BALANCES)]

    def check_last_checkpoints(cursor: CursorWrapper) -> list[Check]:
        return check_recent_checkpoints(cursor, since)

    rest = [check for check in CHECKS if check not in READS_ALL]
    own = [check_recent_entries, check_recent_costs, check_last_balances, check_last_checkpoints]
    return [*own, *rest]


def _younger(cursor: CursorWrapper, query: Query, young: str, since: int) -> Check:
    """Run a query of the full run over the younger part of its tables."""
    parameters = {"since": str(since)}
    cursor.execute(
        f"WITH {young}, broken AS MATERIALIZED ({query.sql}) SELECT * FROM broken LIMIT 1",
        parameters,
    )
    row = cursor.fetchone()
    cursor.execute(f"WITH {young} SELECT count(*) FROM {query.counted}", parameters)
    (rows,) = cursor.fetchone()
    return Check(query.name, rows, None if row is None else Wrong(row[0], str(row[1]), row[2]))


def _check_costs(cursor: CursorWrapper, since: int) -> Check:
    name, rows = "average_costs_and_profits_follow_from_trades", 0
    cursor.execute(POSITIONS, {"since": str(since)})
    while batch := cursor.fetchmany(FETCHED_AT_ONCE):
        for account_id, seq, quantity, was, change, price, average, realised, scale in batch:
            held, profit = Cost(quantity + change, average), None
            if price is not None:  # an opening brings its average along; nothing was traded
                held, profit = after_trade(Cost(quantity, was), change, price, scale)
            if average is None or held.average != average or profit != realised:
                detail = f"the trade leaves an average of {held.average} and realises {profit}"
                return Check(name, rows, Wrong("ledger_posting", f"{account_id}/{seq}", detail))
        rows += len(batch)
    return Check(name, rows)
