-- Payments: each step from the request to the bank's line as data, with the entry that goes with
-- it; what is agreed to lies in a withdrawal hold until the bank has paid; one file carries a
-- payment, and a file is sent once.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'payments')
ON CONFLICT (xid) DO NOTHING;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('payment.pay', 'Pay a withdrawal', '{operations,treasury}', '{treasury,risk,compliance}',
     '1 day'),
    ('payment.outcome', 'Say what became of a payment', '{operations,treasury}',
     '{treasury,risk,compliance}', '1 day'),
    ('payment_file.abandon', 'Abandon a payment file', '{operations,treasury}',
     '{treasury,risk,compliance}', '1 day');

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_paymentstep', 'ledger_paymentevent']) t;
SELECT accounts.watch('ledger_payment', 'id');
SELECT accounts.watch('ledger_paymentfile', 'id', 'content#');
SELECT accounts.watch('ledger_paymentinfile', 'id');
SELECT accounts.keep_rows(t::regclass) FROM unnest(ARRAY[
    'ledger_payment', 'ledger_paymentfile', 'ledger_paymentinfile']) t;
SELECT accounts.keep_columns('ledger_payment', 'payment_stays_itself',
    'id,key,legal_entity_id,bucket_id,asset_id,amount,location_id,instruction_id,pay_on,'
    'end_to_end_id,reason,requested_at');
SELECT accounts.keep_columns('ledger_paymentfile', 'payment_file_stays_itself',
    'id,message_id,location_id,pay_on,format,content,sha256,payment_count,control_sum,written_at');
SELECT accounts.keep_columns('ledger_paymentinfile', 'carried_payment_stays_itself',
    'id,file_id,payment_id,ordinal');
SELECT accounts.let_words_be_redacted('ledger_paymentevent');

-- Whether an update does nothing but take an erased person's name out of words.
CREATE FUNCTION ledger.is_redacting(was jsonb, now jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT accounts.is_erasing() AND accounts.only_words_change(was, now)
$$;

INSERT INTO ledger_paymentstep (from_state, to_state, moves) VALUES
    ('', 'requested', ''),
    ('requested', 'refused', ''),
    ('requested', 'released', ''),
    ('released', 'approved', 'hold'),
    ('released', 'cancelled', ''),
    ('approved', 'in_file', ''),
    ('in_file', 'approved', ''),
    ('in_file', 'sent', ''),
    ('approved', 'confirmed', 'out'),
    ('in_file', 'confirmed', 'out'),
    ('sent', 'confirmed', 'out'),
    ('approved', 'cancelled', 'return'),
    ('sent', 'returned', 'return'),
    ('confirmed', 'returned', 'return');

-- The entry of a payment: the hold, what the bank paid, or what came back.
CREATE FUNCTION ledger.payment_entry(of_payment uuid, moves text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.entry_id FROM ledger_entrykey k
    WHERE k.key = format('payment:%s:%s', of_payment, moves)
$$;

-- Whether an entry moves exactly the payment's amount between its own places.
CREATE FUNCTION ledger.payment_entry_fits(p ledger_payment, moves text, entry bigint) RETURNS boolean
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
               ELSE a.bucket_id = p.bucket_id END)
    FROM ledger_posting x JOIN ledger_ledgeraccount a ON a.id = x.account_id
    WHERE x.entry_id = entry
$$;

-- Whether a line is of the payment's own bank, of its amount, and names it.
CREATE FUNCTION ledger.line_names_payment(p ledger_payment, of_line bigint, change numeric)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM ledger_statementline l JOIN ledger_statement s ON s.id = l.statement_id
        WHERE l.id = of_line AND s.location_id = p.location_id AND s.rejection = ''
          AND l.amount = change
          AND (l.reference = p.end_to_end_id
               OR change > 0 AND position(p.end_to_end_id IN l.text) > 0))
$$;

-- Whether two people agreed, in this transaction, to exactly this of the payment.
CREATE FUNCTION ledger.outcome_is_agreed(p ledger_payment, outcome text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts.used_here('payment.outcome', p.legal_entity_id) asked
        WHERE (asked ->> 'payment')::uuid = p.id AND asked ->> 'outcome' = outcome)
$$;

CREATE FUNCTION ledger.payment_is_carried(of_payment uuid, state_of_file text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger_paymentinfile c JOIN ledger_paymentfile f ON f.id = c.file_id
                   WHERE c.payment_id = of_payment AND c.is_live AND f.state = state_of_file)
$$;

-- Refuses a step for which a payment does not have what it needs.
CREATE FUNCTION ledger.check_evidence(was ledger_payment, p ledger_payment) RETURNS void
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
              AND NOT ledger.outcome_is_agreed(p, p.state) THEN
            PERFORM accounts.refuse('payment_ends_with_evidence', told);
        END IF;
    ELSE NULL;
    END CASE;
END $$;

CREATE FUNCTION ledger.payment_follows_its_life() RETURNS trigger
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
            WHERE b.id = NEW.bucket_id AND b.role = 'FREE'
              AND m.legal_entity_id = NEW.legal_entity_id) THEN
            PERFORM accounts.refuse('payment_is_to_its_own_client',
                'a payment goes from a free bucket, by a place of its own pool, to an instruction '
                'of the same client in the same asset');
        END IF;
    ELSE
        PERFORM ledger.check_evidence(OLD, NEW);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_moves_along_its_life BEFORE INSERT OR UPDATE ON ledger_payment
FOR EACH ROW EXECUTE FUNCTION ledger.payment_follows_its_life();
ALTER TABLE ledger_payment ENABLE ALWAYS TRIGGER payment_moves_along_its_life;

-- Every step is told, by the database and nobody else.
CREATE FUNCTION ledger.payment_is_told() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND ledger.is_redacting(to_jsonb(OLD), to_jsonb(NEW)) THEN RETURN NULL; END IF;
    INSERT INTO ledger_paymentevent (payment_id, from_state, to_state, text, entry_id)
    VALUES (NEW.id, CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END, NEW.state, NEW.note,
            (SELECT ledger.payment_entry(NEW.id, s.moves) FROM ledger_paymentstep s
             WHERE s.from_state = CASE TG_OP WHEN 'INSERT' THEN '' ELSE OLD.state END
               AND s.to_state = NEW.state AND s.moves <> ''));
    RETURN NULL;
END $$;
CREATE TRIGGER payment_is_told AFTER INSERT OR UPDATE ON ledger_payment
FOR EACH ROW EXECUTE FUNCTION ledger.payment_is_told();
ALTER TABLE ledger_payment ENABLE ALWAYS TRIGGER payment_is_told;

-- Spends an approval about payments; what was agreed to is done in the same transaction, and the
-- guards look for it there.
CREATE FUNCTION ledger.use_payment_approval(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    IF asked.action_id NOT IN ('payment.pay', 'payment.outcome', 'payment_file.abandon') THEN
        PERFORM accounts.refuse('approval_is_for_this', 'the approval was given for something else');
    END IF;
    PERFORM accounts.use_approval(approval, asked.action_id, asked.payload);
END $$;

-- ---------------------------------------------------------------- files

-- A file is written, and then sent or abandoned, once. It is sent whole: none of its payments was
-- paid, taken out or put into another file meanwhile.
CREATE FUNCTION ledger.payment_file_ends() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND ledger.is_redacting(to_jsonb(OLD), to_jsonb(NEW)) THEN RETURN NEW; END IF;
    IF TG_OP = 'INSERT' AND NEW.sha256 <> encode(sha256(NEW.content), 'hex') THEN
        PERFORM accounts.refuse('payment_file_is_what_its_hash_says',
            'the content of a payment file differs from its hash');
    END IF;
    IF TG_OP = 'INSERT' AND NEW.state <> 'written'
       OR TG_OP = 'UPDATE' AND OLD.state <> NEW.state AND OLD.state <> 'written' THEN
        PERFORM accounts.refuse('payment_file_ends_once',
            'a payment file is written, and then sent or abandoned, once');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state = NEW.state AND OLD.placed_at IS NOT NULL THEN
        PERFORM accounts.refuse('payment_file_is_placed_once', 'the file lies in its folder already');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state <> NEW.state AND NEW.state = 'sent' AND (
        SELECT count(*) FROM ledger_paymentinfile c JOIN ledger_payment p ON p.id = c.payment_id
        WHERE c.file_id = NEW.id AND c.is_live AND p.state = 'in_file') <> NEW.payment_count THEN
        PERFORM accounts.refuse('payment_file_is_sent_whole',
            'a payment of this file was paid or taken out meanwhile; abandon it');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state <> NEW.state AND NEW.state = 'abandoned' AND NOT EXISTS (
        SELECT FROM accounts.used_here('payment_file.abandon',
            (SELECT o.legal_entity_id FROM ledger_location l JOIN ledger_pool o ON o.id = l.pool_id
             WHERE l.id = NEW.location_id)) asked
        WHERE (asked ->> 'file')::bigint = NEW.id) THEN
        PERFORM accounts.refuse('payment_file_is_abandoned_by_two',
            'a payment file is abandoned with the agreement of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_file_ends_once BEFORE INSERT OR UPDATE ON ledger_paymentfile
FOR EACH ROW EXECUTE FUNCTION ledger.payment_file_ends();
ALTER TABLE ledger_paymentfile ENABLE ALWAYS TRIGGER payment_file_ends_once;

-- A payment enters a file that is not sent, of its own bank and day; it leaves it with the file.
CREATE FUNCTION ledger.payment_enters_a_file() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NOT EXISTS (
        SELECT FROM ledger_paymentfile f JOIN ledger_payment p ON p.id = NEW.payment_id
            AND p.location_id = f.location_id AND p.pay_on = f.pay_on AND p.state = 'approved'
        WHERE f.id = NEW.file_id AND f.state = 'written' AND NEW.is_live
          AND NEW.ordinal BETWEEN 1 AND f.payment_count)
       OR TG_OP = 'UPDATE' AND NEW.is_live <> OLD.is_live AND (NEW.is_live OR NOT EXISTS (
        SELECT FROM ledger_paymentfile f WHERE f.id = NEW.file_id AND f.state = 'abandoned')) THEN
        PERFORM accounts.refuse('payment_enters_a_file_of_its_bank',
            'an approved payment enters a file of its own bank and day that was not sent, and '
            'leaves it when two people abandon the file');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_enters_a_file_of_its_bank BEFORE INSERT OR UPDATE ON ledger_paymentinfile
FOR EACH ROW EXECUTE FUNCTION ledger.payment_enters_a_file();
ALTER TABLE ledger_paymentinfile ENABLE ALWAYS TRIGGER payment_enters_a_file_of_its_bank;

-- ---------------------------------------------------------------- what is held stays held

-- What a hold owes to payments that are not over. One whose entry out, or back, is in the book
-- already does not count.
CREATE FUNCTION ledger.held_for_payments(of_bucket bigint, of_asset bigint) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(p.amount), 0) FROM ledger_payment p
    WHERE p.hold_id = of_bucket AND p.asset_id = of_asset
      AND p.state IN ('approved', 'in_file', 'sent')
      AND ledger.payment_entry(p.id, 'out') IS NULL
      AND ledger.payment_entry(p.id, 'return') IS NULL
$$;

CREATE FUNCTION ledger.posting_leaves_holds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_payment p WHERE p.state IN ('approved', 'in_file', 'sent')) THEN
        RETURN NULL;
    END IF;
    SELECT a.bucket_id, a.asset_id, b.amount INTO broken
    FROM (SELECT DISTINCT i.account_id FROM inserted i WHERE i.amount > 0) i
    JOIN ledger_ledgeraccount a ON a.id = i.account_id AND a.account_class = 'claim'
    JOIN ledger_balance b ON b.account_id = a.id
    WHERE EXISTS (SELECT FROM ledger_payment p
                  WHERE p.hold_id = a.bucket_id AND p.asset_id = a.asset_id
                    AND p.state IN ('approved', 'in_file', 'sent'))
      AND -b.amount < ledger.held_for_payments(a.bucket_id, a.asset_id)
    LIMIT 1;
    IF broken.bucket_id IS NOT NULL THEN
        PERFORM accounts.refuse('held_money_waits_for_its_payment', format(
            'the hold would have %s for payments of %s', trim_scale(-broken.amount),
            trim_scale(ledger.held_for_payments(broken.bucket_id, broken.asset_id))));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_7_leaves_holds AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.posting_leaves_holds();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_7_leaves_holds;

-- As before; but what a bank has paid already is booked, whatever was blocked meanwhile.
CREATE OR REPLACE FUNCTION ledger.check_blocks(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT c.kind_id, m.code, k.cause, k.lasts_until INTO broken
    FROM ledger.bucket_changes(entries) c
    JOIN accounts_marginaccount m ON m.id = c.margin_account_id
    CROSS JOIN LATERAL ledger.blocks_on(m.id) k
    WHERE c.kind_id IN ('withdrawal', 'client_transfer') AND c.change < 0
      AND NOT EXISTS (SELECT FROM ledger_payment p
                      WHERE p.hold_id = c.bucket_id AND p.state IN ('approved', 'in_file', 'sent')
                        AND ledger.payment_entry(p.id, 'out') = c.entry_id)
    ORDER BY k.lasts_until DESC LIMIT 1;
    IF broken.code IS NOT NULL THEN
        PERFORM accounts.refuse('outflow_is_blocked', format(
            'nothing leaves %s: %s, until %s at least and until a sweep is clean', broken.code,
            replace(broken.cause, '_', ' '), broken.lasts_until));
    END IF;
END $$;

-- ---------------------------------------------------------------- what the runtime may do

REVOKE ALL ON FUNCTION ledger.is_redacting(jsonb, jsonb), ledger.payment_entry(uuid, text),
    ledger.payment_entry_fits(ledger_payment, text, bigint),
    ledger.line_names_payment(ledger_payment, bigint, numeric),
    ledger.outcome_is_agreed(ledger_payment, text), ledger.payment_is_carried(uuid, text),
    ledger.check_evidence(ledger_payment, ledger_payment), ledger.payment_follows_its_life(),
    ledger.payment_is_told(), ledger.payment_file_ends(), ledger.payment_enters_a_file(),
    ledger.held_for_payments(bigint, bigint), ledger.posting_leaves_holds(),
    ledger.use_payment_approval(uuid), ledger.check_blocks(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.use_payment_approval(uuid) TO bo_runtime;
GRANT EXECUTE ON FUNCTION ledger.held_for_payments(bigint, bigint) TO bo_runtime, bo_auditor;
GRANT INSERT, UPDATE ON ledger_payment, ledger_paymentfile, ledger_paymentinfile TO bo_runtime;
GRANT USAGE ON SEQUENCE ledger_paymentfile_id_seq, ledger_paymentinfile_id_seq TO bo_runtime;
