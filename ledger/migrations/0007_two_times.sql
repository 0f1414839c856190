-- Two times: business time decides what had happened, a committed horizon what was known of it.

-- The newest horizon stored at a time or before; nothing before the first.
CREATE FUNCTION ledger.horizon_at(at timestamptz) RETURNS SETOF ledger_horizon
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT h.* FROM ledger_horizon h WHERE h.taken_at <= at
    ORDER BY h.taken_at DESC, h.id DESC LIMIT 1
$$;

-- What was known at a time; refused before the first horizon. Null is now.
CREATE FUNCTION ledger.known_at(at timestamptz) RETURNS pg_snapshot
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known pg_snapshot;
BEGIN
    IF at IS NULL THEN RETURN pg_current_snapshot(); END IF;
    SELECT h.snapshot INTO known FROM ledger.horizon_at(at) h;
    IF known IS NULL THEN
        PERFORM accounts.refuse('time_has_a_horizon', format(
            'nothing was stored of what was known at %s; the first horizon is of %s', at,
            (SELECT min(h.taken_at) FROM ledger_horizon h)));
    END IF;
    RETURN known;
END $$;

-- The book as people read it, at the end of a business date, as known at a time; nulls are now.
CREATE FUNCTION ledger.book_at(as_of date DEFAULT NULL, known_at timestamptz DEFAULT NULL)
RETURNS TABLE (
    ledger_account bigint, pool text, asset text, account_class text, account text, bucket text,
    location text, amount numeric, average_cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT a.id, p.code, t.code, a.account_class, m.code, b.code, l.code, n.amount, n.average_cost
    FROM ledger.balances_at(ledger.known_at(book_at.known_at), book_at.as_of) n
    JOIN ledger_ledgeraccount a ON a.id = n.account_id
    JOIN ledger_pool p ON p.id = a.pool_id
    JOIN ledger_asset t ON t.id = a.asset_id
    LEFT JOIN accounts_marginaccount m ON m.id = a.margin_account_id
    LEFT JOIN accounts_bucket b ON b.id = a.bucket_id
    LEFT JOIN ledger_location l ON l.id = a.location_id
    ORDER BY a.id
$$;

-- The entries that had taken effect by the end of a business date, as known at a time.
CREATE FUNCTION ledger.entries_at(as_of date DEFAULT NULL, known_at timestamptz DEFAULT NULL)
RETURNS SETOF ledger_entry
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT e.* FROM ledger_entry e
    WHERE pg_visible_in_snapshot(e.xid, ledger.known_at(entries_at.known_at))
      AND (entries_at.as_of IS NULL
           OR e.effective_at < (entries_at.as_of + 1)::timestamp AT TIME ZONE 'UTC')
$$;

-- What became known between two horizons: entries that take effect by the end of a date.
CREATE FUNCTION ledger.entries_between(earlier pg_snapshot, later pg_snapshot, as_of date)
RETURNS SETOF ledger_entry
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT e.* FROM ledger_entry e
    WHERE e.xid >= pg_snapshot_xmin(earlier) AND e.xid < pg_snapshot_xmax(later)
      AND pg_visible_in_snapshot(e.xid, later) AND NOT pg_visible_in_snapshot(e.xid, earlier)
      AND (as_of IS NULL OR e.effective_at < (as_of + 1)::timestamp AT TIME ZONE 'UTC')
    ORDER BY e.id
$$;

REVOKE ALL ON FUNCTION ledger.horizon_at(timestamptz), ledger.known_at(timestamptz),
    ledger.book_at(date, timestamptz), ledger.entries_at(date, timestamptz),
    ledger.entries_between(pg_snapshot, pg_snapshot, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.horizon_at(timestamptz), ledger.known_at(timestamptz),
    ledger.book_at(date, timestamptz), ledger.entries_at(date, timestamptz),
    ledger.entries_between(pg_snapshot, pg_snapshot, date) TO bo_runtime, bo_auditor;
