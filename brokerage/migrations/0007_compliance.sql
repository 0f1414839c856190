-- As before, by the one function that knows which roles are over.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'compliance that is held now')
ON CONFLICT (xid) DO NOTHING;

CREATE OR REPLACE FUNCTION brokerage.acts_as_compliance(entity bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_act a
        WHERE a.xid = pg_current_xact_id()
          AND accounts.holds_role(a.operator_id, '{compliance}', entity))
$$;
