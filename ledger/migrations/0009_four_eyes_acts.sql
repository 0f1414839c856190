-- What is done with an approval: open, change, close a location, file a letter, settle a receipt.

-- Opens a location: {"row": {...}, "carries": [asset codes], "letter"?: {...}}.
CREATE FUNCTION ledger.open_location(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted ledger_location;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'location.open', asked.payload);
    wanted := jsonb_populate_record(NULL::ledger_location, asked.payload -> 'row');
    IF NOT EXISTS (SELECT FROM ledger_pool p WHERE p.id = wanted.pool_id
                   AND p.legal_entity_id = asked.legal_entity_id) THEN
        PERFORM accounts.refuse('location_is_of_the_firm', 'the pool is of another legal entity');
    END IF;
    wanted.id := nextval(pg_get_serial_sequence('ledger_location', 'id'));
    INSERT INTO ledger_location SELECT wanted.*;
    INSERT INTO ledger_locationasset (location_id, asset_id)
    SELECT wanted.id, t.id FROM jsonb_array_elements_text(asked.payload -> 'carries') c
    JOIN ledger_asset t ON t.code = c;
    IF jsonb_typeof(asked.payload -> 'letter') = 'object' THEN
        PERFORM ledger.write_letter(wanted.id, asked.payload -> 'letter');
    END IF;
    RETURN wanted.id;
END $$;

CREATE FUNCTION ledger.write_letter(of_location bigint, letter jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO ledger_letter (location_id, reference, signed_on, expires_on, document_id, is_declared)
    SELECT of_location, w.reference, w.signed_on, w.expires_on, w.document_id, false
    FROM jsonb_populate_record(NULL::ledger_letter, letter) w
$$;

-- Files a letter: {"location", "letter": {"reference", "signed_on", "expires_on", "document_id"}}.
CREATE FUNCTION ledger.file_letter(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'letter.file', asked.payload);
    PERFORM ledger.write_letter((asked.payload ->> 'location')::bigint, asked.payload -> 'letter');
END $$;

-- Changes a location: {"location", "row": its particulars afterwards}.
CREATE FUNCTION ledger.change_location(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted ledger_location;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'location.change', asked.payload);
    wanted := jsonb_populate_record(NULL::ledger_location, asked.payload -> 'row');
    UPDATE ledger_location SET account_number = wanted.account_number, venue = wanted.venue,
        chain = wanted.chain, account_title = wanted.account_title, keeper = wanted.keeper,
        keeper_address = wanted.keeper_address
    WHERE id = (asked.payload ->> 'location')::bigint;
END $$;

-- Closes a location: {"location", "closed_on"}.
CREATE FUNCTION ledger.close_location(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'location.close', asked.payload);
    UPDATE ledger_location SET closed_on = (asked.payload ->> 'closed_on')::date
    WHERE id = (asked.payload ->> 'location')::bigint;
END $$;

-- ---------------------------------------------------------------- receipts without an owner

-- Whether an entry is undone: it has a reversal that is not undone itself.
CREATE FUNCTION ledger.is_undone(entry bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    undone boolean := false;
    next_id bigint := entry;
BEGIN
    LOOP
        SELECT e.id INTO next_id FROM ledger_entry e WHERE e.reverses_id = next_id;
        EXIT WHEN next_id IS NULL;
        undone := NOT undone;
    END LOOP;
    RETURN undone;
END $$;

-- Receipts without an owner, and which entry settled each; null while it waits for its owner.
CREATE VIEW ledger.receipts AS
SELECT e.id AS entry_id, e.effective_at, e.reference, e.narrative, p.pool_id, p.asset_id,
       p.account_id, -p.amount AS amount, s.entry_id AS settled_by
FROM public.ledger_entry e
JOIN public.ledger_posting p ON p.entry_id = e.id
JOIN public.ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'unallocated'
LEFT JOIN LATERAL (
    SELECT t.entry_id FROM public.ledger_receiptsettlement t
    WHERE t.receipt_id = e.id AND NOT ledger.is_undone(t.entry_id) ORDER BY t.entry_id DESC LIMIT 1
) s ON true
WHERE e.kind_id = 'unidentified_receipt' AND NOT ledger.is_undone(e.id);

-- The same at a horizon, of what takes effect before an instant; `until` null is all of it.
CREATE FUNCTION ledger.receipts_at(known pg_snapshot, until timestamptz) RETURNS TABLE (
    entry_id bigint, effective_at timestamptz, reference text, narrative text, pool_id smallint,
    asset_id bigint, account_id bigint, amount numeric, settled_by bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH there AS (
        SELECT e.id, e.effective_at, e.reference, e.narrative, e.kind_id, e.reverses_id
        FROM ledger_entry e
        WHERE e.kind_id IN ('unidentified_receipt', 'receipt_allocation', 'receipt_return', 'reversal')
          AND pg_visible_in_snapshot(e.xid, known) AND (until IS NULL OR e.effective_at < until)
    ), standing AS (
        SELECT t.* FROM there t WHERE NOT EXISTS (SELECT FROM there u WHERE u.reverses_id = t.id)
    )
    SELECT r.id, r.effective_at, r.reference, r.narrative, p.pool_id, p.asset_id, p.account_id,
           -p.amount, s.entry_id
    FROM standing r
    JOIN ledger_posting p ON p.entry_id = r.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'unallocated'
    LEFT JOIN LATERAL (
        SELECT t.entry_id FROM ledger_receiptsettlement t JOIN standing n ON n.id = t.entry_id
        WHERE t.receipt_id = r.id ORDER BY t.entry_id DESC LIMIT 1
    ) s ON true
    WHERE r.kind_id = 'unidentified_receipt'
$$;

-- What was taken from residual interest since a statement, at a horizon, before an instant.
CREATE FUNCTION ledger.residual_series_at(
    since ledger_segregationstatement, known pg_snapshot, until timestamptz
) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT coalesce(sum(t.amount), 0)
    FROM ledger_ledgeraccount a
    JOIN ledger_posting p ON p.account_id = a.id AND p.account_seq > since.residual_seq
    JOIN ledger_entry e ON e.id = p.entry_id AND pg_visible_in_snapshot(e.xid, known)
        AND (until IS NULL OR e.effective_at < until)
    CROSS JOIN LATERAL ledger.residual_taken(ARRAY[p.entry_id]) t
    WHERE a.pool_id = since.pool_id AND a.asset_id = since.asset_id
      AND a.account_class = 'residual_interest' AND t.account_id = p.account_id
      AND t.account_seq = p.account_seq
$$;

-- What was given to owners before this version, matched by pool, asset and amount, oldest first.
INSERT INTO ledger_receiptsettlement (entry_id, receipt_id)
SELECT s.entry_id, r.entry_id
FROM (SELECT r.*, row_number() OVER (PARTITION BY r.account_id, r.amount ORDER BY r.entry_id) AS nth
      FROM ledger.receipts r) r
JOIN (SELECT e.id AS entry_id, p.account_id, p.amount,
             row_number() OVER (PARTITION BY p.account_id, p.amount ORDER BY e.id) AS nth
      FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id AND p.amount > 0
      JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'unallocated'
      WHERE e.kind_id IN ('receipt_allocation', 'receipt_return') AND NOT ledger.is_undone(e.id)) s
ON (s.account_id, s.amount, s.nth) = (r.account_id, r.amount, r.nth);

-- A receipt goes whole to one owner, or back, once. Its settlement names it in its key:
-- receipt:ENTRY:anything.
CREATE FUNCTION ledger.settle_receipts(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    given record;
BEGIN
    FOR one IN
        SELECT e.id, ledger.plain_number(substring(k.key FROM '^receipt:([0-9]{1,18}):')) AS receipt,
               p.account_id, sum(p.amount) AS amount
        FROM ledger_entry e
        JOIN ledger_posting p ON p.entry_id = e.id
        JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'unallocated'
        LEFT JOIN ledger_entrykey k ON k.entry_id = e.id
        WHERE e.id = ANY (entries) AND e.kind_id IN ('receipt_allocation', 'receipt_return')
        GROUP BY e.id, k.key, p.account_id ORDER BY e.id
    LOOP
        SELECT r.* INTO given FROM ledger.receipts r WHERE r.entry_id = one.receipt;
        IF given.entry_id IS NULL OR (given.account_id, given.amount)
               IS DISTINCT FROM (one.account_id, one.amount) THEN
            PERFORM accounts.refuse('receipt_is_settled_whole',
                'a settlement names one receipt in its key and moves all of it');
        END IF;
        IF given.settled_by IS NOT NULL THEN
            PERFORM accounts.refuse('receipt_is_settled_once',
                format('receipt %s is settled by entry %s', given.entry_id, given.settled_by));
        END IF;
        INSERT INTO ledger_receiptsettlement (entry_id, receipt_id) VALUES (one.id, given.entry_id);
    END LOOP;
END $$;

CREATE FUNCTION ledger.settlement_is_its_entry() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('settlement_is_its_entry',
            'what settles a receipt is written by the entry that does');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER settlement_is_its_entry AFTER INSERT ON ledger_receiptsettlement
FOR EACH STATEMENT EXECUTE FUNCTION ledger.settlement_is_its_entry();
ALTER TABLE ledger_receiptsettlement ENABLE ALWAYS TRIGGER settlement_is_its_entry;

-- ---------------------------------------------------------------- what the runtime may do

GRANT SELECT ON ledger.receipts TO bo_runtime, bo_auditor;
GRANT INSERT ON ledger_letterdocument, ledger_residualnotice TO bo_runtime;
REVOKE UPDATE ON ledger_location FROM bo_runtime;
REVOKE UPDATE (account_number, venue, chain, letter_reference, letter_signed_on, letter_expires_on,
    closed_on) ON ledger_location FROM bo_runtime;
DO $$
DECLARE
    mine text;
BEGIN
    FOR mine IN SELECT p.oid::regprocedure FROM pg_proc p
                WHERE p.pronamespace = 'ledger'::regnamespace
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', mine);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION ledger.conduct_rule(text, text, date),
    ledger.segregation_on(smallint, bigint, date), ledger.stated_day_before(text, date),
    ledger.residual_target_on(smallint, bigint, date), ledger.newest_statement(smallint, bigint),
    ledger.residual_series(ledger_segregationstatement, bigint[]),
    ledger.residual_series_at(ledger_segregationstatement, pg_snapshot, timestamptz),
    ledger.receipts_at(pg_snapshot, timestamptz),
    ledger.residual_asked(jsonb), ledger.asked_amounts(jsonb),
    ledger.broken_residual_rule(smallint, bigint, date, numeric, numeric, boolean, boolean),
    ledger.letter_spans(bigint), ledger.letter_in_force(bigint, date),
    ledger.current_letter(bigint), ledger.location_window(bigint), ledger.is_undone(bigint),
    ledger.plain_number(text) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION ledger.state_segregation(bigint, date), ledger.set_residual_target(uuid),
    ledger.set_conduct_rule(uuid), ledger.open_location(uuid), ledger.change_location(uuid),
    ledger.close_location(uuid), ledger.file_letter(uuid) TO bo_runtime;
