-- Options: paid for at once like a security, of either sign like a derivative. The book counts
-- contracts; a price is what one contract costs. At expiry a position is closed whole at what a
-- contract pays, which may be nothing.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'options')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('option_trade', 'Options trade', 1, 1, 1, 1, false, false, true),
    ('option_settlement', 'Option settled at expiry', 1, 1, 1, 1, false, false, true);
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT k.kind, k.class, owner, asset, side, k.required
FROM (VALUES
    ('option_trade', 'position', '{CLIENT,HOUSE_PROP}', '{derivative}', '{debit,credit}', true),
    ('option_trade', 'custody', '{CLIENT,HOUSE_PROP}', '{derivative,money}', '{debit,credit}', false),
    ('option_trade', 'claim', '{CLIENT,HOUSE_PROP}', '{money}', '{debit,credit}', false),
    ('option_trade', 'residual_interest', '{CLIENT}', '{money}', '{credit}', false),
    ('option_trade', 'own_equity', '{HOUSE_PROP}', '{money}', '{credit}', false),
    ('option_settlement', 'position', '{CLIENT,HOUSE_PROP}', '{derivative}', '{debit,credit}', true),
    ('option_settlement', 'custody', '{CLIENT,HOUSE_PROP}', '{derivative,money}', '{debit,credit}', false),
    ('option_settlement', 'claim', '{CLIENT,HOUSE_PROP}', '{money}', '{debit,credit}', false)
) AS k(kind, class, owners, assets, sides, required)
CROSS JOIN LATERAL unnest(k.owners::text[]) AS owner
CROSS JOIN LATERAL unnest(k.assets::text[]) AS asset
CROSS JOIN LATERAL unnest(k.sides::text[]) AS side;

-- An option is listed with what it is written on; whoever lists it spends an approval for that.
CREATE FUNCTION ledger.list_option(
    code text, scale smallint, price_scale smallint, settles_in bigint, locations bigint[]
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    listed bigint;
BEGIN
    INSERT INTO ledger_asset (code, kind, scale, price_scale, settles_in_id, is_option)
    VALUES (code, 'derivative', scale, price_scale, settles_in, true) RETURNING id INTO listed;
    INSERT INTO ledger_locationasset (location_id, asset_id)
    SELECT DISTINCT place, listed FROM unnest(locations) place;
    RETURN listed;
END $$;
REVOKE ALL ON FUNCTION ledger.list_option(text, smallint, smallint, bigint, bigint[]) FROM PUBLIC;

-- What leaves the custody of one place arrives in another, but for what the trade itself says: the
-- profit of what a derivative closes, the price of a security or of an option.
CREATE OR REPLACE FUNCTION ledger.check_trades(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    WITH said AS (
        SELECT i.entry_id, e.kind_id, k.clients_max > 1 AS clients_meet, a.client_id,
               a.account_class, coalesce(t.settles_in_id, i.asset_id) AS money, CASE
                   WHEN a.account_class <> 'position' THEN i.amount
                   WHEN a.asset_kind = 'derivative' AND NOT t.is_option THEN coalesce(i.realised, 0)
                   ELSE ledger.half_even(i.amount * i.price, m.scale) END AS amount
        FROM ledger_posting i
        JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.keeps_custody
        JOIN ledger_ledgeraccount a ON a.id = i.account_id
            AND (a.account_class = 'position'
                 OR a.asset_kind = 'money' AND a.account_class IN ('custody', 'claim'))
        JOIN ledger_asset t ON t.id = i.asset_id
        LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
        WHERE i.entry_id = ANY (entries)
    )
    SELECT * INTO broken FROM (
        SELECT entry_id, kind_id, 'custody_follows_the_trade' AS rule,
               coalesce(sum(amount) FILTER (WHERE account_class = 'custody'), 0) AS moved,
               coalesce(sum(amount) FILTER (WHERE account_class = 'position'), 0) AS said
        FROM said GROUP BY entry_id, kind_id, money
        UNION ALL
        SELECT entry_id, kind_id, 'client_gets_what_the_trade_says' AS rule,
               greatest(-coalesce(sum(amount) FILTER (WHERE account_class = 'claim'), 0),
                        sum(amount) FILTER (WHERE account_class = 'position')),
               sum(amount) FILTER (WHERE account_class = 'position')
        FROM said WHERE clients_meet AND account_class IN ('claim', 'position')
        GROUP BY entry_id, kind_id, money, client_id
        HAVING bool_or(account_class = 'position')
    ) s WHERE s.moved <> s.said LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s moves %s; the trade says %s', broken.kind_id, broken.moved, broken.said));
    END IF;
END $$;

-- As before; an option changes hands by kinds of its own, and settles whole, perhaps at nothing.
CREATE OR REPLACE FUNCTION ledger.check_valuation(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT v.* INTO broken FROM (
        SELECT p.entry_id, p.account_id, CASE
            WHEN p.times > 1 THEN 'entry_trades_a_position_once'
            WHEN p.kind_id = 'opening' THEN CASE
                WHEN num_nonnulls(p.price, p.realised) > 0 OR p.quantity <> 0
                     OR p.average_after IS NULL OR p.average_after NOT BETWEEN 0 AND 1e100
                     OR p.average_after <> round(p.average_after, 8) THEN 'position_is_valued' END
            WHEN p.kind_id = 'reversal' THEN CASE
                WHEN (p.account_seq, p.price, p.average_after, p.realised) IS DISTINCT FROM
                     (SELECT (o.account_seq + 1, o.price, coalesce(b.average_after, 0), -o.realised)
                      FROM ledger_posting o LEFT JOIN ledger_posting b
                      ON b.account_id = o.account_id AND b.account_seq = o.account_seq - 1
                      WHERE o.account_id = p.account_id AND o.entry_id = p.reverses_id)
                THEN 'position_is_reversed_as_it_was_left' END
            WHEN CASE WHEN p.is_option THEN p.kind_id = 'derivative_trade'
                      ELSE p.kind_id IN ('option_trade', 'option_settlement') END
                THEN 'option_is_paid_for_at_once'
            WHEN p.kind_id = 'option_settlement' AND p.balance_after <> 0
                THEN 'option_settles_whole'
            WHEN p.price IS NULL OR p.price < 0 OR p.price >= 1e100
                 OR p.price = 0 AND p.kind_id <> 'option_settlement'
                 OR p.price <> trunc(p.price, 100) THEN 'position_has_a_price'
            WHEN (p.average_after, p.realised) IS DISTINCT FROM
                 ledger.trade_effect(p.quantity, p.average, -p.amount, p.price, p.settlement_scale)
                THEN 'position_is_valued' END AS rule
        FROM (
            SELECT i.*, e.kind_id, e.reverses_id, t.is_option, m.scale::integer AS settlement_scale,
                   i.amount - i.balance_after AS quantity,
                   coalesce(o.average_after, 0) AS average,
                   count(*) OVER (PARTITION BY i.account_id, i.entry_id) AS times
            FROM ledger_posting i
            JOIN ledger_entry e ON e.id = i.entry_id
            JOIN ledger_ledgeraccount a ON a.id = i.account_id AND a.account_class = 'position'
            LEFT JOIN ledger_posting o
                ON o.account_id = i.account_id AND o.account_seq = i.account_seq - 1
            JOIN ledger_asset t ON t.id = i.asset_id
            LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
            WHERE i.entry_id = ANY (entries)
        ) p
    ) v WHERE v.rule IS NOT NULL LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s, ledger account %s: price, average '
            'cost and realised profit are not those of this trade', broken.entry_id, broken.account_id));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ledger.value_positions(drafts ledger.draft[], legs ledger.draft_leg[])
RETURNS TABLE (entry_id bigint, leg integer, average numeric, realised numeric)
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    account bigint := NULL;
    quantity numeric;
    standing numeric;
BEGIN
    FOR one IN
        SELECT l.*, d.kind, d.reverses, m.scale::integer AS settlement_scale,
               b.amount AS balance, b.average_cost, o.realised AS realised_before,
               (SELECT p.average_after FROM ledger_posting p WHERE p.account_id = l.account_id
                AND p.account_seq = o.account_seq - 1) AS average_before
        FROM unnest(legs) l
        JOIN unnest(drafts) d ON d.entry_id = l.entry_id
        JOIN ledger_ledgeraccount a ON a.id = l.account_id AND a.account_class = 'position'
        JOIN ledger_balance b ON b.account_id = l.account_id
        JOIN ledger_asset t ON t.id = a.asset_id JOIN ledger_asset m ON m.id = t.settles_in_id
        LEFT JOIN ledger_posting o ON o.entry_id = d.reverses AND o.account_id = l.account_id
        ORDER BY l.account_id, l.ordinal, l.leg
    LOOP
        IF account IS DISTINCT FROM one.account_id THEN
            account := one.account_id;
            quantity := -one.balance;
            standing := coalesce(one.average_cost, 0);
        END IF;
        realised := NULL;
        IF one.kind = 'reversal' THEN
            average := coalesce(one.average_before, 0);
            realised := -one.realised_before;
        ELSIF one.kind = 'opening' THEN
            average := one.average_given;
        ELSIF one.average_given IS NOT NULL THEN
            PERFORM accounts.refuse('position_is_valued', 'only an opening brings an average along');
        ELSIF one.price IS NULL OR one.price < 0 OR one.amount = 0
              OR one.price = 0 AND one.kind <> 'option_settlement' THEN
            PERFORM accounts.refuse('position_has_a_price', 'a change of a position names its price');
        ELSE
            SELECT t.average_after, t.realised INTO average, realised
            FROM ledger.trade_effect(quantity, standing, -one.amount, one.price, one.settlement_scale) t;
        END IF;
        quantity := quantity - one.amount;
        standing := average;
        entry_id := one.entry_id;
        leg := one.leg;
        RETURN NEXT;
    END LOOP;
END $$;

-- As before; of an option the loss is what its settlement pays.
CREATE OR REPLACE FUNCTION ledger.loss_is_as_recorded(recorded ledger_loss) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH legs AS (
        SELECT p.*, a.account_class, a.owner_class, a.bucket_id, CASE
                   WHEN t.is_option THEN ledger.half_even(p.amount * p.price, m.scale)
                   ELSE p.realised END AS settled
        FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        JOIN ledger_asset t ON t.id = p.asset_id
        LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
        WHERE p.entry_id = recorded.entry_id
    ), paid AS (
        SELECT coalesce(-sum(amount) FILTER (
                   WHERE account_class = 'custody' AND owner_class = 'INSURANCE'), 0) AS insurance,
               coalesce(-sum(amount) FILTER (
                   WHERE account_class = 'custody' AND owner_class = 'HOUSE'), 0) AS house,
               coalesce(sum(amount) FILTER (WHERE account_class = 'shortfall'), 0) AS uncovered,
               sum(settled) FILTER (WHERE account_class = 'position') AS realised,
               bool_and(bucket_id = recorded.bucket_id) FILTER (
                   WHERE account_class IN ('claim', 'position')) AS is_of_the_bucket
        FROM legs
    ), money AS (
        SELECT DISTINCT t.settles_in_id AS asset_id, o.legal_entity_id
        FROM legs p JOIN ledger_asset t ON t.id = p.asset_id JOIN ledger_pool o ON o.id = p.pool_id
        WHERE p.account_class = 'position'
    )
    SELECT (recorded.insurance, recorded.house, recorded.uncovered, recorded.realised)
               = (paid.insurance, paid.house, paid.uncovered, paid.realised)
       AND paid.is_of_the_bucket
       AND NOT EXISTS (
           SELECT FROM money JOIN ledger_ledgeraccount a ON a.asset_id = money.asset_id
           WHERE a.bucket_id = recorded.bucket_id AND a.account_class = 'claim'
             AND ledger.balance_at(a.id, recorded.entry_id) <> 0)
       AND NOT EXISTS (
           SELECT FROM money
           JOIN ledger_pool o ON o.legal_entity_id = money.legal_entity_id
               AND (o.owner_class = 'INSURANCE' AND recorded.house + recorded.uncovered > 0
                    OR o.owner_class = 'HOUSE' AND recorded.uncovered > 0)
           JOIN ledger_location l ON l.pool_id = o.id AND l.kind = 'bank'
           JOIN ledger_ledgeraccount a ON a.location_id = l.id AND a.asset_id = money.asset_id
           WHERE ledger.balance_at(a.id, recorded.entry_id) <> 0)
    FROM paid
$$;

-- As before; what an option pays at expiry is a loss that may leave less than was pledged.
CREATE OR REPLACE FUNCTION ledger.check_pledges(entries bigint[]) RETURNS void
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
      AND e.kind_id NOT IN ('covered_loss', 'uncovered_loss', 'derivative_trade', 'option_settlement',
                            'fee', 'deleveraging', 'interest', 'reversal')
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
