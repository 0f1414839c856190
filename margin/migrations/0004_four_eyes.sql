-- Parameters of margin that two people agree to.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'four eyes on parameters')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('parameter.haircut', 'Change a haircut', '{risk}', '{risk,compliance}', '5 days'),
    ('parameter.terms', 'Change margin rates', '{risk}', '{risk,compliance}', '5 days');

-- Whether an asset comes with this transaction; its first parameters come along.
CREATE FUNCTION margin.is_new_asset(asset bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT xid = pg_current_xact_id_if_assigned() FROM ledger_asset WHERE id = asset
$$;

-- What was approved and is used by this transaction.
CREATE FUNCTION margin.used_here(action_code text) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.payload FROM accounts_approval a
    WHERE a.used_xid = pg_current_xact_id_if_assigned() AND a.action_id = action_code
$$;

CREATE FUNCTION margin.haircut_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT margin.is_new_asset(n.asset_id) AND NOT EXISTS (
            SELECT FROM margin.used_here('parameter.haircut') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_haircut, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('haircut_is_set_by_two',
            'a haircut is changed with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER haircut_is_set_by_two AFTER INSERT ON margin_haircut
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.haircut_is_set();
ALTER TABLE margin_haircut ENABLE ALWAYS TRIGGER haircut_is_set_by_two;

CREATE FUNCTION margin.terms_are_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT margin.is_new_asset(n.asset_id) AND NOT EXISTS (
            SELECT FROM margin.used_here('parameter.terms') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_instrumentterms, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('terms_are_set_by_two',
            'margin rates are changed with the approval of a second person, of exactly these');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER terms_are_set_by_two AFTER INSERT ON margin_instrumentterms
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.terms_are_set();
ALTER TABLE margin_instrumentterms ENABLE ALWAYS TRIGGER terms_are_set_by_two;

CREATE FUNCTION margin.brackets_are_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n JOIN margin_instrumentterms t ON t.id = n.terms_id
               WHERE t.xid <> pg_current_xact_id()) THEN
        PERFORM accounts.refuse('terms_are_set_by_two', 'brackets come together with their terms');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER brackets_come_with_their_terms AFTER INSERT ON margin_bracket
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.brackets_are_set();
ALTER TABLE margin_bracket ENABLE ALWAYS TRIGGER brackets_come_with_their_terms;

-- At commit the brackets of new terms are those that were approved, neither more nor fewer.
CREATE FUNCTION margin.brackets_are_as_approved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT margin.is_new_asset(NEW.asset_id) AND NOT EXISTS (
        SELECT FROM margin.used_here('parameter.terms') asked
        WHERE (asked -> 'row' ->> 'asset_id')::bigint = NEW.asset_id
          AND (asked -> 'row' ->> 'version')::integer = NEW.version
          AND NOT EXISTS (
              (SELECT (b ->> 'floor')::numeric, (b ->> 'initial_rate')::numeric,
                      (b ->> 'maintenance_rate')::numeric
               FROM jsonb_array_elements(asked -> 'brackets') b
               EXCEPT SELECT floor, initial_rate, maintenance_rate FROM margin_bracket
               WHERE terms_id = NEW.id)
              UNION ALL
              (SELECT floor, initial_rate, maintenance_rate FROM margin_bracket
               WHERE terms_id = NEW.id
               EXCEPT SELECT (b ->> 'floor')::numeric, (b ->> 'initial_rate')::numeric,
                      (b ->> 'maintenance_rate')::numeric
               FROM jsonb_array_elements(asked -> 'brackets') b))) THEN
        PERFORM accounts.refuse('terms_are_set_by_two',
            'the brackets of new terms are those that a second person approved');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER brackets_are_as_approved AFTER INSERT ON margin_instrumentterms
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION margin.brackets_are_as_approved();
ALTER TABLE margin_instrumentterms ENABLE ALWAYS TRIGGER brackets_are_as_approved;

-- Sets a haircut with an approval of `parameter.haircut`: {"row": {...}}.
CREATE FUNCTION margin.set_haircut(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'parameter.haircut', asked.payload);
    INSERT INTO margin_haircut (asset_id, version, effective_from, haircut)
    SELECT w.asset_id, w.version, w.effective_from, w.haircut
    FROM jsonb_populate_record(NULL::margin_haircut, asked.payload -> 'row') w;
END $$;

-- Sets rates or brackets with an approval of `parameter.terms`: {"row": {...}, "brackets": [...]}.
CREATE FUNCTION margin.set_terms(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'parameter.terms', asked.payload);
    INSERT INTO margin_instrumentterms (asset_id, version, effective_from, initial_rate,
                                        maintenance_rate)
    SELECT w.asset_id, w.version, w.effective_from, w.initial_rate, w.maintenance_rate
    FROM jsonb_populate_record(NULL::margin_instrumentterms, asked.payload -> 'row') w
    RETURNING id INTO added;
    INSERT INTO margin_bracket (terms_id, floor, initial_rate, maintenance_rate)
    SELECT added, (b ->> 'floor')::numeric, (b ->> 'initial_rate')::numeric,
           (b ->> 'maintenance_rate')::numeric
    FROM jsonb_array_elements(asked.payload -> 'brackets') b;
END $$;

REVOKE ALL ON FUNCTION margin.is_new_asset(bigint), margin.used_here(text), margin.haircut_is_set(),
    margin.terms_are_set(), margin.brackets_are_set(), margin.brackets_are_as_approved(),
    margin.set_haircut(uuid), margin.set_terms(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.set_haircut(uuid), margin.set_terms(uuid) TO bo_runtime;
