"""Accounts in the order of their postings, balances, daily movements, pools."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper

from accounts.checks import NOTHING, Check, Query, run_each

# Few columns on purpose: this is the one place where all postings are put in order.
RUNNING = Query(
    "postings_follow_one_another",
    "ledger_posting",
    """
    SELECT 'ledger_posting', p.account_id || '/' || p.account_seq, CASE
        WHEN p.account_seq <> p.seq_before + 1 THEN 'the posting before it is missing'
        ELSE format('it leaves %%s, not %%s', p.balance_after, p.before + p.amount) END
    FROM (
        SELECT x.account_id, x.account_seq, x.amount, x.balance_after,
               lag(x.account_seq, 1, 0::bigint) OVER w AS seq_before,
               lag(x.balance_after, 1, 0::numeric) OVER w AS before
        FROM ledger_posting x WINDOW w AS (PARTITION BY x.account_id ORDER BY x.account_seq)
    ) p
    WHERE p.account_seq <> p.seq_before + 1 OR p.balance_after <> p.before + p.amount
    """,
)

POSTINGS = Query(
    "postings_keep_their_account_and_its_floor",
    "ledger_posting",
    """
    SELECT 'ledger_posting', p.account_id || '/' || p.account_seq, CASE
        WHEN a.id IS NULL THEN 'it names no ledger account'
        WHEN e.id IS NULL THEN 'it belongs to no entry'
        WHEN e.xid <> p.xid THEN 'it was not written together with its entry'
        WHEN p.pool_id <> a.pool_id OR p.asset_id <> a.asset_id
            THEN 'it names another pool or asset than its account'
        WHEN p.amount <> trunc(p.amount, a.scale) THEN 'it has more decimals than its asset'
        ELSE ledger.broken_floor(a.account_class, a.asset_kind, p.balance_after) END
    FROM ledger_posting p
    LEFT JOIN ledger_ledgeraccount a ON a.id = p.account_id
    LEFT JOIN ledger_entry e ON e.id = p.entry_id
    WHERE a.id IS NULL OR e.id IS NULL OR e.xid <> p.xid
       OR p.pool_id <> a.pool_id OR p.asset_id <> a.asset_id
       OR p.amount <> trunc(p.amount, a.scale)
       OR ledger.broken_floor(a.account_class, a.asset_kind, p.balance_after) IS NOT NULL
    """,
)

BALANCES = Query(
    "balances_are_the_sum_of_their_postings",
    "ledger_balance",
    """
    SELECT 'ledger_balance', coalesce(b.account_id, a.id, s.account_id)::text, CASE
        WHEN b.account_id IS NULL THEN 'the account has no balance'
        WHEN a.id IS NULL THEN 'the balance belongs to no account'
        WHEN b.seq <> coalesce(s.postings, 0)
            THEN format('it counts %%s postings, there are %%s', b.seq, coalesce(s.postings, 0))
        WHEN b.amount <> coalesce(s.amount, 0)
            THEN format('it is %%s, its postings come to %%s', b.amount, coalesce(s.amount, 0))
        WHEN b.amount <> coalesce(p.balance_after, 0)
            THEN format('it is %%s, its last posting left %%s', b.amount, p.balance_after)
        ELSE 'its average cost differs from its last posting' END
    FROM ledger_balance b
    FULL JOIN ledger_ledgeraccount a ON a.id = b.account_id
    FULL JOIN (SELECT account_id, count(*) AS postings, sum(amount) AS amount
               FROM ledger_posting GROUP BY 1) s ON s.account_id = a.id
    LEFT JOIN ledger_posting p ON p.account_id = b.account_id AND p.account_seq = b.seq
    WHERE b.account_id IS NULL OR a.id IS NULL OR b.seq <> coalesce(s.postings, 0)
       OR b.amount <> coalesce(s.amount, 0) OR b.amount <> coalesce(p.balance_after, 0)
       OR b.average_cost IS DISTINCT FROM p.average_after
    """,
)

MOVEMENTS = Query(
    "daily_movements_are_their_postings",
    "ledger_dailymovement",
    """
    SELECT 'ledger_dailymovement',
           coalesce(m.account_id, s.account_id) || '/' || coalesce(m.effective_on, s.effective_on),
           CASE WHEN m.debit IS DISTINCT FROM s.debit OR m.credit IS DISTINCT FROM s.credit
           THEN format('it says %%s debit and %%s credit, its postings %%s and %%s',
                       m.debit, m.credit, s.debit, s.credit)
           WHEN m.first_seq IS NOT DISTINCT FROM CASE WHEN s.is_first THEN s.first_seq END
           THEN format('before its first posting the account stood at %%s (transaction %%s),'
                       ' not at %%s (%%s)', s.amount_before, s.first_xid,
                       coalesce(m.amount_before::text, 'none'), coalesce(m.first_xid::text, 'none'))
           ELSE format('it says that posting %%s brought the account to the date, it was %%s',
                       coalesce(m.first_seq::text, 'none'),
                       CASE WHEN s.is_first THEN s.first_seq::text ELSE 'none' END) END
    FROM ledger_dailymovement m
    FULL JOIN (
        SELECT d.*, (min(d.first_seq) OVER (
                   PARTITION BY d.account_id ORDER BY d.effective_on DESC
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) < d.first_seq)
                   IS NOT TRUE AS is_first
        FROM (
            SELECT p.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on,
                   coalesce(sum(p.amount) FILTER (WHERE p.amount > 0), 0) AS debit,
                   coalesce(-sum(p.amount) FILTER (WHERE p.amount < 0), 0) AS credit,
                   min(p.account_seq) AS first_seq,
                   (array_agg(p.balance_after - p.amount ORDER BY p.account_seq))[1]
                       AS amount_before,
                   (array_agg(p.xid ORDER BY p.account_seq))[1] AS first_xid
            FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id GROUP BY 1, 2
        ) d
    ) s ON s.account_id = m.account_id AND s.effective_on = m.effective_on
    WHERE m.debit IS DISTINCT FROM s.debit OR m.credit IS DISTINCT FROM s.credit
       OR m.first_seq IS DISTINCT FROM CASE WHEN s.is_first THEN s.first_seq END
       OR m.amount_before IS DISTINCT FROM CASE WHEN s.is_first THEN s.amount_before END
       OR m.first_xid IS DISTINCT FROM CASE WHEN s.is_first THEN s.first_xid END
    """,
    in_order=True,
)

# Held and owed are the two signs of one sum, so a pool is whole when all of it comes to nothing.
POOLS = Query(
    "pools_hold_what_they_owe",
    "ledger_pool",
    """
    SELECT 'ledger_pool', a.pool_id::text,
           format('%%s differs by %%s', t.code, sum(b.amount))
    FROM ledger_balance b
    JOIN ledger_ledgeraccount a ON a.id = b.account_id JOIN ledger_asset t ON t.id = a.asset_id
    GROUP BY a.pool_id, t.code HAVING sum(b.amount) <> 0
    """,
)

OPENINGS = Query(
    "opening_balances_are_complete",
    "ledger_ledgeraccount WHERE account_class = 'opening'",
    """
    SELECT 'ledger_ledgeraccount', a.id::text, format('%%s is left on it', b.amount)
    FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id AND b.amount <> 0
    WHERE a.account_class = 'opening' AND EXISTS (
        SELECT FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.kind_id <> 'opening' AND p.pool_id = a.pool_id)
    """,
)

ACCOUNTS = Query(
    "ledger_accounts_repeat_their_pool_truthfully",
    "ledger_ledgeraccount",
    """
    SELECT 'ledger_ledgeraccount', n.id::text,
           'it does not belong where its pool, asset, bucket and location say'
    FROM ledger_ledgeraccount n
    JOIN ledger_pool p ON p.id = n.pool_id
    JOIN ledger_asset t ON t.id = n.asset_id
    LEFT JOIN accounts_bucket b ON b.id = n.bucket_id
    LEFT JOIN accounts_marginaccount m ON m.id = b.account_id
    LEFT JOIN ledger_location l ON l.id = n.location_id
    WHERE n.owner_class <> p.owner_class OR n.asset_kind <> t.kind OR n.scale <> t.scale
       OR n.margin_account_id IS DISTINCT FROM b.account_id
       OR n.client_id IS DISTINCT FROM coalesce(m.client_id, l.individual_client_id)
       OR m.legal_entity_id <> p.legal_entity_id OR l.pool_id <> n.pool_id
       OR (n.account_class IN ('claim', 'position') AND m.owner_class <> p.owner_class)
    """,
)


def check_running(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Every posting goes on from the one before it and keeps its floor."""
    return run_each(cursor, (RUNNING, POSTINGS), proven)


def check_balances(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Balances, movements and pools repeat what the postings say."""
    queries = (BALANCES, MOVEMENTS, POOLS, OPENINGS, ACCOUNTS)
    return run_each(cursor, queries, proven)
