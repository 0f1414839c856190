-- Entries of interest against what was accrued, caps of borrowing, and what an erasure reaches.

-- ---------------------------------------------------------------- entries of interest

-- Whether an entry of interest says what its accrual says: which day, whose accounts, how much,
-- and who pays. Less than is due is taken of a balance only where nothing is left of it.
CREATE FUNCTION ledger.interest_is_as_accrued(entry bigint, kind text, effective timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH said AS (
        SELECT split_part(k.key, ':', 2)::date AS day, split_part(k.key, ':', 3)::bigint AS account
        FROM ledger_entrykey k
        WHERE k.entry_id = entry AND k.key ~ '^accrual:\d{4}-\d\d-\d\d:\d+$'
    ), accrued AS (
        SELECT s.day, x.due, x.account_id, b.account_class, b.bucket_id, b.asset_id, v.paid_from
        FROM said s
        JOIN ledger_ledgeraccount b ON b.id = s.account
        JOIN ledger_pool o ON o.id = b.pool_id
        JOIN ledger_accrualrun r ON r.legal_entity_id = o.legal_entity_id AND r.day = s.day
        JOIN ledger_accrual x ON x.account_id = s.account AND x.run_id = r.id
        JOIN ledger_dailyrate d ON d.run_id = r.id AND d.curve_id = x.curve_id
        JOIN ledger_rateversion v ON v.id = d.version_id
    ), legs AS (
        SELECT coalesce(sum(p.amount) FILTER (WHERE a.account_class = 'claim'), 0) AS claim,
               coalesce(sum(p.amount) FILTER (WHERE a.account_class = 'loan_receivable'), 0) AS loan,
               coalesce(bool_and(a.bucket_id = x.bucket_id AND a.asset_id = x.asset_id)
                   FILTER (WHERE a.bucket_id IS NOT NULL), false) AS is_of_the_bucket
        FROM accrued x, ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = entry
    ), left_over AS (
        SELECT coalesce(max(-ledger.balance_at(a.id, entry))
                   FILTER (WHERE a.account_class = 'claim'), 0) AS claim,
               coalesce(max(ledger.balance_at(a.id, entry))
                   FILTER (WHERE a.account_class = 'loan_receivable'), 0) AS loan
        FROM accrued x JOIN ledger_ledgeraccount a ON a.bucket_id = x.bucket_id
            AND a.asset_id = x.asset_id AND a.account_class IN ('claim', 'loan_receivable')
    )
    SELECT effective = (x.day + 1)::timestamp AT TIME ZONE 'UTC' AND l.is_of_the_bucket
       AND l.claim * sign(x.due) >= 0 AND l.loan * sign(x.due) >= 0 AND x.due <> 0
       AND CASE
           WHEN kind = 'credit_interest' THEN x.account_class = 'claim' AND l.loan = 0
               AND (l.claim = x.due OR (l.claim > 0 AND l.claim < x.due AND r.claim = 0))
           WHEN x.account_class <> 'loan_receivable' OR l.claim + l.loan <> x.due THEN false
           WHEN x.due > 0 AND x.paid_from = 'claim' THEN l.loan = 0 OR r.claim = 0
           WHEN x.due > 0 THEN l.claim = 0
           WHEN x.paid_from = 'claim' THEN l.loan = 0
           ELSE l.claim = 0 OR r.loan = 0 END
    FROM accrued x, legs l, left_over r
$$;

CREATE FUNCTION ledger.check_interest(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken bigint;
BEGIN
    SELECT e.id INTO broken FROM ledger_entry e
    WHERE e.id = ANY (entries) AND e.kind_id IN ('borrow_interest', 'credit_interest')
      AND ledger.interest_is_as_accrued(e.id, e.kind_id, e.effective_at) IS NOT TRUE LIMIT 1;
    IF broken IS NOT NULL THEN
        PERFORM accounts.refuse('interest_follows_its_accrual', format(
            'entry %s is not what was accrued for its day and account', broken));
    END IF;
END $$;

-- ---------------------------------------------------------------- caps of borrowing

-- A loan is paid out while account, pool and use of the lending pool stay within the caps of the
-- rates in force. Balances are read with what this transaction posted, carried or not.
CREATE FUNCTION ledger.check_caps(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    lent record;
    loans numeric;
    lendable numeric;
    of_account numeric;
BEGIN
    FOR lent IN
        SELECT DISTINCT o.legal_entity_id, a.asset_id, a.margin_account_id, c.id AS curve_id, v.account_cap,
               v.pool_cap, v.utilisation_cap
        FROM ledger_entry e
        JOIN ledger_posting p ON p.entry_id = e.id
        JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'loan_receivable'
        JOIN ledger_pool o ON o.id = a.pool_id
        JOIN ledger_ratecurve c ON c.legal_entity_id = o.legal_entity_id AND c.asset_id = a.asset_id
            AND c.side = 'borrow'
        CROSS JOIN LATERAL (
            SELECT x.* FROM ledger_rateversion x WHERE x.curve_id = c.id
              AND x.effective_from <= (e.effective_at AT TIME ZONE 'UTC')::date
            ORDER BY x.effective_from DESC LIMIT 1) v
        WHERE e.id = ANY (entries) AND e.kind_id = 'borrow'
          AND num_nonnulls(v.account_cap, v.pool_cap, v.utilisation_cap) > 0
        ORDER BY c.id
    LOOP
        -- Two borrowers at once must not both count what is left.
        PERFORM FROM ledger_ratecurve c WHERE c.id = lent.curve_id FOR NO KEY UPDATE;
        SELECT coalesce(sum(s.amount) FILTER (WHERE s.account_class = 'loan_receivable'), 0),
               coalesce(sum(s.amount) FILTER (WHERE s.account_class = 'custody'), 0),
               coalesce(sum(s.amount) FILTER (WHERE s.account_class = 'loan_receivable'
                   AND s.margin_account_id = lent.margin_account_id), 0)
        INTO loans, lendable, of_account
        FROM (
            SELECT a.account_class, a.margin_account_id, b.amount + coalesce((
                SELECT sum(p.amount) FROM ledger_posting p
                WHERE p.account_id = a.id AND p.account_seq > b.seq), 0) AS amount
            FROM ledger_ledgeraccount a
            JOIN ledger_pool o ON o.id = a.pool_id AND o.legal_entity_id = lent.legal_entity_id
            JOIN ledger_balance b ON b.account_id = a.id
            WHERE a.asset_id = lent.asset_id AND a.owner_class = 'HOUSE'
              AND a.account_class IN ('loan_receivable', 'custody')
        ) s;
        IF of_account > lent.account_cap OR loans > lent.pool_cap
           OR loans > lent.utilisation_cap * (loans + lendable) THEN
            PERFORM accounts.refuse('borrow_stays_in_its_cap', format(
                'lent would be %s to the account and %s in all, with %s left to lend; the caps are '
                '%s, %s and a share of %s', of_account, loans, lendable,
                coalesce(lent.account_cap::text, 'none'), coalesce(lent.pool_cap::text, 'none'),
                coalesce(lent.utilisation_cap::text, 'any')));
        END IF;
    END LOOP;
END $$;

-- ---------------------------------------------------------------- erasure

-- A client is not erased while the book owes them something, or they owe it.
CREATE FUNCTION ledger.erased_client_has_nothing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    left_over record;
BEGIN
    SELECT a.account_class, b.amount, t.code INTO left_over
    FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id AND b.amount <> 0
    JOIN ledger_asset t ON t.id = a.asset_id
    WHERE a.client_id = NEW.client_id AND a.bucket_id IS NOT NULL LIMIT 1;
    IF left_over.code IS NOT NULL AND NOT NEW.is_again THEN
        PERFORM accounts.refuse('client_with_money_is_kept', format(
            'the book still holds %s %s of this client (%s)', abs(left_over.amount), left_over.code,
            left_over.account_class));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_with_money_is_kept BEFORE INSERT ON accounts_erasure
FOR EACH ROW EXECUTE FUNCTION ledger.erased_client_has_nothing();
ALTER TABLE accounts_erasure ENABLE ALWAYS TRIGGER client_with_money_is_kept;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.rates_of(bigint, date), ledger.on_curve(jsonb, numeric),
    ledger.accruals_of(bigint, date, bigint), ledger.corrections_of(bigint, bigint),
    ledger.accruals_to_post(bigint), ledger.accrual_key(date, bigint),
    ledger.night(text, date, date), ledger.bond_days(date, date), ledger.months_360(date),
    ledger.signed_ratio(numeric, numeric, integer), ledger.interest_paid(date, bigint),
    ledger.rates_said(ledger_rateversion)
    TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION ledger.publish_rates(uuid), ledger.accrue_day(bigint, date) TO bo_runtime;
