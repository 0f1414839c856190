-- Clients whose assets lie apart: at locations of their own, reconciled and signed alone.

CREATE INDEX location_of_one_client ON ledger_location (individual_client_id)
WHERE individual_client_id IS NOT NULL;

INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('segregation_move', 'Assets of a client to or from their own locations', 1, 1, 0, 0, true, false, true);
-- What happens at a place also happens at a client's own; none of these kinds touches a claim, and
-- the guard below keeps such places apart from everybody's.
UPDATE ledger_entrykind SET clients_max = 1
WHERE code IN ('custody_move', 'bank_error', 'residual_deposit', 'residual_withdrawal',
               'shortfall_funding', 'unidentified_receipt', 'receipt_return');
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT 'segregation_move', 'custody', 'CLIENT', asset, side, false
FROM unnest('{money,security,derivative}'::text[]) asset, unnest('{debit,credit}'::text[]) side;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('entry.segregation_move', 'Assets of a client to or from their own locations',
     '{operations,treasury}', '{treasury,risk,compliance}', '1 day'),
    ('client.reconciliation', 'Sign a client''s own reconciliation',
     '{operations,treasury}', '{treasury,risk,compliance}', '5 days');

-- What a client's own places hold of an asset beyond what the client is owed; negative: what is
-- held elsewhere. The accounts of the book name the client on both sides.
CREATE FUNCTION ledger.held_over_owed(of_client bigint, of_asset bigint) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(b.amount), 0)
    FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
    WHERE a.client_id = of_client AND a.asset_id = of_asset AND a.owner_class = 'CLIENT'
$$;

-- A leg in a client pool, of an entry that touches a client held apart or a location of one client.
CREATE TYPE ledger.own_leg AS (
    entry_id bigint, kind text, amount numeric, client_id bigint, client text, is_apart boolean,
    bucket_id bigint, location_id bigint, asset_id bigint, asset_kind text);

-- No asset of a client held apart is anywhere but at the client's own locations, and nobody else's
-- is there. A loss or a bank's error may leave less than is owed, and nothing may make that worse.
CREATE FUNCTION ledger.check_own_locations(legs ledger.own_leg[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    stands numeric;
BEGIN
    SELECT s.kind, s.client, place.location_id INTO one
    FROM unnest(legs) place JOIN unnest(legs) s ON s.entry_id = place.entry_id
    WHERE place.location_id IS NOT NULL AND s.bucket_id IS NOT NULL
      AND place.client_id IS DISTINCT FROM s.client_id
      AND (s.is_apart OR place.client_id IS NOT NULL) LIMIT 1;
    IF one.kind IS NOT NULL THEN
        PERFORM accounts.refuse('individual_client_keeps_own_locations', format(
            '%s of %s through %s: assets of a client held apart lie at their own locations, and '
            'nobody else''s lie there', one.kind, one.client,
            (SELECT l.code FROM ledger_location l WHERE l.id = one.location_id)));
    END IF;

    SELECT l.entry_id, l.kind INTO one FROM unnest(legs) l
    WHERE l.kind NOT IN ('segregation_move', 'reversal') AND l.location_id IS NOT NULL
    GROUP BY l.entry_id, l.kind HAVING count(DISTINCT coalesce(l.client_id, 0)) > 1 LIMIT 1;
    IF one.kind IS NOT NULL THEN
        PERFORM accounts.refuse('individual_client_keeps_own_locations', format(
            '%s between a client''s own location and another', one.kind));
    END IF;

    FOR one IN
        SELECT l.client_id, l.asset_id, l.asset_kind, l.client, l.is_apart,
               sum(l.amount) FILTER (
                   WHERE l.kind NOT IN ('bank_error', 'uncovered_loss', 'reversal')) AS moved,
               bool_or(l.kind = 'segregation_move' AND l.amount > 0) AS comes_in
        FROM unnest(legs) l WHERE l.client_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5
        HAVING l.is_apart OR bool_or(l.kind = 'segregation_move' AND l.amount > 0)
        ORDER BY 1, 2
    LOOP
        -- Whoever moves something of this client waits for whoever did before.
        PERFORM FROM accounts_client c WHERE c.id = one.client_id FOR NO KEY UPDATE;
        stands := ledger.held_over_owed(one.client_id, one.asset_id);
        IF one.is_apart AND (
               stands < 0 AND one.moved < 0
               OR one.asset_kind = 'derivative' AND stands <> 0 AND one.moved <> 0)
           OR one.comes_in AND stands > 0 AND one.moved > 0 THEN
            PERFORM accounts.refuse('individual_client_is_held_apart', format(
                '%s: own locations would hold %s more than the client is owed there', one.client,
                trim_scale(stands)));
        END IF;
    END LOOP;
END $$;

-- A client is held apart once everything of theirs lies at their own locations.
CREATE FUNCTION ledger.client_has_own_locations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    missing record;
BEGIN
    IF NOT NEW.is_individually_segregated OR OLD.is_individually_segregated THEN
        RETURN NULL;
    END IF;
    PERFORM FROM ledger.lock_balances('{}', ARRAY(
        SELECT b.id FROM accounts_bucket b JOIN accounts_marginaccount m ON m.id = b.account_id
        WHERE m.client_id = NEW.id));
    SELECT t.code, ledger.held_over_owed(NEW.id, t.id) AS stands INTO missing
    FROM ledger_asset t
    WHERE CASE t.kind WHEN 'derivative' THEN ledger.held_over_owed(NEW.id, t.id) <> 0
          ELSE ledger.held_over_owed(NEW.id, t.id) < 0 END ORDER BY t.code LIMIT 1;
    IF missing.code IS NOT NULL THEN
        PERFORM accounts.refuse('individual_client_is_held_apart', format(
            '%s: %s %s lie at no location of the client''s own; move them there first', NEW.code,
            trim_scale(abs(missing.stands)), missing.code));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER individual_client_is_held_apart AFTER UPDATE ON accounts_client
FOR EACH ROW EXECUTE FUNCTION ledger.client_has_own_locations();
ALTER TABLE accounts_client ENABLE ALWAYS TRIGGER individual_client_is_held_apart;

-- ---------------------------------------------------------------- reconciliation of one client

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_clientreconciliation', 'ledger_reconciliationsignature']) t;

-- What stood on ledger accounts at the end of a business day, by effective date.
CREATE FUNCTION ledger.stood_on(accounts bigint[], day date) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(m.debit - m.credit), 0) FROM ledger_dailymovement m
    WHERE m.account_id = ANY (accounts) AND m.effective_on <= day
$$;

-- A client's own locations at the end of a day, asset by asset: in the book, and as reported by a
-- statement's closing balance or by holdings; then what they hold and what the client is owed.
CREATE FUNCTION ledger.own_places_on(of_client bigint, day date)
RETURNS TABLE (asset text, asset_kind text, location text, book numeric, reported numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.code, t.kind, l.code,
           ledger.stood_on(ARRAY(SELECT a.id FROM ledger_ledgeraccount a
                                 WHERE a.location_id = l.id AND a.asset_id = t.id), day),
           CASE l.kind WHEN 'bank' THEN (
               SELECT s.closing FROM ledger_statement s
               WHERE s.location_id = l.id AND s.business_day = day AND s.rejection = '')
           ELSE (SELECT sum(h.quantity) FROM ledger_holding h
                 WHERE h.location_id = l.id AND h.asset_id = t.id AND h.business_day = day) END
    FROM ledger_location l
    JOIN ledger_locationasset c ON c.location_id = l.id
    JOIN ledger_asset t ON t.id = c.asset_id
    WHERE l.individual_client_id = of_client AND (l.closed_on IS NULL OR l.closed_on > day)
    ORDER BY 1, 3
$$;

CREATE FUNCTION ledger.own_reconciliation(
    of_client bigint, day date, OUT lines jsonb, OUT open_breaks integer, OUT is_whole boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    WITH places AS (
        SELECT * FROM ledger.own_places_on(of_client, day)
    ), owed AS (
        SELECT t.code AS asset, t.kind AS asset_kind, -ledger.stood_on(ARRAY(
            SELECT a.id FROM ledger_ledgeraccount a
            WHERE a.client_id = of_client AND a.asset_id = t.id AND a.owner_class = 'CLIENT'
              AND a.bucket_id IS NOT NULL), day) AS amount
        FROM ledger_asset t WHERE EXISTS (
            SELECT FROM ledger_ledgeraccount a WHERE a.client_id = of_client AND a.asset_id = t.id
              AND a.owner_class = 'CLIENT')
    ), sums AS (
        SELECT o.asset, o.asset_kind, o.amount AS owed, coalesce(sum(p.book), 0) AS held
        FROM owed o LEFT JOIN places p ON p.asset = o.asset GROUP BY 1, 2, 3
        HAVING o.amount <> 0 OR coalesce(sum(p.book), 0) <> 0
    )
    SELECT coalesce((SELECT jsonb_agg(jsonb_build_object(
                 'asset', p.asset, 'location', p.location, 'book', trim_scale(p.book)::text,
                 'reported', trim_scale(p.reported)::text,
                 'difference', trim_scale(p.reported - p.book)::text) ORDER BY p.asset, p.location)
             FROM places p), '[]')
           || coalesce((SELECT jsonb_agg(jsonb_build_object(
                 'asset', s.asset, 'held', trim_scale(s.held)::text, 'owed', trim_scale(s.owed)::text,
                 'over', trim_scale(s.held - s.owed)::text) ORDER BY s.asset) FROM sums s), '[]'),
           NOT EXISTS (SELECT FROM places p WHERE p.reported IS DISTINCT FROM p.book)
           AND NOT EXISTS (SELECT FROM sums s WHERE CASE s.asset_kind
               WHEN 'derivative' THEN s.held <> s.owed ELSE s.held < s.owed END)
    INTO lines, is_whole;
    SELECT count(*) INTO open_breaks
    FROM ledger_break k JOIN ledger_location l ON l.id = k.location_id
    WHERE l.individual_client_id = of_client AND k.business_day <= day AND k.closed_at IS NULL;
    is_whole := is_whole AND open_breaks = 0;
END $$;

CREATE FUNCTION ledger.client_reconciliation_is_true() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.lines, NEW.open_breaks::integer, NEW.is_whole) IS DISTINCT FROM
       (SELECT (r.lines, r.open_breaks, r.is_whole)
        FROM ledger.own_reconciliation(NEW.client_id, NEW.business_day) r)
       OR NOT EXISTS (SELECT FROM ledger_location l WHERE l.individual_client_id = NEW.client_id) THEN
        PERFORM accounts.refuse('client_reconciliation_says_what_stands',
            'a reconciliation of one client says what balances, statements and holdings say');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_reconciliation_says_what_stands BEFORE INSERT ON ledger_clientreconciliation
FOR EACH ROW EXECUTE FUNCTION ledger.client_reconciliation_is_true();
ALTER TABLE ledger_clientreconciliation
    ENABLE ALWAYS TRIGGER client_reconciliation_says_what_stands;

-- Reconciles one client's own locations with the book, whatever other clients' places say.
CREATE FUNCTION ledger.reconcile_client(of_client bigint, day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM accounts.require_act();
    PERFORM FROM accounts_client c WHERE c.id = of_client FOR NO KEY UPDATE;
    INSERT INTO ledger_clientreconciliation (client_id, business_day, number, lines, open_breaks, is_whole)
    SELECT of_client, day, 1 + coalesce((
               SELECT max(x.number) FROM ledger_clientreconciliation x
               WHERE x.client_id = of_client AND x.business_day = day), 0),
           r.lines, r.open_breaks, r.is_whole
    FROM ledger.own_reconciliation(of_client, day) r
    RETURNING id INTO made;
    RETURN made;
END $$;

CREATE FUNCTION ledger.reconciliation_is_signed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    signed ledger_clientreconciliation;
BEGIN
    SELECT * INTO signed FROM ledger_clientreconciliation r WHERE r.id = NEW.reconciliation_id;
    IF NOT EXISTS (
        SELECT FROM accounts_approval a JOIN accounts_client c ON c.id = signed.client_id
        WHERE a.id = NEW.approval_id AND a.action_id = 'client.reconciliation'
          AND a.used_xid = pg_current_xact_id() AND a.legal_entity_id = c.legal_entity_id
          AND (a.payload ->> 'reconciliation')::bigint = signed.id) THEN
        PERFORM accounts.refuse('reconciliation_is_signed_by_two',
            'a reconciliation is signed by who prepared it and by a second person');
    END IF;
    IF NOT signed.is_whole OR EXISTS (
        SELECT FROM ledger_clientreconciliation r
        WHERE r.client_id = signed.client_id AND r.business_day = signed.business_day
          AND r.number > signed.number) THEN
        PERFORM accounts.refuse('signed_reconciliation_is_whole',
            'the newest reconciliation of the day is signed, when nothing differs in it');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reconciliation_is_signed_by_two BEFORE INSERT ON ledger_reconciliationsignature
FOR EACH ROW EXECUTE FUNCTION ledger.reconciliation_is_signed();
ALTER TABLE ledger_reconciliationsignature ENABLE ALWAYS TRIGGER reconciliation_is_signed_by_two;

-- Signs with an approval of `client.reconciliation`: {"reconciliation", "client", "business_day"}.
CREATE FUNCTION ledger.sign_reconciliation(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'client.reconciliation', asked.payload);
    INSERT INTO ledger_reconciliationsignature (reconciliation_id, approval_id)
    VALUES ((asked.payload ->> 'reconciliation')::bigint, approval);
END $$;
