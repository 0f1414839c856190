-- Retention: how long records are kept, holds that stop all of it, and erasure: the key of a
-- person is destroyed and the name is taken from every text, while seals still prove the rest.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'retention, holds and erasure') ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'accounts_retentionclass', 'accounts_retentionrule', 'accounts_erasure', 'accounts_redaction',
    'accounts_purge']) t;
SELECT accounts.watch('accounts_legalhold', 'id');
SELECT accounts.keep_rows('accounts_legalhold');
SELECT accounts.keep_columns('accounts_legalhold', 'hold_stays_as_placed',
    'id,client_id,reason,placed_xid');

INSERT INTO accounts_retentionclass (code, title, clock) VALUES
    ('client_identity', 'Who a client is', 'the day the last account of the client was closed'),
    ('book', 'Entries, statements, the trail and their seals', 'the day of the record'),
    ('notices', 'Notices of margin calls', 'the day of the notice'),
    ('jobs', 'Jobs that have ended', 'the end of the job'),
    ('sign_in_failures', 'Failed sign-ins', 'the attempt'),
    ('sessions', 'Browser sessions', 'the end of the session');
INSERT INTO accounts_retentionrule (record_id, effective_from, keep_for, gone_after, basis) VALUES
    ('client_identity', '1970-01-01', '1826 days', '3653 days',
     'five years after the end of the relationship; gone after ten'),
    ('book', '1970-01-01', '2557 days', NULL, 'seven years; sealed records are never purged'),
    ('notices', '1970-01-01', '2557 days', '3653 days', 'seven years; gone after ten'),
    ('jobs', '1970-01-01', '90 days', '400 days', 'what the desk needs to look back on'),
    ('sign_in_failures', '1970-01-01', '0 days', '90 days', 'what finding an attack needs'),
    ('sessions', '1970-01-01', '0 days', '1 day', 'nothing once they have ended');
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('retention.set', 'Change how long records are kept', '{compliance}', '{compliance,administrator}',
     '1 day'),
    ('hold.place', 'Place a legal hold', '{operations,compliance}', '{compliance,risk}', '1 day'),
    ('hold.lift', 'Lift a legal hold', '{operations,compliance}', '{compliance}', '1 day');

-- ---------------------------------------------------------------- what people agreed to

-- Whether an approval of exactly this was used in this transaction.
CREATE FUNCTION accounts.is_agreed(action_code text, entity bigint, said jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.accounts_approval a
        WHERE a.used_xid = pg_current_xact_id() AND a.action_id = action_code
          AND (entity IS NULL OR a.legal_entity_id = entity) AND a.payload @> said)
$$;

CREATE FUNCTION accounts.retention_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT accounts.is_agreed('retention.set', NULL, jsonb_build_object(
            'record', NEW.record_id, 'effective_from', NEW.effective_from,
            'keep_days', extract(epoch FROM NEW.keep_for)::bigint / 86400,
            'gone_days', extract(epoch FROM NEW.gone_after)::bigint / 86400, 'basis', NEW.basis)) THEN
        PERFORM accounts.refuse('retention_is_set_by_two',
            'how long records are kept changes with the approval of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER retention_is_set_by_two BEFORE INSERT ON accounts_retentionrule
FOR EACH ROW EXECUTE FUNCTION accounts.retention_is_agreed();
ALTER TABLE accounts_retentionrule ENABLE ALWAYS TRIGGER retention_is_set_by_two;

CREATE FUNCTION accounts.set_retention(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    said jsonb := (SELECT payload FROM accounts_approval WHERE id = approval);
    made bigint;
BEGIN
    PERFORM accounts.use_approval(approval, 'retention.set', said);
    INSERT INTO accounts_retentionrule (record_id, effective_from, keep_for, gone_after, basis)
    VALUES (said ->> 'record', (said ->> 'effective_from')::date,
            make_interval(days => (said ->> 'keep_days')::integer),
            make_interval(days => (said ->> 'gone_days')::integer), said ->> 'basis')
    RETURNING id INTO made;
    RETURN made;
END $$;

-- The rule of a class on a day.
CREATE FUNCTION accounts.retention_of(record text, day date) RETURNS accounts_retentionrule
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT r FROM accounts_retentionrule r
    WHERE r.record_id = record AND r.effective_from <= day
    ORDER BY r.effective_from DESC LIMIT 1
$$;

-- ---------------------------------------------------------------- holds

CREATE FUNCTION accounts.hold_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    entity bigint := (SELECT c.legal_entity_id FROM accounts_client c WHERE c.id = NEW.client_id);
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.placed_xid <> pg_current_xact_id() OR NEW.lifted_xid IS NOT NULL
           OR NOT accounts.is_agreed('hold.place', entity, jsonb_build_object(
               'client', NEW.client_id, 'reason', NEW.reason)) THEN
            PERFORM accounts.refuse('hold_is_placed_by_two',
                'a hold is placed with the approval of a second person');
        END IF;
    ELSIF (NEW.lifted_xid, NEW.lifted_reason) IS DISTINCT FROM (OLD.lifted_xid, OLD.lifted_reason)
          AND (OLD.lifted_xid IS NOT NULL OR NEW.lifted_xid IS DISTINCT FROM pg_current_xact_id()
               OR NOT accounts.is_agreed('hold.lift', entity, jsonb_build_object(
                   'hold', NEW.id, 'reason', NEW.lifted_reason))) THEN
        PERFORM accounts.refuse('hold_is_lifted_by_two',
            'a hold is lifted once, with the approval of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_is_placed_by_two BEFORE INSERT OR UPDATE ON accounts_legalhold
FOR EACH ROW EXECUTE FUNCTION accounts.hold_is_agreed();
ALTER TABLE accounts_legalhold ENABLE ALWAYS TRIGGER hold_is_placed_by_two;

CREATE FUNCTION accounts.place_hold(approval uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    said jsonb := (SELECT payload FROM accounts_approval WHERE id = approval);
    made uuid := gen_random_uuid();
BEGIN
    PERFORM accounts.use_approval(approval, 'hold.place', said);
    PERFORM FROM accounts_client WHERE id = (said ->> 'client')::bigint FOR NO KEY UPDATE;
    INSERT INTO accounts_legalhold (id, client_id, reason, placed_xid, lifted_reason)
    VALUES (made, (said ->> 'client')::bigint, said ->> 'reason', pg_current_xact_id(), '');
    RETURN made;
END $$;

CREATE FUNCTION accounts.lift_hold(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    said jsonb := (SELECT payload FROM accounts_approval WHERE id = approval);
BEGIN
    PERFORM accounts.use_approval(approval, 'hold.lift', said);
    UPDATE accounts_legalhold SET lifted_xid = pg_current_xact_id(), lifted_reason = said ->> 'reason'
    WHERE id = (said ->> 'hold')::uuid;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('hold_is_there', 'there is no such hold');
    END IF;
END $$;

-- ---------------------------------------------------------------- erasure

-- The day the last account of a client was closed: none while one is open, or before the first.
CREATE FUNCTION accounts.relationship_end(client bigint, OUT ended date, OUT has_begun boolean)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN bool_and(a.closed_on IS NOT NULL) THEN max(a.closed_on) END, count(*) > 0
    FROM accounts_marginaccount a WHERE a.client_id = client
$$;

-- Until when a client's name must be kept: for ever while the relationship lasts.
CREATE FUNCTION accounts.kept_until(client bigint, day date) RETURNS date
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT CASE
        WHEN NOT e.has_begun THEN NULL
        WHEN e.ended IS NULL THEN 'infinity'
        ELSE (e.ended + (accounts.retention_of('client_identity', day)).keep_for)::date END
    FROM accounts.relationship_end(client) e
$$;

-- A person is erased as two people agreed, when nothing holds them and their time has come, or
-- for a lawful reason that stands in the record.
CREATE FUNCTION accounts.erasure_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    whose accounts_client := (SELECT c FROM accounts_client c WHERE c.id = NEW.client_id);
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    until date := accounts.kept_until(NEW.client_id, today);
BEGIN
    IF NEW.person_key_id IS DISTINCT FROM whose.person_key_id
       OR NEW.kept_until IS DISTINCT FROM nullif(until, 'infinity') THEN
        PERFORM accounts.refuse('erasure_is_of_a_person', 'an erasure names a client and their key');
    END IF;
    IF NEW.is_again THEN
        IF NOT EXISTS (SELECT FROM accounts_act a WHERE a.xid = pg_current_xact_id()
                       AND a.actor = 'system:command:restore') THEN
            PERFORM accounts.refuse('erasure_is_done_again_on_restore',
                'only a restore does an erasure again that was agreed to before');
        END IF;
        RETURN NEW;
    END IF;
    IF NOT accounts.is_agreed('person.erase', whose.legal_entity_id,
                              jsonb_build_object('client', NEW.client_id)) THEN
        PERFORM accounts.refuse('erasure_is_agreed', 'a person is erased with the approval of a second');
    END IF;
    IF EXISTS (SELECT FROM accounts_legalhold h
               WHERE h.client_id = NEW.client_id AND h.lifted_xid IS NULL) THEN
        PERFORM accounts.refuse('held_person_is_kept', 'a legal hold is on this client');
    END IF;
    IF until > today AND length(trim(NEW.lawful_reason)) < 10 THEN
        PERFORM accounts.refuse('erasure_waits_for_its_date', CASE until
            WHEN 'infinity' THEN 'the client still has an account; a lawful reason would have to be named'
            ELSE format('the name must be kept until %s, unless a lawful reason is named', until) END);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER erasure_is_agreed BEFORE INSERT ON accounts_erasure
FOR EACH ROW EXECUTE FUNCTION accounts.erasure_is_agreed();
ALTER TABLE accounts_erasure ENABLE ALWAYS TRIGGER erasure_is_agreed;

-- A key is destroyed with the erasure of its person, in one transaction, whoever writes.
CREATE FUNCTION accounts.key_goes_with_its_person() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_erasure e
                   WHERE e.person_key_id = NEW.id AND e.xid = pg_current_xact_id()) THEN
        IF EXISTS (SELECT FROM accounts_legalhold h JOIN accounts_client c ON c.id = h.client_id
                   WHERE c.person_key_id = NEW.id AND h.lifted_xid IS NULL) THEN
            PERFORM accounts.refuse('held_person_is_kept', 'a legal hold is on this client');
        END IF;
        PERFORM accounts.refuse('key_goes_with_its_person',
            'the key of a person is destroyed with the erasure of that person alone');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER person_key_leaves_with_its_person BEFORE UPDATE ON accounts_personkey
FOR EACH ROW WHEN (OLD.key IS NOT NULL AND NEW.key IS NULL)
EXECUTE FUNCTION accounts.key_goes_with_its_person();
ALTER TABLE accounts_personkey ENABLE ALWAYS TRIGGER person_key_leaves_with_its_person;

-- Destroys the key under which a client's name is kept, with an approval of `person.erase`; the
-- payload names the client and, before the time has come, the lawful reason.
DROP FUNCTION accounts.erase_person(uuid);
CREATE FUNCTION accounts.erase_person(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    whose accounts_client;
    made bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    SELECT * INTO whose FROM accounts_client c
    WHERE c.id = (asked.payload ->> 'client')::bigint AND c.legal_entity_id = asked.legal_entity_id
    FOR NO KEY UPDATE;
    PERFORM accounts.use_approval(approval, 'person.erase', asked.payload);
    IF NOT EXISTS (SELECT FROM accounts_personkey k WHERE k.id = whose.person_key_id
                   AND k.key IS NOT NULL) THEN
        PERFORM accounts.refuse('person_is_known', 'there is no such person, or the name is already erased');
    END IF;
    INSERT INTO accounts_erasure (person_key_id, client_id, kept_until, lawful_reason, is_again)
    VALUES (whose.person_key_id, whose.id,
            nullif(accounts.kept_until(whose.id, (clock_timestamp() AT TIME ZONE 'UTC')::date), 'infinity'),
            coalesce(asked.payload ->> 'lawful_reason', ''), false)
    RETURNING id INTO made;
    UPDATE accounts_personkey SET key = NULL, destroyed_at = clock_timestamp()
    WHERE id = whose.person_key_id;
    RETURN made;
END $$;

-- Destroys keys again that were destroyed before a backup was restored; returns the erasures.
CREATE FUNCTION accounts.erase_again(keys uuid[]) RETURNS TABLE (erasure_id bigint, key_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM accounts.require_act();
    RETURN QUERY
    INSERT INTO accounts_erasure (person_key_id, client_id, kept_until, lawful_reason, is_again)
    SELECT c.person_key_id, c.id,
           nullif(accounts.kept_until(c.id, (clock_timestamp() AT TIME ZONE 'UTC')::date), 'infinity'),
           'erased before the backup was restored', true
    FROM accounts_client c JOIN accounts_personkey k ON k.id = c.person_key_id AND k.key IS NOT NULL
    WHERE k.id = ANY (keys)
    RETURNING accounts_erasure.id, accounts_erasure.person_key_id;
    UPDATE accounts_personkey SET key = NULL, destroyed_at = clock_timestamp()
    WHERE id = ANY (keys) AND key IS NOT NULL;
END $$;

-- ---------------------------------------------------------------- taking a name out of texts

-- Columns that hold what people and files said. Nothing else is ever taken out of a row.
CREATE FUNCTION accounts.words() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '{account_title,after,analysis,arguments,before,close_reason,closing_reason,content,
        decision_reason,detail,details,error,guarantee_reference,keeper,keeper_address,
        lawful_reason,letter_reference,lifted_reason,narrative,note,outcome,reason,reasons,
        recipients,reference,representation,result,subject,text}'::text[]
$$;

CREATE FUNCTION accounts.is_erasing() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM public.accounts_erasure e WHERE e.xid = pg_current_xact_id_if_assigned())
$$;

CREATE FUNCTION accounts.only_words_change(was jsonb, now jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT was - accounts.words() = now - accounts.words()
$$;

-- A row of history changes when a name is taken out of its words, with the erasure, and so that
-- nothing else changes and every text keeps its length.
CREATE FUNCTION accounts.only_words_are_redacted() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD);
    now jsonb := to_jsonb(NEW);
BEGIN
    IF NOT accounts.is_erasing() OR NOT accounts.only_words_change(was, now) OR EXISTS (
        SELECT FROM jsonb_each_text(was) w JOIN jsonb_each_text(now) n USING (key)
        WHERE length(w.value) IS DISTINCT FROM length(n.value)) THEN
        PERFORM accounts.refuse('only_words_are_redacted',
            'history changes only where the name of an erased person is taken out of its words');
    END IF;
    RETURN NEW;
END $$;

-- Lets a name be taken out of a table whose rows otherwise stay as they are.
CREATE FUNCTION accounts.let_words_be_redacted(target regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER only_words_are_redacted BEFORE UPDATE ON %s FOR EACH ROW
                    EXECUTE FUNCTION accounts.only_words_are_redacted()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER only_words_are_redacted', target);
END $$;

CREATE OR REPLACE FUNCTION accounts.keep_history() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- A table without the trigger that watches a redaction row by row takes none.
    IF TG_OP = 'UPDATE' AND accounts.is_erasing() AND EXISTS (
        SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = TG_RELID
          AND t.tgname = 'only_words_are_redacted' AND t.tgenabled = 'A') THEN
        RETURN NULL;
    END IF;
    PERFORM accounts.refuse('history_is_append_only',
        format('%s on %s: rows are added, never changed or removed', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION accounts.columns_stay() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD);
    now jsonb := to_jsonb(NEW);
    name text;
BEGIN
    FOREACH name IN ARRAY string_to_array(TG_ARGV[1], ',') LOOP
        IF was -> name IS DISTINCT FROM now -> name
           AND NOT (name = ANY (accounts.words()) AND accounts.is_erasing()) THEN
            PERFORM accounts.refuse(TG_ARGV[0],
                format('%s of %s never changes', name, TG_TABLE_NAME));
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

-- A decision keeps its reason, but for a name that is taken out of it.
DROP TRIGGER approval_is_decided_once ON accounts_approval;
CREATE TRIGGER approval_is_decided_once BEFORE UPDATE ON accounts_approval FOR EACH ROW
WHEN (NOT accounts.only_words_change(to_jsonb(OLD), to_jsonb(NEW)) OR NOT accounts.is_erasing())
EXECUTE FUNCTION accounts.approval_goes_on();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER approval_is_decided_once;

-- Writes the words of one row without the name. `place` is where the row stands now (ctid).
CREATE FUNCTION accounts.redact(target text, place tid, words jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    assigned text;
BEGIN
    IF NOT accounts.is_erasing() THEN
        PERFORM accounts.refuse('only_words_are_redacted', 'nobody is being erased');
    END IF;
    SELECT string_agg(format('%I = r.%I', k, k), ', ') INTO assigned
    FROM jsonb_object_keys(words) k WHERE k = ANY (accounts.words());
    EXECUTE format('UPDATE public.%I t SET %s FROM jsonb_populate_record(NULL::public.%I, $1) r'
                   ' WHERE t.ctid = $2', target, assigned, target) USING words, place;
END $$;

-- Records from which rows a name was taken, in the transaction of its erasure.
CREATE FUNCTION accounts.redaction_is_of_its_erasure() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_erasure e
                   WHERE e.id = NEW.erasure_id AND e.xid = pg_current_xact_id()) THEN
        PERFORM accounts.refuse('redaction_is_of_its_erasure',
            'a name is taken out of texts in the transaction that erases its person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER redaction_is_of_its_erasure BEFORE INSERT ON accounts_redaction
FOR EACH ROW EXECUTE FUNCTION accounts.redaction_is_of_its_erasure();
ALTER TABLE accounts_redaction ENABLE ALWAYS TRIGGER redaction_is_of_its_erasure;

GRANT INSERT ON accounts_redaction, accounts_purge TO bo_runtime;
GRANT USAGE ON SEQUENCE accounts_retentionrule_id_seq, accounts_erasure_id_seq,
    accounts_redaction_id_seq, accounts_purge_id_seq TO bo_runtime;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA accounts FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA accounts TO bo_owner;
GRANT EXECUTE ON FUNCTION accounts.erase_person(uuid), accounts.erase_again(uuid[]),
    accounts.place_hold(uuid), accounts.lift_hold(uuid), accounts.set_retention(uuid),
    accounts.redact(text, tid, jsonb), accounts.words(), accounts.is_erasing(),
    accounts.only_words_change(jsonb, jsonb), accounts.kept_until(bigint, date),
    accounts.relationship_end(bigint), accounts.retention_of(text, date) TO bo_runtime, bo_auditor;
REVOKE EXECUTE ON FUNCTION accounts.erase_person(uuid), accounts.erase_again(uuid[]),
    accounts.place_hold(uuid), accounts.lift_hold(uuid), accounts.set_retention(uuid),
    accounts.redact(text, tid, jsonb) FROM bo_auditor;
