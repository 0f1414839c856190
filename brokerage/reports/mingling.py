"""The report of proprietary trading and client funds: empty, or something is wrong."""

from collections.abc import Iterator

from brokerage.reports.report import DayReading, Report, Row
from ledger.mingling import mingled

COLUMNS = ("kind", "name", "owner_classes", "detail")


def rows(reading: DayReading) -> Iterator[Row]:
    """Every place where owner classes meet that must not."""
    yield from mingled(
        legal_entity_id=reading.business_day.legal_entity_id,
        snapshot=reading.point.snapshot,
        ends_at=reading.point.ends_at,
    )


PROP_MINGLING = Report(
    name="prop-mingling",
    title="Proprietary trading and client funds",
    purpose="Accounts, entries, places and obligations in which owner classes meet. None may.",
    columns=COLUMNS,
    key=("kind", "name"),
    rows=rows,
)
