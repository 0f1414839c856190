-- Balances at the end of any business date, as known at any committed horizon, without reading
-- the history.
--
-- Whoever posts to an account holds its balance until they commit, so what a horizon knows of an
-- account is always the first so many of its postings. Two places are found by an index: the first
-- posting that the horizon does not know, and the first one after which the account had come to a
-- later date than the one asked for. The balance before the earlier of them is the answer, and what
-- came late, after its account had come to a later date, is added to it from the list of such
-- entries.

-- Every fourth posting of an account is a mark from which the first unknown one is near.
CREATE INDEX posting_marks ON ledger_posting (account_id, xid, account_seq) WHERE account_seq % 4 = 0;
-- What came late counts for the dates from its own to the one that had overtaken it.
CREATE INDEX back_dated_by_dates ON ledger_backdatedentry
    USING gist (daterange(effective_on, overtaken_on));

-- ---------------------------------------------------------------- where an account's date moved on

-- As before, and `first_seq` says with which posting an account came to a date for the first time;
-- null where it had been at a later date already.
CREATE OR REPLACE FUNCTION ledger.posting_is_carried() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    UPDATE ledger_balance b
    SET amount = l.balance_after, seq = l.account_seq, average_cost = l.average_after
    FROM (SELECT DISTINCT ON (account_id) account_id, account_seq, balance_after, average_after
          FROM inserted ORDER BY account_id, account_seq DESC) l
    WHERE b.account_id = l.account_id;

    INSERT INTO ledger_dailymovement AS m (account_id, effective_on, debit, credit, first_seq)
    SELECT d.account_id, d.effective_on, d.debit, d.credit,
           CASE WHEN (min(d.first_seq) OVER later < d.first_seq) IS NOT TRUE AND NOT EXISTS (
               SELECT FROM ledger_dailymovement x
               WHERE x.account_id = d.account_id AND x.effective_on > d.effective_on)
           THEN d.first_seq END
    FROM (SELECT i.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on,
                 sum(greatest(i.amount, 0)) AS debit, sum(greatest(-i.amount, 0)) AS credit,
                 min(i.account_seq) AS first_seq
          FROM inserted i JOIN ledger_entry e ON e.id = i.entry_id GROUP BY 1, 2) d
    WINDOW later AS (PARTITION BY d.account_id ORDER BY d.effective_on DESC
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ORDER BY d.account_id, d.effective_on DESC
    ON CONFLICT (account_id, effective_on)
    DO UPDATE SET debit = m.debit + excluded.debit, credit = m.credit + excluded.credit;
    RETURN NULL;
END $$;

-- What is in the book already: its dates, and what came late. Derived rows have a guard that lets
-- nobody but the postings write them; it steps aside for this one statement.
CREATE OR REPLACE FUNCTION ledger.movements_come_from_postings() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END $$;
UPDATE ledger_dailymovement m SET first_seq = s.first_seq
FROM (SELECT d.*, min(d.first_seq) OVER (
                 PARTITION BY d.account_id ORDER BY d.effective_on DESC
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS of_later
      FROM (SELECT p.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on,
                   min(p.account_seq) AS first_seq
            FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id GROUP BY 1, 2) d) s
WHERE m.account_id = s.account_id AND m.effective_on = s.effective_on
  AND (s.of_later < s.first_seq) IS NOT TRUE;
CREATE OR REPLACE FUNCTION ledger.movements_come_from_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('movements_come_from_postings',
            'daily movements are derived from postings');
    END IF;
    RETURN NULL;
END $$;

INSERT INTO ledger_backdatedentry (entry_id, effective_on, overtaken_on, broken_rule)
SELECT l.entry_id, l.effective_on, max(l.moved_on), ''
FROM (SELECT p.entry_id, d.effective_on, max(d.effective_on) OVER (
                 PARTITION BY p.account_id ORDER BY p.account_seq) AS moved_on
      FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
      CROSS JOIN LATERAL (SELECT (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on) d) l
WHERE l.moved_on > l.effective_on
GROUP BY l.entry_id, l.effective_on;

-- ---------------------------------------------------------------- balances

-- `balances_at`: one row for every ledger account that the horizon knows, with what had taken
-- effect by the end of `as_of` (UTC; null for whatever the date). `account_seq` and `average_cost`
-- are of the newest posting that counts, 0 and null if none. `balance_of` is the same of one account.
DO $body$
DECLARE
    body text := $$
    WITH late AS MATERIALIZED (
        SELECT p.account_id, p.account_seq, p.amount
        FROM ledger_backdatedentry d JOIN ledger_posting p ON p.entry_id = d.entry_id
        WHERE daterange(d.effective_on, d.overtaken_on) @> as_of
          AND pg_visible_in_snapshot(p.xid, known) %1$s
    ), stood AS (
        -- A balance row that nobody wrote since is as the horizon knew it. Its own transaction id
        -- is short: the nearest long one at or before now is taken, which may only be too new.
        SELECT a.id, a.account_class, b.seq, b.amount, b.average_cost, t.first_seq,
               f.balance_after - f.amount AS amount_before,
               CASE WHEN t.first_seq IS NULL
                    THEN now.xid - (now.xid - b.xmin::text::bigint & 4294967295) < now.known_below
                    ELSE pg_visible_in_snapshot(f.xid, known) END AS is_known
        FROM ledger_ledgeraccount a
        JOIN ledger_balance b ON b.account_id = a.id
        CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid,
                           pg_snapshot_xmin(known)::text::bigint AS known_below) now
        LEFT JOIN LATERAL (
            SELECT m.first_seq FROM ledger_dailymovement m
            WHERE m.account_id = a.id AND m.effective_on > as_of AND m.first_seq IS NOT NULL
            ORDER BY m.effective_on LIMIT 1) t ON true
        LEFT JOIN LATERAL (
            SELECT p.balance_after, p.amount, p.xid FROM ledger_posting p
            WHERE p.account_id = a.id AND p.account_seq = t.first_seq LIMIT 1) f ON true
        WHERE pg_visible_in_snapshot(a.xid, known) %2$s
    ), found AS (
        SELECT s.id, s.account_class, s.first_seq,
               coalesce(u.account_seq - 1, s.first_seq - 1, s.seq) AS seq,
               coalesce(u.amount_before, s.amount_before, s.amount) AS amount,
               s.seq AS seq_now, s.average_cost
        FROM stood s
        LEFT JOIN LATERAL (
            SELECT p.account_seq, p.balance_after - p.amount AS amount_before
            FROM ledger_posting p
            WHERE NOT s.is_known AND p.account_id = s.id AND p.account_seq > coalesce((
                SELECT o.account_seq FROM ledger_posting o
                WHERE o.account_id = s.id AND o.account_seq %% 4 = 0
                  AND o.xid < pg_snapshot_xmin(known)
                ORDER BY o.xid DESC, o.account_seq DESC LIMIT 1), 0)
              AND NOT pg_visible_in_snapshot(p.xid, known)
            ORDER BY p.account_seq LIMIT 1) u ON true
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
    head text := 'RETURNS TABLE (account_id bigint, account_seq bigint, amount numeric,'
        ' average_cost numeric) LANGUAGE sql STABLE SECURITY DEFINER'
        ' SET search_path = public, pg_temp SET jit = off';
BEGIN
    EXECUTE 'CREATE FUNCTION ledger.balances_at(known pg_snapshot, as_of date) ' || head
        || ' AS ' || quote_literal(format(body, '', ''));
    EXECUTE 'CREATE FUNCTION ledger.balance_of(account bigint, known pg_snapshot, as_of date) '
        || head || ' AS '
        || quote_literal(format(body, 'AND p.account_id = account', 'AND a.id = account'));
END $body$;

REVOKE ALL ON FUNCTION ledger.balances_at(pg_snapshot, date),
    ledger.balance_of(bigint, pg_snapshot, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.balances_at(pg_snapshot, date),
    ledger.balance_of(bigint, pg_snapshot, date) TO bo_runtime, bo_auditor;
