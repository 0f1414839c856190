-- A day at which an account came to a later date keeps the balance that it found, so that a balance
-- by date takes one look at the account instead of two.

-- As before; `amount_before` and `first_xid` are written with `first_seq`.
CREATE OR REPLACE FUNCTION ledger.posting_is_carried() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    seen record;
    concern record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM accounts.refuse('entry_sees_closed_periods',
            'entries are posted in READ COMMITTED, so that they see a period that was closed');
    END IF;
    SELECT min(i.entry_id) AS first_entry, max(i.entry_id) AS last_entry INTO seen FROM inserted i;
    IF seen.first_entry IS NULL THEN RETURN NULL; END IF;
    -- An id between those of a statement is rarely another's.
    SELECT (min(e.effective_at) AT TIME ZONE 'UTC')::date AS on_day,
           (max(e.effective_at) AT TIME ZONE 'UTC')::date AS until_day,
           min(e.effective_at) < greatest(
               date_trunc('day', (SELECT max(n.effective_at) FROM ledger_entry n), 'UTC'),
               ((SELECT max(d.day) FROM ledger_dayclose d) + 1)::timestamp AT TIME ZONE 'UTC',
               ((SELECT max(v.closed_through) FROM ledger_periodevent v) + 1)::timestamp
                   AT TIME ZONE 'UTC') AS is_late,
           bool_or(e.kind_id IN (
               'bucket_move', 'position_move', 'agreed_move', 'withdrawal', 'client_transfer',
               'internal_trade', 'deleveraging', 'mirroring', 'borrow_in_transit',
               'residual_deposit_in_transit', 'shortfall_funding_in_transit'))
               OR EXISTS (SELECT FROM accounts_client c WHERE c.is_individually_segregated)
               OR EXISTS (SELECT FROM ledger_location l WHERE l.individual_client_id IS NOT NULL)
               OR EXISTS (SELECT FROM ledger_obligation o WHERE o.kind = 'pledge') AS minds_buckets
    INTO concern
    FROM ledger_entry e WHERE e.id BETWEEN seen.first_entry AND seen.last_entry;

    IF concern.on_day = concern.until_day THEN
        WITH moved AS MATERIALIZED (
            SELECT i.account_id, coalesce(sum(i.amount) FILTER (WHERE i.amount > 0), 0) AS debit,
                   coalesce(-sum(i.amount) FILTER (WHERE i.amount < 0), 0) AS credit,
                   min(i.account_seq) AS first_seq, max(i.account_seq) AS last_seq,
                   bool_or(i.average_after IS NOT NULL) AS is_valued
            FROM inserted i GROUP BY i.account_id
        ), balances AS (
            UPDATE ledger_balance b SET amount = b.amount + m.debit - m.credit, seq = m.last_seq,
                average_cost = CASE WHEN m.is_valued THEN (
                    SELECT p.average_after FROM ledger_posting p
                    WHERE p.account_id = m.account_id AND p.account_seq = m.last_seq) END
            FROM moved m WHERE b.account_id = m.account_id
            RETURNING WITH (OLD AS was)
                m.account_id, m.debit, m.credit, m.first_seq, was.amount AS amount_before
        )
        INSERT INTO ledger_dailymovement AS d (account_id, effective_on, debit, credit, first_seq,
                                               amount_before, first_xid)
        SELECT m.account_id, concern.on_day, m.debit, m.credit,
               CASE WHEN m.is_first THEN m.first_seq END,
               CASE WHEN m.is_first THEN m.amount_before END,
               CASE WHEN m.is_first THEN pg_current_xact_id() END
        FROM (SELECT b.*, NOT EXISTS (
                         SELECT FROM ledger_dailymovement x
                         WHERE x.account_id = b.account_id AND x.effective_on > concern.on_day)
                         AS is_first
              FROM balances b ORDER BY b.account_id) m
        ON CONFLICT (account_id, effective_on)
        DO UPDATE SET debit = d.debit + excluded.debit, credit = d.credit + excluded.credit;
    ELSE
        UPDATE ledger_balance b
        SET amount = l.balance_after, seq = l.account_seq, average_cost = l.average_after
        FROM (SELECT DISTINCT ON (account_id) account_id, account_seq, balance_after, average_after
              FROM inserted ORDER BY account_id, account_seq DESC) l
        WHERE b.account_id = l.account_id;

        INSERT INTO ledger_dailymovement AS m (account_id, effective_on, debit, credit, first_seq,
                                               amount_before, first_xid)
        SELECT d.account_id, d.effective_on, d.debit, d.credit,
               CASE WHEN d.is_first THEN d.first_seq END,
               CASE WHEN d.is_first THEN d.amount_before END,
               CASE WHEN d.is_first THEN pg_current_xact_id() END
        FROM (
            SELECT s.*, (min(s.first_seq) OVER later < s.first_seq) IS NOT TRUE AND NOT EXISTS (
                       SELECT FROM ledger_dailymovement x
                       WHERE x.account_id = s.account_id AND x.effective_on > s.effective_on)
                       AS is_first
            FROM (SELECT i.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on,
                         sum(greatest(i.amount, 0)) AS debit, sum(greatest(-i.amount, 0)) AS credit,
                         min(i.account_seq) AS first_seq,
                         (array_agg(i.balance_after - i.amount ORDER BY i.account_seq))[1]
                             AS amount_before
                  FROM inserted i JOIN ledger_entry e ON e.id = i.entry_id GROUP BY 1, 2) s
            WINDOW later AS (PARTITION BY s.account_id ORDER BY s.effective_on DESC
                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            ORDER BY s.account_id, s.effective_on DESC) d
        ON CONFLICT (account_id, effective_on)
        DO UPDATE SET debit = m.debit + excluded.debit, credit = m.credit + excluded.credit;
    END IF;

    IF concern.minds_buckets THEN
        PERFORM ledger.check_buckets(ARRAY(SELECT DISTINCT i.entry_id FROM inserted i));
    END IF;
    IF concern.is_late THEN
        PERFORM ledger.check_dates(ARRAY(SELECT DISTINCT i.entry_id FROM inserted i));
    END IF;
    RETURN NULL;
END $$;

-- What is in the book already. Derived rows have a guard that lets nobody but the postings write
-- them; it steps aside for this one statement.
CREATE OR REPLACE FUNCTION ledger.movements_come_from_postings() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END $$;
UPDATE ledger_dailymovement m
SET amount_before = p.balance_after - p.amount, first_xid = p.xid
FROM ledger_posting p WHERE p.account_id = m.account_id AND p.account_seq = m.first_seq;
CREATE OR REPLACE FUNCTION ledger.movements_come_from_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('movements_come_from_postings',
            'daily movements are derived from postings');
    END IF;
    RETURN NULL;
END $$;
