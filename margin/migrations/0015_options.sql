-- An option comes into the book with its contract, at once, by two people.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'options')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('option.list', 'List an option', '{risk,operations}', '{risk,compliance}', '5 days');

-- A contract comes with its asset, or later with the approval of a second person; that of an
-- option always with an approval, and with nothing else than an option.
CREATE OR REPLACE FUNCTION margin.contract_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n JOIN ledger_asset a ON a.id = n.asset_id
               WHERE a.kind <> 'derivative') THEN
        PERFORM accounts.refuse('contract_is_of_a_derivative', 'only a derivative has a contract');
    END IF;
    IF EXISTS (SELECT FROM inserted n JOIN ledger_asset a ON a.id = n.asset_id
               WHERE a.is_option <> (n.form = 'option')) THEN
        PERFORM accounts.refuse('option_is_listed_as_one',
            'an option has the contract of an option, and nothing else has');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE n.form <> 'option' AND NOT margin.is_new_asset(n.asset_id)
        AND NOT EXISTS (
            SELECT FROM margin.used_here('contract.set') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_contract, asked -> 'row'))
                  - '{style,settlement,xid}'::text[]
                  = to_jsonb(n) - '{style,settlement,xid}'::text[])) THEN
        PERFORM accounts.refuse('contract_is_set_by_two',
            'a contract is set with the approval of a second person, of exactly this');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n JOIN ledger_asset a ON a.id = n.asset_id
        WHERE n.form = 'option' AND NOT EXISTS (
            SELECT FROM margin.used_here('option.list') asked
            WHERE asked #>> '{asset,code}' = a.code
              AND (asked #>> '{asset,scale}')::integer = a.scale
              AND (asked #>> '{asset,price_scale}')::integer = a.price_scale
              AND (asked #>> '{asset,settles_in_id}')::bigint = a.settles_in_id
              AND to_jsonb(jsonb_populate_record(NULL::margin_contract, asked -> 'row'))
                  - '{asset_id,xid}'::text[] = to_jsonb(n) - '{asset_id,xid}'::text[])) THEN
        PERFORM accounts.refuse('option_is_listed_by_two',
            'an option is listed with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;

-- Spends the approval, and writes the option, where it is carried, and its contract.
CREATE FUNCTION margin.list_option(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    listed bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'option.list', asked.payload);
    listed := ledger.list_option(
        asked.payload #>> '{asset,code}', (asked.payload #>> '{asset,scale}')::smallint,
        (asked.payload #>> '{asset,price_scale}')::smallint,
        (asked.payload #>> '{asset,settles_in_id}')::bigint,
        ARRAY(SELECT jsonb_array_elements_text(asked.payload -> 'locations')::bigint));
    INSERT INTO margin_contract (asset_id, form, underlying_id, multiplier, is_inverse, expires_at,
                                 strike, is_call, style, settlement)
    SELECT listed, w.form, w.underlying_id, w.multiplier, w.is_inverse, w.expires_at, w.strike,
           w.is_call, w.style, w.settlement
    FROM jsonb_populate_record(NULL::margin_contract, asked.payload -> 'row') w;
END $$;
REVOKE ALL ON FUNCTION margin.list_option(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.list_option(uuid) TO bo_runtime;
