-- What results name, looked at in less time: many scopes side by side in their order, few one by one.


CREATE OR REPLACE FUNCTION margin.results_name_what_is_there() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_missing boolean;
BEGIN
    -- Planned for this statement, which adds one row or a million; a plan that is kept would be
    -- that of the first. In order, so that scopes are merged with those there are: a run adds its
    -- results in that order, and a hash of all scopes takes longer to make than they take to read.
    EXECUTE 'SELECT EXISTS (SELECT FROM (SELECT scope_id FROM inserted ORDER BY scope_id) n'
            ' WHERE NOT EXISTS (SELECT FROM accounts_scope s WHERE s.id = n.scope_id))'
        INTO is_missing;
    IF is_missing OR EXISTS (
        SELECT FROM (SELECT DISTINCT run_id, agreement_version_id, parameter_set_id
                     FROM inserted) n
        LEFT JOIN margin_marginrun r ON r.id = n.run_id
        LEFT JOIN accounts_agreementversion v ON v.id = n.agreement_version_id
        LEFT JOIN margin_parameterset p ON p.id = n.parameter_set_id
        WHERE r.id IS NULL OR v.id IS NULL
           OR (n.parameter_set_id IS NOT NULL AND p.id IS NULL)) THEN
        PERFORM accounts.refuse('results_name_what_is_there',
            'a result names a run, a scope, terms or parameters that are not there');
    END IF;
    RETURN NULL;
END $$;
