"""The report of entries that came after their date, as a day found them."""

from collections.abc import Iterator

from brokerage.reports.report import DayReading, Report, Row
from ledger.back_dating import back_dated
from ledger.models import DayClose
from ledger.times import IsKnown, at_horizon, known

COLUMNS = (
    "entry",
    "kind",
    "reference",
    "effective_on",
    "overtaken_on",
    "broken_rule",
    "ledger_account",
    "broken_on",
    "balance",
    "approval",
)


def late_entries(reading: DayReading) -> Iterator[Row]:
    """Late entries that came in between the close of the day before and that of this day."""
    day = reading.business_day
    found = known(known(back_dated([day.legal_entity_id]), reading.closing), reading.point)
    before = (
        DayClose.objects.filter(legal_entity=day.legal_entity_id, day__lt=day.day)
        .select_related("horizon")
        .order_by("-day")
        .first()
    )
    if before is not None:
        found = found.exclude(IsKnown("xid", at_horizon(before.horizon)))
    for late in found.order_by("entry_id"):
        yield (
            late.entry_id,
            late.entry.kind_id,
            late.entry.reference,
            late.effective_on,
            late.overtaken_on,
            late.broken_rule,
            late.account_id,
            late.broken_on,
            late.balance,
            None if late.approval is None else late.approval.number,
        )


BACK_DATED = Report(
    name="back-dated-entries",
    title="Back-dated entries",
    purpose="Entries that came in since the day before and take effect before what was there.",
    columns=COLUMNS,
    key=("entry",),
    rows=late_entries,
)
