-- The guards of the book, one trigger for entries and two for postings, which ask all rules there are
-- so far. What costs time is not the rule but the question: a statement that writes one plain entry
-- is asked few, and rules that few kinds touch are asked where such a kind is there.

-- ---------------------------------------------------------------- one entry

-- Whether an entry is plain beyond doubt: of one pool, asset and client, with the legs that its kind
-- permits and requires, on accounts that stand as they should after it. What is not is judged with
-- the others, so this may only ever be too strict.
CREATE FUNCTION ledger.is_plain_entry(entry bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (
        SELECT count(*) = min(e.posting_count) AND sum(i.amount) = 0
           AND bool_and(
               i.xid = pg_current_xact_id() AND e.xid = pg_current_xact_id()
               AND i.pool_id = a.pool_id AND i.asset_id = a.asset_id
               AND i.amount = trunc(i.amount, a.scale) AND abs(i.amount) < 1e100
               AND a.account_class <> 'position'
               AND num_nulls(i.price, i.average_after, i.realised) = 3
               AND ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) IS NULL
               AND i.account_seq = b.seq + 1 AND i.balance_after = b.amount + i.amount
               AND k.pools_max = 1 AND (k.clients_max > 0 OR a.client_id IS NULL)
               AND (k.accounts_max > 0 OR a.margin_account_id IS NULL)
               AND (k.buckets_max > 0 OR a.bucket_id IS NULL))
           AND min(i.pool_id) = max(i.pool_id) AND min(i.asset_id) = max(i.asset_id)
           AND min(a.client_id) IS NOT DISTINCT FROM max(a.client_id)
           AND min(a.margin_account_id) IS NOT DISTINCT FROM max(a.margin_account_id)
           AND min(a.bucket_id) IS NOT DISTINCT FROM max(a.bucket_id)
           AND (NOT bool_or(k.keeps_custody)
                OR coalesce(sum(i.amount) FILTER (WHERE a.account_class = 'custody'), 0) = 0)
           AND NOT EXISTS (
               SELECT FROM ledger_kindleg n
               WHERE n.kind_id = min(e.kind_id) AND n.owner_class = min(a.owner_class)
                 AND n.is_required AND n.account_class <> ALL (array_agg(a.account_class)))
           AND (min(e.kind_id) = 'opening' OR NOT EXISTS (
               SELECT FROM ledger_ledgeraccount o JOIN ledger_balance t ON t.account_id = o.id
               WHERE o.account_class = 'opening' AND o.pool_id = min(i.pool_id) AND t.amount <> 0))
        FROM ledger_entry e
        JOIN ledger_entrykind k ON k.code = e.kind_id
        JOIN ledger_posting i ON i.entry_id = e.id
        JOIN ledger_ledgeraccount a ON a.id = i.account_id
        JOIN ledger_balance b ON b.account_id = i.account_id
        JOIN ledger_kindleg l ON l.kind_id = e.kind_id AND l.account_class = a.account_class
            AND l.owner_class = a.owner_class AND l.asset_kind = a.asset_kind
            AND l.side = CASE WHEN i.amount > 0 THEN 'debit' ELSE 'credit' END
        WHERE e.id = entry);
END $$;

-- ---------------------------------------------------------------- postings

DROP TRIGGER change_has_an_actor ON ledger_posting;

CREATE OR REPLACE FUNCTION ledger.posting_is_sound() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_nestloop = on AS $$
DECLARE
    seen record;
    shape record;
    doubtful bigint[] := '{}';
    traded bigint[] := '{}';
    pools smallint[] := '{}';
BEGIN
    SELECT count(*) AS postings, min(i.entry_id) AS first_entry, max(i.entry_id) AS last_entry,
           bool_and(i.xid = pg_current_xact_id()) AS is_of_now INTO seen FROM inserted i;
    IF seen.postings = 0 THEN RETURN NULL; END IF;
    PERFORM accounts.rows_are_of_this_act('ledger_posting', seen.is_of_now);
    IF seen.first_entry = seen.last_entry AND seen.postings <= 8
       AND ledger.is_plain_entry(seen.first_entry) THEN
        RETURN NULL;
    END IF;
    -- What is looked up by key is said to be, so that what is left is joined by hash, however small
    -- the statement was that the plan was made for.
    PERFORM set_config('enable_hashjoin', 'on', true), set_config('enable_nestloop', 'off', true);
    FOR shape IN
        WITH account AS MATERIALIZED (
            SELECT a.*, b.seq, b.amount, dense_rank() OVER (
                       ORDER BY a.owner_class, a.account_class, a.asset_kind)::integer * 2 AS look
            FROM (SELECT DISTINCT i.account_id FROM inserted i) d
            JOIN LATERAL (
                SELECT l.id, l.pool_id, l.asset_id, l.scale, l.account_class, l.owner_class,
                       l.asset_kind, l.client_id, l.margin_account_id, l.bucket_id
                FROM ledger_ledgeraccount l WHERE l.id = d.account_id OFFSET 0) a ON true
            LEFT JOIN LATERAL (
                SELECT n.seq, n.amount FROM ledger_balance n
                WHERE n.account_id = d.account_id OFFSET 0) b ON true
        ), leg AS (
            SELECT i.entry_id, i.amount, i.pool_id, i.asset_id, a.owner_class::text,
                   a.account_class::text, a.client_id, a.margin_account_id, a.bucket_id,
                   1::bigint << a.look + (i.amount < 0)::integer AS bit,
                   i.pool_id = a.pool_id AND i.asset_id = a.asset_id
                   AND i.amount = trunc(i.amount, a.scale) AND abs(i.amount) < 1e100
                   AND a.account_class <> 'position' AND a.look < 62
                   AND i.price IS NULL AND i.average_after IS NULL AND i.realised IS NULL
                   AND ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) IS NULL
                   AND i.account_seq = a.seq + row_number() OVER running
                   AND i.balance_after = a.amount + sum(i.amount) OVER running AS is_fine
            FROM inserted i LEFT JOIN account a ON a.id = i.account_id
            WINDOW running AS (PARTITION BY i.account_id ORDER BY i.account_seq)
        ), whole AS (
            SELECT l.entry_id, count(*) AS legs, bit_or(l.bit) AS bits, min(l.pool_id) AS pool_id,
                   min(l.owner_class) AS owner_class,
                   bool_or(l.account_class = 'position') AS has_positions,
                   max(l.client_id) IS NOT NULL AS has_client,
                   max(l.margin_account_id) IS NOT NULL AS has_account,
                   max(l.bucket_id) IS NOT NULL AS has_bucket,
                   coalesce(sum(l.amount) FILTER (WHERE l.account_class = 'custody'), 0) <> 0
                       AS leaves_custody,
                   bool_and(coalesce(l.is_fine, false)) AND sum(l.amount) = 0
                   AND min(l.pool_id) = max(l.pool_id) AND min(l.asset_id) = max(l.asset_id)
                   AND min(l.client_id) IS NOT DISTINCT FROM max(l.client_id)
                   AND min(l.margin_account_id) IS NOT DISTINCT FROM max(l.margin_account_id)
                   AND min(l.bucket_id) IS NOT DISTINCT FROM max(l.bucket_id) AS is_fine
            FROM leg l GROUP BY l.entry_id
        )
        -- Entries of one look together: those of a batch rarely have more than a few.
        SELECT s.*, ARRAY(
                   SELECT DISTINCT concat_ws(' ', a.account_class, a.owner_class, a.asset_kind, n.side)
                   FROM account a CROSS JOIN (VALUES (0, 'debit'), (1, 'credit')) n(bit, side)
                   WHERE s.bits & (1::bigint << a.look + n.bit) <> 0) AS legs
        FROM (
            SELECT e.kind_id::text AS kind_id, w.owner_class, w.bits, w.has_client, w.has_account,
                   w.has_bucket, w.leaves_custody, w.has_positions, w.pool_id,
                   array_agg(w.entry_id) AS entries,
                   array_agg(w.entry_id) FILTER (WHERE (w.is_fine
                       AND e.xid = pg_current_xact_id() AND e.posting_count = w.legs) IS NOT TRUE)
                       AS odd
            FROM whole w
            LEFT JOIN (SELECT n.id, n.kind_id, n.xid, n.posting_count FROM ledger_entry n
                       WHERE n.id BETWEEN seen.first_entry AND seen.last_entry OFFSET 0) e
                ON e.id = w.entry_id
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
        ) s
    LOOP
        IF ledger.is_plain_shape(shape.kind_id, shape.owner_class, shape.legs, shape.has_client,
                shape.has_account, shape.has_bucket, shape.leaves_custody) THEN
            doubtful := doubtful || coalesce(shape.odd, '{}');
        ELSE
            doubtful := doubtful || shape.entries;
        END IF;
        IF shape.has_positions THEN traded := traded || shape.entries; END IF;
        IF shape.kind_id <> 'opening' THEN pools := pools || shape.pool_id; END IF;
    END LOOP;
    PERFORM set_config('enable_hashjoin', 'off', true), set_config('enable_nestloop', 'on', true);
    -- All that this transaction wrote for these entries came in this statement.
    IF (SELECT count(*) FROM ledger_posting p
        WHERE p.entry_id BETWEEN seen.first_entry AND seen.last_entry
          AND p.xid = pg_current_xact_id()) <> seen.postings THEN
        doubtful := ARRAY(SELECT DISTINCT i.entry_id FROM inserted i);
    END IF;
    IF cardinality(doubtful) > 0 THEN
        PERFORM ledger.check_postings(doubtful);
        PERFORM ledger.check_running(doubtful);
        PERFORM ledger.check_zero(doubtful);
        PERFORM ledger.check_kinds(doubtful);
        PERFORM ledger.check_trades(doubtful);
        IF cardinality(traded) > 0 THEN PERFORM ledger.check_valuation(traded); END IF;
        pools := ARRAY(SELECT DISTINCT i.pool_id FROM inserted i
                       JOIN ledger_entry e ON e.id = i.entry_id AND e.kind_id <> 'opening');
    END IF;
    IF cardinality(pools) > 0 THEN PERFORM ledger.check_openings(pools); END IF;
    RETURN NULL;
END $$;

-- Balances and daily movements go on from what was posted; then the rules that look at how the book
-- stands after it: dates that are late, and buckets, own locations, pledges and blocks.
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
        )
        INSERT INTO ledger_dailymovement AS d (account_id, effective_on, debit, credit, first_seq)
        SELECT m.account_id, concern.on_day, m.debit, m.credit, CASE WHEN NOT EXISTS (
                   SELECT FROM ledger_dailymovement x
                   WHERE x.account_id = m.account_id AND x.effective_on > concern.on_day)
               THEN m.first_seq END
        FROM moved m ORDER BY m.account_id
        ON CONFLICT (account_id, effective_on)
        DO UPDATE SET debit = d.debit + excluded.debit, credit = d.credit + excluded.credit;
    ELSE
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
    END IF;

    IF concern.minds_buckets THEN
        PERFORM ledger.check_buckets(ARRAY(SELECT DISTINCT i.entry_id FROM inserted i));
    END IF;
    IF concern.is_late THEN
        PERFORM ledger.check_dates(ARRAY(SELECT DISTINCT i.entry_id FROM inserted i));
    END IF;
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------- entries

DROP TRIGGER change_has_an_actor ON ledger_entry;

CREATE OR REPLACE FUNCTION ledger.entry_is_sound() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_nestloop = on AS $$
DECLARE
    seen record;
    concern record;
    broken record;
BEGIN
    SELECT count(*) AS entries, bool_and(e.xid = pg_current_xact_id()) AS is_of_now,
           (min(e.effective_at) AT TIME ZONE 'UTC')::date AS first_day,
           (max(e.effective_at) AT TIME ZONE 'UTC')::date AS last_day,
           min(e.id) AS first_entry, max(e.id) AS last_entry
    INTO seen FROM inserted e;
    IF seen.entries = 0 THEN RETURN NULL; END IF;
    PERFORM accounts.rows_are_of_this_act('ledger_entry', seen.is_of_now);
    IF seen.entries <= 8 THEN
        SELECT coalesce(bool_and(y.xid = pg_current_xact_id()
                   AND EXISTS (SELECT FROM ledger_posting p WHERE p.entry_id = e.id)), false)
                   AS is_whole,
               bool_or(e.reverses_id IS NOT NULL OR ledger.asks_more(k)) AS asks_more
        INTO concern
        FROM inserted e
        LEFT JOIN ledger_entrykey y ON y.entry_id = e.id
        LEFT JOIN ledger_entrykind k ON k.code = e.kind_id;
    ELSE
        PERFORM set_config('enable_hashjoin', 'on', true), set_config('enable_nestloop', 'off', true);
        SELECT coalesce(bool_and(s.is_whole), false) AS is_whole,
               bool_or(s.is_reversal OR ledger.asks_more(k)) AS asks_more
        INTO concern
        FROM (
            SELECT e.kind_id, bool_or(e.reverses_id IS NOT NULL) AS is_reversal,
                   bool_and(y.entry_id IS NOT NULL AND p.entry_id IS NOT NULL) AS is_whole
            FROM inserted e
            LEFT JOIN (SELECT n.entry_id FROM ledger_entrykey n
                       WHERE n.entry_id BETWEEN seen.first_entry AND seen.last_entry
                         AND n.xid = pg_current_xact_id() OFFSET 0) y ON y.entry_id = e.id
            LEFT JOIN (SELECT DISTINCT n.entry_id FROM ledger_posting n
                       WHERE n.entry_id BETWEEN seen.first_entry AND seen.last_entry) p
                ON p.entry_id = e.id
            GROUP BY e.kind_id
        ) s LEFT JOIN ledger_entrykind k ON k.code = s.kind_id;
        PERFORM set_config('enable_hashjoin', 'off', true), set_config('enable_nestloop', 'on', true);
    END IF;
    IF NOT concern.is_whole THEN
        SELECT r.* INTO broken FROM (
            SELECT e.id, CASE
                WHEN NOT EXISTS (SELECT FROM ledger_posting p WHERE p.entry_id = e.id)
                    THEN 'entry_is_written_whole'
                WHEN y.xid IS DISTINCT FROM pg_current_xact_id() THEN 'entry_has_its_key'
                END AS rule
            FROM inserted e LEFT JOIN ledger_entrykey y ON y.entry_id = e.id
        ) r WHERE r.rule IS NOT NULL ORDER BY r.id LIMIT 1;
        PERFORM accounts.refuse(broken.rule, format(
            'entry %s is written together with its key and all its postings', broken.id));
    END IF;
    IF concern.asks_more THEN
        PERFORM ledger.check_entries(ARRAY(SELECT e.id FROM inserted e));
    END IF;
    PERFORM ledger.check_places(CASE WHEN seen.entries = 1 THEN ARRAY[seen.first_entry]
        ELSE ARRAY(SELECT e.id FROM inserted e) END, seen.first_day, seen.last_day);
    IF concern.asks_more THEN
        PERFORM ledger.settle_receipts(ARRAY(
            SELECT e.id FROM inserted e WHERE e.kind_id IN ('receipt_allocation', 'receipt_return')));
    END IF;
    RETURN NULL;
END $$;

-- Whether entries of a kind meet rules that few kinds do.
CREATE FUNCTION ledger.asks_more(kind ledger_entrykind) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT kind.needs_approval OR kind.needs_release OR kind.code IN (
        'reversal', 'opening', 'residual_withdrawal', 'covered_loss', 'uncovered_loss', 'borrow',
        'borrow_interest', 'credit_interest', 'receipt_allocation', 'receipt_return')
$$;

-- The rules that an entry meets by its kind; `written` is all that the statement wrote.
CREATE FUNCTION ledger.check_entries(written bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    seen record;
BEGIN
    SELECT array_agg(e.id) FILTER (WHERE k.needs_approval) AS agreed,
           array_agg(e.id) FILTER (WHERE k.needs_release) AS released,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'reversal' OR e.reverses_id IS NOT NULL)
               AS reversals,
           array_agg(e.id) FILTER (WHERE e.kind_id IN ('covered_loss', 'uncovered_loss')) AS losses,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'opening') AS openings,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'residual_withdrawal') AS withdrawn,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'residual_withdrawal'
                                      OR e.reverses_id IS NOT NULL) AS taken,
           array_agg(e.id) FILTER (WHERE e.kind_id IN ('borrow_interest', 'credit_interest'))
               AS accrued,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'borrow') AS lent
    INTO seen
    FROM ledger_entry e LEFT JOIN ledger_entrykind k ON k.code = e.kind_id
    WHERE e.id = ANY (written);
    IF seen.agreed IS NOT NULL THEN PERFORM ledger.check_approvals(seen.agreed); END IF;
    IF seen.released IS NOT NULL THEN PERFORM ledger.check_releases(seen.released, written); END IF;
    IF seen.reversals IS NOT NULL THEN PERFORM ledger.check_reversals(seen.reversals); END IF;
    IF seen.losses IS NOT NULL THEN PERFORM ledger.check_losses(seen.losses); END IF;
    IF seen.openings IS NOT NULL THEN PERFORM ledger.check_first(seen.openings, written); END IF;
    IF seen.withdrawn IS NOT NULL THEN PERFORM ledger.check_shortfall(seen.withdrawn); END IF;
    IF seen.taken IS NOT NULL THEN PERFORM ledger.check_residual(seen.taken); END IF;
    IF seen.accrued IS NOT NULL THEN PERFORM ledger.check_interest(seen.accrued); END IF;
    IF seen.lent IS NOT NULL THEN PERFORM ledger.check_caps(seen.lent); END IF;
END $$;

-- ---------------------------------------------------------------- keys

DROP TRIGGER change_has_an_actor ON ledger_entrykey;

CREATE OR REPLACE FUNCTION ledger.keys_are_watched() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    seen record;
BEGIN
    SELECT min(k.entry_id) AS first_id, max(k.entry_id) AS last_id,
           bool_and(k.xid = pg_current_xact_id()) AS is_of_now,
           bool_and(k.watches_to IS NOT NULL) AS each_itself INTO seen FROM inserted k;
    IF seen.first_id IS NULL THEN RETURN NULL; END IF;
    PERFORM accounts.rows_are_of_this_act('ledger_entrykey', seen.is_of_now);
    IF NOT seen.each_itself AND NOT EXISTS (
        SELECT FROM inserted k
        WHERE k.entry_id = seen.first_id AND k.watches_to >= seen.last_id) THEN
        PERFORM accounts.refuse('key_is_watched', 'the first of the keys answers for all of them');
    END IF;
    RETURN NULL;
END $$;

-- ---------------------------------------------------------------- kinds

-- What entries say of their kind stays true. No kind is ever deleted; none changes its code.
CREATE TRIGGER kind_keeps_its_code BEFORE UPDATE ON ledger_entrykind
FOR EACH ROW EXECUTE FUNCTION accounts.columns_stay('kind_keeps_its_code', 'code');
ALTER TABLE ledger_entrykind ENABLE ALWAYS TRIGGER kind_keeps_its_code;

REVOKE ALL ON FUNCTION ledger.is_plain_entry(bigint),
    ledger.check_entries(bigint[]), ledger.asks_more(ledger_entrykind) FROM PUBLIC;
