-- Table classes of margin, and the transitions of a call as data.

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'margin_haircut', 'margin_instrumentterms', 'margin_bracket', 'margin_price', 'margin_mark',
    'margin_marginrun', 'margin_marginresult', 'margin_resultcomponent', 'margin_runexception',
    'margin_callevent', 'margin_taskevent']) t;
SELECT accounts.watch(t::regclass, 'id') FROM unnest(ARRAY['margin_margincall', 'margin_task']) t;
SELECT accounts.keep_rows(t::regclass) FROM unnest(ARRAY['margin_margincall', 'margin_task']) t;
SELECT accounts.keep_columns('margin_margincall', 'margin_call_stays_itself',
    'number,scope_id,kind,currency,business_day,issued_at,first_result_id');

-- Price zero or below is kept as it came; the composition drops it.
CREATE SCHEMA margin;
GRANT USAGE ON SCHEMA margin TO bo_runtime, bo_auditor;

CREATE FUNCTION margin.call_may_go(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT before = after OR (before, after) IN (
        ('draft', 'issued'), ('draft', 'cancelled'),
        ('issued', 'delivered'), ('issued', 'undelivered'),
        ('undelivered', 'delivered'), ('undelivered', 'escalated'),
        ('delivered', 'acknowledged'),
        ('issued', 'partially_met'), ('issued', 'met'), ('issued', 'cancelled'),
        ('delivered', 'partially_met'), ('delivered', 'met'), ('delivered', 'cancelled'),
        ('acknowledged', 'partially_met'), ('acknowledged', 'met'), ('acknowledged', 'cancelled'),
        ('disputed', 'partially_met'), ('disputed', 'met'), ('disputed', 'cancelled'),
        ('agreed', 'partially_met'), ('agreed', 'met'), ('agreed', 'cancelled'),
        ('extended', 'partially_met'), ('extended', 'met'), ('extended', 'cancelled'),
        ('expired', 'partially_met'), ('expired', 'met'), ('expired', 'cancelled'),
        ('escalated', 'partially_met'), ('escalated', 'met'), ('escalated', 'cancelled'),
        ('delivered', 'disputed'), ('delivered', 'extended'), ('delivered', 'expired'),
        ('acknowledged', 'disputed'), ('acknowledged', 'extended'), ('acknowledged', 'expired'),
        ('partially_met', 'disputed'), ('partially_met', 'extended'), ('partially_met', 'expired'),
        ('partially_met', 'met'), ('partially_met', 'cancelled'),
        ('disputed', 'agreed'), ('agreed', 'extended'), ('agreed', 'expired'),
        ('extended', 'expired'), ('expired', 'escalated'), ('escalated', 'liquidating'),
        ('liquidating', 'met'), ('liquidating', 'closed'))
$$;

CREATE FUNCTION margin.call_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('draft', 'issued') THEN
            PERFORM accounts.refuse('margin_call_transition_is_legal', 'a call begins as draft or issued');
        END IF;
    ELSIF NOT margin.call_may_go(OLD.state, NEW.state) THEN
        PERFORM accounts.refuse('margin_call_transition_is_legal',
            format('a call does not go from %s to %s', OLD.state, NEW.state));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_call_transition_is_legal BEFORE INSERT OR UPDATE ON margin_margincall
FOR EACH ROW EXECUTE FUNCTION margin.call_guard();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER margin_call_transition_is_legal;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA margin FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.call_may_go(text, text) TO bo_runtime, bo_auditor;
GRANT INSERT ON margin_haircut, margin_instrumentterms, margin_bracket, margin_price, margin_mark,
    margin_marginrun, margin_marginresult, margin_resultcomponent, margin_runexception,
    margin_callevent, margin_taskevent, margin_margincall, margin_task TO bo_runtime;
GRANT UPDATE (state, amount, due_at, last_result_id, owner_id, acknowledged_at, acknowledged_by_id,
    ended_at, end_reason) ON margin_margincall TO bo_runtime;
GRANT UPDATE (subject, detail, owner_id, due_at, closed_at, close_reason) ON margin_task TO bo_runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bo_runtime;
REVOKE ALL ON SEQUENCE ledger_entry_id, accounts_approval_number FROM bo_runtime;
