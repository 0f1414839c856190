-- Groups that are margined as one: opened and changed by two people, of one owner class, of one
-- client unless a guarantee is on record; members are known since the transaction that wrote them.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'groups that are margined')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('group.make', 'Open a margin group', '{operations,risk}', '{risk,compliance}', '5 days'),
    ('group.member', 'Change the members of a margin group', '{operations,risk}',
     '{risk,compliance}', '5 days');

ALTER TABLE accounts_groupmember ADD COLUMN xid xid8 NOT NULL DEFAULT '3';
ALTER TABLE accounts_groupmember ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
SELECT accounts.keep_columns('accounts_groupmember', 'member_is_known_since', 'xid');
SELECT accounts.keep_columns('accounts_accountgroup', 'group_keeps_its_guarantee',
    'account_id,guarantee_reference,guarantee_dated_on,guarantee_sha256');

-- A margined group and its account come from one agreement of two people.
CREATE FUNCTION accounts.group_is_made() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n
        WHERE n.account_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM accounts.used_here('group.make', n.legal_entity_id) asked
            JOIN accounts_marginaccount a ON a.id = n.account_id
            WHERE asked ->> 'code' = n.code AND a.code = n.code
              AND a.legal_entity_id = n.legal_entity_id AND a.owner_class = n.owner_class
              AND a.client_id IS NOT DISTINCT FROM n.client_id
              AND asked ->> 'owner_class' = n.owner_class
              AND (asked ->> 'client')::bigint IS NOT DISTINCT FROM n.client_id
              AND asked ->> 'guarantee_reference' = n.guarantee_reference
              AND (asked ->> 'guarantee_dated_on')::date IS NOT DISTINCT FROM n.guarantee_dated_on
              AND asked ->> 'guarantee_sha256' = n.guarantee_sha256)
    ) THEN
        PERFORM accounts.refuse('group_is_made_by_two',
            'a margin group needs the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER group_is_made_by_two AFTER INSERT ON accounts_accountgroup
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.group_is_made();
ALTER TABLE accounts_accountgroup ENABLE ALWAYS TRIGGER group_is_made_by_two;

-- As before, and what holds of members of a margined group beyond that.
CREATE OR REPLACE FUNCTION accounts.group_shares_its_owner() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    linked public.accounts_accountgroup;
    member public.accounts_marginaccount;
BEGIN
    SELECT * INTO linked FROM public.accounts_accountgroup WHERE id = NEW.group_id;
    -- Whoever else changes where this account belongs waits here.
    SELECT * INTO member FROM public.accounts_marginaccount WHERE id = NEW.account_id
    FOR NO KEY UPDATE;
    IF linked.owner_class <> member.owner_class
       OR linked.legal_entity_id <> member.legal_entity_id
       OR linked.account_id IS NULL AND linked.client_id IS DISTINCT FROM member.client_id THEN
        PERFORM accounts.refuse('group_shares_one_owner', 'the account belongs to another owner');
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.xid := pg_current_xact_id();  -- known from here on, whoever writes it
    END IF;
    IF linked.account_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF linked.client_id IS DISTINCT FROM member.client_id
       AND (linked.guarantee_reference = ''
            OR linked.guarantee_dated_on IS NULL OR linked.guarantee_dated_on > NEW.joined_on) THEN
        PERFORM accounts.refuse('clients_are_linked_by_a_guarantee',
            'accounts of two clients are linked by a guarantee of that day or before, and by'
            ' nothing else');
    END IF;
    IF member.mode = 'cash' THEN
        PERFORM accounts.refuse('cash_account_is_in_no_margin_group',
            'nothing is required of a cash account, so it has no part in a requirement');
    END IF;
    IF EXISTS (SELECT FROM public.accounts_accountgroup g WHERE g.account_id = NEW.account_id) THEN
        PERFORM accounts.refuse('group_is_no_member', 'a group is no member of a group');
    END IF;
    IF TG_OP = 'UPDATE' AND ((NEW.group_id, NEW.account_id, NEW.joined_on)
           IS DISTINCT FROM (OLD.group_id, OLD.account_id, OLD.joined_on)
           OR OLD.left_on IS NOT NULL AND NEW.left_on IS DISTINCT FROM OLD.left_on) THEN
        PERFORM accounts.refuse('member_stays_as_joined',
            'of a membership only its end is set, once');
    END IF;
    IF EXISTS (
        SELECT FROM public.accounts_groupmember m
        WHERE m.account_id = NEW.account_id AND m.id IS DISTINCT FROM NEW.id
          AND daterange(m.joined_on, m.left_on) && daterange(NEW.joined_on, NEW.left_on)
    ) THEN
        PERFORM accounts.refuse('account_is_margined_once',
            'the account is in a group on some of these days already');
    END IF;
    IF TG_OP = 'INSERT' AND NOT EXISTS (
        SELECT FROM public.accounts_accountagreement s
        JOIN public.accounts_agreementversion v ON v.agreement_id = s.agreement_id
        WHERE s.account_id = linked.account_id AND s.effective_from <= NEW.joined_on
          AND (s.effective_to IS NULL OR s.effective_to > NEW.joined_on)
          AND v.effective_from <= NEW.joined_on
    ) THEN
        PERFORM accounts.refuse('group_has_terms', 'the group has no agreement in force on that day');
    END IF;
    RETURN NEW;
END $$;

-- Who is in a margined group, and until when, is agreed to by two people.
CREATE FUNCTION accounts.group_is_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN accounts_accountgroup g ON g.id = n.group_id
        WHERE g.account_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM accounts.used_here('group.member', g.legal_entity_id) asked
            WHERE (asked ->> 'group')::bigint = g.id
              AND (TG_OP = 'INSERT' AND asked -> 'join' @> to_jsonb(n.account_id)
                       AND (asked ->> 'day')::date = n.joined_on AND n.left_on IS NULL
                   OR TG_OP = 'UPDATE' AND asked -> 'leave' @> to_jsonb(n.account_id)
                       AND (asked ->> 'day')::date = n.left_on))
    ) THEN
        PERFORM accounts.refuse('group_is_changed_by_two',
            'who is in a margin group needs the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER group_is_changed_by_two AFTER INSERT ON accounts_groupmember
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.group_is_changed();
CREATE TRIGGER group_is_left_by_two AFTER UPDATE ON accounts_groupmember
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION accounts.group_is_changed();
ALTER TABLE accounts_groupmember ENABLE ALWAYS TRIGGER group_is_changed_by_two;
ALTER TABLE accounts_groupmember ENABLE ALWAYS TRIGGER group_is_left_by_two;

-- As before; an account that is opened with its group is signed with it.
CREATE OR REPLACE FUNCTION accounts.agreement_is_signed() RETURNS trigger
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
          AND NOT EXISTS (
              SELECT FROM accounts.used_here('group.make', m.legal_entity_id) asked
              JOIN accounts_accountgroup g ON g.account_id = n.account_id
              WHERE asked ->> 'code' = g.code
                AND (asked ->> 'agreement')::bigint = n.agreement_id
                AND (asked ->> 'effective_from')::date = n.effective_from
                AND n.effective_to IS NULL)
    ) THEN
        PERFORM accounts.refuse('account_is_signed_by_two',
            'putting an account under an agreement needs the approval of a second person');
    END IF;
    IF EXISTS (SELECT FROM new_rows n WHERE n.xid <> pg_current_xact_id()) THEN
        PERFORM accounts.refuse('account_agreement_is_known_since',
            'a signature is known from the transaction that writes it');
    END IF;
    RETURN NULL;
END $$;

-- An agreement under which a group has members does not end: nobody would margin them.
CREATE FUNCTION accounts.group_keeps_its_terms() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN accounts_accountgroup g ON g.account_id = n.account_id
        JOIN accounts_groupmember m ON m.group_id = g.id
        WHERE n.effective_to IS NOT NULL
          AND (m.left_on IS NULL OR m.left_on > n.effective_to)
          AND NOT EXISTS (SELECT FROM accounts_accountagreement s
                          WHERE s.account_id = n.account_id AND s.id <> n.id
                            AND s.effective_from > n.effective_from
                            AND s.effective_from <= n.effective_to AND s.effective_to IS NULL)
    ) THEN
        PERFORM accounts.refuse('group_keeps_its_terms',
            'the group has members then, and they would be under no terms');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER group_keeps_its_terms AFTER UPDATE ON accounts_accountagreement
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
EXECUTE FUNCTION accounts.group_keeps_its_terms();
ALTER TABLE accounts_accountagreement ENABLE ALWAYS TRIGGER group_keeps_its_terms;

-- Opens a margined group with an approval of `group.make`; the account that it is margined as, its
-- one bucket and scope, and the agreement come with it.
CREATE FUNCTION accounts.make_group(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    opened bigint;
    bucket bigint;
    made bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'group.make', asked.payload);
    IF NOT EXISTS (SELECT FROM accounts_agreement g
                   WHERE g.id = (asked.payload ->> 'agreement')::bigint
                     AND g.legal_entity_id = asked.legal_entity_id) THEN
        PERFORM accounts.refuse('agreement_is_of_the_firm', 'the agreement is of another legal entity');
    END IF;
    INSERT INTO accounts_marginaccount (legal_entity_id, code, owner_class, client_id, mode, desk,
                                        opened_on)
    VALUES (asked.legal_entity_id, asked.payload ->> 'code', asked.payload ->> 'owner_class',
            (asked.payload ->> 'client')::bigint, 'cross', asked.payload ->> 'desk',
            (asked.payload ->> 'effective_from')::date)
    RETURNING id INTO opened;
    INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)
    VALUES (opened, 'GROUP', 'FREE', '', true) RETURNING id INTO bucket;
    INSERT INTO accounts_scope (bucket_id) VALUES (bucket);
    INSERT INTO accounts_accountgroup (legal_entity_id, code, owner_class, client_id,
                                       guarantee_reference, guarantee_dated_on, guarantee_sha256,
                                       account_id)
    VALUES (asked.legal_entity_id, asked.payload ->> 'code', asked.payload ->> 'owner_class',
            (asked.payload ->> 'client')::bigint, asked.payload ->> 'guarantee_reference',
            (asked.payload ->> 'guarantee_dated_on')::date, asked.payload ->> 'guarantee_sha256',
            opened)
    RETURNING id INTO made;
    INSERT INTO accounts_accountagreement (account_id, agreement_id, effective_from)
    VALUES (opened, (asked.payload ->> 'agreement')::bigint,
            (asked.payload ->> 'effective_from')::date);
    RETURN made;
END $$;

-- Lets accounts join and leave with an approval of `group.member`: {"group", "join", "leave",
-- "day"}; who leaves is no member from that day on.
CREATE FUNCTION accounts.change_group(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    found_count bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'group.member', asked.payload);
    IF NOT EXISTS (SELECT FROM accounts_accountgroup g
                   WHERE g.id = (asked.payload ->> 'group')::bigint AND g.account_id IS NOT NULL
                     AND g.legal_entity_id = asked.legal_entity_id) THEN
        PERFORM accounts.refuse('group_is_of_the_firm', 'there is no such margin group');
    END IF;
    UPDATE accounts_groupmember m SET left_on = (asked.payload ->> 'day')::date
    FROM jsonb_array_elements_text(asked.payload -> 'leave') leaves (account)
    WHERE m.group_id = (asked.payload ->> 'group')::bigint
      AND m.account_id = leaves.account::bigint AND m.left_on IS NULL;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    IF found_count <> jsonb_array_length(asked.payload -> 'leave') THEN
        PERFORM accounts.refuse('member_is_in_the_group', 'who leaves is a member');
    END IF;
    INSERT INTO accounts_groupmember (group_id, account_id, joined_on)
    SELECT (asked.payload ->> 'group')::bigint, joins.account::bigint,
           (asked.payload ->> 'day')::date
    FROM jsonb_array_elements_text(asked.payload -> 'join') joins (account);
END $$;

REVOKE ALL ON FUNCTION accounts.group_is_made(), accounts.group_is_changed(),
    accounts.group_keeps_its_terms(), accounts.make_group(uuid), accounts.change_group(uuid)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.make_group(uuid), accounts.change_group(uuid) TO bo_runtime;
