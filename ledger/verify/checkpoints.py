"""Checkpoints: each is the one before it and what was posted since, and the last leads to now."""

# Every part of these queries is text of this app.
# ruff: noqa: S608

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper

from accounts.checks import NOTHING, Check, Query, Wrong

NAME = "checkpoints_are_the_postings"
# Those that end below a mark are proven, and the last of them is what the next one builds on.
SINCE = (
    "coalesce((SELECT max(k.below) FROM public.ledger_checkpoint k"
    " WHERE k.below <= '{mark}'::xid8), '0')"
)
# Postings and entries are shared out among checkpoints by where each ends; what an account had in
# one and has in the next is then told by what lies between. An account that is in one is in all
# that follow.
SOUND = """
    SELECT 'ledger_checkpoint', w.below::text, CASE
        WHEN w.since <> w.ends_before THEN 'it does not go on from the one before it'
        WHEN w.postings IS DISTINCT FROM w.postings_before + n.postings
            THEN format('it counts %%s postings, there are %%s', w.postings,
                        w.postings_before + n.postings)
        WHEN w.odd > 0 THEN format('%%s of its balances are not what was posted', w.odd)
        ELSE 'it names other entries or another newest date than there are' END
    FROM (
        SELECT c.below, c.since, c.postings, c.newest_on, c.first_entry, c.last_entry,
               lag(c.below, 1, '0'::xid8) OVER chain AS ends_before,
               lag(c.postings, 1, 0::bigint) OVER chain AS postings_before,
               lag(c.newest_on) OVER chain AS newest_before,
               coalesce(o.odd, 0) AS odd
        FROM ledger_checkpoint c LEFT JOIN odd o ON o.below = c.below
        WINDOW chain AS (ORDER BY c.below)
    ) w LEFT JOIN news n ON n.below = w.below
    WHERE w.below > (SELECT s.below FROM since s) AND (
        w.since <> w.ends_before OR w.odd > 0
        OR w.postings IS DISTINCT FROM w.postings_before + n.postings
        OR w.newest_on IS DISTINCT FROM greatest(w.newest_before, n.newest_on)
        OR w.first_entry IS DISTINCT FROM n.first_entry
        OR w.last_entry IS DISTINCT FROM n.last_entry)
    ORDER BY w.below
"""
PARTS = """
    since AS MATERIALIZED (SELECT {since} AS below),
    ends AS MATERIALIZED (
        SELECT array_agg(k.below ORDER BY k.below) AS belows FROM public.ledger_checkpoint k
        WHERE k.below > (SELECT s.below FROM since s)),
    ledger_checkpoint AS (
        SELECT k.* FROM public.ledger_checkpoint k WHERE k.below >= (SELECT s.below FROM since s)),
    moved AS MATERIALIZED (
        SELECT (SELECT belows FROM ends)[width_bucket(p.xid, (SELECT belows FROM ends)) + 1]
                   AS below,
               p.account_id, max(p.account_seq) AS account_seq, sum(p.amount) AS amount,
               count(*) AS postings
        FROM {postings} p
        WHERE EXISTS (SELECT FROM ends WHERE belows IS NOT NULL)
          AND p.xid >= (SELECT s.below FROM since s)
          AND p.xid < (SELECT belows[cardinality(belows)] FROM ends)
        GROUP BY 1, 2),
    news AS MATERIALIZED (
        SELECT e.below, e.first_entry, e.last_entry, e.newest_on, m.postings FROM (
            SELECT (SELECT belows FROM ends)[width_bucket(x.xid, (SELECT belows FROM ends)) + 1]
                       AS below,
                   min(x.id) AS first_entry, max(x.id) AS last_entry,
                   (max(x.effective_at) AT TIME ZONE 'UTC')::date AS newest_on
            FROM (SELECT y.* FROM public.ledger_entry y
                  WHERE EXISTS (SELECT FROM ends WHERE belows IS NOT NULL)
                    AND y.xid >= (SELECT s.below FROM since s)
                    AND y.xid < (SELECT belows[cardinality(belows)] FROM ends) OFFSET 0) x
            GROUP BY 1) e
        LEFT JOIN (SELECT below, sum(postings) AS postings FROM moved GROUP BY 1) m
            ON m.below = e.below),
    kept AS MATERIALIZED (
        SELECT k.below, k.since, u.account_id, u.account_seq, u.amount,
               lag(k.below) OVER account AS seen, lead(k.below) OVER account AS stays,
               lag(u.account_seq, 1, 0::bigint) OVER account AS seq_before,
               lag(u.amount, 1, 0::numeric) OVER account AS amount_before
        FROM ledger_checkpoint k
        CROSS JOIN unnest(k.account_ids, k.account_seqs, k.amounts)
            AS u(account_id, account_seq, amount)
        WINDOW account AS (PARTITION BY u.account_id ORDER BY k.below)),
    odd AS MATERIALIZED (
        SELECT o.below, count(*) AS odd FROM (
            SELECT coalesce(k.below, m.below) AS below
            FROM kept k FULL JOIN moved m ON m.below = k.below AND m.account_id = k.account_id
            WHERE k.account_id IS NULL
               OR k.below > (SELECT s.below FROM since s) AND (
                   k.seen <> k.since OR k.seen IS NULL AND m.account_id IS NULL
                   OR k.account_seq IS DISTINCT FROM greatest(k.seq_before, m.account_seq)
                   OR k.amount IS DISTINCT FROM k.amount_before + coalesce(m.amount, 0))
            UNION ALL
            SELECT (SELECT min(x.below) FROM ledger_checkpoint x WHERE x.below > k.below)
            FROM kept k
            WHERE k.stays IS NULL AND k.below <> (SELECT max(x.below) FROM ledger_checkpoint x)) o
        GROUP BY 1)
"""
# Looked up entry by entry, whatever part of the table the server takes them for.
YOUNG_POSTINGS = """(
    SELECT w.* FROM (SELECT y.id FROM public.ledger_entry y
                     WHERE y.xid >= (SELECT s.below FROM since s) OFFSET 0) y
    CROSS JOIN LATERAL (SELECT x.* FROM public.ledger_posting x
                        WHERE x.entry_id = y.id OFFSET 0) w)"""
# What was posted is in the newest one, or came since.
LEADS = Query(
    "the_newest_checkpoint_leads_to_the_balances",
    "ledger_balance",
    """
    WITH newest AS MATERIALIZED (SELECT * FROM ledger_checkpoint ORDER BY below DESC LIMIT 1)
    SELECT 'ledger_balance', coalesce(b.account_id, k.account_id)::text,
           'the newest checkpoint and what was posted since do not come to it'
    FROM ledger_balance b FULL JOIN (
        SELECT u.account_id, max(u.account_seq) AS account_seq, sum(u.amount) AS amount
        FROM (SELECT n.* FROM newest c CROSS JOIN unnest(c.account_ids, c.account_seqs, c.amounts)
                  AS n(account_id, account_seq, amount)
              UNION ALL
              SELECT p.account_id, p.account_seq, p.amount FROM newest c
              CROSS JOIN LATERAL (
                  SELECT e.id FROM ledger_entry e WHERE e.xid >= c.below OFFSET 0) e
              CROSS JOIN LATERAL (
                  SELECT x.* FROM ledger_posting x WHERE x.entry_id = e.id OFFSET 0) p) u
        GROUP BY 1) k ON k.account_id = b.account_id
    WHERE EXISTS (SELECT FROM newest) AND (
        b.account_id IS NULL OR b.seq <> coalesce(k.account_seq, 0)
        OR b.amount <> coalesce(k.amount, 0))
    """,
)


def check_checkpoints(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Every checkpoint, against all postings."""
    if NAME in proven:
        return [Check(NAME, proven[NAME])]
    return [_sound(cursor, since="'0'::xid8", postings="public.ledger_posting")]


def check_recent_checkpoints(cursor: CursorWrapper, since: int) -> list[Check]:
    """Checkpoints that end beyond transaction `since`, and where the newest one leads."""
    mark = SINCE.format(mark=int(since))
    return [_sound(cursor, since=mark, postings=YOUNG_POSTINGS), LEADS.run(cursor, {})]


def _sound(cursor: CursorWrapper, *, since: str, postings: str) -> Check:
    parts = PARTS.format(since=since, postings=postings)
    cursor.execute(f"WITH {parts} {SOUND} LIMIT 1", {})
    row = cursor.fetchone()
    cursor.execute(f"SELECT count(*) FROM ledger_checkpoint WHERE below > {since}")
    (rows,) = cursor.fetchone()
    return Check(NAME, rows, None if row is None else Wrong(row[0], str(row[1]), row[2]))
