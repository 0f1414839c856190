"""The control "As of, known at" of a page that can be read in the past, kept in its address."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from urllib.parse import urlencode

from django.db import models
from django.http import HttpResponse, QueryDict
from django.shortcuts import render

from accounts.clock import shown_day, shown_instant
from accounts.columns import Column
from accounts.roles import DeskRequest
from ledger.times import (
    ReadingPoint,
    TimeRefusedError,
    asked,
    known,
    one_snapshot,
    shown,
)

AS_OF, KNOWN_AT = "as_of", "known_at"
ANOTHER_PLACE = ("page", "format", "before")


@dataclass(frozen=True)
class Times:
    """The two times of a page.

    Attributes:
        as_of, known_at: as they stand in the address.
        point: where the page is read; None for here and now.
        has_date: whether the page asks for a business date too.
        sent_along: the rest of the address.
        now: the same page, here and now.
    """

    as_of: str
    known_at: str
    point: ReadingPoint | None
    has_date: bool
    sent_along: list[tuple[str, str]]
    now: str

    @property
    def words(self) -> str:
        """The one line of a page that is read in the past."""
        if self.point is None:
            return ""
        parts = []
        if self.point.as_of is not None:
            parts.append(f"as of the end of {shown_day(self.point.as_of, form='medium')} (UTC)")
        if self.point.horizon is not None:
            taken = shown_instant(self.point.horizon.taken_at, form="full")
            parts.append(f"as known at {taken}, horizon {self.point.horizon.pk}")
        return ", ".join(parts)

    @property
    def first(self) -> str:
        """The two times as the first part of a link's question; "" for here and now."""
        return f"?{self._kept}" if self._kept else ""

    @property
    def more(self) -> str:
        """The two times as a further part of a link's question; "" for here and now."""
        return f"&{self._kept}" if self._kept else ""

    @property
    def _kept(self) -> str:
        said = {AS_OF: self.as_of, KNOWN_AT: self.known_at}
        return "" if self.point is None else urlencode({k: v for k, v in said.items() if v})


View = Callable[..., HttpResponse]


def in_two_times(*, has_date: bool = True) -> Callable[[View], View]:
    """A view that takes `times` and, at a point in the past, reads one state of it."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: DeskRequest, *args: object, **kwargs: object) -> HttpResponse:
            try:
                point = asked(_parameters(request, has_date=has_date))
            except TimeRefusedError as refused:
                times = times_of(request, None, has_date=has_date)
                context = {"times": times, "refused": str(refused)}
                return render(request, "ledger/time_refused.html", context, status=400)
            times = times_of(request, point, has_date=has_date)
            if point is None:
                return view(request, *args, times=times, **kwargs)
            with one_snapshot():
                return view(request, *args, times=times, **kwargs)

        return guarded

    return guard


def _parameters(request: DeskRequest, *, has_date: bool) -> dict[str, str]:
    names = (AS_OF, KNOWN_AT) if has_date else (KNOWN_AT,)
    return {name: request.GET.get(name, "").strip() for name in names}


def times_of(request: DeskRequest, point: ReadingPoint | None, *, has_date: bool) -> Times:
    """What the control shows and sends along."""
    rest = QueryDict(mutable=True)
    for key, values in request.GET.lists():
        if key not in (AS_OF, KNOWN_AT, *ANOTHER_PLACE):
            rest.setlist(key, values)
    said = _parameters(request, has_date=has_date)
    return Times(
        as_of=said.get(AS_OF, ""),
        known_at=said[KNOWN_AT],
        point=point,
        has_date=has_date,
        sent_along=[(key, value) for key, values in rest.lists() for value in values],
        now=f"{request.path}?{rest.urlencode()}" if rest else request.path,
    )


def columns_at(columns: Sequence[Column], point: ReadingPoint | None) -> Sequence[Column]:
    """The columns of postings that hold at a point.

    What a posting left behind counts all that was posted before it, also of later dates; as of a
    date only the statement of the ledger account says what was then held.
    """
    if point is None or point.as_of is None:
        return columns
    return [column for column in columns if column.key != "balance"]


def is_known_then(row: models.Model, point: ReadingPoint) -> bool:
    """Whether a row of an append-only table was known at a point."""
    return known(type(row)._default_manager.filter(pk=row.pk), point).exists()


def not_known(name: str, point: ReadingPoint) -> str:
    """The sentence about something that was not known at a point."""
    when = "at this moment" if point.known_at is None else f"at {shown(point.known_at)}"
    return f"{name} was not known {when}."


def not_there(request: DeskRequest, times: Times, sentence: str) -> HttpResponse:
    """404 for what the person may read, but not at this point; one sentence says why."""
    context = {"times": times, "sentence": sentence}
    return render(request, "ledger/not_there.html", context, status=404)
