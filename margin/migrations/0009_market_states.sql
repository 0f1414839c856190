-- Rules of market data are set by two people; a mark that is doubted says by which rule.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'states of prices and their rules')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass)
FROM unnest(ARRAY['margin_marketrule', 'margin_marketrow']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('market.rule', 'Set rules of market data', '{risk}', '{risk,compliance}', '5 days');

CREATE FUNCTION margin.market_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM margin.used_here('market.rule') asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_marketrule, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('market_rule_is_set_by_two',
            'rules of market data are set with the approval of a second person, of exactly these');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER market_rule_is_set_by_two AFTER INSERT ON margin_marketrule
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.market_rule_is_set();
ALTER TABLE margin_marketrule ENABLE ALWAYS TRIGGER market_rule_is_set_by_two;

-- What a mark adds to requirements comes from a rule of its asset that was in force, or is nothing.
CREATE FUNCTION margin.mark_has_its_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        JOIN ledger_asset a ON a.id = n.asset_id
        LEFT JOIN margin_marketrule r ON r.id = n.rule_id
        WHERE (n.rule_id IS NULL) <> (n.contingency IS NULL)
           OR (n.rule_id IS NULL) <> (n.confidence IS NULL)
           OR n.rule_id IS NOT NULL AND (
               r.kind <> 'price' OR r.name <> a.code OR r.effective_from > n.business_day
               OR n.confidence NOT BETWEEN 0 AND 1 OR NOT n.contingency >= 0)) THEN
        PERFORM accounts.refuse('doubted_mark_has_its_rule',
            'what a mark adds to requirements comes from a rule of its asset in force that day');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER doubted_mark_has_its_rule AFTER INSERT ON margin_mark
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.mark_has_its_rule();
ALTER TABLE margin_mark ENABLE ALWAYS TRIGGER doubted_mark_has_its_rule;

-- Spends an approval of `market.rule`: {"row": {...}}.
CREATE FUNCTION margin.set_market_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'market.rule', asked.payload);
    INSERT INTO margin_marketrule (kind, name, version, effective_from, values, sha256)
    SELECT w.kind, w.name, w.version, w.effective_from, w.values, w.sha256
    FROM jsonb_populate_record(NULL::margin_marketrule, asked.payload -> 'row') w;
END $$;

REVOKE ALL ON FUNCTION margin.market_rule_is_set(), margin.mark_has_its_rule(),
    margin.set_market_rule(uuid) FROM PUBLIC;
GRANT INSERT ON margin_marketrow TO bo_runtime;
GRANT EXECUTE ON FUNCTION margin.set_market_rule(uuid) TO bo_runtime;
