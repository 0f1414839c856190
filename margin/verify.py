"""What `verify` looks at in margin: results add up, levels move by steps, calls have theirs."""

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction, Query
from margin.column_checks import check_columns

TOTALS = Query(
    "parts_add_up_to_their_results",
    "margin_marginresult",
    """
    SELECT 'margin_marginresult', r.id::text,
           format('its parts come to equity %%s, initial %%s, maintenance %%s',
                  c.equity, c.initial_margin, c.maintenance_margin)
    FROM margin_marginresult r JOIN margin_marginrun u ON u.id = r.run_id AND u.layout = 'rows'
    LEFT JOIN (
        SELECT result_id,
               coalesce(sum(amount) FILTER (WHERE total = 'equity'), 0) AS equity,
               coalesce(sum(amount) FILTER (WHERE total = 'initial_margin'), 0) AS initial_margin,
               coalesce(sum(amount) FILTER (WHERE total = 'maintenance_margin'), 0)
                   AS maintenance_margin
        FROM margin_resultcomponent GROUP BY 1
    ) c ON c.result_id = r.id
    WHERE r.equity <> coalesce(c.equity, 0) OR r.initial_margin <> coalesce(c.initial_margin, 0)
       OR r.maintenance_margin <> coalesce(c.maintenance_margin, 0)
    """,
)

RUNS = Query(
    "runs_have_a_result_for_every_scope",
    "margin_marginrun",
    """
    SELECT 'margin_marginrun', r.id::text,
           format('it says %%s scopes and has %%s results', r.scope_count, count(s.id))
    FROM margin_marginrun r LEFT JOIN margin_marginresult s ON s.run_id = r.id
    GROUP BY r.id HAVING count(s.id) <> r.scope_count
    """,
)

# A mark that could not be composed repeats an earlier one of the same asset, and says which.
MARKS = Query(
    "marks_come_from_prices_or_from_the_mark_before",
    "margin_mark",
    """
    SELECT 'margin_mark', m.id::text, CASE
        WHEN m.price <= 0 AND m.rule_id IS NULL THEN 'its price is not positive'
        WHEN c.id IS NOT NULL THEN 'it differs from the mark it was carried from'
        ELSE 'it names a price that is not there' END
    FROM margin_mark m LEFT JOIN margin_mark c ON c.id = m.carried_from_id
    WHERE m.price <= 0 AND m.rule_id IS NULL
       OR c.id IS NOT NULL
          AND (c.asset_id <> m.asset_id OR c.price <> m.price OR c.as_of >= m.as_of)
       OR EXISTS (
            SELECT FROM jsonb_array_elements(m.used || m.dropped) u
            LEFT JOIN margin_price p ON p.id = (u ->> 'price_id')::bigint
                AND p.asset_id = m.asset_id
            WHERE u ? 'price_id' AND p.id IS NULL)
    """,
)

# A level moves by what its run kept, which starts where the newest day before ended.
LEVELS = Query(
    "levels_move_from_where_they_were",
    "margin_movedlevels",
    """
    SELECT 'margin_movedlevels', m.id::text,
           format('volatility added %%s on the day before, it says %%s',
                  coalesce(b.volatility, 0), m.volatility_before)
    FROM margin_movedlevels m JOIN margin_marginrun r ON r.id = m.run_id
    JOIN ledger_horizon h ON h.id = r.horizon_id
    JOIN accounts_agreementversion v ON v.id = m.agreement_version_id
    LEFT JOIN LATERAL (
        SELECT x.volatility FROM margin_movedlevels x
        JOIN margin_marginrun y ON y.id = x.run_id
            AND y.restates_id IS NULL AND y.business_day < r.business_day
        JOIN accounts_agreementversion w ON w.id = x.agreement_version_id
            AND w.agreement_id = v.agreement_id
        WHERE pg_visible_in_snapshot(x.xid, h.snapshot)
        ORDER BY y.as_of DESC, x.id DESC LIMIT 1) b ON true
    WHERE m.volatility_before
        <> CASE WHEN m.inputs ? 'asset' THEN coalesce(b.volatility, 0) ELSE 0 END
    """,
)

# A price file's run is of its instant, and nothing was touched where there is none.
REMARGINS = Query(
    "price_files_are_run_at_their_instant",
    "margin_remargin",
    """
    SELECT 'margin_remargin', g.id::text,
           format('%%s is of %%s, its run of %%s', f.name, f.as_of, r.as_of)
    FROM margin_remargin g JOIN margin_pricefile f ON f.id = g.price_file_id
    JOIN margin_marginrun r ON r.id = g.run_id
    WHERE r.as_of <> f.as_of OR r.purpose NOT IN ('intraday', 'incremental')
    """,
)

# A step begins where the one before it ended; the call stands where its last step left it.
CALLS = Query(
    "calls_stand_where_their_steps_left_them",
    "margin_margincall",
    """
    SELECT 'margin_margincall', c.id::text,
           format('it is %%s, its steps left it %%s', c.state, s.to_state)
    FROM margin_margincall c
    LEFT JOIN LATERAL (SELECT e.to_state FROM margin_callevent e WHERE e.call_id = c.id
                       ORDER BY e.id DESC LIMIT 1) s ON true
    WHERE c.state IS DISTINCT FROM s.to_state
    UNION ALL
    SELECT 'margin_callevent', e.id::text,
           format('it goes from %%s, the step before it to %%s', e.from_state, e.before)
    FROM (SELECT id, from_state, to_state,
                 lag(to_state, 1, '') OVER (PARTITION BY call_id ORDER BY id) AS before
          FROM margin_callevent) e
    WHERE e.from_state <> e.before
    """,
)

# What lists of calls ask for first is what the account of the scope says.
CALL_ENTITIES = Query(
    "calls_are_of_the_legal_entity_of_their_account",
    "margin_margincall",
    """
    SELECT 'margin_margincall', c.id::text,
           format('it says legal entity %%s, its account %%s', c.legal_entity_id, a.legal_entity_id)
    FROM margin_margincall c
    LEFT JOIN accounts_scope s ON s.id = c.scope_id
    LEFT JOIN accounts_bucket b ON b.id = s.bucket_id
    LEFT JOIN accounts_marginaccount a ON a.id = b.account_id
    WHERE c.legal_entity_id IS DISTINCT FROM a.legal_entity_id
    """,
)

# So does a delivery; where no key of a person seals what was sent, its hash is taken again.
DELIVERIES = Query(
    "deliveries_stand_where_their_steps_left_them",
    "margin_delivery",
    """
    SELECT 'margin_delivery', d.id::text,
           format('it is %%s after %%s attempts, its steps left it %%s after %%s',
                  d.state, d.attempts, s.to_state, t.attempts)
    FROM margin_delivery d
    LEFT JOIN LATERAL (SELECT e.to_state FROM margin_deliveryevent e WHERE e.delivery_id = d.id
                       ORDER BY e.number DESC LIMIT 1) s ON true
    CROSS JOIN LATERAL (SELECT count(*) AS attempts FROM margin_deliveryevent e
                        WHERE e.delivery_id = d.id
                          AND e.step IN ('attempt', 'unknown', 'written')) t
    WHERE d.state IS DISTINCT FROM s.to_state OR d.attempts <> t.attempts
    UNION ALL
    SELECT 'margin_deliveryevent', e.id::text,
           format('it goes from %%s, the step before it to %%s', e.from_state, e.before)
    FROM (SELECT id, from_state,
                 lag(to_state, 1, '') OVER (PARTITION BY delivery_id ORDER BY number) AS before
          FROM margin_deliveryevent) e
    WHERE e.from_state <> e.before
    UNION ALL
    SELECT 'margin_delivery', d.id::text, 'what was sent is not what its hash says'
    FROM margin_delivery d
    WHERE d.person_key_id IS NULL AND d.sha256 <> encode(sha256(d.sent_bytes), 'hex')
    """,
)


def check_margin(cursor: CursorWrapper) -> list[Check]:
    """Results, runs, marks, calls and what became of their notices."""
    queries = (TOTALS, RUNS, MARKS, LEVELS, REMARGINS, CALLS, CALL_ENTITIES, DELIVERIES)
    return [query.run(cursor, {}) for query in queries]


CHECKS: tuple[CheckFunction, ...] = (check_margin, check_columns)
