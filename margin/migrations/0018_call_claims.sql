-- What clients say of calls, and the levels that scopes cross: what each needs, whoever writes it.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'promises, disputes and levels')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_callpromise', 'margin_callpromiseend', 'margin_calldispute', 'margin_calldisputepart',
    'margin_calldisputeend', 'margin_callevidence', 'margin_levelevent']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('call.agree', 'Agree on a disputed call', '{operations,risk}', '{risk,compliance}', '1 day');

-- A dispute is of what the call asks for when it is opened.
CREATE FUNCTION margin.dispute_is_of_its_call() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n JOIN margin_margincall c ON c.id = n.call_id
               WHERE n.called <> c.amount
                  OR n.sha256 <> CASE WHEN n.content = '' THEN '' ELSE encode(sha256(n.content), 'hex') END)
    THEN
        PERFORM accounts.refuse('dispute_is_of_its_call',
            'a dispute is of what the call asks for, with the file as it came');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER dispute_is_of_its_call AFTER INSERT ON margin_calldispute
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.dispute_is_of_its_call();
ALTER TABLE margin_calldispute ENABLE ALWAYS TRIGGER dispute_is_of_its_call;

CREATE FUNCTION margin.dispute_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_calldispute d ON d.id = n.dispute_id
        JOIN margin_margincall c ON c.id = d.call_id
        JOIN accounts_scope s ON s.id = c.scope_id
        JOIN accounts_bucket b ON b.id = s.bucket_id
        JOIN accounts_marginaccount m ON m.id = b.account_id
        WHERE n.agreed <= 0 OR n.agreed > c.amount OR NOT EXISTS (
            SELECT FROM accounts.used_here('call.agree', m.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_calldisputeend, asked -> 'row'))
                  - 'xid' = to_jsonb(n) - 'xid')) THEN
        PERFORM accounts.refuse('dispute_is_agreed_by_two',
            'what a disputed call comes to is agreed by two people, and no more than it asked for');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER dispute_is_agreed_by_two AFTER INSERT ON margin_calldisputeend
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.dispute_is_agreed();
ALTER TABLE margin_calldisputeend ENABLE ALWAYS TRIGGER dispute_is_agreed_by_two;

-- A call is disputed with a dispute, and agreed with what two people agreed to.
CREATE FUNCTION margin.call_has_its_dispute() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.state = 'disputed' AND NOT EXISTS (
        SELECT FROM margin_calldispute d WHERE d.call_id = NEW.id AND d.xid = pg_current_xact_id()) THEN
        PERFORM accounts.refuse('disputed_call_has_its_dispute', 'a dispute says what is disputed');
    END IF;
    IF NEW.state = 'agreed' AND NOT EXISTS (
        SELECT FROM margin_calldisputeend e JOIN margin_calldispute d ON d.id = e.dispute_id
        WHERE d.call_id = NEW.id AND e.xid = pg_current_xact_id() AND e.agreed = NEW.amount) THEN
        PERFORM accounts.refuse('dispute_is_agreed_by_two', 'a dispute ends as two people agreed');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER disputed_call_has_its_dispute AFTER UPDATE ON margin_margincall
FOR EACH ROW WHEN (OLD.state <> NEW.state AND NEW.state IN ('disputed', 'agreed'))
EXECUTE FUNCTION margin.call_has_its_dispute();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER disputed_call_has_its_dispute;

-- Spends an approval of `call.agree`: {"row": {...}}; returns the dispute.
CREATE FUNCTION margin.agree_dispute(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted margin_calldisputeend;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    wanted := jsonb_populate_record(NULL::margin_calldisputeend, asked.payload -> 'row');
    PERFORM accounts.use_approval(approval, 'call.agree', asked.payload);
    INSERT INTO margin_calldisputeend (dispute_id, agreed, reason)
    VALUES (wanted.dispute_id, wanted.agreed, wanted.reason);
    RETURN wanted.dispute_id;
END $$;

-- A level is crossed one way and then the other.
CREATE FUNCTION margin.level_is_crossed_once() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        LEFT JOIN LATERAL (SELECT e.way FROM margin_levelevent e
                           WHERE e.scope_id = n.scope_id AND e.level = n.level AND e.id < n.id
                           ORDER BY e.id DESC LIMIT 1) last ON true
        WHERE n.way = coalesce(last.way, 'restored')) THEN
        PERFORM accounts.refuse('level_is_crossed_once',
            'a level fires once when it is crossed, and again only after it was restored');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER level_is_crossed_once AFTER INSERT ON margin_levelevent
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.level_is_crossed_once();
ALTER TABLE margin_levelevent ENABLE ALWAYS TRIGGER level_is_crossed_once;

REVOKE ALL ON FUNCTION margin.dispute_is_of_its_call(), margin.dispute_is_agreed(),
    margin.call_has_its_dispute(), margin.agree_dispute(uuid), margin.level_is_crossed_once()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.agree_dispute(uuid) TO bo_runtime;
GRANT INSERT ON margin_callpromise, margin_callpromiseend, margin_calldispute,
    margin_calldisputepart, margin_callevidence, margin_levelevent TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_callpromise_id_seq, margin_calldispute_id_seq,
    margin_calldisputepart_id_seq, margin_callevidence_id_seq, margin_levelevent_id_seq TO bo_runtime;
