-- Rates and interest: curves changed by two people, each day's accruals computed in the database
-- and exact, entries of interest bound to them, and the caps of borrowing.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'rates and interest') ON CONFLICT (xid) DO NOTHING;

SELECT accounts.make_append_only(t::regclass) FROM unnest(ARRAY[
    'ledger_ratecurve', 'ledger_rateversion', 'ledger_accrualrun', 'ledger_dailyrate',
    'ledger_accrual', 'ledger_accrualcorrection']) t;

INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for)
VALUES ('rates.publish', 'Publish rates', '{treasury,risk}', '{treasury,risk,compliance}', '1 day');

-- Interest on a loan is paid from the bucket's money into the firm's residual interest, or raises
-- the loan; the guard below says which. Interest on a balance needs no approval of its own: it
-- follows rates that two people published.
INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('borrow_interest', 'Interest on a loan', 2, 1, 1, 1, false, false, true),
    ('credit_interest', 'Interest on a balance', 1, 1, 1, 1, false, false, true);
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT k.kind, k.class, k.owner, 'money', side, k.required
FROM (VALUES
    ('borrow_interest', 'claim', 'CLIENT', false),
    ('borrow_interest', 'residual_interest', 'CLIENT', false),
    ('borrow_interest', 'loan_receivable', 'HOUSE', false),
    ('borrow_interest', 'own_equity', 'HOUSE', false),
    ('credit_interest', 'claim', 'CLIENT', true),
    ('credit_interest', 'residual_interest', 'CLIENT', true)
) AS k(kind, class, owner, required)
CROSS JOIN LATERAL unnest('{debit,credit}'::text[]) AS side;
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT DISTINCT 'reversal', account_class, owner_class, asset_kind, side, false
FROM ledger_kindleg WHERE kind_id IN ('borrow_interest', 'credit_interest')
ON CONFLICT DO NOTHING;

-- ---------------------------------------------------------------- rates

-- Like half_even_ratio, of either sign.
CREATE FUNCTION ledger.signed_ratio(numerator numeric, denominator numeric, decimals integer)
RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sign(numerator) * ledger.half_even_ratio(abs(numerator), denominator, decimals)
$$;

-- The height of a line through points [[x, y], ...] at x: straight between them, flat beyond; to
-- 12 decimals, half-even. No points: zero.
CREATE FUNCTION ledger.on_curve(points jsonb, x numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_temp AS $$
    WITH point AS (
        SELECT (e ->> 0)::numeric AS x, (e ->> 1)::numeric AS y FROM jsonb_array_elements(points) e
    )
    SELECT CASE
        WHEN l.x IS NULL AND r.x IS NULL THEN 0
        WHEN l.x IS NULL THEN r.y
        WHEN r.x IS NULL THEN l.y
        ELSE ledger.signed_ratio(
            l.y * (r.x - l.x) + (r.y - l.y) * (on_curve.x - l.x), r.x - l.x, 12) END
    FROM (SELECT) one
    LEFT JOIN (SELECT * FROM point p WHERE p.x <= on_curve.x ORDER BY p.x DESC LIMIT 1) l ON true
    LEFT JOIN (SELECT * FROM point p WHERE p.x > on_curve.x ORDER BY p.x LIMIT 1) r ON true
$$;

-- Whether points are pairs of plain numbers as text, from left to right, none beyond `ceiling`.
CREATE FUNCTION ledger.is_a_line(points jsonb, ceiling numeric) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_temp AS $$
    SELECT jsonb_typeof(points) = 'array' AND coalesce(bool_and(
        jsonb_typeof(e) = 'array' AND jsonb_array_length(e) = 2
        AND jsonb_typeof(e -> 0) = 'string' AND jsonb_typeof(e -> 1) = 'string'
        AND x BETWEEN 0 AND ceiling AND abs(y) <= 10 AND y = round(y, 12) AND x = round(x, 12)
        AND (x > before) IS NOT FALSE), true)
    FROM (
        SELECT e, x, y, lag(x) OVER (ORDER BY ord) AS before
        FROM jsonb_array_elements(CASE jsonb_typeof(points) WHEN 'array' THEN points ELSE '[]' END)
            WITH ORDINALITY AS p(e, ord)
        CROSS JOIN LATERAL (SELECT
            CASE jsonb_typeof(e) WHEN 'array' THEN ledger.plain_number(e ->> 0) END,
            CASE jsonb_typeof(e) WHEN 'array' THEN ledger.plain_number(e ->> 1) END) n(x, y)
    ) pairs
$$;

-- What a version of a curve says, in the form that its approval is bound to.
CREATE FUNCTION ledger.rates_said(v ledger_rateversion) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object(
        'asset', t.code, 'side', c.side, 'effective_from', v.effective_from,
        'day_count', v.day_count, 'points', v.points, 'tenor', v.tenor,
        'floor', trim_scale(v.floor)::text, 'cap', trim_scale(v.cap)::text,
        'charged', v.charged, 'compounds', v.compounds, 'paid_from', v.paid_from,
        'repays_from_free_money', v.repays_from_free_money,
        'account_cap', trim_scale(v.account_cap)::text, 'pool_cap', trim_scale(v.pool_cap)::text,
        'utilisation_cap', trim_scale(v.utilisation_cap)::text)
    FROM ledger_ratecurve c JOIN ledger_asset t ON t.id = c.asset_id WHERE c.id = v.curve_id
$$;

-- Rates are what two people agreed to, readable, and come before the days they are for.
CREATE FUNCTION ledger.rates_are_published() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    entity bigint := (SELECT c.legal_entity_id FROM ledger_ratecurve c WHERE c.id = NEW.curve_id);
BEGIN
    IF NOT EXISTS (
        SELECT FROM accounts_approval a
        WHERE a.used_xid = pg_current_xact_id() AND a.action_id = 'rates.publish'
          AND a.legal_entity_id = entity AND a.payload = ledger.rates_said(NEW)) THEN
        PERFORM accounts.refuse('rates_are_published_by_two',
            'rates need the approval of a second person, of exactly these');
    END IF;
    IF ledger.is_a_line(NEW.points, 1) IS NOT TRUE OR jsonb_array_length(NEW.points) = 0
       OR ledger.is_a_line(NEW.tenor, 36525) IS NOT TRUE
       OR abs(NEW.floor) > 10 OR NEW.floor <> round(NEW.floor, 12)
       OR abs(NEW.cap) > 10 OR NEW.cap <> round(NEW.cap, 12) THEN
        PERFORM accounts.refuse('rates_are_a_line', 'points go from left to right, shares of use '
            'from 0 to 1, rates between -10 and 10 with at most 12 decimals');
    END IF;
    IF NEW.effective_from <= (SELECT max(r.day) FROM ledger_accrualrun r
                              WHERE r.legal_entity_id = entity) THEN
        PERFORM accounts.refuse('rates_come_before_their_day',
            'interest of that day is accrued; rates change from a later day on');
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rates_are_published_by_two AFTER INSERT ON ledger_rateversion
FOR EACH ROW EXECUTE FUNCTION ledger.rates_are_published();
ALTER TABLE ledger_rateversion ENABLE ALWAYS TRIGGER rates_are_published_by_two;

-- Publishes rates with an approval of `rates.publish`; the payload says all of them.
CREATE FUNCTION ledger.publish_rates(approval uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
    said jsonb;
    curve bigint;
    published uuid;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'rates.publish', asked.payload);
    said := asked.payload;
    PERFORM FROM accounts_legalentity WHERE id = asked.legal_entity_id FOR NO KEY UPDATE;
    INSERT INTO ledger_ratecurve (legal_entity_id, asset_id, side)
    SELECT asked.legal_entity_id, t.id, said ->> 'side' FROM ledger_asset t
    WHERE t.code = said ->> 'asset' AND t.kind = 'money'
    ON CONFLICT DO NOTHING;
    SELECT c.id INTO curve FROM ledger_ratecurve c JOIN ledger_asset t ON t.id = c.asset_id
    WHERE c.legal_entity_id = asked.legal_entity_id AND t.code = said ->> 'asset'
      AND c.side = said ->> 'side';
    INSERT INTO ledger_rateversion (id, curve_id, version, effective_from, day_count, points,
        tenor, floor, cap, charged, compounds, paid_from, repays_from_free_money, account_cap,
        pool_cap, utilisation_cap)
    SELECT gen_random_uuid(), curve, 1 + (SELECT count(*) FROM ledger_rateversion v
               WHERE v.curve_id = curve), (said ->> 'effective_from')::date,
           said ->> 'day_count', said -> 'points', said -> 'tenor',
           (said ->> 'floor')::numeric, (said ->> 'cap')::numeric, said ->> 'charged',
           (said ->> 'compounds')::boolean, said ->> 'paid_from',
           (said ->> 'repays_from_free_money')::boolean, (said ->> 'account_cap')::numeric,
           (said ->> 'pool_cap')::numeric, (said ->> 'utilisation_cap')::numeric
    RETURNING id INTO published;
    RETURN published;
END $$;

CREATE FUNCTION ledger.months_360(day date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (360 * date_part('year', day) + 30 * date_part('month', day))::integer
$$;

-- Days from one date to another by 30/360, bond basis.
CREATE FUNCTION ledger.bond_days(since date, until date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (ledger.months_360(until) - ledger.months_360(since)
            + CASE WHEN date_part('day', since) >= 30 THEN least(date_part('day', until), 30)
                   ELSE date_part('day', until) END
            - least(date_part('day', since), 30))::integer
$$;

-- The night after a day, as a share of a year: nights over the length of the year. 30/360 counts
-- from the day the balance began, so that its nights add up to what the convention says.
CREATE FUNCTION ledger.night(day_count text, day date, since date)
RETURNS TABLE (days smallint, year smallint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE day_count
        WHEN '30E/360' THEN ledger.months_360(day + 1) + least(date_part('day', day + 1), 30)
                            - ledger.months_360(day) - least(date_part('day', day), 30)
        WHEN '30/360' THEN ledger.bond_days(coalesce(since, day), day + 1)
                           - ledger.bond_days(coalesce(since, day), day)
        ELSE 1 END::smallint,
        CASE day_count
        WHEN 'ACT/365F' THEN 365
        WHEN 'ACT/ACT' THEN make_date(date_part('year', day)::integer + 1, 1, 1)
                            - make_date(date_part('year', day)::integer, 1, 1)
        ELSE 360 END::smallint
$$;

-- What ledger accounts of a class and asset came to at the end of a day, as known now.
CREATE FUNCTION ledger.closings(entity bigint, asset bigint, class text, owner text, day date)
RETURNS TABLE (account_id bigint, amount numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT a.id, b.amount - coalesce(later.amount, 0)
    FROM ledger_ledgeraccount a
    JOIN ledger_pool p ON p.id = a.pool_id AND p.legal_entity_id = entity
    JOIN ledger_balance b ON b.account_id = a.id
    CROSS JOIN LATERAL (SELECT sum(m.debit - m.credit) AS amount FROM ledger_dailymovement m
                        WHERE m.account_id = a.id AND m.effective_on > day) later
    WHERE a.asset_id = asset AND a.account_class = class AND a.owner_class = owner
$$;

-- The rates of a day: the version in force, how much of the lending pool is lent, the rate.
CREATE FUNCTION ledger.rates_of(entity bigint, day date)
RETURNS TABLE (curve_id bigint, version_id uuid, lent numeric, lendable numeric,
               utilisation numeric, rate numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT c.id, v.id, m.lent, m.lendable, u.share, ledger.on_curve(v.points, u.share)
    FROM ledger_ratecurve c
    CROSS JOIN LATERAL (
        SELECT x.id, x.points FROM ledger_rateversion x
        WHERE x.curve_id = c.id AND x.effective_from <= day
        ORDER BY x.effective_from DESC LIMIT 1) v
    CROSS JOIN LATERAL (SELECT
        (SELECT coalesce(sum(k.amount), 0)
         FROM ledger.closings(entity, c.asset_id, 'loan_receivable', 'HOUSE', day) k) AS lent,
        (SELECT coalesce(sum(k.amount), 0)
         FROM ledger.closings(entity, c.asset_id, 'custody', 'HOUSE', day) k) AS lendable) m
    CROSS JOIN LATERAL (SELECT CASE WHEN m.lent > 0 AND m.lendable >= 0
        THEN ledger.half_even_ratio(m.lent, m.lent + m.lendable, 12) ELSE 0 END) u(share)
    WHERE c.legal_entity_id = entity
$$;

-- ---------------------------------------------------------------- a day's interest

-- Since when a balance has not been zero at the end of a day; null where it is.
CREATE FUNCTION ledger.begun_on(account bigint, day date) RETURNS date
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH closing AS (
        SELECT m.effective_on, sum(m.debit - m.credit) OVER (ORDER BY m.effective_on) AS amount
        FROM ledger_dailymovement m WHERE m.account_id = account AND m.effective_on <= day
    )
    SELECT min(c.effective_on) FROM closing c
    WHERE c.effective_on > coalesce(
        (SELECT max(z.effective_on) FROM closing z WHERE z.amount = 0), '-infinity')
$$;

-- The run before one, or the newest.
CREATE FUNCTION ledger.run_before(entity bigint, before_run bigint) RETURNS ledger_accrualrun
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT r FROM ledger_accrualrun r
    WHERE r.legal_entity_id = entity AND (before_run IS NULL OR r.id < before_run)
    ORDER BY r.id DESC LIMIT 1
$$;

-- Accounts that got an entry of an accrued day after it was accrued, and the first such day.
CREATE FUNCTION ledger.late_accounts(entity bigint, before_run bigint)
RETURNS TABLE (account_id bigint, first_day date)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET jit = off AS $$
    SELECT p.account_id, min((e.effective_at AT TIME ZONE 'UTC')::date)
    FROM ledger.run_before(entity, before_run) r
    JOIN ledger_entry e ON e.xid >= pg_snapshot_xmin(r.snapshot)
        AND NOT pg_visible_in_snapshot(e.xid, r.snapshot)
        AND e.effective_at < (r.day + 1)::timestamp AT TIME ZONE 'UTC'
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
        AND a.account_class IN ('claim', 'loan_receivable')
    JOIN ledger_pool o ON o.id = a.pool_id AND o.legal_entity_id = entity
    GROUP BY 1
$$;

-- What late entries make of accrued days: for each the difference to what was accrued so far, at
-- the rates of those days, which do not change.
CREATE FUNCTION ledger.corrections_of(entity bigint, before_run bigint)
RETURNS TABLE (account_id bigint, day date, closing numeric, base numeric, rate numeric,
               days smallint, year smallint, numerator numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    SELECT l.account_id, r.day, s.closing, b.base, t.rate, n.days, n.year, w.numerator
    FROM ledger.late_accounts(entity, before_run) l
    JOIN ledger_ledgeraccount a ON a.id = l.account_id
    JOIN ledger_ratecurve c ON c.legal_entity_id = entity AND c.asset_id = a.asset_id
        AND (c.side, a.account_class, a.owner_class)
            IN (('borrow', 'loan_receivable', 'HOUSE'), ('credit', 'claim', 'CLIENT'))
    JOIN ledger_accrualrun r ON r.legal_entity_id = entity AND r.day >= l.first_day
        AND (before_run IS NULL OR r.id < before_run)
    JOIN ledger_dailyrate d ON d.run_id = r.id AND d.curve_id = c.id
    JOIN ledger_rateversion v ON v.id = d.version_id
    LEFT JOIN ledger_accrual x ON x.account_id = l.account_id AND x.run_id = r.id
    CROSS JOIN LATERAL (SELECT CASE c.side WHEN 'borrow' THEN 1 ELSE -1 END AS sign) g
    CROSS JOIN LATERAL (
        SELECT g.sign * coalesce(sum(m.debit - m.credit), 0) AS closing FROM ledger_dailymovement m
        WHERE m.account_id = l.account_id AND m.effective_on <= r.day) s
    CROSS JOIN LATERAL (SELECT ledger.begun_on(l.account_id, r.day) AS since) k
    CROSS JOIN LATERAL (SELECT greatest(s.closing - coalesce(x.withheld, 0), 0) AS base) b
    CROSS JOIN LATERAL (SELECT least(v.cap, greatest(v.floor, d.rate + CASE WHEN v.tenor = '[]'
        THEN 0 ELSE ledger.on_curve(v.tenor, r.day - coalesce(k.since, r.day)) END)) AS rate) t
    CROSS JOIN LATERAL ledger.night(v.day_count, r.day, k.since) n
    CROSS JOIN LATERAL (
        SELECT g.sign * b.base * t.rate * n.days * (1603080 / n.year) - coalesce(x.numerator, 0)
               - coalesce((SELECT sum(y.numerator) FROM ledger_accrualcorrection y
                           WHERE y.account_id = l.account_id AND y.day = r.day
                             AND (before_run IS NULL OR y.run_id < before_run)), 0) AS numerator) w
    WHERE w.numerator <> 0
$$;

CREATE FUNCTION ledger.accrual_key(day date, account bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'accrual:' || to_char(day, 'YYYY-MM-DD') || ':' || account
$$;

-- What the entry of an accrual took from the client, in all and on one account.
CREATE FUNCTION ledger.interest_paid(day date, account bigint)
RETURNS TABLE (total numeric, own numeric)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(p.amount), 0), coalesce(sum(p.amount) FILTER (WHERE p.account_id = account), 0)
    FROM (SELECT k.entry_id FROM public.ledger_entrykey k
          WHERE k.key = ledger.accrual_key(day, account) LIMIT 1) e
    CROSS JOIN LATERAL (
        SELECT l.account_id, l.amount FROM public.ledger_posting l WHERE l.entry_id = e.entry_id
        OFFSET 0) p
    CROSS JOIN LATERAL (
        SELECT a.account_class FROM public.ledger_ledgeraccount a WHERE a.id = p.account_id
        OFFSET 0) c
    WHERE c.account_class IN ('claim', 'loan_receivable')
$$;

-- Every account's interest of a day, exact. What the client owes is positive.
CREATE FUNCTION ledger.accruals_of(entity bigint, day date, before_run bigint)
RETURNS TABLE (account_id bigint, curve_id bigint, closing numeric, since date, withheld numeric,
               base numeric, rate numeric, days smallint, year smallint, numerator numeric,
               corrected numeric, cumulative numeric, paid_before numeric, due numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    WITH rates AS MATERIALIZED (
        SELECT r.*, c.asset_id, c.side, CASE c.side WHEN 'borrow' THEN 1 ELSE -1 END AS sign,
               t.scale::integer AS scale, v.day_count, v.tenor, v.floor, v.cap, v.compounds,
               v.charged = 'daily' OR date_part('day', accruals_of.day + 1) = 1 AS is_charged
        FROM ledger.rates_of(entity, accruals_of.day) r
        JOIN ledger_ratecurve c ON c.id = r.curve_id JOIN ledger_asset t ON t.id = c.asset_id
        JOIN ledger_rateversion v ON v.id = r.version_id
    ), late AS MATERIALIZED (
        SELECT l.account_id, coalesce(sum(k.numerator), 0) AS numerator
        FROM ledger.late_accounts(entity, before_run) l
        LEFT JOIN ledger.corrections_of(entity, before_run) k USING (account_id) GROUP BY 1
    ), standing AS MATERIALIZED (
        SELECT r.*, k.account_id, r.sign * k.amount AS closing, x.closing AS closing_before,
               x.since AS since_before, coalesce(x.withheld, 0) AS withheld_before,
               coalesce(x.cumulative, 0) AS cumulative_before,
               coalesce(x.paid_before, 0) + coalesce(p.total, 0) AS paid_before,
               r.sign * coalesce(p.own, 0) AS own, coalesce(l.numerator, 0) AS corrected,
               l.account_id IS NOT NULL OR x.account_id IS NULL AS begins_anew
        FROM rates r
        CROSS JOIN LATERAL ledger.closings(
            entity, r.asset_id, CASE r.side WHEN 'credit' THEN 'claim' ELSE 'loan_receivable' END,
            CASE r.side WHEN 'borrow' THEN 'HOUSE' ELSE 'CLIENT' END, accruals_of.day) k
        LEFT JOIN late l ON l.account_id = k.account_id
        LEFT JOIN LATERAL (
            SELECT a.*, n.day AS run_day FROM ledger_accrual a
            JOIN ledger_accrualrun n ON n.id = a.run_id
            WHERE a.account_id = k.account_id AND (before_run IS NULL OR a.run_id < before_run)
            ORDER BY a.run_id DESC LIMIT 1) x ON true
        LEFT JOIN LATERAL ledger.interest_paid(x.run_day, k.account_id) p ON x.due <> 0
        WHERE k.amount <> 0 OR x.account_id IS NOT NULL OR l.account_id IS NOT NULL
    ), night AS (
        SELECT s.*, b.since, w.withheld, greatest(s.closing - w.withheld, 0) AS base,
               least(s.cap, greatest(s.floor, s.rate + CASE WHEN s.tenor = '[]' THEN 0
                   ELSE ledger.on_curve(s.tenor, accruals_of.day - b.since) END)) AS full_rate,
               n.days, n.year
        FROM standing s
        CROSS JOIN LATERAL (SELECT CASE
            WHEN s.closing = 0 THEN NULL
            WHEN s.begins_anew THEN ledger.begun_on(s.account_id, accruals_of.day)
            ELSE coalesce(s.since_before, accruals_of.day) END AS since) b
        CROSS JOIN LATERAL (SELECT CASE WHEN s.compounds OR s.closing = 0 THEN 0
            ELSE s.withheld_before + s.own END AS withheld) w
        CROSS JOIN LATERAL ledger.night(s.day_count, accruals_of.day, b.since) n
    ), summed AS (
        SELECT n.*, m.numerator, n.cumulative_before + m.numerator + n.corrected AS cumulative
        FROM night n
        CROSS JOIN LATERAL (SELECT CASE WHEN n.base = 0 THEN 0
            ELSE n.sign * n.base * n.full_rate * n.days * (1603080 / n.year) END AS numerator) m
    )
    SELECT s.account_id, s.curve_id, s.closing, s.since, s.withheld, s.base,
           CASE WHEN s.base = 0 THEN s.rate ELSE s.full_rate END, s.days, s.year, s.numerator,
           s.corrected, s.cumulative, s.paid_before, d.due
    FROM summed s
    CROSS JOIN LATERAL (SELECT CASE WHEN s.is_charged
        THEN ledger.signed_ratio(s.cumulative, 1603080, s.scale) - s.paid_before
        ELSE 0 END AS due) d
    WHERE s.closing <> 0 OR s.closing_before <> 0 OR s.corrected <> 0 OR d.due <> 0
$$;

-- ---------------------------------------------------------------- accruing a day

-- Accruals of the newest day whose entry is still to come. What a client cannot pay of interest
-- on a balance is carried to the next day instead.
CREATE FUNCTION ledger.accruals_to_post(entity bigint)
RETURNS TABLE (day date, account_id bigint, due numeric, account_class text, bucket_id bigint,
               asset_id bigint, pool_id smallint, paid_from text, claim_id bigint,
               claim_pool_id smallint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
    -- Looked up row by row on purpose: the newest rows are not in the planner's statistics yet.
    SELECT r.day, x.account_id, x.due, a.account_class, a.bucket_id, a.asset_id, a.pool_id,
           v.paid_from, c.id, c.pool_id
    FROM ledger.run_before(entity, NULL) r
    JOIN ledger_accrual x ON x.run_id = r.id AND x.due <> 0
    CROSS JOIN LATERAL (
        SELECT n.* FROM ledger_ledgeraccount n WHERE n.id = x.account_id OFFSET 0) a
    CROSS JOIN LATERAL (
        SELECT o.paid_from FROM ledger_dailyrate d JOIN ledger_rateversion o ON o.id = d.version_id
        WHERE d.run_id = r.id AND d.curve_id = x.curve_id OFFSET 0) v
    LEFT JOIN LATERAL (
        SELECT n.id, n.pool_id FROM ledger_ledgeraccount n
        WHERE n.bucket_id = a.bucket_id AND n.asset_id = a.asset_id AND n.account_class = 'claim'
        ORDER BY n.id LIMIT 1) c ON true
    WHERE (SELECT k.entry_id FROM ledger_entrykey k
           WHERE k.key = ledger.accrual_key(r.day, x.account_id)) IS NULL
      AND NOT (a.account_class = 'claim' AND x.due > 0 AND (
           SELECT b.amount FROM ledger_balance b WHERE b.account_id = x.account_id) = 0)
    ORDER BY x.account_id
$$;

-- Accrues the interest of a day, once; days follow one another, each paid before the next.
CREATE FUNCTION ledger.accrue_day(entity bigint, day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    found_run bigint;
BEGIN
    PERFORM accounts.require_act();
    PERFORM FROM accounts_legalentity WHERE id = entity FOR NO KEY UPDATE;
    SELECT r.id INTO found_run FROM ledger_accrualrun r
    WHERE r.legal_entity_id = entity AND r.day = accrue_day.day;
    IF found_run IS NOT NULL THEN RETURN found_run; END IF;
    INSERT INTO ledger_accrualrun (legal_entity_id, day) VALUES (entity, accrue_day.day)
    RETURNING id INTO found_run;
    -- One statement, so that rates, corrections and accruals are of one state of the book.
    WITH rates AS (
        INSERT INTO ledger_dailyrate (run_id, curve_id, version_id, lent, lendable, utilisation, rate)
        SELECT found_run, r.* FROM ledger.rates_of(entity, accrue_day.day) r
    ), corrections AS (
        INSERT INTO ledger_accrualcorrection (run_id, account_id, day, closing, base, rate, days,
                                              year, numerator)
        SELECT found_run, k.* FROM ledger.corrections_of(entity, found_run) k
    )
    INSERT INTO ledger_accrual (run_id, account_id, curve_id, closing, since, withheld, base, rate,
        days, year, numerator, corrected, cumulative, paid_before, due)
    SELECT found_run, a.* FROM ledger.accruals_of(entity, accrue_day.day, found_run) a
    ORDER BY a.account_id;
    RETURN found_run;
END $$;

CREATE FUNCTION ledger.runs_follow_one_another() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before ledger_accrualrun := ledger.run_before(NEW.legal_entity_id, NULL);
BEGIN
    IF before.day + 1 <> NEW.day THEN
        PERFORM accounts.refuse('accruals_follow_one_another', format(
            'interest is accrued to %s; the next day is %s', before.day, before.day + 1));
    END IF;
    IF EXISTS (SELECT FROM ledger.accruals_to_post(NEW.legal_entity_id)) THEN
        PERFORM accounts.refuse('accruals_are_paid_in_order', format(
            'interest of %s is not all posted yet', before.day));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accruals_follow_one_another BEFORE INSERT ON ledger_accrualrun
FOR EACH ROW EXECUTE FUNCTION ledger.runs_follow_one_another();
ALTER TABLE ledger_accrualrun ENABLE ALWAYS TRIGGER accruals_follow_one_another;

-- Whoever writes a rate, a correction or an accrual, it is what the book and the curve say. STABLE,
-- so that it sees the book as the statement saw it, whatever commits meanwhile.
CREATE FUNCTION ledger.rate_is_computed() RETURNS trigger
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT i.run_id FROM inserted i) o
               JOIN ledger_accrualrun r ON r.id = o.run_id
               WHERE r.xid <> pg_current_xact_id() OR EXISTS (
                   SELECT i.curve_id, i.version_id, i.lent, i.lendable, i.utilisation, i.rate
                   FROM inserted i WHERE i.run_id = r.id
                   EXCEPT SELECT * FROM ledger.rates_of(r.legal_entity_id, r.day))) THEN
        PERFORM accounts.refuse('rate_follows_its_curve',
            'the rates of a day are what their curves and the use of the lending pool say');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER rate_follows_its_curve AFTER INSERT ON ledger_dailyrate
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.rate_is_computed();
ALTER TABLE ledger_dailyrate ENABLE ALWAYS TRIGGER rate_follows_its_curve;

CREATE FUNCTION ledger.accrual_is_computed() RETURNS trigger
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT i.run_id FROM inserted i) o
               JOIN ledger_accrualrun r ON r.id = o.run_id
               WHERE r.xid <> pg_current_xact_id() OR EXISTS (
                   SELECT i.account_id, i.curve_id, i.closing, i.since, i.withheld, i.base, i.rate,
                          i.days, i.year, i.numerator, i.corrected, i.cumulative, i.paid_before, i.due
                   FROM inserted i WHERE i.run_id = r.id
                   EXCEPT SELECT * FROM ledger.accruals_of(r.legal_entity_id, r.day, r.id))) THEN
        PERFORM accounts.refuse('accrual_follows_its_rate',
            'interest of a day is what the balance, the rate and the days before make of it');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER accrual_follows_its_rate AFTER INSERT ON ledger_accrual
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.accrual_is_computed();
ALTER TABLE ledger_accrual ENABLE ALWAYS TRIGGER accrual_follows_its_rate;

CREATE FUNCTION ledger.correction_is_computed() RETURNS trigger
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT i.run_id FROM inserted i) o
               JOIN ledger_accrualrun r ON r.id = o.run_id
               WHERE r.xid <> pg_current_xact_id() OR EXISTS (
                   SELECT i.account_id, i.day, i.closing, i.base, i.rate, i.days, i.year, i.numerator
                   FROM inserted i WHERE i.run_id = r.id
                   EXCEPT SELECT * FROM ledger.corrections_of(r.legal_entity_id, r.id))) THEN
        PERFORM accounts.refuse('correction_follows_its_entry',
            'a day is corrected by what late entries make of it, at the rates of that day');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER correction_follows_its_entry AFTER INSERT ON ledger_accrualcorrection
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.correction_is_computed();
ALTER TABLE ledger_accrualcorrection ENABLE ALWAYS TRIGGER correction_follows_its_entry;
