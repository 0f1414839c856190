"""The report of maintenance margin added up and netted, at every level and in every division."""

from collections.abc import Iterator

from brokerage.reports.report import DayReading, Report, Row, newest_run
from margin.aggregate import DIMENSIONS, LEVELS, roll_up
from margin.book import read_with_models

COLUMNS = (
    "by", "name", "scopes", "initial_margin", "maintenance_margin", "netted", "offset", "why_not",
)  # fmt: skip


def aggregate_margin(reading: DayReading) -> Iterator[Row]:
    """Each line of each level, then of each division across accounts."""
    run = newest_run(reading)
    read = read_with_models(run)
    for by in (*LEVELS, *DIMENSIONS):
        for line in roll_up(read, run=run, by=by):
            yield (
                by,
                line.name,
                line.scopes,
                line.initial,
                line.gross,
                line.netted,
                line.offset,
                line.why,
            )


AGGREGATE_MARGIN = Report(
    name="aggregate-margin",
    title="Aggregate maintenance margin",
    purpose="Maintenance margin added up and netted, by pool, client, account, desk and asset.",
    columns=COLUMNS,
    key=("by", "name"),
    rows=aggregate_margin,
)
