-- What the book cannot hold, whoever writes: statement-level guards with transition tables,
-- ENABLE ALWAYS. An entry and its postings are written by one statement, so a guard sees both.
-- Triggers of a table fire in the order of their names, so these are numbered.

CREATE SCHEMA ledger;
GRANT USAGE ON SCHEMA ledger TO bo_runtime, bo_auditor;

-- ---------------------------------------------------------------- roundings and trades

-- To the nearest, ties to the even digit; `round` of PostgreSQL is half away from zero.
CREATE FUNCTION ledger.half_even(value numeric, decimals integer) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN 2 * abs(value - trunc(value, decimals)) * (10::numeric ^ decimals) = 1
             AND mod(trunc(value, decimals) * (10::numeric ^ decimals), 2) = 0
        THEN trunc(value, decimals)
        ELSE round(value, decimals) END
$$;

-- numerator / denominator in one step, both positive, ties to the even digit.
CREATE FUNCTION ledger.half_even_ratio(numerator numeric, denominator numeric, decimals integer)
RETURNS numeric LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    scaled numeric := numerator * (10::numeric ^ decimals);
    quotient numeric := div(scaled, denominator);
    twice_rest numeric := 2 * (scaled - quotient * denominator);
BEGIN
    IF twice_rest > denominator OR (twice_rest = denominator AND mod(quotient, 2) = 1) THEN
        quotient := quotient + 1;
    END IF;
    RETURN round(quotient / (10::numeric ^ decimals), decimals);
END $$;

-- What a change of a position at a price makes of its average cost (8 decimals) and realises
-- (null where nothing is closed). Quantities are signed as people say them: long is positive.
CREATE FUNCTION ledger.trade_effect(
    quantity numeric, average numeric, change numeric, price numeric, scale integer,
    OUT average_after numeric, OUT realised numeric
) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF quantity = 0 OR sign(quantity) = sign(change) THEN
        average_after := ledger.half_even_ratio(
            abs(quantity) * average + abs(change) * price, abs(quantity + change), 8);
        RETURN;
    END IF;
    realised := ledger.half_even(
        sign(quantity) * least(abs(quantity), abs(change)) * (price - average), scale);
    average_after := CASE
        WHEN abs(change) > abs(quantity) THEN ledger.half_even(price, 8)
        WHEN quantity + change = 0 THEN 0
        ELSE average END;
END $$;

-- ---------------------------------------------------------------- postings, one by one

-- The rule that a balance of this class breaks by standing at `balance`; null if none.
CREATE FUNCTION ledger.broken_floor(account_class text, asset_kind text, balance numeric)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN balance = 0 OR asset_kind = 'derivative' THEN NULL
        WHEN balance > 0 THEN CASE account_class
            WHEN 'claim' THEN 'claim_not_below_zero'
            WHEN 'unallocated' THEN 'claim_not_below_zero'
            WHEN 'position' THEN 'position_not_below_zero'
            WHEN 'residual_interest' THEN 'residual_interest_not_below_zero' END
        ELSE CASE account_class
            WHEN 'custody' THEN 'custody_not_below_zero'
            WHEN 'loan_receivable' THEN 'loan_not_below_zero'
            WHEN 'shortfall' THEN 'shortfall_not_below_zero'
            WHEN 'in_transit' THEN 'transit_not_below_zero' END END
$$;

CREATE FUNCTION ledger.posting_is_whole() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
    now_xid xid8 := pg_current_xact_id();
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN RETURN NULL; END IF;
    PERFORM accounts.require_act();

    -- Each posting repeats its account truthfully, fits its asset, keeps its floor, and belongs
    -- to an entry of this very transaction.
    SELECT r.* INTO broken FROM (
        SELECT i.entry_id, i.account_id, i.balance_after, CASE
            WHEN e.id IS NULL OR e.xid <> now_xid OR i.xid <> now_xid THEN 'entry_is_written_whole'
            WHEN a.id IS NULL OR i.pool_id <> a.pool_id OR i.asset_id <> a.asset_id
                THEN 'posting_names_its_account'
            WHEN i.amount <> trunc(i.amount, a.scale) OR abs(i.amount) >= 1e100
                THEN 'amount_fits_its_asset'
            WHEN a.account_class <> 'position'
                 AND num_nonnulls(i.price, i.average_after, i.realised) > 0
                THEN 'position_is_valued'
            ELSE ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) END AS rule
        FROM inserted i
        LEFT JOIN ledger_ledgeraccount a ON a.id = i.account_id
        LEFT JOIN ledger_entry e ON e.id = i.entry_id
    ) r WHERE r.rule IS NOT NULL ORDER BY r.entry_id, r.account_id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s, ledger account %s, balance after %s',
            broken.entry_id, broken.account_id, broken.balance_after));
    END IF;

    -- All legs come in one statement: none before, none later.
    SELECT e.id AS entry_id INTO broken
    FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
    WHERE e.id IN (SELECT i.entry_id FROM inserted i)
    GROUP BY e.id HAVING count(*) <> e.posting_count LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_is_written_whole', format(
            'entry %s is written together with all its postings', broken.entry_id));
    END IF;

    -- The running balance of each account goes on from where it stood, without a gap.
    SELECT r.account_id, r.account_seq INTO broken FROM (
        SELECT i.account_id, i.account_seq, i.amount, i.balance_after,
               lag(i.balance_after) OVER w AS before, lag(i.account_seq) OVER w AS seq_before
        FROM inserted i WINDOW w AS (PARTITION BY i.account_id ORDER BY i.account_seq)
    ) r LEFT JOIN ledger_balance b ON b.account_id = r.account_id
    WHERE b.account_id IS NULL OR r.account_seq <> coalesce(r.seq_before, b.seq) + 1
       OR r.balance_after <> coalesce(r.before, b.amount) + r.amount LIMIT 1;
    IF broken.account_id IS NOT NULL THEN
        PERFORM accounts.refuse('running_balance_follows', format(
            'ledger account %s, posting %s', broken.account_id, broken.account_seq));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_1_is_whole AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_is_whole();

-- ---------------------------------------------------------------- postings of an entry together

-- Debits equal credits for every asset in every pool the entry touches: no exception.
CREATE FUNCTION ledger.posting_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT entry_id, pool_id, asset_id, sum(amount) AS difference INTO broken
    FROM inserted GROUP BY entry_id, pool_id, asset_id HAVING sum(amount) <> 0 LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_balances_in_each_pool', format(
            'entry %s: debits exceed credits by %s in pool %s, asset %s',
            broken.entry_id, broken.difference, broken.pool_id, broken.asset_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_2_balances AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_balances();

-- The legs of an entry against its kind: which may be there, which must, and how many owners meet.
CREATE FUNCTION ledger.posting_fits_its_kind() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT e.kind_id, a.account_class, a.owner_class, a.asset_kind INTO broken
    FROM inserted i
    JOIN ledger_entry e ON e.id = i.entry_id
    JOIN ledger_ledgeraccount a ON a.id = i.account_id
    LEFT JOIN ledger_kindleg k ON k.kind_id = e.kind_id AND k.account_class = a.account_class
        AND k.owner_class = a.owner_class AND k.asset_kind = a.asset_kind
        AND k.side = CASE WHEN i.amount > 0 THEN 'debit' ELSE 'credit' END
    WHERE k.id IS NULL LIMIT 1;
    IF broken.kind_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s does not move %s of %s in a %s pool that way',
            broken.kind_id, broken.account_class, broken.asset_kind, broken.owner_class));
    END IF;

    SELECT s.*, k.pools_max, k.clients_max, k.accounts_max, k.buckets_max, r.leg INTO broken
    FROM (
        SELECT i.entry_id, e.kind_id, count(DISTINCT i.pool_id) AS pools,
               count(DISTINCT p.legal_entity_id) AS firms, count(DISTINCT a.client_id) AS clients,
               count(DISTINCT a.margin_account_id) AS accounts,
               count(DISTINCT a.bucket_id) AS buckets,
               array_agg(DISTINCT a.account_class || ' of a ' || a.owner_class || ' pool') AS legs,
               array_agg(DISTINCT a.owner_class::text) AS owners
        FROM inserted i
        JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_ledgeraccount a ON a.id = i.account_id
        JOIN ledger_pool p ON p.id = i.pool_id
        GROUP BY i.entry_id, e.kind_id
    ) s
    JOIN ledger_entrykind k ON k.code = s.kind_id
    LEFT JOIN LATERAL (
        -- A kind of one pool needs the legs of that pool's class, a kind of several needs all.
        SELECT l.account_class || ' of a ' || l.owner_class || ' pool' AS leg
        FROM ledger_kindleg l
        WHERE l.kind_id = s.kind_id AND l.is_required
          AND (k.pools_max > 1 OR l.owner_class = ANY (s.owners))
          AND l.account_class || ' of a ' || l.owner_class || ' pool' <> ALL (s.legs) LIMIT 1
    ) r ON true
    WHERE s.pools > k.pools_max OR s.firms > 1 OR s.clients > k.clients_max
       OR s.accounts > k.accounts_max OR s.buckets > k.buckets_max OR r.leg IS NOT NULL LIMIT 1;
    IF broken.leg IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind',
            format('%s has a leg on %s', broken.kind_id, broken.leg));
    ELSIF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s touches %s pools, %s clients, %s accounts, %s buckets; it may touch %s, %s, %s, %s, '
            'of one firm', broken.kind_id, broken.pools, broken.clients, broken.accounts,
            broken.buckets, broken.pools_max, broken.clients_max, broken.accounts_max,
            broken.buckets_max));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_3_fits_its_kind AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_fits_its_kind();

-- What leaves the custody of one place arrives in another, but for what the trade itself says;
-- and where clients meet in a trade, none gets more than it says.
CREATE FUNCTION ledger.posting_follows_the_trade() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    WITH said AS (
        SELECT i.entry_id, e.kind_id, k.clients_max > 1 AS clients_meet, a.client_id,
               a.account_class, coalesce(t.settles_in_id, i.asset_id) AS money, CASE
                   WHEN a.account_class <> 'position' THEN i.amount
                   WHEN a.asset_kind = 'derivative' THEN coalesce(i.realised, 0)
                   ELSE ledger.half_even(i.amount * i.price, m.scale) END AS amount
        FROM inserted i
        JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.keeps_custody
        JOIN ledger_ledgeraccount a ON a.id = i.account_id
            AND (a.account_class = 'position'
                 OR a.asset_kind = 'money' AND a.account_class IN ('custody', 'claim'))
        JOIN ledger_asset t ON t.id = i.asset_id
        LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
    )
    SELECT * INTO broken FROM (
        SELECT entry_id, kind_id, 'custody_follows_the_trade' AS rule,
               coalesce(sum(amount) FILTER (WHERE account_class = 'custody'), 0) AS moved,
               coalesce(sum(amount) FILTER (WHERE account_class = 'position'), 0) AS said
        FROM said GROUP BY entry_id, kind_id, money
        UNION ALL
        SELECT entry_id, kind_id, 'client_gets_what_the_trade_says',
               greatest(-coalesce(sum(amount) FILTER (WHERE account_class = 'claim'), 0),
                        sum(amount) FILTER (WHERE account_class = 'position')),
               sum(amount) FILTER (WHERE account_class = 'position')
        FROM said WHERE clients_meet AND account_class IN ('claim', 'position')
        GROUP BY entry_id, kind_id, money, client_id
        HAVING bool_or(account_class = 'position')
    ) s WHERE s.moved <> s.said LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s moves %s; the trade says %s', broken.kind_id, broken.moved, broken.said));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_4_follows_the_trade AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_follows_the_trade();

-- Average cost and realised profit are what quantity and price make of what stood before. An
-- opening brings its average along; a reversal gives back what it finds as its entry left it.
CREATE FUNCTION ledger.posting_is_valued() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted i JOIN ledger_ledgeraccount a ON a.id = i.account_id
                   WHERE a.account_class = 'position') THEN
        RETURN NULL;
    END IF;
    SELECT v.* INTO broken FROM (
        SELECT p.entry_id, p.account_id, CASE
            WHEN p.times > 1 THEN 'entry_trades_a_position_once'
            WHEN p.kind_id = 'opening' THEN CASE
                WHEN num_nonnulls(p.price, p.realised) > 0 OR p.quantity <> 0
                     OR p.average_after IS NULL OR p.average_after NOT BETWEEN 0 AND 1e100
                     OR p.average_after <> round(p.average_after, 8) THEN 'position_is_valued' END
            WHEN p.kind_id = 'reversal' THEN CASE
                WHEN (p.account_seq, p.price, p.average_after, p.realised) IS DISTINCT FROM
                     (SELECT (o.account_seq + 1, o.price, coalesce(b.average_after, 0), -o.realised)
                      FROM ledger_posting o LEFT JOIN ledger_posting b
                      ON b.account_id = o.account_id AND b.account_seq = o.account_seq - 1
                      WHERE o.account_id = p.account_id AND o.entry_id = p.reverses_id)
                THEN 'position_is_reversed_as_it_was_left' END
            WHEN p.price IS NULL OR p.price <= 0 OR p.price >= 1e100
                 OR p.price <> trunc(p.price, 100) THEN 'position_has_a_price'
            WHEN (p.average_after, p.realised) IS DISTINCT FROM
                 ledger.trade_effect(p.quantity, p.average, -p.amount, p.price, p.settlement_scale)
                THEN 'position_is_valued' END AS rule
        FROM (
            SELECT i.*, e.kind_id, e.reverses_id, m.scale::integer AS settlement_scale,
                   i.amount - i.balance_after AS quantity,
                   coalesce(lag(i.average_after) OVER w, b.average_cost, 0) AS average,
                   count(*) OVER (PARTITION BY i.account_id, i.entry_id) AS times
            FROM inserted i
            JOIN ledger_entry e ON e.id = i.entry_id
            JOIN ledger_ledgeraccount a ON a.id = i.account_id AND a.account_class = 'position'
            JOIN ledger_balance b ON b.account_id = i.account_id
            JOIN ledger_asset t ON t.id = i.asset_id
            LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
            WINDOW w AS (PARTITION BY i.account_id ORDER BY i.account_seq)
        ) p
    ) v WHERE v.rule IS NOT NULL LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s, ledger account %s: price, average '
            'cost and realised profit are not those of this trade', broken.entry_id, broken.account_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_5_is_valued AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_is_valued();

-- ---------------------------------------------------------------- balances and movements

CREATE FUNCTION ledger.posting_is_carried() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    UPDATE ledger_balance b
    SET amount = l.balance_after, seq = l.account_seq, average_cost = l.average_after
    FROM (SELECT DISTINCT ON (account_id) account_id, account_seq, balance_after, average_after
          FROM inserted ORDER BY account_id, account_seq DESC) l
    WHERE b.account_id = l.account_id;

    INSERT INTO ledger_dailymovement AS m (account_id, effective_on, debit, credit)
    SELECT i.account_id, (e.effective_at AT TIME ZONE 'UTC')::date,
           sum(greatest(i.amount, 0)), sum(greatest(-i.amount, 0))
    FROM inserted i JOIN ledger_entry e ON e.id = i.entry_id GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (account_id, effective_on)
    DO UPDATE SET debit = m.debit + excluded.debit, credit = m.credit + excluded.credit;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_6_is_carried AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_is_carried();

CREATE FUNCTION ledger.balance_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.account_id INTO wrong FROM changed n
    LEFT JOIN ledger_posting p ON p.account_id = n.account_id AND p.account_seq = n.seq
    WHERE CASE WHEN n.seq = 0 THEN n.amount <> 0 OR n.average_cost IS NOT NULL
               ELSE p.account_id IS NULL OR p.balance_after <> n.amount
                    OR p.average_after IS DISTINCT FROM n.average_cost END
       OR EXISTS (SELECT FROM ledger_posting x
                  WHERE x.account_id = n.account_id AND x.account_seq > n.seq) LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM accounts.refuse('balance_is_its_last_posting',
            format('the balance of ledger account %s differs from its last posting', wrong));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER balance_is_its_last_posting_1 AFTER INSERT ON ledger_balance
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_guard();
CREATE TRIGGER balance_is_its_last_posting_2 AFTER UPDATE ON ledger_balance
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_guard();

CREATE FUNCTION ledger.balance_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM accounts.refuse('balance_is_kept', format('%s on %s', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;
CREATE TRIGGER balance_is_kept BEFORE DELETE OR TRUNCATE ON ledger_balance
FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_stays();
CREATE TRIGGER balance_is_kept BEFORE DELETE OR TRUNCATE ON ledger_dailymovement
FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_stays();

-- A balance keeps the account it belongs to.
SELECT accounts.keep_columns('ledger_balance', 'balance_stays_with_its_account', 'account_id');

-- Daily movements are written by the guard of the postings and by nobody else.
CREATE FUNCTION ledger.movements_come_from_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('movements_come_from_postings',
            'daily movements are derived from postings');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER movements_come_from_postings BEFORE INSERT OR UPDATE ON ledger_dailymovement
FOR EACH STATEMENT EXECUTE FUNCTION ledger.movements_come_from_postings();

ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_1_is_whole;
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_2_balances;
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_3_fits_its_kind;
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_4_follows_the_trade;
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_5_is_valued;
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_6_is_carried;
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_1;
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_2;
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_kept;
ALTER TABLE ledger_dailymovement ENABLE ALWAYS TRIGGER balance_is_kept;
ALTER TABLE ledger_dailymovement ENABLE ALWAYS TRIGGER movements_come_from_postings;
