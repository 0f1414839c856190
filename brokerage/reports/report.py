"""One report: its rows as of a business day, as known at a horizon, its bytes and its manifest."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import localcontext
from typing import Any

from django.db import connection

from accounts.exports import exported, to_csv, to_json
from accounts.seals.printed import seal_over
from brokerage.models import BusinessDay, DayStep
from ledger.exact import EXACT
from ledger.horizons import current_horizon
from ledger.models import DayClose
from ledger.standing import BookStanding, Touched, book_standing
from ledger.times import (
    ReadingPoint,
    TimeRefusedError,
    at_horizon,
    known,
    one_snapshot,
    reading_point,
    shown,
)
from margin.models import MarginRun
from margin.run_rows import day_runs

Row = Sequence[object]
FORMATS = ("csv", "json")


class ReportRefusedError(Exception):
    """The report cannot be written; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class DayReading:
    """What the rows of a report are read from.

    Attributes:
        business_day: the day the report is of.
        point: the business date up to which the book counts, and what was known.
        closing: what was known when the day closed.
    """

    business_day: BusinessDay
    point: ReadingPoint
    closing: ReadingPoint


BookRows = Callable[[BookStanding, Touched | None], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Report:
    """A kind of report.

    Attributes:
        name: as commands and addresses say it.
        title: as people say it.
        purpose: what it is for, in one sentence.
        columns: of every row.
        key: the columns that tell its rows apart.
        rows: reads the rows of a day's record; none for a report of the book.
        book_rows: the rows of the book as it stood, all or those that some accounts show in;
            none for a record of the day.
        is_trail: whether it lists acts in their time, which no later act restates.
    """

    name: str
    title: str
    purpose: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: Callable[[DayReading], Iterable[Row]] | None = None
    book_rows: BookRows | None = None
    is_trail: bool = False

    def read(self, reading: DayReading) -> list[list[object]]:
        """The rows at a reading; call inside one snapshot."""
        with localcontext(EXACT):
            if self.book_rows is not None:
                entities = [reading.business_day.legal_entity_id]
                standing = book_standing(reading.point, entities=entities)
                return [list(row) for row in self.book_rows(standing, None)]
            assert self.rows is not None, "a report has rows of the day or of the book"
            return [list(row) for row in self.rows(reading)]


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report as bytes, with its manifest."""

    file_name: str
    content_type: str
    content: bytes
    manifest: dict[str, Any]


def write_report(
    report: Report,
    *,
    day: date,
    file_format: str,
    known_at: datetime | None = None,
    as_of: date | None = None,
) -> WrittenReport:
    """Write a report of a closed business day; the same day, known at the same horizon, gives the
    same bytes.

    Args:
        known_at: what was known then is all that counts; what is known now if None. Then a
            horizon is stored, so that the file can be written again at any later time.
        as_of: another last business date for a report of the book; the day's own if None.

    Raises:
        ReportRefusedError: the format is not known, the day was not in the book or not closed as
            far as was known, or nothing can be read at these times.
    """
    if file_format not in FORMATS:
        raise ReportRefusedError(
            f"{file_format!r} is no format; a report is {' or '.join(FORMATS)}."
        )
    if as_of is not None and report.book_rows is None:
        raise ReportRefusedError(f"{report.title} is a record of its day; it has no other date.")
    point = _point(day if as_of is None else as_of, known_at)
    with one_snapshot():
        reading = day_reading(day, point)
        rows = report.read(reading)
        about = {"report": report.name, "title": report.title, **_origin(reading)}
        record = _record(point)
    if as_of is not None:
        about["book_as_of"] = as_of.isoformat()
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
        manifest={
            **about,
            "format": file_format,
            "rows": len(rows),
            "sha256": sha256,
            **_known(point),
            **record,
        },
    )


def _point(as_of: date, known_at: datetime | None) -> ReadingPoint:
    if known_at is None:
        return at_horizon(current_horizon("report"), as_of=as_of)
    try:
        return reading_point(as_of=as_of, known_at=known_at)
    except TimeRefusedError as refused:
        raise ReportRefusedError(str(refused)) from refused


def day_reading(day: date, point: ReadingPoint) -> DayReading:
    """A closed day at a point.

    Raises:
        ReportRefusedError: the day was not in the book or not closed as far as the point knows.
    """
    business_day = BusinessDay.objects.filter(day=day).first()
    if business_day is None:
        raise ReportRefusedError(f"{day} is not in the book; no report was written.")
    if business_day.closed_at is None:
        raise ReportRefusedError(f"{day} is not closed; no report was written.")
    done = DayStep.objects.filter(business_day=business_day, step="result")
    if not known(done, point).exists():
        assert point.known_at is not None, "what is closed now is known now"
        raise ReportRefusedError(
            f"{day} was not closed yet as known at {shown(point.known_at)}; no report was written."
        )
    close = DayClose.objects.select_related("horizon").get(
        legal_entity=business_day.legal_entity_id, day=day
    )
    return DayReading(business_day, point, at_horizon(close.horizon, as_of=day))


def _origin(reading: DayReading) -> dict[str, Any]:
    """What every report of the day rests on: instant, run, horizon, files."""
    run = newest_run(reading)
    day = reading.business_day
    return {
        "business_day": day.day.isoformat(),
        "as_of": exported(day.as_of),
        "run": run.number,
        "run_result_sha256": run.result_sha256,
        "snapshot": run.horizon.snapshot,
        "folder_sha256": day.content_sha256,
    }


def newest_run(reading: DayReading) -> MarginRun:
    """The end-of-day run of the day, the newest one that was known."""
    runs = (
        day_runs()
        .filter(business_day=reading.business_day.day, purpose="end-of-day")
        .select_related("horizon")
    )
    return known(runs, reading.point).latest("pk")


def _known(point: ReadingPoint) -> dict[str, Any]:
    """The horizon the report was read at; not part of the content, which is the same at another
    one that knows the same."""
    assert point.horizon is not None, "a report is read at a stored horizon"
    return {
        "horizon": point.horizon.pk,
        "horizon_taken_at": exported(point.horizon.taken_at),
        "known": point.snapshot,
    }


def _record(point: ReadingPoint) -> dict[str, Any]:
    """The seal: not part of the content, so that it may go on after the day.

    It is of the first block that covers all that was known at the report's horizon, so the same
    report written again is under the same seal; of the newest, and pending, before there is one.
    """
    assert point.horizon is not None, "a report is read at a stored horizon"
    with connection.cursor() as cursor:
        return seal_over(cursor, point.snapshot).as_json()
