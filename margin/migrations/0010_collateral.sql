-- A version of a haircut may have tiers; two people agree to both at once.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'tiers of haircuts')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only('margin_haircutschedule');

-- Whether stored tiers can be computed with: they begin at 0 with the haircut of the version and
-- rise, and every share is one. What else the program reads, it checks before anybody is asked.
CREATE FUNCTION margin.tiers_are_sound(schedule jsonb, first numeric) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
    SELECT jsonb_typeof(schedule -> 'tiers') = 'array'
       AND jsonb_array_length(schedule -> 'tiers') BETWEEN 1 AND 20
       AND (schedule #>> '{tiers,0,floor}')::numeric = 0
       AND (schedule #>> '{tiers,0,haircut}')::numeric = first
       AND NOT EXISTS (
            SELECT FROM (
                SELECT (t ->> 'floor')::numeric AS floor, (t ->> 'haircut')::numeric AS haircut,
                       lag((t ->> 'floor')::numeric) OVER w AS floor_before,
                       lag((t ->> 'haircut')::numeric) OVER w AS haircut_before
                FROM jsonb_array_elements(schedule -> 'tiers') WITH ORDINALITY AS e(t, nth)
                WINDOW w AS (ORDER BY nth)) tier
            WHERE floor IS NULL OR haircut IS NULL OR haircut < 0 OR haircut > 1
               OR floor <= floor_before OR haircut < haircut_before)
       AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(schedule -> 'peg') p
            WHERE (p ->> 'below')::numeric IS NULL OR (p ->> 'multiplier')::numeric < 1
               OR (p ->> 'least')::numeric NOT BETWEEN 0 AND 1)
       AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(schedule -> 'concentration') c
            WHERE (c ->> 'share')::numeric <= 0 OR (c ->> 'share')::numeric >= 1
               OR (c ->> 'addition')::numeric NOT BETWEEN 0 AND 1)
$$;

CREATE FUNCTION margin.tiers_are_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_haircut h ON h.id = n.haircut_id
        WHERE h.xid <> pg_current_xact_id() OR NOT EXISTS (
            SELECT FROM margin.used_here('parameter.haircut') asked
            WHERE asked -> 'schedule' = n.values
              AND (asked -> 'row' ->> 'asset_id')::bigint = h.asset_id
              AND (asked -> 'row' ->> 'version')::integer = h.version)) THEN
        PERFORM accounts.refuse('haircut_is_set_by_two',
            'tiers come with their haircut and the approval of a second person, of exactly these');
    END IF;
    IF EXISTS (SELECT FROM inserted n JOIN margin_haircut h ON h.id = n.haircut_id
               WHERE margin.tiers_are_sound(n.values, h.haircut) IS NOT TRUE) THEN
        PERFORM accounts.refuse('tiers_rise_from_their_haircut',
            'tiers begin at 0 with the haircut of their version and rise; shares lie within 0 and 1');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tiers_are_set_by_two AFTER INSERT ON margin_haircutschedule
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.tiers_are_set();
ALTER TABLE margin_haircutschedule ENABLE ALWAYS TRIGGER tiers_are_set_by_two;

-- At commit a haircut that was approved with tiers has them.
CREATE FUNCTION margin.tiers_are_as_approved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM margin.used_here('parameter.haircut') asked
        WHERE (asked -> 'row' ->> 'asset_id')::bigint = NEW.asset_id
          AND (asked -> 'row' ->> 'version')::integer = NEW.version
          AND asked ? 'schedule'
          AND NOT EXISTS (SELECT FROM margin_haircutschedule WHERE haircut_id = NEW.id)) THEN
        PERFORM accounts.refuse('haircut_is_set_by_two',
            'a haircut that was approved with tiers has them');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tiers_are_as_approved AFTER INSERT ON margin_haircut
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION margin.tiers_are_as_approved();
ALTER TABLE margin_haircut ENABLE ALWAYS TRIGGER tiers_are_as_approved;

-- Sets a haircut with an approval of `parameter.haircut`: {"row": {...}}, with tiers "schedule".
CREATE OR REPLACE FUNCTION margin.set_haircut(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'parameter.haircut', asked.payload);
    INSERT INTO margin_haircut (asset_id, version, effective_from, haircut)
    SELECT w.asset_id, w.version, w.effective_from, w.haircut
    FROM jsonb_populate_record(NULL::margin_haircut, asked.payload -> 'row') w
    RETURNING id INTO added;
    IF asked.payload ? 'schedule' THEN
        INSERT INTO margin_haircutschedule (haircut_id, values)
        VALUES (added, asked.payload -> 'schedule');
    END IF;
END $$;

REVOKE ALL ON FUNCTION margin.tiers_are_sound(jsonb, numeric), margin.tiers_are_set(),
    margin.tiers_are_as_approved() FROM PUBLIC;
