-- Entries that come after their date, and periods that are closed to them.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'back-dated entries and closed periods')
ON CONFLICT (xid) DO NOTHING;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('entry.back_dated', 'Entry before its date that a balance did not allow',
     '{operations,treasury}', '{treasury,risk,compliance}', '1 day'),
    ('period.reopen', 'Reopen a closed period', '{treasury,compliance}', '{compliance}', '1 day');

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_dayclose', 'ledger_periodevent', 'ledger_backdatedentry']) t;
CREATE INDEX day_close_by_day ON ledger_dayclose (day);
CREATE INDEX back_dated_by_date ON ledger_backdatedentry (effective_on, entry_id);

-- ---------------------------------------------------------------- closed periods

-- The last closed business date of each firm that closed a period.
CREATE FUNCTION ledger.closed_periods() RETURNS TABLE (legal_entity_id bigint, closed_through date)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT DISTINCT ON (v.legal_entity_id) v.legal_entity_id, v.closed_through
    FROM ledger_periodevent v ORDER BY v.legal_entity_id, v.number DESC
$$;

-- Whoever closes or reopens waits until what is being posted is in the book, and lets nothing in
-- meanwhile: an entry either came before the closing or sees it.
CREATE FUNCTION ledger.period_waits_for_entries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    LOCK TABLE ledger_entry IN SHARE MODE;
    RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
    PERFORM accounts.refuse('period_waits_for_entries',
        'entries are being posted; close the period once they are in');
    RETURN NULL;
END $$;
CREATE TRIGGER period_event_1_waits BEFORE INSERT ON ledger_periodevent
FOR EACH STATEMENT EXECUTE FUNCTION ledger.period_waits_for_entries();
ALTER TABLE ledger_periodevent ENABLE ALWAYS TRIGGER period_event_1_waits;

-- A closing goes forward, over days that are over; a reopening goes back, with four eyes.
CREATE FUNCTION ledger.period_event_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before ledger_periodevent;
    who bigint := (SELECT a.operator_id FROM accounts_act a WHERE a.xid = pg_current_xact_id());
BEGIN
    SELECT * INTO before FROM ledger_periodevent v
    WHERE v.legal_entity_id = NEW.legal_entity_id AND v.number < NEW.number
    ORDER BY v.number DESC LIMIT 1;
    IF NEW.number <> coalesce(before.number, 0) + 1 OR EXISTS (
        SELECT FROM ledger_periodevent v
        WHERE v.legal_entity_id = NEW.legal_entity_id AND v.number > NEW.number) THEN
        PERFORM accounts.refuse('period_event_follows', 'closings and reopenings follow one another');
    END IF;
    IF length(trim(NEW.reason)) < 10 THEN
        PERFORM accounts.refuse('period_has_a_reason', 'the reason needs at least 10 characters');
    END IF;
    IF NEW.event = 'closed' THEN
        IF NEW.closed_through <= before.closed_through THEN
            PERFORM accounts.refuse('period_closes_forward',
                format('everything through %s is closed already', before.closed_through));
        END IF;
        IF who IS NOT NULL AND NOT accounts.holds_role(
            who, '{treasury,compliance}', NEW.legal_entity_id) THEN
            PERFORM accounts.refuse('period_is_closed_by_its_roles',
                'treasury and compliance close periods');
        END IF;
        IF NEW.closed_through > greatest(
            (clock_timestamp() AT TIME ZONE 'UTC')::date - 1,
            (SELECT max(d.day) FROM ledger_dayclose d
             WHERE d.legal_entity_id = NEW.legal_entity_id)) THEN
            PERFORM accounts.refuse('period_is_over',
                format('%s is not over: a period closes through a day that is done',
                       NEW.closed_through));
        END IF;
    ELSE
        IF before.closed_through IS NULL OR NEW.closed_through >= before.closed_through THEN
            PERFORM accounts.refuse('period_reopens_back',
                format('closed through %s: a reopening names an earlier day',
                       coalesce(before.closed_through::text, 'no day')));
        END IF;
        IF NOT EXISTS (
            SELECT FROM accounts_approval a
            WHERE a.id = NEW.approval_id AND a.action_id = 'period.reopen'
              AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = NEW.legal_entity_id
              AND a.payload = jsonb_build_object(
                  'closed_through', before.closed_through, 'reopens_to', NEW.closed_through)) THEN
            PERFORM accounts.refuse('period_reopens_as_agreed',
                'a reopening needs the agreement of a second person to exactly this');
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER period_event_2_follows AFTER INSERT ON ledger_periodevent
FOR EACH ROW EXECUTE FUNCTION ledger.period_event_follows();
ALTER TABLE ledger_periodevent ENABLE ALWAYS TRIGGER period_event_2_follows;

CREATE FUNCTION ledger.add_period_event(entity bigint, what text, through date, why text, given uuid)
RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO ledger_periodevent (legal_entity_id, number, event, closed_through, reason, approval_id)
    SELECT entity, coalesce(max(v.number), 0) + 1, what, through, why, given
    FROM ledger_periodevent v WHERE v.legal_entity_id = entity
    RETURNING id INTO added;
    RETURN added;
END $$;

-- Closes everything through a business date to a firm's book.
CREATE FUNCTION ledger.close_period(entity bigint, through date, why text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM accounts.require_act();
    RETURN ledger.add_period_event(entity, 'closed', through, coalesce(why, ''), NULL);
END $$;

-- Opens the days after `reopens_to` again, as two people agreed.
CREATE FUNCTION ledger.reopen_period(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    given accounts_approval;
BEGIN
    SELECT * INTO given FROM accounts_approval a WHERE a.id = approval;
    PERFORM accounts.use_approval(approval, 'period.reopen', given.payload);
    RETURN ledger.add_period_event(given.legal_entity_id, 'reopened',
        (given.payload ->> 'reopens_to')::date, given.reason, approval);
END $$;

-- ---------------------------------------------------------------- entries before their date

-- The floors that some entries break at the end of earlier days: balances of the accounts they
-- move, by business date, that stand on the wrong side because of them. `entries` move `account`
-- before its newest movement.
CREATE FUNCTION ledger.broken_days(entries bigint[])
RETURNS TABLE (entry_id bigint, rule text, account_id bigint, broken_on date, balance numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET jit = off AS $$
    WITH legs AS (
        SELECT p.entry_id, p.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS moved_on,
               sum(p.amount) AS amount
        FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.id = ANY (entries) GROUP BY 1, 2, 3
    ), touched AS (
        SELECT l.account_id, min(l.moved_on) AS since FROM legs l GROUP BY 1
    ), closing AS (
        SELECT m.account_id, m.effective_on,
               sum(m.debit - m.credit) OVER (PARTITION BY m.account_id ORDER BY m.effective_on)
                   AS balance,
               lead(m.effective_on) OVER (PARTITION BY m.account_id ORDER BY m.effective_on)
                   AS next_on
        FROM ledger_dailymovement m WHERE m.account_id IN (SELECT t.account_id FROM touched t)
    ), broken AS (
        SELECT c.account_id, c.effective_on, c.balance,
               ledger.broken_floor(a.account_class, a.asset_kind, c.balance) AS rule
        FROM closing c
        JOIN touched t ON t.account_id = c.account_id AND c.effective_on >= t.since
        JOIN ledger_ledgeraccount a ON a.id = c.account_id
        WHERE c.next_on IS NOT NULL
    ), worse AS (
        SELECT b.* FROM broken b
        WHERE b.rule IS NOT NULL AND sign(b.balance) = sign((
            SELECT sum(l.amount) FROM legs l
            WHERE l.account_id = b.account_id AND l.moved_on <= b.effective_on))
    )
    SELECT DISTINCT ON (l.entry_id) l.entry_id, w.rule, w.account_id, w.effective_on, w.balance
    FROM worse w
    JOIN legs l ON l.account_id = w.account_id AND l.moved_on <= w.effective_on
        AND sign(l.amount) = sign(w.balance)
    ORDER BY l.entry_id, w.effective_on, w.account_id
$$;

-- The agreement of a second person to an entry before its date, of this very content.
CREATE FUNCTION ledger.back_dating_approval(entry bigint) RETURNS accounts_approval
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT a.* FROM ledger_entry e
    JOIN ledger_entrykey k ON k.entry_id = e.id
    JOIN accounts_approval a ON a.action_id = 'entry.back_dated' AND a.decision = 'approved'
        AND a.payload_sha256 = k.digest AND a.payload ->> 'key' = k.key
        AND (a.payload ->> 'effective_at')::timestamptz = e.effective_at
        AND a.used_xid IS NULL AND a.expires_at > clock_timestamp()
    WHERE e.id = entry AND ledger.is_as_approved(e.id, a.payload)
      AND NOT EXISTS (SELECT FROM ledger_posting p JOIN ledger_pool o ON o.id = p.pool_id
                      WHERE p.entry_id = e.id AND o.legal_entity_id <> a.legal_entity_id)
    ORDER BY a.number LIMIT 1
$$;

-- Entries of a statement that may be late, against the calendar.
CREATE FUNCTION ledger.check_dates(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    late record;
    agreed accounts_approval;
    broke jsonb := '[]';
BEGIN
    SELECT e.id, e.effective_at, c.closed_through INTO one
    FROM (SELECT DISTINCT p.entry_id, p.pool_id FROM ledger_posting p
          WHERE p.entry_id = ANY (entries)) i
    JOIN ledger_entry e ON e.id = i.entry_id
    JOIN ledger_pool o ON o.id = i.pool_id
    JOIN ledger.closed_periods() c ON c.legal_entity_id = o.legal_entity_id
        AND (e.effective_at AT TIME ZONE 'UTC')::date <= c.closed_through
    ORDER BY e.id LIMIT 1;
    IF one.id IS NOT NULL THEN
        PERFORM accounts.refuse('period_is_open', format(
            'an entry effective %s: the books are closed through %s',
            (one.effective_at AT TIME ZONE 'UTC')::date, one.closed_through));
    END IF;

    -- A leg is late where its account moved on a later date before it: in this statement, or in a
    -- movement of a day that is more than this statement's own.
    WITH dated AS (
        SELECT i.entry_id, i.account_id, i.account_seq, abs(i.amount) AS moved, o.legal_entity_id,
               (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on
        FROM ledger_posting i JOIN ledger_entry e ON e.id = i.entry_id
        JOIN ledger_pool o ON o.id = i.pool_id
        WHERE i.entry_id = ANY (entries)
    ), own AS (
        SELECT d.account_id, d.effective_on, sum(d.moved) AS moved FROM dated d GROUP BY 1, 2
    ), since AS (
        SELECT o.account_id, min(o.effective_on) AS effective_on FROM own o GROUP BY 1
    ), stood AS (
        SELECT m.account_id, max(m.effective_on) AS moved_on
        FROM since s JOIN ledger_dailymovement m
            ON m.account_id = s.account_id AND m.effective_on > s.effective_on
        LEFT JOIN own o ON o.account_id = m.account_id AND o.effective_on = m.effective_on
        WHERE m.debit + m.credit > coalesce(o.moved, 0) GROUP BY 1
    ), legs AS (
        SELECT d.*, greatest(s.moved_on, max(d.effective_on) OVER (
                   PARTITION BY d.account_id ORDER BY d.account_seq)) AS moved_on
        FROM dated d LEFT JOIN stood s ON s.account_id = d.account_id
    ), closed AS (
        SELECT d.legal_entity_id, max(d.day) AS day FROM ledger_dayclose d GROUP BY 1
    )
    SELECT array_agg(l.entry_id) AS entries, array_agg(l.effective_on) AS dates,
           array_agg(l.overtaken_on) AS overtaken
    INTO late
    FROM (
        SELECT d.entry_id, d.effective_on,
               greatest(max(d.moved_on) FILTER (WHERE d.moved_on > d.effective_on),
                        max(c.day) FILTER (WHERE c.day >= d.effective_on)) AS overtaken_on
        FROM legs d LEFT JOIN closed c ON c.legal_entity_id = d.legal_entity_id
        GROUP BY d.entry_id, d.effective_on
    ) l WHERE l.overtaken_on IS NOT NULL;
    IF late.entries IS NULL THEN RETURN; END IF;

    FOR one IN SELECT b.*, e.effective_at FROM ledger.broken_days(late.entries) b
               JOIN ledger_entry e ON e.id = b.entry_id ORDER BY b.entry_id
    LOOP
        agreed := ledger.back_dating_approval(one.entry_id);
        IF agreed.id IS NULL THEN
            PERFORM accounts.refuse('back_dated_entry_has_its_approval', format(
                'an entry effective %s: ledger account %s would have stood at %s at the end of %s '
                '(%s), so a second person agrees to it', (one.effective_at AT TIME ZONE 'UTC')::date,
                one.account_id, one.balance, one.broken_on, one.rule));
        END IF;
        PERFORM accounts.use_approval(agreed.id, 'entry.back_dated', agreed.payload);
        broke := broke || jsonb_build_object('entry', one.entry_id, 'rule', one.rule,
            'account', one.account_id, 'day', one.broken_on, 'balance', one.balance,
            'approval', agreed.id);
    END LOOP;

    INSERT INTO ledger_backdatedentry (entry_id, effective_on, overtaken_on, broken_rule,
                                       account_id, broken_on, balance, approval_id)
    SELECT l.entry_id, l.effective_on, l.overtaken_on, coalesce(b.rule, ''), b.account, b.day,
           b.balance, b.approval
    FROM unnest(late.entries, late.dates, late.overtaken) l(entry_id, effective_on, overtaken_on)
    LEFT JOIN jsonb_to_recordset(broke) AS b(entry bigint, rule text, account bigint, day date,
                                             balance numeric, approval uuid) ON b.entry = l.entry_id;
END $$;

-- The list of entries before their date is written by that guard and by nobody else.
CREATE FUNCTION ledger.back_dated_entries_come_from_postings() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('back_dated_entries_come_from_postings',
            'what came after its date is listed by the guard of the postings');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER back_dated_entries_come_from_postings BEFORE INSERT ON ledger_backdatedentry
FOR EACH STATEMENT EXECUTE FUNCTION ledger.back_dated_entries_come_from_postings();
ALTER TABLE ledger_backdatedentry ENABLE ALWAYS TRIGGER back_dated_entries_come_from_postings;

REVOKE ALL ON FUNCTION ledger.closed_periods(), ledger.period_waits_for_entries(),
    ledger.period_event_follows(), ledger.add_period_event(bigint, text, date, text, uuid),
    ledger.close_period(bigint, date, text), ledger.reopen_period(uuid),
    ledger.broken_days(bigint[]), ledger.back_dating_approval(bigint),
    ledger.check_dates(bigint[]), ledger.back_dated_entries_come_from_postings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.closed_periods() TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION ledger.close_period(bigint, date, text), ledger.reopen_period(uuid)
    TO bo_runtime;
GRANT INSERT ON ledger_dayclose TO bo_runtime;
GRANT SELECT ON ledger_dayclose, ledger_periodevent, ledger_backdatedentry
    TO bo_runtime, bo_auditor;
GRANT USAGE ON SEQUENCE ledger_dayclose_id_seq TO bo_runtime;
