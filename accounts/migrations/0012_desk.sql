-- Views of lists that people keep, and the clock each of them reads.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'views of lists, and the clock of each person')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.watch('accounts_savedview', 'id');
SELECT accounts.keep_rows('accounts_savedview');
SELECT accounts.keep_columns('accounts_savedview', 'view_stays_itself',
    'id,legal_entity_id,list_name,slug,owner_id,xid');

-- A view is kept, changed, shared and removed by its owner alone, in a session of their own.
CREATE FUNCTION accounts.view_is_its_owners() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF accounts.acting_operator() <> NEW.owner_id THEN
        PERFORM accounts.refuse('view_is_its_owners', 'a view is kept and changed by its owner');
    END IF;
    IF NOT EXISTS (SELECT FROM accounts_rolegrant g
                   WHERE g.operator_id = NEW.owner_id AND g.legal_entity_id = NEW.legal_entity_id
                     AND g.revoked_xid IS NULL) THEN
        PERFORM accounts.refuse('view_is_its_owners',
            'a view is kept where its owner holds a role');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.is_removed THEN
        PERFORM accounts.refuse('view_is_removed_once', 'this view is removed');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER view_is_its_owners BEFORE INSERT OR UPDATE ON accounts_savedview
FOR EACH ROW EXECUTE FUNCTION accounts.view_is_its_owners();
ALTER TABLE accounts_savedview ENABLE ALWAYS TRIGGER view_is_its_owners;

GRANT SELECT ON accounts_savedview TO bo_runtime, bo_auditor;
GRANT INSERT, UPDATE ON accounts_savedview TO bo_runtime;
GRANT USAGE ON SEQUENCE accounts_savedview_id_seq TO bo_runtime;
GRANT SELECT (time_zone) ON accounts_operator TO bo_auditor;
REVOKE ALL ON FUNCTION accounts.view_is_its_owners() FROM PUBLIC;
