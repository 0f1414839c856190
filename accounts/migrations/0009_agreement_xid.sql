-- Terms and signatures carry the transaction that wrote them, so that a run reads those that its
-- horizon knew. Rows from before count as known for ever.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'since when agreements are known')
ON CONFLICT (xid) DO NOTHING;

ALTER TABLE accounts_agreementversion ADD COLUMN xid xid8 NOT NULL DEFAULT '3';
ALTER TABLE accounts_agreementversion ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
ALTER TABLE accounts_accountagreement ADD COLUMN xid xid8 NOT NULL DEFAULT '3';
ALTER TABLE accounts_accountagreement ALTER COLUMN xid SET DEFAULT pg_current_xact_id();

SELECT accounts.keep_columns('accounts_agreementversion', 'agreement_version_is_known_since', 'xid');
SELECT accounts.keep_columns('accounts_accountagreement', 'account_agreement_is_known_since', 'xid');

-- As before; when it became known is no part of what was agreed to.
CREATE OR REPLACE FUNCTION accounts.version_is_agreed() RETURNS trigger
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
                        - '{id,agreement_id,xid}'::text[]
                    = to_jsonb(n) - '{id,agreement_id,xid}'::text[])
    ) THEN
        PERFORM accounts.refuse('agreement_is_changed_by_two',
            'new terms need the approval of a second person, of exactly these');
    END IF;
    IF EXISTS (SELECT FROM new_rows n WHERE n.xid <> pg_current_xact_id()) THEN
        PERFORM accounts.refuse('agreement_version_is_known_since',
            'terms are known from the transaction that writes them');
    END IF;
    RETURN NULL;
END $$;

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

CREATE OR REPLACE FUNCTION accounts.add_agreement_version(approval uuid) RETURNS bigint
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
    wanted.xid := pg_current_xact_id();
    INSERT INTO accounts_agreementversion SELECT wanted.* RETURNING id INTO added;
    RETURN added;
END $$;
