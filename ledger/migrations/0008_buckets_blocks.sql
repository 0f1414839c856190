-- Blocks of what leaves, and the one guard that asks all of these rules of what is posted.

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('block.rule', 'Change how long what leaves is blocked', '{risk,compliance}',
     '{risk,compliance,treasury}', '5 days');
SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_blockrule', 'ledger_outflowblock', 'ledger_blocksweep', 'ledger_blocklift']) t;
INSERT INTO ledger_blockrule (cause, effective_from, lasts_for, is_automatic) VALUES
    ('negative_account', '1970-01-01', '50 minutes', false),
    ('outage', '1970-01-01', '10 minutes', false);

CREATE FUNCTION ledger.block_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM accounts_approval a
        WHERE a.id = NEW.approval_id AND a.action_id = 'block.rule'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = NEW.legal_entity_id
          AND a.payload = jsonb_build_object(
              'cause', NEW.cause, 'effective_from', NEW.effective_from,
              'lasts_for', extract(epoch FROM NEW.lasts_for)::bigint,
              'is_automatic', NEW.is_automatic)) THEN
        PERFORM accounts.refuse('block_rule_is_set_by_two',
            'how long what leaves is blocked is changed with the agreement of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER block_rule_is_set_by_two BEFORE INSERT ON ledger_blockrule
FOR EACH ROW EXECUTE FUNCTION ledger.block_rule_is_set();
ALTER TABLE ledger_blockrule ENABLE ALWAYS TRIGGER block_rule_is_set_by_two;

-- Sets a rule with an approval of `block.rule`: {"cause", "effective_from", "lasts_for" (seconds),
-- "is_automatic"}.
CREATE FUNCTION ledger.set_block_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'block.rule', asked.payload);
    INSERT INTO ledger_blockrule (legal_entity_id, cause, effective_from, lasts_for, is_automatic, approval_id)
    VALUES (asked.legal_entity_id, asked.payload ->> 'cause',
            (asked.payload ->> 'effective_from')::date,
            make_interval(secs => (asked.payload ->> 'lasts_for')::bigint),
            (asked.payload ->> 'is_automatic')::boolean, approval);
END $$;

CREATE FUNCTION ledger.block_rule_on(of_entity bigint, of_cause text, day date) RETURNS ledger_blockrule
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r FROM ledger_blockrule r
    WHERE r.cause = of_cause AND (r.legal_entity_id = of_entity OR r.legal_entity_id IS NULL)
      AND r.effective_from <= day
    ORDER BY r.legal_entity_id NULLS LAST, r.effective_from DESC LIMIT 1
$$;

-- A block begins now and lasts as long as the rule of its cause says, or longer.
CREATE FUNCTION ledger.block_begins() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.begins_at := clock_timestamp();
    NEW.lasts_until := greatest(NEW.lasts_until, NEW.begins_at + (ledger.block_rule_on(
        NEW.legal_entity_id, NEW.cause, (NEW.begins_at AT TIME ZONE 'UTC')::date)).lasts_for);
    IF NOT EXISTS (SELECT FROM accounts_accountgroup g
                   WHERE g.id = NEW.group_id AND g.legal_entity_id = NEW.legal_entity_id)
           AND NEW.group_id IS NOT NULL
       OR NOT EXISTS (SELECT FROM accounts_client c
                      WHERE c.id = NEW.client_id AND c.legal_entity_id = NEW.legal_entity_id)
           AND NEW.client_id IS NOT NULL
       OR NEW.lasts_until IS NULL OR length(trim(NEW.detail)) < 10 THEN
        PERFORM accounts.refuse('block_says_whom_and_why',
            'a block covers a group, a client or all of its firm, and says why in 10 characters');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER block_says_whom_and_why BEFORE INSERT ON ledger_outflowblock
FOR EACH ROW EXECUTE FUNCTION ledger.block_begins();
ALTER TABLE ledger_outflowblock ENABLE ALWAYS TRIGGER block_says_whom_and_why;

CREATE FUNCTION ledger.sweep_is_of_now() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.swept_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER sweep_is_of_now BEFORE INSERT ON ledger_blocksweep
FOR EACH ROW EXECUTE FUNCTION ledger.sweep_is_of_now();
ALTER TABLE ledger_blocksweep ENABLE ALWAYS TRIGGER sweep_is_of_now;

-- A block is lifted when its time has run and the newest look after that found no negative account.
CREATE FUNCTION ledger.block_is_lifted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    block ledger_outflowblock;
    sweep ledger_blocksweep;
BEGIN
    SELECT * INTO block FROM ledger_outflowblock b WHERE b.id = NEW.block_id;
    SELECT * INTO sweep FROM ledger_blocksweep s WHERE s.block_id = NEW.block_id
    ORDER BY s.id DESC LIMIT 1;
    NEW.lifted_at := clock_timestamp();
    IF NEW.lifted_at < block.lasts_until THEN
        PERFORM accounts.refuse('block_lasts_its_time', format(
            'the block lasts until %s', block.lasts_until));
    END IF;
    IF sweep.id IS DISTINCT FROM NEW.sweep_id OR sweep.swept_at < block.lasts_until
       OR sweep.scopes_negative > 0 OR sweep.scopes_swept = 0 THEN
        PERFORM accounts.refuse('block_ends_with_a_clean_sweep',
            'a block is lifted once the newest look after its time found no negative account');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER block_is_lifted BEFORE INSERT ON ledger_blocklift
FOR EACH ROW EXECUTE FUNCTION ledger.block_is_lifted();
ALTER TABLE ledger_blocklift ENABLE ALWAYS TRIGGER block_is_lifted;

-- The blocks that cover an account now, the longest last.
CREATE FUNCTION ledger.blocks_on(of_account bigint) RETURNS SETOF ledger_outflowblock
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.* FROM ledger_outflowblock k
    JOIN accounts_marginaccount m ON m.id = of_account AND m.legal_entity_id = k.legal_entity_id
    WHERE NOT EXISTS (SELECT FROM ledger_blocklift f WHERE f.block_id = k.id)
      AND (k.group_id IS NULL AND k.client_id IS NULL OR k.client_id = m.client_id
           OR EXISTS (SELECT FROM accounts_groupmember g WHERE g.group_id = k.group_id
                      AND g.account_id = m.id AND g.left_on IS NULL))
    ORDER BY k.lasts_until, k.id
$$;

CREATE FUNCTION ledger.check_blocks(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT c.kind_id, m.code, k.cause, k.lasts_until INTO broken
    FROM ledger.bucket_changes(entries) c
    JOIN accounts_marginaccount m ON m.id = c.margin_account_id
    CROSS JOIN LATERAL ledger.blocks_on(m.id) k
    WHERE c.kind_id IN ('withdrawal', 'client_transfer') AND c.change < 0
    ORDER BY k.lasts_until DESC LIMIT 1;
    IF broken.code IS NOT NULL THEN
        PERFORM accounts.refuse('outflow_is_blocked', format(
            'nothing leaves %s: %s, until %s at least and until a sweep is clean', broken.code,
            replace(broken.cause, '_', ' '), broken.lasts_until));
    END IF;
END $$;

-- ---------------------------------------------------------------- whether they are asked

-- Whether any rule about clients held apart or pledges can concern anybody at all.
CREATE FUNCTION ledger.somebody_is_held_apart() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM accounts_client c WHERE c.is_individually_segregated)
        OR EXISTS (SELECT FROM ledger_location l WHERE l.individual_client_id IS NOT NULL)
        OR EXISTS (SELECT FROM ledger_obligation o WHERE o.kind = 'pledge');
END $$;

-- Asks what is said of buckets, own locations, pledges and blocks of entries that a statement wrote.
CREATE FUNCTION ledger.check_buckets(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    concern record;
    own ledger.own_leg[];
BEGIN
    SELECT coalesce(bool_or(e.kind_id IN (
               'bucket_move', 'position_move', 'agreed_move', 'withdrawal', 'client_transfer',
               'internal_trade', 'deleveraging')), false) AS moves,
           coalesce(bool_or(e.kind_id IN (
               'mirroring', 'borrow_in_transit', 'residual_deposit_in_transit',
               'shortfall_funding_in_transit')), false) AS custody
    INTO concern FROM ledger_entry e WHERE e.id = ANY (entries);
    IF concern.moves THEN
        PERFORM ledger.check_moves(entries);
        IF EXISTS (SELECT FROM ledger_outflowblock) THEN PERFORM ledger.check_blocks(entries); END IF;
    END IF;
    IF concern.custody THEN PERFORM ledger.check_custody_kinds(entries); END IF;
    IF NOT ledger.somebody_is_held_apart() THEN RETURN; END IF;
    SELECT array_agg(s.leg) INTO own FROM (
        SELECT ROW(i.entry_id, e.kind_id, i.amount, a.client_id, c.code,
                   coalesce(c.is_individually_segregated, false), a.bucket_id, a.location_id,
                   a.asset_id, a.asset_kind)::ledger.own_leg AS leg,
               bool_or(coalesce(c.is_individually_segregated, false)
                       OR a.location_id IS NOT NULL AND a.client_id IS NOT NULL)
                   OVER (PARTITION BY i.entry_id) AS is_concerned
        FROM ledger_posting i
        JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_ledgeraccount a ON a.id = i.account_id AND a.owner_class = 'CLIENT'
        LEFT JOIN accounts_client c ON c.id = a.client_id
        WHERE i.entry_id = ANY (entries)
    ) s WHERE s.is_concerned;
    IF own IS NOT NULL THEN PERFORM ledger.check_own_locations(own); END IF;
    IF EXISTS (SELECT FROM ledger_obligation o WHERE o.kind = 'pledge') THEN
        PERFORM ledger.check_pledges(entries);
    END IF;
END $$;


-- ---------------------------------------------------------------- what the runtime may do

DO $$
DECLARE
    mine text;
BEGIN
    FOR mine IN SELECT p.oid::regprocedure FROM pg_proc p
                WHERE p.pronamespace = 'ledger'::regnamespace
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', mine);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION ledger.move_guard(text, text, date), ledger.held_over_owed(bigint, bigint),
    ledger.stood_on(bigint[], date), ledger.own_places_on(bigint, date),
    ledger.own_reconciliation(bigint, date), ledger.pledged(bigint, bigint),
    ledger.lot_holds(bigint, bigint), ledger.party_of(bigint, bigint, bigint),
    ledger.obligation_refusal(bigint, jsonb), ledger.transit_days(bigint, date, pg_snapshot),
    ledger.business_days_between(date, date), ledger.transit_lots(date, pg_snapshot),
    ledger.block_rule_on(bigint, text, date), ledger.blocks_on(bigint) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION ledger.set_move_rule(uuid), ledger.reconcile_client(bigint, date),
    ledger.sign_reconciliation(uuid), ledger.register_obligation(uuid), ledger.end_obligation(uuid),
    ledger.set_transit_rule(uuid), ledger.set_block_rule(uuid) TO bo_runtime;
GRANT INSERT ON ledger_outflowblock, ledger_blocksweep, ledger_blocklift TO bo_runtime;
GRANT USAGE ON SEQUENCE ledger_outflowblock_id_seq, ledger_blocksweep_id_seq TO bo_runtime;
