"""The day board: is client money whole, what needs a person, how the margin scopes stand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET

from accounts.emergencies import alarms
from accounts.figures import grouped
from accounts.listing import wants_rows
from accounts.middleware import LIVE_HEADER
from accounts.models import LegalEntity
from accounts.roles import DeskRequest, check, may
from accounts.states import STATES
from brokerage.models import BusinessDay, Job
from brokerage.reports import CATALOGUE, FORMATS
from brokerage.screens.cycle import CyclePanel, cycle_steps
from brokerage.screens.scopes import Scopes, scopes_by_state
from brokerage.screens.task_lines import Line
from brokerage.screens.waiting import lines_of
from brokerage.screens.whole import Whole, whole_now, whole_then
from brokerage.strip import PRICE_TO_RELY_ON, strip_of
from margin.models import Mark
from margin.screens.switches import stopped_here

PRICES_SHOWN = 12
NUMBER_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)  # fmt: skip
DAILY_REPORTS = ("margin-record", "segregation")
DROP_WORDS = {"future": "later than as-of", "too_few": "alone"}


@dataclass(frozen=True)
class PriceLine:
    """A mark as a row shows it."""

    mark: Mark
    used: int
    sources: int
    dropped: str


@dataclass(frozen=True)
class Prices:
    """The marks of a day, worst first; `left` stand on the page of prices only."""

    lines: list[PriceLine]
    marks: list[Mark]
    invalid: int
    state: str

    @property
    def total(self) -> int:
        return len(self.marks)

    @property
    def left(self) -> int:
        return self.total - len(self.lines)


@dataclass(frozen=True)
class DayFound:
    """What a past day came to, in figures of its result."""

    trades: int
    transfers: int
    fees: Decimal
    realised: Decimal
    refused_events: int
    rejected_rows: int
    calls: int
    called: Decimal
    deficits: int
    breaks: int


@dataclass(frozen=True)
class Board:
    """Everything on the page of one day."""

    day: BusinessDay
    is_newest: bool
    whole: Whole
    scopes: Scopes | None
    prices: Prices
    cycle: CyclePanel
    work: list[Line]
    found: DayFound | None
    verdict: str


@require_GET
def day_board(request: DeskRequest, day: str = "") -> HttpResponse:
    """The newest day, or the one in the address; htmx gets what loads itself again."""
    entity = request.legal_entity
    if entity is None:
        return render(request, "brokerage/no_role.html")
    if not day and not may(request, "read", entity):
        # The first page after signing in; an administrator reads no client page.
        return redirect("accounts:approvals")
    check(request, "read", entity)
    days = BusinessDay.objects.filter(legal_entity=entity)
    newest = days.order_by("-day").first()
    shown = named_day(days, day) if day else newest
    if shown is None:
        return render(request, "brokerage/first_day.html", {"inbox": settings.INBOX_FOLDER})
    is_newest = newest is not None and shown.pk == newest.pk
    board = board_of(request, entity, shown, is_newest=is_newest)
    return board_answer(request, board, days)


def named_day(days: Any, text: str) -> BusinessDay:  # noqa: ANN401 - a queryset of days
    """The day in the address."""
    try:
        found: BusinessDay | None = days.filter(day=date.fromisoformat(text)).first()
    except ValueError:
        found = None
    if found is None:
        raise Http404("There is no such page.")
    return found


def board_of(
    request: DeskRequest, entity: LegalEntity, day: BusinessDay, *, is_newest: bool
) -> Board:
    """Read the page; a fixed number of queries."""
    is_past = not is_newest and day.closed_at is not None
    whole = whole_then(entity, day) if is_past else whole_now(entity, day)
    scopes = scopes_by_state(request, day.day)
    prices = prices_of(day)
    run = scopes.run if scopes else None
    return Board(
        day=day,
        is_newest=is_newest,
        whole=whole,
        scopes=scopes,
        prices=prices,
        cycle=cycle_steps(day),
        work=lines_of(request, day, whole=whole, run=run, marks=prices.marks) if is_newest else [],
        found=found_on(day) if is_past else None,
        verdict=verdict(whole, scopes, prices),
    )


def board_answer(request: DeskRequest, board: Board, days: Any) -> HttpResponse:  # noqa: ANN401
    """The page; for htmx its panels alone, or 204 where the browser has them as they are."""
    residual = board.whole.equation.residual if board.whole.equation else None
    lacking = board.scopes.under_margined if board.scopes else None
    context: dict[str, object] = {
        "board": board,
        "covered": residual / lacking if residual is not None and lacking else None,
        # That of the newest day is in every page.
        **(stopped_here(request) if board.is_newest else {"strip": strip_of(board.day)}),
        "earlier": days.filter(day__lt=board.day.day).order_by("-day").first(),
        "later": days.filter(day__gt=board.day.day).order_by("day").first(),
        "exports": [(CATALOGUE[name], FORMATS) for name in DAILY_REPORTS],
        "is_busy": board.cycle.job is not None and board.cycle.job.state == Job.State.RUNNING,
    }
    region = render_to_string("brokerage/_day_panels.html", context, request)
    digest = hashlib.sha256(region.encode()).hexdigest()[:20]
    if wants_rows(request) and request.headers.get(LIVE_HEADER) == digest:
        return HttpResponse(status=204)
    context |= {
        "region": region,
        "region_digest": digest,
        "alarms": alarms(board.day.legal_entity),
    }
    template = "brokerage/_day_live.html" if wants_rows(request) else "brokerage/day.html"
    return render(request, template, context)


# ---------------------------------------------------------------- the verdict


def verdict(whole: Whole, scopes: Scopes | None, prices: Prices) -> str:
    """The page in a sentence or two: money first, then what is worst."""
    if whole.is_whole:
        first = "Client money is whole."
    else:
        amounts = [
            f"{grouped(line.shortfall or 0, decimals=line.scale)} {line.asset}"
            for line in whole.missing
        ]
        first = f"Client money lacks {listed(amounts)}, due from the firm."
    parts = []
    if scopes is None:
        parts.append("no margin run has been made yet")
    else:
        for state, words in (("DEFICIT", "in deficit"), ("LIQUIDATE", "at liquidation")):
            number = scopes.number(state)
            if number:
                parts.append(
                    f"{number_word(number)} scope{'s are' if number > 1 else ' is'} {words}"
                )
        if scopes.left_out:
            number = scopes.left_out
            parts.append(
                f"{number_word(number)} scope{'s' if number > 1 else ''} could not be margined"
            )
    if prices.invalid:
        number = prices.invalid
        parts.append(f"{number_word(number)} price{'s are' if number > 1 else ' is'} missing")
    if not parts:
        return f"{first} No scope is at liquidation and every price is valid."
    rest = listed(parts)
    return f"{first} {rest[0].upper()}{rest[1:]}."


def number_word(number: int) -> str:
    """Small numbers as words, as people write them at the start of a sentence."""
    return NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else grouped(number)


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


# ---------------------------------------------------------------- prices and what a day came to


def prices_of(day: BusinessDay) -> Prices:
    """The marks of the day, those one may not rely on first; one query."""
    marks = list(
        Mark.objects.standing().filter(as_of=day.as_of).select_related("asset", "carried_from")
    )
    invalid = [mark for mark in marks if mark.state not in PRICE_TO_RELY_ON]
    tones = ["liq", "call", "watch", "info", "mute", "ok"]
    ordered = sorted(
        marks, key=lambda mark: (tones.index(STATES["price"][mark.state].tone), mark.asset.code)
    )
    return Prices(
        lines=[price_line(mark) for mark in ordered[:PRICES_SHOWN]],
        marks=ordered,
        invalid=len(invalid),
        state=ordered[0].state if invalid else "VALID",
    )


def price_line(mark: Mark) -> PriceLine:
    """A mark with how many of its sources were used, and why the others were not."""
    dropped = "; ".join(f"{each['source']}: {drop_word(each['reason'])}" for each in mark.dropped)
    sources = {each["source"] for each in [*mark.used, *mark.dropped]}
    return PriceLine(mark, used=len(mark.used), sources=len(sources), dropped=dropped)


def drop_word(reason: str) -> str:
    """Why a price was left out, for people."""
    return DROP_WORDS.get(reason, reason.replace("_", " "))


def found_on(day: BusinessDay) -> DayFound:
    """What a closed day came to."""
    assert day.result is not None, "a closed day has a result"
    totals = day.result["control_totals"]
    return DayFound(
        trades=totals["trades_applied"],
        transfers=totals["transfers_applied"],
        fees=Decimal(totals["fees_usd"]),
        realised=Decimal(totals["realised_usd"]),
        refused_events=totals["events_rejected"],
        rejected_rows=totals["rejected_rows"],
        calls=totals["calls"],
        called=Decimal(totals["call_amount_usd"]),
        deficits=totals["deficits"],
        breaks=totals["breaks"],
    )
