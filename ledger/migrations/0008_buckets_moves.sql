-- Which moves between buckets are permitted, by their roles, and what each needs.

INSERT INTO accounts_act (actor, channel, request_id, reason)
VALUES ('system:migration', 'migration', '', 'moves between buckets, own locations, transit, debts, blocks')
ON CONFLICT (xid) DO NOTHING;

INSERT INTO ledger_entrykind (code, title, pools_max, clients_max, accounts_max, buckets_max,
                              needs_approval, needs_release, keeps_custody) VALUES
    ('position_move', 'Position moved between buckets, at its cost', 1, 1, 1, 2, false, true, true),
    ('agreed_move', 'Move between buckets, agreed by two', 1, 1, 1, 2, true, true, true);
INSERT INTO ledger_kindleg (kind_id, account_class, owner_class, asset_kind, side, is_required)
SELECT k.kind, k.class, owner, asset, side, k.required
FROM (VALUES
    ('position_move', 'position', '{CLIENT,HOUSE,HOUSE_PROP}', '{security,derivative}', true),
    ('agreed_move', 'position', '{CLIENT,HOUSE,HOUSE_PROP}', '{security,derivative}', false),
    ('agreed_move', 'claim', '{CLIENT,HOUSE,HOUSE_PROP}', '{money}', false)
) AS k(kind, class, owners, assets, required)
CROSS JOIN LATERAL unnest(k.owners::text[]) AS owner
CROSS JOIN LATERAL unnest(k.assets::text[]) AS asset
CROSS JOIN unnest('{debit,credit}'::text[]) AS side;
INSERT INTO accounts_approvalaction (code, title, maker_roles, checker_roles, lives_for) VALUES
    ('entry.agreed_move', 'Move between buckets, agreed by two', '{operations,treasury}',
     '{treasury,risk,compliance}', '1 day'),
    ('bucket.rule', 'Change what a move between buckets needs', '{operations,risk,compliance}',
     '{risk,compliance,treasury}', '5 days');

SELECT accounts.make_append_only('ledger_moverule');
INSERT INTO ledger_moverule (from_role, to_role, guard, effective_from)
SELECT from_role, to_role, guard, '1970-01-01'
FROM (VALUES
    ('FREE', '{FREE,INITIAL,RESERVE,ISOLATED,PLEDGED,LOCKED,HOLD,FEES,OUTSIDE}', 'free'),
    ('INITIAL', '{FREE,RESERVE,ISOLATED}', 'margin_test'),
    ('RESERVE', '{INITIAL,ISOLATED}', 'free'),
    ('RESERVE', '{FREE}', 'margin_test'),
    ('ISOLATED', '{FREE,INITIAL,RESERVE,ISOLATED,HOLD,OUTSIDE}', 'margin_test'),
    ('PLEDGED', '{FREE}', 'two_people'),
    ('LOCKED', '{FREE}', 'two_people'),
    ('HOLD', '{FREE,OUTSIDE}', 'free'),
    ('FEES', '{FREE}', 'free')
) AS m(from_role, to_roles, guard)
CROSS JOIN LATERAL unnest(m.to_roles::text[]) AS to_role;

-- What a move needs on a day: free, margin_test, two_people or never.
CREATE FUNCTION ledger.move_guard(from_role text, to_role text, day date) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((
        SELECT r.guard FROM ledger_moverule r
        WHERE (r.from_role, r.to_role) = (move_guard.from_role, move_guard.to_role)
          AND r.effective_from <= day
        ORDER BY r.effective_from DESC LIMIT 1), 'never')
$$;

-- A rule is changed by two people, for days that are not over.
CREATE FUNCTION ledger.move_rule_is_set() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted n WHERE NOT EXISTS (
            SELECT FROM accounts_approval a
            WHERE a.id = n.approval_id AND a.action_id = 'bucket.rule'
              AND a.used_xid = pg_current_xact_id() AND a.payload = jsonb_build_object(
                  'from_role', n.from_role, 'to_role', n.to_role, 'guard', n.guard,
                  'effective_from', n.effective_from))) THEN
        PERFORM accounts.refuse('move_rule_is_set_by_two',
            'what a move needs is changed with the agreement of a second person, to exactly this');
    END IF;
    IF EXISTS (SELECT FROM inserted n
               WHERE n.effective_from <= (SELECT max(d.day) FROM ledger_dayclose d)) THEN
        PERFORM accounts.refuse('move_rule_begins_later', 'a rule begins after the last day that is done');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER move_rule_is_set_by_two AFTER INSERT ON ledger_moverule
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.move_rule_is_set();
ALTER TABLE ledger_moverule ENABLE ALWAYS TRIGGER move_rule_is_set_by_two;

-- Sets a rule with an approval of `bucket.rule`; the payload is the row.
CREATE FUNCTION ledger.set_move_rule(approval uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    asked accounts_approval;
BEGIN
    SELECT * INTO asked FROM accounts_approval WHERE id = approval;
    PERFORM accounts.use_approval(approval, 'bucket.rule', asked.payload);
    INSERT INTO ledger_moverule (from_role, to_role, guard, effective_from, approval_id)
    VALUES (asked.payload ->> 'from_role', asked.payload ->> 'to_role', asked.payload ->> 'guard',
            (asked.payload ->> 'effective_from')::date, approval);
END $$;

-- What each of some entries takes from each bucket: claims lowered, and positions moved away.
CREATE OR REPLACE FUNCTION ledger.lowered_claims(entries bigint[])
RETURNS TABLE (entry_id bigint, bucket_id bigint, asset_id bigint, is_margined boolean, amount numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT p.entry_id, a.bucket_id, a.asset_id, b.is_margined, sum(p.amount)
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'claim'
    JOIN accounts_bucket b ON b.id = a.bucket_id
    WHERE p.entry_id = ANY (entries)
    GROUP BY 1, 2, 3, 4 HAVING sum(p.amount) > 0
    UNION ALL
    -- A position takes its requirement along: margin looks at both buckets, margined or not.
    SELECT p.entry_id, a.bucket_id, a.asset_id, true, abs(p.amount)
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'position'
    JOIN ledger_entry e ON e.id = p.entry_id AND e.kind_id IN ('position_move', 'agreed_move')
    WHERE p.entry_id = ANY (entries) AND abs(p.balance_after) < abs(p.balance_after - p.amount)
$$;

-- How some entries change what stands in each bucket, as people say it: a claim or a position, long
-- or short, that grows is positive.
CREATE FUNCTION ledger.bucket_changes(entries bigint[])
RETURNS TABLE (entry_id bigint, kind_id text, day date, margin_account_id bigint, bucket_id bigint,
               role text, instrument_code text, account_class text, asset_id bigint, change numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET jit = off AS $$
    SELECT p.entry_id, e.kind_id, (e.effective_at AT TIME ZONE 'UTC')::date, a.margin_account_id,
           a.bucket_id, b.role, b.instrument_code, a.account_class, a.asset_id,
           sum(CASE a.account_class WHEN 'claim' THEN -p.amount
               ELSE abs(p.balance_after) - abs(p.balance_after - p.amount) END)
    FROM ledger_posting p
    CROSS JOIN LATERAL (SELECT x.kind_id, x.effective_at FROM ledger_entry x
                        WHERE x.id = p.entry_id OFFSET 0) e
    CROSS JOIN LATERAL (SELECT x.* FROM ledger_ledgeraccount x
                        WHERE x.id = p.account_id OFFSET 0) a
    JOIN accounts_bucket b ON b.id = a.bucket_id
    WHERE p.entry_id = ANY (entries) AND a.account_class IN ('claim', 'position')
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
$$;

-- Value goes from a bucket to another of its account, or out, only as the matrix says.
CREATE FUNCTION ledger.check_moves(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    one record;
    needs text;
BEGIN
    FOR one IN
        WITH changes AS (SELECT * FROM ledger.bucket_changes(entries)),
        sides AS (
            SELECT c.entry_id, c.kind_id, c.day, c.margin_account_id, c.bucket_id, c.role,
                   bool_or(c.change < 0) AS gives, bool_or(c.change > 0) AS takes
            FROM changes c GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT s.entry_id, s.kind_id, s.day,
               count(*) FILTER (WHERE s.gives) AS givers, count(*) FILTER (WHERE s.takes) AS takers,
               bool_or(s.gives AND s.takes) AS is_exchange,
               count(*) > count(DISTINCT s.margin_account_id) AS meets_itself,
               min(s.bucket_id) FILTER (WHERE s.gives) AS giver,
               min(s.role) FILTER (WHERE s.gives) AS from_role,
               min(s.role) FILTER (WHERE s.takes) AS to_role,
               s.kind_id IN ('bucket_move', 'position_move', 'agreed_move') AS is_move
        FROM sides s
        WHERE s.kind_id IN ('bucket_move', 'position_move', 'agreed_move', 'withdrawal',
                            'client_transfer', 'internal_trade', 'deleveraging')
        GROUP BY 1, 2, 3 ORDER BY 1
    LOOP
        IF one.is_move AND (one.givers <> 1 OR one.takers <> 1 OR one.is_exchange)
           OR NOT one.is_move AND one.meets_itself THEN
            PERFORM accounts.refuse('bucket_move_is_permitted', format(
                '%s: a move goes from one bucket of an account to another, one way, and buckets of '
                'one account meet in nothing else', one.kind_id));
        END IF;
        CONTINUE WHEN one.kind_id IN ('internal_trade', 'deleveraging') OR one.from_role IS NULL;
        IF NOT one.is_move THEN one.to_role := 'OUTSIDE'; END IF;
        needs := ledger.move_guard(one.from_role, one.to_role, one.day);
        IF needs = 'never' THEN
            PERFORM accounts.refuse('bucket_move_is_permitted', format(
                'nothing moves from %s to %s', one.from_role, one.to_role));
        ELSIF needs = 'two_people' AND one.kind_id NOT IN ('agreed_move', 'client_transfer') THEN
            PERFORM accounts.refuse('bucket_move_is_agreed', format(
                'a move from %s to %s needs the agreement of a second person', one.from_role, one.to_role));
        ELSIF needs = 'margin_test' AND NOT EXISTS (
                SELECT FROM ledger_releaseuse u WHERE u.entry_id = one.entry_id)
              -- Of a margined bucket `entry_has_its_release` says it.
              AND NOT (SELECT b.is_margined FROM accounts_bucket b WHERE b.id = one.giver) THEN
            PERFORM accounts.refuse('bucket_move_is_released', format(
                'a move from %s to %s needs a release of margin', one.from_role, one.to_role));
        END IF;
    END LOOP;
    PERFORM ledger.check_position_moves(entries);
END $$;

-- A position moves at its average cost, no further than it reaches and onto none that it would
-- close, so that nothing is realised; an isolated bucket takes its own instrument alone.
CREATE FUNCTION ledger.check_position_moves(entries bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT s.* INTO broken FROM (
        SELECT p.entry_id, b.code, t.code AS asset, CASE
            WHEN b.role = 'ISOLATED' AND b.instrument_code <> t.code AND before * p.amount >= 0
                THEN 'isolated_bucket_keeps_its_instrument'
            WHEN count(*) OVER w <> 2 OR count(*) FILTER (WHERE before * p.amount < 0) OVER w <> 1
                 OR min(p.price) OVER w <> max(p.price) OVER w OR coalesce(p.realised, 0) <> 0
                 OR before * p.amount < 0 AND (
                     abs(p.amount) > abs(before) OR p.price IS DISTINCT FROM (
                         SELECT o.average_after FROM ledger_posting o
                         WHERE o.account_id = p.account_id AND o.account_seq = p.account_seq - 1))
                THEN 'position_moves_at_its_cost' END AS rule
        FROM ledger_posting p
        CROSS JOIN LATERAL (SELECT x.kind_id FROM ledger_entry x WHERE x.id = p.entry_id OFFSET 0) e
        CROSS JOIN LATERAL (SELECT x.* FROM ledger_ledgeraccount x
                            WHERE x.id = p.account_id OFFSET 0) a
        CROSS JOIN LATERAL (SELECT p.balance_after - p.amount) y(before)
        JOIN accounts_bucket b ON b.id = a.bucket_id
        JOIN ledger_asset t ON t.id = a.asset_id
        WHERE p.entry_id = ANY (entries) AND a.account_class = 'position'
          AND e.kind_id IN ('position_move', 'agreed_move')
        WINDOW w AS (PARTITION BY p.entry_id, p.asset_id)
    ) s WHERE s.rule IS NOT NULL ORDER BY s.entry_id LIMIT 1;
    IF broken.rule IS NOT NULL THEN
        PERFORM accounts.refuse(broken.rule, format(
            '%s in %s: a position moves at its average cost, as far as it reaches, and an isolated '
            'bucket takes its own instrument', broken.asset, broken.code));
    END IF;
END $$;
