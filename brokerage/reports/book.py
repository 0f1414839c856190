"""Reports on the book: segregation per pool, and breaks."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from accounts.models import Act
from brokerage.models import BusinessDay
from brokerage.reports.report import Report, Row
from ledger.models import Break, BreakEvent

SEGREGATION_COLUMNS = (
    "pool",
    "asset",
    "location",
    "client_claims",
    "residual_interest",
    "own_equity",
    "loans_receivable",
    "custody",
    "requirement",
    "resource",
    "excess",
)
BREAK_COLUMNS = (
    "found_on",
    "location",
    "kind",
    "asset",
    "reference",
    "ledger",
    "statement",
    "detail",
    "age_days",
    "status",
    "owner",
)


def segregation(business_day: BusinessDay) -> Iterator[Row]:
    """Each pool and asset as the day left it, then its locations one by one."""
    result: dict[str, Any] = business_day.result or {}
    for row in result["segregation"]:
        yield (
            row["pool"],
            row["asset"],
            "",
            row["client_claims"],
            row["residual_interest"],
            row["own_equity"],
            row["loans_receivable"],
            row["resource"],
            row["requirement"],
            row["resource"],
            row["excess"],
        )
        for location, held in row["custody"].items():
            yield (
                row["pool"],
                row["asset"],
                location,
                None,
                None,
                None,
                None,
                held,
                None,
                None,
                None,
            )


@dataclass(slots=True)
class Standing:
    """How a break stood at an instant: its status, and whose it was."""

    status: str = Break.Status.OPEN
    owner: str = ""

    def follow(self, event: str, by: str) -> None:
        """Go on by one event of its history."""
        if event == "taken":
            self.owner = by
            if self.status == Break.Status.OPEN:
                self.status = Break.Status.INVESTIGATING
        elif event == "explained":
            self.owner = self.owner or by
            self.status = Break.Status.EXPLAINED
        elif event == "closed":
            self.status = Break.Status.CLOSED


def standings(business_day: BusinessDay) -> dict[int, Standing]:
    """Every break that was found when the day closed, as it stood then; two queries.

    It is told from the history, not from the break as it is now: the report stays the same.
    """
    events = list(
        BreakEvent.objects.filter(recorded_at__lte=business_day.closed_at)
        .order_by("pk")
        .values_list("found_id", "event", "xid")
    )
    names = dict(
        Act.objects.filter(xid__in={xid for _, _, xid in events}).values_list(
            "xid", "operator__full_name"
        )
    )
    found: dict[int, Standing] = defaultdict(Standing)
    for break_id, event, xid in events:
        found[break_id].follow(event, names.get(xid) or "")
    return found


def breaks(business_day: BusinessDay) -> Iterator[Row]:
    """Every break that was not closed when the day was, oldest first."""
    stood = standings(business_day)
    rows = (
        Break.objects.filter(business_day__lte=business_day.day, pk__in=list(stood))
        .select_related("location", "asset")
        .order_by("business_day", "location__code", "ordinal")
    )
    for row in rows:
        standing = stood[row.pk]
        if standing.status == Break.Status.CLOSED:
            continue
        yield (
            row.business_day,
            row.location.code,
            row.kind,
            "" if row.asset is None else row.asset.code,
            row.reference,
            row.ledger_amount,
            row.statement_amount,
            row.detail,
            (business_day.day - row.business_day).days,
            standing.status,
            standing.owner,
        )


SEGREGATION = Report(
    name="segregation",
    title="Segregation per pool",
    purpose="What each pool holds, by location, against what it owes.",
    columns=SEGREGATION_COLUMNS,
    rows=segregation,
)
BREAKS = Report(
    name="breaks",
    title="Breaks",
    purpose="Where statements and the book differed when the day closed, with age and owner.",
    columns=BREAK_COLUMNS,
    rows=breaks,
)
