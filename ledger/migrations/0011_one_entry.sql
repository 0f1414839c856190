-- A way of its own for one entry: what a statement over sets costs to begin is more than one entry
-- costs to post. It ends in the same tables under the same guards.

-- Posts one plain draft: nothing but key, kind, time, reference, narrative and up to eight legs on
-- different accounts, of a kind that needs no approval and moves no position. `entry` is null where
-- a draft is not plain, or its key was used before, and nothing was written.
CREATE FUNCTION ledger.post_one(asked jsonb, OUT entry bigint)
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off AS $$
DECLARE
    said_key text := asked ->> 'key';
    said_kind text := asked ->> 'kind';
    said_reference text := coalesce(asked ->> 'reference', '');
    legs jsonb := asked -> 'legs';
    leg jsonb;
    moved text;
    account bigint;
    accounts bigint[] := '{}';
    amounts numeric[] := '{}';
    refs text[] := '{}';
    places smallint[];
    assets bigint[];
    seqs bigint[];
    balances numeric[];
    held record;
    n integer;
    locked integer := 0;
BEGIN
    IF asked ?| '{approval,release,reverses,loss}' OR jsonb_typeof(legs) IS DISTINCT FROM 'array'
       OR (asked ->> 'effective_at') IS NULL OR length(said_reference) > 120
       OR (length(said_key) BETWEEN 1 AND 200) IS NOT TRUE THEN
        RETURN;
    END IF;
    n := jsonb_array_length(legs);
    IF n NOT BETWEEN 2 AND 8 THEN RETURN; END IF;
    FOR i IN 0 .. n - 1 LOOP
        leg := legs -> i;
        moved := leg ->> 'amount';
        IF (leg ->> 'account') ~ '^[0-9]{1,18}$' IS NOT TRUE OR leg ?| '{price,average}'
           OR moved ~ '^-?[0-9]+(\.[0-9]+)?$' IS NOT TRUE
           OR length(coalesce(leg ->> 'reference', '')) > 120 THEN
            RETURN;
        END IF;
        account := leg ->> 'account';
        IF account = ANY (accounts) THEN RETURN; END IF;
        accounts[i + 1] := account;
        amounts[i + 1] := moved;
        refs[i + 1] := leg ->> 'reference';
    END LOOP;
    PERFORM FROM ledger_entrykind k WHERE k.code = said_kind AND NOT k.needs_approval
        AND NOT EXISTS (SELECT FROM ledger_kindleg l
                        WHERE l.kind_id = k.code AND l.account_class = 'position');
    IF NOT FOUND THEN RETURN; END IF;

    INSERT INTO ledger_entrykey (key, digest, entry_id, watches_to)
    VALUES (said_key, sha256(convert_to(asked::text, 'UTF8')), nextval('ledger_entry_id'), 0)
    ON CONFLICT (key) DO NOTHING RETURNING entry_id INTO entry;
    IF entry IS NULL THEN RETURN; END IF;

    -- Then balances, in id order.
    FOR held IN
        SELECT b.account_id, b.amount, b.seq, a.pool_id, a.asset_id
        FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id
        WHERE b.account_id = ANY (accounts) ORDER BY b.account_id FOR UPDATE OF b
    LOOP
        n := array_position(accounts, held.account_id);
        places[n] := held.pool_id;
        assets[n] := held.asset_id;
        seqs[n] := held.seq + 1;
        balances[n] := held.amount + amounts[n];
        locked := locked + 1;
    END LOOP;
    IF locked < cardinality(accounts) THEN
        PERFORM ledger.read_legs(ledger.as_drafts(ARRAY[asked], ARRAY[entry]));
    END IF;

    WITH header AS (
        INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, posting_count)
        VALUES (entry, said_kind, (asked ->> 'effective_at')::timestamptz, said_reference,
                coalesce(asked ->> 'narrative', ''), cardinality(accounts))
    )
    INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                balance_after, reference)
    SELECT u.account_id, u.seq, entry, u.pool, u.asset, u.amount, u.balance, u.reference
    FROM unnest(accounts, seqs, places, assets, amounts, balances, refs)
        AS u(account_id, seq, pool, asset, amount, balance, reference);
END $$;

-- As before; a batch of one plain entry takes the way of its own.
CREATE OR REPLACE FUNCTION ledger.post_entries(batch jsonb)
RETURNS TABLE (ordinal integer, entry_id bigint, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    PERFORM accounts.require_act();
    IF jsonb_typeof(batch) IS DISTINCT FROM 'array' THEN
        PERFORM accounts.refuse('draft_is_complete', 'a batch is a list of entries');
    END IF;
    IF jsonb_array_length(batch) = 0 THEN RETURN; END IF;
    IF jsonb_array_length(batch) = 1 THEN
        entry_id := ledger.post_one(batch -> 0);
        IF entry_id IS NOT NULL THEN
            ordinal := 1;
            is_new := true;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT r.ord::integer, r.entry, r.fresh
    FROM ledger.post_drafts(ARRAY(SELECT e FROM jsonb_array_elements(batch) e), NULL, NULL) p
    CROSS JOIN LATERAL unnest(p.entries, p.are_new) WITH ORDINALITY AS r(entry, fresh, ord);
END $$;

REVOKE ALL ON FUNCTION ledger.post_one(jsonb) FROM PUBLIC;
