-- Switches of an incident: two people stop, and two start again, what a legal entity does by
-- itself; and the guards that keep each of them, whoever writes.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'switches of an incident')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY['margin_switch', 'margin_heldcall']) t;
SELECT accounts.let_words_be_redacted('margin_switch');

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('switch.stop', 'Stop what runs by itself', '{operations,risk,treasury,compliance}',
     '{risk,treasury,compliance}', '1 hour'),
    ('switch.start', 'Let it run by itself again', '{operations,risk,treasury,compliance}',
     '{risk,treasury,compliance}', '1 hour');

-- ---------------------------------------------------------------- setting one

-- Whoever sets a switch waits for what is under way, and what comes after sees it set.
CREATE FUNCTION margin.switch_lock(entity bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended('margin_switch', entity) $$;

CREATE FUNCTION margin.switch_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one margin_switch;
    last margin_switch;
BEGIN
    FOR one IN SELECT * FROM inserted LOOP
        PERFORM pg_advisory_xact_lock(margin.switch_lock(one.legal_entity_id));
        IF NOT EXISTS (
            SELECT FROM accounts_approval a
            WHERE a.id = one.approval_id AND a.used_xid = pg_current_xact_id()
              AND a.action_id = CASE WHEN one.is_stopped THEN 'switch.stop' ELSE 'switch.start' END
              AND a.legal_entity_id = one.legal_entity_id
              AND to_jsonb(jsonb_populate_record(NULL::margin_switch, a.payload -> 'row'))
                  - '{id,xid,approval_id,set_at}'::text[]
                  = to_jsonb(one) - '{id,xid,approval_id,set_at}'::text[]) THEN
            PERFORM accounts.refuse('switch_is_set_by_two',
                'a switch is set with the approval of a second person, of exactly this');
        END IF;
        SELECT * INTO last FROM margin_switch s
        WHERE s.legal_entity_id = one.legal_entity_id AND s.what = one.what AND s.id <> one.id
        ORDER BY s.version DESC LIMIT 1;
        IF one.version <> coalesce(last.version, 0) + 1
           OR NOT one.is_stopped AND NOT coalesce(last.is_stopped, false) THEN
            PERFORM accounts.refuse('switch_follows_its_last_version', format(
                'the switch of %s was set meanwhile, or is not stopped', one.what));
        END IF;
        IF one.is_stopped AND (one.until <= one.set_at OR one.until > one.set_at + interval '3 days') THEN
            PERFORM accounts.refuse('switch_says_until_when',
                'a stop says until when it is meant to last: after now, and within three days');
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER switch_is_set_by_two AFTER INSERT ON margin_switch
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.switch_is_set();
ALTER TABLE margin_switch ENABLE ALWAYS TRIGGER switch_is_set_by_two;

-- Spends an approval of `switch.stop` or `switch.start`: {"row": {...}}; returns the version's id.
CREATE FUNCTION margin.set_switch(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted margin_switch;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    wanted := jsonb_populate_record(NULL::margin_switch, asked.payload -> 'row');
    PERFORM pg_advisory_xact_lock(margin.switch_lock(asked.legal_entity_id));
    PERFORM accounts.use_approval(approval,
        CASE WHEN wanted.is_stopped THEN 'switch.stop' ELSE 'switch.start' END, asked.payload);
    INSERT INTO margin_switch (legal_entity_id, what, version, is_stopped, until, reason, approval_id)
    VALUES (asked.legal_entity_id, wanted.what, wanted.version, wanted.is_stopped, wanted.until,
            wanted.reason, approval)
    RETURNING id INTO added;
    RETURN added;
END $$;

-- ---------------------------------------------------------------- asking one

CREATE FUNCTION margin.is_stopped(entity bigint, of_what text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((
        SELECT s.is_stopped FROM margin_switch s
        WHERE s.legal_entity_id = entity AND s.what = of_what
        ORDER BY s.version DESC LIMIT 1), false)
$$;

-- Legal entities in which something is stopped; none of their switches is set before the act ends.
CREATE FUNCTION margin.stopped_now(of_what text) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(margin.switch_lock(e.id))
    FROM (SELECT id FROM accounts_legalentity ORDER BY id) e;
    RETURN QUERY SELECT e.id FROM accounts_legalentity e WHERE margin.is_stopped(e.id, of_what);
END $$;

-- Refuses by the name of the rule where it is stopped; else it stays so until the act ends.
CREATE FUNCTION margin.refuse_where_stopped(entity bigint, of_what text, rule text, told text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(margin.switch_lock(entity));
    IF margin.is_stopped(entity, of_what) THEN PERFORM accounts.refuse(rule, told); END IF;
END $$;

CREATE FUNCTION margin.entity_of_scope(of_scope bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.legal_entity_id FROM accounts_scope s
    JOIN accounts_bucket b ON b.id = s.bucket_id
    JOIN accounts_marginaccount m ON m.id = b.account_id
    WHERE s.id = of_scope
$$;

-- ---------------------------------------------------------------- automatic calls

-- No maintenance call is issued; drafts of initial calls, and acts of two people, are no automatics.
CREATE FUNCTION margin.call_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM margin.refuse_where_stopped(e.id, 'calls', 'automatic_calls_are_stopped',
        'no call is issued or raised by itself while automatic calls are stopped')
    FROM (SELECT DISTINCT m.legal_entity_id AS id FROM inserted n
          JOIN accounts_scope s ON s.id = n.scope_id
          JOIN accounts_bucket b ON b.id = s.bucket_id
          JOIN accounts_marginaccount m ON m.id = b.account_id
          WHERE n.kind = 'maintenance' AND n.state = 'issued') e;
    RETURN NULL;
END $$;
CREATE TRIGGER automatic_calls_are_stopped AFTER INSERT ON margin_margincall
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.call_is_not_stopped();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER automatic_calls_are_stopped;

-- Nor is one raised by whoever is no person.
CREATE FUNCTION margin.raise_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM accounts_act a
               WHERE a.xid = pg_current_xact_id() AND a.operator_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    PERFORM margin.refuse_where_stopped(
        margin.entity_of_scope(NEW.scope_id), 'calls', 'automatic_calls_are_stopped',
        'no call is issued or raised by itself while automatic calls are stopped');
    RETURN NULL;
END $$;
CREATE TRIGGER automatic_raises_are_stopped AFTER UPDATE ON margin_margincall
FOR EACH ROW WHEN (NEW.kind = 'maintenance' AND NEW.amount > OLD.amount)
EXECUTE FUNCTION margin.raise_is_not_stopped();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER automatic_raises_are_stopped;

-- ---------------------------------------------------------------- liquidation

CREATE FUNCTION margin.liquidation_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM margin.refuse_where_stopped(
        margin.entity_of_scope(NEW.scope_id), 'liquidation', 'liquidation_is_stopped',
        'no liquidation begins while liquidation is stopped');
    RETURN NULL;
END $$;
CREATE TRIGGER liquidation_is_stopped AFTER UPDATE ON margin_margincall
FOR EACH ROW WHEN (NEW.state = 'liquidating' AND OLD.state <> 'liquidating')
EXECUTE FUNCTION margin.liquidation_is_not_stopped();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER liquidation_is_stopped;

-- ---------------------------------------------------------------- withdrawals

-- Neither released, nor agreed to, nor put into a file. What was given to the bank before, what it
-- shows as paid, and what goes back to its client, is booked.
CREATE FUNCTION margin.payment_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM margin.refuse_where_stopped(NEW.legal_entity_id, 'withdrawals',
        'withdrawals_are_stopped', 'nothing is paid out while withdrawals are stopped');
    RETURN NULL;
END $$;
CREATE TRIGGER withdrawals_are_stopped AFTER UPDATE ON ledger_payment
FOR EACH ROW WHEN (OLD.state = 'requested' AND NEW.state = 'released'
                   OR OLD.state = 'released' AND NEW.state = 'approved'
                   OR OLD.state = 'approved' AND NEW.state = 'in_file')
EXECUTE FUNCTION margin.payment_is_not_stopped();
ALTER TABLE ledger_payment ENABLE ALWAYS TRIGGER withdrawals_are_stopped;

CREATE FUNCTION margin.payment_file_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NOT (OLD.placed_at IS NULL AND NEW.placed_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    PERFORM margin.refuse_where_stopped(o.legal_entity_id, 'withdrawals',
        'withdrawals_are_stopped', 'no payment file is written while withdrawals are stopped')
    FROM ledger_location l JOIN ledger_pool o ON o.id = l.pool_id WHERE l.id = NEW.location_id;
    RETURN NULL;
END $$;
CREATE TRIGGER withdrawals_are_stopped AFTER INSERT OR UPDATE ON ledger_paymentfile
FOR EACH ROW EXECUTE FUNCTION margin.payment_file_is_not_stopped();
ALTER TABLE ledger_paymentfile ENABLE ALWAYS TRIGGER withdrawals_are_stopped;

CREATE FUNCTION margin.release_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM margin.refuse_where_stopped(e.id, 'withdrawals', 'withdrawals_are_stopped',
        'nothing is released while withdrawals are stopped')
    FROM (SELECT DISTINCT m.legal_entity_id AS id FROM inserted n
          JOIN accounts_bucket b ON b.id = n.bucket_id
          JOIN accounts_marginaccount m ON m.id = b.account_id
          WHERE n.kind_id = 'client_transfer'
             OR n.kind_id = 'withdrawal' AND b.role <> 'HOLD') e;
    RETURN NULL;
END $$;
CREATE TRIGGER withdrawals_are_stopped AFTER INSERT ON ledger_release
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.release_is_not_stopped();
ALTER TABLE ledger_release ENABLE ALWAYS TRIGGER withdrawals_are_stopped;

-- What leaves a client is not posted either, with or without a release; but what the bank has paid.
CREATE FUNCTION margin.outflow_is_not_stopped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM margin_switch s WHERE s.what = 'withdrawals') THEN RETURN NULL; END IF;
    PERFORM margin.refuse_where_stopped(e.id, 'withdrawals', 'withdrawals_are_stopped',
        'nothing is paid out while withdrawals are stopped')
    FROM (SELECT DISTINCT o.legal_entity_id AS id FROM inserted i
          JOIN ledger_entry n ON n.id = i.entry_id AND n.kind_id IN ('withdrawal', 'client_transfer')
          JOIN ledger_ledgeraccount a ON a.id = i.account_id AND a.account_class = 'claim'
          JOIN ledger_pool o ON o.id = a.pool_id
          WHERE i.amount > 0 AND NOT EXISTS (
              SELECT FROM ledger_payment p
              WHERE p.hold_id = a.bucket_id AND p.state IN ('approved', 'in_file', 'sent')
                AND ledger.payment_entry(p.id, 'out') = n.id)) e;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_8_is_not_stopped AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.outflow_is_not_stopped();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_8_is_not_stopped;

-- ---------------------------------------------------------------- what the runtime may do

REVOKE ALL ON FUNCTION margin.switch_lock(bigint), margin.switch_is_set(), margin.set_switch(uuid),
    margin.is_stopped(bigint, text), margin.stopped_now(text),
    margin.refuse_where_stopped(bigint, text, text, text), margin.entity_of_scope(bigint),
    margin.call_is_not_stopped(), margin.raise_is_not_stopped(), margin.liquidation_is_not_stopped(),
    margin.payment_is_not_stopped(), margin.payment_file_is_not_stopped(),
    margin.release_is_not_stopped(), margin.outflow_is_not_stopped() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.is_stopped(bigint, text) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION margin.set_switch(uuid), margin.stopped_now(text) TO bo_runtime;
GRANT INSERT ON margin_heldcall TO bo_runtime;
