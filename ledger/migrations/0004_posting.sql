-- The one door for value. Python calls these through ledger/posting.py.

CREATE SEQUENCE ledger_entry_id;
REVOKE ALL ON SEQUENCE ledger_entry_id FROM bo_runtime;

-- Opens ledger accounts that are not there yet, with a zero balance; returns all of them in order.
-- `wanted`: [{"pool", "asset", "class", "bucket", "location"}], ids, bucket and location optional.
CREATE FUNCTION ledger.open_accounts(wanted jsonb)
RETURNS TABLE (ordinal bigint, account_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM accounts.require_act();
    WITH asked AS (
        SELECT w.*, min(w.ord) OVER (PARTITION BY w.pool, w.asset, w.class, w.bucket, w.location) AS first
        FROM ROWS FROM (jsonb_to_recordset(wanted) AS (
            pool smallint, asset bigint, class text, bucket bigint, location bigint))
            WITH ORDINALITY AS w(pool, asset, class, bucket, location, ord)
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
        WHERE w.ord = w.first
        ORDER BY w.ord
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
        AND a.account_class = w.class AND a.bucket_id IS NOT DISTINCT FROM w.bucket
        AND a.location_id IS NOT DISTINCT FROM w.location
    ORDER BY w.ord;
END $$;

-- Locks balances in id order, those of the named accounts and all of the named buckets, and
-- returns them as they stand. Whoever decides on a balance holds it first.
CREATE FUNCTION ledger.lock_balances(account_ids bigint[], bucket_ids bigint[])
RETURNS TABLE (account_id bigint, amount numeric, seq bigint, average_cost numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT b.account_id, b.amount, b.seq, b.average_cost FROM ledger_balance b
    WHERE b.account_id = ANY (account_ids)
       OR b.account_id IN (SELECT a.id FROM ledger_ledgeraccount a WHERE a.bucket_id = ANY (bucket_ids))
    ORDER BY b.account_id FOR UPDATE;
END $$;

-- What a trade does to a position: average cost and realised profit, in the order of postings.
-- `positions`: account, signed change, price, average given (openings only), settlement scale.
CREATE FUNCTION ledger.value_positions(
    accounts bigint[], changes numeric[], prices numeric[], given numeric[], scales integer[],
    OUT averages numeric[], OUT realised numeric[]
) LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    n integer := coalesce(array_length(accounts, 1), 0);
    account bigint := NULL;
    quantity numeric;
    average numeric;
    closed numeric;
BEGIN
    averages := array_fill(NULL::numeric, ARRAY[greatest(n, 1)]);
    realised := array_fill(NULL::numeric, ARRAY[greatest(n, 1)]);
    FOR i IN 1..n LOOP
        IF account IS DISTINCT FROM accounts[i] THEN
            account := accounts[i];
            SELECT -b.amount, coalesce(b.average_cost, 0) INTO quantity, average
            FROM ledger_balance b WHERE b.account_id = account;
        END IF;
        IF given[i] IS NOT NULL THEN
            average := given[i];
        ELSIF prices[i] IS NULL OR prices[i] <= 0 THEN
            PERFORM accounts.refuse('position_has_a_price', 'a change of a position names its price');
        ELSIF quantity = 0 OR sign(quantity) = sign(changes[i]) THEN
            average := ledger.half_even_ratio(abs(quantity) * average + abs(changes[i]) * prices[i],
                                              abs(quantity + changes[i]), 8);
        ELSE
            closed := sign(quantity) * least(abs(quantity), abs(changes[i]));
            realised[i] := ledger.half_even(closed * (prices[i] - average), scales[i]);
            IF abs(changes[i]) > abs(quantity) THEN
                average := prices[i];
            ELSIF quantity + changes[i] = 0 THEN
                average := 0;
            END IF;
        END IF;
        quantity := quantity + changes[i];
        averages[i] := average;
    END LOOP;
END $$;

CREATE TYPE ledger.draft AS (
    ordinal integer, entry_id bigint, key text, digest bytea, kind text, effective_at timestamptz,
    reference text, narrative text, reverses bigint, approval uuid, release uuid, loss jsonb,
    content jsonb);

CREATE TYPE ledger.draft_leg AS (
    entry_id bigint, ordinal integer, leg integer, account_id bigint, amount numeric,
    reference text, price numeric, average_given numeric);

-- Posts a batch of entries, set-based, in its order, whole or not at all.
--
-- `batch`: [{"key", "kind", "effective_at", "reference", "narrative"?, "reverses"?, "approval"?,
-- "release"?, "loss"?, "legs": [{"account", "amount", "reference"?, "price"?, "average"?}]}];
-- amounts are text, positive is a debit. The same key with the same content returns the first
-- entry (is_new false); with other content it is refused as `key_names_one_content`.
CREATE FUNCTION ledger.post_entries(batch jsonb)
RETURNS TABLE (ordinal integer, entry_id bigint, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    drafts ledger.draft[];
    legs ledger.draft_leg[];
    fresh bigint[];
    clash text;
    one record;
    position_accounts bigint[];
    position_legs bigint[];
    valued record;
BEGIN
    PERFORM accounts.require_act();

    SELECT array_agg(ROW(e.ord, nextval('ledger_entry_id'), e.value ->> 'key',
               sha256(convert_to((e.value - '{approval,release}'::text[])::text, 'UTF8')),
               e.value ->> 'kind', (e.value ->> 'effective_at')::timestamptz,
               coalesce(e.value ->> 'reference', ''), coalesce(e.value ->> 'narrative', ''),
               (e.value ->> 'reverses')::bigint, (e.value ->> 'approval')::uuid,
               (e.value ->> 'release')::uuid, e.value -> 'loss',
               e.value - '{approval,release}'::text[])::ledger.draft ORDER BY e.ord)
    INTO drafts FROM jsonb_array_elements(batch) WITH ORDINALITY AS e(value, ord);
    IF drafts IS NULL THEN RETURN; END IF;

    -- Keys first, in key order; a transaction that holds the same key is waited for.
    WITH taken AS (
        INSERT INTO ledger_entrykey (key, digest, entry_id)
        SELECT d.key, d.digest, d.entry_id
        FROM (SELECT DISTINCT ON (u.key) u.* FROM unnest(drafts) u ORDER BY u.key, u.ordinal) d
        ORDER BY d.key
        ON CONFLICT (key) DO NOTHING RETURNING ledger_entrykey.entry_id
    ) SELECT coalesce(array_agg(t.entry_id), '{}') INTO fresh FROM taken t;

    SELECT d.key INTO clash FROM unnest(drafts) d JOIN ledger_entrykey k ON k.key = d.key
    WHERE k.digest <> d.digest LIMIT 1;
    IF clash IS NOT NULL THEN
        PERFORM accounts.refuse('key_names_one_content',
            format('the key %s was used before with other content', clash));
    END IF;

    SELECT array_agg(ROW(d.entry_id, d.ordinal, l.ord, (l.value ->> 'account')::bigint,
               (l.value ->> 'amount')::numeric, l.value ->> 'reference',
               (l.value ->> 'price')::numeric, (l.value ->> 'average')::numeric)::ledger.draft_leg
               ORDER BY d.ordinal, l.ord)
    INTO legs
    FROM unnest(drafts) d
    CROSS JOIN LATERAL jsonb_array_elements(d.content -> 'legs') WITH ORDINALITY AS l(value, ord)
    WHERE d.entry_id = ANY (fresh);

    IF legs IS NOT NULL THEN
        PERFORM ledger.lock_balances(
            (SELECT array_agg(DISTINCT l.account_id) FROM unnest(legs) l),
            (SELECT array_agg(DISTINCT r.bucket_id) FROM unnest(drafts) d
             JOIN ledger_release r ON r.id = d.release WHERE d.entry_id = ANY (fresh)));

        FOR one IN SELECT d.* FROM unnest(drafts) d JOIN ledger_entrykind k ON k.code = d.kind
                   WHERE k.needs_approval AND d.entry_id = ANY (fresh) ORDER BY d.ordinal
        LOOP
            PERFORM accounts.use_approval(one.approval, 'entry.' || one.kind, one.content);
        END LOOP;
        PERFORM ledger.check_releases(drafts, legs, fresh);

        SELECT array_agg(l.account_id ORDER BY l.account_id, l.ordinal, l.leg),
               array_agg(-l.amount ORDER BY l.account_id, l.ordinal, l.leg) AS changes,
               array_agg(l.price ORDER BY l.account_id, l.ordinal, l.leg) AS prices,
               array_agg(l.average_given ORDER BY l.account_id, l.ordinal, l.leg) AS given,
               array_agg(coalesce(m.scale, 2) ORDER BY l.account_id, l.ordinal, l.leg) AS scales,
               array_agg(l.entry_id * 1000 + l.leg ORDER BY l.account_id, l.ordinal, l.leg) AS names
        INTO one
        FROM unnest(legs) l
        JOIN ledger_ledgeraccount a ON a.id = l.account_id AND a.account_class = 'position'
        JOIN ledger_asset t ON t.id = a.asset_id LEFT JOIN ledger_asset m ON m.id = t.settles_in_id;
        SELECT v.* INTO valued
        FROM ledger.value_positions(one.array_agg, one.changes, one.prices, one.given,
                                    one.scales::integer[]) v;

        WITH posted AS (
            SELECT l.*, a.pool_id, a.asset_id,
                   b.seq + row_number() OVER w AS account_seq,
                   b.amount + sum(l.amount) OVER w AS balance_after,
                   v.average, v.realised
            FROM unnest(legs) l
            JOIN ledger_ledgeraccount a ON a.id = l.account_id
            JOIN ledger_balance b ON b.account_id = l.account_id
            LEFT JOIN unnest(one.names, valued.averages, valued.realised)
                AS v(name, average, realised) ON v.name = l.entry_id * 1000 + l.leg
            WINDOW w AS (PARTITION BY l.account_id ORDER BY l.ordinal, l.leg)
        ), entries AS (
            INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, reverses_id,
                                      posting_count)
            SELECT d.entry_id, d.kind, d.effective_at, d.reference, d.narrative, d.reverses,
                   jsonb_array_length(d.content -> 'legs')
            FROM unnest(drafts) d WHERE d.entry_id = ANY (fresh)
        ), losses AS (
            INSERT INTO ledger_loss (entry_id, bucket_id, realised, shortfall, insurance, house, uncovered)
            SELECT d.entry_id, (d.loss ->> 'bucket')::bigint, (d.loss ->> 'realised')::numeric,
                   (d.loss ->> 'shortfall')::numeric, (d.loss ->> 'insurance')::numeric,
                   (d.loss ->> 'house')::numeric, (d.loss ->> 'uncovered')::numeric
            FROM unnest(drafts) d WHERE d.entry_id = ANY (fresh) AND jsonb_typeof(d.loss) = 'object'
        ), releases AS (
            INSERT INTO ledger_releaseuse (release_id, entry_id)
            SELECT d.release, d.entry_id FROM unnest(drafts) d
            WHERE d.entry_id = ANY (fresh) AND d.release IS NOT NULL
        )
        INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                    balance_after, reference, price, average_after, realised)
        SELECT p.account_id, p.account_seq, p.entry_id, p.pool_id, p.asset_id, p.amount,
               p.balance_after, p.reference, p.price, p.average, p.realised
        FROM posted p ORDER BY p.account_id, p.account_seq;

        IF (SELECT count(*) FROM ledger_posting p WHERE p.entry_id = ANY (fresh))
           <> array_length(legs, 1) THEN
            PERFORM accounts.refuse('posting_names_its_account', 'a leg names no ledger account');
        END IF;
    END IF;

    RETURN QUERY SELECT d.ordinal, k.entry_id, k.entry_id = d.entry_id
    FROM unnest(drafts) d JOIN ledger_entrykey k ON k.key = d.key ORDER BY d.ordinal;
END $$;

-- A release is used once, for what it was given for, while its bucket stands as it stood.
CREATE FUNCTION ledger.check_releases(
    drafts ledger.draft[], legs ledger.draft_leg[], fresh bigint[]
) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(drafts) d WHERE d.release IS NOT NULL) THEN RETURN; END IF;
    WITH moved AS (
        SELECT l.entry_id, l.ordinal, l.amount, a.bucket_id, a.account_class, a.asset_id
        FROM unnest(legs) l JOIN ledger_ledgeraccount a ON a.id = l.account_id
        WHERE a.bucket_id IS NOT NULL
    ), standing AS (
        SELECT a.bucket_id, sum(b.seq) AS postings
        FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
        WHERE a.bucket_id IN (SELECT r.bucket_id FROM unnest(drafts) d
                              JOIN ledger_release r ON r.id = d.release)
        GROUP BY 1
    ), counted AS (
        SELECT bucket_id, ordinal, count(*) AS legs,
               sum(count(*)) OVER (PARTITION BY bucket_id ORDER BY ordinal) - count(*) AS before
        FROM moved GROUP BY bucket_id, ordinal
    )
    SELECT d.key, CASE
        WHEN r.id IS NULL THEN 'release_is_given'
        WHEN u.release_id IS NOT NULL THEN 'release_is_used_once'
        WHEN r.kind_id <> d.kind OR NOT EXISTS (
            SELECT FROM moved m WHERE m.entry_id = d.entry_id AND m.account_class = 'claim'
              AND m.bucket_id = r.bucket_id AND m.asset_id = r.asset_id AND m.amount = r.amount)
            THEN 'release_is_for_this'
        WHEN r.scope_version <> s.postings + coalesce(c.before, 0) THEN 'release_is_current' END AS rule
    INTO broken
    FROM unnest(drafts) d
    LEFT JOIN ledger_release r ON r.id = d.release
    LEFT JOIN ledger_releaseuse u ON u.release_id = d.release
    LEFT JOIN standing s ON s.bucket_id = r.bucket_id
    LEFT JOIN counted c ON c.bucket_id = r.bucket_id AND c.ordinal = d.ordinal
    WHERE d.release IS NOT NULL AND d.entry_id = ANY (fresh)
      AND (r.id IS NULL OR u.release_id IS NOT NULL OR r.kind_id <> d.kind
           OR r.scope_version <> s.postings + coalesce(c.before, 0)
           OR NOT EXISTS (
            SELECT FROM moved m WHERE m.entry_id = d.entry_id AND m.account_class = 'claim'
              AND m.bucket_id = r.bucket_id AND m.asset_id = r.asset_id AND m.amount = r.amount))
    ORDER BY d.ordinal LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule,
            format('%s: a release is used once, for its own bucket, kind and amount, while nothing moved', broken.key));
    END IF;
END $$;

-- Undoes an entry, leg by leg; needs the approval of a second person.
CREATE FUNCTION ledger.reversal_of(entry bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'account', p.account_id, 'amount', trim_scale(-p.amount)::text, 'reference', p.reference,
        'price', trim_scale(p.price)::text)) ORDER BY p.account_id, p.account_seq)
    FROM ledger_posting p WHERE p.entry_id = entry
$$;

-- ---------------------------------------------------------------- what the runtime may do

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.open_accounts(jsonb), ledger.lock_balances(bigint[], bigint[]),
    ledger.post_entries(jsonb), ledger.reversal_of(bigint), ledger.half_even(numeric, integer),
    ledger.half_even_ratio(numeric, numeric, integer),
    ledger.broken_floor(text, text, numeric)
    TO bo_runtime, bo_auditor;
REVOKE EXECUTE ON FUNCTION ledger.open_accounts(jsonb), ledger.lock_balances(bigint[], bigint[]),
    ledger.post_entries(jsonb) FROM bo_auditor;

GRANT INSERT ON ledger_pool, ledger_asset, ledger_location, ledger_locationasset, ledger_release,
    ledger_horizon, ledger_statementfile, ledger_statement, ledger_statementline, ledger_holding,
    ledger_statementmatch, ledger_break, ledger_breakevent TO bo_runtime;
GRANT UPDATE (account_number, venue, chain, letter_reference, letter_signed_on, letter_expires_on,
    closed_on) ON ledger_location TO bo_runtime;
GRANT UPDATE (status, owner_id, closing_entry_id, closing_line_id, closing_reason, closed_at)
    ON ledger_break TO bo_runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bo_runtime;
REVOKE ALL ON SEQUENCE ledger_entry_id, accounts_approval_number FROM bo_runtime;
