-- Whether a client's assets are held apart from everybody's is agreed by two people.

-- The guards of the book ask at every posting whether there is such a client at all.
CREATE INDEX client_held_apart ON accounts_client (id) WHERE is_individually_segregated;

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'four eyes on individual segregation')
ON CONFLICT (xid) DO NOTHING;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('client.segregation', 'Hold a client''s assets apart, or no longer',
     '{operations,compliance}', '{treasury,risk,compliance}', '5 days');

CREATE FUNCTION accounts.client_is_held_apart() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.is_individually_segregated <> OLD.is_individually_segregated AND NOT EXISTS (
        SELECT FROM accounts.used_here('client.segregation', NEW.legal_entity_id) asked
        WHERE (asked ->> 'client')::bigint = NEW.id
          AND (asked ->> 'held_apart')::boolean = NEW.is_individually_segregated) THEN
        PERFORM accounts.refuse('client_is_held_apart_by_two',
            'holding a client''s assets apart needs the agreement of a second person');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_is_held_apart_by_two BEFORE UPDATE ON accounts_client
FOR EACH ROW EXECUTE FUNCTION accounts.client_is_held_apart();
ALTER TABLE accounts_client ENABLE ALWAYS TRIGGER client_is_held_apart_by_two;

-- Holds a client's assets apart, or no longer: {"client", "held_apart"}.
CREATE FUNCTION accounts.hold_client_apart(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'client.segregation', asked.payload);
    UPDATE accounts_client
    SET is_individually_segregated = (asked.payload ->> 'held_apart')::boolean
    WHERE id = (asked.payload ->> 'client')::bigint AND legal_entity_id = asked.legal_entity_id;
    IF NOT FOUND THEN
        PERFORM accounts.refuse('client_is_known', 'there is no such client at this firm');
    END IF;
END $$;

REVOKE ALL ON FUNCTION accounts.client_is_held_apart(), accounts.hold_client_apart(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.hold_client_apart(uuid) TO bo_runtime;
