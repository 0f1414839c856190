-- What follows where something proved wrong after the run: a mark that two people correct, and a
-- call of which they decide whether it stays.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'restatements of runs')
ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass)
FROM unnest(ARRAY['margin_calldecision', 'margin_callnotice']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('price.correct', 'Correct a mark', '{operations,risk}', '{risk,compliance}', '2 days'),
    ('call.amend', 'Amend a margin call', '{operations,risk}', '{risk,compliance}', '1 day'),
    ('call.cancel', 'Cancel a margin call', '{operations,risk}', '{risk,compliance}', '1 day');

-- ---------------------------------------------------------------- marks

-- A mark that corrects another is the next one of the same asset and instant, rests on no price
-- row, and is what two people agreed to.
CREATE FUNCTION margin.mark_is_corrected() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n LEFT JOIN margin_mark c ON c.id = n.corrects_id
        WHERE (n.revision > 0) <> (n.corrects_id IS NOT NULL)
           OR n.revision > 0 AND (
               (c.asset_id, c.as_of, c.business_day, c.revision + 1)
                   IS DISTINCT FROM (n.asset_id, n.as_of, n.business_day, n.revision::integer)
               OR n.state <> 'VALID' OR n.used <> '[]' OR n.dropped <> '[]'
               OR n.carried_from_id IS NOT NULL OR n.price <= 0 OR n.price = c.price)) THEN
        PERFORM accounts.refuse('corrected_mark_follows_its_mark',
            'a corrected mark is the next one of the same asset and instant, at another price');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n WHERE n.revision > 0 AND NOT EXISTS (
            SELECT FROM margin.used_here('price.correct') asked
            WHERE (asked -> 'row' ->> 'corrects_id')::bigint = n.corrects_id
              AND (asked -> 'row' ->> 'price')::numeric = n.price
              AND asked -> 'row' ->> 'note' = n.note)) THEN
        PERFORM accounts.refuse('mark_is_corrected_by_two',
            'a mark is corrected with the approval of a second person, of exactly this');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_is_corrected_by_two AFTER INSERT ON margin_mark
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.mark_is_corrected();
ALTER TABLE margin_mark ENABLE ALWAYS TRIGGER mark_is_corrected_by_two;

-- Spends an approval of `price.correct`: {"row": {"corrects_id", "price", "note"}}.
CREATE FUNCTION margin.correct_mark(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'price.correct', asked.payload);
    IF EXISTS (SELECT FROM margin_mark
               WHERE corrects_id = (asked.payload -> 'row' ->> 'corrects_id')::bigint) THEN
        PERFORM accounts.refuse('mark_is_corrected_once',
            'the mark was corrected already; its correction is corrected in its turn');
    END IF;
    INSERT INTO margin_mark (asset_id, as_of, business_day, price, state, used, dropped,
                             revision, corrects_id, note)
    SELECT c.asset_id, c.as_of, c.business_day, (asked.payload -> 'row' ->> 'price')::numeric,
           'VALID', '[]', '[]', c.revision + 1, c.id, asked.payload -> 'row' ->> 'note'
    FROM margin_mark c WHERE c.id = (asked.payload -> 'row' ->> 'corrects_id')::bigint;
END $$;

-- ---------------------------------------------------------------- calls

-- A decision rests on a run that restates another. Changing what is owed takes two people, of the
-- legal entity whose account it is; keeping a call takes a person.
CREATE FUNCTION margin.call_is_decided() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_marginrun r ON r.id = n.run_id
        JOIN margin_margincall c ON c.id = n.call_id
        WHERE r.restates_id IS NULL OR NOT CASE n.verdict
            WHEN 'keep' THEN n.amount_after = n.amount_before
            WHEN 'amend' THEN n.amount_after > 0 AND n.amount_after <> n.amount_before
            WHEN 'cancel' THEN n.amount_after = 0 ELSE false END
           OR n.amount_before <> c.amount) THEN
        PERFORM accounts.refuse('decision_follows_from_a_restated_run',
            'a call is decided on because a run was restated, from the amount that it has');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n JOIN margin_margincall c ON c.id = n.call_id
        JOIN accounts_scope s ON s.id = c.scope_id
        JOIN accounts_bucket b ON b.id = s.bucket_id
        JOIN accounts_marginaccount m ON m.id = b.account_id
        WHERE n.verdict <> 'keep' AND NOT EXISTS (
            SELECT FROM accounts.used_here('call.' || n.verdict, m.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::margin_calldecision, asked -> 'row'))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('call_is_changed_by_two',
            'what a call asks for changes with the approval of a second person, of exactly this');
    END IF;
    PERFORM accounts.acting_operator();
    RETURN NULL;
END $$;
CREATE TRIGGER call_is_changed_by_two AFTER INSERT ON margin_calldecision
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.call_is_decided();
ALTER TABLE margin_calldecision ENABLE ALWAYS TRIGGER call_is_changed_by_two;

-- A call that ends because a run was restated has its decision in the same transaction.
CREATE FUNCTION margin.call_ends_as_decided() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE n.end_reason = 'restated' AND o.end_reason <> 'restated' AND NOT EXISTS (
            SELECT FROM margin_calldecision d WHERE d.call_id = n.id AND d.verdict = 'cancel'
                AND d.xid = pg_current_xact_id())) THEN
        PERFORM accounts.refuse('call_ends_as_decided',
            'a call that a restated run would not have made ends by decision of two people');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER call_ends_as_decided AFTER UPDATE ON margin_margincall
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION margin.call_ends_as_decided();
ALTER TABLE margin_margincall ENABLE ALWAYS TRIGGER call_ends_as_decided;

-- A step that says so has its decision too.
CREATE FUNCTION margin.call_step_is_decided() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE n.event IN ('amended', 'withdrawn') AND NOT EXISTS (
            SELECT FROM margin_calldecision d
            WHERE d.call_id = n.call_id AND d.run_id = n.run_id AND d.xid = n.xid
              AND d.verdict = CASE n.event WHEN 'amended' THEN 'amend' ELSE 'cancel' END
              AND d.amount_before = n.amount_before AND d.amount_after = n.amount_after)) THEN
        PERFORM accounts.refuse('call_step_has_its_decision',
            'a call is amended or withdrawn as two people decided');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER call_step_has_its_decision AFTER INSERT ON margin_callevent
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION margin.call_step_is_decided();
ALTER TABLE margin_callevent ENABLE ALWAYS TRIGGER call_step_has_its_decision;

-- Spends an approval of `call.amend` or `call.cancel`: {"row": {...}}; returns the decision.
CREATE FUNCTION margin.decide_call(approval uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted margin_calldecision;
    added bigint;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    wanted := jsonb_populate_record(NULL::margin_calldecision, asked.payload -> 'row');
    PERFORM accounts.use_approval(approval, 'call.' || wanted.verdict, asked.payload);
    INSERT INTO margin_calldecision (run_id, call_id, verdict, amount_before, amount_after, reason)
    VALUES (wanted.run_id, wanted.call_id, wanted.verdict, wanted.amount_before,
            wanted.amount_after, wanted.reason)
    RETURNING id INTO added;
    RETURN added;
END $$;

-- ---------------------------------------------------------------- balances of a restated run

-- As `balances_at`, for an instant that later movements have passed: the average cost is that of
-- the newest posting that had taken effect. `is_mixed` says that later ones came before it, so that
-- the average counts what had not happened yet.
CREATE FUNCTION margin.balances_restated(horizon pg_snapshot, as_of timestamptz)
RETURNS TABLE (
    ledger_account_id bigint, account_seq bigint, account_class text, bucket_id bigint,
    asset_id bigint, amount numeric, average_cost numeric, is_mixed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH later AS (
        SELECT p.account_id, sum(p.amount) AS amount, min(p.account_seq) AS first_seq
        FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.effective_at > as_of AND pg_visible_in_snapshot(e.xid, horizon)
        GROUP BY p.account_id
    )
    SELECT a.id, coalesce(c.account_seq, n.account_seq), a.account_class, a.bucket_id, a.asset_id,
           n.balance_after - coalesce(later.amount, 0),
           CASE WHEN later.account_id IS NULL THEN n.average_after ELSE c.average_after END,
           coalesce(later.first_seq < c.account_seq, false)
    FROM ledger_ledgeraccount a
    CROSS JOIN LATERAL (
        SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
        WHERE p.account_id = a.id AND pg_visible_in_snapshot(p.xid, horizon)
        ORDER BY p.account_seq DESC LIMIT 1) n
    LEFT JOIN later ON later.account_id = a.id
    LEFT JOIN LATERAL (
        SELECT p.account_seq, p.average_after
        FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
        WHERE later.account_id IS NOT NULL AND p.account_id = a.id AND e.effective_at <= as_of
          AND pg_visible_in_snapshot(p.xid, horizon)
        ORDER BY p.account_seq DESC LIMIT 1) c ON true
    WHERE a.bucket_id IS NOT NULL
      AND a.account_class IN ('claim', 'position', 'loan_receivable')
    ORDER BY a.id
$$;

REVOKE ALL ON FUNCTION margin.mark_is_corrected(), margin.correct_mark(uuid),
    margin.call_is_decided(), margin.call_ends_as_decided(), margin.call_step_is_decided(),
    margin.decide_call(uuid), margin.balances_restated(pg_snapshot, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION margin.correct_mark(uuid), margin.decide_call(uuid) TO bo_runtime;
GRANT EXECUTE ON FUNCTION margin.balances_restated(pg_snapshot, timestamptz)
    TO bo_runtime, bo_auditor;
GRANT INSERT ON margin_calldecision, margin_callnotice TO bo_runtime;
