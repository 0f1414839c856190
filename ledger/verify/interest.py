"""Interest, worked out again: each day from its balance and rate, each sum from the day before."""

from collections.abc import Mapping

from django.db.backends.utils import CursorWrapper

from accounts.checks import NOTHING, Check, Query, run_each

ACCRUALS = Query(
    "interest_is_what_its_rates_make_of_it",
    "ledger_accrual",
    """
    SELECT 'ledger_accrual', s.account_id || '/' || s.run_id, s.why
    FROM (
        SELECT x.account_id, x.run_id, CASE
            WHEN d.run_id IS NULL THEN 'its curve had no rate on its day'
            WHEN x.numerator <> (CASE c.side WHEN 'borrow' THEN 1 ELSE -1 END)
                    * x.base * x.rate * x.days * (1603080 / x.year)
                THEN 'it is not its base times its rate times its share of a year'
            WHEN x.base <> greatest(x.closing - x.withheld, 0)
                THEN 'its base is not its balance less interest that bears none'
            WHEN x.cumulative <> x.numerator + x.corrected + x.cumulative_before
                THEN 'its sum does not go on from the day before'
            WHEN x.corrected <> x.corrections THEN 'it is not the sum of its corrections'
            WHEN x.paid_before <> x.paid_then + p.total
                THEN 'what was paid before it is not what was posted'
            WHEN x.due NOT IN (0, ledger.signed_ratio(x.cumulative, 1603080, t.scale::integer)
                                  - x.paid_before)
                THEN 'what is due is not the sum to the nearest unit less what was paid' END AS why
        FROM (
            SELECT a.*, lag(a.cumulative, 1, 0::numeric) OVER w AS cumulative_before,
                   lag(a.paid_before, 1, 0::numeric) OVER w AS paid_then,
                   lag(r.day) OVER w AS day_before,
                   coalesce(k.numerator, 0) AS corrections
            FROM ledger_accrual a JOIN ledger_accrualrun r ON r.id = a.run_id
            LEFT JOIN (SELECT account_id, run_id, sum(numerator) AS numerator
                       FROM ledger_accrualcorrection GROUP BY 1, 2) k USING (account_id, run_id)
            WINDOW w AS (PARTITION BY a.account_id ORDER BY a.run_id)
        ) x
        JOIN ledger_ratecurve c ON c.id = x.curve_id JOIN ledger_asset t ON t.id = c.asset_id
        LEFT JOIN ledger_dailyrate d ON d.run_id = x.run_id AND d.curve_id = x.curve_id
        CROSS JOIN LATERAL ledger.interest_paid(x.day_before, x.account_id) p
    ) s WHERE s.why IS NOT NULL
    """,
)

PUBLISHED = Query(
    "rates_are_published_by_two_people",
    "ledger_rateversion",
    """
    SELECT 'ledger_rateversion', v.id::text, 'no approval of exactly these rates was used for it'
    FROM ledger_rateversion v
    WHERE NOT EXISTS (SELECT FROM accounts_approval a WHERE a.used_xid = v.xid
                      AND a.action_id = 'rates.publish' AND a.payload = ledger.rates_said(v))
    """,
)

POSTED = Query(
    "interest_was_posted_as_it_was_accrued",
    "ledger_entry WHERE kind_id IN ('borrow_interest', 'credit_interest')",
    """
    SELECT 'ledger_entry', e.id::text, 'it is not what was accrued for its day and account'
    FROM ledger_entry e
    LEFT JOIN ledger_entrykey k ON k.entry_id = e.id
    LEFT JOIN LATERAL (
        SELECT y.due, q.day FROM ledger_ledgeraccount b
        JOIN ledger_pool o ON o.id = b.pool_id
        JOIN ledger_accrualrun q ON q.legal_entity_id = o.legal_entity_id
            AND q.day = split_part(k.key, ':', 2)::date
        JOIN ledger_accrual y ON y.run_id = q.id AND y.account_id = b.id
        WHERE b.id = split_part(k.key, ':', 3)::bigint
    ) x ON k.key ~ '^accrual:[0-9]{4}-[0-9]{2}-[0-9]{2}:[0-9]+$'
    CROSS JOIN LATERAL (SELECT sum(p.amount) AS paid FROM ledger_posting p
        JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.entry_id = e.id AND a.account_class IN ('claim', 'loan_receivable')) s
    WHERE e.kind_id IN ('borrow_interest', 'credit_interest')
      AND (x.due IS NULL OR s.paid * sign(x.due) <= 0 OR abs(s.paid) > abs(x.due)
           OR e.effective_at <> (x.day + 1)::timestamp AT TIME ZONE 'UTC')
    """,
)


def check_interest(cursor: CursorWrapper, proven: Mapping[str, int] = NOTHING) -> list[Check]:
    """Rates, accruals and the entries made of them."""
    return run_each(cursor, (ACCRUALS, PUBLISHED, POSTED), proven)
