-- Who may be paid: payment instructions that two people set, and how long a new one waits.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'payment instructions')
ON CONFLICT (xid) DO NOTHING;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('instruction.set', 'Set or withdraw a payment instruction', '{operations,treasury}',
     '{treasury,risk,compliance}', '5 days'),
    ('instruction.rule', 'Change how long a new payment instruction waits',
     '{operations,risk,compliance}', '{risk,compliance,treasury}', '5 days');
SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'accounts_instructionrule', 'accounts_paymentinstruction']) t;
INSERT INTO accounts_instructionrule (effective_from, hours) VALUES ('1970-01-01', 24);

-- How many hours a new instruction of a firm waits, on a day.
CREATE FUNCTION accounts.instruction_hours(of_entity bigint, day date) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.hours::integer FROM accounts_instructionrule r
    WHERE (r.legal_entity_id = of_entity OR r.legal_entity_id IS NULL) AND r.effective_from <= day
    ORDER BY r.legal_entity_id NULLS LAST, r.effective_from DESC LIMIT 1
$$;

CREATE FUNCTION accounts.instruction_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM accounts.used_here('instruction.rule', NEW.legal_entity_id) asked
        WHERE (asked ->> 'hours')::integer = NEW.hours
          AND (asked ->> 'effective_from')::date = NEW.effective_from) THEN
        PERFORM accounts.refuse('instruction_rule_is_set_by_two',
            'how long an instruction waits is changed with the agreement of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER instruction_rule_is_set_by_two BEFORE INSERT ON accounts_instructionrule
FOR EACH ROW EXECUTE FUNCTION accounts.instruction_rule_is_set();
ALTER TABLE accounts_instructionrule ENABLE ALWAYS TRIGGER instruction_rule_is_set_by_two;

-- Sets the rule of a firm with an approval of `instruction.rule`: {"hours", "effective_from"}.
CREATE FUNCTION accounts.set_instruction_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'instruction.rule', asked.payload);
    INSERT INTO accounts_instructionrule (legal_entity_id, effective_from, hours, approval_id)
    VALUES (asked.legal_entity_id, (asked.payload ->> 'effective_from')::date,
            (asked.payload ->> 'hours')::smallint, approval);
END $$;

-- A version is what two people agreed to, the next of its kind, and waits from the moment it is
-- set: neither its number nor its wait is anybody's to choose.
CREATE FUNCTION accounts.instruction_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    owner accounts_client;
BEGIN
    SELECT * INTO owner FROM accounts_client WHERE id = NEW.client_id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM accounts_approval a
        WHERE a.id = NEW.approval_id AND a.action_id = 'instruction.set'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = owner.legal_entity_id
          AND a.payload = jsonb_build_object(
              'client', NEW.client_id, 'code', NEW.code, 'asset_code', NEW.asset_code,
              'method', NEW.method, 'details', encode(NEW.details_sealed, 'hex'),
              'is_active', NEW.is_active)) THEN
        PERFORM accounts.refuse('instruction_is_agreed_by_two',
            'where a client''s money may go is set with the agreement of a second person');
    END IF;
    NEW.version := 1 + coalesce((SELECT max(p.version) FROM accounts_paymentinstruction p
        WHERE p.client_id = NEW.client_id AND p.code = NEW.code), 0);
    NEW.usable_from := clock_timestamp() + make_interval(
        hours => accounts.instruction_hours(owner.legal_entity_id, current_date));
    RETURN NEW;
END $$;
CREATE TRIGGER instruction_is_agreed_by_two BEFORE INSERT ON accounts_paymentinstruction
FOR EACH ROW EXECUTE FUNCTION accounts.instruction_is_agreed();
ALTER TABLE accounts_paymentinstruction ENABLE ALWAYS TRIGGER instruction_is_agreed_by_two;

-- Sets a version with an approval of `instruction.set`; the payload is the row.
CREATE FUNCTION accounts.set_instruction(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    made bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'instruction.set', asked.payload);
    INSERT INTO accounts_paymentinstruction (client_id, code, version, asset_code, method,
                                             details_sealed, is_active, usable_from, approval_id)
    SELECT (asked.payload ->> 'client')::bigint, asked.payload ->> 'code', 1,
           asked.payload ->> 'asset_code', asked.payload ->> 'method',
           decode(asked.payload ->> 'details', 'hex'), (asked.payload ->> 'is_active')::boolean,
           clock_timestamp(), approval
    RETURNING id INTO made;
    RETURN made;
END $$;

-- Whether money may follow a version now: the last of its kind, not withdrawn, its wait over.
CREATE FUNCTION accounts.instruction_is_usable(of_instruction bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_paymentinstruction p
        WHERE p.id = of_instruction AND p.is_active AND p.usable_from <= clock_timestamp()
          AND NOT EXISTS (SELECT FROM accounts_paymentinstruction x
                          WHERE (x.client_id, x.code) = (p.client_id, p.code)
                            AND x.version > p.version))
$$;

REVOKE ALL ON FUNCTION accounts.instruction_hours(bigint, date), accounts.instruction_rule_is_set(),
    accounts.set_instruction_rule(uuid), accounts.instruction_is_agreed(),
    accounts.set_instruction(uuid), accounts.instruction_is_usable(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.instruction_hours(bigint, date),
    accounts.instruction_is_usable(bigint) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION accounts.set_instruction_rule(uuid), accounts.set_instruction(uuid)
    TO bo_runtime;
