-- Runs of whole houses: their parts as blocks of columns, and what results name looked at in sets.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'runs in columns')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only('margin_runblock');
-- They are packed already.
ALTER TABLE margin_runblock ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE margin_runblock ADD CONSTRAINT block_is_what_its_hash_says
    CHECK (content_sha256 = encode(sha256(content), 'hex'));

-- In place of foreign keys, which ask for every row by itself: rows of a statement name few runs
-- and terms, and scopes of which none is ever removed.
CREATE FUNCTION margin.results_name_what_is_there() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n LEFT JOIN accounts_scope s ON s.id = n.scope_id
               WHERE s.id IS NULL)
       OR EXISTS (SELECT FROM (SELECT DISTINCT run_id FROM inserted) n
                  LEFT JOIN margin_marginrun r ON r.id = n.run_id WHERE r.id IS NULL)
       OR EXISTS (SELECT FROM (SELECT DISTINCT agreement_version_id AS id FROM inserted) n
                  LEFT JOIN accounts_agreementversion v ON v.id = n.id WHERE v.id IS NULL)
       OR EXISTS (SELECT FROM (SELECT DISTINCT parameter_set_id AS id FROM inserted
                               WHERE parameter_set_id IS NOT NULL) n
                  LEFT JOIN margin_parameterset p ON p.id = n.id WHERE p.id IS NULL) THEN
        PERFORM accounts.refuse('results_name_what_is_there',
            'a result names a run, a scope, terms or parameters that are not there');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER results_name_what_is_there AFTER INSERT ON margin_marginresult
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION margin.results_name_what_is_there();
ALTER TABLE margin_marginresult ENABLE ALWAYS TRIGGER results_name_what_is_there;

-- Balances of some accounts as a horizon knew them: `margin.balances_at`, for those alone.
CREATE FUNCTION margin.balances_of(horizon pg_snapshot, as_of timestamptz, accounts bigint[])
RETURNS TABLE (
    ledger_account_id bigint, account_seq bigint, account_class text, bucket_id bigint,
    asset_id bigint, amount numeric, average_cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT a.id, n.account_seq, a.account_class, a.bucket_id, a.asset_id,
           n.balance_after - coalesce((
               SELECT sum(p.amount) FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
               WHERE p.account_id = a.id AND e.effective_at > as_of
                 AND pg_visible_in_snapshot(e.xid, horizon)), 0),
           n.average_after
    FROM ledger_ledgeraccount a
    CROSS JOIN LATERAL (
        SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
        WHERE p.account_id = a.id AND pg_visible_in_snapshot(p.xid, horizon)
        ORDER BY p.account_seq DESC LIMIT 1) n
    WHERE a.id = ANY (accounts) AND a.bucket_id IS NOT NULL
      AND a.account_class IN ('claim', 'position', 'loan_receivable')
    ORDER BY a.id
$$;

REVOKE ALL ON FUNCTION margin.results_name_what_is_there(),
    margin.balances_of(pg_snapshot, timestamptz, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.balances_of(pg_snapshot, timestamptz, bigint[])
    TO bo_runtime, bo_auditor;
GRANT INSERT ON margin_runblock TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_runblock_id_seq TO bo_runtime;
