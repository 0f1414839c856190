-- Second factors, proofs that grow old, sessions that are ended from elsewhere, conflicts of
-- duties as data, and roles for an emergency.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'how people sign in')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('role.sign_in', 'Change how people sign in', '{administrator}', '{administrator}', '1 day'),
    ('role.factors', 'Take a person''s second factors away', '{administrator}',
     '{administrator}', '1 day'),
    ('duty.conflict', 'Change which rights nobody holds together', '{risk,compliance}',
     '{compliance,principal}', '5 days');

SELECT accounts.watch('accounts_secondfactor', 'id', 'secret');
SELECT accounts.watch('accounts_recoverycode', 'id', 'digest');
SELECT accounts.keep_rows(t::regclass)
FROM unnest(ARRAY['accounts_secondfactor', 'accounts_recoverycode']) t;
SELECT accounts.keep_columns('accounts_secondfactor', 'factor_stays_as_enrolled',
    'id,operator_id,kind,label,credential_id,public_key,added_at');
SELECT accounts.keep_columns('accounts_recoverycode', 'recovery_code_stays_as_made',
    'id,operator_id,digest,made_at');
SELECT accounts.keep_columns('accounts_rolegrant', 'emergency_stays_as_taken', 'expires_at,reason');

-- Rules of emergencies come with the product.
INSERT INTO accounts_emergencyrule (holder, role, minutes_max) VALUES
    ('operations', 'risk', 240), ('operations', 'treasury', 240), ('risk', 'operations', 240),
    ('risk', 'treasury', 240), ('treasury', 'operations', 240), ('treasury', 'risk', 240),
    ('principal', 'operations', 240), ('principal', 'risk', 240), ('principal', 'treasury', 240);
INSERT INTO accounts_dutyconflict (first, second, is_forbidden, reason)
SELECT least(a, b), greatest(a, b), true, why
FROM (SELECT 'role:administrator' AS a, 'role:' || r AS b, 'who gives roles has no other' AS why
      FROM unnest('{operations,risk,treasury,compliance,principal,auditor}'::text[]) r
      UNION ALL
      SELECT 'role:auditor', 'role:' || r, 'an auditor only reads'
      FROM unnest('{operations,risk,treasury,compliance,principal}'::text[]) r) pairs;
SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'accounts_signinrule', 'accounts_dutyconflict', 'accounts_emergencyrule',
    'accounts_emergencyreview']) t;

-- ---------------------------------------------------------------- second factors

-- A code is good once: the step of a generator and the count of a passkey only grow, and what is
-- removed stays so, without its secret.
CREATE FUNCTION accounts.factor_goes_on() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.step < OLD.step OR NEW.step = OLD.step AND NEW.confirmed_at IS DISTINCT FROM
       OLD.confirmed_at AND OLD.kind = 'totp' THEN
        PERFORM accounts.refuse('code_is_used_once', 'this code was used before; wait for the next');
    END IF;
    IF OLD.removed_at IS NOT NULL
       OR OLD.confirmed_at IS NOT NULL AND NEW.confirmed_at IS DISTINCT FROM OLD.confirmed_at
       OR NEW.secret IS DISTINCT FROM OLD.secret
          AND NOT (NEW.secret IS NULL AND NEW.removed_at IS NOT NULL) THEN
        PERFORM accounts.refuse('factor_stays_as_enrolled',
            'a second factor is confirmed once and removed once; its secret only goes with it');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER code_is_used_once BEFORE UPDATE ON accounts_secondfactor
FOR EACH ROW EXECUTE FUNCTION accounts.factor_goes_on();
ALTER TABLE accounts_secondfactor ENABLE ALWAYS TRIGGER code_is_used_once;

CREATE FUNCTION accounts.recovery_code_goes() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.used_at IS NOT NULL OR OLD.void_at IS NOT NULL THEN
        PERFORM accounts.refuse('recovery_code_is_used_once', 'this recovery code is spent');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER recovery_code_is_used_once BEFORE UPDATE ON accounts_recoverycode
FOR EACH ROW EXECUTE FUNCTION accounts.recovery_code_goes();
ALTER TABLE accounts_recoverycode ENABLE ALWAYS TRIGGER recovery_code_is_used_once;

-- A factor and its codes are begun by the person they are of, signed in.
CREATE FUNCTION accounts.factor_is_ones_own() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM new_rows n WHERE n.operator_id IS DISTINCT FROM accounts.acting_operator()) THEN
        PERFORM accounts.refuse('factor_is_enrolled_by_its_owner',
            'a second factor is set up by the person it is of');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER factor_is_enrolled_by_its_owner AFTER INSERT ON accounts_secondfactor
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.factor_is_ones_own();
ALTER TABLE accounts_secondfactor ENABLE ALWAYS TRIGGER factor_is_enrolled_by_its_owner;
CREATE TRIGGER factor_is_enrolled_by_its_owner AFTER INSERT ON accounts_recoverycode
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.factor_is_ones_own();
ALTER TABLE accounts_recoverycode ENABLE ALWAYS TRIGGER factor_is_enrolled_by_its_owner;

-- Takes what a person has away: by themselves, or as two administrators agreed.
CREATE FUNCTION accounts.factor_is_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN old_rows o USING (id)
        WHERE n.removed_at IS NOT NULL AND o.removed_at IS NULL
          AND n.operator_id IS DISTINCT FROM (
              SELECT a.operator_id FROM accounts_act a WHERE a.xid = pg_current_xact_id_if_assigned())
          AND NOT EXISTS (
              SELECT FROM accounts_approval a
              WHERE a.used_xid = pg_current_xact_id_if_assigned() AND a.action_id = 'role.factors'
                AND (a.payload ->> 'operator')::bigint = n.operator_id)
    ) THEN
        PERFORM accounts.refuse('factor_is_removed_by_its_owner_or_two',
            'a second factor is removed by the person it is of, or by two administrators');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER factor_is_removed_by_its_owner_or_two AFTER UPDATE ON accounts_secondfactor
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION accounts.factor_is_removed();
ALTER TABLE accounts_secondfactor ENABLE ALWAYS TRIGGER factor_is_removed_by_its_owner_or_two;

CREATE FUNCTION accounts.has_second_factor(operator bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM accounts_secondfactor
                   WHERE operator_id = operator AND confirmed_at IS NOT NULL AND removed_at IS NULL)
$$;

CREATE FUNCTION accounts.begin_factor(
    of_kind text, named text, sealed bytea, credential bytea, key bytea, counted bigint
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    begun uuid := gen_random_uuid();
    who bigint := accounts.acting_operator();
BEGIN
    PERFORM accounts.require_proof();
    UPDATE accounts_secondfactor SET removed_at = clock_timestamp(), secret = NULL
    WHERE operator_id = who AND confirmed_at IS NULL AND removed_at IS NULL;
    INSERT INTO accounts_secondfactor (id, operator_id, kind, label, secret, credential_id,
        public_key, step, added_at, confirmed_at)
    VALUES (begun, who, of_kind, named, sealed, credential, key, counted, clock_timestamp(),
            CASE of_kind WHEN 'passkey' THEN clock_timestamp() END);
    RETURN begun;
END $$;

CREATE FUNCTION accounts.confirm_factor(factor uuid, at_step bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_secondfactor SET confirmed_at = clock_timestamp(), step = at_step
    WHERE id = factor AND operator_id = accounts.acting_operator()
      AND confirmed_at IS NULL AND removed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('factor_is_known', 'there is no such second factor to confirm');
    END IF;
END $$;

-- Uses the code of a time step, once. Two at the same moment wait for each other at the row.
CREATE FUNCTION accounts.use_code(factor uuid, at_step bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_secondfactor SET step = at_step
    WHERE id = factor AND confirmed_at IS NOT NULL AND removed_at IS NULL AND step < at_step;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('code_is_used_once', 'this code was used before; wait for the next');
    END IF;
END $$;

-- Uses a passkey: its count grows, unless the authenticator keeps none (always 0).
CREATE FUNCTION accounts.use_passkey(factor uuid, counted bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_secondfactor SET step = counted
    WHERE id = factor AND kind = 'passkey' AND removed_at IS NULL
      AND (step < counted OR step = 0 AND counted = 0);
    IF NOT FOUND THEN
        PERFORM accounts.refuse('code_is_used_once',
            'this passkey has counted fewer signatures than before; it may have been copied');
    END IF;
END $$;

CREATE FUNCTION accounts.remove_factor(factor uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
BEGIN
    PERFORM accounts.require_proof();
    UPDATE accounts_secondfactor SET removed_at = clock_timestamp(), secret = NULL
    WHERE id = factor AND operator_id = who AND removed_at IS NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('factor_is_known', 'there is no such second factor to remove');
    END IF;
    IF NOT accounts.has_second_factor(who) THEN
        UPDATE accounts_recoverycode SET void_at = clock_timestamp()
        WHERE operator_id = who AND used_at IS NULL AND void_at IS NULL;
    END IF;
END $$;

-- Puts new recovery codes in the place of those from before.
CREATE FUNCTION accounts.make_recovery_codes(digests bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
BEGIN
    PERFORM accounts.require_proof();
    UPDATE accounts_recoverycode SET void_at = clock_timestamp()
    WHERE operator_id = who AND used_at IS NULL AND void_at IS NULL;
    INSERT INTO accounts_recoverycode (operator_id, digest, made_at)
    SELECT who, d, clock_timestamp() FROM unnest(digests) d;
END $$;

CREATE FUNCTION accounts.use_recovery_code(of_operator bigint, digested bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_recoverycode SET used_at = clock_timestamp()
    WHERE operator_id = of_operator AND digest = digested AND used_at IS NULL AND void_at IS NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('recovery_code_is_used_once', 'there is no such recovery code any more');
    END IF;
END $$;

-- Takes all second factors of a person away with an approval of `role.factors`: {"operator"}.
CREATE FUNCTION accounts.reset_factors(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    who bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.factors', asked.payload);
    who := (asked.payload ->> 'operator')::bigint;
    IF NOT EXISTS (SELECT FROM accounts_rolegrant
                   WHERE operator_id = who AND legal_entity_id = asked.legal_entity_id) THEN
        PERFORM accounts.refuse('person_works_here', 'this person never held a role here');
    END IF;
    UPDATE accounts_secondfactor SET removed_at = clock_timestamp(), secret = NULL
    WHERE operator_id = who AND removed_at IS NULL;
    UPDATE accounts_recoverycode SET void_at = clock_timestamp()
    WHERE operator_id = who AND used_at IS NULL AND void_at IS NULL;
    UPDATE accounts_operatorsession SET ended_at = clock_timestamp()
    WHERE operator_id = who AND ended_at IS NULL;
END $$;

-- ---------------------------------------------------------------- what is asked of whom

-- The strictest of what the legal entities ask at which somebody holds a role.
CREATE FUNCTION accounts.sign_in_terms(operator bigint)
RETURNS TABLE (proof_minutes smallint, is_forced boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(min(r.proof_minutes), 15)::smallint,
           coalesce(bool_or(h.role = ANY (r.second_factor_for)), false)
    FROM (SELECT DISTINCT g.legal_entity_id, g.role FROM accounts_rolegrant g
          WHERE g.operator_id = operator AND g.revoked_xid IS NULL
            AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())) h
    CROSS JOIN LATERAL (SELECT s.* FROM accounts_signinrule s
                        WHERE s.legal_entity_id = h.legal_entity_id
                        ORDER BY s.id DESC LIMIT 1) r
$$;

CREATE FUNCTION accounts.sign_in_rule_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n WHERE NOT EXISTS (
            SELECT FROM accounts.used_here('role.sign_in', n.legal_entity_id) asked
            WHERE (asked ->> 'proof_minutes')::smallint = n.proof_minutes
              AND asked -> 'second_factor_for' = to_jsonb(n.second_factor_for))
    ) THEN
        PERFORM accounts.refuse('sign_in_is_changed_by_two',
            'how people sign in is changed with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sign_in_is_changed_by_two AFTER INSERT ON accounts_signinrule
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.sign_in_rule_is_agreed();
ALTER TABLE accounts_signinrule ENABLE ALWAYS TRIGGER sign_in_is_changed_by_two;

CREATE FUNCTION accounts.change_sign_in(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.sign_in', asked.payload);
    INSERT INTO accounts_signinrule (legal_entity_id, second_factor_for, proof_minutes)
    SELECT asked.legal_entity_id,
           ARRAY(SELECT jsonb_array_elements_text(asked.payload -> 'second_factor_for')),
           (asked.payload ->> 'proof_minutes')::smallint;
END $$;

-- Whoever acts here has proved lately who they are, and with all that is asked of them. A minute
-- more than the screens allow, for what was on its way.
CREATE FUNCTION accounts.require_proof() RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    session accounts_operatorsession;
    terms record;
BEGIN
    SELECT s.* INTO session
    FROM accounts_act a JOIN accounts_operatorsession s ON s.id = a.session_id
    WHERE a.xid = pg_current_xact_id_if_assigned();
    IF session.id IS NULL THEN
        RETURN; -- who is no person is refused by the rules for that
    END IF;
    SELECT * INTO terms FROM accounts.sign_in_terms(session.operator_id);
    IF session.proved_at < clock_timestamp() - make_interval(mins => terms.proof_minutes + 1) THEN
        PERFORM accounts.refuse('proof_is_recent',
            format('say again who you are: the last proof is older than %s minutes',
                   terms.proof_minutes));
    END IF;
END $$;

CREATE FUNCTION accounts.approval_is_proved() RETURNS trigger
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
    IF session.factors = 'password'
       AND (SELECT t.is_forced FROM accounts.sign_in_terms(session.operator_id) t) THEN
        PERFORM accounts.refuse('second_factor_is_asked',
            'roles of this person need a second factor; they have proved a password alone');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proof_is_recent BEFORE INSERT OR UPDATE ON accounts_approval
FOR EACH ROW EXECUTE FUNCTION accounts.approval_is_proved();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER proof_is_recent;

-- ---------------------------------------------------------------- sessions

GRANT SELECT (factors, proved_at, address, agent) ON accounts_operatorsession TO bo_auditor;

-- Whoever has a second factor is not in with a password alone.
CREATE FUNCTION accounts.session_is_proved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.factors = 'password' AND accounts.has_second_factor(NEW.operator_id) THEN
        PERFORM accounts.refuse('session_has_its_second_factor',
            'this person has a second factor; the password alone opens no session');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_has_its_second_factor BEFORE INSERT ON accounts_operatorsession
FOR EACH ROW EXECUTE FUNCTION accounts.session_is_proved();
ALTER TABLE accounts_operatorsession ENABLE ALWAYS TRIGGER session_has_its_second_factor;

-- What was proved at the beginning stays, as do place and program; a new proof is a new session.
CREATE FUNCTION accounts.session_keeps_its_proof() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.factors, NEW.proved_at, NEW.address, NEW.agent)
       IS DISTINCT FROM (OLD.factors, OLD.proved_at, OLD.address, OLD.agent) THEN
        PERFORM accounts.refuse('session_stays_as_opened',
            'a session keeps what was proved when it was opened');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_keeps_its_proof BEFORE UPDATE ON accounts_operatorsession
FOR EACH ROW EXECUTE FUNCTION accounts.session_keeps_its_proof();
ALTER TABLE accounts_operatorsession ENABLE ALWAYS TRIGGER session_keeps_its_proof;

CREATE FUNCTION accounts.open_proved_session(
    operator bigint, session_key text, lives_for interval, proved text, from_address text,
    with_agent text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened uuid := gen_random_uuid();
    now timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_operator WHERE id = operator AND is_active) THEN
        PERFORM accounts.refuse('session_is_live', 'the operator is not active');
    END IF;
    INSERT INTO accounts_operatorsession (id, operator_id, key_sha256, opened_at, last_seen_at,
        expires_at, factors, proved_at, address, agent)
    VALUES (opened, operator, sha256(convert_to(session_key, 'UTF8')), now, now,
            now + least(lives_for, interval '12 hours'), proved, now, left(from_address, 60),
            left(with_agent, 200));
    RETURN opened;
END $$;

-- A new proof: the session goes on under another key, as long as it would have, and the old key
-- opens nothing any more.
CREATE FUNCTION accounts.renew_session(old_key text, new_key text, proved text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was accounts_operatorsession;
    opened uuid := gen_random_uuid();
    now timestamptz := clock_timestamp();
BEGIN
    UPDATE accounts_operatorsession SET ended_at = now
    WHERE key_sha256 = sha256(convert_to(old_key, 'UTF8')) AND ended_at IS NULL AND expires_at > now
    RETURNING * INTO was;
    IF was.id IS NULL THEN
        PERFORM accounts.refuse('session_is_live', 'the session has ended');
    END IF;
    INSERT INTO accounts_operatorsession (id, operator_id, key_sha256, opened_at, last_seen_at,
        expires_at, factors, proved_at, address, agent)
    VALUES (opened, was.operator_id, sha256(convert_to(new_key, 'UTF8')), was.opened_at, now,
            was.expires_at, proved, now, was.address, was.agent);
    RETURN opened;
END $$;

-- Ends sessions of a person: their own, or of somebody at a legal entity where one is an
-- administrator. Without `one`, all but the one that acts.
CREATE FUNCTION accounts.end_sessions(of_operator bigint, one uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
    here uuid;
    ended bigint;
BEGIN
    IF who <> of_operator AND NOT EXISTS (
        SELECT FROM accounts_rolegrant g WHERE g.operator_id = of_operator
          AND accounts.holds_role(who, '{administrator}', g.legal_entity_id)) THEN
        PERFORM accounts.refuse('session_is_ended_by_its_owner_or_an_administrator',
            'a session is ended by the person it is of, or by an administrator there');
    END IF;
    SELECT a.session_id INTO here FROM accounts_act a
    WHERE a.xid = pg_current_xact_id_if_assigned();
    UPDATE accounts_operatorsession SET ended_at = clock_timestamp()
    WHERE operator_id = of_operator AND ended_at IS NULL AND expires_at > clock_timestamp()
      AND CASE WHEN one IS NULL THEN id <> here ELSE id = one END;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $$;

-- ---------------------------------------------------------------- roles that end by themselves

-- As before, but an emergency role ends by the clock.
CREATE OR REPLACE FUNCTION accounts.holds_role(operator bigint, roles text[], entity bigint)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.accounts_rolegrant g JOIN public.accounts_operator o ON o.id = g.operator_id
        WHERE g.operator_id = operator AND g.role = ANY (roles) AND g.legal_entity_id = entity
          AND g.desk = '' AND g.revoked_xid IS NULL AND o.is_active
          AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp()))
$$;

CREATE OR REPLACE FUNCTION accounts.somebody_agrees_to(
    entity bigint, maker bigint, roles text[], of_asset text, of_amount numeric
) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_rolegrant g JOIN accounts_operator o ON o.id = g.operator_id
        CROSS JOIN LATERAL accounts.limit_in_force(
            entity, g.role, of_asset, (clock_timestamp() AT TIME ZONE 'UTC')::date) l
        WHERE g.legal_entity_id = entity AND g.operator_id <> maker AND g.desk = ''
          AND g.revoked_xid IS NULL AND o.is_active AND g.role = ANY (roles) AND l.id IS NOT NULL
          AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
          AND coalesce(of_amount <= l.approve_each, true)
          AND coalesce(of_amount <= l.approve_day, true))
$$;

-- As before, over roles that are held now.
CREATE OR REPLACE FUNCTION accounts.count_limit(
    of_approval uuid, entity bigint, who bigint, roles text[], of_side text, of_asset text,
    of_amount numeric
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    one record;
BEGIN
    FOR one IN
        SELECT h.role, CASE of_side WHEN 'request' THEN l.request_each ELSE l.approve_each END AS each,
               CASE of_side WHEN 'request' THEN l.request_day ELSE l.approve_day END AS per_day
        FROM (SELECT DISTINCT g.role FROM accounts_rolegrant g
              WHERE g.operator_id = who AND g.legal_entity_id = entity AND g.desk = ''
                AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
                AND g.revoked_xid IS NULL AND g.role = ANY (roles)) h
        CROSS JOIN LATERAL accounts.limit_in_force(entity, h.role, of_asset, today) l
        WHERE l.id IS NOT NULL
        ORDER BY 2 NULLS LAST, 3 NULLS LAST, 1
    LOOP
        CONTINUE WHEN of_amount > one.each OR of_amount > one.per_day;
        IF one.per_day IS NOT NULL THEN
            IF current_setting('transaction_isolation') <> 'read committed' THEN
                PERFORM accounts.refuse('limit_is_counted_as_it_stands',
                    'what counts towards a limit of a day is read as it stands: read committed');
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended(
                format('limit %s %s %s %s', entity, one.role, of_side, of_asset), 0));
            CONTINUE WHEN of_amount > one.per_day - accounts.limit_spent(
                entity, one.role, of_side, of_asset, today);
        END IF;
        INSERT INTO accounts_limituse (approval_id, side, operator_id, legal_entity_id, role, asset,
                                       amount, on_day)
        VALUES (of_approval, of_side, who, entity, one.role, of_asset, of_amount, today);
        RETURN;
    END LOOP;
    PERFORM accounts.refuse('limit_covers_the_amount', format(
        '%s %s is beyond what this person''s roles may %s in one request or today; somebody of a '
        'role with a higher limit can', trim_scale(of_amount), of_asset,
        CASE of_side WHEN 'request' THEN 'ask for' ELSE 'agree to' END));
END $$;

-- Rights as the conflicts name them.
CREATE FUNCTION accounts.duties_of(operator bigint, entity bigint) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH held AS (
        SELECT DISTINCT g.role::text AS role FROM accounts_rolegrant g
        WHERE g.operator_id = operator AND g.legal_entity_id = entity AND g.revoked_xid IS NULL
          AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp()))
    SELECT 'role:' || role FROM held
    UNION
    SELECT 'ask:' || a.code FROM accounts_approvalaction a, held WHERE held.role = ANY (a.maker_roles)
    UNION
    SELECT 'decide:' || a.code FROM accounts_approvalaction a, held
    WHERE held.role = ANY (a.checker_roles)
$$;

CREATE FUNCTION accounts.conflicts_in_force(entity bigint)
RETURNS TABLE (id bigint, first text, second text, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.id, c.first, c.second, c.reason
    FROM (SELECT DISTINCT ON (d.first, d.second) d.* FROM accounts_dutyconflict d
          WHERE d.legal_entity_id IS NULL OR d.legal_entity_id = entity
          ORDER BY d.first, d.second, d.legal_entity_id NULLS LAST, d.id DESC) c
    WHERE c.is_forbidden
$$;

-- As before, by the rows of conflicts.
CREATE OR REPLACE FUNCTION accounts.roles_conflict(operator bigint, entity bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts.conflicts_in_force(entity) c
        WHERE c.first IN (SELECT accounts.duties_of(operator, entity))
          AND c.second IN (SELECT accounts.duties_of(operator, entity)))
$$;

-- A new conflict is agreed to by two people, names rights that there are, and finds nobody who
-- holds both. What came with the product stays.
CREATE FUNCTION accounts.conflict_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given record;
    holder text;
BEGIN
    FOR given IN SELECT * FROM new_rows LOOP
        IF NOT EXISTS (
            SELECT FROM accounts.used_here('duty.conflict', given.legal_entity_id) asked
            WHERE asked ->> 'first' = given.first AND asked ->> 'second' = given.second
              AND (asked ->> 'is_forbidden')::boolean = given.is_forbidden
              AND asked ->> 'why' = given.reason) THEN
            PERFORM accounts.refuse('conflict_is_changed_by_two',
                'which rights exclude each other is changed with the approval of a second person');
        END IF;
        IF EXISTS (
            SELECT FROM unnest(ARRAY[given.first, given.second]) d
            WHERE NOT (d LIKE 'role:%' AND substr(d, 6) = ANY
                       ('{operations,risk,treasury,compliance,principal,auditor,administrator}')
                    OR d LIKE 'ask:%' AND EXISTS (
                       SELECT FROM accounts_approvalaction a WHERE a.code = substr(d, 5))
                    OR d LIKE 'decide:%' AND EXISTS (
                       SELECT FROM accounts_approvalaction a WHERE a.code = substr(d, 8)))) THEN
            PERFORM accounts.refuse('conflict_names_rights', 'one of the two is no right');
        END IF;
        IF NOT given.is_forbidden AND EXISTS (
            SELECT FROM accounts_dutyconflict d WHERE d.legal_entity_id IS NULL
              AND (d.first, d.second) = (given.first, given.second)) THEN
            PERFORM accounts.refuse('conflict_of_the_product_stays',
                'this pair came with the product: administrators and auditors hold nothing else');
        END IF;
        SELECT min(o.username) INTO holder FROM accounts_operator o
        WHERE given.is_forbidden
          AND given.first IN (SELECT accounts.duties_of(o.id, given.legal_entity_id))
          AND given.second IN (SELECT accounts.duties_of(o.id, given.legal_entity_id));
        IF holder IS NOT NULL THEN
            PERFORM accounts.refuse('roles_do_not_conflict',
                format('%s holds both of these rights; take a role away first', holder));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER conflict_is_changed_by_two AFTER INSERT ON accounts_dutyconflict
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.conflict_is_agreed();
ALTER TABLE accounts_dutyconflict ENABLE ALWAYS TRIGGER conflict_is_changed_by_two;

-- Sets a conflict with an approval of `duty.conflict`; the payload is the row.
CREATE FUNCTION accounts.change_conflict(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'duty.conflict', asked.payload);
    -- Nobody is given a role meanwhile.
    PERFORM FROM accounts_legalentity WHERE id = asked.legal_entity_id FOR UPDATE;
    INSERT INTO accounts_dutyconflict (legal_entity_id, first, second, is_forbidden, reason)
    VALUES (asked.legal_entity_id, asked.payload ->> 'first', asked.payload ->> 'second',
            (asked.payload ->> 'is_forbidden')::boolean, asked.payload ->> 'why');
END $$;

-- Whether a person may take a role by themselves until then.
CREATE FUNCTION accounts.glass_may_be_broken(
    operator bigint, wanted text, entity bigint, until timestamptz
) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_emergencyrule r
        JOIN accounts_rolegrant g ON g.role = r.holder AND g.operator_id = operator
         AND g.legal_entity_id = entity AND g.desk = '' AND g.revoked_xid IS NULL
         AND g.expires_at IS NULL
        WHERE r.role = wanted
          AND until <= clock_timestamp() + make_interval(mins => r.minutes_max))
$$;

-- As before, but a role for an emergency is taken by the person alone, by the rules for that.
CREATE OR REPLACE FUNCTION accounts.role_is_given() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    FOR given IN SELECT * FROM new_rows LOOP
        -- Two roles given at once see each other here, and a new conflict sees both.
        PERFORM FROM public.accounts_legalentity WHERE id = given.legal_entity_id FOR UPDATE;
        IF given.granted_xid IS DISTINCT FROM pg_current_xact_id() OR given.revoked_xid IS NOT NULL THEN
            PERFORM accounts.refuse('row_carries_its_transaction',
                'a role begins in the transaction that gives it');
        END IF;
        IF given.expires_at IS NOT NULL THEN
            IF given.desk <> '' OR given.operator_id IS DISTINCT FROM accounts.acting_operator()
               OR NOT accounts.glass_may_be_broken(given.operator_id, given.role,
                                                   given.legal_entity_id, given.expires_at) THEN
                PERFORM accounts.refuse('emergency_is_within_its_rule',
                    'nobody may take this role by themselves, or not for so long');
            END IF;
            IF length(trim(given.reason)) < 10 THEN
                PERFORM accounts.refuse('emergency_has_a_reason',
                    'an emergency needs a reason of at least 10 characters');
            END IF;
            PERFORM accounts.require_proof();
        ELSIF EXISTS (SELECT FROM public.accounts_rolegrant g
                   WHERE g.legal_entity_id = given.legal_entity_id
                     AND g.granted_xid <> pg_current_xact_id()) THEN
            IF NOT EXISTS (
                SELECT FROM public.accounts_approval a
                WHERE a.used_xid = pg_current_xact_id() AND a.action_id = 'role.grant'
                  AND a.legal_entity_id = given.legal_entity_id
                  AND (a.payload ->> 'operator')::bigint = given.operator_id
                  AND a.payload ->> 'role' = given.role
                  AND coalesce(a.payload ->> 'desk', '') = given.desk) THEN
                PERFORM accounts.refuse('role_is_given_by_two',
                    'a role needs the approval of a second person');
            END IF;
        ELSIF accounts.administrators(given.legal_entity_id, NULL) < 2 THEN
            PERFORM accounts.refuse('desk_has_two_administrators', 'set-up names two administrators');
        END IF;
        IF accounts.roles_conflict(given.operator_id, given.legal_entity_id) THEN
            PERFORM accounts.refuse('roles_do_not_conflict',
                'an administrator holds no other role, and an auditor only reads');
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- As before, but a role taken in an emergency ends without a second person.
CREATE OR REPLACE FUNCTION accounts.role_is_taken() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revoked_xid IS NOT DISTINCT FROM OLD.revoked_xid THEN
        RETURN NEW;
    END IF;
    IF OLD.revoked_xid IS NOT NULL OR NEW.revoked_xid IS DISTINCT FROM pg_current_xact_id() THEN
        PERFORM accounts.refuse('role_grant_stays_as_given', 'a role is taken away once, and now');
    END IF;
    IF OLD.expires_at IS NULL AND NOT EXISTS (
        SELECT FROM public.accounts_approval a
        WHERE a.used_xid = pg_current_xact_id() AND a.action_id = 'role.revoke'
          AND a.legal_entity_id = OLD.legal_entity_id
          AND (a.payload ->> 'grant')::bigint = OLD.id) THEN
        PERFORM accounts.refuse('role_is_taken_by_two',
            'taking a role away needs the approval of a second person');
    END IF;
    IF OLD.role = 'administrator'
       AND accounts.administrators(OLD.legal_entity_id, OLD.operator_id) < 2 THEN
        PERFORM accounts.refuse('desk_has_two_administrators', 'two administrators must remain');
    END IF;
    RETURN NEW;
END $$;

-- Takes a role by oneself, in an emergency, for some minutes.
CREATE FUNCTION accounts.break_glass(entity bigint, wanted text, why text, minutes integer)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
    taken bigint;
BEGIN
    IF minutes < 1 THEN
        PERFORM accounts.refuse('emergency_is_within_its_rule', 'an emergency lasts a minute or more');
    END IF;
    IF accounts.holds_role(who, ARRAY[wanted], entity) THEN
        PERFORM accounts.refuse('role_is_held_once', 'this person holds the role already');
    END IF;
    -- What is over makes room for the next.
    UPDATE accounts_rolegrant SET revoked_xid = pg_current_xact_id()
    WHERE operator_id = who AND legal_entity_id = entity AND role = wanted AND desk = ''
      AND revoked_xid IS NULL AND expires_at <= clock_timestamp();
    INSERT INTO accounts_rolegrant (operator_id, role, legal_entity_id, desk, granted_xid,
                                    expires_at, reason)
    VALUES (who, wanted, entity, '', pg_current_xact_id(),
            clock_timestamp() + make_interval(mins => minutes), why)
    RETURNING id INTO taken;
    RETURN taken;
END $$;

-- Gives a role of an emergency back before its end: by its holder, or by an administrator.
CREATE FUNCTION accounts.end_emergency(given bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
BEGIN
    UPDATE accounts_rolegrant g SET revoked_xid = pg_current_xact_id()
    WHERE g.id = given AND g.expires_at IS NOT NULL AND g.revoked_xid IS NULL
      AND (g.operator_id = who
           OR accounts.holds_role(who, '{administrator,compliance}', g.legal_entity_id));
    IF NOT FOUND THEN
        PERFORM accounts.refuse('role_is_held', 'there is no such emergency to end');
    END IF;
END $$;

CREATE FUNCTION accounts.emergency_is_reviewed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who bigint := accounts.acting_operator();
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN accounts_rolegrant g ON g.id = n.grant_id
        WHERE g.expires_at IS NULL OR n.operator_id <> who OR g.operator_id = who
           OR length(trim(n.words)) < 10
           OR NOT accounts.holds_role(who, '{compliance,principal}', g.legal_entity_id)) THEN
        PERFORM accounts.refuse('emergency_is_reviewed_by_another',
            'compliance or a senior principal, who is not the person, reviews it in words');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER emergency_is_reviewed_by_another AFTER INSERT ON accounts_emergencyreview
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.emergency_is_reviewed();
ALTER TABLE accounts_emergencyreview ENABLE ALWAYS TRIGGER emergency_is_reviewed_by_another;

-- As before; an emergency of the same role makes room first.
CREATE OR REPLACE FUNCTION accounts.grant_role(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    given bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.grant', asked.payload);
    UPDATE accounts_rolegrant SET revoked_xid = pg_current_xact_id()
    WHERE operator_id = (asked.payload ->> 'operator')::bigint
      AND legal_entity_id = asked.legal_entity_id AND role = asked.payload ->> 'role'
      AND desk = coalesce(asked.payload ->> 'desk', '') AND revoked_xid IS NULL
      AND expires_at IS NOT NULL;
    INSERT INTO accounts_rolegrant (operator_id, role, legal_entity_id, desk, granted_xid)
    VALUES ((asked.payload ->> 'operator')::bigint, asked.payload ->> 'role',
            asked.legal_entity_id, coalesce(asked.payload ->> 'desk', ''), pg_current_xact_id())
    RETURNING id INTO given;
    RETURN given;
END $$;

-- ---------------------------------------------------------------- who may call and read what

GRANT INSERT ON accounts_emergencyreview TO bo_runtime;
REVOKE SELECT ON accounts_secondfactor, accounts_recoverycode FROM bo_auditor;
GRANT SELECT (id, operator_id, kind, label, step, added_at, confirmed_at, removed_at)
    ON accounts_secondfactor TO bo_auditor;
GRANT SELECT (id, operator_id, made_at, used_at, void_at) ON accounts_recoverycode TO bo_auditor;

REVOKE ALL ON FUNCTION accounts.factor_goes_on(), accounts.recovery_code_goes(),
    accounts.factor_is_ones_own(), accounts.factor_is_removed(),
    accounts.has_second_factor(bigint),
    accounts.begin_factor(text, text, bytea, bytea, bytea, bigint),
    accounts.confirm_factor(uuid, bigint), accounts.use_code(uuid, bigint),
    accounts.use_passkey(uuid, bigint), accounts.remove_factor(uuid),
    accounts.make_recovery_codes(bytea[]), accounts.use_recovery_code(bigint, bytea),
    accounts.reset_factors(uuid), accounts.sign_in_terms(bigint),
    accounts.sign_in_rule_is_agreed(), accounts.change_sign_in(uuid), accounts.require_proof(),
    accounts.approval_is_proved(), accounts.session_is_proved(),
    accounts.session_keeps_its_proof(),
    accounts.open_proved_session(bigint, text, interval, text, text, text),
    accounts.renew_session(text, text, text), accounts.end_sessions(bigint, uuid),
    accounts.duties_of(bigint, bigint), accounts.conflicts_in_force(bigint),
    accounts.conflict_is_agreed(), accounts.change_conflict(uuid),
    accounts.glass_may_be_broken(bigint, text, bigint, timestamptz),
    accounts.break_glass(bigint, text, text, integer), accounts.end_emergency(bigint),
    accounts.emergency_is_reviewed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.has_second_factor(bigint), accounts.sign_in_terms(bigint),
    accounts.duties_of(bigint, bigint), accounts.conflicts_in_force(bigint)
    TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION
    accounts.begin_factor(text, text, bytea, bytea, bytea, bigint),
    accounts.confirm_factor(uuid, bigint), accounts.use_code(uuid, bigint),
    accounts.use_passkey(uuid, bigint), accounts.remove_factor(uuid),
    accounts.make_recovery_codes(bytea[]), accounts.use_recovery_code(bigint, bytea),
    accounts.reset_factors(uuid), accounts.change_sign_in(uuid), accounts.require_proof(),
    accounts.open_proved_session(bigint, text, interval, text, text, text),
    accounts.renew_session(text, text, text), accounts.end_sessions(bigint, uuid),
    accounts.change_conflict(uuid),
    accounts.glass_may_be_broken(bigint, text, bigint, timestamptz),
    accounts.break_glass(bigint, text, text, integer), accounts.end_emergency(bigint)
    TO bo_runtime;
