-- Staged work: drafts that wait to be posted, written by COPY. What lies here is nobody's money yet:
-- it is not kept, not sealed and lost in a crash; the keys tell what was posted of it. A chunk of a
-- batch may be read and take its keys while the one before it is written, so two connections share
-- the work, but chunks lock balances, write and commit one after another, in their order.

-- A draft lies here whole as the object that `post_entries` reads, or, where it is plain, in columns.
ALTER TABLE ledger_stageddraft ADD CONSTRAINT draft_is_staged_in_one_way CHECK (
    num_nonnulls(draft, accounts) = 1 AND num_nonnulls(draft, amounts) = 1);

-- Takes the turn that ends before an ordinal; the chunk that begins there waits for this transaction.
CREATE FUNCTION ledger.take_turn(of_batch uuid, until bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(of_batch || ' ' || until, 0))
$$;

-- Waits for the transaction whose turn ends here, which must have posted all there was before.
CREATE FUNCTION ledger.await_turn(of_batch uuid, first_ordinal bigint) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(of_batch || ' ' || first_ordinal, 0));
    IF EXISTS (SELECT FROM ledger_stageddraft s
               WHERE s.batch = of_batch AND s.ordinal < first_ordinal) THEN
        PERFORM accounts.refuse('drafts_are_posted_in_order', format(
            'drafts before number %s of the batch were not posted', first_ordinal));
    END IF;
END $$;

-- A staged draft as `post_entries` reads it.
CREATE FUNCTION ledger.staged_body(s ledger_stageddraft) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce(s.draft, jsonb_build_object(
        'key', s.key, 'kind', s.kind, 'effective_at', s.effective_at, 'reference', s.reference,
        'narrative', s.narrative, 'legs', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('account', l.account, 'amount', l.amount::text)
                                      ORDER BY l.leg), '[]')
            FROM unnest(s.accounts, s.amounts) WITH ORDINALITY AS l(account, amount, leg))))
$$;

-- The text of a plain draft, letter by letter that of its object, of which keys keep the digest; most
-- have two legs. Functions without a query of their own, which cost nothing to call.
CREATE FUNCTION ledger.leg_text(account bigint, amount numeric) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"amount": "' || amount || '", "account": ' || account || '}'
$$;
CREATE FUNCTION ledger.legs_text(accounts bigint[], amounts numeric[]) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT string_agg(ledger.leg_text(l.account, l.amount), ', ' ORDER BY l.leg)
    FROM unnest(accounts, amounts) WITH ORDINALITY AS l(account, amount, leg)
$$;
CREATE FUNCTION ledger.plain_text(
    key text, kind text, legs text, narrative text, reference text, effective_at text
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"key": ' || to_json(key)::text || ', "kind": ' || to_json(kind)::text
        || ', "legs": [' || legs || '], "narrative": ' || to_json(narrative)::text
        || ', "reference": ' || to_json(reference)::text
        || ', "effective_at": ' || to_json(effective_at)::text || '}'
$$;

-- Posts a chunk of plain drafts, all of them new, of kinds that need no approval and move no
-- position; null, and nothing was written, where there is anything else.
CREATE FUNCTION ledger.post_plain(of_batch uuid, first_ordinal bigint, until bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET work_mem = '64MB' SET enable_seqscan = off AS $$
DECLARE
    d record;
    l record;
    b record;
BEGIN
    SELECT count(*) AS many, array_agg(s.id) AS ids, array_agg(s.key) AS keys,
           array_agg(s.digest) AS digests, array_agg(s.kind) AS kinds, array_agg(s.at) AS times,
           array_agg(s.reference) AS refs, array_agg(s.narrative) AS narratives,
           array_agg(s.legs) AS counts, bool_and(coalesce(s.is_complete, false)) AS are_complete
    INTO d
    FROM (
        SELECT nextval('ledger_entry_id') AS id, s.key, s.kind,
               CASE WHEN s.draft IS NULL THEN s.effective_at::timestamptz END AS at,
               s.reference, s.narrative, cardinality(s.accounts) AS legs,
               sha256(convert_to(ledger.plain_text(s.key, s.kind, CASE cardinality(s.accounts)
                   WHEN 2 THEN ledger.leg_text(s.accounts[1], s.amounts[1]) || ', '
                            || ledger.leg_text(s.accounts[2], s.amounts[2])
                   ELSE ledger.legs_text(s.accounts, s.amounts) END,
                   s.narrative, s.reference, s.effective_at), 'UTF8')) AS digest,
               s.draft IS NULL AND length(s.key) BETWEEN 1 AND 200 AND length(s.reference) <= 120
               AND cardinality(s.accounts) > 1 AS is_complete
        FROM ledger_stageddraft s
        WHERE s.batch = of_batch AND s.ordinal >= first_ordinal AND s.ordinal < until
        ORDER BY s.ordinal
    ) s;
    IF d.many <> until - first_ordinal OR NOT d.are_complete OR EXISTS (
        SELECT FROM (SELECT DISTINCT u FROM unnest(d.kinds) u) s(kind)
        LEFT JOIN ledger_entrykind k ON k.code = s.kind AND NOT k.needs_approval
        WHERE k.code IS NULL OR EXISTS (
            SELECT FROM ledger_kindleg n
            WHERE n.kind_id = k.code AND n.account_class = 'position')) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(s.entry_id) AS entries, array_agg(s.leg) AS ordinals,
           array_agg(s.account_id) AS accounts, array_agg(s.amount) AS amounts,
           array_agg(s.place) AS places, array_agg(s.moved) AS moved,
           bool_and(coalesce(s.account_id > 0 AND abs(s.amount) < 1e100, false)) AS are_numbers
    INTO l
    FROM (
        SELECT g.*, row_number() OVER running AS place, sum(g.amount) OVER running AS moved
        FROM (SELECT d.ids[s.ordinal - first_ordinal + 1] AS entry_id, u.leg::integer AS leg,
                     u.account AS account_id, u.amount
              FROM ledger_stageddraft s
              CROSS JOIN LATERAL unnest(s.accounts, s.amounts)
                  WITH ORDINALITY AS u(account, amount, leg)
              WHERE s.batch = of_batch AND s.ordinal >= first_ordinal AND s.ordinal < until) g
        WINDOW running AS (PARTITION BY g.account_id ORDER BY g.entry_id, g.leg)
        ORDER BY g.account_id, g.entry_id, g.leg
    ) s;
    IF NOT l.are_numbers OR EXISTS (
        SELECT FROM (SELECT DISTINCT u FROM unnest(l.accounts) u) s(id)
        LEFT JOIN ledger_balance n ON n.account_id = s.id WHERE n.account_id IS NULL) THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF cardinality(ledger.take_keys(d.keys, d.digests, d.ids)) < d.many THEN
            RAISE EXCEPTION USING ERRCODE = 'unique_violation';
        END IF;
    EXCEPTION WHEN unique_violation THEN
        RETURN NULL;  -- some were used before, and none is taken
    END;
    DELETE FROM ledger_stageddraft s
    WHERE s.batch = of_batch AND s.ordinal >= first_ordinal AND s.ordinal < until;
    PERFORM ledger.await_turn(of_batch, first_ordinal);

    -- Then balances, in id order.
    SELECT array_agg(s.account_id) AS accounts, array_agg(a.pool_id) AS pools,
           array_agg(a.asset_id) AS assets, array_agg(s.amount) AS amounts, array_agg(s.seq) AS seqs
    INTO b
    FROM (
        SELECT n.account_id, n.amount, n.seq FROM ledger_balance n
        WHERE n.account_id = ANY (ARRAY(SELECT DISTINCT x FROM unnest(l.accounts) x ORDER BY x))
        ORDER BY n.account_id FOR UPDATE
    ) s JOIN ledger_ledgeraccount a ON a.id = s.account_id;
    PERFORM ledger.write_entries(d.ids, d.kinds, d.times, d.refs, d.narratives, NULL, d.counts, NULL,
        NULL, l.entries, l.ordinals, l.accounts, l.amounts, NULL, NULL, l.places, l.moved,
        b.accounts, b.pools, b.assets, b.amounts, b.seqs);
    RETURN d.many;
END $$;

-- Posts the drafts of a batch from one ordinal to before another; what is posted lies here no more.
CREATE FUNCTION ledger.post_staged(of_batch uuid, first_ordinal bigint, until bigint)
RETURNS TABLE (entries bigint, fresh bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    bodies jsonb[];
BEGIN
    PERFORM accounts.require_act();
    entries := ledger.post_plain(of_batch, first_ordinal, until);
    fresh := entries;
    IF entries IS NULL THEN
        WITH taken AS (
            DELETE FROM ledger_stageddraft s
            WHERE s.batch = of_batch AND s.ordinal >= first_ordinal AND s.ordinal < until
            RETURNING s.ordinal, ledger.staged_body(s) AS body
        )
        SELECT array_agg(t.body ORDER BY t.ordinal) INTO bodies FROM taken t;
        entries := coalesce(cardinality(bodies), 0);
        fresh := 0;
        IF entries > 0 THEN
            SELECT cardinality(array_positions(p.are_new, true)) INTO fresh
            FROM ledger.post_drafts(bodies, of_batch, first_ordinal) p;
        END IF;
    END IF;
    RETURN NEXT;
END $$;

REVOKE ALL ON FUNCTION ledger.take_turn(uuid, bigint), ledger.await_turn(uuid, bigint),
    ledger.staged_body(ledger_stageddraft), ledger.post_plain(uuid, bigint, bigint),
    ledger.leg_text(bigint, numeric), ledger.legs_text(bigint[], numeric[]),
    ledger.plain_text(text, text, text, text, text, text),
    ledger.post_staged(uuid, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.take_turn(uuid, bigint),
    ledger.post_staged(uuid, bigint, bigint) TO bo_runtime;
GRANT INSERT, DELETE ON ledger_stageddraft TO bo_runtime;
