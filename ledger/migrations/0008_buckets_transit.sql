-- Custody of other kinds (delegated to a venue, mirrored there while it lies with a custodian), and
-- money on its way.

-- A class hangs where its kind of value is: custody of every kind at a location.
CREATE OR REPLACE FUNCTION ledger.ledger_account_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.id INTO wrong FROM inserted n
    JOIN ledger_pool p ON p.id = n.pool_id
    JOIN ledger_asset t ON t.id = n.asset_id
    LEFT JOIN accounts_bucket b ON b.id = n.bucket_id
    LEFT JOIN accounts_marginaccount m ON m.id = b.account_id
    LEFT JOIN ledger_location l ON l.id = n.location_id
    WHERE n.account_class NOT IN ('custody', 'delegated', 'mirrored', 'claim', 'position',
              'unallocated', 'residual_interest', 'shortfall', 'own_equity', 'loan_receivable',
              'in_transit', 'opening')
       OR n.owner_class <> p.owner_class OR n.asset_kind <> t.kind OR n.scale <> t.scale
       OR n.margin_account_id IS DISTINCT FROM b.account_id
       OR n.client_id IS DISTINCT FROM coalesce(m.client_id, l.individual_client_id)
       OR m.legal_entity_id <> p.legal_entity_id
       OR (n.account_class IN ('claim', 'position') AND m.owner_class <> p.owner_class)
       OR (n.account_class = 'loan_receivable'
           AND (m.owner_class <> 'CLIENT' OR p.owner_class <> 'HOUSE'))
       OR l.pool_id <> n.pool_id
       OR (n.account_class = 'delegated' AND l.kind <> 'venue')
       OR (n.account_class = 'mirrored' AND l.kind NOT IN ('custodian', 'wallet'))
       OR (l.id IS NOT NULL AND NOT EXISTS (SELECT FROM ledger_locationasset c
               WHERE c.location_id = l.id AND c.asset_id = n.asset_id)) LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM accounts.refuse('ledger_account_is_truthful',
            'the account does not belong where its pool, asset, bucket and location say');
    END IF;
    RETURN NULL;
END $$;

-- The rule that a balance of this class breaks by standing at `balance`; null if none.
CREATE OR REPLACE FUNCTION ledger.broken_floor(account_class text, asset_kind text, balance numeric)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN balance = 0 OR asset_kind = 'derivative' THEN NULL
        WHEN balance > 0 THEN CASE account_class
            WHEN 'claim' THEN 'claim_not_below_zero'
            WHEN 'unallocated' THEN 'claim_not_below_zero'
            WHEN 'position' THEN 'position_not_below_zero'
            WHEN 'residual_interest' THEN 'residual_interest_not_below_zero' END
        ELSE CASE account_class
            WHEN 'custody' THEN 'custody_not_below_zero'
            WHEN 'delegated' THEN 'custody_not_below_zero'
            WHEN 'mirrored' THEN 'custody_not_below_zero'
            WHEN 'loan_receivable' THEN 'loan_not_below_zero'
            WHEN 'shortfall' THEN 'shortfall_not_below_zero'
            WHEN 'in_transit' THEN 'transit_not_below_zero' END END
$$;

INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('delegation', 'Custody delegated to a venue, or taken back', 1, 1, 0, 0, false, false, false),
    ('mirroring', 'Custody mirrored at a venue, or released', 1, 1, 0, 0, false, false, false),
    ('mirror_settlement', 'Mirrored custody settled with the venue', 1, 1, 0, 0, false, false, false),
    ('borrow_in_transit', 'Loan paid out, on its way', 2, 1, 1, 1, false, false, false),
    ('residual_deposit_in_transit', 'Firm money for a client pool, on its way', 2, 0, 0, 0, true, false, false),
    ('shortfall_funding_in_transit', 'Shortfall paid by the firm, on its way', 2, 0, 0, 0, true, false, false);
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT k.kind, k.class, owner, asset, side, k.required
FROM (VALUES
    ('delegation', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', true),
    ('delegation', 'delegated', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', true),
    ('mirroring', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', true),
    ('mirroring', 'mirrored', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', true),
    ('mirror_settlement', 'mirrored', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', true),
    ('mirror_settlement', 'custody', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', false),
    ('mirror_settlement', 'delegated', '{CLIENT,HOUSE,HOUSE_PROP}', '{money,security}', '{debit,credit}', false),
    ('borrow_in_transit', 'claim', '{CLIENT}', '{money}', '{credit}', true),
    ('borrow_in_transit', 'in_transit', '{CLIENT}', '{money}', '{debit}', true),
    ('borrow_in_transit', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('borrow_in_transit', 'loan_receivable', '{HOUSE}', '{money}', '{debit}', true),
    ('residual_deposit_in_transit', 'own_equity', '{HOUSE}', '{money}', '{debit}', true),
    ('residual_deposit_in_transit', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('residual_deposit_in_transit', 'in_transit', '{CLIENT}', '{money}', '{debit}', true),
    ('residual_deposit_in_transit', 'residual_interest', '{CLIENT}', '{money}', '{credit}', true),
    ('shortfall_funding_in_transit', 'own_equity', '{HOUSE}', '{money}', '{debit}', true),
    ('shortfall_funding_in_transit', 'custody', '{HOUSE}', '{money}', '{credit}', true),
    ('shortfall_funding_in_transit', 'in_transit', '{CLIENT}', '{money}', '{debit}', true),
    ('shortfall_funding_in_transit', 'shortfall', '{CLIENT}', '{money}', '{credit}', true)
) AS k(kind, class, owners, assets, sides, required)
CROSS JOIN LATERAL unnest(k.owners::text[]) AS owner
CROSS JOIN LATERAL unnest(k.assets::text[]) AS asset
CROSS JOIN LATERAL unnest(k.sides::text[]) AS side;
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT DISTINCT 'reversal', account_class, owner_class, asset_kind,
       CASE side WHEN 'debit' THEN 'credit' ELSE 'debit' END, false
FROM ledger_kindleg WHERE kind_id NOT IN ('opening', 'reversal')
ON CONFLICT ON CONSTRAINT kind_permits_a_leg_once DO NOTHING;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('entry.residual_deposit_in_transit', 'Firm money for a client pool, on its way',
     '{operations,treasury}', '{treasury,risk,compliance}', '1 day'),
    ('entry.shortfall_funding_in_transit', 'Shortfall paid by the firm, on its way',
     '{operations,treasury}', '{treasury,risk,compliance}', '1 day'),
    ('transit.rule', 'Change when money in transit alarms', '{operations,risk,treasury}',
     '{risk,compliance,treasury}', '5 days');

-- What leaves the custody of one pool is what is on its way to the other; and what is mirrored lies
-- where it lay before.
CREATE FUNCTION ledger.check_custody_kinds(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT e.id, e.kind_id, sum(p.amount) AS difference INTO broken
    FROM ledger_posting p
    CROSS JOIN LATERAL (SELECT x.id, x.kind_id FROM ledger_entry x
                        WHERE x.id = p.entry_id OFFSET 0) e
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
        AND a.account_class IN ('custody', 'delegated', 'mirrored', 'in_transit')
    WHERE p.entry_id = ANY (entries)
      AND e.kind_id IN ('borrow_in_transit', 'residual_deposit_in_transit',
                        'shortfall_funding_in_transit')
    GROUP BY e.id, e.kind_id, p.asset_id HAVING sum(p.amount) <> 0 LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('transit_carries_what_left', format(
            '%s: what is on its way and what left differ by %s', broken.kind_id, broken.difference));
    END IF;
    SELECT e.id INTO broken
    FROM ledger_posting p
    CROSS JOIN LATERAL (SELECT x.id, x.kind_id FROM ledger_entry x
                        WHERE x.id = p.entry_id OFFSET 0) e
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.location_id IS NOT NULL
    WHERE p.entry_id = ANY (entries) AND e.kind_id = 'mirroring'
    GROUP BY e.id HAVING count(DISTINCT a.location_id) > 1 LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('mirrored_assets_stay_with_their_custodian',
            'what is mirrored at a venue goes on lying where it lay');
    END IF;
END $$;

-- ---------------------------------------------------------------- age

SELECT accounts.make_append_only('ledger_transitrule');
INSERT INTO ledger_transitrule (effective_from, business_days) VALUES ('1970-01-01', 2);

CREATE FUNCTION ledger.transit_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM accounts_approval a
        WHERE a.id = NEW.approval_id AND a.action_id = 'transit.rule'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = NEW.legal_entity_id
          AND (a.payload ->> 'business_days')::integer = NEW.business_days
          AND (a.payload ->> 'effective_from')::date = NEW.effective_from) THEN
        PERFORM accounts.refuse('transit_rule_is_set_by_two',
            'when money in transit alarms is changed with the agreement of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transit_rule_is_set_by_two BEFORE INSERT ON ledger_transitrule
FOR EACH ROW EXECUTE FUNCTION ledger.transit_rule_is_set();
ALTER TABLE ledger_transitrule ENABLE ALWAYS TRIGGER transit_rule_is_set_by_two;

-- Sets the rule of a firm with an approval of `transit.rule`: {"business_days", "effective_from"}.
CREATE FUNCTION ledger.set_transit_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'transit.rule', asked.payload);
    INSERT INTO ledger_transitrule (legal_entity_id, effective_from, business_days, approval_id)
    VALUES (asked.legal_entity_id, (asked.payload ->> 'effective_from')::date,
            (asked.payload ->> 'business_days')::smallint, approval);
END $$;

-- After how many business days money in transit of a firm alarms, on a day.
CREATE FUNCTION ledger.transit_days(of_entity bigint, day date, known pg_snapshot) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.business_days FROM ledger_transitrule r
    WHERE (r.legal_entity_id = of_entity OR r.legal_entity_id IS NULL) AND r.effective_from <= day
      AND (known IS NULL OR r.legal_entity_id IS NULL OR pg_visible_in_snapshot(r.xid, known))
    ORDER BY r.legal_entity_id NULLS LAST, r.effective_from DESC LIMIT 1
$$;

-- Mondays to Fridays after one day, up to and with another.
CREATE FUNCTION ledger.business_days_between(earlier date, later date) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT count(*)::integer FROM generate_series(earlier + 1, later, interval '1 day') d
    WHERE extract(isodow FROM d) < 6
$$;

-- Money on its way at the end of a day, as known now or at a horizon, lot by lot: each posting out is
-- a lot, what arrived is taken from the oldest lots first. A reversal counts as an arrival.
CREATE FUNCTION ledger.transit_lots(day date, known pg_snapshot)
RETURNS TABLE (account_id bigint, pool_id smallint, asset_id bigint, entry_id bigint, left_on date,
               reference text, sent numeric, open numeric, age integer, alarms_after integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH moved AS (
        SELECT p.account_id, p.account_seq, p.pool_id, p.asset_id, p.entry_id, p.amount,
               (e.effective_at AT TIME ZONE 'UTC')::date AS moved_on, e.reference
        FROM ledger_ledgeraccount a
        JOIN ledger_posting p ON p.account_id = a.id
        JOIN ledger_entry e ON e.id = p.entry_id
        WHERE a.account_class = 'in_transit'
          AND e.effective_at < (day + 1)::timestamp AT TIME ZONE 'UTC'
          AND (known IS NULL OR pg_visible_in_snapshot(e.xid, known))
    ), arrived AS (
        SELECT m.account_id, -sum(m.amount) AS amount FROM moved m WHERE m.amount < 0 GROUP BY 1
    ), lots AS (
        SELECT m.*, sum(m.amount) OVER (PARTITION BY m.account_id
                                        ORDER BY m.moved_on, m.account_seq) AS reached
        FROM moved m WHERE m.amount > 0
    )
    SELECT l.account_id, l.pool_id, l.asset_id, l.entry_id, l.moved_on, l.reference, l.amount,
           least(l.amount, l.reached - coalesce(v.amount, 0)),
           ledger.business_days_between(l.moved_on, day), ledger.transit_days(o.legal_entity_id, day, known)
    FROM lots l
    JOIN ledger_pool o ON o.id = l.pool_id
    LEFT JOIN arrived v ON v.account_id = l.account_id
    WHERE l.reached > coalesce(v.amount, 0)
    ORDER BY l.moved_on, l.account_id, l.account_seq
$$;
