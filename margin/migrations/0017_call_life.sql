-- The life of a call: which steps there are, as rows; what each step needs, whoever writes it.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'the life of a call')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_calltransition', 'margin_callincrement', 'margin_callterms', 'margin_callrelief']) t;

-- ---------------------------------------------------------------- transitions

INSERT INTO margin_calltransition (from_state, to_state, act)
SELECT f, t, act FROM (VALUES
    ('draft', 'issued', 'issue'), ('draft', 'cancelled', 'cancel'),
    ('issued', 'delivered', 'deliver'), ('issued', 'undelivered', 'fail'),
    ('undelivered', 'delivered', 'deliver'), ('undelivered', 'escalated', 'escalate'),
    ('delivered', 'acknowledged', 'acknowledge'),
    ('disputed', 'agreed', 'agree'),
    ('agreed', 'extended', 'extend'), ('agreed', 'expired', 'expire'),
    ('extended', 'expired', 'expire'), ('expired', 'escalated', 'escalate'),
    ('escalated', 'liquidating', 'liquidate'),
    ('liquidating', 'met', 'settle'), ('liquidating', 'closed', 'close'),
    ('partially_met', 'met', 'settle'), ('partially_met', 'cancelled', 'cancel')) one(f, t, act)
UNION ALL
SELECT f, t, act
FROM unnest(ARRAY['issued', 'delivered', 'acknowledged', 'disputed', 'agreed', 'extended', 'expired',
                  'escalated']) f
CROSS JOIN (VALUES ('partially_met', 'settle'), ('met', 'settle'), ('cancelled', 'cancel')) w(t, act)
UNION ALL
SELECT f, t, act
FROM unnest(ARRAY['delivered', 'acknowledged', 'partially_met']) f
CROSS JOIN (VALUES ('disputed', 'dispute'), ('extended', 'extend'), ('expired', 'expire')) w(t, act);

-- What a call may become changes with the product alone.
CREATE FUNCTION margin.transition_is_of_the_product() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_act WHERE xid = pg_current_xact_id_if_assigned()
                   AND actor = 'system:migration') THEN
        PERFORM accounts.refuse('call_transitions_come_with_the_product',
            'the steps of a call are listed by a migration');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER call_transitions_come_with_the_product AFTER INSERT ON margin_calltransition
FOR EACH STATEMENT EXECUTE FUNCTION margin.transition_is_of_the_product();
ALTER TABLE margin_calltransition ENABLE ALWAYS TRIGGER call_transitions_come_with_the_product;

CREATE OR REPLACE FUNCTION margin.call_may_go(before text, after text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT before = after OR EXISTS (
        SELECT FROM margin_calltransition t WHERE t.from_state = before AND t.to_state = after)
$$;

CREATE OR REPLACE FUNCTION margin.call_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('draft', 'issued') THEN
            PERFORM accounts.refuse('margin_call_transition_is_legal', 'a call begins as draft or issued');
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT margin.call_may_go(OLD.state, NEW.state) THEN
            PERFORM accounts.refuse('margin_call_transition_is_legal',
                format('a call does not go from %s to %s', OLD.state, NEW.state));
        END IF;
        IF NEW.state = 'cancelled' THEN
            IF NEW.kind = 'initial' AND NEW.end_reason = 'price_recovered' THEN
                PERFORM accounts.refuse('initial_call_outlives_recovery',
                    'a price that comes back does not cancel an initial call');
            END IF;
            IF NEW.end_reason <> ALL (CASE OLD.state WHEN 'draft' THEN ARRAY['withdrawn']
                                      ELSE ARRAY['price_recovered', 'restated', 'waived'] END) THEN
                PERFORM accounts.refuse('call_is_cancelled_for_a_known_reason',
                    format('a call that is %s is not cancelled because it is %s',
                           OLD.state, NEW.end_reason));
            END IF;
        END IF;
        IF NEW.state = 'extended' OR NEW.state = 'cancelled' AND NEW.end_reason = 'waived' THEN
            IF NOT EXISTS (SELECT FROM margin_callrelief r
                           WHERE r.call_id = NEW.id AND r.xid = pg_current_xact_id()
                             AND r.kind = CASE NEW.state WHEN 'extended' THEN 'extend' ELSE 'waive' END
                             AND (r.until IS NULL OR r.until = NEW.due_at)) THEN
                PERFORM accounts.refuse('call_relief_is_given_by_two',
                    'more time, and a call that is let go, take two people');
            END IF;
        END IF;
    END IF;
    IF NEW.due_at <> OLD.due_at
       AND NOT (NEW.state = 'extended' AND OLD.state <> 'extended'
                OR NEW.state = 'issued' AND OLD.state = 'draft') THEN
        PERFORM accounts.refuse('due_time_moves_by_extension',
            'a call keeps its due time until two people give it more');
    END IF;
    RETURN NEW;
END $$;

-- ---------------------------------------------------------------- every step is written down

CREATE FUNCTION margin.call_step_is_legal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    SELECT n.from_state, n.to_state, n.event INTO wrong FROM inserted n
    WHERE n.from_state = '' AND n.to_state NOT IN ('draft', 'issued')
       OR n.from_state <> '' AND NOT margin.call_may_go(n.from_state, n.to_state)
       OR n.from_state = n.to_state AND n.event = n.to_state AND n.event <> 'partially_met'
    LIMIT 1;
    IF FOUND THEN
        PERFORM accounts.refuse('margin_call_transition_is_legal', CASE
            WHEN wrong.from_state = wrong.to_state THEN format('a call is %s once', wrong.to_state)
            ELSE format('a call does not go from %s to %s', wrong.from_state, wrong.to_state) END);
    END IF;
    IF EXISTS (SELECT FROM inserted n JOIN margin_margincall c ON c.id = n.call_id
               WHERE n.event = 'expired' AND n.occurred_at < c.due_at) THEN
        PERFORM accounts.refuse('call_expires_when_it_is_due', 'a call that is not due has not expired');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER margin_call_step_is_legal AFTER INSERT ON margin_callevent
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.call_step_is_legal();
ALTER TABLE margin_callevent ENABLE ALWAYS TRIGGER margin_call_step_is_legal;

-- At commit every change of state has its event, with who, when and why.
CREATE FUNCTION margin.call_step_is_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM margin_callevent e
        WHERE e.call_id = NEW.id AND e.xid = pg_current_xact_id() AND e.to_state = NEW.state
          AND e.from_state = CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END) THEN
        PERFORM accounts.refuse('call_step_is_written_down',
            'a call changes together with the step that says so');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER call_begin_is_written_down AFTER INSERT ON margin_margincall
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin.call_step_is_written();
CREATE CONSTRAINT TRIGGER call_step_is_written_down AFTER UPDATE ON margin_margincall
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state <> NEW.state)
EXECUTE FUNCTION margin.call_step_is_written();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER call_begin_is_written_down;
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER call_step_is_written_down;

-- ---------------------------------------------------------------- increments

CREATE FUNCTION margin.increment_is_next() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT call_id FROM inserted) n
        CROSS JOIN LATERAL (SELECT count(*) AS there, max(i.number) AS last
                            FROM margin_callincrement i WHERE i.call_id = n.call_id) i
        WHERE i.there <> i.last) THEN
        PERFORM accounts.refuse('call_increments_are_numbered_in_order',
            'the increments of a call are 1, 2, 3 and so on');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER call_increments_are_numbered_in_order AFTER INSERT ON margin_callincrement
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.increment_is_next();
ALTER TABLE margin_callincrement ENABLE ALWAYS TRIGGER call_increments_are_numbered_in_order;

-- ---------------------------------------------------------------- terms of calls

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('call.terms', 'Set terms of calls', '{operations,risk}', '{risk,compliance}', '5 days'),
    ('call.extend', 'Extend a margin call', '{operations,risk}', '{risk,compliance}', '1 day'),
    ('call.waive', 'Waive a margin call', '{operations,risk}', '{risk,compliance}', '1 day');

CREATE FUNCTION margin.call_terms_are_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN accounts_agreement g ON g.id = n.agreement_id
        WHERE NOT EXISTS (
            SELECT FROM accounts.used_here('call.terms', g.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_callterms, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('call_terms_are_set_by_two',
            'terms of calls are set with the approval of a second person, of exactly these');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER call_terms_are_set_by_two AFTER INSERT ON margin_callterms
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.call_terms_are_set();
ALTER TABLE margin_callterms ENABLE ALWAYS TRIGGER call_terms_are_set_by_two;

-- Spends an approval of `call.terms`: {"row": {...}}.
CREATE FUNCTION margin.set_call_terms(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'call.terms', asked.payload);
    INSERT INTO margin_callterms (agreement_id, version, effective_from, values)
    SELECT w.agreement_id, w.version, w.effective_from, w.values
    FROM jsonb_populate_record(NULL::margin_callterms, asked.payload -> 'row') w;
END $$;

-- The terms that a call was made under; none under the rules of the house.
CREATE FUNCTION margin.call_terms_of(of_call bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.values FROM margin_margincall c
    JOIN margin_marginresult r ON r.id = c.first_result_id
    JOIN accounts_agreementversion v ON v.id = r.agreement_version_id
    JOIN margin_callterms t ON t.agreement_id = v.agreement_id AND t.effective_from <= c.business_day
    WHERE c.id = of_call ORDER BY t.effective_from DESC, t.version DESC LIMIT 1
$$;

-- ---------------------------------------------------------------- more time, and letting go

-- How far the desk may go: five days of more time where terms say nothing else, and any amount that
-- the limits of a role let through. It is counted from the due time that the call has.
CREATE FUNCTION margin.check_relief(of_call bigint, of_kind text, to_time timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    terms jsonb := coalesce(margin.call_terms_of(of_call), '{}');
    held margin_margincall;
    days integer := coalesce((terms ->> 'extension_days_max')::integer, 5);
    most numeric := (terms ->> CASE of_kind WHEN 'extend' THEN 'extension_amount_max'
                                            ELSE 'waiver_amount_max' END)::numeric;
BEGIN
    SELECT * INTO held FROM margin_margincall WHERE id = of_call;
    IF of_kind = 'extend' AND NOT (to_time > held.due_at
                                   AND to_time <= held.due_at + make_interval(days => days)) THEN
        PERFORM accounts.refuse('relief_is_within_authority', format(
            'more time ends after the call is due and at most %s days later', days));
    END IF;
    IF held.amount > most THEN
        PERFORM accounts.refuse('relief_is_within_authority', format(
            '%s %s is beyond the %s that the desk may decide on', trim_scale(held.amount),
            held.currency, trim_scale(most)));
    END IF;
END $$;

CREATE FUNCTION margin.relief_is_given() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one margin_callrelief;
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_margincall c ON c.id = n.call_id
        JOIN accounts_scope s ON s.id = c.scope_id
        JOIN accounts_bucket b ON b.id = s.bucket_id
        JOIN accounts_marginaccount m ON m.id = b.account_id
        WHERE n.amount <> c.amount OR NOT EXISTS (
            SELECT FROM accounts.used_here('call.' || n.kind, m.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_callrelief, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('call_relief_is_given_by_two',
            'more time, and a call that is let go, take two people, for exactly this');
    END IF;
    FOR one IN SELECT * FROM inserted LOOP
        PERFORM margin.check_relief(one.call_id, one.kind, one.until);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER call_relief_is_given_by_two AFTER INSERT ON margin_callrelief
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.relief_is_given();
ALTER TABLE margin_callrelief ENABLE ALWAYS TRIGGER call_relief_is_given_by_two;

-- Who asks for it and who agrees does so within the limits of a role, and of the terms.
CREATE FUNCTION margin.relief_keeps_its_limits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_asked boolean := TG_OP = 'INSERT';
    wanted margin_callrelief;
    held margin_margincall;
    rules accounts_approvalaction;
BEGIN
    IF NEW.action_id NOT IN ('call.extend', 'call.waive')
       OR NOT is_asked AND NOT (OLD.decision = '' AND NEW.decision = 'approved')
       OR jsonb_typeof(NEW.payload -> 'row') IS DISTINCT FROM 'object' THEN
        RETURN NULL;
    END IF;
    wanted := jsonb_populate_record(NULL::margin_callrelief, NEW.payload -> 'row');
    SELECT * INTO held FROM margin_margincall WHERE id = wanted.call_id;
    SELECT * INTO rules FROM accounts_approvalaction WHERE code = NEW.action_id;
    PERFORM margin.check_relief(wanted.call_id, wanted.kind, wanted.until);
    IF is_asked AND NOT accounts.somebody_agrees_to(NEW.legal_entity_id, NEW.maker_id,
            rules.checker_roles, held.currency, held.amount) THEN
        PERFORM accounts.refuse('approval_needs_two_people', format(
            'nobody else may agree to %s %s', trim_scale(held.amount), held.currency));
    END IF;
    PERFORM accounts.count_limit(
        NEW.id, NEW.legal_entity_id, CASE WHEN is_asked THEN NEW.maker_id ELSE NEW.checker_id END,
        CASE WHEN is_asked THEN rules.maker_roles ELSE rules.checker_roles END,
        CASE WHEN is_asked THEN 'request' ELSE 'approve' END, held.currency, held.amount);
    RETURN NULL;
END $$;
CREATE TRIGGER relief_keeps_its_limits AFTER INSERT OR UPDATE ON accounts_approval
FOR EACH ROW EXECUTE FUNCTION margin.relief_keeps_its_limits();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER relief_keeps_its_limits;

-- Spends an approval of `call.extend` or `call.waive`: {"row": {...}}; returns the relief.
CREATE FUNCTION margin.give_relief(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted margin_callrelief;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    wanted := jsonb_populate_record(NULL::margin_callrelief, asked.payload -> 'row');
    PERFORM accounts.use_approval(approval, 'call.' || wanted.kind, asked.payload);
    INSERT INTO margin_callrelief (call_id, kind, amount, until, reason)
    VALUES (wanted.call_id, wanted.kind, wanted.amount, wanted.until, wanted.reason)
    RETURNING id INTO added;
    RETURN added;
END $$;

REVOKE ALL ON FUNCTION margin.transition_is_of_the_product(), margin.call_may_go(text, text),
    margin.call_guard(), margin.call_step_is_legal(), margin.call_step_is_written(),
    margin.increment_is_next(), margin.call_terms_are_set(), margin.set_call_terms(uuid),
    margin.call_terms_of(bigint), margin.check_relief(bigint, text, timestamptz),
    margin.relief_is_given(), margin.relief_keeps_its_limits(), margin.give_relief(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.call_may_go(text, text) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION margin.set_call_terms(uuid), margin.give_relief(uuid) TO bo_runtime;
GRANT INSERT ON margin_callincrement TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_callincrement_id_seq TO bo_runtime;
