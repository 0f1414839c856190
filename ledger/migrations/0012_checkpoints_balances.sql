-- Balances at any two times, as before, with fewer looks at each account:
--
-- * where a date lies behind all that the horizon knows it is no question;
-- * where a date is one, the day that an account came to next says what stood before it;
-- * where the horizon is past and many accounts moved since, the newest checkpoint below it and what
--   was posted from there on are read at once, instead of an index for each account.

DO $body$
DECLARE
    body text := $$
    WITH %1$slate AS MATERIALIZED (
        SELECT p.account_id, p.account_seq, p.amount
        FROM ledger_backdatedentry d JOIN ledger_posting p ON p.entry_id = d.entry_id
        WHERE daterange(d.effective_on, d.overtaken_on) @> as_of
          AND pg_visible_in_snapshot(p.xid, known) %2$s
    ), stood AS MATERIALIZED (
        -- A balance row that nobody wrote since is as the horizon knew it. Its own transaction id
        -- is short: the nearest long one at or before now is taken, which may only be too new.
        SELECT a.id, a.account_class, b.seq, b.amount, b.average_cost, t.first_seq, t.amount_before,
               CASE WHEN t.first_seq IS NULL
                    THEN now.xid - (now.xid - b.xmin::text::bigint & 4294967295) < now.known_below
                    ELSE pg_visible_in_snapshot(t.first_xid, known) END AS is_known
        FROM ledger_ledgeraccount a
        JOIN ledger_balance b ON b.account_id = a.id
        CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid,
                           pg_snapshot_xmin(known)::text::bigint AS known_below) now
        LEFT JOIN LATERAL (
            SELECT m.first_seq, m.amount_before, m.first_xid FROM ledger_dailymovement m
            WHERE m.account_id = a.id AND m.effective_on > %3$s AND m.first_seq IS NOT NULL
            ORDER BY m.effective_on LIMIT 1) t ON true
        WHERE pg_visible_in_snapshot(a.xid, known) %4$s
    ), %5$sfound AS (
        SELECT s.id, s.account_class, s.first_seq, s.seq AS seq_now, s.average_cost,
               %6$s
        FROM stood s
        LEFT JOIN LATERAL (
            SELECT p.account_seq, p.balance_after - p.amount AS amount_before
            FROM ledger_posting p
            WHERE NOT s.is_known %7$s AND p.account_id = s.id AND p.account_seq > coalesce((
                SELECT o.account_seq FROM ledger_posting o
                WHERE o.account_id = s.id AND o.account_seq %% 4 = 0
                  AND o.xid < pg_snapshot_xmin(known)
                ORDER BY o.xid DESC, o.account_seq DESC LIMIT 1), 0)
              AND NOT pg_visible_in_snapshot(p.xid, known)
            ORDER BY p.account_seq LIMIT 1) u ON true %8$s
    ), counted AS (
        SELECT f.id, f.account_class, f.seq_now, f.average_cost,
               greatest(f.seq, l.account_seq) AS seq, f.amount + coalesce(l.amount, 0) AS amount
        FROM found f
        LEFT JOIN (SELECT o.id, max(l.account_seq) AS account_seq, sum(l.amount) AS amount
                   FROM late l JOIN found o ON o.id = l.account_id AND o.first_seq <= l.account_seq
                   GROUP BY 1) l ON l.id = f.id
    )
    SELECT c.id, c.seq, c.amount,
           CASE WHEN c.account_class <> 'position' THEN NULL
                WHEN c.seq = c.seq_now THEN c.average_cost
                ELSE (SELECT p.average_after FROM ledger_posting p
                      WHERE p.account_id = c.id AND p.account_seq = c.seq) END
    FROM counted c $$;
    asked text := $$asked AS MATERIALIZED (
        SELECT CASE WHEN balances_at.as_of < least(
                   (SELECT (max(e.effective_at) AT TIME ZONE 'UTC')::date FROM ledger_entry e),
                   (SELECT c.newest_on FROM ledger_checkpoint c
                    WHERE c.below >= pg_snapshot_xmax(known) ORDER BY c.below LIMIT 1))
               THEN balances_at.as_of END AS as_of
    ), $$;
    -- Reading a checkpoint costs by what was posted after it, looking at accounts by those that moved
    -- since the horizon: one look takes as long as thirty postings of many read at once.
    chosen text := $$chosen AS MATERIALIZED (
        SELECT c.* FROM ledger_checkpoint c
        CROSS JOIN (SELECT count(*) AS accounts, count(*) FILTER (WHERE NOT s.is_known) AS moved
                    FROM stood s) n
        WHERE c.below = (SELECT max(o.below) FROM ledger_checkpoint o
                         WHERE o.below <= pg_snapshot_xmin(known))
          AND n.moved > 0 AND 30 * n.moved > n.accounts - c.postings + coalesce(
              (SELECT o.postings FROM ledger_checkpoint o
               WHERE o.below >= pg_snapshot_xmax(known) ORDER BY o.below LIMIT 1),
              (SELECT sum(b.seq) FROM ledger_balance b))
    ), packed AS (
        SELECT k.account_id, max(k.account_seq) AS account_seq, sum(k.amount) AS amount
        FROM (SELECT u.* FROM chosen c
              CROSS JOIN unnest(c.account_ids, c.account_seqs, c.amounts)
                  AS u(account_id, account_seq, amount)
              UNION ALL
              SELECT m.* FROM chosen c CROSS JOIN ledger.posted_since(c.below, known) m) k
        GROUP BY k.account_id
    ), $$;
    looked text := $$coalesce(u.account_seq - 1, s.first_seq - 1, s.seq) AS seq,
               coalesce(u.amount_before, s.amount_before, s.amount) AS amount$$;
    chose text := $$CASE WHEN NOT s.is_known AND EXISTS (SELECT FROM chosen)
                    THEN coalesce(k.account_seq, 0)
                    ELSE coalesce(u.account_seq - 1, s.first_seq - 1, s.seq) END AS seq,
               CASE WHEN NOT s.is_known AND EXISTS (SELECT FROM chosen)
                    THEN coalesce(k.amount, 0)
                    ELSE coalesce(u.amount_before, s.amount_before, s.amount) END AS amount$$;
    head text := 'RETURNS TABLE (account_id bigint, account_seq bigint, amount numeric,'
        ' average_cost numeric) LANGUAGE sql STABLE SECURITY DEFINER'
        ' SET search_path = public, pg_temp SET jit = off';
BEGIN
    EXECUTE 'CREATE OR REPLACE FUNCTION ledger.balances_at(known pg_snapshot, as_of date) ' || head
        || ' AS ' || quote_literal(format(body, asked, '', '(SELECT q.as_of FROM asked q)', '',
            chosen, chose, 'AND NOT EXISTS (SELECT FROM chosen)',
            'LEFT JOIN packed k ON k.account_id = s.id'));
    EXECUTE 'CREATE OR REPLACE FUNCTION ledger.balance_of(account bigint, known pg_snapshot,'
        ' as_of date) ' || head || ' AS ' || quote_literal(format(body, '',
            'AND p.account_id = account', 'as_of', 'AND a.id = account', '', looked, '', ''));
END $body$;
