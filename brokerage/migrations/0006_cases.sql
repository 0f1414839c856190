-- Cases of compliance: what is looked into, and what was written down of it. Both only grow.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'cases') ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass)
FROM unnest(ARRAY['brokerage_case', 'brokerage_casenote']) t;
SELECT accounts.let_words_be_redacted(t::regclass)
FROM unnest(ARRAY['brokerage_case', 'brokerage_casenote']) t;

-- Whether whoever acts here is compliance at the legal entity, for all of its desks.
CREATE FUNCTION brokerage.acts_as_compliance(entity bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM accounts_act a
        JOIN accounts_operator o ON o.id = a.operator_id AND o.is_active
        JOIN accounts_rolegrant g ON g.operator_id = o.id AND g.revoked_xid IS NULL
            AND g.role = 'compliance' AND g.legal_entity_id = entity AND g.desk = ''
        WHERE a.xid = pg_current_xact_id())
$$;

CREATE FUNCTION brokerage.case_is_opened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted n WHERE NOT brokerage.acts_as_compliance(n.legal_entity_id)) THEN
        PERFORM accounts.refuse('case_is_opened_by_compliance', 'compliance alone opens a case');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n
        LEFT JOIN accounts_client c ON c.id = n.client_id
        LEFT JOIN accounts_bucket b ON b.id = n.bucket_id
        LEFT JOIN accounts_marginaccount m ON m.id = coalesce(n.account_id, b.account_id)
        WHERE coalesce(c.legal_entity_id, m.legal_entity_id) <> n.legal_entity_id) THEN
        PERFORM accounts.refuse('case_is_of_its_legal_entity',
            'a case is about a client or an account of its own legal entity');
    END IF;
    IF EXISTS (SELECT FROM inserted n WHERE length(trim(n.reason)) < 10 OR trim(n.subject) = '') THEN
        PERFORM accounts.refuse('case_has_a_reason',
            'a case has a subject, and a reason of at least 10 characters');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER case_is_opened_by_compliance AFTER INSERT ON brokerage_case
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION brokerage.case_is_opened();
ALTER TABLE brokerage_case ENABLE ALWAYS TRIGGER case_is_opened_by_compliance;

CREATE FUNCTION brokerage.case_note_is_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- One after the other, so that nothing is written into a case while it is being closed.
    PERFORM pg_advisory_xact_lock(hashtext('brokerage_case'), n.case_id::integer)
    FROM inserted n ORDER BY n.case_id;
    IF EXISTS (SELECT FROM inserted n JOIN brokerage_case c ON c.id = n.case_id
               WHERE NOT brokerage.acts_as_compliance(c.legal_entity_id)) THEN
        PERFORM accounts.refuse('case_is_written_by_compliance', 'compliance alone writes into a case');
    END IF;
    IF EXISTS (SELECT FROM inserted n WHERE trim(n.text) = '') THEN
        PERFORM accounts.refuse('case_note_says_something', 'a note says something');
    END IF;
    IF EXISTS (SELECT FROM inserted n JOIN brokerage_casenote e
               ON e.case_id = n.case_id AND e.kind = 'closed' AND e.id < n.id) THEN
        PERFORM accounts.refuse('case_is_open', 'the case is closed');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER case_is_written_by_compliance AFTER INSERT ON brokerage_casenote
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION brokerage.case_note_is_written();
ALTER TABLE brokerage_casenote ENABLE ALWAYS TRIGGER case_is_written_by_compliance;

REVOKE ALL ON FUNCTION brokerage.acts_as_compliance(bigint), brokerage.case_is_opened(),
    brokerage.case_note_is_written() FROM PUBLIC;
GRANT INSERT ON brokerage_case, brokerage_casenote TO bo_runtime;
GRANT USAGE ON SEQUENCE brokerage_case_id_seq, brokerage_casenote_id_seq TO bo_runtime;

-- A book that had its words made redactable before this table was there gets it now.
SELECT accounts.let_words_be_redacted('accounts_dutyconflict')
WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'accounts_dutyconflict'::regclass AND tgname = 'only_words_are_redacted');
