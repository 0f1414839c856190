-- What the book cannot hold, whoever writes: statement-level guards with transition tables,
-- ENABLE ALWAYS. An entry and its postings are written by one statement, so a guard sees both.

CREATE SCHEMA ledger;
GRANT USAGE ON SCHEMA ledger TO bo_runtime, bo_auditor;

-- ---------------------------------------------------------------- roundings

-- To the nearest, ties to the even digit; `round` of PostgreSQL is half away from zero.
CREATE FUNCTION ledger.half_even(value numeric, decimals integer) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN 2 * abs(value - trunc(value, decimals)) = (10::numeric ^ (-decimals))
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

-- ---------------------------------------------------------------- postings

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

CREATE FUNCTION ledger.posting_guard() RETURNS trigger
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
            WHEN i.amount <> trunc(i.amount, a.scale) THEN 'amount_fits_its_asset'
            ELSE ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) END AS rule
        FROM inserted i
        LEFT JOIN ledger_ledgeraccount a ON a.id = i.account_id
        LEFT JOIN ledger_entry e ON e.id = i.entry_id
    ) r WHERE r.rule IS NOT NULL ORDER BY r.entry_id, r.account_id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s, ledger account %s, balance after %s',
            broken.entry_id, broken.account_id, broken.balance_after));
    END IF;

    -- Debits equal credits for every asset in every pool the entry touches: no exception.
    SELECT entry_id, pool_id, asset_id, sum(amount) AS difference INTO broken
    FROM inserted GROUP BY entry_id, pool_id, asset_id HAVING sum(amount) <> 0 LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_balances_in_each_pool', format(
            'entry %s: debits exceed credits by %s in pool %s, asset %s',
            broken.entry_id, broken.difference, broken.pool_id, broken.asset_id));
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

    PERFORM ledger.check_kinds_of(array_agg(DISTINCT entry_id)) FROM inserted;

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

-- The legs, limits, custody and required legs of entries against their kinds.
CREATE FUNCTION ledger.check_kinds_of(entries bigint[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT p.entry_id, e.kind_id, a.account_class, a.owner_class, a.asset_kind INTO broken
    FROM ledger_posting p
    JOIN ledger_entry e ON e.id = p.entry_id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
    LEFT JOIN ledger_kindleg k ON k.kind_id = e.kind_id AND k.account_class = a.account_class
        AND k.owner_class = a.owner_class AND k.asset_kind = a.asset_kind
        AND k.side = CASE WHEN p.amount > 0 THEN 'debit' ELSE 'credit' END
    WHERE p.entry_id = ANY (entries) AND k.id IS NULL LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s does not move %s of %s in a %s pool that way',
            broken.kind_id, broken.account_class, broken.asset_kind, broken.owner_class));
    END IF;

    SELECT s.* INTO broken FROM (
        SELECT p.entry_id, e.kind_id, k.pools_max, k.clients_max, k.accounts_max, k.buckets_max,
               k.keeps_custody,
               count(DISTINCT p.pool_id) AS pools, count(DISTINCT a.client_id) AS clients,
               count(DISTINCT a.margin_account_id) AS accounts,
               count(DISTINCT a.bucket_id) AS buckets
        FROM ledger_posting p
        JOIN ledger_entry e ON e.id = p.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id
        JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = ANY (entries)
        GROUP BY p.entry_id, e.kind_id, k.code
    ) s
    WHERE s.pools > s.pools_max OR s.clients > s.clients_max OR s.accounts > s.accounts_max
       OR s.buckets > s.buckets_max LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s touches %s pools, %s clients, %s accounts, %s buckets; it may touch %s, %s, %s, %s',
            broken.kind_id, broken.pools, broken.clients, broken.accounts, broken.buckets,
            broken.pools_max, broken.clients_max, broken.accounts_max, broken.buckets_max));
    END IF;

    SELECT e.id, e.kind_id, k.account_class, k.owner_class INTO broken
    FROM ledger_entry e
    JOIN (SELECT kind_id, account_class, owner_class FROM ledger_kindleg WHERE is_required
          GROUP BY 1, 2, 3
          HAVING NOT bool_or(kind_id IN ('deposit', 'withdrawal', 'bucket_move', 'custody_move', 'fee',
                                         'house_expense', 'house_income', 'write_off', 'opening',
                                         'transit_in', 'transit_out'))
    ) k ON k.kind_id = e.kind_id
    WHERE e.id = ANY (entries) AND NOT EXISTS (
        SELECT FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = e.id AND a.account_class = k.account_class
          AND a.owner_class = k.owner_class) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s has a leg on %s of a %s pool', broken.kind_id, broken.account_class, broken.owner_class));
    END IF;

    -- What leaves custody in one pool arrives in another, but for what the trade itself says.
    SELECT s.* INTO broken FROM (
        SELECT p.entry_id, e.kind_id, coalesce(t.settles_in_id, p.asset_id) AS money,
               coalesce(sum(p.amount) FILTER (WHERE a.account_class = 'custody'
                                              AND a.asset_kind = 'money'), 0) AS moved,
               coalesce(sum(CASE a.asset_kind
                   WHEN 'derivative' THEN coalesce(p.realised, 0)
                   WHEN 'security' THEN ledger.half_even(p.amount * p.price, m.scale) END)
                   FILTER (WHERE a.account_class = 'position'), 0) AS said
        FROM ledger_posting p
        JOIN ledger_entry e ON e.id = p.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.keeps_custody
        JOIN ledger_ledgeraccount a ON a.id = p.account_id
            AND a.account_class IN ('custody', 'position')
        JOIN ledger_asset t ON t.id = p.asset_id
        LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
        WHERE p.entry_id = ANY (entries)
        GROUP BY 1, 2, 3
    ) s WHERE s.moved <> CASE WHEN s.kind_id IN ('internal_trade', 'deleveraging') THEN 0
                              ELSE s.said END LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('custody_follows_the_trade', format(
            '%s moves %s of custody; the trade says %s', broken.kind_id, broken.moved, broken.said));
    END IF;
END $$;

CREATE TRIGGER posting_guard AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_guard();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_guard;

-- ---------------------------------------------------------------- entries

CREATE FUNCTION ledger.entry_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN RETURN NULL; END IF;
    PERFORM accounts.require_act();

    SELECT e.id INTO broken FROM inserted e
    LEFT JOIN (SELECT p.entry_id, count(*) AS postings FROM ledger_posting p
               WHERE p.entry_id IN (SELECT id FROM inserted) GROUP BY 1) c ON c.entry_id = e.id
    WHERE e.xid <> pg_current_xact_id() OR e.posting_count IS DISTINCT FROM c.postings LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_is_written_whole', format(
            'entry %s is written together with all its postings', broken.id));
    END IF;

    SELECT e.id, e.kind_id INTO broken
    FROM inserted e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_approval
    GROUP BY e.id, e.kind_id
    HAVING (SELECT count(*) FROM accounts_approval a WHERE a.used_xid = pg_current_xact_id()
            AND a.action_id = 'entry.' || e.kind_id)
         < (SELECT count(*) FROM inserted i WHERE i.kind_id = e.kind_id) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_has_its_approval', format(
            '%s needs the approval of a second person', broken.kind_id));
    END IF;

    SELECT e.id, e.kind_id INTO broken
    FROM inserted e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_release
    JOIN ledger_posting p ON p.entry_id = e.id AND p.amount > 0
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'claim'
    JOIN accounts_bucket b ON b.id = a.bucket_id AND b.is_margined
    WHERE NOT EXISTS (SELECT FROM ledger_releaseuse u WHERE u.entry_id = e.id) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_has_its_release', format(
            '%s lowers a margined bucket and needs a release of margin', broken.kind_id));
    END IF;

    SELECT e.id INTO broken FROM inserted e
    WHERE (e.kind_id = 'reversal') <> (e.reverses_id IS NOT NULL)
       OR (e.kind_id = 'reversal' AND EXISTS (
            SELECT FROM ledger_posting p WHERE p.entry_id IN (e.id, e.reverses_id)
            GROUP BY p.account_id HAVING sum(p.amount) <> 0)) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('reversal_mirrors_its_entry',
            'a reversal undoes one entry, leg by leg, and nothing else');
    END IF;

    SELECT e.id INTO broken FROM inserted e LEFT JOIN ledger_loss l ON l.entry_id = e.id
    WHERE (e.kind_id IN ('covered_loss', 'uncovered_loss')) <> (l.entry_id IS NOT NULL)
       OR (l.entry_id IS NOT NULL AND NOT ledger.loss_is_as_recorded(l)) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('loss_is_settled_in_order',
            'the bucket pays first, then INSURANCE, then HOUSE, each as recorded');
    END IF;

    SELECT e.id INTO broken FROM inserted e
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount o ON o.pool_id = p.pool_id AND o.account_class = 'opening'
    JOIN ledger_balance b ON b.account_id = o.id AND b.amount <> 0
    WHERE e.kind_id <> 'opening' LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('opening_is_complete', 'the pool''s opening balances do not add up yet');
    END IF;
    RETURN NULL;
END $$;

-- The parts of a loss are its legs, and who pays later pays only what who pays earlier lacked.
CREATE FUNCTION ledger.loss_is_as_recorded(recorded ledger_loss) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT recorded.insurance = coalesce(-sum(p.amount) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'INSURANCE'), 0)
       AND recorded.house = coalesce(-sum(p.amount) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'HOUSE'), 0)
       AND recorded.uncovered = coalesce(sum(p.amount) FILTER (
               WHERE a.account_class = 'shortfall'), 0)
       AND recorded.realised = sum(p.realised) FILTER (WHERE a.account_class = 'position')
       AND coalesce(bool_and(a.bucket_id = recorded.bucket_id) FILTER (
               WHERE a.account_class IN ('claim', 'position')), false)
       AND coalesce(bool_and(p.balance_after = 0) FILTER (WHERE a.account_class = 'claim'), true)
       AND coalesce(bool_and(p.balance_after = 0) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'INSURANCE'
                 AND recorded.house + recorded.uncovered > 0), true)
       AND coalesce(bool_and(p.balance_after = 0) FILTER (
               WHERE a.account_class = 'custody' AND a.owner_class = 'HOUSE'
                 AND recorded.uncovered > 0), true)
    FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
    WHERE p.entry_id = recorded.entry_id
$$;

CREATE TRIGGER entry_guard AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_guard();
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_guard;

-- ---------------------------------------------------------------- balances and movements

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
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_1;
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_2;

CREATE FUNCTION ledger.balance_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM accounts.refuse('balance_is_kept', format('%s on %s', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;
CREATE TRIGGER balance_is_kept BEFORE DELETE OR TRUNCATE ON ledger_balance
FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_stays();
CREATE TRIGGER balance_is_kept BEFORE DELETE OR TRUNCATE ON ledger_dailymovement
FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_stays();
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_kept;
ALTER TABLE ledger_dailymovement ENABLE ALWAYS TRIGGER balance_is_kept;

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
ALTER TABLE ledger_dailymovement ENABLE ALWAYS TRIGGER movements_come_from_postings;

-- ---------------------------------------------------------------- ledger accounts

CREATE FUNCTION ledger.ledger_account_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.id INTO wrong FROM inserted n
    JOIN ledger_pool p ON p.id = n.pool_id
    JOIN ledger_asset t ON t.id = n.asset_id
    LEFT JOIN accounts_bucket b ON b.id = n.bucket_id
    LEFT JOIN accounts_marginaccount m ON m.id = b.account_id
    LEFT JOIN ledger_location l ON l.id = n.location_id
    WHERE n.owner_class <> p.owner_class OR n.asset_kind <> t.kind OR n.scale <> t.scale
       OR n.margin_account_id IS DISTINCT FROM b.account_id
       OR n.client_id IS DISTINCT FROM coalesce(m.client_id, l.individual_client_id)
       OR m.legal_entity_id <> p.legal_entity_id
       OR (n.account_class IN ('claim', 'position') AND m.owner_class <> p.owner_class)
       OR (n.account_class = 'loan_receivable' AND m.owner_class <> 'CLIENT')
       OR l.pool_id <> n.pool_id
       OR (l.id IS NOT NULL AND NOT EXISTS (SELECT FROM ledger_locationasset c
               WHERE c.location_id = l.id AND c.asset_id = n.asset_id)) LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM accounts.refuse('ledger_account_is_truthful',
            'the account does not belong where its pool, asset, bucket and location say');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_account_is_truthful AFTER INSERT ON ledger_ledgeraccount
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.ledger_account_guard();
ALTER TABLE ledger_ledgeraccount ENABLE ALWAYS TRIGGER ledger_account_is_truthful;

-- A location of a client pool has a letter in which its keeper acknowledges whose assets it holds.
CREATE FUNCTION ledger.location_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_pool p WHERE p.id = NEW.pool_id AND p.owner_class = 'CLIENT')
       AND (NEW.letter_reference = '' OR NEW.title = 'own') THEN
        PERFORM accounts.refuse('client_location_has_a_letter', format(
            '%s holds client assets: it needs an acknowledgement letter and a client title', NEW.code));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_location_has_a_letter BEFORE INSERT OR UPDATE ON ledger_location
FOR EACH ROW EXECUTE FUNCTION ledger.location_guard();
ALTER TABLE ledger_location ENABLE ALWAYS TRIGGER client_location_has_a_letter;
SELECT accounts.keep_columns('ledger_location', 'location_stays_in_its_pool',
    'code,pool_id,kind,title,individual_client_id');

-- ---------------------------------------------------------------- table classes

SELECT accounts.make_append_only(
    t::regclass, by_transaction => t NOT IN ('ledger_entry', 'ledger_entrykey', 'ledger_posting'))
FROM unnest(ARRAY[
    'ledger_pool', 'ledger_asset', 'ledger_locationasset', 'ledger_ledgeraccount', 'ledger_entry',
    'ledger_entrykey', 'ledger_posting', 'ledger_loss', 'ledger_release', 'ledger_releaseuse',
    'ledger_horizon', 'ledger_statementfile', 'ledger_statement', 'ledger_statementline',
    'ledger_holding', 'ledger_statementmatch', 'ledger_breakevent']) t;
SELECT accounts.watch(t::regclass, 'id') FROM unnest(ARRAY[
    'ledger_location', 'ledger_break']) t;
SELECT accounts.keep_rows(t::regclass) FROM unnest(ARRAY[
    'ledger_location', 'ledger_break', 'ledger_entrykind', 'ledger_kindleg']) t;
SELECT accounts.keep_columns('ledger_break', 'break_stays_as_found',
    'location_id,business_day,ordinal,kind,asset_id,reference,ledger_amount,statement_amount,detail,statement_id,line_id');
