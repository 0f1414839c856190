-- What an entry must bring along: its key, its approval, its release, its record of a loss.
-- Balances are read from postings here, for the triggers of two tables fire in no set order.

-- ---------------------------------------------------------------- keys

CREATE FUNCTION ledger.entry_is_written_whole() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN RETURN NULL; END IF;
    PERFORM accounts.require_act();

    SELECT r.* INTO broken FROM (
        SELECT e.id, CASE
            WHEN e.xid <> pg_current_xact_id()
                 OR NOT EXISTS (SELECT FROM ledger_posting p WHERE p.entry_id = e.id)
                THEN 'entry_is_written_whole'
            WHEN k.xid IS DISTINCT FROM pg_current_xact_id() THEN 'entry_has_its_key' END AS rule
        FROM inserted e
        LEFT JOIN ledger_entrykey k ON k.entry_id = e.id
    ) r WHERE r.rule IS NOT NULL ORDER BY r.id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            'entry %s is written together with its key and all its postings', broken.id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_1_is_written_whole AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_is_written_whole();

-- A key is kept for ever, so it is never taken without its entry.
CREATE FUNCTION ledger.key_has_its_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_entry e WHERE e.id = NEW.entry_id AND e.xid = NEW.xid) THEN
        PERFORM accounts.refuse('key_has_its_entry', format('the key %s has no entry', NEW.key));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER key_has_its_entry AFTER INSERT ON ledger_entrykey
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.key_has_its_entry();

-- ---------------------------------------------------------------- approvals

-- Whether an entry has the legs that were approved, neither more nor fewer.
CREATE FUNCTION ledger.is_as_approved(entry bigint, payload jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH asked AS (
        SELECT (l ->> 'account')::bigint AS account_id, (l ->> 'amount')::numeric AS amount, count(*)
        FROM jsonb_array_elements(payload -> 'legs') l GROUP BY 1, 2
    ), posted AS (
        SELECT p.account_id, p.amount, count(*) FROM ledger_posting p
        WHERE p.entry_id = entry GROUP BY 1, 2
    )
    SELECT NOT EXISTS (TABLE asked EXCEPT TABLE posted)
       AND NOT EXISTS (TABLE posted EXCEPT TABLE asked)
$$;

-- A kind that needs two people has an approval of this very entry, at the firm whose pools it
-- touches, used in this transaction.
CREATE FUNCTION ledger.entry_has_its_approval() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT e.id, e.kind_id INTO broken
    FROM inserted e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_approval
    WHERE NOT EXISTS (
        SELECT FROM accounts_approval a JOIN ledger_entrykey y ON y.entry_id = e.id
        WHERE a.used_xid = pg_current_xact_id() AND a.action_id = 'entry.' || e.kind_id
          AND a.payload ->> 'key' = y.key AND a.payload_sha256 = y.digest
          AND NOT EXISTS (SELECT FROM ledger_posting p JOIN ledger_pool o ON o.id = p.pool_id
                          WHERE p.entry_id = e.id AND o.legal_entity_id <> a.legal_entity_id)
          AND ledger.is_as_approved(e.id, a.payload)) LIMIT 1;
    IF broken.id IS NOT NULL THEN
        PERFORM accounts.refuse('entry_has_its_approval', format(
            '%s needs the approval of a second person, of this entry and at this firm',
            broken.kind_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_2_has_its_approval AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_has_its_approval();

-- ---------------------------------------------------------------- releases

-- What each of some entries takes from the claims of each bucket.
CREATE FUNCTION ledger.lowered_claims(entries bigint[])
RETURNS TABLE (entry_id bigint, bucket_id bigint, asset_id bigint, is_margined boolean, amount numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT p.entry_id, a.bucket_id, a.asset_id, b.is_margined, sum(p.amount)
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'claim'
    JOIN accounts_bucket b ON b.id = a.bucket_id
    WHERE p.entry_id = ANY (entries)
    GROUP BY 1, 2, 3, 4 HAVING sum(p.amount) > 0
$$;

-- How many postings a bucket had before each of some entries of this statement.
CREATE FUNCTION ledger.versions_before(entries bigint[], buckets bigint[])
RETURNS TABLE (entry_id bigint, bucket_id bigint, version numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH standing AS (
        SELECT a.bucket_id, sum((SELECT coalesce(max(p.account_seq), 0) FROM ledger_posting p
                                 WHERE p.account_id = a.id)) AS postings
        FROM ledger_ledgeraccount a WHERE a.bucket_id = ANY (buckets) GROUP BY 1
    ), moved AS (
        SELECT p.entry_id, a.bucket_id, count(*) AS postings
        FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = ANY (entries) AND a.bucket_id = ANY (buckets) GROUP BY 1, 2
    )
    SELECT m.entry_id, m.bucket_id, s.postings - sum(m.postings) OVER (
        PARTITION BY m.bucket_id ORDER BY m.entry_id DESC)
    FROM moved m JOIN standing s USING (bucket_id)
$$;

-- A margined bucket is lowered with a release of margin: of this bucket, kind, asset and amount,
-- while the bucket stands as it stood when the release was given.
CREATE FUNCTION ledger.entry_has_its_release() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
    written bigint[] := (SELECT array_agg(e.id) FROM inserted e);
    entries bigint[] := (SELECT array_agg(e.id) FROM inserted e
                         JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_release);
    buckets bigint[];
BEGIN
    IF entries IS NULL THEN RETURN NULL; END IF;
    SELECT array_agg(DISTINCT r.bucket_id) INTO buckets
    FROM ledger_releaseuse u JOIN ledger_release r ON r.id = u.release_id
    WHERE u.entry_id = ANY (entries);

    SELECT s.* INTO broken FROM (
        SELECT e.id, e.kind_id, CASE
            WHEN u.entry_id IS NULL THEN CASE WHEN l.is_margined THEN 'entry_has_its_release' END
            WHEN r.id IS NULL THEN 'release_is_given'
            WHEN l.lowered IS DISTINCT FROM 1 OR r.kind_id <> e.kind_id
                 OR (r.bucket_id, r.asset_id, r.amount) IS DISTINCT FROM (l.bucket, l.asset, l.amount)
                THEN 'release_is_for_this'
            WHEN r.scope_version IS DISTINCT FROM v.version THEN 'release_is_current' END AS rule
        FROM ledger_entry e
        LEFT JOIN (SELECT c.entry_id, count(*) AS lowered, bool_or(c.is_margined) AS is_margined,
                          min(c.bucket_id) AS bucket, min(c.asset_id) AS asset, min(c.amount) AS amount
                   FROM ledger.lowered_claims(entries) c GROUP BY 1) l ON l.entry_id = e.id
        LEFT JOIN ledger_releaseuse u ON u.entry_id = e.id
        LEFT JOIN ledger_release r ON r.id = u.release_id
        LEFT JOIN ledger.versions_before(written, buckets) v
            ON v.entry_id = e.id AND v.bucket_id = r.bucket_id
        WHERE e.id = ANY (entries)
    ) s WHERE s.rule IS NOT NULL ORDER BY s.id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s lowers a margined bucket with a release of this bucket, kind and amount, used '
            'once, while nothing moved', broken.kind_id));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_3_has_its_release AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_has_its_release();

-- A release is used by an entry that needs one, in the transaction of that entry.
CREATE FUNCTION ledger.release_is_used_by_its_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted u LEFT JOIN (
            ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_release
        ) ON e.id = u.entry_id AND e.xid = pg_current_xact_id()
        WHERE e.id IS NULL) THEN
        PERFORM accounts.refuse('release_is_for_this', 'a release is used by the entry it is for');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER release_is_for_this AFTER INSERT ON ledger_releaseuse
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.release_is_used_by_its_entry();

-- ---------------------------------------------------------------- reversals

CREATE FUNCTION ledger.entry_mirrors_its_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted e
        WHERE (e.kind_id = 'reversal') <> (e.reverses_id IS NOT NULL)
           OR e.reverses_id IS NOT NULL AND EXISTS (
               SELECT FROM ledger_posting p WHERE p.entry_id IN (e.id, e.reverses_id)
               GROUP BY p.account_id, abs(p.amount) HAVING sum(p.amount) <> 0)) THEN
        PERFORM accounts.refuse('reversal_mirrors_its_entry',
            'a reversal undoes one entry, leg by leg, and nothing else');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_4_mirrors_its_entry AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_mirrors_its_entry();

-- ---------------------------------------------------------------- losses

-- A balance as an entry of this transaction left it.
CREATE FUNCTION ledger.balance_at(account bigint, entry bigint) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce((
        SELECT p.balance_after FROM ledger_posting p
        WHERE p.account_id = account AND NOT (p.xid = pg_current_xact_id() AND p.entry_id > entry)
        ORDER BY p.account_seq DESC LIMIT 1), 0)
$$;

-- The parts of a loss are its legs, and who pays later pays only what who pays earlier lacked:
-- the bucket's claim, then all the banks of INSURANCE, then all the banks of HOUSE.
CREATE FUNCTION ledger.loss_is_as_recorded(recorded ledger_loss) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH legs AS (
        SELECT p.*, a.account_class, a.owner_class, a.bucket_id
        FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = recorded.entry_id
    ), paid AS (
        SELECT coalesce(-sum(amount) FILTER (
                   WHERE account_class = 'custody' AND owner_class = 'INSURANCE'), 0) AS insurance,
               coalesce(-sum(amount) FILTER (
                   WHERE account_class = 'custody' AND owner_class = 'HOUSE'), 0) AS house,
               coalesce(sum(amount) FILTER (WHERE account_class = 'shortfall'), 0) AS uncovered,
               sum(realised) FILTER (WHERE account_class = 'position') AS realised,
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

CREATE FUNCTION ledger.loss_is_settled_in_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted l
        LEFT JOIN ledger_entry e ON e.id = l.entry_id AND e.xid = pg_current_xact_id()
            AND e.kind_id IN ('covered_loss', 'uncovered_loss')
        WHERE e.id IS NULL
           OR ledger.loss_is_as_recorded((SELECT s FROM ledger_loss s WHERE s.entry_id = e.id))
              IS NOT TRUE) THEN
        PERFORM accounts.refuse('loss_is_settled_in_order',
            'the bucket pays first, then INSURANCE, then HOUSE, each as recorded');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loss_is_settled_in_order AFTER INSERT ON ledger_loss
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.loss_is_settled_in_order();

CREATE FUNCTION ledger.entry_records_its_loss() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted e WHERE e.kind_id IN ('covered_loss', 'uncovered_loss')
        AND NOT EXISTS (SELECT FROM ledger_loss l WHERE l.entry_id = e.id)) THEN
        PERFORM accounts.refuse('loss_is_recorded', 'a loss is recorded with its entry');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_5_records_its_loss AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_records_its_loss();

-- ---------------------------------------------------------------- the opening

CREATE INDEX opening_by_pool ON ledger_ledgeraccount (pool_id) WHERE account_class = 'opening';

-- A pool opens once and whole: its openings add up before anything else, and come before it.
CREATE FUNCTION ledger.entry_follows_the_opening() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_ledgeraccount o
        WHERE o.account_class = 'opening'
          AND o.pool_id IN (SELECT p.pool_id FROM ledger_posting p
                            JOIN inserted e ON e.id = p.entry_id AND e.kind_id <> 'opening')
          AND (SELECT p.balance_after FROM ledger_posting p WHERE p.account_id = o.id
               ORDER BY p.account_seq DESC LIMIT 1) <> 0) THEN
        PERFORM accounts.refuse('opening_is_complete',
            'the pool''s opening balances do not add up yet');
    END IF;

    IF EXISTS (
        SELECT FROM (SELECT DISTINCT p.pool_id FROM ledger_posting p
                     JOIN inserted e ON e.id = p.entry_id AND e.kind_id = 'opening') opened
        JOIN ledger_ledgeraccount a ON a.pool_id = opened.pool_id
        CROSS JOIN LATERAL (SELECT p.entry_id FROM ledger_posting p WHERE p.account_id = a.id
                            ORDER BY p.account_seq DESC LIMIT 1) last
        JOIN ledger_entry e ON e.id = last.entry_id AND e.kind_id <> 'opening'
        WHERE e.id NOT IN (SELECT i.id FROM inserted i)
           OR e.id < (SELECT max(i.id) FROM inserted i WHERE i.kind_id = 'opening')) THEN
        PERFORM accounts.refuse('opening_comes_first', 'the pool is open: value came into it before');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_6_follows_the_opening AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_follows_the_opening();

-- ---------------------------------------------------------------- limits of single rows

ALTER TABLE ledger_entry RENAME CONSTRAINT ledger_entry_reverses_id_key TO entry_is_reversed_once;
ALTER TABLE ledger_entrykey RENAME CONSTRAINT ledger_entrykey_pkey TO key_is_used_once;
ALTER TABLE ledger_releaseuse RENAME CONSTRAINT ledger_releaseuse_pkey TO release_is_used_once;
ALTER TABLE ledger_loss RENAME CONSTRAINT ledger_loss_pkey TO loss_is_recorded_once;
-- Times that calendars and the program can hold.
ALTER TABLE ledger_entry ADD CONSTRAINT entry_has_a_business_time
    CHECK (effective_at >= '1970-01-01Z' AND effective_at < '2200-01-01Z');
ALTER TABLE ledger_release ADD CONSTRAINT release_names_an_amount
    CHECK (amount > 0 AND amount < 1e100);

ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_1_is_written_whole;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_2_has_its_approval;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_3_has_its_release;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_4_mirrors_its_entry;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_5_records_its_loss;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_6_follows_the_opening;
ALTER TABLE ledger_entrykey ENABLE ALWAYS TRIGGER key_has_its_entry;
ALTER TABLE ledger_releaseuse ENABLE ALWAYS TRIGGER release_is_for_this;
ALTER TABLE ledger_loss ENABLE ALWAYS TRIGGER loss_is_settled_in_order;
