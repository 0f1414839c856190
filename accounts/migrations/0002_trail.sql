-- Header rows, append-only and audited tables, sessions, four eyes.
-- A refusal looks like an ordinary constraint violation: SQLSTATE 23514 and a constraint name
-- that reads as the rule, so callers treat guards and CHECKs alike.

CREATE SCHEMA accounts;
GRANT USAGE ON SCHEMA accounts TO bo_runtime, bo_auditor;

CREATE FUNCTION accounts.refuse(rule text, message text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '23514', CONSTRAINT = rule, MESSAGE = message;
END $$;

-- ---------------------------------------------------------------- every change has an actor

CREATE FUNCTION accounts.require_act() RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.accounts_act WHERE xid = pg_current_xact_id_if_assigned()) THEN
        PERFORM accounts.refuse('change_has_an_actor',
            'this transaction has not said who acts; call accounts.act first');
    END IF;
END $$;

-- The session behind a key, if it is live: not ended, not expired, of an active operator.
CREATE FUNCTION accounts.live_session(session_key text)
RETURNS TABLE (session_id uuid, operator_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.id, s.operator_id
    FROM accounts_operatorsession s JOIN accounts_operator o ON o.id = s.operator_id
    WHERE s.key_sha256 = sha256(convert_to(session_key, 'UTF8'))
      AND s.ended_at IS NULL AND s.expires_at > clock_timestamp() AND o.is_active
$$;

-- Says who acts in this transaction. A person acts through a live session; a machine has a
-- name that begins with `system:`.
CREATE FUNCTION accounts.act(
    actor text, session_key text, channel text, request_id text, reason text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    person record;
BEGIN
    IF EXISTS (SELECT FROM accounts_act WHERE xid = pg_current_xact_id()) THEN
        PERFORM accounts.refuse('transaction_has_one_actor', 'this transaction already has an actor');
    END IF;
    IF session_key IS NULL THEN
        IF actor IS NULL OR actor NOT LIKE 'system:_%' THEN
            PERFORM accounts.refuse('person_acts_through_a_session',
                'only a machine (system:...) acts without a session');
        END IF;
        INSERT INTO accounts_act (actor, channel, request_id, reason)
        VALUES (actor, channel, request_id, reason);
        RETURN NULL;
    END IF;
    SELECT l.session_id, l.operator_id, o.username INTO person
    FROM accounts.live_session(session_key) l JOIN accounts_operator o ON o.id = l.operator_id;
    IF person.session_id IS NULL THEN
        PERFORM accounts.refuse('session_is_live', 'the session has ended');
    END IF;
    INSERT INTO accounts_act (actor, operator_id, session_id, channel, request_id, reason)
    VALUES ('operator:' || person.username, person.operator_id, person.session_id,
            channel, request_id, reason);
    RETURN person.operator_id;
END $$;

-- ---------------------------------------------------------------- append-only tables

CREATE FUNCTION accounts.keep_history() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM accounts.refuse('history_is_append_only',
        format('%s on %s: rows are added, never changed or removed', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;

CREATE FUNCTION accounts.rows_have_an_actor() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM new_rows WHERE xid IS DISTINCT FROM pg_current_xact_id()) THEN
        PERFORM accounts.refuse('row_carries_its_transaction',
            format('a row of %s names another transaction', TG_TABLE_NAME));
    END IF;
    PERFORM accounts.require_act();
    RETURN NULL;
END $$;

-- Rows of `target` are added under a header and then stay as they are. The sealer finds them by
-- their transaction, unless they are sealed with another table's row.
CREATE FUNCTION accounts.make_append_only(target regclass, by_transaction boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF by_transaction THEN
        EXECUTE format('CREATE INDEX %I ON %s (xid)', target || '_by_xid', target);
    END IF;
    EXECUTE format('CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION accounts.keep_history()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER history_is_append_only', target);
    EXECUTE format('CREATE TRIGGER change_has_an_actor AFTER INSERT ON %s
                    REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION accounts.rows_have_an_actor()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER change_has_an_actor', target);
END $$;

-- ---------------------------------------------------------------- editable tables

-- A row as the trail shows it: secret columns say only that they are there, and a column too long
-- to read (its name ends in #) is shown by its hash.
CREATE FUNCTION accounts.masked(content jsonb, secrets text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT content || coalesce(
        (SELECT jsonb_object_agg(c.name, CASE
             WHEN s NOT LIKE '%#' THEN 'hidden'
             WHEN content -> c.name <> 'null' THEN 'sha256 ' || encode(
                 sha256(convert_to((content -> c.name)::text, 'UTF8')), 'hex') END)
         FROM unnest(secrets) s CROSS JOIN LATERAL (SELECT rtrim(s, '#')) c(name)
         WHERE content ? c.name), '{}')
$$;

-- What tells one secret from another without telling it, so that a change past the trail is found.
CREATE FUNCTION accounts.fingerprint(content jsonb, secrets text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(jsonb_object_agg(s, content -> s)::text, 'UTF8'))
    FROM unnest(secrets) s WHERE s NOT LIKE '%#'
$$;

CREATE FUNCTION accounts.changed_secrets(was jsonb, now jsonb, secrets text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(s, 'changed'::text), '{}')
    FROM unnest(secrets) s WHERE s NOT LIKE '%#' AND was -> s IS DISTINCT FROM now -> s
$$;

-- One trigger function writes before and after of every editable table.
-- Arguments: key columns, secret columns (both comma-separated).
CREATE FUNCTION accounts.audit_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    key_columns text[] := string_to_array(TG_ARGV[0], ',');
    secrets text[] := string_to_array(TG_ARGV[1], ',');
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
        PERFORM accounts.require_act();
        INSERT INTO accounts_auditrow (table_name, operation, row_key, before, after, fingerprint)
        SELECT TG_TABLE_NAME, 'insert', accounts.row_key(r.content, key_columns), NULL,
               accounts.masked(r.content, secrets), accounts.fingerprint(r.content, secrets)
        FROM (SELECT to_jsonb(n) AS content FROM new_rows n) r;
    ELSIF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM old_rows) THEN RETURN NULL; END IF;
        PERFORM accounts.require_act();
        INSERT INTO accounts_auditrow (table_name, operation, row_key, before, after)
        SELECT TG_TABLE_NAME, 'delete', accounts.row_key(r.content, key_columns),
               accounts.masked(r.content, secrets), NULL
        FROM (SELECT to_jsonb(o) AS content FROM old_rows o) r;
    ELSE
        IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
        PERFORM accounts.require_act();
        INSERT INTO accounts_auditrow (table_name, operation, row_key, before, after, fingerprint)
        SELECT TG_TABLE_NAME, 'update', coalesce(n.key, o.key),
               accounts.masked(o.content, secrets),
               accounts.masked(n.content, secrets)
                   || accounts.changed_secrets(o.content, n.content, secrets),
               accounts.fingerprint(n.content, secrets)
        FROM (SELECT to_jsonb(r) AS content, accounts.row_key(to_jsonb(r), key_columns) AS key
              FROM old_rows r) o
        FULL JOIN (SELECT to_jsonb(r) AS content, accounts.row_key(to_jsonb(r), key_columns) AS key
              FROM new_rows r) n USING (key)
        WHERE o.content IS DISTINCT FROM n.content;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION accounts.row_key(content jsonb, key_columns text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(content ->> c, '/' ORDER BY ord)
    FROM unnest(key_columns) WITH ORDINALITY AS k(c, ord)
$$;

-- Changes of `target` need a header and are written to the trail.
CREATE FUNCTION accounts.watch(target regclass, key_columns text, secrets text DEFAULT '')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM (VALUES
        ('INSERT', 'REFERENCING NEW TABLE AS new_rows'),
        ('UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
        ('DELETE', 'REFERENCING OLD TABLE AS old_rows')) e(name, tables)
    LOOP
        EXECUTE format('CREATE TRIGGER audit_%s AFTER %s ON %s %s FOR EACH STATEMENT
                        EXECUTE FUNCTION accounts.audit_rows(%L, %L)',
                       lower(event.name), event.name, target, event.tables, key_columns, secrets);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER audit_%s', target, lower(event.name));
    END LOOP;
    EXECUTE format('CREATE TRIGGER history_is_append_only BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION accounts.keep_history()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER history_is_append_only', target);
END $$;

-- Columns of an editable table that stay as they were written. Arguments: rule, columns.
CREATE FUNCTION accounts.columns_stay() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD);
    now jsonb := to_jsonb(NEW);
    name text;
BEGIN
    FOREACH name IN ARRAY string_to_array(TG_ARGV[1], ',') LOOP
        IF was -> name IS DISTINCT FROM now -> name THEN
            PERFORM accounts.refuse(TG_ARGV[0],
                format('%s of %s never changes', name, TG_TABLE_NAME));
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

CREATE FUNCTION accounts.keep_columns(target regclass, rule text, columns text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %s FOR EACH ROW
                    EXECUTE FUNCTION accounts.columns_stay(%L, %L)', rule, target, rule, columns);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, rule);
END $$;

-- Rows of `target` are not deleted.
CREATE FUNCTION accounts.rows_stay() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM accounts.refuse('row_is_kept', format('rows of %s are never deleted', TG_TABLE_NAME));
    RETURN NULL;
END $$;

CREATE FUNCTION accounts.keep_rows(target regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER row_is_kept BEFORE DELETE ON %s FOR EACH STATEMENT
                    EXECUTE FUNCTION accounts.rows_stay()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER row_is_kept', target);
END $$;

-- ---------------------------------------------------------------- table classes

-- The header cannot require itself; it is append-only without the actor trigger.
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accounts_act
FOR EACH STATEMENT EXECUTE FUNCTION accounts.keep_history();
ALTER TABLE accounts_act ENABLE ALWAYS TRIGGER history_is_append_only;

CREATE FUNCTION accounts.header_is_of_now() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.xid IS DISTINCT FROM pg_current_xact_id() THEN
        PERFORM accounts.refuse('row_carries_its_transaction', 'a header names another transaction');
    END IF;
    IF NEW.session_id IS NULL THEN
        IF NEW.operator_id IS NOT NULL OR NEW.actor NOT LIKE 'system:_%' THEN
            PERFORM accounts.refuse('person_acts_through_a_session',
                'only a machine (system:...) acts without a session');
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM public.accounts_operatorsession s
        JOIN public.accounts_operator o ON o.id = s.operator_id AND o.is_active
        WHERE s.id = NEW.session_id AND s.operator_id = NEW.operator_id
          AND s.ended_at IS NULL AND s.expires_at > clock_timestamp()
          AND NEW.actor = 'operator:' || o.username
    ) THEN
        PERFORM accounts.refuse('session_is_live', 'a header names a live session and its operator');
    END IF;
    NEW.recorded_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER row_carries_its_transaction BEFORE INSERT ON accounts_act
FOR EACH ROW EXECUTE FUNCTION accounts.header_is_of_now();
ALTER TABLE accounts_act ENABLE ALWAYS TRIGGER row_carries_its_transaction;

SELECT accounts.make_append_only('accounts_auditrow', by_transaction => false);

-- Only the trigger of a changed table writes the trail, so it is never at the first level.
CREATE FUNCTION accounts.trail_writes_itself() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('trail_writes_itself', 'rows of the trail come from changed tables');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER trail_writes_itself AFTER INSERT ON accounts_auditrow
FOR EACH STATEMENT EXECUTE FUNCTION accounts.trail_writes_itself();
ALTER TABLE accounts_auditrow ENABLE ALWAYS TRIGGER trail_writes_itself;

SELECT accounts.make_append_only('accounts_sealblock');

CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accounts_sealleaf
FOR EACH STATEMENT EXECUTE FUNCTION accounts.keep_history();
ALTER TABLE accounts_sealleaf ENABLE ALWAYS TRIGGER history_is_append_only;

SELECT accounts.watch(t::regclass, 'id') FROM unnest(ARRAY[
    'accounts_legalentity', 'accounts_client', 'accounts_marginaccount', 'accounts_bucket',
    'accounts_accountgroup', 'accounts_groupmember', 'accounts_scope', 'accounts_agreement',
    'accounts_agreementversion', 'accounts_accountagreement', 'accounts_rolegrant']) t;
SELECT accounts.watch('accounts_operator', 'id', 'password,last_login');
SELECT accounts.watch('accounts_personkey', 'id', 'key');
SELECT accounts.watch('accounts_approval', 'id');
SELECT accounts.watch('accounts_approvalaction', 'code');

SELECT accounts.keep_rows(t::regclass) FROM unnest(ARRAY[
    'accounts_legalentity', 'accounts_client', 'accounts_marginaccount', 'accounts_bucket',
    'accounts_scope', 'accounts_agreement', 'accounts_agreementversion',
    'accounts_accountagreement', 'accounts_rolegrant', 'accounts_operator', 'accounts_personkey',
    'accounts_approval']) t;

SELECT accounts.keep_columns('accounts_legalentity', 'legal_entity_stays_itself', 'code');
SELECT accounts.keep_columns('accounts_client', 'client_stays_itself',
    'legal_entity_id,code,person_key_id');
SELECT accounts.keep_columns('accounts_operator', 'operator_stays_itself', 'username');
SELECT accounts.keep_columns('accounts_marginaccount', 'account_stays_in_its_pool',
    'legal_entity_id,code,owner_class,client_id,parent_id');
SELECT accounts.keep_columns('accounts_bucket', 'bucket_stays_in_its_account',
    'account_id,code,role,instrument_code,is_margined');
SELECT accounts.keep_columns('accounts_scope', 'scope_stays_itself', 'bucket_id,account_id,group_id');
SELECT accounts.keep_columns('accounts_accountgroup', 'group_keeps_its_owner',
    'legal_entity_id,code,owner_class,client_id');
SELECT accounts.keep_columns('accounts_agreementversion', 'agreement_version_stays_as_agreed',
    'agreement_id,version,effective_from,model,parameters,call_level,liquidation_level,'
    'minimum_transfer_amount,currency,call_due_for,eligible_collateral,'
    'segregation_regime,jurisdiction,document_sha256');
SELECT accounts.keep_columns('accounts_accountagreement', 'account_agreement_stays_as_signed',
    'account_id,agreement_id,effective_from');
SELECT accounts.keep_columns('accounts_rolegrant', 'role_grant_stays_as_given',
    'operator_id,role,legal_entity_id,desk,granted_xid');

-- An account, its client and its parent account are of one owner and one legal entity.
CREATE FUNCTION accounts.account_shares_its_owner() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.accounts_client c
               WHERE c.id = NEW.client_id AND c.legal_entity_id <> NEW.legal_entity_id)
       OR EXISTS (SELECT FROM public.accounts_marginaccount p
                  WHERE p.id = NEW.parent_id
                    AND (p.legal_entity_id, p.owner_class) IS DISTINCT FROM
                        (NEW.legal_entity_id, NEW.owner_class)
                     OR p.id = NEW.parent_id AND p.client_id IS DISTINCT FROM NEW.client_id) THEN
        PERFORM accounts.refuse('account_shares_one_owner',
            'the client or the parent account belongs to another owner');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_shares_one_owner BEFORE INSERT OR UPDATE ON accounts_marginaccount
FOR EACH ROW EXECUTE FUNCTION accounts.account_shares_its_owner();
ALTER TABLE accounts_marginaccount ENABLE ALWAYS TRIGGER account_shares_one_owner;

-- The key of a person's data is made once and can only be destroyed.
CREATE FUNCTION accounts.person_key_is_made_once() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id IS DISTINCT FROM OLD.id
       OR NEW.key IS DISTINCT FROM OLD.key AND (NEW.key IS NOT NULL OR NEW.destroyed_at IS NULL)
       OR OLD.destroyed_at IS NOT NULL AND NEW.destroyed_at IS DISTINCT FROM OLD.destroyed_at THEN
        PERFORM accounts.refuse('person_key_is_made_once',
            'the key of a person''s data never changes; it can only be destroyed');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER person_key_is_made_once BEFORE UPDATE ON accounts_personkey
FOR EACH ROW EXECUTE FUNCTION accounts.person_key_is_made_once();
ALTER TABLE accounts_personkey ENABLE ALWAYS TRIGGER person_key_is_made_once;

-- A group's members share its owner class and its client.
CREATE FUNCTION accounts.group_shares_its_owner() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.accounts_accountgroup g, public.accounts_marginaccount a
        WHERE g.id = NEW.group_id AND a.id = NEW.account_id
          AND (g.owner_class <> a.owner_class OR g.client_id IS DISTINCT FROM a.client_id
               OR g.legal_entity_id <> a.legal_entity_id)
    ) THEN
        PERFORM accounts.refuse('group_shares_one_owner', 'the account belongs to another owner');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER group_shares_one_owner BEFORE INSERT OR UPDATE ON accounts_groupmember
FOR EACH ROW EXECUTE FUNCTION accounts.group_shares_its_owner();
ALTER TABLE accounts_groupmember ENABLE ALWAYS TRIGGER group_shares_one_owner;

-- ---------------------------------------------------------------- sessions

-- Sign-in is checked by the program; the database keeps who is in, since when, until when.
CREATE FUNCTION accounts.open_session(operator bigint, session_key text, lives_for interval)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    opened uuid := gen_random_uuid();
    now timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_operator WHERE id = operator AND is_active) THEN
        PERFORM accounts.refuse('session_is_live', 'the operator is not active');
    END IF;
    INSERT INTO accounts_operatorsession
        (id, operator_id, key_sha256, opened_at, last_seen_at, expires_at)
    VALUES (opened, operator, sha256(convert_to(session_key, 'UTF8')),
            now, now, now + least(lives_for, interval '12 hours'));
    RETURN opened;
END $$;

-- A session is never passed on, prolonged or taken up again.
CREATE FUNCTION accounts.session_ends_once() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.operator_id, NEW.key_sha256, NEW.opened_at, NEW.expires_at)
       IS DISTINCT FROM (OLD.id, OLD.operator_id, OLD.key_sha256, OLD.opened_at, OLD.expires_at)
       OR OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at THEN
        PERFORM accounts.refuse('session_stays_as_opened',
            'a session keeps its operator, key and end; an ended one stays ended');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_stays_as_opened BEFORE UPDATE ON accounts_operatorsession
FOR EACH ROW EXECUTE FUNCTION accounts.session_ends_once();
ALTER TABLE accounts_operatorsession ENABLE ALWAYS TRIGGER session_stays_as_opened;

CREATE FUNCTION accounts.end_session(session_key text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE accounts_operatorsession SET ended_at = clock_timestamp()
    WHERE key_sha256 = sha256(convert_to(session_key, 'UTF8')) AND ended_at IS NULL
$$;

CREATE FUNCTION accounts.touch_session(session_key text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE accounts_operatorsession SET last_seen_at = clock_timestamp()
    WHERE key_sha256 = sha256(convert_to(session_key, 'UTF8')) AND ended_at IS NULL
      AND last_seen_at < clock_timestamp() - interval '1 minute'
$$;

-- ---------------------------------------------------------------- four eyes

CREATE SEQUENCE accounts_approval_number;

-- Whether somebody holds one of the roles for the whole legal entity; a role limited to a desk
-- does not reach what concerns them all.
CREATE FUNCTION accounts.holds_role(operator bigint, roles text[], entity bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.accounts_rolegrant g JOIN public.accounts_operator o ON o.id = g.operator_id
        WHERE g.operator_id = operator AND g.role = ANY (roles) AND g.legal_entity_id = entity
          AND g.desk = '' AND g.revoked_xid IS NULL AND o.is_active)
$$;

-- Who acts in this transaction, as a person; refused for machines.
CREATE FUNCTION accounts.acting_operator() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    who bigint;
BEGIN
    SELECT a.operator_id INTO who
    FROM public.accounts_act a JOIN public.accounts_operatorsession s ON s.id = a.session_id
    WHERE a.xid = pg_current_xact_id_if_assigned()
      AND s.ended_at IS NULL AND s.expires_at > clock_timestamp();
    IF who IS NULL THEN
        PERFORM accounts.refuse('session_is_live', 'a person with a live session must act here');
    END IF;
    RETURN who;
END $$;

CREATE FUNCTION accounts.payload_sha256(payload jsonb) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$ SELECT sha256(convert_to(payload::text, 'UTF8')) $$;

-- The rules of a request stand in the table's own triggers, so that they hold for whoever writes.
CREATE FUNCTION accounts.approval_begins() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    rules public.accounts_approvalaction;
BEGIN
    SELECT * INTO rules FROM public.accounts_approvalaction WHERE code = NEW.action_id;
    IF rules.code IS NULL THEN
        PERFORM accounts.refuse('approval_has_an_action',
            format('nothing that needs two people is called %s', NEW.action_id));
    END IF;
    IF NEW.maker_id IS DISTINCT FROM accounts.acting_operator() THEN
        PERFORM accounts.refuse('maker_is_the_session', 'the maker is who acts, through a live session');
    END IF;
    IF NOT accounts.holds_role(NEW.maker_id, rules.maker_roles, NEW.legal_entity_id) THEN
        PERFORM accounts.refuse('maker_holds_the_role', 'the maker holds no role that may ask for this');
    END IF;
    IF length(trim(NEW.reason)) < 10 THEN
        PERFORM accounts.refuse('approval_has_a_reason', 'the reason needs at least 10 characters');
    END IF;
    IF NOT EXISTS (SELECT FROM public.accounts_operator o WHERE o.id <> NEW.maker_id
                   AND accounts.holds_role(o.id, rules.checker_roles, NEW.legal_entity_id)) THEN
        PERFORM accounts.refuse('approval_needs_two_people', 'nobody else may decide this');
    END IF;
    IF NEW.decision <> '' OR NEW.used_xid IS NOT NULL
       OR NEW.expires_at > clock_timestamp() + rules.lives_for
       OR NEW.payload_sha256 IS DISTINCT FROM accounts.payload_sha256(NEW.payload) THEN
        PERFORM accounts.refuse('approval_begins_undecided',
            'a request begins undecided, with the hash of its content, and expires in time');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_begins_undecided BEFORE INSERT ON accounts_approval
FOR EACH ROW EXECUTE FUNCTION accounts.approval_begins();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER approval_begins_undecided;

-- A request keeps what it asks; decision and use are written once, each by its own rules.
CREATE FUNCTION accounts.approval_goes_on() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    checkers text[];
BEGIN
    IF (NEW.decision, NEW.checker_id, NEW.decided_at, NEW.decision_reason)
       IS DISTINCT FROM (OLD.decision, OLD.checker_id, OLD.decided_at, OLD.decision_reason) THEN
        IF OLD.decision <> '' THEN
            PERFORM accounts.refuse('approval_is_decided_once', 'the request is already decided');
        END IF;
        IF NEW.checker_id IS DISTINCT FROM accounts.acting_operator() THEN
            PERFORM accounts.refuse('checker_is_the_session',
                'the checker is who acts, through a live session');
        END IF;
        IF NEW.checker_id = OLD.maker_id THEN
            PERFORM accounts.refuse('approval_is_not_ones_own', 'who asked cannot decide');
        END IF;
        SELECT checker_roles INTO checkers FROM public.accounts_approvalaction
        WHERE code = OLD.action_id;
        IF NOT accounts.holds_role(NEW.checker_id, checkers, OLD.legal_entity_id) THEN
            PERFORM accounts.refuse('checker_holds_the_role',
                'the checker holds no role that may decide this');
        END IF;
        IF OLD.expires_at <= clock_timestamp() THEN
            PERFORM accounts.refuse('approval_has_not_expired', 'the request has expired');
        END IF;
        IF NEW.decision NOT IN ('approved', 'rejected') OR length(trim(NEW.decision_reason)) < 10 THEN
            PERFORM accounts.refuse('approval_has_a_reason',
                'a decision is approved or rejected, with a reason of at least 10 characters');
        END IF;
    END IF;
    IF (NEW.used_xid, NEW.used_at) IS DISTINCT FROM (OLD.used_xid, OLD.used_at) THEN
        IF OLD.decision <> 'approved' THEN
            PERFORM accounts.refuse('approval_is_given', 'a second person has not approved this');
        END IF;
        IF OLD.used_xid IS NOT NULL THEN
            PERFORM accounts.refuse('approval_is_used_once', 'the approval is already used');
        END IF;
        IF OLD.expires_at <= clock_timestamp() THEN
            PERFORM accounts.refuse('approval_has_not_expired', 'the approval has expired');
        END IF;
        IF NEW.used_xid IS DISTINCT FROM pg_current_xact_id() THEN
            PERFORM accounts.refuse('row_carries_its_transaction',
                'an approval is used by the transaction that acts on it');
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_is_decided_once BEFORE UPDATE ON accounts_approval
FOR EACH ROW EXECUTE FUNCTION accounts.approval_goes_on();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER approval_is_decided_once;
SELECT accounts.keep_columns('accounts_approval', 'approval_stays_as_asked',
    'id,number,legal_entity_id,action_id,subject,payload,payload_sha256,reason,maker_id,made_at,expires_at');

-- Asks for a second person's agreement to exactly `payload`. The maker is who acts.
CREATE FUNCTION accounts.request_approval(
    entity bigint, action_code text, subject text, payload jsonb, reason text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked uuid := gen_random_uuid();
BEGIN
    INSERT INTO accounts_approval (id, number, legal_entity_id, action_id, subject, payload,
        payload_sha256, reason, maker_id, made_at, expires_at, decision, decision_reason)
    VALUES (asked, nextval('accounts_approval_number'), entity, action_code, subject, payload,
        accounts.payload_sha256(payload), reason, accounts.acting_operator(), clock_timestamp(),
        clock_timestamp() + coalesce((SELECT lives_for FROM accounts_approvalaction
                                      WHERE code = action_code), '0'), '', '');
    RETURN asked;
END $$;

-- Decides a request, once. The checker is who acts, and is not its maker.
CREATE FUNCTION accounts.decide_approval(approval uuid, verdict text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts_approval
    SET checker_id = accounts.acting_operator(), decision = coalesce(verdict, ''),
        decision_reason = coalesce(why, ''), decided_at = clock_timestamp()
    WHERE id = approval;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('approval_exists', 'there is no such request');
    END IF;
END $$;

-- Spends an approval on exactly what it was given for; used by the functions that act.
CREATE FUNCTION accounts.use_approval(approval uuid, action_code text, payload jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given accounts_approval;
BEGIN
    PERFORM accounts.require_act();
    SELECT * INTO given FROM accounts_approval WHERE id = approval FOR UPDATE;
    IF given.id IS NULL THEN
        PERFORM accounts.refuse('approval_is_given', 'a second person has not approved this');
    END IF;
    IF given.action_id IS DISTINCT FROM action_code
       OR given.payload_sha256 IS DISTINCT FROM accounts.payload_sha256(payload) THEN
        PERFORM accounts.refuse('approval_is_for_this', 'the approval was given for something else');
    END IF;
    UPDATE accounts_approval SET used_xid = pg_current_xact_id(), used_at = clock_timestamp()
    WHERE id = approval;
END $$;

-- ---------------------------------------------------------------- roles

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'what needs two people');
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('role.grant', 'Give a role', '{administrator}', '{administrator}', '1 day'),
    ('role.revoke', 'Take a role away', '{administrator}', '{administrator}', '1 day'),
    ('person.erase', 'Erase a person''s name', '{operations,compliance}', '{compliance}', '1 day');

-- Duties that one person must not hold together at one legal entity: an administrator has no
-- other role, an auditor only reads.
CREATE FUNCTION accounts.roles_conflict(operator bigint, entity bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT count(DISTINCT g.role) > 1 AND bool_or(g.role IN ('administrator', 'auditor'))
    FROM public.accounts_rolegrant g
    WHERE g.operator_id = operator AND g.legal_entity_id = entity AND g.revoked_xid IS NULL
$$;

CREATE FUNCTION accounts.administrators(entity bigint, without bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM public.accounts_operator o
    WHERE o.id IS DISTINCT FROM without AND accounts.holds_role(o.id, '{administrator}', entity)
$$;

-- A role is given by a used approval of exactly this, or when the desk is founded.
CREATE FUNCTION accounts.role_is_given() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    FOR given IN SELECT * FROM new_rows LOOP
        IF given.granted_xid IS DISTINCT FROM pg_current_xact_id() OR given.revoked_xid IS NOT NULL THEN
            PERFORM accounts.refuse('row_carries_its_transaction',
                'a role begins in the transaction that gives it');
        END IF;
        IF EXISTS (SELECT FROM public.accounts_rolegrant g
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
CREATE TRIGGER role_is_given_by_two AFTER INSERT ON accounts_rolegrant
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.role_is_given();
ALTER TABLE accounts_rolegrant ENABLE ALWAYS TRIGGER role_is_given_by_two;

-- A role is taken away by a used approval of exactly this, once, and two administrators stay.
CREATE FUNCTION accounts.role_is_taken() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revoked_xid IS NOT DISTINCT FROM OLD.revoked_xid THEN
        RETURN NEW;
    END IF;
    IF OLD.revoked_xid IS NOT NULL OR NEW.revoked_xid IS DISTINCT FROM pg_current_xact_id() THEN
        PERFORM accounts.refuse('role_grant_stays_as_given', 'a role is taken away once, and now');
    END IF;
    IF NOT EXISTS (
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
CREATE TRIGGER role_is_taken_by_two BEFORE UPDATE ON accounts_rolegrant
FOR EACH ROW EXECUTE FUNCTION accounts.role_is_taken();
ALTER TABLE accounts_rolegrant ENABLE ALWAYS TRIGGER role_is_taken_by_two;

-- Gives a role with an approval of `role.grant`; the payload names operator, role and desk.
CREATE FUNCTION accounts.grant_role(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    given bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.grant', asked.payload);
    INSERT INTO accounts_rolegrant (operator_id, role, legal_entity_id, desk, granted_xid)
    VALUES ((asked.payload ->> 'operator')::bigint, asked.payload ->> 'role',
            asked.legal_entity_id, coalesce(asked.payload ->> 'desk', ''), pg_current_xact_id())
    RETURNING id INTO given;
    RETURN given;
END $$;

-- Takes a role away with an approval of `role.revoke`; the payload names the grant.
CREATE FUNCTION accounts.revoke_role(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'role.revoke', asked.payload);
    -- Two revocations at once must not both count the other's administrator as remaining.
    PERFORM FROM accounts_legalentity WHERE id = asked.legal_entity_id FOR UPDATE;
    UPDATE accounts_rolegrant SET revoked_xid = pg_current_xact_id()
    WHERE id = (asked.payload ->> 'grant')::bigint AND legal_entity_id = asked.legal_entity_id
      AND revoked_xid IS NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('role_is_held', 'nobody holds this role any more');
    END IF;
END $$;

-- The first people of a legal entity; refused once anybody holds a role there.
CREATE FUNCTION accounts.found_desk(entity bigint, grants jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM accounts.require_act();
    PERFORM FROM accounts_legalentity WHERE id = entity FOR UPDATE;
    IF EXISTS (SELECT FROM accounts_rolegrant WHERE legal_entity_id = entity) THEN
        PERFORM accounts.refuse('desk_is_founded_once', 'roles exist here; give more with four eyes');
    END IF;
    IF (SELECT count(DISTINCT g ->> 'operator') FROM jsonb_array_elements(grants) g
        WHERE g ->> 'role' = 'administrator') < 2 THEN
        PERFORM accounts.refuse('desk_has_two_administrators', 'set-up names two administrators');
    END IF;
    INSERT INTO accounts_rolegrant (operator_id, role, legal_entity_id, desk, granted_xid)
    SELECT (g ->> 'operator')::bigint, g ->> 'role', entity, coalesce(g ->> 'desk', ''),
           pg_current_xact_id()
    FROM jsonb_array_elements(grants) g;
END $$;

-- ---------------------------------------------------------------- erasure

-- Destroys the key under which a client's name is kept, with an approval of `person.erase`;
-- the payload names the client.
CREATE FUNCTION accounts.erase_person(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'person.erase', asked.payload);
    UPDATE accounts_personkey k SET key = NULL, destroyed_at = clock_timestamp()
    FROM accounts_client c
    WHERE c.id = (asked.payload ->> 'client')::bigint AND c.legal_entity_id = asked.legal_entity_id
      AND k.id = c.person_key_id AND k.key IS NOT NULL;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('person_is_known', 'there is no such person, or the name is already erased');
    END IF;
END $$;

-- ---------------------------------------------------------------- what the runtime may write

GRANT INSERT, UPDATE ON accounts_legalentity, accounts_client, accounts_marginaccount,
    accounts_bucket, accounts_accountgroup, accounts_groupmember, accounts_scope,
    accounts_agreement, accounts_agreementversion, accounts_accountagreement,
    accounts_operator TO bo_runtime;
GRANT INSERT ON accounts_personkey TO bo_runtime;
GRANT INSERT ON accounts_sealblock, accounts_sealleaf TO bo_runtime;
GRANT INSERT, UPDATE, DELETE ON django_session, accounts_signinfailure TO bo_runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bo_runtime;
REVOKE USAGE ON SEQUENCE accounts_approval_number FROM bo_runtime;

-- Who reads for an audit sees everything but what would let them be somebody else, or undo an
-- erasure: keys of sessions, password hashes, keys of persons.
REVOKE SELECT ON django_session, accounts_operator, accounts_personkey, accounts_operatorsession
    FROM bo_auditor;
GRANT SELECT (id, last_login, username, full_name, is_active, theme) ON accounts_operator
    TO bo_auditor;
GRANT SELECT (id, destroyed_at) ON accounts_personkey TO bo_auditor;
GRANT SELECT (id, operator_id, opened_at, last_seen_at, expires_at, ended_at)
    ON accounts_operatorsession TO bo_auditor;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA accounts FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA accounts TO bo_owner;
GRANT EXECUTE ON FUNCTION accounts.act(text, text, text, text, text),
    accounts.refuse(text, text), accounts.require_act(), accounts.live_session(text),
    accounts.row_key(jsonb, text[]), accounts.masked(jsonb, text[]),
    accounts.changed_secrets(jsonb, jsonb, text[]), accounts.payload_sha256(jsonb),
    accounts.open_session(bigint, text, interval), accounts.end_session(text),
    accounts.touch_session(text), accounts.holds_role(bigint, text[], bigint),
    accounts.acting_operator(), accounts.request_approval(bigint, text, text, jsonb, text),
    accounts.decide_approval(uuid, text, text), accounts.use_approval(uuid, text, jsonb),
    accounts.grant_role(uuid), accounts.revoke_role(uuid), accounts.found_desk(bigint, jsonb),
    accounts.erase_person(uuid) TO bo_runtime;
