-- What an entry must bring along, in one pass; the rules that few kinds ask for are called by kind.

DROP TRIGGER entry_1_is_written_whole ON ledger_entry;
DROP TRIGGER entry_2_has_its_approval ON ledger_entry;
DROP TRIGGER entry_3_has_its_release ON ledger_entry;
DROP TRIGGER entry_4_mirrors_its_entry ON ledger_entry;
DROP TRIGGER entry_5_records_its_loss ON ledger_entry;
DROP TRIGGER entry_6_follows_the_opening ON ledger_entry;
DROP TRIGGER entry_7_leaves_the_shortfall_covered ON ledger_entry;
DROP FUNCTION ledger.entry_is_written_whole();
DROP FUNCTION ledger.entry_has_its_approval();
DROP FUNCTION ledger.entry_has_its_release();
DROP FUNCTION ledger.entry_mirrors_its_entry();
DROP FUNCTION ledger.entry_records_its_loss();
DROP FUNCTION ledger.entry_follows_the_opening();
DROP FUNCTION ledger.entry_leaves_the_shortfall_covered();

-- A kind that needs two people has an approval of this very entry, at the firm whose pools it
-- touches, used in this transaction.
CREATE FUNCTION ledger.check_approvals(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT e.id, e.kind_id INTO broken
    FROM ledger_entry e JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_approval
    WHERE e.id = ANY (entries) AND NOT EXISTS (
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
END $$;

-- A margined bucket is lowered with a release of margin: of this bucket, kind, asset and amount,
-- while the bucket stands as it stood when the release was given. `written` is the statement's all.
CREATE FUNCTION ledger.check_releases(entries bigint[], written bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
    buckets bigint[];
BEGIN
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
END $$;

CREATE FUNCTION ledger.check_reversals(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entry e
        WHERE e.id = ANY (entries)
          AND ((e.kind_id = 'reversal') <> (e.reverses_id IS NOT NULL)
               OR e.reverses_id IS NOT NULL AND EXISTS (
                   SELECT FROM ledger_posting p WHERE p.entry_id IN (e.id, e.reverses_id)
                   GROUP BY p.account_id, abs(p.amount) HAVING sum(p.amount) <> 0))) THEN
        PERFORM accounts.refuse('reversal_mirrors_its_entry',
            'a reversal undoes one entry, leg by leg, and nothing else');
    END IF;
END $$;

CREATE FUNCTION ledger.check_losses(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entry e
        WHERE e.id = ANY (entries) AND e.kind_id IN ('covered_loss', 'uncovered_loss')
          AND NOT EXISTS (SELECT FROM ledger_loss l WHERE l.entry_id = e.id)) THEN
        PERFORM accounts.refuse('loss_is_recorded', 'a loss is recorded with its entry');
    END IF;
END $$;

-- Opening balances come before anything else of their pool.
CREATE FUNCTION ledger.check_first(entries bigint[], written bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT p.pool_id FROM ledger_posting p
                     WHERE p.entry_id = ANY (entries)) opened
        JOIN ledger_ledgeraccount a ON a.pool_id = opened.pool_id
        CROSS JOIN LATERAL (SELECT p.entry_id FROM ledger_posting p WHERE p.account_id = a.id
                            ORDER BY p.account_seq DESC LIMIT 1) last
        JOIN ledger_entry e ON e.id = last.entry_id AND e.kind_id <> 'opening'
        WHERE e.id <> ALL (written) OR e.id < (SELECT max(o) FROM unnest(entries) o)) THEN
        PERFORM accounts.refuse('opening_comes_first', 'the pool is open: value came into it before');
    END IF;
END $$;

-- While a client pool lacks money, the firm takes nothing out of it that would then be missing.
CREATE FUNCTION ledger.check_shortfall(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_posting p
        JOIN ledger_ledgeraccount r ON r.id = p.account_id AND r.account_class = 'residual_interest'
        JOIN ledger_ledgeraccount s ON s.pool_id = r.pool_id AND s.asset_id = r.asset_id
            AND s.account_class = 'shortfall'
        WHERE p.entry_id = ANY (entries)
          AND ledger.balance_at(r.id, p.entry_id) + ledger.balance_at(s.id, p.entry_id) > 0) THEN
        PERFORM accounts.refuse('residual_interest_covers_shortfall',
            'the pool lacks money: the firm''s residual interest there is needed to cover it');
    END IF;
END $$;

-- ---------------------------------------------------------------- the pass over entries

CREATE FUNCTION ledger.entry_is_sound() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    seen record;
    broken record;
BEGIN
    SELECT count(*) AS entries, array_agg(e.id) AS written,
           coalesce(bool_and(e.xid = pg_current_xact_id() AND y.xid = pg_current_xact_id()
               AND EXISTS (SELECT FROM ledger_posting p WHERE p.entry_id = e.id)), false) AS is_whole,
           array_agg(e.id) FILTER (WHERE k.needs_approval) AS agreed,
           array_agg(e.id) FILTER (WHERE k.needs_release) AS released,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'reversal' OR e.reverses_id IS NOT NULL)
               AS reversals,
           array_agg(e.id) FILTER (WHERE e.kind_id IN ('covered_loss', 'uncovered_loss')) AS losses,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'opening') AS openings,
           array_agg(e.id) FILTER (WHERE e.kind_id = 'residual_withdrawal') AS withdrawn
    INTO seen
    FROM inserted e
    LEFT JOIN ledger_entrykey y ON y.entry_id = e.id
    LEFT JOIN ledger_entrykind k ON k.code = e.kind_id;
    IF seen.entries = 0 THEN RETURN NULL; END IF;
    PERFORM accounts.require_act();
    IF NOT seen.is_whole THEN
        SELECT r.* INTO broken FROM (
            SELECT e.id, CASE
                WHEN e.xid <> pg_current_xact_id()
                     OR NOT EXISTS (SELECT FROM ledger_posting p WHERE p.entry_id = e.id)
                    THEN 'entry_is_written_whole'
                WHEN y.xid IS DISTINCT FROM pg_current_xact_id() THEN 'entry_has_its_key'
                END AS rule
            FROM inserted e LEFT JOIN ledger_entrykey y ON y.entry_id = e.id
        ) r WHERE r.rule IS NOT NULL ORDER BY r.id LIMIT 1;
        PERFORM accounts.refuse(broken.rule, format(
            'entry %s is written together with its key and all its postings', broken.id));
    END IF;
    IF seen.agreed IS NOT NULL THEN PERFORM ledger.check_approvals(seen.agreed); END IF;
    IF seen.released IS NOT NULL THEN
        PERFORM ledger.check_releases(seen.released, seen.written);
    END IF;
    IF seen.reversals IS NOT NULL THEN PERFORM ledger.check_reversals(seen.reversals); END IF;
    IF seen.losses IS NOT NULL THEN PERFORM ledger.check_losses(seen.losses); END IF;
    IF seen.openings IS NOT NULL THEN PERFORM ledger.check_first(seen.openings, seen.written); END IF;
    IF seen.withdrawn IS NOT NULL THEN PERFORM ledger.check_shortfall(seen.withdrawn); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_1_is_sound AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_is_sound();
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_1_is_sound;

-- ---------------------------------------------------------------- keys

-- A key is kept for ever, so it is never taken without its entry. One key of a statement answers,
-- when the transaction ends, for all from its entry to `watches_to`; a key that says nothing of it
-- answers for itself.
CREATE FUNCTION ledger.keys_are_watched() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    seen record;
BEGIN
    SELECT min(k.entry_id) AS first_id, max(k.entry_id) AS last_id,
           bool_and(k.watches_to IS NOT NULL) AS each_itself INTO seen FROM inserted k;
    IF NOT seen.each_itself AND NOT EXISTS (
        SELECT FROM inserted k
        WHERE k.entry_id = seen.first_id AND k.watches_to >= seen.last_id) THEN
        PERFORM accounts.refuse('key_is_watched', 'the first of the keys answers for all of them');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keys_are_watched AFTER INSERT ON ledger_entrykey REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.keys_are_watched();
ALTER TABLE ledger_entrykey ENABLE ALWAYS TRIGGER keys_are_watched;

DROP TRIGGER key_has_its_entry ON ledger_entrykey;
CREATE OR REPLACE FUNCTION ledger.key_has_its_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    alone text;
BEGIN
    -- Each entry is looked up by its id and nothing else; all of them share the transaction.
    SELECT k.key INTO alone FROM ledger_entrykey k
    WHERE k.entry_id BETWEEN NEW.entry_id AND greatest(NEW.entry_id, NEW.watches_to)
      AND k.xid = NEW.xid
      AND k.xid IS DISTINCT FROM (SELECT e.xid FROM ledger_entry e WHERE e.id = k.entry_id) LIMIT 1;
    IF alone IS NOT NULL THEN
        PERFORM accounts.refuse('key_has_its_entry', format('the key %s has no entry', alone));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER key_has_its_entry AFTER INSERT ON ledger_entrykey
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.watches_to IS NOT NULL)
EXECUTE FUNCTION ledger.key_has_its_entry();
ALTER TABLE ledger_entrykey ENABLE ALWAYS TRIGGER key_has_its_entry;

-- ---------------------------------------------------------------- balances and movements

DROP TRIGGER balance_stays_with_its_account ON ledger_balance;
DROP TRIGGER balance_is_its_last_posting_1 ON ledger_balance;
DROP TRIGGER balance_is_its_last_posting_2 ON ledger_balance;

CREATE OR REPLACE FUNCTION ledger.posting_is_carried() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    UPDATE ledger_balance b
    SET amount = l.balance_after, seq = l.account_seq, average_cost = l.average_after
    FROM (SELECT DISTINCT ON (account_id) account_id, account_seq, balance_after, average_after
          FROM inserted ORDER BY account_id, account_seq DESC) l
    WHERE b.account_id = l.account_id;

    INSERT INTO ledger_dailymovement AS m (account_id, effective_on, debit, credit)
    SELECT i.account_id, (e.effective_at AT TIME ZONE 'UTC')::date,
           sum(greatest(i.amount, 0)), sum(greatest(-i.amount, 0))
    FROM inserted i JOIN ledger_entry e ON e.id = i.entry_id GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (account_id, effective_on)
    DO UPDATE SET debit = m.debit + excluded.debit, credit = m.credit + excluded.credit;
    RETURN NULL;
END $$;

-- A balance is what the newest posting of its account left; one probe of the index tells.
CREATE OR REPLACE FUNCTION ledger.balance_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.account_id INTO wrong FROM changed n
    LEFT JOIN LATERAL (
        SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
        WHERE p.account_id = n.account_id ORDER BY p.account_seq DESC LIMIT 1) p ON true
    WHERE (n.seq, n.amount) IS DISTINCT FROM (coalesce(p.account_seq, 0), coalesce(p.balance_after, 0))
       OR n.average_cost IS DISTINCT FROM p.average_after LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM accounts.refuse('balance_is_its_last_posting',
            format('the balance of ledger account %s differs from its last posting', wrong));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER balance_is_its_last_posting_1 AFTER INSERT ON ledger_balance
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_guard();
CREATE TRIGGER balance_is_its_last_posting_2 AFTER UPDATE ON ledger_balance
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION ledger.balance_guard();
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_1;
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_is_its_last_posting_2;

-- A balance keeps the account it belongs to; a trigger that is asked only where it would not.
CREATE FUNCTION ledger.balance_stays_with_its_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM accounts.refuse('balance_stays_with_its_account',
        'account_id of ledger_balance never changes');
    RETURN NULL;
END $$;
CREATE TRIGGER balance_stays_with_its_account BEFORE UPDATE ON ledger_balance FOR EACH ROW
WHEN (OLD.account_id IS DISTINCT FROM NEW.account_id)
EXECUTE FUNCTION ledger.balance_stays_with_its_account();
ALTER TABLE ledger_balance ENABLE ALWAYS TRIGGER balance_stays_with_its_account;

-- Rows that are written again and again stay on their pages, with room for one more of each.
ALTER TABLE ledger_balance SET (fillfactor = 45);
ALTER TABLE ledger_dailymovement SET (fillfactor = 45);
