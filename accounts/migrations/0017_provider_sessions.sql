-- Sessions say by whose identity they were opened, and the provider can end them.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'sessions that a provider can end')
ON CONFLICT (xid) DO NOTHING;

-- Of sessions from before nobody knows which identity they are by, so nobody could end them there:
-- these people sign in again.
UPDATE accounts_operatorsession SET ended_at = clock_timestamp()
WHERE ended_at IS NULL AND 'oidc' = ANY (string_to_array(factors, ','));

-- As before; and a session by an identity names it, and it is bound to this very person.
CREATE OR REPLACE FUNCTION accounts.session_is_proved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT accounts.proves_twice(NEW.factors) AND accounts.has_second_factor(NEW.operator_id) THEN
        PERFORM accounts.refuse('session_has_its_second_factor',
            'this person has a second factor; the password alone opens no session');
    END IF;
    IF 'oidc' = ANY (string_to_array(NEW.factors, ','))
       AND accounts.operator_of(NEW.issuer, NEW.subject) IS DISTINCT FROM NEW.operator_id THEN
        PERFORM accounts.refuse('identity_is_bound', 'this identity is not bound to this person');
    END IF;
    RETURN NEW;
END $$;

-- As before; and whose identity it is by stays.
CREATE OR REPLACE FUNCTION accounts.session_keeps_its_proof() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.factors, NEW.proved_at, NEW.address, NEW.agent, NEW.issuer, NEW.subject, NEW.sid)
       IS DISTINCT FROM
       (OLD.factors, OLD.proved_at, OLD.address, OLD.agent, OLD.issuer, OLD.subject, OLD.sid) THEN
        PERFORM accounts.refuse('session_stays_as_opened',
            'a session keeps what was proved when it was opened');
    END IF;
    RETURN NEW;
END $$;

-- ---------------------------------------------------------------- whose word is over

-- What the provider said of an identity before somebody left there opens nothing afterwards: not
-- an answer that was on its way, and not one that still waits for a second factor here. Sessions
-- by a provider are opened side by side, and never beside one that it ends.
CREATE FUNCTION accounts.refuse_signed_out(
    of_issuer text, of_subject text, of_sid text, said_at timestamptz
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(format('provider %s', of_issuer), 0));
    IF EXISTS (SELECT FROM accounts_providerlogout l
               WHERE l.issuer = of_issuer AND l.said_at >= refuse_signed_out.said_at
                 AND accounts.is_meant(l.subject, l.sid, of_subject, of_sid)) THEN
        PERFORM accounts.refuse('identity_is_signed_in_there',
            'this person has signed out at the provider since');
    END IF;
END $$;

-- Whether a provider that names a subject, a session of its own, or both, means this one. A session
-- of which the provider never said its own name is meant by the subject alone.
CREATE FUNCTION accounts.is_meant(named_subject text, named_sid text, subject text, sid text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN named_sid = '' OR sid = '' THEN named_subject <> '' AND named_subject = subject
                ELSE named_sid = sid AND named_subject IN ('', subject) END
$$;

-- As `open_proved_session`, by the word of a provider of that time.
CREATE FUNCTION accounts.open_identity_session(
    operator bigint, session_key text, lives_for interval, proved text, from_address text,
    with_agent text, of_issuer text, of_subject text, of_sid text, said_at timestamptz
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened uuid := gen_random_uuid();
    now timestamptz := clock_timestamp();
BEGIN
    PERFORM accounts.refuse_signed_out(of_issuer, of_subject, of_sid, said_at);
    IF NOT EXISTS (SELECT FROM accounts_operator WHERE id = operator AND is_active) THEN
        PERFORM accounts.refuse('session_is_live', 'the operator is not active');
    END IF;
    INSERT INTO accounts_operatorsession (id, operator_id, key_sha256, opened_at, last_seen_at,
        expires_at, factors, proved_at, address, agent, issuer, subject, sid)
    VALUES (opened, operator, sha256(convert_to(session_key, 'UTF8')), now, now,
            now + least(lives_for, interval '12 hours'), proved, now, left(from_address, 60),
            left(with_agent, 200), of_issuer, of_subject, of_sid);
    RETURN opened;
END $$;

-- As `renew_session`, by the word of a provider of that time; its identity is the session's then.
CREATE FUNCTION accounts.renew_identity_session(
    old_key text, new_key text, proved text, of_issuer text, of_subject text, of_sid text,
    said_at timestamptz
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was accounts_operatorsession;
    opened uuid := gen_random_uuid();
    now timestamptz;
BEGIN
    IF of_issuer <> '' THEN
        PERFORM accounts.refuse_signed_out(of_issuer, of_subject, of_sid, said_at);
    END IF;
    -- Whoever ends this session at the same moment ends it before, or the new one after.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(format('provider %s', s.issuer), 0))
    FROM accounts_operatorsession s
    WHERE s.key_sha256 = sha256(convert_to(old_key, 'UTF8')) AND s.issuer <> '';
    now := clock_timestamp();
    UPDATE accounts_operatorsession SET ended_at = now
    WHERE key_sha256 = sha256(convert_to(old_key, 'UTF8')) AND ended_at IS NULL AND expires_at > now
    RETURNING * INTO was;
    IF was.id IS NULL THEN
        PERFORM accounts.refuse('session_is_live', 'the session has ended');
    END IF;
    IF of_issuer <> '' THEN
        was.issuer := of_issuer;
        was.subject := of_subject;
        was.sid := of_sid;
    END IF;
    INSERT INTO accounts_operatorsession (id, operator_id, key_sha256, opened_at, last_seen_at,
        expires_at, factors, proved_at, address, agent, issuer, subject, sid)
    VALUES (opened, was.operator_id, sha256(convert_to(new_key, 'UTF8')), was.opened_at, now,
            was.expires_at, proved, now, was.address, was.agent, was.issuer, was.subject, was.sid);
    RETURN opened;
END $$;

-- As before; the session goes on by the identity it was opened by.
CREATE OR REPLACE FUNCTION accounts.renew_session(old_key text, new_key text, proved text)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN accounts.renew_identity_session(old_key, new_key, proved, '', '', '', NULL);
END $$;

-- Ends the sessions that a provider means; returns how many. Its token is good once.
CREATE FUNCTION accounts.end_identity_sessions(
    token bytea, of_issuer text, of_subject text, of_sid text, said_at timestamptz,
    kept_until timestamptz
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ended bigint;
BEGIN
    PERFORM accounts.require_act();
    PERFORM pg_advisory_xact_lock(hashtextextended(format('provider %s', of_issuer), 0));
    DELETE FROM accounts_providerlogout l WHERE l.kept_until < clock_timestamp();
    INSERT INTO accounts_providerlogout (token, issuer, subject, sid, said_at, kept_until)
    VALUES (token, of_issuer, of_subject, of_sid, said_at,
            greatest(kept_until, clock_timestamp() + interval '1 hour'))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('logout_token_is_used_once', 'this logout token was used before');
    END IF;
    UPDATE accounts_operatorsession s SET ended_at = clock_timestamp()
    WHERE s.ended_at IS NULL AND s.expires_at > clock_timestamp() AND s.issuer = of_issuer
      AND accounts.is_meant(of_subject, of_sid, s.subject, s.sid);
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $$;

-- ---------------------------------------------------------------- who may call and read what

GRANT SELECT ON accounts_providerlogout TO bo_runtime, bo_auditor;
GRANT SELECT (issuer, subject, sid) ON accounts_operatorsession TO bo_auditor;
REVOKE ALL ON FUNCTION accounts.refuse_signed_out(text, text, text, timestamptz),
    accounts.is_meant(text, text, text, text),
    accounts.open_identity_session(bigint, text, interval, text, text, text, text, text, text,
                                   timestamptz),
    accounts.renew_identity_session(text, text, text, text, text, text, timestamptz),
    accounts.end_identity_sessions(bytea, text, text, text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.is_meant(text, text, text, text) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION
    accounts.open_identity_session(bigint, text, interval, text, text, text, text, text, text,
                                   timestamptz),
    accounts.renew_identity_session(text, text, text, text, text, text, timestamptz),
    accounts.end_identity_sessions(bytea, text, text, text, timestamptz, timestamptz)
    TO bo_runtime;
