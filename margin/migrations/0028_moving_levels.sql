-- What a run added to the levels of an agreement is what the terms of calls allow, and results name it.

SELECT accounts.make_append_only('margin_movedlevels');

-- The terms are those of the agreement and in force. The session adds all or nothing, and volatility
-- goes no further in a day than its step, nor above its cap but on its way down.
CREATE FUNCTION margin.levels_move_as_terms_say() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        JOIN margin_marginrun r ON r.id = n.run_id
        JOIN accounts_agreementversion v ON v.id = n.agreement_version_id
        JOIN margin_callterms t ON t.id = n.call_terms_id
        CROSS JOIN LATERAL (SELECT
            coalesce((t.values ->> 'session_addition')::numeric, 0) AS session,
            coalesce((t.values ->> 'volatility_cap')::numeric, 0) AS cap,
            coalesce((t.values ->> 'volatility_step')::numeric, 0) AS step) said
        WHERE t.agreement_id <> v.agreement_id OR t.effective_from > r.business_day
           OR n.session NOT IN (0, said.session)
           OR abs(n.volatility - n.volatility_before) > said.step
           OR n.volatility > greatest(said.cap, n.volatility_before)) THEN
        PERFORM accounts.refuse('levels_move_as_terms_say',
            'levels move by the additions of the terms of calls in force, a step a day');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER levels_move_as_terms_say AFTER INSERT ON margin_movedlevels
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.levels_move_as_terms_say();
ALTER TABLE margin_movedlevels ENABLE ALWAYS TRIGGER levels_move_as_terms_say;

-- As before; and a result names what its run added to the levels of its terms, or nothing.
CREATE OR REPLACE FUNCTION margin.results_name_what_is_there() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_missing boolean;
    has_other_levels boolean;
BEGIN
    -- Planned for this statement, which adds one row or a million; a plan that is kept would be
    -- that of the first. In order, so that scopes are merged with those there are: a run adds its
    -- results in that order, and a hash of all scopes takes longer to make than they take to read.
    EXECUTE 'SELECT EXISTS (SELECT FROM (SELECT scope_id FROM inserted ORDER BY scope_id) n'
            ' WHERE NOT EXISTS (SELECT FROM accounts_scope s WHERE s.id = n.scope_id))'
        INTO is_missing;
    IF NOT is_missing THEN
        SELECT coalesce(bool_or(r.id IS NULL OR v.id IS NULL
                   OR (n.parameter_set_id IS NOT NULL AND p.id IS NULL)), false),
               coalesce(bool_or(n.moved_id IS DISTINCT FROM m.id), false)
        INTO is_missing, has_other_levels
        FROM (SELECT DISTINCT run_id, agreement_version_id, parameter_set_id, moved_id
              FROM inserted) n
        LEFT JOIN margin_marginrun r ON r.id = n.run_id
        LEFT JOIN accounts_agreementversion v ON v.id = n.agreement_version_id
        LEFT JOIN margin_parameterset p ON p.id = n.parameter_set_id
        LEFT JOIN margin_movedlevels m
            ON m.run_id = n.run_id AND m.agreement_version_id = n.agreement_version_id;
    END IF;
    IF is_missing THEN
        PERFORM accounts.refuse('results_name_what_is_there',
            'a result names a run, a scope, terms or parameters that are not there');
    END IF;
    IF has_other_levels THEN
        PERFORM accounts.refuse('result_has_the_levels_of_its_run',
            'a result is by the levels that its run used for its terms');
    END IF;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION margin.levels_move_as_terms_say() FROM PUBLIC;
GRANT INSERT ON margin_movedlevels TO bo_runtime;
GRANT USAGE ON SEQUENCE margin_movedlevels_id_seq TO bo_runtime;
