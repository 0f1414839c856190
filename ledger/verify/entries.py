"""Entries: written whole, balanced in each pool, fitting their kind, given leave by who must."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper

from accounts.checks import NOTHING, Check, Query, run_each

ENTRIES = Query(
    "entries_balance_in_each_pool",
    "ledger_entry",
    """
    SELECT 'ledger_entry', coalesce(e.id, s.entry_id)::text, CASE
        WHEN e.id IS NULL THEN 'its postings are there, the entry is not'
        WHEN e.posting_count IS DISTINCT FROM s.postings
            THEN format('it has %%s of its %%s postings', coalesce(s.postings, 0), e.posting_count)
        WHEN s.is_unbalanced THEN 'debits differ from credits in a pool'
        ELSE e.kind_id || ' may touch one pool' END
    FROM ledger_entry e
    JOIN ledger_entrykind k ON k.code = e.kind_id
    FULL JOIN (
        SELECT g.entry_id, sum(g.postings) AS postings, bool_or(g.difference <> 0) AS is_unbalanced,
               min(g.pool_id) <> max(g.pool_id) AS has_pools
        FROM (SELECT entry_id, pool_id, asset_id, count(*) AS postings, sum(amount) AS difference
              FROM ledger_posting GROUP BY 1, 2, 3) g
        GROUP BY 1
    ) s ON s.entry_id = e.id
    WHERE e.id IS NULL OR e.posting_count IS DISTINCT FROM s.postings OR s.is_unbalanced
       OR k.pools_max < 2 AND s.has_pools
    """,
    in_order=True,
)

# Where a kind allows one owner or none, the least and the greatest tell; counting is for the rest.
OWNERS = Query(
    "entries_touch_one_owner_unless_their_kind_allows_more",
    "ledger_entry",
    """
    SELECT 'ledger_entry', e.id::text,
           e.kind_id || ' may not touch so many clients, accounts or buckets'
    FROM (
        SELECT p.entry_id, min(a.client_id) AS client, min(a.bucket_id) AS bucket,
               min(a.client_id) <> max(a.client_id) AS has_clients,
               min(a.margin_account_id) <> max(a.margin_account_id) AS has_accounts,
               min(a.bucket_id) <> max(a.bucket_id) AS has_buckets
        FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
            AND (a.bucket_id IS NOT NULL OR a.client_id IS NOT NULL)
        GROUP BY 1
    ) s
    JOIN ledger_entry e ON e.id = s.entry_id JOIN ledger_entrykind k ON k.code = e.kind_id
    WHERE k.clients_max < 2 AND (s.has_clients OR k.clients_max = 0 AND s.client IS NOT NULL)
       OR k.accounts_max < 2 AND (s.has_accounts OR k.accounts_max = 0 AND s.bucket IS NOT NULL)
       OR k.buckets_max < 2 AND (s.has_buckets OR k.buckets_max = 0 AND s.bucket IS NOT NULL)
    """,
)

WIDE_KINDS = Query(
    "entries_touch_no_more_than_their_kind_allows",
    "ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id"
    " WHERE greatest(k.pools_max, k.clients_max, k.accounts_max, k.buckets_max) > 1",
    """
    SELECT 'ledger_entry', e.id::text,
           k.code || ' may not touch so many pools, clients, accounts or buckets'
    FROM ledger_entry e
    JOIN ledger_entrykind k ON k.code = e.kind_id
        AND greatest(k.pools_max, k.clients_max, k.accounts_max, k.buckets_max) > 1
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
    GROUP BY e.id, k.code
    HAVING count(DISTINCT p.pool_id) > k.pools_max OR count(DISTINCT a.client_id) > k.clients_max
        OR count(DISTINCT a.margin_account_id) > k.accounts_max
        OR count(DISTINCT a.bucket_id) > k.buckets_max
    """,
)

KEYS = Query(
    "entries_have_one_key",
    "ledger_entrykey",
    """
    SELECT CASE WHEN e.id IS NULL THEN 'ledger_entrykey' ELSE 'ledger_entry' END,
           coalesce(e.id::text, k.key),
           CASE WHEN e.id IS NULL THEN 'its entry is not there' ELSE 'it has no key' END
    FROM ledger_entry e FULL JOIN ledger_entrykey k ON k.entry_id = e.id
    WHERE e.id IS NULL OR k.key IS NULL
    """,
)

LEGS = Query(
    "postings_fit_their_kind",
    "ledger_posting",
    """
    SELECT 'ledger_entry', c.entry_id::text,
           format('%%s does not move %%s of %%s in a %%s pool that way',
                  c.kind_id, a.account_class, a.asset_kind, a.owner_class)
    FROM (SELECT e.kind_id, p.account_id, p.amount > 0 AS is_debit, min(e.id) AS entry_id
          FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id GROUP BY 1, 2, 3) c
    JOIN ledger_ledgeraccount a ON a.id = c.account_id
    LEFT JOIN ledger_kindleg k ON k.kind_id = c.kind_id AND k.account_class = a.account_class
        AND k.owner_class = a.owner_class AND k.asset_kind = a.asset_kind
        AND k.side = CASE WHEN c.is_debit THEN 'debit' ELSE 'credit' END
    WHERE k.id IS NULL
    """,
)

# What leaves custody in one pool arrives in another, but for what the trade itself says.
CUSTODY = Query(
    "custody_follows_the_trade",
    "ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id WHERE k.keeps_custody",
    """
    SELECT 'ledger_entry', s.entry_id::text,
           format('it moves %%s of custody, the trade says %%s', s.moved, s.said)
    FROM (
        SELECT p.entry_id, e.kind_id, coalesce(t.settles_in_id, p.asset_id) AS money,
               coalesce(sum(p.amount) FILTER (WHERE a.account_class = 'custody'
                                              AND a.asset_kind = 'money'), 0) AS moved,
               coalesce(sum(CASE
                   WHEN a.asset_kind = 'security' OR t.is_option
                   THEN ledger.half_even(p.amount * p.price, m.scale)
                   WHEN a.asset_kind = 'derivative' THEN coalesce(p.realised, 0) END)
                   FILTER (WHERE a.account_class = 'position'), 0) AS said
        FROM ledger_posting p
        JOIN ledger_entry e ON e.id = p.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.keeps_custody
        JOIN ledger_ledgeraccount a ON a.id = p.account_id
            AND a.account_class IN ('custody', 'position')
        JOIN ledger_asset t ON t.id = p.asset_id
        LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
        GROUP BY 1, 2, 3
    ) s
    WHERE s.moved <> CASE WHEN s.kind_id IN ('internal_trade', 'deleveraging') THEN 0
                          ELSE s.said END
    """,
)

REVERSALS = Query(
    "reversals_mirror_their_entry",
    "ledger_entry WHERE kind_id = 'reversal'",
    """
    SELECT 'ledger_entry', e.id::text, 'it does not undo one entry, leg by leg'
    FROM ledger_entry e
    WHERE (e.kind_id = 'reversal') <> (e.reverses_id IS NOT NULL)
       OR (e.kind_id = 'reversal' AND EXISTS (
            SELECT FROM ledger_posting p WHERE p.entry_id IN (e.id, e.reverses_id)
            GROUP BY p.account_id HAVING sum(p.amount) <> 0))
    """,
)

APPROVALS = Query(
    "entries_have_their_approvals",
    "ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id WHERE k.needs_approval",
    """
    SELECT 'ledger_entry', min(e.id)::text, e.kind_id || ' was not approved by a second person'
    FROM ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_approval
    GROUP BY e.xid, e.kind_id
    HAVING count(*) > (SELECT count(*) FROM accounts_approval a WHERE a.used_xid = e.xid
                       AND a.action_id = 'entry.' || e.kind_id AND a.decision = 'approved')
    """,
)

RELEASES = Query(
    "margined_buckets_are_lowered_with_a_release",
    "ledger_releaseuse",
    """
    SELECT 'ledger_entry', e.id::text, e.kind_id || ' had no release of margin'
    FROM ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_release
    JOIN ledger_posting p ON p.entry_id = e.id AND p.amount > 0
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'claim'
    JOIN accounts_bucket b ON b.id = a.bucket_id AND b.is_margined
    WHERE NOT EXISTS (SELECT FROM ledger_releaseuse u WHERE u.entry_id = e.id)
    UNION ALL
    SELECT 'ledger_releaseuse', u.release_id::text, 'the release was given for something else'
    FROM ledger_releaseuse u
    LEFT JOIN ledger_release r ON r.id = u.release_id
    LEFT JOIN ledger_entry e ON e.id = u.entry_id
    WHERE r.kind_id IS DISTINCT FROM e.kind_id OR NOT EXISTS (
        SELECT FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = u.entry_id AND a.bucket_id = r.bucket_id AND a.asset_id = r.asset_id
          AND (a.account_class = 'claim' AND p.amount = r.amount
               OR a.account_class = 'position' AND abs(p.amount) = r.amount
                  AND e.kind_id IN ('position_move', 'agreed_move')))
    """,
)

LOSSES = Query(
    "losses_were_settled_in_order",
    "ledger_loss",
    """
    SELECT 'ledger_entry', e.id::text, 'it has a loss that is not recorded, or a record but no loss'
    FROM ledger_entry e LEFT JOIN ledger_loss l ON l.entry_id = e.id
    WHERE (e.kind_id IN ('covered_loss', 'uncovered_loss')) <> (l.entry_id IS NOT NULL)
    UNION ALL
    SELECT 'ledger_loss', l.entry_id::text, 'what was paid, by whom and in what order is not so'
    FROM ledger_loss l
    JOIN ledger_posting p ON p.entry_id = l.entry_id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
    JOIN ledger_asset t ON t.id = p.asset_id
    LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
    GROUP BY l.entry_id, l.insurance, l.house, l.uncovered, l.realised, l.bucket_id
    HAVING l.insurance <> coalesce(-sum(p.amount) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'INSURANCE'), 0)
        OR l.house <> coalesce(-sum(p.amount) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'HOUSE'), 0)
        OR l.uncovered <> coalesce(sum(p.amount) FILTER (WHERE a.account_class = 'shortfall'), 0)
        OR l.realised IS DISTINCT FROM sum(
               CASE WHEN t.is_option THEN ledger.half_even(p.amount * p.price, m.scale)
                    ELSE p.realised END) FILTER (WHERE a.account_class = 'position')
        OR NOT coalesce(bool_and(a.bucket_id = l.bucket_id) FILTER (
               WHERE a.account_class IN ('claim', 'position')), false)
        OR NOT coalesce(bool_and(p.balance_after = 0) FILTER (
               WHERE a.account_class = 'claim'), true)
        OR NOT coalesce(bool_and(p.balance_after = 0) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'INSURANCE'
                 AND l.house + l.uncovered > 0), true)
        OR NOT coalesce(bool_and(p.balance_after = 0) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'HOUSE'
                 AND l.uncovered > 0), true)
    """,
)


def check_entries(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Every entry is whole and balanced, and has its key."""
    return run_each(cursor, (ENTRIES, OWNERS, KEYS), proven)


def check_kinds(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Every entry still fits its kind."""
    return run_each(cursor, (LEGS, WIDE_KINDS, CUSTODY, REVERSALS), proven)


def check_leave(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """What needed a second person, a release or a record had it."""
    return run_each(cursor, (APPROVALS, RELEASES, LOSSES), proven)
