-- The one door for value. Python calls these through ledger/posting.py.

CREATE SEQUENCE ledger_entry_id;
REVOKE ALL ON SEQUENCE ledger_entry_id FROM bo_runtime;

-- Opens ledger accounts that are not there yet, with a zero balance; returns all of them in order.
-- `wanted`: [{"pool", "asset", "class", "bucket", "location"}], ids, bucket and location optional.
-- A bucket that somebody holds locked gets no new accounts until they are done.
CREATE FUNCTION ledger.open_accounts(wanted jsonb)
RETURNS TABLE (ordinal bigint, account_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
        AND a.account_class = w.class AND a.bucket_id IS NOT DISTINCT FROM w.bucket
        AND a.location_id IS NOT DISTINCT FROM w.location
    ORDER BY w.ord;
    GET DIAGNOSTICS found_accounts = ROW_COUNT;
    IF found_accounts <> jsonb_array_length(wanted) THEN
        PERFORM accounts.refuse('ledger_account_is_truthful', 'there is no such pool or asset');
    END IF;
END $$;

-- Locks balances in id order, those of the named accounts and all of the named buckets, and
-- returns them as they stand. Whoever decides on a balance holds it first; of a bucket the row
-- itself is held too, so that it gets no new accounts meanwhile.
CREATE FUNCTION ledger.lock_balances(account_ids bigint[], bucket_ids bigint[])
RETURNS TABLE (account_id bigint, amount numeric, seq bigint, average_cost numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM accounts_bucket b WHERE b.id = ANY (bucket_ids) ORDER BY b.id FOR NO KEY UPDATE;
    RETURN QUERY
    SELECT b.account_id, b.amount, b.seq, b.average_cost FROM ledger_balance b
    WHERE b.account_id = ANY (account_ids || ARRAY(
        SELECT a.id FROM ledger_ledgeraccount a WHERE a.bucket_id = ANY (bucket_ids)))
    ORDER BY b.account_id FOR UPDATE;
END $$;

CREATE TYPE ledger.draft AS (
    ordinal integer, entry_id bigint, key text, digest bytea, kind text, effective_at timestamptz,
    reference text, narrative text, reverses bigint, approval uuid, release uuid, loss jsonb,
    content jsonb);

CREATE TYPE ledger.draft_leg AS (
    entry_id bigint, ordinal integer, leg integer, account_id bigint, amount numeric,
    reference text, price numeric, average_given numeric);

-- A number as files write it, or null: no exponent, no NaN, no infinity.
CREATE FUNCTION ledger.plain_number(said text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN said ~ '^-?[0-9]+(\.[0-9]+)?$' THEN said::numeric END
$$;

-- The entries of a batch in its order, each with an id of its own.
CREATE FUNCTION ledger.read_drafts(batch jsonb) RETURNS ledger.draft[]
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    drafts ledger.draft[];
    broken record;
BEGIN
    IF jsonb_typeof(batch) IS DISTINCT FROM 'array' THEN
        PERFORM accounts.refuse('draft_is_complete', 'a batch is a list of entries');
    END IF;
    SELECT array_agg(ROW(e.ord, nextval('ledger_entry_id'), e.value ->> 'key',
               sha256(convert_to((e.value - '{approval,release}'::text[])::text, 'UTF8')),
               e.value ->> 'kind', (e.value ->> 'effective_at')::timestamptz,
               coalesce(e.value ->> 'reference', ''), coalesce(e.value ->> 'narrative', ''),
               (e.value ->> 'reverses')::bigint, (e.value ->> 'approval')::uuid,
               (e.value ->> 'release')::uuid, e.value -> 'loss',
               e.value - '{approval,release}'::text[])::ledger.draft ORDER BY e.ord)
    INTO drafts FROM jsonb_array_elements(batch) WITH ORDINALITY AS e(value, ord);

    SELECT r.* INTO broken FROM (
        SELECT d.ordinal, d.key, CASE
            WHEN d.key IS NULL OR d.kind IS NULL OR d.effective_at IS NULL
                 OR jsonb_typeof(d.content -> 'legs') IS DISTINCT FROM 'array'
                 OR length(d.key) NOT BETWEEN 1 AND 200 OR length(d.reference) > 120
                THEN 'draft_is_complete'
            WHEN jsonb_array_length(d.content -> 'legs') < 2 THEN 'entry_has_two_postings' END AS rule
        FROM unnest(drafts) d
    ) r WHERE r.rule IS NOT NULL ORDER BY r.ordinal LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format('entry %s of the batch, %s: it names key, kind, '
            'time and two legs at least', broken.ordinal, coalesce(broken.key, 'without a key')));
    END IF;
    RETURN drafts;
END $$;

-- The legs of entries in their order, each on an account that has a balance.
CREATE FUNCTION ledger.read_legs(drafts ledger.draft[]) RETURNS ledger.draft_leg[]
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    legs ledger.draft_leg[];
    broken record;
BEGIN
    SELECT array_agg(ROW(d.entry_id, d.ordinal, l.ord, ledger.plain_number(l.value ->> 'account'),
               ledger.plain_number(l.value ->> 'amount'), l.value ->> 'reference',
               ledger.plain_number(l.value ->> 'price'),
               ledger.plain_number(l.value ->> 'average'))::ledger.draft_leg ORDER BY d.ordinal, l.ord)
               AS legs,
           bool_or((l.value ->> 'price') IS NOT NULL
                       AND ledger.plain_number(l.value ->> 'price') IS NULL
                   OR (l.value ->> 'average') IS NOT NULL
                       AND ledger.plain_number(l.value ->> 'average') IS NULL) AS is_spoilt
    INTO broken
    FROM unnest(drafts) d
    CROSS JOIN LATERAL jsonb_array_elements(d.content -> 'legs') WITH ORDINALITY AS l(value, ord);
    legs := broken.legs;
    IF broken.is_spoilt THEN
        PERFORM accounts.refuse('position_has_a_price', 'a price is a plain number');
    END IF;

    SELECT r.* INTO broken FROM (
        SELECT d.key, l.leg, l.ordinal, CASE
            WHEN b.account_id IS NULL THEN 'posting_names_its_account'
            WHEN l.amount IS NULL THEN 'amount_fits_its_asset'
            WHEN length(l.reference) > 120 THEN 'draft_is_complete' END AS rule
        FROM unnest(legs) l
        JOIN unnest(drafts) d ON d.entry_id = l.entry_id
        LEFT JOIN ledger_balance b ON b.account_id = l.account_id
    ) r WHERE r.rule IS NOT NULL ORDER BY r.ordinal, r.leg LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s: leg %s names a ledger account and an amount', broken.key, broken.leg));
    END IF;
    RETURN legs;
END $$;

-- What legs do to positions: average cost and realised profit, in the order of postings. The
-- balances are locked. An opening brings its average along; a reversal gives back what stood
-- before its entry.
CREATE FUNCTION ledger.value_positions(drafts ledger.draft[], legs ledger.draft_leg[])
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
        ELSIF one.price IS NULL OR one.price <= 0 OR one.amount = 0 THEN
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

-- Writes entries and postings in one statement, so that the guards see them whole.
CREATE FUNCTION ledger.write_entries(drafts ledger.draft[], legs ledger.draft_leg[]) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp SET jit = off AS $$
    WITH posted AS (
        SELECT l.*, a.pool_id, a.asset_id,
               b.seq + row_number() OVER w AS account_seq,
               b.amount + sum(l.amount) OVER w AS balance_after,
               v.average, v.realised
        FROM unnest(legs) l
        JOIN ledger_ledgeraccount a ON a.id = l.account_id
        JOIN ledger_balance b ON b.account_id = l.account_id
        LEFT JOIN ledger.value_positions(drafts, legs) v
            ON v.entry_id = l.entry_id AND v.leg = l.leg
        WINDOW w AS (PARTITION BY l.account_id ORDER BY l.ordinal, l.leg)
    ), entries AS (
        INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, reverses_id,
                                  posting_count)
        SELECT d.entry_id, d.kind, d.effective_at, d.reference, d.narrative, d.reverses,
               jsonb_array_length(d.content -> 'legs')
        FROM unnest(drafts) d
    ), losses AS (
        INSERT INTO ledger_loss (entry_id, bucket_id, realised, shortfall, insurance, house, uncovered)
        SELECT d.entry_id, (d.loss ->> 'bucket')::bigint, (d.loss ->> 'realised')::numeric,
               (d.loss ->> 'shortfall')::numeric, (d.loss ->> 'insurance')::numeric,
               (d.loss ->> 'house')::numeric, (d.loss ->> 'uncovered')::numeric
        FROM unnest(drafts) d WHERE jsonb_typeof(d.loss) = 'object'
    ), releases AS (
        INSERT INTO ledger_releaseuse (release_id, entry_id)
        SELECT d.release, d.entry_id FROM unnest(drafts) d WHERE d.release IS NOT NULL
    )
    INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                balance_after, reference, price, average_after, realised)
    SELECT p.account_id, p.account_seq, p.entry_id, p.pool_id, p.asset_id, p.amount,
           p.balance_after, p.reference, p.price, p.average, p.realised
    FROM posted p ORDER BY p.account_id, p.account_seq
$$;

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
    drafts ledger.draft[] := ledger.read_drafts(batch);
    fresh ledger.draft[];
    legs ledger.draft_leg[];
    clash text;
    one record;
BEGIN
    PERFORM accounts.require_act();

    -- Keys first, in key order; a transaction that holds the same key is waited for.
    WITH taken AS (
        INSERT INTO ledger_entrykey (key, digest, entry_id)
        SELECT d.key, d.digest, d.entry_id
        FROM (SELECT DISTINCT ON (u.key) u.* FROM unnest(drafts) u ORDER BY u.key, u.ordinal) d
        ORDER BY d.key
        ON CONFLICT (key) DO NOTHING RETURNING ledger_entrykey.entry_id
    )
    SELECT array_agg(d ORDER BY d.ordinal) INTO fresh
    FROM unnest(drafts) d JOIN taken t ON t.entry_id = d.entry_id;

    SELECT d.key INTO clash FROM unnest(drafts) d JOIN ledger_entrykey k ON k.key = d.key
    WHERE k.digest <> d.digest ORDER BY d.ordinal LIMIT 1;
    IF clash IS NOT NULL THEN
        PERFORM accounts.refuse('key_names_one_content',
            format('the key %s was used before with other content', clash));
    END IF;

    IF fresh IS NOT NULL THEN
        legs := ledger.read_legs(fresh);
        PERFORM ledger.lock_balances(
            (SELECT array_agg(DISTINCT l.account_id) FROM unnest(legs) l),
            (SELECT array_agg(DISTINCT r.bucket_id) FROM unnest(fresh) d
             JOIN ledger_release r ON r.id = d.release));
        FOR one IN SELECT d.* FROM unnest(fresh) d JOIN ledger_entrykind k ON k.code = d.kind
                   WHERE k.needs_approval ORDER BY d.ordinal
        LOOP
            PERFORM accounts.use_approval(one.approval, 'entry.' || one.kind, one.content);
        END LOOP;
        PERFORM ledger.write_entries(fresh, legs);
    END IF;

    RETURN QUERY SELECT d.ordinal, k.entry_id, k.entry_id = d.entry_id
    FROM unnest(drafts) d JOIN ledger_entrykey k ON k.key = d.key ORDER BY d.ordinal;
END $$;

-- The legs that undo an entry; posting them needs the approval of a second person.
CREATE FUNCTION ledger.reversal_of(entry bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'account', p.account_id, 'amount', trim_scale(-p.amount)::text, 'reference', p.reference,
        'price', trim_scale(p.price)::text)) ORDER BY p.account_id, p.account_seq)
    FROM ledger_posting p WHERE p.entry_id = entry
$$;

-- ---------------------------------------------------------------- what the runtime may do

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.reversal_of(bigint), ledger.half_even(numeric, integer),
    ledger.half_even_ratio(numeric, numeric, integer), ledger.broken_floor(text, text, numeric),
    ledger.trade_effect(numeric, numeric, numeric, numeric, integer)
    TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION ledger.open_accounts(jsonb), ledger.lock_balances(bigint[], bigint[]),
    ledger.post_entries(jsonb) TO bo_runtime;

GRANT INSERT ON ledger_pool, ledger_asset, ledger_location, ledger_locationasset, ledger_release,
    ledger_horizon, ledger_statementfile, ledger_statement, ledger_statementline, ledger_holding,
    ledger_statementmatch, ledger_break, ledger_breakevent TO bo_runtime;
GRANT UPDATE (account_number, venue, chain, letter_reference, letter_signed_on, letter_expires_on,
    closed_on) ON ledger_location TO bo_runtime;
GRANT UPDATE (status, owner_id, closing_entry_id, closing_line_id, closing_reason, closed_at)
    ON ledger_break TO bo_runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bo_runtime;
REVOKE ALL ON SEQUENCE ledger_entry_id, accounts_approval_number FROM bo_runtime;
