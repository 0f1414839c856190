-- Status reports of banks: kept as they came; a rejection that names a payment of a file that was
-- sent is evidence that it was not paid, unless the bank said before that it was.

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_paymentreport', 'ledger_paymentstatus']) t;

-- Whether a bank's report rejected a payment, in this transaction.
CREATE FUNCTION ledger.is_rejected_here(of_payment uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger_paymentstatus s
                   WHERE s.payment_id = of_payment AND s.outcome = 'returned'
                     AND s.xid = pg_current_xact_id())
$$;

-- A status restores a claim only where it rejects a payment that is sent, in the very file that
-- carries it, of the same legal entity and amount, and no report said that it was settled.
CREATE FUNCTION ledger.payment_status_fits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.outcome = 'returned' AND (NEW.status <> 'RJCT' OR NOT EXISTS (
            SELECT FROM ledger_paymentreport r
            JOIN ledger_paymentfile f ON f.id = r.payment_file_id AND f.state = 'sent'
                AND f.message_id = r.original_message_id
            JOIN ledger_paymentinfile c ON c.file_id = f.id AND c.is_live
            JOIN ledger_payment p ON p.id = c.payment_id AND p.state = 'sent'
                AND p.legal_entity_id = r.legal_entity_id
            WHERE r.id = NEW.report_id AND r.rejection = '' AND p.id = NEW.payment_id
              AND NEW.end_to_end_id IN ('', p.end_to_end_id)
              AND coalesce(NEW.amount, p.amount) = p.amount)
        OR EXISTS (SELECT FROM ledger_paymentstatus s
                   WHERE s.payment_id = NEW.payment_id AND s.status IN ('ACSC', 'ACCC')
                     AND s.outcome = 'noted')) THEN
        PERFORM accounts.refuse('payment_is_rejected_by_its_bank',
            'a report restores a claim where it rejects a payment of a file that was sent, of the '
            'same amount, which no report said was settled');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_is_rejected_by_its_bank BEFORE INSERT ON ledger_paymentstatus
FOR EACH ROW EXECUTE FUNCTION ledger.payment_status_fits();
ALTER TABLE ledger_paymentstatus ENABLE ALWAYS TRIGGER payment_is_rejected_by_its_bank;

-- As before; and what was sent is returned, too, where its bank rejected it in a report.
CREATE OR REPLACE FUNCTION ledger.check_evidence(was ledger_payment, p ledger_payment) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    told text := format('payment %s does not have what it needs to be %s', p.end_to_end_id, p.state);
BEGIN
    CASE p.state
    WHEN 'refused' THEN
        IF p.binding_term = '' OR p.free_amount IS NULL THEN
            PERFORM accounts.refuse('payment_is_refused_with_its_term', told);
        END IF;
    WHEN 'released' THEN
        IF p.binding_term = '' OR p.free_amount IS NULL OR p.free_amount < p.amount
           OR NOT EXISTS (SELECT FROM accounts_approval a WHERE a.id = p.approval_id
                          AND a.action_id = 'payment.pay' AND a.decision = ''
                          AND a.legal_entity_id = p.legal_entity_id
                          AND (a.payload ->> 'payment')::uuid = p.id) THEN
            PERFORM accounts.refuse('payment_is_released_by_the_gate', told);
        END IF;
    WHEN 'approved' THEN
        IF was.state = 'in_file' THEN
            IF EXISTS (SELECT FROM ledger_paymentinfile c
                       WHERE c.payment_id = p.id AND c.is_live) THEN
                PERFORM accounts.refuse('payment_leaves_its_file_when_abandoned', told);
            END IF;
        ELSIF NOT EXISTS (
                SELECT FROM accounts_approval a
                WHERE a.id = p.approval_id AND a.action_id = 'payment.pay'
                  AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = p.legal_entity_id
                  AND (a.payload ->> 'payment')::uuid = p.id
                  AND (a.payload ->> 'amount')::numeric = p.amount
                  AND (a.payload ->> 'instruction')::bigint = p.instruction_id) THEN
            PERFORM accounts.refuse('payment_is_approved_by_two', told);
        ELSIF NOT accounts.instruction_is_usable(p.instruction_id) THEN
            PERFORM accounts.refuse('payment_follows_an_instruction', told);
        ELSIF NOT ledger.payment_entry_fits(p, 'hold', p.hold_entry_id) THEN
            PERFORM accounts.refuse('payment_has_its_entry', told);
        END IF;
    WHEN 'in_file' THEN
        IF NOT ledger.payment_is_carried(p.id, 'written') THEN PERFORM accounts.refuse('payment_is_in_its_file', told); END IF;
    WHEN 'sent' THEN
        IF NOT ledger.payment_is_carried(p.id, 'sent') THEN PERFORM accounts.refuse('payment_is_in_its_file', told); END IF;
    WHEN 'confirmed' THEN
        -- A line of the bank proves that its file was sent; unless an older file, which was
        -- abandoned, may be the one.
        IF was.state = 'in_file' AND NOT EXISTS (
                SELECT FROM ledger_paymentinfile c WHERE c.payment_id = p.id AND NOT c.is_live) THEN
            PERFORM accounts.refuse('payment_is_in_its_file', told);
        ELSIF NOT ledger.payment_entry_fits(p, 'out', p.paid_entry_id) THEN
            PERFORM accounts.refuse('payment_has_its_entry', told);
        ELSIF NOT ledger.line_names_payment(p, p.line_id, -p.amount)
              AND NOT ledger.outcome_is_agreed(p, 'confirmed') THEN
            PERFORM accounts.refuse('payment_ends_with_evidence', told);
        END IF;
    WHEN 'returned', 'cancelled' THEN
        IF was.state = 'released' THEN RETURN; END IF;
        IF NOT ledger.payment_entry_fits(p, 'return', p.return_entry_id) THEN
            PERFORM accounts.refuse('payment_has_its_entry', told);
        ELSIF NOT (was.state = 'confirmed'
                   AND ledger.line_names_payment(p, p.return_line_id, p.amount))
              AND NOT (was.state = 'sent' AND p.state = 'returned'
                       AND ledger.is_rejected_here(p.id))
              AND NOT ledger.outcome_is_agreed(p, p.state) THEN
            PERFORM accounts.refuse('payment_ends_with_evidence', told);
        END IF;
    ELSE NULL;
    END CASE;
END $$;

-- ---------------------------------------------------------------- isolated buckets

-- Where the money of a payment goes when it is not paid: the bucket it came from; of an isolated
-- one, which may be closed by then, the free bucket of the same account. Null where there is none.
CREATE FUNCTION ledger.payment_home(of_bucket bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE b.role WHEN 'ISOLATED' THEN
        (SELECT f.id FROM accounts_bucket f WHERE f.account_id = b.account_id AND f.role = 'FREE'
         ORDER BY f.id LIMIT 1)
        ELSE b.id END
    FROM accounts_bucket b WHERE b.id = of_bucket
$$;

-- As before; what comes back goes home.
CREATE OR REPLACE FUNCTION ledger.payment_entry_fits(p ledger_payment, moves text, entry bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT entry IS NOT NULL AND entry = ledger.payment_entry(p.id, moves)
       AND count(*) = 2 AND bool_and(a.asset_id = p.asset_id)
       AND bool_or(x.amount = p.amount AND CASE moves
               WHEN 'hold' THEN a.bucket_id = p.bucket_id
               WHEN 'out' THEN a.bucket_id = p.hold_id
               ELSE CASE WHEN p.paid_entry_id IS NULL THEN a.bucket_id = p.hold_id
                    ELSE a.location_id = p.location_id END END)
       AND bool_or(x.amount = -p.amount AND CASE moves
               WHEN 'hold' THEN a.bucket_id = p.hold_id
               WHEN 'out' THEN a.location_id = p.location_id
               ELSE a.bucket_id = ledger.payment_home(p.bucket_id) END)
    FROM ledger_posting x JOIN ledger_ledgeraccount a ON a.id = x.account_id
    WHERE x.entry_id = entry
$$;

-- As before; a payment also leaves an isolated bucket, by the gate of its own scope.
CREATE OR REPLACE FUNCTION ledger.payment_follows_its_life() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    coming text := CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END;
BEGIN
    IF TG_OP = 'UPDATE' AND ledger.is_redacting(to_jsonb(OLD), to_jsonb(NEW)) THEN RETURN NEW; END IF;
    IF NOT EXISTS (SELECT FROM ledger_paymentstep s
                   WHERE s.from_state = coming AND s.to_state = NEW.state) THEN
        PERFORM accounts.refuse('payment_moves_along_its_life', format(
            'a payment does not go from %s to %s', nullif(coming, ''), NEW.state));
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (
            SELECT FROM accounts_bucket b JOIN accounts_marginaccount m ON m.id = b.account_id
            JOIN accounts_paymentinstruction i ON i.id = NEW.instruction_id
                AND i.client_id = m.client_id
            JOIN ledger_asset t ON t.id = NEW.asset_id AND t.kind = 'money'
                AND t.code = i.asset_code AND NEW.amount = trunc(NEW.amount, t.scale)
            JOIN ledger_location l ON l.id = NEW.location_id AND l.kind <> 'venue'
                AND (l.kind = 'bank') = (i.method = 'bank')
            JOIN ledger_pool o ON o.id = l.pool_id AND o.legal_entity_id = m.legal_entity_id
                AND o.owner_class = m.owner_class
            WHERE b.id = NEW.bucket_id AND b.role IN ('FREE', 'ISOLATED')
              AND ledger.payment_home(b.id) IS NOT NULL
              AND m.legal_entity_id = NEW.legal_entity_id) THEN
            PERFORM accounts.refuse('payment_is_to_its_own_client',
                'a payment goes from a free or isolated bucket, by a place of its own pool, to an instruction '
                'of the same client in the same asset');
        END IF;
    ELSE
        PERFORM ledger.check_evidence(OLD, NEW);
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION ledger.is_rejected_here(uuid), ledger.payment_status_fits(),
    ledger.payment_home(bigint), ledger.payment_entry_fits(ledger_payment, text, bigint),
    ledger.payment_follows_its_life(),
    ledger.check_evidence(ledger_payment, ledger_payment) FROM PUBLIC;
GRANT INSERT ON ledger_paymentreport, ledger_paymentstatus TO bo_runtime;
GRANT USAGE ON SEQUENCE ledger_paymentreport_id_seq, ledger_paymentstatus_id_seq TO bo_runtime;
