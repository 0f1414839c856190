-- The register of debts: loans, guarantees and pledges, each agreed by two people, none pledged
-- twice, none across owner classes; what is pledged stays where it is.

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('obligation.register', 'Register a loan, guarantee or pledge', '{operations,risk,treasury}',
     '{treasury,risk,compliance}', '5 days'),
    ('obligation.end', 'End a loan, guarantee or pledge', '{operations,risk,treasury}',
     '{treasury,risk,compliance}', '5 days');
SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_obligation', 'ledger_obligationend']) t;

-- The guards of the book ask at every posting whether anything is pledged at all.
CREATE INDEX obligation_that_pledges ON ledger_obligation (bucket_id, asset_id) WHERE kind = 'pledge';

-- Pledges that have not been ended, by lot.
CREATE FUNCTION ledger.pledged(of_bucket bigint, of_asset bigint) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(o.amount), 0) FROM ledger_obligation o
    LEFT JOIN ledger_obligationend x ON x.obligation_id = o.id
    WHERE o.kind = 'pledge' AND o.bucket_id = of_bucket AND o.asset_id = of_asset
      AND x.obligation_id IS NULL
$$;

-- What a bucket holds of an asset that can be pledged: money and securities, as people say it.
CREATE FUNCTION ledger.lot_holds(of_bucket bigint, of_asset bigint) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(-sum(b.amount), 0)
    FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
    WHERE a.bucket_id = of_bucket AND a.asset_id = of_asset
      AND a.account_class IN ('claim', 'position') AND a.asset_kind <> 'derivative'
$$;

-- The owner class and the legal entity of a party; a legal entity is the house.
CREATE FUNCTION ledger.party_of(of_account bigint, of_client bigint, of_entity bigint)
RETURNS TABLE (owner_class text, legal_entity_id bigint, client_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.owner_class, m.legal_entity_id, m.client_id FROM accounts_marginaccount m
    WHERE m.id = of_account
    UNION ALL SELECT 'CLIENT', c.legal_entity_id, c.id FROM accounts_client c WHERE c.id = of_client
    UNION ALL SELECT 'HOUSE', f.id, NULL FROM accounts_legalentity f WHERE f.id = of_entity
$$;

-- Owner classes do not meet: a client backs nothing of the house and lends it nothing, the house's
-- assets back no client's debt. Only a loan of the house to a client joins the two.
CREATE FUNCTION ledger.broken_obligation_rule(o ledger_obligation) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    bound record;
    holder record;
    backed record;
    lot record;
BEGIN
    SELECT * INTO bound FROM ledger.party_of(o.by_account_id, o.by_client_id, o.by_entity_id);
    SELECT * INTO holder FROM ledger.party_of(o.to_account_id, o.to_client_id, o.to_entity_id);
    SELECT * INTO backed FROM ledger.party_of(o.secures_account_id, NULL, NULL);
    SELECT m.owner_class, m.client_id, m.id AS account_id INTO lot
    FROM accounts_bucket b JOIN accounts_marginaccount m ON m.id = b.account_id
    WHERE b.id = o.bucket_id;
    RETURN CASE
        WHEN o.kind = 'loan' AND bound.owner_class <> holder.owner_class
             AND NOT (bound.owner_class = 'CLIENT' AND holder.owner_class = 'HOUSE')
            THEN 'owner_classes_do_not_meet'
        WHEN o.kind <> 'loan' AND (
                 backed.owner_class IS DISTINCT FROM bound.owner_class
                 OR bound.owner_class = 'CLIENT' AND holder.owner_class NOT IN ('CLIENT', 'HOUSE')
                 OR bound.owner_class <> 'CLIENT' AND holder.owner_class = 'CLIENT')
            THEN 'owner_classes_do_not_meet'
        WHEN o.kind = 'pledge' AND lot.owner_class IS DISTINCT FROM backed.owner_class
            THEN 'owner_classes_do_not_meet'
        WHEN o.legal_entity_id NOT IN (bound.legal_entity_id, holder.legal_entity_id)
            THEN 'obligation_is_of_this_firm'
        WHEN o.kind = 'pledge' AND (
                 o.by_account_id <> lot.account_id OR o.by_client_id <> lot.client_id
                 OR o.by_entity_id IS NOT NULL AND lot.owner_class = 'CLIENT')
            THEN 'pledge_is_of_ones_own' END;
END $$;

CREATE FUNCTION ledger.obligation_is_registered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    rule text := ledger.broken_obligation_rule(NEW);
    held numeric;
    scale integer := (SELECT t.scale FROM ledger_asset t WHERE t.id = NEW.asset_id);
BEGIN
    IF rule IS NOT NULL THEN
        PERFORM accounts.refuse(rule, CASE rule
            WHEN 'owner_classes_do_not_meet' THEN
                'nothing of one owner class backs or funds another: a client''s assets never stand '
                'for the house, nor the house''s for a client''s debt'
            WHEN 'pledge_is_of_ones_own' THEN 'who pledges owns the lot'
            ELSE 'one of the parties is of this legal entity' END);
    END IF;
    IF NEW.amount <> trunc(NEW.amount, scale) THEN
        PERFORM accounts.refuse('obligation_fits_its_asset', format('the asset has %s decimals', scale));
    END IF;
    IF NOT EXISTS (
        SELECT FROM accounts_approval a
        WHERE a.id = NEW.approval_id AND a.action_id = 'obligation.register'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = NEW.legal_entity_id
          AND to_jsonb(jsonb_populate_record(NULL::ledger_obligation, a.payload))
                  - '{id,xid,approval_id,legal_entity_id}'::text[]
              = to_jsonb(NEW) - '{id,xid,approval_id,legal_entity_id}'::text[]) THEN
        PERFORM accounts.refuse('obligation_is_agreed_by_two',
            'an obligation is registered with the agreement of a second person, of exactly this');
    END IF;
    IF NEW.kind = 'pledge' THEN
        -- Whoever pledges or moves this lot holds its balance; nothing slips in between.
        PERFORM FROM ledger.lock_balances('{}', ARRAY[NEW.bucket_id]);
        held := ledger.lot_holds(NEW.bucket_id, NEW.asset_id);
        IF ledger.pledged(NEW.bucket_id, NEW.asset_id) + NEW.amount > held THEN
            PERFORM accounts.refuse('lot_is_pledged_once', format(
                'the bucket holds %s, of which %s are pledged already', trim_scale(held),
                trim_scale(ledger.pledged(NEW.bucket_id, NEW.asset_id))));
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER obligation_is_registered BEFORE INSERT ON ledger_obligation
FOR EACH ROW EXECUTE FUNCTION ledger.obligation_is_registered();
ALTER TABLE ledger_obligation ENABLE ALWAYS TRIGGER obligation_is_registered;

CREATE FUNCTION ledger.obligation_is_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM accounts_approval a JOIN ledger_obligation o ON o.id = NEW.obligation_id
        WHERE a.id = NEW.approval_id AND a.action_id = 'obligation.end'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = o.legal_entity_id
          AND (a.payload ->> 'obligation')::bigint = o.id
          AND (a.payload ->> 'ended_on')::date = NEW.ended_on
          AND NEW.ended_on >= o.effective_on) THEN
        PERFORM accounts.refuse('obligation_is_ended_by_two',
            'an obligation ends with the agreement of a second person, not before it began');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER obligation_is_ended_by_two BEFORE INSERT ON ledger_obligationend
FOR EACH ROW EXECUTE FUNCTION ledger.obligation_is_ended();
ALTER TABLE ledger_obligationend ENABLE ALWAYS TRIGGER obligation_is_ended_by_two;

-- Registers with an approval of `obligation.register`; the payload is the row.
CREATE FUNCTION ledger.register_obligation(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted ledger_obligation;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'obligation.register', asked.payload);
    wanted := jsonb_populate_record(NULL::ledger_obligation, asked.payload);
    wanted.id := nextval(pg_get_serial_sequence('ledger_obligation', 'id'));
    wanted.legal_entity_id := asked.legal_entity_id;
    wanted.approval_id := approval;
    wanted.xid := pg_current_xact_id();
    INSERT INTO ledger_obligation SELECT wanted.*;
    RETURN wanted.id;
END $$;

-- Ends with an approval of `obligation.end`: {"obligation", "ended_on"}.
CREATE FUNCTION ledger.end_obligation(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'obligation.end', asked.payload);
    INSERT INTO ledger_obligationend (obligation_id, ended_on, reason, approval_id)
    VALUES ((asked.payload ->> 'obligation')::bigint, (asked.payload ->> 'ended_on')::date,
            asked.reason, approval);
END $$;

-- The rule of the row itself, for asking before anything is asked for.
CREATE FUNCTION ledger.obligation_refusal(of_entity bigint, asked jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wanted ledger_obligation := jsonb_populate_record(NULL::ledger_obligation, asked);
    rule text;
BEGIN
    wanted.legal_entity_id := of_entity;
    rule := ledger.broken_obligation_rule(wanted);
    IF rule IS NULL AND wanted.kind = 'pledge'
       AND ledger.pledged(wanted.bucket_id, wanted.asset_id) + wanted.amount
           > ledger.lot_holds(wanted.bucket_id, wanted.asset_id) THEN
        rule := 'lot_is_pledged_once';
    END IF;
    RETURN rule;
END $$;

-- What is pledged stays: an owner takes out what is beyond it. A loss, a fee or a correction may
-- leave less than was pledged; the register shows that.
CREATE FUNCTION ledger.check_pledges(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.bucket_id, a.asset_id, t.code INTO broken
    FROM ledger_posting p
    CROSS JOIN LATERAL (SELECT x.kind_id FROM ledger_entry x WHERE x.id = p.entry_id OFFSET 0) e
    CROSS JOIN LATERAL (SELECT x.* FROM ledger_ledgeraccount x WHERE x.id = p.account_id OFFSET 0) a
    JOIN ledger_asset t ON t.id = a.asset_id
    WHERE p.entry_id = ANY (entries)
      AND (a.account_class = 'claim' OR a.account_class = 'position' AND a.asset_kind = 'security')
      AND a.bucket_id IN (SELECT o.bucket_id FROM ledger_obligation o WHERE o.kind = 'pledge')
      AND e.kind_id NOT IN ('covered_loss', 'uncovered_loss', 'derivative_trade', 'fee',
                            'deleveraging', 'interest', 'reversal')
    GROUP BY a.bucket_id, a.asset_id, t.code
    HAVING sum(p.amount) > 0
       AND ledger.pledged(a.bucket_id, a.asset_id) > ledger.lot_holds(a.bucket_id, a.asset_id)
    LIMIT 1;
    IF broken.code IS NOT NULL THEN
        PERFORM accounts.refuse('pledged_assets_stay', format(
            '%s %s are pledged; the bucket would hold %s',
            trim_scale(ledger.pledged(broken.bucket_id, broken.asset_id)), broken.code,
            trim_scale(ledger.lot_holds(broken.bucket_id, broken.asset_id))));
    END IF;
END $$;
