-- Limits of roles, agreements that two people agree to, and the records that requests name.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'limits of roles, agreements with four eyes')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('limit.change', 'Change a limit', '{risk,compliance}', '{compliance,principal}', '2 days'),
    ('agreement.version', 'New version of an agreement', '{operations,risk}', '{risk,compliance}',
     '5 days'),
    ('agreement.sign', 'Put an account under an agreement', '{operations,risk}',
     '{risk,compliance}', '5 days'),
    ('agreement.end', 'End the agreement of an account', '{operations,risk}', '{risk,compliance}',
     '5 days');

-- Contents of the approvals of an action that this transaction has used at a legal entity.
CREATE FUNCTION accounts.used_here(action_code text, entity bigint) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.payload FROM accounts_approval a
    WHERE a.used_xid = pg_current_xact_id_if_assigned()
      AND a.action_id = action_code AND a.legal_entity_id = entity
$$;

-- ---------------------------------------------------------------- records that requests name

SELECT accounts.make_append_only('accounts_approvalrecord');

CREATE FUNCTION accounts.record_is_named() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM new_rows n JOIN accounts_approval a ON a.id = n.approval_id
               WHERE a.maker_id <> accounts.acting_operator() OR a.decision <> '') THEN
        PERFORM accounts.refuse('record_is_named_by_the_maker',
            'who asks names the records that the request would change, before it is decided');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_is_named_by_the_maker AFTER INSERT ON accounts_approvalrecord
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.record_is_named();
ALTER TABLE accounts_approvalrecord ENABLE ALWAYS TRIGGER record_is_named_by_the_maker;

-- ---------------------------------------------------------------- limits

SELECT accounts.make_append_only('accounts_limituse');
SELECT accounts.make_append_only('accounts_approvallimit');

-- Every role goes on as before: no limit in any asset, until somebody sets one. A role without a
-- row may ask for and agree to nothing.
INSERT INTO accounts_approvallimit (legal_entity_id, role, asset, effective_from)
SELECT NULL, role, '', '1970-01-01'
FROM unnest(ARRAY['operations', 'risk', 'treasury', 'compliance', 'principal']) role;

CREATE FUNCTION accounts.limit_in_force(entity bigint, of_role text, of_asset text, day date)
RETURNS accounts_approvallimit
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT l FROM accounts_approvallimit l
    WHERE (l.legal_entity_id = entity OR l.legal_entity_id IS NULL)
      AND l.role = of_role AND l.asset IN (of_asset, '') AND l.effective_from <= day
    ORDER BY l.legal_entity_id NULLS LAST, l.asset = '', l.effective_from DESC, l.id DESC LIMIT 1
$$;

-- What a role has asked for or agreed to on a day. Requests that came to nothing do not count.
CREATE FUNCTION accounts.limit_spent(
    entity bigint, of_role text, of_side text, of_asset text, day date
) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(u.amount), 0)
    FROM accounts_limituse u JOIN accounts_approval a ON a.id = u.approval_id
    WHERE u.legal_entity_id = entity AND u.role = of_role AND u.side = of_side
      AND u.asset = of_asset AND u.on_day = day
      AND (u.side = 'approve' OR a.decision = 'approved'
           OR a.decision = '' AND a.expires_at > clock_timestamp())
$$;

-- Counts an amount towards the limit of one role of a person, the narrowest that covers it. The
-- day's sum is of everybody who holds the role: two people at once cannot pass it together.
CREATE FUNCTION accounts.count_limit(
    of_approval uuid, entity bigint, who bigint, roles text[], of_side text, of_asset text,
    of_amount numeric
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    one record;
BEGIN
    FOR one IN
        SELECT h.role, CASE of_side WHEN 'request' THEN l.request_each ELSE l.approve_each END AS each,
               CASE of_side WHEN 'request' THEN l.request_day ELSE l.approve_day END AS per_day
        FROM (SELECT DISTINCT g.role FROM accounts_rolegrant g
              WHERE g.operator_id = who AND g.legal_entity_id = entity AND g.desk = ''
                AND g.revoked_xid IS NULL AND g.role = ANY (roles)) h
        CROSS JOIN LATERAL accounts.limit_in_force(entity, h.role, of_asset, today) l
        WHERE l.id IS NOT NULL
        ORDER BY 2 NULLS LAST, 3 NULLS LAST, 1
    LOOP
        CONTINUE WHEN of_amount > one.each OR of_amount > one.per_day;
        IF one.per_day IS NOT NULL THEN
            IF current_setting('transaction_isolation') <> 'read committed' THEN
                PERFORM accounts.refuse('limit_is_counted_as_it_stands',
                    'what counts towards a limit of a day is read as it stands: read committed');
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended(
                format('limit %s %s %s %s', entity, one.role, of_side, of_asset), 0));
            CONTINUE WHEN of_amount > one.per_day - accounts.limit_spent(
                entity, one.role, of_side, of_asset, today);
        END IF;
        INSERT INTO accounts_limituse (approval_id, side, operator_id, legal_entity_id, role, asset,
                                       amount, on_day)
        VALUES (of_approval, of_side, who, entity, one.role, of_asset, of_amount, today);
        RETURN;
    END LOOP;
    PERFORM accounts.refuse('limit_covers_the_amount', format(
        '%s %s is beyond what this person''s roles may %s in one request or today; somebody of a '
        'role with a higher limit can', trim_scale(of_amount), of_asset,
        CASE of_side WHEN 'request' THEN 'ask for' ELSE 'agree to' END));
END $$;

-- Whether anybody but the maker could agree to an amount.
CREATE FUNCTION accounts.somebody_agrees_to(
    entity bigint, maker bigint, roles text[], of_asset text, of_amount numeric
) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_rolegrant g JOIN accounts_operator o ON o.id = g.operator_id
        CROSS JOIN LATERAL accounts.limit_in_force(
            entity, g.role, of_asset, (clock_timestamp() AT TIME ZONE 'UTC')::date) l
        WHERE g.legal_entity_id = entity AND g.operator_id <> maker AND g.desk = ''
          AND g.revoked_xid IS NULL AND o.is_active AND g.role = ANY (roles) AND l.id IS NOT NULL
          AND coalesce(of_amount <= l.approve_each, true)
          AND coalesce(of_amount <= l.approve_day, true))
$$;

CREATE FUNCTION accounts.limit_is_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n WHERE NOT EXISTS (
            SELECT FROM accounts.used_here('limit.change', n.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::accounts_approvallimit, asked))
                  - '{id,xid,legal_entity_id}'::text[] = to_jsonb(n) - '{id,xid,legal_entity_id}'::text[])
    ) THEN
        PERFORM accounts.refuse('limit_is_changed_by_two',
            'a limit is changed with the approval of a second person, of exactly this');
    END IF;
    IF EXISTS (SELECT FROM new_rows n
               WHERE n.effective_from < (clock_timestamp() AT TIME ZONE 'UTC')::date) THEN
        PERFORM accounts.refuse('limit_begins_today_or_later', 'a limit does not reach back');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER limit_is_changed_by_two AFTER INSERT ON accounts_approvallimit
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.limit_is_changed();
ALTER TABLE accounts_approvallimit ENABLE ALWAYS TRIGGER limit_is_changed_by_two;

-- Only asking and agreeing count towards a limit, never a statement by hand.
CREATE FUNCTION accounts.limit_use_counts_itself() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM accounts.refuse('limit_use_counts_itself',
            'what counts towards a limit comes from requests and decisions');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER limit_use_counts_itself AFTER INSERT ON accounts_limituse
FOR EACH STATEMENT EXECUTE FUNCTION accounts.limit_use_counts_itself();
ALTER TABLE accounts_limituse ENABLE ALWAYS TRIGGER limit_use_counts_itself;

-- Sets a limit with an approval of `limit.change`; the payload is the row.
CREATE FUNCTION accounts.change_limit(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted accounts_approvallimit;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'limit.change', asked.payload);
    wanted := jsonb_populate_record(NULL::accounts_approvallimit, asked.payload);
    INSERT INTO accounts_approvallimit (legal_entity_id, role, asset, effective_from,
        request_each, request_day, approve_each, approve_day)
    VALUES (asked.legal_entity_id, wanted.role, wanted.asset, wanted.effective_from,
        wanted.request_each, wanted.request_day, wanted.approve_each, wanted.approve_day);
END $$;

-- ---------------------------------------------------------------- agreements

-- Rows of a table that this transaction has added, as the trail says.
CREATE FUNCTION accounts.added_here(target text) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT row_key::bigint FROM accounts_auditrow
    WHERE xid = pg_current_xact_id_if_assigned() AND table_name = target AND operation = 'insert'
$$;

-- New terms are agreed to by two people. The first ones of a legal entity are what it opens with.
CREATE FUNCTION accounts.version_is_agreed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN accounts_agreement g ON g.id = n.agreement_id
        WHERE EXISTS (SELECT FROM accounts_agreementversion v
                      JOIN accounts_agreement o ON o.id = v.agreement_id
                      WHERE o.legal_entity_id = g.legal_entity_id AND v.id NOT IN (
                          SELECT accounts.added_here('accounts_agreementversion')))
          AND NOT EXISTS (
              SELECT FROM accounts.used_here('agreement.version', g.legal_entity_id) asked
              WHERE asked ->> 'agreement' = g.code
                AND to_jsonb(jsonb_populate_record(
                        NULL::accounts_agreementversion, asked -> 'row'))
                        - '{id,agreement_id}'::text[] = to_jsonb(n) - '{id,agreement_id}'::text[])
    ) THEN
        PERFORM accounts.refuse('agreement_is_changed_by_two',
            'new terms need the approval of a second person, of exactly these');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER terms_are_agreed_by_two AFTER INSERT ON accounts_agreementversion
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.version_is_agreed();
ALTER TABLE accounts_agreementversion ENABLE ALWAYS TRIGGER terms_are_agreed_by_two;

CREATE FUNCTION accounts.agreement_is_signed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN accounts_marginaccount m ON m.id = n.account_id
        WHERE EXISTS (SELECT FROM accounts_accountagreement s
                      JOIN accounts_marginaccount o ON o.id = s.account_id
                      WHERE o.legal_entity_id = m.legal_entity_id AND s.id NOT IN (
                          SELECT accounts.added_here('accounts_accountagreement')))
          AND NOT EXISTS (
              SELECT FROM accounts.used_here('agreement.sign', m.legal_entity_id) asked
              WHERE (asked ->> 'account')::bigint = n.account_id
                AND (asked ->> 'agreement')::bigint = n.agreement_id
                AND (asked ->> 'effective_from')::date = n.effective_from
                AND n.effective_to IS NULL)
    ) THEN
        PERFORM accounts.refuse('account_is_signed_by_two',
            'putting an account under an agreement needs the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER terms_are_signed_by_two AFTER INSERT ON accounts_accountagreement
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.agreement_is_signed();
ALTER TABLE accounts_accountagreement ENABLE ALWAYS TRIGGER terms_are_signed_by_two;

CREATE FUNCTION accounts.agreement_is_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN old_rows o ON o.id = n.id
        JOIN accounts_marginaccount m ON m.id = n.account_id
        WHERE n.effective_to IS DISTINCT FROM o.effective_to AND NOT EXISTS (
            SELECT FROM accounts.used_here('agreement.end', m.legal_entity_id) asked
            WHERE (asked ->> 'signed')::bigint = n.id
              AND (asked ->> 'effective_to')::date IS NOT DISTINCT FROM n.effective_to)
    ) THEN
        PERFORM accounts.refuse('agreement_is_ended_by_two',
            'ending the agreement of an account needs the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER terms_are_ended_by_two AFTER UPDATE ON accounts_accountagreement
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION accounts.agreement_is_ended();
ALTER TABLE accounts_accountagreement ENABLE ALWAYS TRIGGER terms_are_ended_by_two;

-- Adds a version with an approval of `agreement.version`: {"agreement": code, "row": {...}}. An
-- agreement of a new name begins with it.
CREATE FUNCTION accounts.add_agreement_version(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted accounts_agreementversion;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'agreement.version', asked.payload);
    wanted := jsonb_populate_record(NULL::accounts_agreementversion, asked.payload -> 'row');
    INSERT INTO accounts_agreement (legal_entity_id, code)
    VALUES (asked.legal_entity_id, asked.payload ->> 'agreement')
    ON CONFLICT ON CONSTRAINT agreement_code_is_unique DO NOTHING;
    SELECT id INTO wanted.agreement_id FROM accounts_agreement
    WHERE legal_entity_id = asked.legal_entity_id AND code = asked.payload ->> 'agreement';
    wanted.id := nextval(pg_get_serial_sequence('accounts_agreementversion', 'id'));
    INSERT INTO accounts_agreementversion SELECT wanted.* RETURNING id INTO added;
    RETURN added;
END $$;

-- Puts an account under an agreement: {"account", "agreement", "effective_from"}.
CREATE FUNCTION accounts.sign_agreement(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'agreement.sign', asked.payload);
    IF NOT EXISTS (SELECT FROM accounts_agreement g
                   WHERE g.id = (asked.payload ->> 'agreement')::bigint
                     AND g.legal_entity_id = asked.legal_entity_id) THEN
        PERFORM accounts.refuse('agreement_is_of_the_firm', 'the agreement is of another legal entity');
    END IF;
    INSERT INTO accounts_accountagreement (account_id, agreement_id, effective_from)
    VALUES ((asked.payload ->> 'account')::bigint, (asked.payload ->> 'agreement')::bigint,
            (asked.payload ->> 'effective_from')::date);
END $$;

-- Ends the agreement of an account: {"signed", "effective_to"}.
CREATE FUNCTION accounts.end_agreement(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'agreement.end', asked.payload);
    UPDATE accounts_accountagreement SET effective_to = (asked.payload ->> 'effective_to')::date
    WHERE id = (asked.payload ->> 'signed')::bigint;
END $$;

-- ---------------------------------------------------------------- what the runtime may do

GRANT INSERT ON accounts_approvalrecord TO bo_runtime;
REVOKE ALL ON FUNCTION accounts.used_here(text, bigint), accounts.record_is_named(),
    accounts.limit_in_force(bigint, text, text, date),
    accounts.limit_spent(bigint, text, text, text, date),
    accounts.count_limit(uuid, bigint, bigint, text[], text, text, numeric),
    accounts.somebody_agrees_to(bigint, bigint, text[], text, numeric),
    accounts.limit_is_changed(), accounts.limit_use_counts_itself(), accounts.change_limit(uuid),
    accounts.added_here(text), accounts.version_is_agreed(), accounts.agreement_is_signed(),
    accounts.agreement_is_ended(), accounts.add_agreement_version(uuid),
    accounts.sign_agreement(uuid), accounts.end_agreement(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.limit_in_force(bigint, text, text, date),
    accounts.limit_spent(bigint, text, text, text, date) TO bo_runtime, bo_auditor;
GRANT EXECUTE ON FUNCTION accounts.change_limit(uuid), accounts.add_agreement_version(uuid),
    accounts.sign_agreement(uuid), accounts.end_agreement(uuid) TO bo_runtime;
