"""Reports on the book: segregation per pool, and breaks."""

from collections.abc import Iterator
from typing import Any

from brokerage.models import BusinessDay
from brokerage.reports.report import Report, Row
from ledger.models import Break

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


def breaks(business_day: BusinessDay) -> Iterator[Row]:
    """Every break found up to the day and not closed by its as-of instant, oldest first."""
    found = (
        Break.objects.filter(business_day__lte=business_day.day)
        .select_related("location", "asset", "owner")
        .order_by("business_day", "location__code", "ordinal")
    )
    for row in found:
        if row.closed_at is not None and row.closed_at <= business_day.as_of:
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
            row.status,
            "" if row.owner is None else row.owner.full_name,
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
    purpose="Where statements and the book differ, with age and owner.",
    columns=BREAK_COLUMNS,
    rows=breaks,
)
