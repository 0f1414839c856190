-- Acts by the million: what each transaction asks of the trail is asked once.

-- Whether rows of a table name this transaction, and it has said who acts.
CREATE FUNCTION accounts.rows_are_of_this_act(of_table text, are_of_now boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    IF are_of_now IS NOT TRUE THEN
        PERFORM accounts.refuse('row_carries_its_transaction',
            format('a row of %s names another transaction', of_table));
    END IF;
    IF NOT EXISTS (SELECT FROM accounts_act WHERE xid = pg_current_xact_id_if_assigned()) THEN
        PERFORM accounts.refuse('change_has_an_actor',
            'this transaction has not said who acts; call accounts.act first');
    END IF;
END $$;
REVOKE ALL ON FUNCTION accounts.rows_are_of_this_act(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.rows_are_of_this_act(text, boolean) TO bo_owner;

-- As before; whether there is an act already is told by the attempt to write it.
CREATE OR REPLACE FUNCTION accounts.act(
    actor text, session_key text, channel text, request_id text, reason text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    person record;
    operator bigint;
    has_acted boolean;
BEGIN
    IF session_key IS NULL THEN
        IF actor IS NULL OR actor NOT LIKE 'system:_%' THEN
            PERFORM accounts.refuse('person_acts_through_a_session',
                'only a machine (system:...) acts without a session');
        END IF;
        INSERT INTO accounts_act (actor, channel, request_id, reason)
        VALUES (actor, channel, request_id, reason) ON CONFLICT (xid) DO NOTHING
        RETURNING true INTO has_acted;
    ELSE
        SELECT l.session_id, l.operator_id, o.username INTO person
        FROM accounts.live_session(session_key) l JOIN accounts_operator o ON o.id = l.operator_id;
        IF person.session_id IS NULL THEN
            PERFORM accounts.refuse('session_is_live', 'the session has ended');
        END IF;
        INSERT INTO accounts_act (actor, operator_id, session_id, channel, request_id, reason)
        VALUES ('operator:' || person.username, person.operator_id, person.session_id,
                channel, request_id, reason) ON CONFLICT (xid) DO NOTHING
        RETURNING true INTO has_acted;
        operator := person.operator_id;
    END IF;
    IF has_acted IS NOT TRUE THEN
        PERFORM accounts.refuse('transaction_has_one_actor', 'this transaction already has an actor');
    END IF;
    RETURN operator;
END $$;
