"""Maintenance margin added up and netted, from the whole book down to a scope."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.drawing import chart
from accounts.roles import DeskRequest, require
from ledger.times import one_snapshot
from margin.aggregate import DIMENSIONS, LEVELS, Line, Place, history_of, of_some, roll_up, totals
from margin.screens.capital import accounts_here, inputs_of, shown_run
from margin.screens.history import axis_days
from margin.screens.visible import NO_PAGE

WORDS = {
    "book": "Whole book", "pool": "Pool", "client": "Client", "account": "Account",
    "scope": "Scope", "desk": "Desk", "model": "Model", "underlying": "Underlying",
    "location": "Venue or location",
}  # fmt: skip


@require_GET
@require("read")
def aggregate_page(request: DeskRequest) -> HttpResponse:
    """`?by=` how the book is divided, `?level=` and `?name=` within which line."""
    by, level = request.GET.get("by", "pool"), request.GET.get("level", "book")
    name = request.GET.get("name", "")
    if by not in (*LEVELS, *DIMENSIONS) or level not in (*LEVELS, "desk", "model"):
        raise Http404(NO_PAGE)
    run, mine = shown_run(), accounts_here(request)
    context: dict[str, Any] = {
        "run": run, "by": by, "level": level, "name": name, "words": WORDS[by],
        "within": "" if level == "book" else f"{WORDS[level].lower()} {name}",
        "ways": [
            (way, WORDS[way], address(way, level, name)) for way in (*LEVELS[1:], *DIMENSIONS)
        ],
    }  # fmt: skip
    if run is not None:
        with one_snapshot():
            read = inputs_of(run)
            codes = {row.account for row in read.scopes if row.account_id in mine}
            part = of_some(read, lambda place: is_within(place, level, name, codes))
            lines = roll_up(part, run=run, by=by)
            whole = roll_up(part, run=run, by="book")
            history = history_of(level, name, accounts=mine)
        context |= {
            "lines": [(line, below(by, line)) for line in lines],
            "whole": whole[0] if whole else None,
            "adds_up": totals(lines) == totals(whole),
            "history": history[::-1],
            "chart": drawn(history),
        }
    return render(request, "margin/aggregate.html", context)


def is_within(place: Place, level: str, name: str, codes: set[str]) -> bool:
    """Whether a scope counts: it may be seen and lies within the line."""
    return place.account in codes and (level == "book" or place.at(level) == name)


def address(by: str, level: str, name: str) -> str:
    """The page divided in a way, within a line."""
    asked = {"by": by} if level == "book" else {"by": by, "level": level, "name": name}
    return f"{reverse('margin:aggregate')}?{urlencode(asked)}"


def below(by: str, line: Line) -> str:
    """Where a line opens: what it consists of at the next level; none at the last."""
    if by in LEVELS[:-1]:
        return address(LEVELS[LEVELS.index(by) + 1], by, line.name)
    return address("client", by, line.name) if by in ("desk", "model") else ""


def drawn(history: list[Any]) -> Any:  # noqa: ANN401
    """Gross maintenance margin by day; none for a single day, which is no line."""
    if len(history) < 2:
        return None
    return chart(
        [("mm", [total for _, total in history])],
        days=axis_days([day for day, _ in history]),
        words="Maintenance margin added up by day; figures in the table below",
    )
