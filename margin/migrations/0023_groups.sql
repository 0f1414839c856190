-- As before; a call also ends where its account is margined with a group from now on.
CREATE OR REPLACE FUNCTION margin.call_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('draft', 'issued') THEN
            PERFORM accounts.refuse('margin_call_transition_is_legal', 'a call begins as draft or issued');
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT margin.call_may_go(OLD.state, NEW.state) THEN
            PERFORM accounts.refuse('margin_call_transition_is_legal',
                format('a call does not go from %s to %s', OLD.state, NEW.state));
        END IF;
        IF NEW.state = 'cancelled' THEN
            IF NEW.kind = 'initial' AND NEW.end_reason = 'price_recovered' THEN
                PERFORM accounts.refuse('initial_call_outlives_recovery',
                    'a price that comes back does not cancel an initial call');
            END IF;
            IF NEW.end_reason <> ALL (CASE OLD.state WHEN 'draft' THEN ARRAY['withdrawn']
                                      ELSE ARRAY['price_recovered', 'restated', 'waived', 'joined_group']
                                      END) THEN
                PERFORM accounts.refuse('call_is_cancelled_for_a_known_reason',
                    format('a call that is %s is not cancelled because it is %s',
                           OLD.state, NEW.end_reason));
            END IF;
        END IF;
        IF NEW.state = 'extended' OR NEW.state = 'cancelled' AND NEW.end_reason = 'waived' THEN
            IF NOT EXISTS (SELECT FROM margin_callrelief r
                           WHERE r.call_id = NEW.id AND r.xid = pg_current_xact_id()
                             AND r.kind = CASE NEW.state WHEN 'extended' THEN 'extend' ELSE 'waive' END
                             AND (r.until IS NULL OR r.until = NEW.due_at)) THEN
                PERFORM accounts.refuse('call_relief_is_given_by_two',
                    'more time, and a call that is let go, take two people');
            END IF;
        END IF;
    END IF;
    IF NEW.due_at <> OLD.due_at
       AND NOT (NEW.state = 'extended' AND OLD.state <> 'extended'
                OR NEW.state = 'issued' AND OLD.state = 'draft') THEN
        PERFORM accounts.refuse('due_time_moves_by_extension',
            'a call keeps its due time until two people give it more');
    END IF;
    RETURN NEW;
END $$;
