-- Residual interest, locations and their letters, receipts without an owner: what two people agree
-- to, and what no two people can agree to.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'four eyes on locations, letters, receipts')
ON CONFLICT (xid) DO NOTHING;

-- Who asks and who agrees. A withdrawal beyond the share of its statement needs a principal.
UPDATE accounts_approvalaction SET checker_roles = '{treasury,risk,compliance,principal}'
WHERE code IN ('entry.residual_withdrawal', 'entry.reversal');
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('residual.target', 'Set a residual interest target', '{risk,treasury,compliance}',
     '{compliance,principal}', '5 days'),
    ('conduct.rule', 'Change a rule of conduct', '{risk,compliance}', '{compliance,principal}',
     '5 days'),
    ('location.open', 'Open a location', '{operations,treasury}', '{treasury,compliance}', '5 days'),
    ('location.change', 'Change a location', '{operations,treasury}', '{treasury,compliance}', '5 days'),
    ('location.close', 'Close a location', '{operations,treasury}', '{treasury,compliance}', '5 days'),
    ('letter.file', 'File an acknowledgement letter', '{operations,treasury,compliance}',
     '{compliance}', '5 days');

-- ---------------------------------------------------------------- rules with a first day

SELECT accounts.make_append_only('ledger_conductrule');
INSERT INTO ledger_conductrule (code, regime, effective_from, value, source) VALUES
    ('letter_void_days', '', '1970-01-01', 120, 'after 17 CFR 1.20(d)(8)'),
    ('letter_warning_days', '', '1970-01-01', 30, 'house rule'),
    ('residual_share', '', '1970-01-01', 0.25, 'after 17 CFR 1.23(d)'),
    ('statement_days', '', '1970-01-01', 5, 'house rule: Monday to Friday'),
    ('receipt_alarm_days', '', '1970-01-01', 1, 'house rule');

-- The value of a rule on a day, for a regime or else for all.
CREATE FUNCTION ledger.conduct_rule(of_code text, of_regime text, day date) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT r.value FROM ledger_conductrule r
    WHERE r.code = of_code AND r.regime IN (of_regime, '') AND r.effective_from <= day
    ORDER BY r.regime DESC, r.effective_from DESC LIMIT 1
$$;

CREATE FUNCTION ledger.conduct_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM accounts_legalentity f
            CROSS JOIN LATERAL accounts.used_here('conduct.rule', f.id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::ledger_conductrule, asked))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('conduct_rule_is_set_by_two',
            'a rule of conduct is changed with the approval of a second person, of exactly this');
    END IF;
    IF EXISTS (SELECT FROM inserted n
               WHERE n.effective_from < (clock_timestamp() AT TIME ZONE 'UTC')::date) THEN
        PERFORM accounts.refuse('conduct_rule_begins_today_or_later', 'a rule does not reach back');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER conduct_rule_is_set_by_two AFTER INSERT ON ledger_conductrule
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.conduct_rule_is_set();
ALTER TABLE ledger_conductrule ENABLE ALWAYS TRIGGER conduct_rule_is_set_by_two;

-- Sets a rule with an approval of `conduct.rule`; the payload is the row.
CREATE FUNCTION ledger.set_conduct_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted ledger_conductrule;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'conduct.rule', asked.payload);
    wanted := jsonb_populate_record(NULL::ledger_conductrule, asked.payload);
    INSERT INTO ledger_conductrule (code, regime, effective_from, value, source)
    VALUES (wanted.code, wanted.regime, wanted.effective_from, wanted.value, wanted.source);
END $$;

-- ---------------------------------------------------------------- statements of segregation

SELECT accounts.make_append_only('ledger_segregationstatement');

-- What a pool held and owed of an asset at the end of a business day, by effective date.
CREATE FUNCTION ledger.segregation_on(of_pool smallint, of_asset bigint, day date)
RETURNS TABLE (requirement numeric, resource numeric, unallocated numeric,
               residual_interest numeric, shortfall numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH stood AS (
        SELECT a.account_class, (SELECT coalesce(sum(m.debit - m.credit), 0)
                                 FROM ledger_dailymovement m
                                 WHERE m.account_id = a.id AND m.effective_on <= day) AS amount
        FROM ledger_ledgeraccount a WHERE a.pool_id = of_pool AND a.asset_id = of_asset
    )
    SELECT coalesce(sum(-least(amount, 0)) FILTER (
               WHERE account_class IN ('claim', 'position', 'unallocated')), 0),
           coalesce(sum(amount) FILTER (WHERE account_class IN
               ('custody', 'delegated', 'mirrored', 'in_transit')), 0),
           coalesce(-sum(amount) FILTER (WHERE account_class = 'unallocated'), 0),
           coalesce(-sum(amount) FILTER (WHERE account_class = 'residual_interest'), 0),
           coalesce(sum(amount) FILTER (WHERE account_class = 'shortfall'), 0)
    FROM stood
$$;

-- A statement says what the book said when it was made.
CREATE FUNCTION ledger.statement_is_true() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n
        JOIN ledger_pool p ON p.id = n.pool_id
        CROSS JOIN LATERAL ledger.segregation_on(n.pool_id, n.asset_id, n.business_day) s
        WHERE p.owner_class <> 'CLIENT'
           OR (n.requirement, n.resource, n.unallocated, n.residual_interest, n.shortfall)
              IS DISTINCT FROM
              (s.requirement, s.resource, s.unallocated, s.residual_interest, s.shortfall)
           OR n.residual_seq <> coalesce((
               SELECT b.seq FROM ledger_ledgeraccount a JOIN ledger_balance b ON b.account_id = a.id
               WHERE a.pool_id = n.pool_id AND a.asset_id = n.asset_id
                 AND a.account_class = 'residual_interest'), 0)) THEN
        PERFORM accounts.refuse('statement_says_what_the_book_says',
            'a statement of segregation is made of the balances of a client pool');
    END IF;
    IF EXISTS (
        SELECT FROM inserted n JOIN ledger_segregationstatement later
        ON later.pool_id = n.pool_id AND later.asset_id = n.asset_id
           AND later.business_day > n.business_day) THEN
        PERFORM accounts.refuse('statements_follow_each_other',
            'a later day has been stated already');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER statement_says_what_the_book_says AFTER INSERT ON ledger_segregationstatement
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.statement_is_true();
ALTER TABLE ledger_segregationstatement ENABLE ALWAYS TRIGGER statement_says_what_the_book_says;

-- States every client pool of a firm for a business day, in each money it carries; what is stated
-- already stays. The balances of residual interest are held, so that nothing slips in between.
CREATE FUNCTION ledger.state_segregation(entity bigint, day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    stated integer;
BEGIN
    PERFORM accounts.require_act();
    PERFORM FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id
    JOIN ledger_pool p ON p.id = a.pool_id
    WHERE p.legal_entity_id = entity AND a.account_class = 'residual_interest'
    ORDER BY b.account_id FOR UPDATE OF b;
    INSERT INTO ledger_segregationstatement (pool_id, asset_id, business_day, requirement, resource,
        unallocated, residual_interest, shortfall, residual_seq)
    SELECT c.pool_id, c.asset_id, day, s.requirement, s.resource, s.unallocated,
           s.residual_interest, s.shortfall, coalesce(b.seq, 0)
    FROM (SELECT DISTINCT l.pool_id, t.id AS asset_id
          FROM ledger_location l JOIN ledger_pool p ON p.id = l.pool_id
          JOIN ledger_locationasset x ON x.location_id = l.id
          JOIN ledger_asset t ON t.id = x.asset_id AND t.kind = 'money'
          WHERE p.legal_entity_id = entity AND p.owner_class = 'CLIENT') c
    CROSS JOIN LATERAL ledger.segregation_on(c.pool_id, c.asset_id, day) s
    LEFT JOIN ledger_ledgeraccount a ON a.pool_id = c.pool_id AND a.asset_id = c.asset_id
        AND a.account_class = 'residual_interest'
    LEFT JOIN ledger_balance b ON b.account_id = a.id
    ON CONFLICT ON CONSTRAINT segregation_is_stated_once_a_day DO NOTHING;
    GET DIAGNOSTICS stated = ROW_COUNT;
    RETURN stated;
END $$;

-- The last day before `day` for which a regime wants a statement.
CREATE FUNCTION ledger.stated_day_before(of_regime text, day date) RETURNS date
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT max(d)::date FROM generate_series(day - 7, day - 1, interval '1 day') d
    WHERE extract(isodow FROM d) <= ledger.conduct_rule('statement_days', of_regime, day)
$$;

-- ---------------------------------------------------------------- residual interest

SELECT accounts.make_append_only('ledger_residualtarget');
SELECT accounts.make_append_only('ledger_residualnotice');

CREATE FUNCTION ledger.residual_target_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN ledger_pool p ON p.id = n.pool_id
        WHERE p.owner_class <> 'CLIENT' OR NOT EXISTS (
            SELECT FROM accounts.used_here('residual.target', p.legal_entity_id) asked
            WHERE to_jsonb(jsonb_populate_record(NULL::ledger_residualtarget, asked))
                  - '{id,xid}'::text[] = to_jsonb(n) - '{id,xid}'::text[])) THEN
        PERFORM accounts.refuse('residual_target_is_set_by_two',
            'the target of a client pool is set with the approval of a second person');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER residual_target_is_set_by_two AFTER INSERT ON ledger_residualtarget
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.residual_target_is_set();
ALTER TABLE ledger_residualtarget ENABLE ALWAYS TRIGGER residual_target_is_set_by_two;

-- Sets a target with an approval of `residual.target`; the payload is the row.
CREATE FUNCTION ledger.set_residual_target(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    wanted ledger_residualtarget;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'residual.target', asked.payload);
    wanted := jsonb_populate_record(NULL::ledger_residualtarget, asked.payload);
    INSERT INTO ledger_residualtarget (pool_id, asset_id, effective_from, amount, analysis)
    VALUES (wanted.pool_id, wanted.asset_id, wanted.effective_from, wanted.amount, wanted.analysis);
END $$;

-- The residual interest that stays, by pool, asset and day; zero where none is set.
CREATE FUNCTION ledger.residual_target_on(of_pool smallint, of_asset bigint, day date) RETURNS numeric
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT t.amount FROM ledger_residualtarget t
                     WHERE t.pool_id = of_pool AND t.asset_id = of_asset AND t.effective_from <= day
                     ORDER BY t.effective_from DESC LIMIT 1), 0)
$$;

-- What an entry takes from residual interest for the firm: a withdrawal, or a reversal that does
-- the same. Negative: what the reversal of a withdrawal brings back.
CREATE FUNCTION ledger.residual_taken(entries bigint[])
RETURNS TABLE (entry_id bigint, pool_id smallint, asset_id bigint, account_id bigint,
               account_seq bigint, amount numeric, effective_on date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.id, p.pool_id, p.asset_id, p.account_id, p.account_seq, p.amount,
           (e.effective_at AT TIME ZONE 'UTC')::date
    FROM ledger_entry e
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'residual_interest'
    WHERE e.id = ANY (entries)
      AND (e.kind_id = 'residual_withdrawal' OR e.kind_id = 'reversal' AND EXISTS (
               SELECT FROM ledger_posting h JOIN ledger_ledgeraccount o ON o.id = h.account_id
               WHERE h.entry_id = e.id AND o.account_class = 'own_equity'))
$$;

-- The newest statement of a pool and asset.
CREATE FUNCTION ledger.newest_statement(of_pool smallint, of_asset bigint)
RETURNS ledger_segregationstatement
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT s FROM ledger_segregationstatement s
    WHERE s.pool_id = of_pool AND s.asset_id = of_asset ORDER BY s.business_day DESC LIMIT 1
$$;

-- What was taken from residual interest since a statement, without some entries.
CREATE FUNCTION ledger.residual_series(since ledger_segregationstatement, without bigint[])
RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(sum(t.amount), 0)
    FROM ledger_ledgeraccount a
    JOIN ledger_posting p ON p.account_id = a.id AND p.account_seq > since.residual_seq
    CROSS JOIN LATERAL ledger.residual_taken(ARRAY[p.entry_id]) t
    WHERE a.pool_id = since.pool_id AND a.asset_id = since.asset_id
      AND a.account_class = 'residual_interest' AND t.account_id = p.account_id
      AND t.account_seq = p.account_seq AND p.entry_id <> ALL (without)
$$;

-- The rule that taking an amount breaks, and why; no row where it breaks none. `taken`: what the
-- series comes to with it; `left_over`: the residual interest after it, less what the pool lacks.
CREATE FUNCTION ledger.broken_residual_rule(
    of_pool smallint, of_asset bigint, on_day date, taken numeric, left_over numeric,
    is_agreed_by_a_principal boolean, has_notice boolean
) RETURNS TABLE (rule text, why text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    regime text := (SELECT p.regime FROM ledger_pool p WHERE p.id = of_pool);
    stated ledger_segregationstatement := ledger.newest_statement(of_pool, of_asset);
    due date := ledger.stated_day_before(regime, on_day);
    target numeric := ledger.residual_target_on(of_pool, of_asset, on_day);
    share numeric := ledger.conduct_rule('residual_share', regime, on_day);
    is_beyond boolean;
BEGIN
    IF stated.id IS NULL OR stated.business_day < due OR stated.business_day >= on_day THEN
        RETURN QUERY SELECT 'residual_withdrawal_follows_a_statement' AS rule, format(
            'on %s residual interest is taken after the statement of segregation of %s; the newest is %s',
            on_day, due, coalesce('that of ' || stated.business_day, 'none'));
        RETURN;
    END IF;
    IF target > 0 AND left_over < target THEN
        RETURN QUERY SELECT 'residual_interest_keeps_its_target' AS rule, format(
            'residual interest would be %s, below its target of %s', trim_scale(left_over),
            trim_scale(target));
        RETURN;
    END IF;
    is_beyond := taken > share * greatest(stated.residual_interest - stated.shortfall, 0);
    IF is_beyond AND is_agreed_by_a_principal IS NOT TRUE THEN
        RETURN QUERY SELECT 'residual_series_has_a_principal' AS rule, format(
            '%s since the statement of %s is more than %s of its residual interest of %s: a senior '
            'principal must approve it', trim_scale(taken), stated.business_day, trim_scale(share),
            trim_scale(greatest(stated.residual_interest - stated.shortfall, 0)));
    ELSIF is_beyond AND has_notice IS NOT TRUE THEN
        RETURN QUERY SELECT 'residual_series_has_a_notice' AS rule,
            'a withdrawal beyond the share goes with a notice: reasons, recipients, amounts, the '
            'residual interest as estimated, and that the firm complies';
    END IF;
END $$;

-- Whether a senior principal agreed to a request, at its legal entity.
CREATE FUNCTION ledger.is_agreed_by_a_principal(approval accounts_approval) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT approval.decision = 'approved'
       AND accounts.holds_role(approval.checker_id, '{principal}', approval.legal_entity_id)
$$;

-- Residual interest is taken after yesterday's statement, down to its target, and beyond the share
-- of that statement, at once or in steps, with a principal's approval and a notice.
CREATE FUNCTION ledger.check_residual(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    broken record;
    stated ledger_segregationstatement;
    given accounts_approval;
BEGIN
    FOR one IN SELECT t.*, e.kind_id FROM ledger.residual_taken(entries) t
               JOIN ledger_entry e ON e.id = t.entry_id WHERE t.amount > 0
               ORDER BY t.account_id, t.account_seq
    LOOP
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            PERFORM accounts.refuse('residual_series_is_read_as_it_stands',
                'the series is read as it stands: read committed');
        END IF;
        stated := ledger.newest_statement(one.pool_id, one.asset_id);
        SELECT a.* INTO given FROM accounts_approval a
        JOIN ledger_entrykey k ON k.entry_id = one.entry_id
        WHERE a.used_xid = pg_current_xact_id() AND a.action_id = 'entry.' || one.kind_id
          AND a.payload ->> 'key' = k.key;
        SELECT r.* INTO broken FROM ledger.broken_residual_rule(
            one.pool_id, one.asset_id, one.effective_on,
            -- With what came before it in this statement, and without what comes after.
            ledger.residual_series(stated, ARRAY(
                SELECT l.entry_id FROM ledger.residual_taken(entries) l
                WHERE l.account_id = one.account_id AND l.account_seq > one.account_seq)),
            (SELECT coalesce(-sum(ledger.balance_at(a.id, one.entry_id)), 0)
             FROM ledger_ledgeraccount a
             WHERE a.pool_id = one.pool_id AND a.asset_id = one.asset_id
               AND a.account_class IN ('residual_interest', 'shortfall')),
            ledger.is_agreed_by_a_principal(given),
            EXISTS (SELECT FROM ledger_residualnotice n WHERE n.approval_id = given.id
                    AND n.pool_id = one.pool_id AND n.asset_id = one.asset_id
                    AND n.amount = one.amount)) r;
        IF broken.rule IS NOT NULL THEN
            PERFORM accounts.refuse(broken.rule, broken.why);
        END IF;
    END LOOP;
END $$;

-- What a request would take from residual interest: the debits of its legs there, where the firm's
-- own equity is on the other side.
CREATE FUNCTION ledger.residual_asked(payload jsonb)
RETURNS TABLE (pool_id smallint, asset_id bigint, amount numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH legs AS (
        SELECT a.pool_id, a.asset_id, a.account_class, ledger.plain_number(l ->> 'amount') AS amount
        FROM jsonb_array_elements(CASE jsonb_typeof(payload -> 'legs') WHEN 'array'
                                  THEN payload -> 'legs' ELSE '[]' END) l
        JOIN ledger_ledgeraccount a ON a.id = ledger.plain_number(l ->> 'account')
    )
    SELECT g.pool_id, g.asset_id, sum(g.amount) FROM legs g
    WHERE g.account_class = 'residual_interest'
      AND EXISTS (SELECT FROM legs o WHERE o.account_class = 'own_equity')
    GROUP BY 1, 2 HAVING sum(g.amount) > 0
$$;

-- A notice says what its request says; the residual interest in it is what stands now.
CREATE FUNCTION ledger.notice_is_true() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n JOIN accounts_approval a ON a.id = n.approval_id
        WHERE a.decision <> '' OR a.maker_id <> accounts.acting_operator()
           OR NOT EXISTS (SELECT FROM ledger.residual_asked(a.payload) t
                          WHERE (t.pool_id, t.asset_id, t.amount) = (n.pool_id, n.asset_id, n.amount))
           OR n.residual_interest <> (
               SELECT coalesce(-sum(b.amount), 0) FROM ledger_ledgeraccount l
               JOIN ledger_balance b ON b.account_id = l.id
               WHERE l.pool_id = n.pool_id AND l.asset_id = n.asset_id
                 AND l.account_class IN ('residual_interest', 'shortfall'))) THEN
        PERFORM accounts.refuse('notice_says_what_is_asked',
            'the notice is of this request, by who made it, with the residual interest as it stands');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER notice_says_what_is_asked AFTER INSERT ON ledger_residualnotice
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.notice_is_true();
ALTER TABLE ledger_residualnotice ENABLE ALWAYS TRIGGER notice_says_what_is_asked;

-- ---------------------------------------------------------------- requests for entries

-- What a request moves, by asset: the debits of the pool in which it moves most.
CREATE FUNCTION ledger.asked_amounts(payload jsonb) RETURNS TABLE (asset text, amount numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.code, max(s.amount) FROM (
        SELECT t.code, a.pool_id, sum(ledger.plain_number(l ->> 'amount')) AS amount
        FROM jsonb_array_elements(CASE jsonb_typeof(payload -> 'legs') WHEN 'array'
                                  THEN payload -> 'legs' ELSE '[]' END) l
        JOIN ledger_ledgeraccount a ON a.id = ledger.plain_number(l ->> 'account')
        JOIN ledger_asset t ON t.id = a.asset_id
        WHERE ledger.plain_number(l ->> 'amount') > 0
        GROUP BY t.code, a.pool_id
    ) s GROUP BY s.code ORDER BY s.code
$$;

-- Who asks for an entry, and who agrees to it, does so within the limits of a role; and there is
-- somebody else who could agree to as much.
CREATE FUNCTION ledger.request_keeps_its_limits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    is_asked boolean := TG_OP = 'INSERT';
    rules accounts_approvalaction;
    one record;
    broken record;
BEGIN
    IF NEW.action_id NOT LIKE 'entry.%'
       OR NOT is_asked AND NOT (OLD.decision = '' AND NEW.decision = 'approved') THEN
        RETURN NULL;
    END IF;
    SELECT * INTO rules FROM accounts_approvalaction WHERE code = NEW.action_id;
    FOR one IN SELECT * FROM ledger.asked_amounts(NEW.payload) LOOP
        IF is_asked AND NOT accounts.somebody_agrees_to(NEW.legal_entity_id, NEW.maker_id,
                rules.checker_roles, one.asset, one.amount) THEN
            PERFORM accounts.refuse('approval_needs_two_people', format(
                'nobody else may agree to %s %s', trim_scale(one.amount), one.asset));
        END IF;
        PERFORM accounts.count_limit(
            NEW.id, NEW.legal_entity_id, CASE WHEN is_asked THEN NEW.maker_id ELSE NEW.checker_id END,
            CASE WHEN is_asked THEN rules.maker_roles ELSE rules.checker_roles END,
            CASE WHEN is_asked THEN 'request' ELSE 'approve' END, one.asset, one.amount);
    END LOOP;
    FOR one IN SELECT * FROM ledger.residual_asked(NEW.payload) LOOP
        SELECT r.* INTO broken FROM ledger.broken_residual_rule(
            one.pool_id, one.asset_id,
            ((NEW.payload ->> 'effective_at')::timestamptz AT TIME ZONE 'UTC')::date,
            one.amount + ledger.residual_series(
                ledger.newest_statement(one.pool_id, one.asset_id), '{}'),
            (SELECT coalesce(-sum(b.amount), 0) - one.amount FROM ledger_ledgeraccount l
             JOIN ledger_balance b ON b.account_id = l.id
             WHERE l.pool_id = one.pool_id AND l.asset_id = one.asset_id
               AND l.account_class IN ('residual_interest', 'shortfall')),
            is_asked OR ledger.is_agreed_by_a_principal(NEW),
            is_asked OR EXISTS (SELECT FROM ledger_residualnotice n WHERE n.approval_id = NEW.id)) r;
        IF broken.rule IS NOT NULL THEN
            PERFORM accounts.refuse(broken.rule, broken.why);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER request_keeps_its_limits AFTER INSERT OR UPDATE ON accounts_approval
FOR EACH ROW EXECUTE FUNCTION ledger.request_keeps_its_limits();
ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER request_keeps_its_limits;
