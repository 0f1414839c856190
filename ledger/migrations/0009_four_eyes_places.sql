-- Locations, the letters of their keepers, and receipts without an owner.

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_letterdocument', 'ledger_letter', 'ledger_locationchange', 'ledger_receiptsettlement']) t;
SELECT accounts.keep_rows('ledger_locationuse');
ALTER TABLE ledger_letterdocument ADD CONSTRAINT document_is_its_hash CHECK (
    sha256 = encode(sha256(content), 'hex') AND octet_length(content) BETWEEN 1 AND 10000000);

-- A firm is set up in one transaction: its pools and their first locations come together.
CREATE FUNCTION ledger.is_set_up(entity bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger_pool p WHERE p.legal_entity_id = entity
                   AND p.xid IS DISTINCT FROM pg_current_xact_id_if_assigned())
$$;

-- ---------------------------------------------------------------- letters

-- The days on which each letter of a location is good: from its signature until it expires, or so
-- many days after a change of name, address or account. What was declared when the book was opened
-- counts until the day before the first letter on file.
CREATE FUNCTION ledger.letter_spans(of_location bigint)
RETURNS TABLE (letter_id bigint, good_from date, good_until date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, CASE WHEN t.is_declared THEN '-infinity'::date ELSE t.signed_on END,
           least(coalesce(t.expires_on, 'infinity'::date),
                 (SELECT min(c.changed_on + ledger.conduct_rule(
                             'letter_void_days', p.regime, c.changed_on)::integer)
                  FROM ledger_locationchange c
                  WHERE c.location_id = t.location_id
                    AND (t.signed_on IS NULL OR c.changed_on > t.signed_on)),
                 CASE WHEN t.is_declared THEN (
                     SELECT min(f.signed_on) - 1 FROM ledger_letter f
                     WHERE f.location_id = t.location_id AND NOT f.is_declared) END)
    FROM ledger_letter t
    JOIN ledger_location l ON l.id = t.location_id JOIN ledger_pool p ON p.id = l.pool_id
    WHERE t.location_id = of_location
$$;

CREATE FUNCTION ledger.letter_in_force(of_location bigint, day date) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger.letter_spans(of_location) s
                   WHERE day BETWEEN s.good_from AND s.good_until)
$$;

CREATE FUNCTION ledger.current_letter(of_location bigint) RETURNS ledger_letter
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t FROM ledger_letter t WHERE t.location_id = of_location
    ORDER BY t.is_declared, t.signed_on DESC NULLS LAST, t.id DESC LIMIT 1
$$;

-- When value may come to a location: the days of its newest letter, until it is closed.
CREATE FUNCTION ledger.location_window(of_location bigint)
RETURNS TABLE (location_id bigint, usable_from date, usable_until date, closed_from date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.id, CASE WHEN p.owner_class = 'CLIENT' THEN coalesce(s.good_from, 'infinity'::date)
                      ELSE '-infinity'::date END,
           CASE WHEN p.owner_class = 'CLIENT' THEN coalesce(s.good_until, '-infinity'::date)
                ELSE 'infinity'::date END,
           coalesce(l.closed_on, 'infinity'::date)
    FROM ledger_location l JOIN ledger_pool p ON p.id = l.pool_id
    LEFT JOIN LATERAL ledger.letter_spans(l.id) s ON s.letter_id = (ledger.current_letter(l.id)).id
    WHERE l.id = of_location
$$;

CREATE FUNCTION ledger.refresh_location_use(of_location bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO ledger_locationuse (location_id, usable_from, usable_until, closed_from)
    SELECT * FROM ledger.location_window(of_location)
    ON CONFLICT (location_id) DO UPDATE SET usable_from = excluded.usable_from,
        usable_until = excluded.usable_until, closed_from = excluded.closed_from
$$;

CREATE FUNCTION ledger.location_use_is_true() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.location_id, NEW.usable_from, NEW.usable_until, NEW.closed_from) IS DISTINCT FROM
       (SELECT (w.location_id, w.usable_from, w.usable_until, w.closed_from)
        FROM ledger.location_window(NEW.location_id) w) THEN
        PERFORM accounts.refuse('location_use_follows_its_letters',
            'when a location may be used follows from its letters and its closing');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER location_use_follows_its_letters AFTER INSERT OR UPDATE ON ledger_locationuse
FOR EACH ROW EXECUTE FUNCTION ledger.location_use_is_true();
ALTER TABLE ledger_locationuse ENABLE ALWAYS TRIGGER location_use_follows_its_letters;

-- What stood before this version is carried over as declared.
INSERT INTO ledger_letter (location_id, reference, signed_on, expires_on, is_declared)
SELECT l.id, l.letter_reference, l.letter_signed_on,
       CASE WHEN l.letter_signed_on IS NULL OR l.letter_expires_on >= l.letter_signed_on
            THEN l.letter_expires_on END, true
FROM ledger_location l JOIN ledger_pool p ON p.id = l.pool_id AND p.owner_class = 'CLIENT';
SELECT ledger.refresh_location_use(id) FROM ledger_location ORDER BY id;

CREATE FUNCTION ledger.letter_is_filed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one record;
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        JOIN ledger_location l ON l.id = n.location_id JOIN ledger_pool p ON p.id = l.pool_id
        WHERE CASE WHEN n.is_declared THEN pg_trigger_depth() < 2 ELSE NOT EXISTS (
            SELECT FROM (
                SELECT asked FROM accounts.used_here('letter.file', p.legal_entity_id) asked
                WHERE (asked ->> 'location')::bigint = n.location_id
                UNION ALL
                SELECT asked FROM accounts.used_here('location.open', p.legal_entity_id) asked
                WHERE asked -> 'row' ->> 'code' = l.code) given
            WHERE to_jsonb(jsonb_populate_record(NULL::ledger_letter, given.asked -> 'letter'))
                  - '{id,xid,location_id,is_declared}'::text[]
                  = to_jsonb(n) - '{id,xid,location_id,is_declared}'::text[]) END) THEN
        PERFORM accounts.refuse('letter_is_filed_by_two',
            'a letter is filed with the approval of a second person who has it before them');
    END IF;
    IF EXISTS (SELECT FROM inserted n WHERE NOT n.is_declared
               AND n.signed_on > (clock_timestamp() AT TIME ZONE 'UTC')::date) THEN
        PERFORM accounts.refuse('letter_is_signed', 'a letter is filed once it is signed');
    END IF;
    FOR one IN SELECT DISTINCT n.location_id, c.reference, c.signed_on, c.expires_on
               FROM inserted n CROSS JOIN LATERAL ledger.current_letter(n.location_id) c
               WHERE NOT n.is_declared LOOP
        UPDATE ledger_location SET letter_reference = one.reference,
            letter_signed_on = one.signed_on, letter_expires_on = one.expires_on
        WHERE id = one.location_id;
        PERFORM ledger.refresh_location_use(one.location_id);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER letter_is_filed_by_two AFTER INSERT ON ledger_letter
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.letter_is_filed();
ALTER TABLE ledger_letter ENABLE ALWAYS TRIGGER letter_is_filed_by_two;

CREATE FUNCTION ledger.location_change_is_its_own() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('location_change_is_its_own',
            'a change of a location is written by the change itself');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER location_change_is_its_own AFTER INSERT ON ledger_locationchange
FOR EACH STATEMENT EXECUTE FUNCTION ledger.location_change_is_its_own();
ALTER TABLE ledger_locationchange ENABLE ALWAYS TRIGGER location_change_is_its_own;

-- ---------------------------------------------------------------- locations

CREATE FUNCTION ledger.location_is_opened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place ledger_location;
    pool ledger_pool;
BEGIN
    FOR place IN SELECT n.* FROM inserted n LOOP
        SELECT * INTO pool FROM ledger_pool WHERE id = place.pool_id;
        IF NOT ledger.is_set_up(pool.legal_entity_id) THEN
            IF pool.owner_class = 'CLIENT' THEN
                INSERT INTO ledger_letter (location_id, reference, signed_on, expires_on, is_declared)
                VALUES (place.id, place.letter_reference, place.letter_signed_on,
                        place.letter_expires_on, true);
            END IF;
        ELSIF NOT EXISTS (
            SELECT FROM accounts.used_here('location.open', pool.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::ledger_location, asked -> 'row'))
                  - '{id}'::text[] = to_jsonb(place) - '{id}'::text[]) THEN
            PERFORM accounts.refuse('location_is_opened_by_two', format(
                '%s: a location is opened with the approval of a second person, of exactly this',
                place.code));
        END IF;
        PERFORM ledger.refresh_location_use(place.id);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER location_is_opened_by_two AFTER INSERT ON ledger_location
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.location_is_opened();
ALTER TABLE ledger_location ENABLE ALWAYS TRIGGER location_is_opened_by_two;

CREATE FUNCTION ledger.client_location_is_acknowledged() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_pool p WHERE p.id = NEW.pool_id AND p.owner_class = 'CLIENT')
       AND NOT ledger.letter_in_force(NEW.id, (clock_timestamp() AT TIME ZONE 'UTC')::date)
       AND NOT EXISTS (SELECT FROM ledger_letter t WHERE t.location_id = NEW.id AND t.is_declared) THEN
        PERFORM accounts.refuse('client_location_is_acknowledged', format(
            '%s is opened with a letter in force that acknowledges client assets', NEW.code));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER client_location_is_acknowledged AFTER INSERT ON ledger_location
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION ledger.client_location_is_acknowledged();
ALTER TABLE ledger_location ENABLE ALWAYS TRIGGER client_location_is_acknowledged;

-- The columns of a location that two people may change together.
CREATE FUNCTION ledger.location_particulars(place ledger_location) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('account_number', place.account_number, 'venue', place.venue,
        'chain', place.chain, 'account_title', place.account_title, 'keeper', place.keeper,
        'keeper_address', place.keeper_address)
$$;

CREATE FUNCTION ledger.location_is_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place ledger_location;
    was ledger_location;
    shown ledger_letter;
    entity bigint;
BEGIN
    FOR place IN SELECT n.* FROM inserted n LOOP
        SELECT o.* INTO was FROM removed o WHERE o.id = place.id;
        CONTINUE WHEN was IS NOT DISTINCT FROM place;
        SELECT p.legal_entity_id INTO entity FROM ledger_pool p WHERE p.id = place.pool_id;
        shown := ledger.current_letter(place.id);
        IF (place.letter_reference, place.letter_signed_on, place.letter_expires_on)
               IS DISTINCT FROM (was.letter_reference, was.letter_signed_on,
                                 was.letter_expires_on)
           AND (place.letter_reference::text, place.letter_signed_on,
                place.letter_expires_on)
               IS DISTINCT FROM (shown.reference::text, shown.signed_on, shown.expires_on) THEN
            PERFORM accounts.refuse('location_shows_its_letter',
                'what a location says of its letter is its newest letter on file');
        END IF;
        IF ledger.location_particulars(place) <> ledger.location_particulars(was) THEN
            IF NOT EXISTS (
                SELECT FROM accounts.used_here('location.change', entity) asked
                WHERE (asked ->> 'location')::bigint = place.id
                  AND asked -> 'row' = ledger.location_particulars(place)) THEN
                PERFORM accounts.refuse('location_is_changed_by_two',
                    'a location is changed with the approval of a second person, of exactly this');
            END IF;
            INSERT INTO ledger_locationchange (location_id, changed_on, fields)
            SELECT place.id, (clock_timestamp() AT TIME ZONE 'UTC')::date,
                   string_agg(k.key, ', ' ORDER BY k.key)
            FROM jsonb_each(ledger.location_particulars(place)) k
            WHERE k.value <> ledger.location_particulars(was) -> k.key;
        END IF;
        IF place.closed_on IS DISTINCT FROM was.closed_on THEN
            IF was.closed_on IS NOT NULL OR NOT EXISTS (
                SELECT FROM accounts.used_here('location.close', entity) asked
                WHERE (asked ->> 'location')::bigint = place.id
                  AND (asked ->> 'closed_on')::date = place.closed_on) THEN
                PERFORM accounts.refuse('location_is_closed_by_two',
                    'a location is closed once, with the approval of a second person');
            END IF;
            -- Whoever posts there holds these rows; nothing slips in between.
            PERFORM FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id
            WHERE a.location_id = place.id ORDER BY b.account_id FOR UPDATE OF b;
            IF EXISTS (SELECT FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
                       WHERE a.location_id = place.id AND b.amount <> 0) THEN
                PERFORM accounts.refuse('closed_location_is_empty',
                    'a location is closed once it holds nothing');
            END IF;
        END IF;
        PERFORM ledger.refresh_location_use(place.id);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER location_is_changed_by_two AFTER UPDATE ON ledger_location
REFERENCING OLD TABLE AS removed NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.location_is_changed();
ALTER TABLE ledger_location ENABLE ALWAYS TRIGGER location_is_changed_by_two;

-- Nothing comes to a client location without a letter in force on that day, and nothing moves at a
-- closed one. What is there can leave; a reversal corrects the book and brings nothing new.
CREATE FUNCTION ledger.check_places(entries bigint[], first_day date, last_day date) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    -- Whether any place is anything but usable on these days: each a probe of its index.
    IF NOT EXISTS (SELECT FROM ledger_locationuse u WHERE u.usable_from > first_day)
       AND NOT EXISTS (SELECT FROM ledger_locationuse u WHERE u.usable_until < last_day)
       AND NOT EXISTS (SELECT FROM ledger_locationuse u WHERE u.closed_from <= last_day) THEN
        RETURN;
    END IF;
    SELECT l.code, s.day, CASE WHEN u.closed_from <= s.day THEN 'location_is_open'
                               ELSE 'client_location_is_acknowledged' END AS rule INTO broken
    FROM (SELECT e.id, e.kind_id, (e.effective_at AT TIME ZONE 'UTC')::date AS day
          FROM ledger_entry e WHERE e.id = ANY (entries)) s
    JOIN ledger_posting p ON p.entry_id = s.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.location_id IS NOT NULL
    JOIN ledger_locationuse u ON u.location_id = a.location_id
    JOIN ledger_location l ON l.id = a.location_id
    WHERE u.closed_from <= s.day
       OR s.day NOT BETWEEN u.usable_from AND u.usable_until
          AND p.amount > 0 AND a.asset_kind <> 'derivative' AND s.kind_id <> 'reversal'
          AND NOT ledger.letter_in_force(a.location_id, s.day)
    ORDER BY s.id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s on %s: it is closed, or no letter in force acknowledges client assets there',
            broken.code, broken.day));
    END IF;
END $$;
CREATE INDEX location_use_from ON ledger_locationuse (usable_from);
CREATE INDEX location_use_until ON ledger_locationuse (usable_until);
CREATE INDEX location_use_closed ON ledger_locationuse (closed_from);
