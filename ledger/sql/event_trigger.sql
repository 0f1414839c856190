-- Run by a superuser after the migrations: from then on nobody else can drop, disable, replace or
-- add to a guard, change who owns a guarded object, or give rights on it. Before the next
-- migrations: DROP EVENT TRIGGER guards_stay_on.
--
-- What is guarded stands in a table of the superuser, filled here, and the list that it is
-- compared with is a copy of `accounts.guards()` that the schema's owner cannot touch.
-- A dropped object is seen at the end of its command like any other change.

DROP EVENT TRIGGER IF EXISTS guards_stay_on;
CREATE SCHEMA IF NOT EXISTS guard;
REVOKE ALL ON SCHEMA guard FROM PUBLIC;

DO $$
BEGIN
    DROP FUNCTION IF EXISTS guard.guards();
    EXECUTE replace(pg_get_functiondef('accounts.guards()'::regprocedure),
                    'FUNCTION accounts.guards()', 'FUNCTION guard.guards()');
    REVOKE ALL ON FUNCTION guard.guards() FROM PUBLIC;
END $$;

CREATE TABLE IF NOT EXISTS guard.pinned (
    object text, guard text, definition text NOT NULL, PRIMARY KEY (object, guard));
TRUNCATE guard.pinned;
INSERT INTO guard.pinned SELECT object, guard, definition FROM guard.guards();

CREATE OR REPLACE FUNCTION guard.keep_on() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed record;
BEGIN
    -- Superusers are found out by `verify`; who is not the owner cannot touch a guard at all.
    IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
       OR NOT pg_has_role(session_user, 'bo_owner', 'MEMBER') THEN
        RETURN;
    END IF;
    SELECT coalesce(p.object, f.object) AS object, coalesce(p.guard, f.guard) AS guard INTO changed
    FROM guard.pinned p FULL JOIN guard.guards() f ON f.object = p.object AND f.guard = p.guard
    WHERE p.definition IS DISTINCT FROM f.definition
      AND EXISTS (SELECT FROM guard.pinned k WHERE k.object = coalesce(p.object, f.object))
    LIMIT 1;
    IF changed.guard IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '23514', CONSTRAINT = 'guards_stay_on',
            MESSAGE = format('%s would change %s of %s', tg_tag, changed.guard, changed.object);
    END IF;
END $$;
REVOKE ALL ON FUNCTION guard.keep_on() FROM PUBLIC;

CREATE EVENT TRIGGER guards_stay_on ON ddl_command_end EXECUTE FUNCTION guard.keep_on();
