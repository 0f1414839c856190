-- Who is known to an identity provider, tasks about emergencies, answers that count once, and
-- roles that end by the clock everywhere.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'people: providers, emergencies')
ON CONFLICT (xid) DO NOTHING;

-- ---------------------------------------------------------------- roles that are over

-- As before, but a role of an emergency counts until its end.
CREATE OR REPLACE FUNCTION accounts.view_is_its_owners() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF accounts.acting_operator() <> NEW.owner_id THEN
        PERFORM accounts.refuse('view_is_its_owners', 'a view is kept and changed by its owner');
    END IF;
    IF NOT EXISTS (SELECT FROM accounts_rolegrant g
                   WHERE g.operator_id = NEW.owner_id AND g.legal_entity_id = NEW.legal_entity_id
                     AND g.revoked_xid IS NULL
                     AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())) THEN
        PERFORM accounts.refuse('view_is_its_owners',
            'a view is kept where its owner holds a role');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.is_removed THEN
        PERFORM accounts.refuse('view_is_removed_once', 'this view is removed');
    END IF;
    RETURN NEW;
END $$;

-- ---------------------------------------------------------------- tasks about emergencies

SELECT accounts.watch('accounts_emergencytask', 'id');
SELECT accounts.keep_rows('accounts_emergencytask');
SELECT accounts.keep_columns('accounts_emergencytask', 'emergency_task_stays_as_opened',
    'id,grant_id,opened_at,due_at');

-- Who may look at an emergency: compliance and senior principals there, but the person.
CREATE FUNCTION accounts.may_review(operator bigint, emergency bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_rolegrant g WHERE g.id = emergency AND g.expires_at IS NOT NULL
          AND g.operator_id <> operator
          AND accounts.holds_role(operator, '{compliance,principal}', g.legal_entity_id))
$$;

-- Whoever of them has the fewest of these tasks open.
CREATE FUNCTION accounts.reviewer_of(emergency bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id FROM accounts_operator o
    LEFT JOIN accounts_emergencytask t ON t.owner_id = o.id AND t.closed_at IS NULL
    WHERE accounts.may_review(o.id, emergency)
    GROUP BY o.id ORDER BY count(t.id), o.id LIMIT 1
$$;

CREATE FUNCTION accounts.emergency_task_is_anothers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.closed_at IS NOT NULL THEN
        PERFORM accounts.refuse('emergency_task_closes_by_its_review', 'this task is closed');
    END IF;
    IF NEW.owner_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.owner_id IS DISTINCT FROM OLD.owner_id)
       AND NOT accounts.may_review(NEW.owner_id, NEW.grant_id)
       OR TG_OP = 'UPDATE' AND NEW.owner_id IS NULL AND OLD.owner_id IS NOT NULL THEN
        PERFORM accounts.refuse('emergency_task_is_anothers',
            'compliance or a senior principal, who is not the person, looks at an emergency');
    END IF;
    IF NEW.closed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM accounts_emergencyreview r WHERE r.grant_id = NEW.grant_id) THEN
        PERFORM accounts.refuse('emergency_task_closes_by_its_review',
            'a task about an emergency ends when somebody else has looked at it');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER emergency_task_is_anothers BEFORE INSERT OR UPDATE ON accounts_emergencytask
FOR EACH ROW EXECUTE FUNCTION accounts.emergency_task_is_anothers();
ALTER TABLE accounts_emergencytask ENABLE ALWAYS TRIGGER emergency_task_is_anothers;

-- Whoever takes a role alone gives somebody else the task to look at it, within four hours.
CREATE FUNCTION accounts.emergency_opens_its_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO accounts_emergencytask (grant_id, owner_id, opened_at, due_at)
    SELECT n.id, accounts.reviewer_of(n.id), clock_timestamp(),
           clock_timestamp() + interval '4 hours'
    FROM new_rows n WHERE n.expires_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER emergency_opens_its_task AFTER INSERT ON accounts_rolegrant
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
EXECUTE FUNCTION accounts.emergency_opens_its_task();
ALTER TABLE accounts_rolegrant ENABLE ALWAYS TRIGGER emergency_opens_its_task;

CREATE FUNCTION accounts.review_closes_the_task() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_emergencytask t SET closed_at = clock_timestamp()
    FROM new_rows n WHERE t.grant_id = n.grant_id AND t.closed_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER review_closes_the_task AFTER INSERT ON accounts_emergencyreview
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
EXECUTE FUNCTION accounts.review_closes_the_task();
ALTER TABLE accounts_emergencyreview ENABLE ALWAYS TRIGGER review_closes_the_task;

-- Becomes the owner of the task about an emergency.
CREATE FUNCTION accounts.take_emergency_task(emergency bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_emergencytask SET owner_id = accounts.acting_operator()
    WHERE grant_id = emergency AND closed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('emergency_task_closes_by_its_review', 'there is no such open task');
    END IF;
END $$;

-- What was taken before has its task too, and those that were looked at are closed.
INSERT INTO accounts_emergencytask (grant_id, owner_id, opened_at, due_at, closed_at)
SELECT g.id, CASE WHEN r.id IS NULL THEN accounts.reviewer_of(g.id) END, clock_timestamp(),
       clock_timestamp() + interval '4 hours',
       CASE WHEN r.id IS NOT NULL THEN clock_timestamp() END
FROM accounts_rolegrant g LEFT JOIN accounts_emergencyreview r ON r.grant_id = g.id
WHERE g.expires_at IS NOT NULL ORDER BY g.id;

-- ---------------------------------------------------------------- people of an identity provider

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('role.identity', 'Change by whose identity a person signs in', '{administrator}',
     '{administrator}', '1 day');
SELECT accounts.make_append_only('accounts_signinbinding');

-- Whose identity it is now; nobody's where it is not bound.
CREATE FUNCTION accounts.operator_of(of_issuer text, of_subject text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN b.is_bound THEN b.operator_id END FROM accounts_signinbinding b
    WHERE b.issuer = of_issuer AND b.subject = of_subject ORDER BY b.id DESC LIMIT 1
$$;

CREATE FUNCTION accounts.has_identity(operator bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM accounts_signinbinding b WHERE b.operator_id = operator
                     AND accounts.operator_of(b.issuer, b.subject) = operator)
$$;

-- Whose identity it was before this transaction.
CREATE FUNCTION accounts.operator_before(of_issuer text, of_subject text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN b.is_bound THEN b.operator_id END FROM accounts_signinbinding b
    WHERE b.issuer = of_issuer AND b.subject = of_subject AND b.xid <> pg_current_xact_id()
    ORDER BY b.id DESC LIMIT 1
$$;

-- Agreed to by two, who are administrators wherever the person holds a role: whoever binds an
-- identity to somebody lets it act as them everywhere. One identity is of one person.
CREATE FUNCTION accounts.binding_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given record;
    agreed accounts_approval;
BEGIN
    FOR given IN SELECT * FROM new_rows ORDER BY issuer, subject LOOP
        PERFORM pg_advisory_xact_lock(
            hashtextextended(format('identity %s %s', given.issuer, given.subject), 0));
        SELECT a.* INTO agreed FROM accounts_approval a
        WHERE a.used_xid = pg_current_xact_id_if_assigned() AND a.action_id = 'role.identity'
          AND (a.payload ->> 'operator')::bigint = given.operator_id
          AND a.payload ->> 'issuer' = given.issuer AND a.payload ->> 'subject' = given.subject
          AND (a.payload ->> 'is_bound')::boolean = given.is_bound;
        IF agreed.id IS NULL THEN
            PERFORM accounts.refuse('identity_is_bound_by_two',
                'whose identity it is is changed with the approval of a second person');
        END IF;
        IF NOT EXISTS (SELECT FROM accounts_rolegrant g WHERE g.operator_id = given.operator_id
                         AND g.legal_entity_id = agreed.legal_entity_id) THEN
            PERFORM accounts.refuse('person_works_here', 'this person never held a role here');
        END IF;
        IF given.is_bound AND EXISTS (
            SELECT FROM accounts_rolegrant g WHERE g.operator_id = given.operator_id
              AND g.revoked_xid IS NULL
              AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
              AND NOT (accounts.holds_role(agreed.maker_id, '{administrator}', g.legal_entity_id)
                  AND accounts.holds_role(agreed.checker_id, '{administrator}', g.legal_entity_id)))
        THEN
            PERFORM accounts.refuse('identity_is_bound_wherever_one_works',
                'both are administrators at every legal entity where the person holds a role');
        END IF;
        IF given.is_bound AND accounts.operator_before(given.issuer, given.subject) IS NOT NULL THEN
            PERFORM accounts.refuse('identity_is_of_one_person',
                'this identity is bound to a person already; take it away first');
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER identity_is_bound_by_two AFTER INSERT ON accounts_signinbinding
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.binding_is_agreed();
ALTER TABLE accounts_signinbinding ENABLE ALWAYS TRIGGER identity_is_bound_by_two;

-- Binds or unbinds an identity with an approval of `role.identity`; the payload is the row.
CREATE FUNCTION accounts.bind_identity(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.identity', asked.payload);
    INSERT INTO accounts_signinbinding (operator_id, issuer, subject, is_bound)
    VALUES ((asked.payload ->> 'operator')::bigint, asked.payload ->> 'issuer',
            asked.payload ->> 'subject', (asked.payload ->> 'is_bound')::boolean);
    IF NOT (asked.payload ->> 'is_bound')::boolean THEN
        UPDATE accounts_operatorsession SET ended_at = clock_timestamp()
        WHERE operator_id = (asked.payload ->> 'operator')::bigint AND ended_at IS NULL
          AND 'oidc' = ANY (string_to_array(factors, ','));
    END IF;
END $$;

-- Whether what was proved holds more than the first step, a password or an identity.
CREATE FUNCTION accounts.proves_twice(proved text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
    SELECT string_to_array(proved, ',') && '{totp,recovery,passkey,mfa}'::text[]
$$;

-- As before; an identity alone opens as little as a password, and none without its binding.
CREATE OR REPLACE FUNCTION accounts.session_is_proved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT accounts.proves_twice(NEW.factors) AND accounts.has_second_factor(NEW.operator_id) THEN
        PERFORM accounts.refuse('session_has_its_second_factor',
            'this person has a second factor; the password alone opens no session');
    END IF;
    IF 'oidc' = ANY (string_to_array(NEW.factors, ','))
       AND NOT accounts.has_identity(NEW.operator_id) THEN
        PERFORM accounts.refuse('identity_is_bound', 'no identity is bound to this person');
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION accounts.approval_is_proved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    session accounts_operatorsession;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.decision IS NOT DISTINCT FROM OLD.decision THEN
        RETURN NEW;
    END IF;
    PERFORM accounts.require_proof();
    SELECT s.* INTO session
    FROM accounts_act a JOIN accounts_operatorsession s ON s.id = a.session_id
    WHERE a.xid = pg_current_xact_id_if_assigned();
    IF NOT accounts.proves_twice(session.factors)
       AND (SELECT t.is_forced FROM accounts.sign_in_terms(session.operator_id) t) THEN
        PERFORM accounts.refuse('second_factor_is_asked',
            'roles of this person need a second factor; they have proved a password alone');
    END IF;
    RETURN NEW;
END $$;

-- ---------------------------------------------------------------- who may call and read what

GRANT SELECT ON accounts_emergencytask, accounts_signinbinding TO bo_runtime, bo_auditor;
GRANT SELECT, INSERT, DELETE ON accounts_spentticket TO bo_runtime;
REVOKE ALL ON FUNCTION accounts.may_review(bigint, bigint), accounts.reviewer_of(bigint),
    accounts.emergency_task_is_anothers(), accounts.emergency_opens_its_task(),
    accounts.review_closes_the_task(), accounts.take_emergency_task(bigint),
    accounts.operator_of(text, text), accounts.operator_before(text, text),
    accounts.has_identity(bigint), accounts.binding_is_agreed(), accounts.bind_identity(uuid),
    accounts.proves_twice(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.operator_of(text, text), accounts.has_identity(bigint),
    accounts.may_review(bigint, bigint) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION accounts.take_emergency_task(bigint), accounts.bind_identity(uuid)
    TO bo_runtime;
