"""Every report there is, by name."""

from brokerage.reports.aggregate import AGGREGATE_MARGIN
from brokerage.reports.book import BALANCES, BREAKS, SEGREGATION, TRIAL_BALANCE
from brokerage.reports.capital import CAPITAL_EFFICIENCY, ISOLATION
from brokerage.reports.late import BACK_DATED
from brokerage.reports.margin import MARGIN_CALLS, MARGIN_RECORD
from brokerage.reports.mingling import PROP_MINGLING
from brokerage.reports.report import Report
from brokerage.reports.trail import AUDIT_TRAIL

CATALOGUE: dict[str, Report] = {
    report.name: report
    for report in (
        MARGIN_CALLS,
        MARGIN_RECORD,
        SEGREGATION,
        TRIAL_BALANCE,
        BALANCES,
        BREAKS,
        BACK_DATED,
        PROP_MINGLING,
        AGGREGATE_MARGIN,
        CAPITAL_EFFICIENCY,
        ISOLATION,
        AUDIT_TRAIL,
    )
}
