-- Balances at the end of any business date, as known at any committed horizon.

-- One row for every ledger account that the horizon knows, with what had taken effect by the end
-- of `as_of` (UTC; null for whatever the date). A posting is known where its transaction had
-- committed; `account_seq` and `average_cost` are of the newest posting that counts, 0 and null if none.
CREATE FUNCTION ledger.balances_at(known pg_snapshot, as_of date)
RETURNS TABLE (account_id bigint, account_seq bigint, amount numeric, average_cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH later AS (
        SELECT p.account_id, sum(p.amount) AS amount
        FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.effective_at >= (as_of + 1)::timestamp AT TIME ZONE 'UTC'
          AND pg_visible_in_snapshot(e.xid, known)
        GROUP BY p.account_id
    )
    SELECT a.id,
           CASE WHEN l.account_id IS NULL THEN coalesce(n.account_seq, 0)
                ELSE coalesce(t.account_seq, 0) END,
           coalesce(n.balance_after, 0) - coalesce(l.amount, 0),
           CASE WHEN l.account_id IS NULL THEN n.average_after ELSE t.average_after END
    FROM ledger_ledgeraccount a
    LEFT JOIN later l ON l.account_id = a.id
    LEFT JOIN LATERAL (
        SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
        WHERE p.account_id = a.id AND pg_visible_in_snapshot(p.xid, known)
        ORDER BY p.account_seq DESC LIMIT 1) n ON true
    LEFT JOIN LATERAL (
        SELECT p.account_seq, p.average_after
        FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
        WHERE l.account_id IS NOT NULL AND p.account_id = a.id
          AND pg_visible_in_snapshot(p.xid, known)
          AND e.effective_at < (as_of + 1)::timestamp AT TIME ZONE 'UTC'
        ORDER BY p.account_seq DESC LIMIT 1) t ON true
    WHERE pg_visible_in_snapshot(a.xid, known)
$$;

REVOKE ALL ON FUNCTION ledger.balances_at(pg_snapshot, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.balances_at(pg_snapshot, date) TO bo_runtime, bo_auditor;
