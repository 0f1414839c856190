-- Checkpoints: all balances as the transactions below one left them, packed into one row.
--
-- Below the oldest transaction that was open at a moment nothing changes any more, so what is added
-- up there stays true. A past horizon is then the newest checkpoint below it and what was posted
-- from there on, however long the history is and wherever the horizon lies in it.

-- What a horizon knows that transactions from `since` on posted, by account. Entries have an index
-- by transaction and postings one by entry; between which ids the entries are is kept for what lies
-- below a checkpoint. Postings of a batch stand in the order of accounts, so they are read page by
-- page, not in the order of entries.
CREATE FUNCTION ledger.posted_since(since xid8, known pg_snapshot)
RETURNS TABLE (account_id bigint, account_seq bigint, amount numeric)
LANGUAGE sql STABLE ROWS 20000 SET search_path = public, pg_temp SET jit = off
SET enable_seqscan = off SET enable_indexscan = off AS $$
    WITH ends AS MATERIALIZED (
        SELECT least(kept.first_entry, young.first_entry) AS first_entry,
               greatest(kept.last_entry, young.last_entry) AS last_entry
        FROM (SELECT min(c.first_entry) AS first_entry, max(c.last_entry) AS last_entry
              FROM ledger_checkpoint c
              WHERE c.below > posted_since.since AND c.since < pg_snapshot_xmax(known)) kept
        -- The range of transactions is what finds them, not the order of ids.
        CROSS JOIN (SELECT min(y.id) AS first_entry, max(y.id) AS last_entry FROM (
            SELECT e.id FROM ledger_entry e
            WHERE e.xid >= greatest(posted_since.since, (SELECT max(c.below) FROM ledger_checkpoint c))
              AND e.xid < pg_snapshot_xmax(known) OFFSET 0) y) young
    )
    SELECT p.account_id, max(p.account_seq), sum(p.amount)
    FROM ledger_posting p
    WHERE p.entry_id BETWEEN (SELECT n.first_entry FROM ends n) AND (SELECT n.last_entry FROM ends n)
      AND p.xid >= posted_since.since AND pg_visible_in_snapshot(p.xid, known)
    GROUP BY p.account_id
$$;

-- Whoever writes a checkpoint says where it ends; what is in it is worked out here.
CREATE FUNCTION ledger.checkpoint_is_taken() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_nestloop = off AS $$
DECLARE
    before ledger_checkpoint;
    known pg_snapshot;
BEGIN
    PERFORM accounts.require_act();
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger_checkpoint', 0));
    SELECT * INTO before FROM ledger_checkpoint c ORDER BY c.below DESC LIMIT 1;
    NEW.since := coalesce(before.below, '0');
    IF (NEW.below > NEW.since) IS NOT TRUE THEN
        PERFORM accounts.refuse('checkpoint_follows',
            format('a checkpoint ends beyond transaction %s, where the last one ends', NEW.since));
    END IF;
    IF NEW.below > pg_snapshot_xmin(pg_current_snapshot()) THEN
        PERFORM accounts.refuse('checkpoint_is_of_the_past',
            format('transactions below %s are not all over', NEW.below));
    END IF;
    known := format('%s:%s:', NEW.below, NEW.below);
    SELECT min(e.id), max(e.id), coalesce(before.postings, 0) + sum(e.posting_count),
           greatest(before.newest_on, (max(e.effective_at) AT TIME ZONE 'UTC')::date)
    INTO NEW.first_entry, NEW.last_entry, NEW.postings, NEW.newest_on
    FROM (SELECT * FROM ledger_entry n
          WHERE n.xid >= NEW.since AND n.xid < NEW.below OFFSET 0) e;
    IF NEW.first_entry IS NULL THEN
        PERFORM accounts.refuse('checkpoint_follows', 'nothing was posted since the last one');
    END IF;
    SELECT array_agg(s.account_id ORDER BY s.account_id),
           array_agg(s.account_seq ORDER BY s.account_id),
           array_agg(s.amount ORDER BY s.account_id)
    INTO NEW.account_ids, NEW.account_seqs, NEW.amounts
    FROM (SELECT m.account_id, max(m.account_seq) AS account_seq, sum(m.amount) AS amount
          FROM (SELECT * FROM unnest(before.account_ids, before.account_seqs, before.amounts)
                    AS k(account_id, account_seq, amount)
                UNION ALL SELECT * FROM ledger.posted_since(NEW.since, known)) m
          GROUP BY m.account_id) s;
    RETURN NEW;
END $$;
CREATE TRIGGER checkpoint_is_taken BEFORE INSERT ON ledger_checkpoint
FOR EACH ROW EXECUTE FUNCTION ledger.checkpoint_is_taken();
ALTER TABLE ledger_checkpoint ENABLE ALWAYS TRIGGER checkpoint_is_taken;
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION accounts.keep_history();
ALTER TABLE ledger_checkpoint ENABLE ALWAYS TRIGGER history_is_append_only;

-- Takes the next checkpoint if at least so many postings came since the last one, and ends it with
-- the transaction that brought them: a history without checkpoints gets them one by one. Null where
-- there are not that many yet.
CREATE FUNCTION ledger.take_checkpoint(of_postings bigint) RETURNS xid8
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    from_xid xid8 := coalesce((SELECT max(c.below) FROM ledger_checkpoint c), '0');
    last xid8;
BEGIN
    PERFORM accounts.require_act();
    SELECT s.xid INTO last
    FROM (SELECT e.xid, sum(e.posting_count) OVER (ORDER BY e.xid) AS postings
          FROM (SELECT n.xid, n.posting_count FROM ledger_entry n
                WHERE n.xid >= from_xid AND n.xid < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY n.xid LIMIT of_postings) e) s
    WHERE s.postings >= of_postings ORDER BY s.xid LIMIT 1;
    IF last IS NULL THEN RETURN NULL; END IF;
    INSERT INTO ledger_checkpoint (below) VALUES ((last::text::bigint + 1)::text::xid8)
    RETURNING below INTO last;
    RETURN last;
END $$;

-- How many postings are between two checkpoints. The more accounts there are, the rarer they are, so
-- that they take a few bytes for each posting in a book of any size.
CREATE FUNCTION ledger.checkpoint_every() RETURNS bigint
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT greatest(100000, 5 * count(*)) FROM ledger_balance
$$;

-- Whether so many came since the last one.
CREATE FUNCTION ledger.checkpoint_is_due() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT sum(b.seq) FROM ledger_balance b), 0)
        >= ledger.checkpoint_every() + coalesce((SELECT max(c.postings) FROM ledger_checkpoint c), 0)
$$;

-- Takes the next checkpoint if it is due; null where it is not, or where transactions are open still
-- that began before it was.
CREATE FUNCTION ledger.keep_checkpoint() RETURNS xid8
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT ledger.take_checkpoint(ledger.checkpoint_every())
$$;

REVOKE ALL ON FUNCTION ledger.posted_since(xid8, pg_snapshot), ledger.checkpoint_is_taken(),
    ledger.take_checkpoint(bigint), ledger.checkpoint_every(), ledger.checkpoint_is_due(),
    ledger.keep_checkpoint() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.checkpoint_is_due(), ledger.keep_checkpoint() TO bo_runtime;
GRANT SELECT ON ledger_checkpoint TO bo_runtime, bo_auditor;
