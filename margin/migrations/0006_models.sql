-- Models that agreements may name: their parameters, what they may be used for, and contracts.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'models and their parameters')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_parameterset', 'margin_modeldecision', 'margin_contract', 'margin_shadowresult']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('model.parameters', 'Set parameters of a model', '{risk}', '{risk,compliance}', '5 days'),
    ('model.decide', 'Decide what a model is used for', '{risk}', '{risk,compliance}', '5 days'),
    ('contract.set', 'Say what a derivative is written on', '{risk,operations}',
     '{risk,compliance}', '5 days');

CREATE FUNCTION margin.parameters_are_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('model.parameters') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_parameterset, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('model_parameters_are_set_by_two',
            'parameters of a model are set with the approval of a second person, of exactly these');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER model_parameters_are_set_by_two AFTER INSERT ON margin_parameterset
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.parameters_are_set();
ALTER TABLE margin_parameterset ENABLE ALWAYS TRIGGER model_parameters_are_set_by_two;

-- A model is watched or used only with parameters that are in force by then.
CREATE FUNCTION margin.model_is_decided() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('model.decide') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_modeldecision, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('model_is_decided_by_two',
            'what a model is used for is decided with the approval of a second person');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE n.standing <> 'retired' AND NOT EXISTS (
            SELECT FROM margin_parameterset p WHERE p.model = n.model AND p.code = n.code
                AND p.effective_from <= n.effective_from)) THEN
        PERFORM accounts.refuse('model_has_its_parameters',
            'a model is used with parameters that are in force by then');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER model_is_decided_by_two AFTER INSERT ON margin_modeldecision
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.model_is_decided();
ALTER TABLE margin_modeldecision ENABLE ALWAYS TRIGGER model_is_decided_by_two;

-- A contract comes with its asset, or later with the approval of a second person.
CREATE FUNCTION margin.contract_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n JOIN ledger_asset a ON a.id = n.asset_id
               WHERE a.kind <> 'derivative') THEN
        PERFORM accounts.refuse('contract_is_of_a_derivative', 'only a derivative has a contract');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT margin.is_new_asset(n.asset_id) AND NOT EXISTS (
            SELECT FROM margin.used_here('contract.set') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_contract, asked -> 'row'))
                  - '{xid}'::text[] = to_jsonb(n) - '{xid}'::text[])) THEN
        PERFORM accounts.refuse('contract_is_set_by_two',
            'a contract is set with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contract_is_set_by_two AFTER INSERT ON margin_contract
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.contract_is_set();
ALTER TABLE margin_contract ENABLE ALWAYS TRIGGER contract_is_set_by_two;

-- Each spends an approval of its action and writes the row that was approved.
CREATE FUNCTION margin.add_parameter_set(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'model.parameters', asked.payload);
    INSERT INTO margin_parameterset (model, code, version, effective_from, values, sha256)
    SELECT w.model, w.code, w.version, w.effective_from, w.values, w.sha256
    FROM jsonb_populate_record(NULL::margin_parameterset, asked.payload -> 'row') w;
END $$;

CREATE FUNCTION margin.decide_model(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'model.decide', asked.payload);
    INSERT INTO margin_modeldecision
        (model, model_version, code, standing, effective_from, model_sha256, owner)
    SELECT w.model, w.model_version, w.code, w.standing, w.effective_from, w.model_sha256, w.owner
    FROM jsonb_populate_record(NULL::margin_modeldecision, asked.payload -> 'row') w;
END $$;

CREATE FUNCTION margin.set_contract(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'contract.set', asked.payload);
    INSERT INTO margin_contract
        (asset_id, form, underlying_id, multiplier, is_inverse, expires_at, strike, is_call)
    SELECT w.asset_id, w.form, w.underlying_id, w.multiplier, w.is_inverse, w.expires_at, w.strike,
           w.is_call
    FROM jsonb_populate_record(NULL::margin_contract, asked.payload -> 'row') w;
END $$;

REVOKE ALL ON FUNCTION margin.parameters_are_set(), margin.model_is_decided(),
    margin.contract_is_set(), margin.add_parameter_set(uuid), margin.decide_model(uuid),
    margin.set_contract(uuid) FROM PUBLIC;
GRANT INSERT ON margin_shadowresult, margin_contract TO bo_runtime;
GRANT EXECUTE ON FUNCTION margin.add_parameter_set(uuid), margin.decide_model(uuid),
    margin.set_contract(uuid) TO bo_runtime;
