"""One report: its rows as of a business day, its bytes, and the manifest beside them."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from accounts.exports import exported, to_csv, to_json
from accounts.models import SealBlock
from brokerage.models import BusinessDay
from margin.models import MarginRun

Row = Sequence[object]
FORMATS = ("csv", "json")


class ReportRefusedError(Exception):
    """The report cannot be written; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """A kind of report.

    Attributes:
        name: as commands and addresses say it.
        title: as people say it.
        purpose: what it is for, in one sentence.
        columns: of every row.
        rows: reads the rows as of the close of a business day.
    """

    name: str
    title: str
    purpose: str
    columns: tuple[str, ...]
    rows: Callable[[BusinessDay], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report as bytes, with its manifest."""

    file_name: str
    content_type: str
    content: bytes
    manifest: dict[str, Any]


def write_report(report: Report, *, day: date, file_format: str) -> WrittenReport:
    """Write a report of a closed business day; the same day gives the same bytes.

    Raises:
        ReportRefusedError: the format is not known, or the day is not in the book or not closed.
    """
    if file_format not in FORMATS:
        raise ReportRefusedError(
            f"{file_format!r} is no format; a report is {' or '.join(FORMATS)}."
        )
    business_day = BusinessDay.objects.filter(day=day).first()
    if business_day is None:
        raise ReportRefusedError(f"{day} is not in the book; no report was written.")
    if business_day.closed_at is None:
        raise ReportRefusedError(f"{day} is not closed; no report was written.")
    rows = [list(row) for row in report.rows(business_day)]
    about = {"report": report.name, "title": report.title, **_origin(business_day)}
    content = (
        to_csv(report.columns, rows)
        if file_format == "csv"
        else to_json(report.columns, rows, about=about)
    )
    sha256 = hashlib.sha256(content).hexdigest()
    return WrittenReport(
        file_name=f"{report.name}-{day}.{file_format}",
        content_type="text/csv; charset=utf-8" if file_format == "csv" else "application/json",
        content=content,
        manifest={**about, "format": file_format, "rows": len(rows), "sha256": sha256, **_record()},
    )


def _origin(business_day: BusinessDay) -> dict[str, Any]:
    """What every report of the day rests on: instant, run, horizon, files."""
    run = (
        MarginRun.objects.filter(business_day=business_day.day, purpose="end-of-day")
        .select_related("horizon")
        .latest("pk")
    )
    return {
        "business_day": business_day.day.isoformat(),
        "as_of": exported(business_day.as_of),
        "run": run.number,
        "run_result_sha256": run.result_sha256,
        "snapshot": run.horizon.snapshot,
        "folder_sha256": business_day.content_sha256,
    }


def _record() -> dict[str, Any]:
    """The newest seal: not part of the content, so that it may go on after the day."""
    block = SealBlock.objects.order_by("-number").first()
    if block is None:
        return {"sealed_to_block": None, "head": None}
    return {"sealed_to_block": block.number, "head": bytes(block.head_hash).hex()}
