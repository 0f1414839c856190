-- A price is overridden by two people, and every mark that says so has its override.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'overrides of prices')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only('margin_priceoverride');

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('price.override', 'Override a price', '{risk}', '{risk,compliance}', '1 day');

CREATE FUNCTION margin.price_is_overridden() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('price.override') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_priceoverride, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('price_is_overridden_by_two',
            'a price is overridden with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER price_is_overridden_by_two AFTER INSERT ON margin_priceoverride
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.price_is_overridden();
ALTER TABLE margin_priceoverride ENABLE ALWAYS TRIGGER price_is_overridden_by_two;

-- A mark that is overridden is at the price of an override of its asset that is in force then.
CREATE FUNCTION margin.mark_has_its_override() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n LEFT JOIN margin_priceoverride o ON o.id = n.override_id
        WHERE (n.state = 'OVERRIDDEN') <> (n.override_id IS NOT NULL)
           OR n.override_id IS NOT NULL AND (
               o.asset_id <> n.asset_id OR o.price <> n.price
               OR n.as_of < o.begins_at OR n.as_of >= o.ends_at)) THEN
        PERFORM accounts.refuse('overridden_mark_has_its_override',
            'an overridden mark is at the price of an override in force');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER overridden_mark_has_its_override AFTER INSERT ON margin_mark
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.mark_has_its_override();
ALTER TABLE margin_mark ENABLE ALWAYS TRIGGER overridden_mark_has_its_override;

-- Spends an approval of `price.override`: {"row": {...}}.
CREATE FUNCTION margin.override_price(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'price.override', asked.payload);
    INSERT INTO margin_priceoverride (asset_id, price, begins_at, ends_at, reason)
    SELECT w.asset_id, w.price, w.begins_at, w.ends_at, w.reason
    FROM jsonb_populate_record(NULL::margin_priceoverride, asked.payload -> 'row') w;
END $$;

REVOKE ALL ON FUNCTION margin.price_is_overridden(), margin.mark_has_its_override(),
    margin.override_price(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.override_price(uuid) TO bo_runtime;
