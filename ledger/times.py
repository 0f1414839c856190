"""The two times of every reading: a business date, and a committed horizon.

`as_of` is business time: what takes effect by the end of that date (UTC). `known_at` is when
somebody looked: the newest horizon stored then or before says which transactions they could see.
Recorded times are for people and decide nothing here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar

from django.db import connection, connections, models, transaction
from django.db.models import F, Func, QuerySet, TextField, Value
from django.db.models.functions import Cast

from accounts.fields import SnapshotField
from accounts.models import AuditRow
from accounts.trail import exact
from ledger.horizons import newest_horizon
from ledger.models import Entry, Horizon, Posting

Row = TypeVar("Row", bound=models.Model)

# A zone behind a plus sign that an address turned into a blank.
ZONE_AFTER_BLANK: Final = re.compile(r"([T:].*) (\d\d(?::?\d\d)?)$")
# Business times that the book can hold.
FIRST_DATE: Final = date(1970, 1, 1)
LAST_DATE: Final = date(2199, 12, 31)


class TimeRefusedError(Exception):
    """A time that cannot be read at; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class ReadingPoint:
    """Where in the two times something is read.

    Attributes:
        as_of: the last business date that counts; None for all of them.
        known_at: when it was asked for; None for now.
        snapshot: the transactions that are known, as PostgreSQL prints them.
        horizon: the stored horizon it was taken from; None for now.
    """

    as_of: date | None
    known_at: datetime | None
    snapshot: str
    horizon: Horizon | None

    @property
    def is_past(self) -> bool:
        """Whether it is another point than here and now."""
        return self.as_of is not None or self.known_at is not None

    @property
    def ends_at(self) -> datetime | None:
        """The first instant of business time that no longer counts."""
        return None if self.as_of is None else end_of(self.as_of)


def end_of(day: date) -> datetime:
    """The first instant after a business date."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


class IsKnown(Func):
    """Whether a transaction had committed at a point: `IsKnown("xid", point)`."""

    function = "pg_visible_in_snapshot"
    output_field = models.BooleanField()

    def __init__(self, xid: str, point: ReadingPoint) -> None:
        super().__init__(F(xid), Value(point.snapshot, output_field=SnapshotField()))


def reading_point(*, as_of: date | None = None, known_at: datetime | None = None) -> ReadingPoint:
    """The point for two times as they were asked for; None is here, and now.

    Raises:
        TimeRefusedError: the book keeps no such date, the time has not come yet, or it is before
            the first horizon.
    """
    if as_of is not None and not FIRST_DATE <= as_of <= LAST_DATE:
        raise TimeRefusedError(f"The book keeps no entries of {as_of.isoformat()}.")
    if known_at is None:
        return ReadingPoint(as_of, None, snapshot_now(), None)
    if known_at > datetime.now(tz=UTC):
        raise TimeRefusedError(f"{shown(known_at)} has not come yet; nothing is known of it.")
    horizon = newest_horizon(known_at)
    if horizon is None:
        first = Horizon.objects.order_by("taken_at").values_list("taken_at", flat=True).first()
        since = "none is stored yet" if first is None else f"the first is of {shown(first)}"
        raise TimeRefusedError(f"{shown(known_at)} is before the first stored horizon; {since}.")
    return ReadingPoint(as_of, known_at, horizon.snapshot, horizon)


def at_horizon(horizon: Horizon, *, as_of: date | None = None) -> ReadingPoint:
    """The point of a stored horizon."""
    return ReadingPoint(as_of, horizon.taken_at, horizon.snapshot, horizon)


def snapshot_now() -> str:
    """The transactions that have committed now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        (snapshot,) = cursor.fetchone()
    return str(snapshot)


def shown(instant: datetime) -> str:
    """An instant for a sentence, in UTC."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# ---------------------------------------------------------------- as people write the two times


def parsed_date(text: str) -> date:
    """A business date as addresses and commands give it.

    Raises:
        TimeRefusedError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TimeRefusedError(f"{text!r} is no date; a date is 2026-03-31.") from error


def parsed_instant(text: str) -> datetime:
    """An instant as addresses and commands give it; UTC where it names no zone.

    Raises:
        TimeRefusedError: it is none.
    """
    try:
        instant = datetime.fromisoformat(ZONE_AFTER_BLANK.sub(r"\1+\2", text.strip()))
    except ValueError as error:
        raise TimeRefusedError(f"{text!r} is no time; a time is 2026-03-31T18:00:00Z.") from error
    if len(text.strip()) <= len("2026-03-31"):
        raise TimeRefusedError(f"{text!r} is no time; a time is 2026-03-31T18:00:00Z.")
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise TimeRefusedError(f"{text!r} is no time; a time is 2026-03-31T18:00:00Z.") from error


def point_of(*, as_of: str = "", known_at: str = "") -> ReadingPoint:
    """The point for two times as texts; an empty text is here, and now.

    Raises:
        TimeRefusedError: a text is none, or nothing can be read there.
    """
    return reading_point(
        as_of=parsed_date(as_of) if as_of else None,
        known_at=parsed_instant(known_at) if known_at else None,
    )


# ---------------------------------------------------------------- reading at a point


@contextmanager
def one_snapshot() -> Iterator[None]:
    """All that is read inside sees one state, on a connection of its own that cannot write."""
    outer = connections["default"]
    own = connections.create_connection("default")
    connections["default"] = own
    try:
        with transaction.atomic():
            with own.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    finally:
        connections["default"] = outer
        own.close()


def known(rows: "QuerySet[Row]", point: ReadingPoint) -> "QuerySet[Row]":
    """The rows of an append-only table that the point knows."""
    return rows.filter(IsKnown("xid", point))


def entries_at(entries: "QuerySet[Entry]", point: ReadingPoint) -> "QuerySet[Entry]":
    """The entries that had taken effect and were known at a point."""
    found = known(entries, point)
    return found if point.ends_at is None else found.filter(effective_at__lt=point.ends_at)


def postings_at(postings: "QuerySet[Posting]", point: ReadingPoint) -> "QuerySet[Posting]":
    """The postings of entries that had taken effect and were known at a point."""
    found = known(postings, point)
    return found if point.ends_at is None else found.filter(entry__effective_at__lt=point.ends_at)


def rows_as_known(
    table: str, point: ReadingPoint, *, keys: Iterable[object] | None = None
) -> dict[str, dict[str, Any]]:
    """Rows of an editable table as the trail says they stood, by key; removed ones are not there.

    Args:
        table: its name; its changes are in the trail.
        keys: of the rows that are wanted; all if None.
    """
    changes = AuditRow.objects.filter(IsKnown("xid", point), table_name=table)
    if keys is not None:
        changes = changes.filter(row_key__in=[str(key) for key in keys])
    # As text: a number of the trail keeps the digits it was written with.
    newest = (
        changes.order_by("row_key", "-pk")
        .distinct("row_key")
        .annotate(stood=Cast("after", TextField()))
        .values_list("row_key", "stood")
    )
    return {key: exact(stood) for key, stood in newest if stood is not None}


def as_known(rows: Iterable[Row], point: ReadingPoint) -> list[Row]:
    """Rows of one editable table with what they said at a point; those not there yet are left out.

    Columns that the trail shows only by a hash (secret, personal, too long) stay as they are now.
    """
    listed = list(rows)
    if not listed:
        return []
    model = type(listed[0])
    stood = rows_as_known(model._meta.db_table, point, keys=[row.pk for row in listed])
    found = []
    for row in listed:
        said = stood.get(str(row.pk))
        if said is not None:
            _put_back(row, said)
            found.append(row)
    return found


def _put_back(row: models.Model, said: dict[str, Any]) -> None:
    for column in row._meta.concrete_fields:
        if column.primary_key or isinstance(column, models.BinaryField | models.JSONField):
            continue
        value = said.get(column.column or "")
        if column.column not in said or value in ("hidden", "changed"):
            continue
        to_python = (
            column.target_field.to_python
            if isinstance(column, models.ForeignKey)
            else column.to_python
        )
        stood = to_python(value)
        if getattr(row, column.attname) != stood:
            setattr(row, column.attname, stood)


def asked(parameters: Mapping[str, str]) -> ReadingPoint | None:
    """The point that the parameters `as_of` and `known_at` of an address ask for; None for neither.

    Raises:
        TimeRefusedError: one of them is no such time, or nothing can be read there.
    """
    as_of, known_at = parameters.get("as_of", ""), parameters.get("known_at", "")
    return point_of(as_of=as_of, known_at=known_at) if as_of or known_at else None
