-- The legal entity of a call: that of the account of its scope, which never changes. Lists of calls
-- ask for it first, and looking up the account of ten thousand calls takes longer than the calls.

CREATE FUNCTION margin.legal_entity_of_scope(of_scope bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT a.legal_entity_id
    FROM public.accounts_scope s
    JOIN public.accounts_bucket b ON b.id = s.bucket_id
    JOIN public.accounts_marginaccount a ON a.id = b.account_id
    WHERE s.id = of_scope
$$;
REVOKE ALL ON FUNCTION margin.legal_entity_of_scope(bigint) FROM PUBLIC;

-- Written as the table is written anew: nobody acted on these calls.
ALTER TABLE margin_margincall
    ALTER COLUMN legal_entity_id TYPE bigint USING margin.legal_entity_of_scope(scope_id);
ALTER TABLE margin_margincall ALTER COLUMN legal_entity_id SET NOT NULL;

DROP TRIGGER margin_call_stays_itself ON margin_margincall;
SELECT accounts.keep_columns('margin_margincall', 'margin_call_stays_itself',
    'number,scope_id,legal_entity_id,kind,currency,business_day,issued_at,first_result_id');

CREATE FUNCTION margin.call_of_its_legal_entity() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.legal_entity_id := margin.legal_entity_of_scope(NEW.scope_id);
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION margin.call_of_its_legal_entity() FROM PUBLIC;
CREATE TRIGGER call_is_of_its_legal_entity BEFORE INSERT ON margin_margincall
FOR EACH ROW EXECUTE FUNCTION margin.call_of_its_legal_entity();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER call_is_of_its_legal_entity;
