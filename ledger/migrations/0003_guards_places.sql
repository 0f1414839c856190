-- Where accounts of the book hang, who keeps what is in them, what their statements confirm, and
-- which tables only grow.

-- ---------------------------------------------------------------- ledger accounts

CREATE FUNCTION ledger.ledger_account_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.id INTO wrong FROM inserted n
    JOIN ledger_pool p ON p.id = n.pool_id
    JOIN ledger_asset t ON t.id = n.asset_id
    LEFT JOIN accounts_bucket b ON b.id = n.bucket_id
    LEFT JOIN accounts_marginaccount m ON m.id = b.account_id
    LEFT JOIN ledger_location l ON l.id = n.location_id
    WHERE n.account_class NOT IN ('custody', 'claim', 'position', 'unallocated',
              'residual_interest', 'shortfall', 'own_equity', 'loan_receivable', 'in_transit', 'opening')
       OR n.owner_class <> p.owner_class OR n.asset_kind <> t.kind OR n.scale <> t.scale
       OR n.margin_account_id IS DISTINCT FROM b.account_id
       OR n.client_id IS DISTINCT FROM coalesce(m.client_id, l.individual_client_id)
       OR m.legal_entity_id <> p.legal_entity_id
       OR (n.account_class IN ('claim', 'position') AND m.owner_class <> p.owner_class)
       OR (n.account_class = 'loan_receivable'
           AND (m.owner_class <> 'CLIENT' OR p.owner_class <> 'HOUSE'))
       OR l.pool_id <> n.pool_id
       OR (l.id IS NOT NULL AND NOT EXISTS (SELECT FROM ledger_locationasset c
               WHERE c.location_id = l.id AND c.asset_id = n.asset_id)) LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM accounts.refuse('ledger_account_is_truthful',
            'the account does not belong where its pool, asset, bucket and location say');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_account_is_truthful AFTER INSERT ON ledger_ledgeraccount
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.ledger_account_guard();
ALTER TABLE ledger_ledgeraccount ENABLE ALWAYS TRIGGER ledger_account_is_truthful;

-- A location of a client pool has a letter in which its keeper acknowledges whose assets it holds.
CREATE FUNCTION ledger.location_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_pool p WHERE p.id = NEW.pool_id AND p.owner_class = 'CLIENT')
       AND (NEW.letter_reference = '' OR NEW.title = 'own') THEN
        PERFORM accounts.refuse('client_location_has_a_letter', format(
            '%s holds client assets: it needs an acknowledgement letter and a client title', NEW.code));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_location_has_a_letter BEFORE INSERT OR UPDATE ON ledger_location
FOR EACH ROW EXECUTE FUNCTION ledger.location_guard();
ALTER TABLE ledger_location ENABLE ALWAYS TRIGGER client_location_has_a_letter;
SELECT accounts.keep_columns('ledger_location', 'location_stays_in_its_pool',
    'code,pool_id,kind,title,individual_client_id');

-- A security or a derivative is paid for in money; money is paid for in nothing.
CREATE FUNCTION ledger.asset_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.kind = 'money' AND NEW.settles_in_id IS NOT NULL
       OR NEW.kind <> 'money' AND NOT EXISTS (
           SELECT FROM ledger_asset m WHERE m.id = NEW.settles_in_id AND m.kind = 'money') THEN
        PERFORM accounts.refuse('asset_settles_in_money',
            format('%s names the money it is paid for in, unless it is money', NEW.code));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER asset_settles_in_money BEFORE INSERT ON ledger_asset
FOR EACH ROW EXECUTE FUNCTION ledger.asset_guard();
ALTER TABLE ledger_asset ENABLE ALWAYS TRIGGER asset_settles_in_money;
ALTER TABLE ledger_asset ADD CONSTRAINT asset_is_of_a_known_kind
    CHECK (kind IN ('money', 'security', 'derivative') AND scale <= 100);
ALTER TABLE ledger_pool ADD CONSTRAINT pool_is_of_a_known_class
    CHECK (owner_class IN ('CLIENT', 'HOUSE', 'HOUSE_PROP', 'INSURANCE', 'SUSPENSE'));

-- ---------------------------------------------------------------- matches

-- A match says that a bank confirms a posting: at its own location, its reference, its amount.
CREATE FUNCTION ledger.match_confirms_a_posting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted m
        LEFT JOIN ledger_posting p ON p.account_id = m.account_id AND p.account_seq = m.account_seq
        LEFT JOIN ledger_ledgeraccount a ON a.id = p.account_id
        LEFT JOIN ledger_statementline l ON l.id = m.line_id
        LEFT JOIN ledger_statement s ON s.id = l.statement_id
        WHERE (p.amount, p.reference::text, a.location_id, '')
              IS DISTINCT FROM (l.amount, l.reference, s.location_id, s.rejection::text)) THEN
        PERFORM accounts.refuse('match_confirms_a_posting',
            'a statement line confirms a posting of its own bank, reference and amount');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER match_confirms_a_posting AFTER INSERT ON ledger_statementmatch
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.match_confirms_a_posting();
ALTER TABLE ledger_statementmatch ENABLE ALWAYS TRIGGER match_confirms_a_posting;

-- ---------------------------------------------------------------- table classes

SELECT accounts.make_append_only(
    t::regclass, by_transaction => t NOT IN ('ledger_entry', 'ledger_entrykey', 'ledger_posting'))
FROM unnest(ARRAY[
    'ledger_pool', 'ledger_asset', 'ledger_locationasset', 'ledger_ledgeraccount', 'ledger_entry',
    'ledger_entrykey', 'ledger_posting', 'ledger_loss', 'ledger_release', 'ledger_releaseuse',
    'ledger_horizon', 'ledger_statementfile', 'ledger_statement', 'ledger_statementline',
    'ledger_holding', 'ledger_statementmatch', 'ledger_breakevent']) t;
SELECT accounts.watch(t::regclass, 'id') FROM unnest(ARRAY[
    'ledger_location', 'ledger_break']) t;
SELECT accounts.keep_rows(t::regclass) FROM unnest(ARRAY[
    'ledger_location', 'ledger_break', 'ledger_entrykind', 'ledger_kindleg']) t;
SELECT accounts.keep_columns('ledger_break', 'break_stays_as_found',
    'location_id,business_day,ordinal,kind,asset_id,reference,ledger_amount,statement_amount,detail,statement_id,line_id');
