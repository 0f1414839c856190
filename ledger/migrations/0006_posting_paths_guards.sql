-- The guards of the book, each statement in one pass. A pass says of every entry whether it is
-- beyond doubt; only what is not goes to the rules one by one, which say what is wrong, if anything.

-- Nested loops over keys alone: a pass costs the same on an empty book and on a full one.

DROP TRIGGER posting_1_is_whole ON ledger_posting;
DROP TRIGGER posting_2_balances ON ledger_posting;
DROP TRIGGER posting_3_fits_its_kind ON ledger_posting;
DROP TRIGGER posting_4_follows_the_trade ON ledger_posting;
DROP TRIGGER posting_5_is_valued ON ledger_posting;
DROP FUNCTION ledger.posting_is_whole();
DROP FUNCTION ledger.posting_balances();
DROP FUNCTION ledger.posting_fits_its_kind();
DROP FUNCTION ledger.posting_follows_the_trade();
DROP FUNCTION ledger.posting_is_valued();

-- ---------------------------------------------------------------- the rules, one by one

-- Each posting repeats its account truthfully, fits its asset, keeps its floor, and belongs to an
-- entry of this very transaction, all of whose legs came in one statement.
CREATE FUNCTION ledger.check_postings(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT r.* INTO broken FROM (
        SELECT i.entry_id, i.account_id, i.balance_after, CASE
            WHEN e.id IS NULL OR e.xid <> pg_current_xact_id() OR i.xid <> pg_current_xact_id()
                THEN 'entry_is_written_whole'
            WHEN a.id IS NULL OR i.pool_id <> a.pool_id OR i.asset_id <> a.asset_id
                THEN 'posting_names_its_account'
            WHEN i.amount <> trunc(i.amount, a.scale) OR abs(i.amount) >= 1e100
                THEN 'amount_fits_its_asset'
            WHEN a.account_class <> 'position'
                 AND num_nonnulls(i.price, i.average_after, i.realised) > 0
                THEN 'position_is_valued'
            ELSE ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) END AS rule
        FROM ledger_posting i
        LEFT JOIN ledger_ledgeraccount a ON a.id = i.account_id
        LEFT JOIN ledger_entry e ON e.id = i.entry_id
        WHERE i.entry_id = ANY (entries)
    ) r WHERE r.rule IS NOT NULL ORDER BY r.entry_id, r.account_id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s, ledger account %s, balance after %s',
            broken.entry_id, broken.account_id, broken.balance_after));
    END IF;

    SELECT e.id AS entry_id INTO broken
    FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
    WHERE e.id = ANY (entries)
    GROUP BY e.id HAVING count(*) <> e.posting_count LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_is_written_whole', format(
            'entry %s is written together with all its postings', broken.entry_id));
    END IF;
END $$;

-- The running balance of each account goes on from the posting before, without a gap, and ends
-- where the guard of the balances carries it.
CREATE FUNCTION ledger.check_running(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT i.account_id, i.account_seq INTO broken
    FROM ledger_posting i
    LEFT JOIN ledger_balance b ON b.account_id = i.account_id
    LEFT JOIN ledger_posting o ON o.account_id = i.account_id AND o.account_seq = i.account_seq - 1
    WHERE i.entry_id = ANY (entries)
      AND (b.account_id IS NULL OR i.account_seq <= b.seq
           OR CASE WHEN i.account_seq = 1 THEN i.balance_after <> i.amount
                   ELSE o.account_id IS NULL OR i.balance_after <> o.balance_after + i.amount END)
    LIMIT 1;
    IF broken.account_id IS NOT NULL THEN
        PERFORM accounts.refuse('running_balance_follows', format(
            'ledger account %s, posting %s', broken.account_id, broken.account_seq));
    END IF;
END $$;

-- Debits equal credits for every asset in every pool the entry touches: no exception.
CREATE FUNCTION ledger.check_zero(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT p.entry_id, p.pool_id, p.asset_id, sum(p.amount) AS difference INTO broken
    FROM ledger_posting p WHERE p.entry_id = ANY (entries)
    GROUP BY 1, 2, 3 HAVING sum(p.amount) <> 0 ORDER BY 1, 2, 3 LIMIT 1;
    IF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_balances_in_each_pool', format(
            'entry %s: debits exceed credits by %s in pool %s, asset %s',
            broken.entry_id, broken.difference, broken.pool_id, broken.asset_id));
    END IF;
END $$;

-- The legs of an entry against its kind: which may be there, which must, and how many owners meet.
CREATE FUNCTION ledger.check_kinds(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT e.kind_id, a.account_class, a.owner_class, a.asset_kind INTO broken
    FROM ledger_posting i
    JOIN ledger_entry e ON e.id = i.entry_id
    JOIN ledger_ledgeraccount a ON a.id = i.account_id
    LEFT JOIN ledger_kindleg k ON k.kind_id = e.kind_id AND k.account_class = a.account_class
        AND k.owner_class = a.owner_class AND k.asset_kind = a.asset_kind
        AND k.side = CASE WHEN i.amount > 0 THEN 'debit' ELSE 'credit' END
    WHERE i.entry_id = ANY (entries) AND k.id IS NULL LIMIT 1;
    IF broken.kind_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s does not move %s of %s in a %s pool that way',
            broken.kind_id, broken.account_class, broken.asset_kind, broken.owner_class));
    END IF;

    SELECT s.*, k.pools_max, k.clients_max, k.accounts_max, k.buckets_max, r.leg INTO broken
    FROM (
        SELECT i.entry_id, e.kind_id, count(DISTINCT i.pool_id) AS pools,
               count(DISTINCT p.legal_entity_id) AS firms, count(DISTINCT a.client_id) AS clients,
               count(DISTINCT a.margin_account_id) AS accounts,
               count(DISTINCT a.bucket_id) AS buckets,
               array_agg(DISTINCT a.account_class || ' of a ' || a.owner_class || ' pool') AS legs,
               array_agg(DISTINCT a.owner_class::text) AS owners
        FROM ledger_posting i
        JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_ledgeraccount a ON a.id = i.account_id
        JOIN ledger_pool p ON p.id = i.pool_id
        WHERE i.entry_id = ANY (entries)
        GROUP BY i.entry_id, e.kind_id
    ) s
    JOIN ledger_entrykind k ON k.code = s.kind_id
    LEFT JOIN LATERAL (
        -- A kind of one pool needs the legs of that pool's class, a kind of several needs all.
        SELECT l.account_class || ' of a ' || l.owner_class || ' pool' AS leg
        FROM ledger_kindleg l
        WHERE l.kind_id = s.kind_id AND l.is_required
          AND (k.pools_max > 1 OR l.owner_class = ANY (s.owners))
          AND l.account_class || ' of a ' || l.owner_class || ' pool' <> ALL (s.legs) LIMIT 1
    ) r ON true
    WHERE s.pools > k.pools_max OR s.firms > 1 OR s.clients > k.clients_max
       OR s.accounts > k.accounts_max OR s.buckets > k.buckets_max OR r.leg IS NOT NULL LIMIT 1;
    IF broken.leg IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind',
            format('%s has a leg on %s', broken.kind_id, broken.leg));
    ELSIF broken.entry_id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_fits_its_kind', format(
            '%s touches %s pools, %s clients, %s accounts, %s buckets; it may touch %s, %s, %s, %s, '
            'of one firm', broken.kind_id, broken.pools, broken.clients, broken.accounts,
            broken.buckets, broken.pools_max, broken.clients_max, broken.accounts_max,
            broken.buckets_max));
    END IF;
END $$;

-- What leaves the custody of one place arrives in another, but for what the trade itself says;
-- and where clients meet in a trade, none gets more than it says.
CREATE FUNCTION ledger.check_trades(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    WITH said AS (
        SELECT i.entry_id, e.kind_id, k.clients_max > 1 AS clients_meet, a.client_id,
               a.account_class, coalesce(t.settles_in_id, i.asset_id) AS money, CASE
                   WHEN a.account_class <> 'position' THEN i.amount
                   WHEN a.asset_kind = 'derivative' THEN coalesce(i.realised, 0)
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

-- Average cost and realised profit are what quantity and price make of what stood before. An
-- opening brings its average along; a reversal gives back what it finds as its entry left it.
CREATE FUNCTION ledger.check_valuation(entries bigint[]) RETURNS void
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
            WHEN p.price IS NULL OR p.price <= 0 OR p.price >= 1e100
                 OR p.price <> trunc(p.price, 100) THEN 'position_has_a_price'
            WHEN (p.average_after, p.realised) IS DISTINCT FROM
                 ledger.trade_effect(p.quantity, p.average, -p.amount, p.price, p.settlement_scale)
                THEN 'position_is_valued' END AS rule
        FROM (
            SELECT i.*, e.kind_id, e.reverses_id, m.scale::integer AS settlement_scale,
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

-- A pool opens once and whole: its openings add up before anything else comes into it.
CREATE FUNCTION ledger.check_openings(pools smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_ledgeraccount o
        WHERE o.account_class = 'opening' AND o.pool_id = ANY (pools)
          AND (SELECT p.balance_after FROM ledger_posting p WHERE p.account_id = o.id
               ORDER BY p.account_seq DESC LIMIT 1) <> 0) THEN
        PERFORM accounts.refuse('opening_is_complete',
            'the pool''s opening balances do not add up yet');
    END IF;
END $$;

-- ---------------------------------------------------------------- the pass over postings

-- Whether entries of a kind may have these legs in one pool, `class owner asset side` each, and
-- touch a client, an account and a bucket. Kinds of several pools are looked at one by one.
CREATE FUNCTION ledger.is_plain_shape(
    kind text, owner text, legs text[], has_client boolean, has_account boolean, has_bucket boolean,
    leaves_custody boolean
) RETURNS boolean LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT k.pools_max = 1 AND (k.clients_max > 0 OR NOT has_client)
       AND (k.accounts_max > 0 OR NOT has_account) AND (k.buckets_max > 0 OR NOT has_bucket)
       AND NOT (k.keeps_custody AND leaves_custody) AND s.permitted = (SELECT count(DISTINCT u) FROM unnest(legs) u)
       AND s.is_complete
    FROM ledger_entrykind k CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE l.leg = ANY (legs)) AS permitted,
               bool_and(NOT l.is_required OR l.account_class = ANY (
                   SELECT split_part(u, ' ', 1) FROM unnest(legs) u)) AS is_complete
        FROM (SELECT n.*, concat_ws(' ', n.account_class, n.owner_class, n.asset_kind, n.side) AS leg
              FROM ledger_kindleg n WHERE n.kind_id = kind AND n.owner_class = owner) l
    ) s WHERE k.code = kind
$$;

CREATE FUNCTION ledger.posting_is_sound() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    shape record;
    doubtful bigint[] := '{}';
    traded bigint[] := '{}';
    pools smallint[] := '{}';
BEGIN
    FOR shape IN
        -- Entries of one look together: those of a batch rarely have more than a few.
        SELECT s.kind_id, s.owner_class, s.legs, s.has_client, s.has_account, s.has_bucket,
               s.leaves_custody, s.has_positions, array_agg(s.entry_id) AS entries,
               array_agg(s.entry_id) FILTER (WHERE NOT s.is_fine) AS odd,
               array_agg(DISTINCT s.pool_id) AS pools
        FROM (
            SELECT w.entry_id, e.kind_id::text AS kind_id, min(w.pool_id) AS pool_id,
                   min(w.owner_class) AS owner_class, array_agg(w.leg) AS legs,
                   bool_or(w.account_class = 'position') AS has_positions,
                   max(w.client_id) IS NOT NULL AS has_client,
                   max(w.margin_account_id) IS NOT NULL AS has_account,
                   max(w.bucket_id) IS NOT NULL AS has_bucket,
                   coalesce(sum(w.amount) FILTER (WHERE w.account_class = 'custody'), 0) <> 0
                       AS leaves_custody,
                   coalesce(bool_and(coalesce(w.is_fine, false))
                       AND e.xid = pg_current_xact_id() AND count(*) = e.posting_count
                       AND (SELECT count(*) FROM ledger_posting p
                            WHERE p.entry_id = w.entry_id) = count(*)
                       AND sum(w.amount) = 0
                       AND min(w.pool_id) = max(w.pool_id) AND min(w.asset_id) = max(w.asset_id)
                       AND min(w.client_id) IS NOT DISTINCT FROM max(w.client_id)
                       AND min(w.margin_account_id) IS NOT DISTINCT FROM max(w.margin_account_id)
                       AND min(w.bucket_id) IS NOT DISTINCT FROM max(w.bucket_id), false) AS is_fine
            FROM (
                SELECT i.entry_id, i.amount, i.pool_id, i.asset_id, a.account_class::text,
                       a.owner_class::text, a.client_id, a.margin_account_id, a.bucket_id,
                       a.account_class || ' ' || a.owner_class || ' ' || a.asset_kind
                           || CASE WHEN i.amount > 0 THEN ' debit' ELSE ' credit' END AS leg,
                       i.xid = pg_current_xact_id()
                       AND i.pool_id = a.pool_id AND i.asset_id = a.asset_id
                       AND i.amount = trunc(i.amount, a.scale) AND abs(i.amount) < 1e100
                       AND a.account_class <> 'position'
                       AND num_nulls(i.price, i.average_after, i.realised) = 3
                       AND ledger.broken_floor(a.account_class, a.asset_kind, i.balance_after) IS NULL
                       AND i.account_seq = b.seq + row_number() OVER running
                       AND i.balance_after = b.amount + sum(i.amount) OVER running AS is_fine
                FROM inserted i
                LEFT JOIN ledger_ledgeraccount a ON a.id = i.account_id
                LEFT JOIN ledger_balance b ON b.account_id = i.account_id
                WINDOW running AS (PARTITION BY i.account_id ORDER BY i.account_seq)
            ) w
            LEFT JOIN ledger_entry e ON e.id = w.entry_id
            GROUP BY w.entry_id, e.id
        ) s
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    LOOP
        IF ledger.is_plain_shape(shape.kind_id, shape.owner_class, shape.legs, shape.has_client,
                shape.has_account, shape.has_bucket, shape.leaves_custody) THEN
            doubtful := doubtful || coalesce(shape.odd, '{}');
        ELSE
            doubtful := doubtful || shape.entries;
        END IF;
        IF shape.has_positions THEN traded := traded || shape.entries; END IF;
        IF shape.kind_id <> 'opening' THEN pools := pools || shape.pools; END IF;
    END LOOP;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM accounts.require_act();
    IF cardinality(doubtful) > 0 THEN
        PERFORM ledger.check_postings(doubtful);
        PERFORM ledger.check_running(doubtful);
        PERFORM ledger.check_zero(doubtful);
        PERFORM ledger.check_kinds(doubtful);
        PERFORM ledger.check_trades(doubtful);
        IF cardinality(traded) > 0 THEN PERFORM ledger.check_valuation(traded); END IF;
        pools := ARRAY(SELECT DISTINCT i.pool_id FROM inserted i
                       JOIN ledger_entry e ON e.id = i.entry_id AND e.kind_id <> 'opening');
    END IF;
    IF cardinality(pools) > 0 THEN PERFORM ledger.check_openings(pools); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_1_is_sound AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_is_sound();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_1_is_sound;
