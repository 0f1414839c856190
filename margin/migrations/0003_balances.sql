-- Balances as a horizon knew them: the newest posting of each account that the horizon sees, less
-- what takes effect only after `as_of`. A run and its replay read through the same function.

CREATE FUNCTION margin.balances_at(horizon pg_snapshot, as_of timestamptz)
RETURNS TABLE (
    ledger_account_id bigint, account_seq bigint, account_class text, bucket_id bigint,
    asset_id bigint, amount numeric, average_cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH later AS (
        SELECT p.account_id, sum(p.amount) AS amount
        FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.effective_at > as_of AND pg_visible_in_snapshot(e.xid, horizon)
        GROUP BY p.account_id
    )
    SELECT a.id, n.account_seq, a.account_class, a.bucket_id, a.asset_id,
           n.balance_after - coalesce(later.amount, 0), n.average_after
    FROM ledger_ledgeraccount a
    CROSS JOIN LATERAL (
        SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
        WHERE p.account_id = a.id AND pg_visible_in_snapshot(p.xid, horizon)
        ORDER BY p.account_seq DESC LIMIT 1) n
    LEFT JOIN later ON later.account_id = a.id
    WHERE a.bucket_id IS NOT NULL
      AND a.account_class IN ('claim', 'position', 'loan_receivable')
    ORDER BY a.id
$$;

REVOKE ALL ON FUNCTION margin.balances_at(pg_snapshot, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.balances_at(pg_snapshot, timestamptz) TO bo_runtime, bo_auditor;
