-- What others say of margin beside ours, and who may be margined by a portfolio model.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'margin of others, eligibility for portfolio margin')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_externalmargin', 'margin_externalcomponent', 'margin_externalbreak',
    'margin_eligibilityrule', 'margin_clienteligibility']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('eligibility.rule', 'Set who may have portfolio margin', '{risk}', '{risk,compliance}',
     '5 days'),
    ('eligibility.client', 'Approve a client for portfolio margin', '{operations,risk}',
     '{risk,compliance}', '5 days');

-- What opens a commitment is exactly what was promised.
CREATE FUNCTION margin.commitment_is_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_externalmargin c ON c.id = n.opens_id
        WHERE c.kind <> 'commitment' OR c.sha256 <> n.sha256 OR c.source <> n.source
           OR c.scope_id <> n.scope_id OR c.business_day <> n.business_day) THEN
        PERFORM accounts.refuse('opening_is_what_was_committed',
            'what opens a commitment has its hash, source, scope and day');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER opening_is_what_was_committed AFTER INSERT ON margin_externalmargin
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.commitment_is_kept();
ALTER TABLE margin_externalmargin ENABLE ALWAYS TRIGGER opening_is_what_was_committed;

CREATE FUNCTION margin.commitment_says_nothing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_externalmargin s ON s.id = n.statement_id
        WHERE s.kind <> 'statement') THEN
        PERFORM accounts.refuse('commitment_says_nothing',
            'a commitment has no components and no breaks before it is opened');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER commitment_says_nothing AFTER INSERT ON margin_externalcomponent
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
EXECUTE FUNCTION margin.commitment_says_nothing();
ALTER TABLE margin_externalcomponent ENABLE ALWAYS TRIGGER commitment_says_nothing;
CREATE TRIGGER commitment_says_nothing AFTER INSERT ON margin_externalbreak
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
EXECUTE FUNCTION margin.commitment_says_nothing();
ALTER TABLE margin_externalbreak ENABLE ALWAYS TRIGGER commitment_says_nothing;

CREATE FUNCTION margin.eligibility_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('eligibility.rule') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_eligibilityrule, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('eligibility_is_set_by_two',
            'who may have portfolio margin is set with the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER eligibility_is_set_by_two AFTER INSERT ON margin_eligibilityrule
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.eligibility_is_set();
ALTER TABLE margin_eligibilityrule ENABLE ALWAYS TRIGGER eligibility_is_set_by_two;

CREATE FUNCTION margin.client_is_approved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('eligibility.client') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_clienteligibility, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('client_is_approved_by_two',
            'a client is approved for portfolio margin with the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER client_is_approved_by_two AFTER INSERT ON margin_clienteligibility
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.client_is_approved();
ALTER TABLE margin_clienteligibility ENABLE ALWAYS TRIGGER client_is_approved_by_two;

-- Each spends an approval of its action and writes the row that was approved.
CREATE FUNCTION margin.set_eligibility(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'eligibility.rule', asked.payload);
    INSERT INTO margin_eligibilityrule
        (model, version, effective_from, minimum_equity, needs_approved_client)
    SELECT w.model, w.version, w.effective_from, w.minimum_equity, w.needs_approved_client
    FROM jsonb_populate_record(NULL::margin_eligibilityrule, asked.payload -> 'row') w;
END $$;

CREATE FUNCTION margin.approve_client(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'eligibility.client', asked.payload);
    INSERT INTO margin_clienteligibility (client_id, version, effective_from, is_approved)
    SELECT w.client_id, w.version, w.effective_from, w.is_approved
    FROM jsonb_populate_record(NULL::margin_clienteligibility, asked.payload -> 'row') w;
END $$;

REVOKE ALL ON FUNCTION margin.commitment_is_kept(), margin.commitment_says_nothing(),
    margin.eligibility_is_set(), margin.client_is_approved(), margin.set_eligibility(uuid),
    margin.approve_client(uuid) FROM PUBLIC;
GRANT INSERT ON margin_externalmargin, margin_externalcomponent, margin_externalbreak TO bo_runtime;
GRANT EXECUTE ON FUNCTION margin.set_eligibility(uuid), margin.approve_client(uuid) TO bo_runtime;
