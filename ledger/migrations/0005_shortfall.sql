-- While a client pool lacks money, the firm's residual interest there stays to cover it.

-- The firm takes nothing out of a client pool that lacks what would then be the clients'.
CREATE FUNCTION ledger.entry_leaves_the_shortfall_covered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted e
        JOIN ledger_posting p ON p.entry_id = e.id
        JOIN ledger_ledgeraccount r ON r.id = p.account_id AND r.account_class = 'residual_interest'
        JOIN ledger_ledgeraccount s ON s.pool_id = r.pool_id AND s.asset_id = r.asset_id
            AND s.account_class = 'shortfall'
        WHERE e.kind_id = 'residual_withdrawal'
          AND ledger.balance_at(r.id, e.id) + ledger.balance_at(s.id, e.id) > 0) THEN
        PERFORM accounts.refuse('residual_interest_covers_shortfall',
            'the pool lacks money: the firm''s residual interest there is needed to cover it');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_7_leaves_the_shortfall_covered AFTER INSERT ON ledger_entry
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ledger.entry_leaves_the_shortfall_covered();
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER entry_7_leaves_the_shortfall_covered;
