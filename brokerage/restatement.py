"""The restatement of a business date: late entries, and every cell they moved in every report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import localcontext
from typing import Any

from accounts.exports import exported
from brokerage.models import BusinessDay
from brokerage.reports.catalogue import CATALOGUE
from brokerage.reports.report import Report, ReportRefusedError, day_reading
from ledger.exact import EXACT
from ledger.restatement import (
    LateEntry,
    Layout,
    MovedCell,
    changed_cells,
    late_entries,
    moved_cells,
    table_of,
)
from ledger.times import ReadingPoint, TimeRefusedError, one_snapshot, reading_point, shown

TRAIL = "it lists acts in the order of their time; a later act adds lines and restates none"


@dataclass(frozen=True, slots=True)
class ReportDiff:
    """What reads otherwise in one report."""

    report: Report
    cells: list[MovedCell]


@dataclass(frozen=True, slots=True)
class Restatement:
    """What became known of a business date between two horizons.

    Attributes:
        diffs: every report that could be read at both.
        left_out: reports that could not, and why.
    """

    as_of: date
    earlier: ReadingPoint
    later: ReadingPoint
    entries: list[LateEntry]
    diffs: list[ReportDiff]
    left_out: dict[str, str]

    @property
    def cell_count(self) -> int:
        return sum(len(diff.cells) for diff in self.diffs)


def restatement(
    *, as_of: date, earlier: datetime, later: datetime | None, entity_id: int | None = None
) -> Restatement:
    """Compare what was known of a date at two times; None is now.

    Args:
        entity_id: the legal entity whose book it is; the only one if None.

    Raises:
        TimeRefusedError: nothing can be read at a time, or the earlier is not the earlier.
    """
    one = reading_point(as_of=as_of, known_at=earlier)
    other = reading_point(as_of=as_of, known_at=later)
    if later is not None and later < earlier:
        raise TimeRefusedError(f"{shown(later)} is before {shown(earlier)}.")
    entities = None if entity_id is None else [entity_id]
    with one_snapshot(), localcontext(EXACT):
        late = late_entries(one, other, entities=entities)
        diffs, left_out = _diffs(one, other, late=late, entities=entities)
    return Restatement(as_of, one, other, late, diffs, left_out)


def _diffs(
    one: ReadingPoint,
    other: ReadingPoint,
    *,
    late: Sequence[LateEntry],
    entities: list[int] | None,
) -> tuple[list[ReportDiff], dict[str, str]]:
    diffs: list[ReportDiff] = []
    left_out: dict[str, str] = {}
    for report in CATALOGUE.values():
        if report.is_trail:
            left_out[report.name] = TRAIL
            continue
        try:
            cells = _cells(report, one, other, late=late, entities=entities)
        except ReportRefusedError as refused:
            left_out[report.name] = str(refused).partition(";")[0]
        else:
            diffs.append(ReportDiff(report, cells))
    return diffs, left_out


def _cells(
    report: Report,
    one: ReadingPoint,
    other: ReadingPoint,
    *,
    late: Sequence[LateEntry],
    entities: list[int] | None,
) -> list[MovedCell]:
    layout = Layout(report.columns, report.key)
    if report.book_rows is not None:
        return moved_cells(
            report.book_rows, layout, earlier=one, later=other, late=late, entities=entities
        )
    assert one.as_of is not None
    tables = [
        table_of(report.read(day_reading(one.as_of, point)), layout) for point in (one, other)
    ]
    return [MovedCell(cell, *values, ()) for cell, values in changed_cells(*tables).items()]


def as_json(found: Restatement) -> dict[str, Any]:
    """A restatement as commands and programs have it."""
    return {
        "as_of": found.as_of.isoformat(),
        "from": point_json(found.earlier),
        "to": point_json(found.later),
        "entries": [
            {
                "entry": entry.entry_id,
                "kind": entry.kind,
                "reference": entry.reference,
                "effective_at": exported(entry.effective_at),
                "recorded_at": exported(entry.recorded_at),
            }
            for entry in found.entries
        ],
        "reports": {
            diff.report.name: [_cell_json(diff.report, cell) for cell in diff.cells]
            for diff in found.diffs
        },
        "left_out": found.left_out,
    }


def point_json(point: ReadingPoint) -> dict[str, Any]:
    """A reading point as programs have it."""
    horizon = point.horizon
    return {
        "known_at": exported(point.known_at),
        "horizon": None if horizon is None else horizon.pk,
        "horizon_taken_at": None if horizon is None else exported(horizon.taken_at),
    }


def _cell_json(report: Report, moved: MovedCell) -> dict[str, Any]:
    values = [exported(value) for value in moved.cell.key.values]
    row: dict[str, Any] = dict(zip(report.key, values, strict=True))
    if moved.cell.key.place > 1:
        row["repeated"] = moved.cell.key.place
    return {
        "row": row,
        "column": moved.cell.column,
        "before": exported(moved.before),
        "after": exported(moved.after),
        "moved_by": list(moved.moved_by),
    }


def days_of(entity_id: int) -> list[date]:
    """The closed business days of a firm, newest first."""
    days = BusinessDay.objects.filter(legal_entity=entity_id, closed_at__isnull=False)
    return list(days.order_by("-day").values_list("day", flat=True)[:60])
