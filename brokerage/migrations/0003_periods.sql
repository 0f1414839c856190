-- A day closes with its folder, and a period closes over days that are done.

CREATE SCHEMA brokerage;
GRANT USAGE ON SCHEMA brokerage TO bo_runtime, bo_auditor;

CREATE FUNCTION brokerage.day_close_is_of_a_done_day() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted i LEFT JOIN brokerage_businessday d
            ON d.legal_entity_id = i.legal_entity_id AND d.day = i.day
        WHERE d.closed_at IS NULL) THEN
        PERFORM accounts.refuse('day_close_is_of_a_done_day', 'the day is not done');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER day_close_is_of_a_done_day AFTER INSERT ON ledger_dayclose
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION brokerage.day_close_is_of_a_done_day();
ALTER TABLE ledger_dayclose ENABLE ALWAYS TRIGGER day_close_is_of_a_done_day;

CREATE FUNCTION brokerage.period_closes_over_done_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    unfinished date;
BEGIN
    SELECT d.day INTO unfinished
    FROM inserted i JOIN brokerage_businessday d ON d.legal_entity_id = i.legal_entity_id
        AND d.day <= i.closed_through AND d.closed_at IS NULL
    WHERE i.event = 'closed' ORDER BY d.day LIMIT 1;
    IF unfinished IS NOT NULL THEN
        PERFORM accounts.refuse('period_closes_over_done_days',
            format('the day %s was begun and is not finished', unfinished));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER period_event_3_closes_over_done_days AFTER INSERT ON ledger_periodevent
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION brokerage.period_closes_over_done_days();
ALTER TABLE ledger_periodevent ENABLE ALWAYS TRIGGER period_event_3_closes_over_done_days;

REVOKE ALL ON FUNCTION brokerage.day_close_is_of_a_done_day(),
    brokerage.period_closes_over_done_days() FROM PUBLIC;

-- The days that were closed before horizons were kept with them: what was known then is what had
-- begun before the transaction that closed them.
INSERT INTO accounts_act (actor, channel, request_id, reason)
SELECT 'system:migration', 'migration', '', 'horizons of days that are closed'
WHERE EXISTS (SELECT FROM brokerage_businessday WHERE closed_at IS NOT NULL)
ON CONFLICT (xid) DO NOTHING;
WITH done AS (
    SELECT d.legal_entity_id, d.day, d.closed_at, s.xid,
           row_number() OVER (ORDER BY d.legal_entity_id, d.day) AS place
    FROM brokerage_businessday d
    JOIN brokerage_daystep s ON s.business_day_id = d.id AND s.step = 'result'
    WHERE d.closed_at IS NOT NULL
), stored AS (
    INSERT INTO ledger_horizon (snapshot, purpose, taken_at)
    SELECT format('%s:%s:', done.xid, done.xid)::pg_snapshot, 'day-close', done.closed_at FROM done
    RETURNING id, snapshot
)
INSERT INTO ledger_dayclose (legal_entity_id, day, horizon_id)
SELECT done.legal_entity_id, done.day, stored.id
FROM done JOIN stored ON pg_snapshot_xmin(stored.snapshot) = done.xid;
