-- Paths for one entry, for batches and for staged work: one core, which reads drafts from JSON.

-- ---------------------------------------------------------------- opening accounts

-- The same as before, for any number of accounts: ids are found by hash, not by comparing all.
CREATE OR REPLACE FUNCTION ledger.open_accounts(wanted jsonb)
RETURNS TABLE (ordinal bigint, account_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    found_accounts bigint;
BEGIN
    PERFORM accounts.require_act();
    PERFORM FROM accounts_bucket b WHERE b.id IN (
        SELECT w.bucket FROM jsonb_to_recordset(wanted) AS w(
            pool smallint, asset bigint, class text, bucket bigint)
        WHERE NOT EXISTS (
            SELECT FROM ledger_ledgeraccount a WHERE a.pool_id = w.pool AND a.asset_id = w.asset
              AND a.account_class = w.class AND a.bucket_id = w.bucket)
    ) ORDER BY b.id FOR SHARE;
    WITH asked AS (
        SELECT DISTINCT w.pool, w.asset, w.class, w.bucket, w.location
        FROM jsonb_to_recordset(wanted) AS w(
            pool smallint, asset bigint, class text, bucket bigint, location bigint)
    ), opened AS (
        INSERT INTO ledger_ledgeraccount (pool_id, asset_id, account_class, bucket_id, location_id,
            owner_class, asset_kind, scale, margin_account_id, client_id)
        SELECT w.pool, w.asset, w.class, w.bucket, w.location, p.owner_class, t.kind, t.scale,
               b.account_id, coalesce(m.client_id, l.individual_client_id)
        FROM asked w
        JOIN ledger_pool p ON p.id = w.pool
        JOIN ledger_asset t ON t.id = w.asset
        LEFT JOIN accounts_bucket b ON b.id = w.bucket
        LEFT JOIN accounts_marginaccount m ON m.id = b.account_id
        LEFT JOIN ledger_location l ON l.id = w.location
        ORDER BY w.pool, w.asset, w.class, w.bucket, w.location
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    INSERT INTO ledger_balance (account_id, amount, seq) SELECT id, 0, 0 FROM opened;
    RETURN QUERY
    SELECT w.ord, a.id
    FROM ROWS FROM (jsonb_to_recordset(wanted) AS (
        pool smallint, asset bigint, class text, bucket bigint, location bigint))
        WITH ORDINALITY AS w(pool, asset, class, bucket, location, ord)
    JOIN ledger_ledgeraccount a ON a.pool_id = w.pool AND a.asset_id = w.asset
        AND a.account_class = w.class AND coalesce(a.bucket_id, -1) = coalesce(w.bucket, -1)
        AND coalesce(a.location_id, -1) = coalesce(w.location, -1)
    ORDER BY w.ord;
    GET DIAGNOSTICS found_accounts = ROW_COUNT;
    IF found_accounts <> jsonb_array_length(wanted) THEN
        PERFORM accounts.refuse('ledger_account_is_truthful', 'there is no such pool or asset');
    END IF;
END $$;

-- ---------------------------------------------------------------- the core

-- Writes entries and postings in one statement, so that the guards see them whole. The arrays of
-- legs say how many postings of its account each makes with those before it, and how much they move;
-- those of balances are as they stand locked, one element per ledger account; those of values say
-- what trades make of positions, where there are any.
DROP FUNCTION ledger.write_entries(ledger.draft[], ledger.draft_leg[]);
DO $write$
DECLARE
    head text := 'ids bigint[], kinds text[], times timestamptz[], refs text[], narratives text[],
        undone bigint[], counts integer[], losses jsonb[], releases uuid[],
        leg_entries bigint[], leg_ordinals integer[], leg_accounts bigint[], leg_amounts numeric[],
        leg_references text[], leg_prices numeric[], places bigint[], moved numeric[],
        accounts bigint[], pools smallint[], assets bigint[], amounts numeric[], seqs bigint[]';
    settings text := ' RETURNS void LANGUAGE sql SET search_path = public, pg_temp SET jit = off
        SET plan_cache_mode = force_generic_plan SET enable_nestloop = off
        SET enable_mergejoin = off AS ';
    body text := $$
    WITH entries AS (
        INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, reverses_id,
                                  posting_count)
        SELECT d.* FROM unnest(ids, kinds, times, refs, narratives, undone, counts) d
    ), lost AS (
        INSERT INTO ledger_loss (entry_id, bucket_id, realised, shortfall, insurance, house, uncovered)
        SELECT d.id, (d.loss ->> 'bucket')::bigint, (d.loss ->> 'realised')::numeric,
               (d.loss ->> 'shortfall')::numeric, (d.loss ->> 'insurance')::numeric,
               (d.loss ->> 'house')::numeric, (d.loss ->> 'uncovered')::numeric
        FROM unnest(ids, losses) AS d(id, loss) WHERE jsonb_typeof(d.loss) = 'object'
    ), used AS (
        INSERT INTO ledger_releaseuse (release_id, entry_id)
        SELECT d.release, d.id FROM unnest(ids, releases) AS d(id, release)
        WHERE d.release IS NOT NULL
    )
    INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                balance_after, reference, price, average_after, realised)
    SELECT l.account_id, b.seq + l.place, l.entry_id, b.pool_id, b.asset_id, l.amount,
           b.amount + l.moved, l.reference, l.price, %s
    FROM unnest(leg_entries, leg_ordinals, leg_accounts, leg_amounts, leg_references, leg_prices,
                places, moved)
        AS l(entry_id, leg, account_id, amount, reference, price, place, moved)
    JOIN unnest(accounts, pools, assets, amounts, seqs)
        AS b(account_id, pool_id, asset_id, amount, seq) ON b.account_id = l.account_id
    %s
    $$;
BEGIN
    EXECUTE 'CREATE FUNCTION ledger.write_entries(' || head || ')' || settings || quote_literal(
        format(body, 'NULL, NULL', ''));
    EXECUTE 'CREATE FUNCTION ledger.write_trades(' || head || ', valued_entries bigint[],
        valued_legs integer[], averages numeric[], realised numeric[])' || settings || quote_literal(
        format(body, 'v.average, v.realised', 'LEFT JOIN unnest(valued_entries, valued_legs,
        averages, realised) AS v(entry_id, leg, average, realised)
        ON v.entry_id = l.entry_id AND v.leg = l.leg'));
END $write$;

-- Takes keys, in key order; a transaction that holds the same key is waited for. Returns the ids of
-- the entries whose keys are new. The first key answers for all, or each for itself.
CREATE FUNCTION ledger.add_keys(keys text[], digests bytea[], ids bigint[], each_is_watched boolean)
RETURNS bigint[]
LANGUAGE sql SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
    WITH taken AS (
        INSERT INTO ledger_entrykey (key, digest, entry_id, watches_to)
        SELECT d.key, d.digest, d.id,
               CASE WHEN each_is_watched THEN 0 WHEN d.id = ids[1] THEN ids[cardinality(ids)] END
        FROM (SELECT DISTINCT ON (u.key) u.* FROM unnest(keys, digests, ids) AS u(key, digest, id)
              ORDER BY u.key, u.id) d
        ORDER BY d.key
        ON CONFLICT (key) DO NOTHING RETURNING entry_id
    )
    SELECT coalesce(array_agg(t.entry_id), '{}') FROM taken t
$$;
CREATE FUNCTION ledger.take_keys(keys text[], digests bytea[], ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF cardinality(keys) = 1 THEN
        RETURN ledger.add_keys(keys, digests, ids, true);
    END IF;
    BEGIN
        RETURN ledger.add_keys(keys, digests, ids, false);
    EXCEPTION WHEN check_violation THEN
        -- The first key was used before, so it cannot answer for the others.
        RETURN ledger.add_keys(keys, digests, ids, true);
    END;
END $$;

-- Posts drafts in their order: `drafts` are objects as `post_entries` describes them. Returns the
-- entry of each, and whether it is new. Those of a staged batch wait with their keys in hand until
-- the drafts before them are posted, and lock and write only then.
CREATE FUNCTION ledger.post_drafts(
    drafts jsonb[], of_batch uuid, first_ordinal bigint,
    OUT entries bigint[], OUT are_new boolean[]
) LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET work_mem = '64MB' AS $$
DECLARE
    d record;
    l record;
    b record;
    v record;
    fresh bigint[];
    clash text;
    one record;
BEGIN
    SELECT array_agg(s.id) AS ids, array_agg(s.key) AS keys,
           array_agg(s.digest) AS digests, array_agg(s.kind) AS kinds,
           array_agg(s.effective_at) AS times,
           array_agg(s.reference) AS refs,
           array_agg(s.narrative) AS narratives,
           array_agg(s.reverses) AS undone,
           array_agg(s.approval) AS approvals,
           array_agg(s.release) AS releases,
           array_agg(s.loss) AS losses,
           array_agg(s.legs) AS legs, array_agg(s.legs_count) AS counts,
           bool_and(coalesce(s.is_complete, false)) IS NOT TRUE AS is_broken
    INTO d
    FROM (
        SELECT u.ord, nextval('ledger_entry_id') AS id, u.body ->> 'key' AS key,
               sha256(convert_to((u.body - '{approval,release}'::text[])::text, 'UTF8')) AS digest,
               u.body ->> 'kind' AS kind, (u.body ->> 'effective_at')::timestamptz AS effective_at,
               coalesce(u.body ->> 'reference', '') AS reference,
               coalesce(u.body ->> 'narrative', '') AS narrative,
               (u.body ->> 'reverses')::bigint AS reverses, (u.body ->> 'approval')::uuid AS approval,
               (u.body ->> 'release')::uuid AS release, u.body -> 'loss' AS loss,
               u.body -> 'legs' AS legs,
               CASE WHEN jsonb_typeof(u.body -> 'legs') = 'array'
                    THEN jsonb_array_length(u.body -> 'legs') ELSE 0 END AS legs_count,
               length(u.body ->> 'key') BETWEEN 1 AND 200 AND (u.body ->> 'kind') IS NOT NULL
               AND (u.body ->> 'effective_at') IS NOT NULL
               AND length(coalesce(u.body ->> 'reference', '')) <= 120
               AND jsonb_typeof(u.body -> 'legs') = 'array' AS is_complete
        FROM unnest(drafts) WITH ORDINALITY AS u(body, ord) ORDER BY u.ord
    ) s;
    IF d.is_broken OR 2 > ANY (d.counts) THEN
        PERFORM ledger.read_drafts(to_jsonb(drafts));
    END IF;

    fresh := ledger.take_keys(d.keys, d.digests, d.ids);
    IF of_batch IS NOT NULL THEN PERFORM ledger.await_turn(of_batch, first_ordinal); END IF;
    entries := d.ids;
    are_new := array_fill(true, ARRAY[cardinality(d.ids)]);
    IF cardinality(fresh) < cardinality(d.ids) THEN
        SELECT u.key INTO clash FROM unnest(d.keys, d.digests) WITH ORDINALITY AS u(key, digest, ord)
        JOIN ledger_entrykey k ON k.key = u.key AND k.digest <> u.digest ORDER BY u.ord LIMIT 1;
        IF clash IS NOT NULL THEN
            PERFORM accounts.refuse('key_names_one_content',
                format('the key %s was used before with other content', clash));
        END IF;
        SELECT array_agg(k.entry_id ORDER BY u.ord), array_agg(k.entry_id = u.id ORDER BY u.ord)
        INTO entries, are_new
        FROM unnest(d.keys, d.ids) WITH ORDINALITY AS u(key, id, ord)
        JOIN ledger_entrykey k ON k.key = u.key;
        IF cardinality(fresh) = 0 THEN RETURN; END IF;
        SELECT array_agg(u.id ORDER BY u.ord) AS ids, array_agg(u.key ORDER BY u.ord) AS keys,
               array_agg(u.kind ORDER BY u.ord) AS kinds, array_agg(u.at ORDER BY u.ord) AS times,
               array_agg(u.reference ORDER BY u.ord) AS refs,
               array_agg(u.narrative ORDER BY u.ord) AS narratives,
               array_agg(u.reverses ORDER BY u.ord) AS undone,
               array_agg(u.approval ORDER BY u.ord) AS approvals,
               array_agg(u.release ORDER BY u.ord) AS releases,
               array_agg(u.loss ORDER BY u.ord) AS losses, array_agg(u.legs ORDER BY u.ord) AS legs,
               array_agg(u.legs_count ORDER BY u.ord) AS counts,
               array_agg(u.body ORDER BY u.ord) AS bodies
        INTO d
        FROM unnest(d.ids, d.keys, d.kinds, d.times, d.refs, d.narratives, d.undone, d.approvals,
                    d.releases, d.losses, d.legs, d.counts, drafts, are_new) WITH ORDINALITY
            AS u(id, key, kind, at, reference, narrative, reverses, approval, release, loss, legs,
                 legs_count, body, is_new, ord)
        WHERE u.is_new;
        drafts := d.bodies;
    END IF;

    SELECT array_agg(s.entry_id) AS entries, array_agg(s.leg) AS ordinals,
           array_agg(s.account_id) AS accounts, array_agg(s.amount) AS amounts,
           array_agg(s.reference) AS refs, array_agg(s.price) AS prices,
           array_agg(s.average) AS averages, array_agg(s.place) AS places,
           array_agg(s.moved) AS moved,
           bool_or(coalesce(s.is_spoilt OR s.account_id IS NULL OR s.amount IS NULL
                            OR length(coalesce(s.reference, '')) > 120, true)) AS is_broken
    INTO l
    FROM (
        SELECT g.*, row_number() OVER running AS place, sum(g.amount) OVER running AS moved
        FROM (
        SELECT u.id AS entry_id, g.ord::integer AS leg,
               ledger.plain_number(g.value ->> 'account')::bigint AS account_id,
               ledger.plain_number(g.value ->> 'amount') AS amount,
               g.value ->> 'reference' AS reference,
               ledger.plain_number(g.value ->> 'price') AS price,
               ledger.plain_number(g.value ->> 'average') AS average,
               (g.value ->> 'price') IS NOT NULL AND ledger.plain_number(g.value ->> 'price') IS NULL
               OR (g.value ->> 'average') IS NOT NULL
                  AND ledger.plain_number(g.value ->> 'average') IS NULL AS is_spoilt
        FROM unnest(d.ids, d.legs) WITH ORDINALITY AS u(id, legs, ord)
        CROSS JOIN LATERAL jsonb_array_elements(u.legs) WITH ORDINALITY AS g(value, ord)
        ) g
        WINDOW running AS (PARTITION BY g.account_id ORDER BY g.entry_id, g.leg)
        ORDER BY g.account_id, g.entry_id, g.leg
    ) s;

    -- Then balances, in id order; of a bucket with a release all of them, and the row itself.
    IF num_nonnulls(VARIADIC d.releases) > 0 THEN
        PERFORM ledger.lock_balances(l.accounts, ARRAY(
            SELECT DISTINCT r.bucket_id FROM ledger_release r WHERE r.id = ANY (d.releases)));
    END IF;
    SELECT array_agg(s.account_id) AS accounts, array_agg(a.pool_id) AS pools,
           array_agg(a.asset_id) AS assets, array_agg(s.amount) AS amounts,
           array_agg(s.seq) AS seqs, bool_or(a.account_class = 'position') AS has_positions
    INTO b
    FROM (
        SELECT n.account_id, n.amount, n.seq FROM ledger_balance n
        WHERE n.account_id = ANY (ARRAY(SELECT DISTINCT x FROM unnest(l.accounts) x ORDER BY x))
        ORDER BY n.account_id FOR UPDATE
    ) s JOIN ledger_ledgeraccount a ON a.id = s.account_id;
    IF l.is_broken OR b.accounts IS NULL
       OR cardinality(b.accounts) <> (SELECT count(DISTINCT x) FROM unnest(l.accounts) x) THEN
        PERFORM ledger.read_legs(ledger.as_drafts(drafts, d.ids));
    END IF;

    FOR one IN
        SELECT u.approval, u.kind, u.body
        FROM unnest(d.approvals, d.kinds, drafts) WITH ORDINALITY AS u(approval, kind, body, ord)
        JOIN ledger_entrykind k ON k.code = u.kind AND k.needs_approval ORDER BY u.ord
    LOOP
        PERFORM accounts.use_approval(one.approval, 'entry.' || one.kind,
                                      one.body - '{approval,release}'::text[]);
    END LOOP;

    IF NOT b.has_positions THEN
        PERFORM ledger.write_entries(d.ids, d.kinds, d.times, d.refs, d.narratives, d.undone,
            d.counts, d.losses, d.releases, l.entries, l.ordinals, l.accounts, l.amounts, l.refs,
            l.prices, l.places, l.moved, b.accounts, b.pools, b.assets, b.amounts, b.seqs);
        RETURN;
    END IF;
    SELECT array_agg(x.entry_id) AS entries, array_agg(x.leg) AS legs,
           array_agg(x.average) AS averages, array_agg(x.realised) AS realised INTO v
    FROM ledger.value_positions(ledger.as_drafts(drafts, d.ids),
        ledger.read_legs(ledger.as_drafts(drafts, d.ids))) x;
    PERFORM ledger.write_trades(d.ids, d.kinds, d.times, d.refs, d.narratives, d.undone, d.counts,
        d.losses, d.releases, l.entries, l.ordinals, l.accounts, l.amounts, l.refs, l.prices,
        l.places, l.moved, b.accounts, b.pools, b.assets, b.amounts, b.seqs, v.entries, v.legs, v.averages, v.realised);
END $$;

-- Drafts as the functions that look closer read them.
CREATE FUNCTION ledger.as_drafts(bodies jsonb[], ids bigint[]) RETURNS ledger.draft[]
LANGUAGE sql SET search_path = public, pg_temp SET jit = off AS $$
    SELECT array_agg(ROW(u.ord, u.id, u.body ->> 'key', NULL::bytea, u.body ->> 'kind',
        (u.body ->> 'effective_at')::timestamptz, u.body ->> 'reference', u.body ->> 'narrative',
        (u.body ->> 'reverses')::bigint, (u.body ->> 'approval')::uuid,
        (u.body ->> 'release')::uuid, u.body -> 'loss',
        u.body - '{approval,release}'::text[])::ledger.draft ORDER BY u.ord)
    FROM unnest(bodies, ids) WITH ORDINALITY AS u(body, id, ord)
$$;

-- Posts a batch of entries, set-based, in its order, whole or not at all.
--
-- `batch`: [{"key", "kind", "effective_at", "reference", "narrative"?, "reverses"?, "approval"?,
-- "release"?, "loss"?, "legs": [{"account", "amount", "reference"?, "price"?, "average"?}]}];
-- amounts are text, positive is a debit. The same key with the same content returns the first
-- entry (is_new false); with other content it is refused as `key_names_one_content`.
CREATE OR REPLACE FUNCTION ledger.post_entries(batch jsonb)
RETURNS TABLE (ordinal integer, entry_id bigint, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    PERFORM accounts.require_act();
    IF jsonb_typeof(batch) IS DISTINCT FROM 'array' THEN
        PERFORM accounts.refuse('draft_is_complete', 'a batch is a list of entries');
    END IF;
    IF jsonb_array_length(batch) = 0 THEN RETURN; END IF;
    RETURN QUERY
    SELECT r.ord::integer, r.entry, r.fresh
    FROM ledger.post_drafts(ARRAY(SELECT e FROM jsonb_array_elements(batch) e), NULL, NULL) p
    CROSS JOIN LATERAL unnest(p.entries, p.are_new) WITH ORDINALITY AS r(entry, fresh, ord);
END $$;

-- Says who acts and posts a batch, in one call: a transaction of one statement.
CREATE FUNCTION ledger.post_as(
    actor text, session_key text, channel text, request_id text, reason text, batch jsonb
) RETURNS TABLE (ordinal integer, entry_id bigint, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM accounts.act(actor, session_key, channel, request_id, reason);
    RETURN QUERY SELECT * FROM ledger.post_entries(batch);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.post_entries(jsonb), ledger.open_accounts(jsonb),
    ledger.post_as(text, text, text, text, text, jsonb) TO bo_runtime;
