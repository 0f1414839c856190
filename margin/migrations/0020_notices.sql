-- Notices of calls: texts that two people change, where they go, and what became of each delivery.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'notices and their delivery')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_noticetemplate', 'margin_noticecontact', 'margin_deliverytransition',
    'margin_deliveryevent']) t;
SELECT accounts.watch('margin_delivery', 'id', 'sent_to#,sent_bytes#');
SELECT accounts.keep_rows('margin_delivery');
SELECT accounts.keep_columns('margin_delivery', 'delivery_stays_as_it_was_sent',
    'id,call_id,event_id,kind,channel,template_id,contact_id,person_key_id,sent_to,sent_bytes,'
    'sha256,made_at');

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('notice.template', 'Change the text of a notice', '{operations,risk}', '{risk,compliance}',
     '5 days'),
    ('notice.contacts', 'Change where notices go', '{operations,risk}', '{risk,compliance}',
     '5 days');

-- ---------------------------------------------------------------- texts

-- What a text may name in braces, and nothing else.
CREATE FUNCTION margin.notice_places() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '{account,amount,amount_before,as_of,bucket,client,client_name,currency,due,equity,firm,
        initial_margin,issued,number,reason,run}'::text[]
$$;

CREATE FUNCTION margin.notice_kinds() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '{issued,raised,lowered,cancelled,partially_met,met,extended,expired,liquidating}'::text[]
$$;

CREATE FUNCTION margin.names_declared_places(said text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = margin, pg_temp AS $$
    SELECT regexp_replace(said, '\{(' || array_to_string(notice_places(), '|') || ')\}', '', 'g')
           !~ '[{}]'
$$;

ALTER TABLE margin_noticetemplate
    ADD CONSTRAINT template_names_declared_places
        CHECK (margin.names_declared_places(subject) AND margin.names_declared_places(body)),
    ADD CONSTRAINT template_subject_is_one_line
        CHECK (subject <> '' AND subject !~ '[[:cntrl:]\u2028\u2029]'),
    ADD CONSTRAINT template_body_is_plain_text
        CHECK (length(body) BETWEEN 1 AND 20000
               AND translate(body, E'\n', '') !~ '[[:cntrl:]\u2028\u2029]'),
    ADD CONSTRAINT template_language_is_a_code CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
    ADD CONSTRAINT template_kind_is_known CHECK (kind::text = ANY (margin.notice_kinds()));

-- The standard text comes with the product; a firm's own is agreed to by two people of it.
CREATE FUNCTION margin.template_is_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE CASE
            WHEN n.legal_entity_id IS NULL THEN NOT EXISTS (
                SELECT FROM accounts_act WHERE xid = pg_current_xact_id_if_assigned()
                AND actor = 'system:migration')
            ELSE NOT EXISTS (
                SELECT FROM accounts.used_here('notice.template', n.legal_entity_id) asked
                WHERE to_jsonb(jsonb_populate_record(NULL::margin_noticetemplate, asked -> 'row'))
                      - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[]) END) THEN
        PERFORM accounts.refuse('notice_text_is_changed_by_two',
            'the text of a notice changes with the approval of a second person, of exactly this');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE n.version <> (
            SELECT count(*) FROM margin_noticetemplate t
            WHERE t.legal_entity_id IS NOT DISTINCT FROM n.legal_entity_id
              AND t.kind = n.kind AND t.language = n.language)) THEN
        PERFORM accounts.refuse('notice_text_follows_its_version',
            'the versions of a text are 1, 2, 3 and so on');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER notice_text_is_changed_by_two AFTER INSERT ON margin_noticetemplate
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.template_is_changed();
ALTER TABLE margin_noticetemplate ENABLE ALWAYS TRIGGER notice_text_is_changed_by_two;

INSERT INTO margin_noticetemplate (legal_entity_id, kind, language, version, subject, body) VALUES
(NULL, 'issued', 'en', 1, 'Margin call {number}',
'Margin call {number}
Account {account}, bucket {bucket}

As of {as_of} UTC the equity is {equity} {currency} and the initial margin {initial_margin} {currency}.
Called: {amount} {currency}.
Due: {due} UTC.
'),
(NULL, 'raised', 'en', 1, 'Margin call {number}: more is called',
'Margin call {number}: more is called
Account {account}, bucket {bucket}

As of {as_of} UTC the equity is {equity} {currency} and the initial margin {initial_margin} {currency}.
Called now: {amount} {currency}, instead of {amount_before}.
Due: {due} UTC.
'),
(NULL, 'lowered', 'en', 1, 'Margin call {number}: less is called',
'Margin call {number}: less is called
Account {account}, bucket {bucket}

As of {as_of} UTC the equity is {equity} {currency} and the initial margin {initial_margin} {currency}.
Called now: {amount} {currency}, instead of {amount_before}.
Due: {due} UTC.
'),
(NULL, 'cancelled', 'en', 1, 'Margin call {number}: cancelled',
'Margin call {number}: cancelled
Account {account}, bucket {bucket}

The call of {issued} UTC is cancelled. Nothing is due.
'),
(NULL, 'partially_met', 'en', 1, 'Margin call {number}: partially met',
'Margin call {number}: partially met
Account {account}, bucket {bucket}

A part of what was called has been received. Still called: {amount} {currency}.
Due: {due} UTC.
'),
(NULL, 'met', 'en', 1, 'Margin call {number}: met',
'Margin call {number}: met
Account {account}, bucket {bucket}

The call of {issued} UTC is met. Nothing is due.
'),
(NULL, 'extended', 'en', 1, 'Margin call {number}: more time',
'Margin call {number}: more time
Account {account}, bucket {bucket}

Called: {amount} {currency}.
Due: {due} UTC.
'),
(NULL, 'expired', 'en', 1, 'Margin call {number}: overdue',
'Margin call {number}: overdue
Account {account}, bucket {bucket}

What was called has not been received in time: {amount} {currency}, due {due} UTC.
'),
(NULL, 'liquidating', 'en', 1, 'Margin call {number}: liquidation has begun',
'Margin call {number}: liquidation has begun
Account {account}, bucket {bucket}

What was called has not been received: {amount} {currency}, due {due} UTC.
What the account holds is sold or closed until the call is met.
');

-- Spends an approval of `notice.template`: {"row": {...}}.
CREATE FUNCTION margin.change_notice_text(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'notice.template', asked.payload);
    INSERT INTO margin_noticetemplate (legal_entity_id, kind, language, version, subject, body)
    SELECT w.legal_entity_id, w.kind, w.language, w.version, w.subject, w.body
    FROM jsonb_populate_record(NULL::margin_noticetemplate, asked.payload -> 'row') w
    RETURNING id INTO added;
    RETURN added;
END $$;

-- ---------------------------------------------------------------- where they go

CREATE FUNCTION margin.contacts_are_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN accounts_client c ON c.id = n.client_id
        WHERE NOT EXISTS (
            SELECT FROM accounts.used_here('notice.contacts', c.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_noticecontact, asked -> 'row'))
                  - '{id,xid,after_event}'::text[] = to_jsonb(n) - '{id,xid,after_event}'::text[])) THEN
        PERFORM accounts.refuse('contacts_are_changed_by_two',
            'where notices go changes with the approval of a second person, of exactly this');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE n.version <> (
            SELECT count(*) FROM margin_noticecontact t WHERE t.client_id = n.client_id)) THEN
        PERFORM accounts.refuse('contacts_follow_their_version',
            'the versions of where notices go are 1, 2, 3 and so on');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n
        WHERE jsonb_typeof(n.channels) <> 'object'
           OR NOT n.kinds::text[] <@ margin.notice_kinds()
           OR EXISTS (SELECT FROM jsonb_each(n.channels) e(channel, kinds)
                      WHERE e.channel NOT IN ('email', 'webhook', 'letter')
                         OR jsonb_typeof(e.kinds) <> 'array'
                         OR e.kinds = '[]'
                         OR NOT e.kinds <@ to_jsonb(n.kinds))) THEN
        PERFORM accounts.refuse('contacts_name_known_ways',
            'a notice goes by e-mail, webhook or letter, for kinds that there are');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contacts_are_changed_by_two AFTER INSERT ON margin_noticecontact
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.contacts_are_changed();
ALTER TABLE margin_noticecontact ENABLE ALWAYS TRIGGER contacts_are_changed_by_two;

-- Spends an approval of `notice.contacts`: {"row": {...}}. It holds for what happens from now on.
CREATE FUNCTION margin.change_contacts(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'notice.contacts', asked.payload);
    INSERT INTO margin_noticecontact
        (client_id, version, language, channels, kinds, addressed, after_event)
    SELECT w.client_id, w.version, w.language, w.channels, w.kinds, w.addressed,
           coalesce((SELECT max(id) FROM margin_callevent), 0)
    FROM jsonb_populate_record(NULL::margin_noticecontact, asked.payload -> 'row') w
    RETURNING id INTO added;
    RETURN added;
END $$;

-- ---------------------------------------------------------------- steps of a delivery

INSERT INTO margin_deliverytransition (from_state, to_state, step, channels) VALUES
    ('', 'waiting', 'planned', '{email,webhook,letter}'),
    ('', 'delivered', 'written', '{outbox}'),
    ('waiting', 'sending', 'attempt', '{email,webhook}'),
    ('sending', 'sending', 'unknown', '{email,webhook}'),
    ('sending', 'delivered', 'accepted', '{email,webhook}'),
    ('sending', 'waiting', 'refused', '{email,webhook}'),
    ('sending', 'undelivered', 'gave_up', '{email,webhook}'),
    ('delivered', 'bounced', 'bounced', '{email,webhook,letter}'),
    ('undelivered', 'waiting', 'again', '{email,webhook,letter}'),
    ('bounced', 'waiting', 'again', '{email,webhook,letter}'),
    ('waiting', 'printed', 'printed', '{letter}'),
    ('printed', 'printed', 'printed', '{letter}'),
    ('printed', 'delivered', 'posted', '{letter}'),
    ('waiting', 'undelivered', 'gave_up', '{letter}'),
    ('printed', 'undelivered', 'gave_up', '{letter}'),
    ('waiting', 'dropped', 'dropped', '{email,webhook,letter}');

CREATE FUNCTION margin.delivery_transition_is_of_the_product() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_act WHERE xid = pg_current_xact_id_if_assigned()
                   AND actor = 'system:migration') THEN
        PERFORM accounts.refuse('delivery_transitions_come_with_the_product',
            'the steps of a delivery are listed by a migration');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_transitions_come_with_the_product AFTER INSERT ON margin_deliverytransition
FOR EACH STATEMENT EXECUTE FUNCTION margin.delivery_transition_is_of_the_product();
ALTER TABLE margin_deliverytransition
    ENABLE ALWAYS TRIGGER delivery_transitions_come_with_the_product;

CREATE FUNCTION margin.delivery_step_is_legal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    SELECT n.step, n.from_state, n.to_state INTO wrong
    FROM inserted n JOIN margin_delivery d ON d.id = n.delivery_id
    LEFT JOIN margin_deliveryevent p ON p.delivery_id = n.delivery_id AND p.number = n.number - 1
    WHERE n.from_state <> coalesce(p.to_state, '')
       OR (n.number = 1) <> (p.id IS NULL)
       OR NOT EXISTS (
           SELECT FROM margin_deliverytransition t
           WHERE t.from_state = n.from_state AND t.to_state = n.to_state AND t.step = n.step
             AND d.channel = ANY (t.channels))
    LIMIT 1;
    IF FOUND THEN
        PERFORM accounts.refuse('delivery_transition_is_legal', format(
            'a delivery does not go from %s to %s by %s',
            coalesce(nullif(wrong.from_state, ''), 'nothing'), wrong.to_state, wrong.step));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_transition_is_legal AFTER INSERT ON margin_deliveryevent
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION margin.delivery_step_is_legal();
ALTER TABLE margin_deliveryevent ENABLE ALWAYS TRIGGER delivery_transition_is_legal;

-- At commit the state of a delivery is that of its newest step, and its attempts are counted.
CREATE FUNCTION margin.delivery_is_as_its_steps() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held margin_delivery;
    stands text;
    tried bigint;
BEGIN
    SELECT * INTO held FROM margin_delivery WHERE id = NEW.id;
    SELECT e.to_state INTO stands FROM margin_deliveryevent e
    WHERE e.delivery_id = held.id ORDER BY e.number DESC LIMIT 1;
    SELECT count(*) INTO tried FROM margin_deliveryevent e
    WHERE e.delivery_id = held.id AND e.step IN ('attempt', 'unknown', 'written');
    IF held.state IS DISTINCT FROM stands OR held.attempts <> tried THEN
        PERFORM accounts.refuse('delivery_is_as_its_steps_say',
            'a delivery changes together with the step that says so');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER delivery_is_as_its_steps_say AFTER INSERT OR UPDATE ON margin_delivery
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin.delivery_is_as_its_steps();
ALTER TABLE margin_delivery ENABLE ALWAYS TRIGGER delivery_is_as_its_steps_say;

-- What is sent is of the call it speaks of, in the firm's or the standard text of its kind, to
-- where its client asked; without a key of a person its hash can be checked here.
CREATE FUNCTION margin.delivery_fits_its_call() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        JOIN margin_callevent e ON e.id = n.event_id
        JOIN margin_margincall c ON c.id = n.call_id
        JOIN margin_noticetemplate t ON t.id = n.template_id
        JOIN accounts_scope s ON s.id = c.scope_id
        JOIN accounts_bucket b ON b.id = s.bucket_id
        JOIN accounts_marginaccount m ON m.id = b.account_id
        LEFT JOIN accounts_client k ON k.id = m.client_id
        LEFT JOIN margin_noticecontact w ON w.id = n.contact_id
        WHERE e.call_id <> n.call_id OR t.kind <> n.kind
           OR coalesce(t.legal_entity_id, m.legal_entity_id) <> m.legal_entity_id
           OR n.person_key_id IS DISTINCT FROM k.person_key_id
           OR (n.channel = 'outbox') <> (n.contact_id IS NULL)
           OR w.client_id IS DISTINCT FROM CASE WHEN n.channel <> 'outbox' THEN m.client_id END
           OR w.id IS NOT NULL AND NOT w.channels -> n.channel ? n.kind
           OR n.person_key_id IS NULL AND n.sha256 <> encode(sha256(n.sent_bytes), 'hex')) THEN
        PERFORM accounts.refuse('delivery_fits_its_call',
            'a notice is of its call and kind, and goes where its client asked');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_fits_its_call AFTER INSERT ON margin_delivery
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION margin.delivery_fits_its_call();
ALTER TABLE margin_delivery ENABLE ALWAYS TRIGGER delivery_fits_its_call;

REVOKE ALL ON FUNCTION margin.notice_places(), margin.notice_kinds(),
    margin.names_declared_places(text), margin.template_is_changed(),
    margin.change_notice_text(uuid), margin.contacts_are_changed(), margin.change_contacts(uuid),
    margin.delivery_transition_is_of_the_product(), margin.delivery_step_is_legal(),
    margin.delivery_is_as_its_steps(), margin.delivery_fits_its_call() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.notice_places(), margin.notice_kinds() TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION margin.change_notice_text(uuid), margin.change_contacts(uuid)
    TO bo_runtime;
GRANT INSERT ON margin_delivery, margin_deliveryevent TO bo_runtime;
GRANT UPDATE (state, attempts, next_at) ON margin_delivery TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_deliveryevent_id_seq TO bo_runtime;
