"""Margin scopes by state: how many stand how, against the day before, and over the last days."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Q, Sum
from django.urls import reverse

from accounts.drawing import StackedBar, stacked_bar
from accounts.figures import grouped
from accounts.roles import DeskRequest
from accounts.states import STATES
from margin.market.marks import BASE
from margin.models import MarginResult, MarginRun, MarginState
from margin.run_rows import END_OF_DAY, settled_runs
from margin.screens.holdings import exact_total
from margin.screens.visible import (
    CALL_ACCOUNT,
    entity_here,
    exceptions_here,
    of_accounts,
    standing_here,
)
from margin.standing_results import standing_runs

DAYS_SHOWN = 4
# What is read of every state at once: scopes, what they are called for, and what they lack.
COUNTED = {
    "n": Count("pk"),
    "amount": Sum("call_amount"),
    "calls": Count("pk", filter=Q(call_amount__gt=0)),
    "lacking": Sum(F("initial_margin") - F("equity"), filter=Q(initial_margin__gt=F("equity"))),
}
# States that the board of calls lists; the others stand among the accounts.
CALLED = frozenset({MarginState.CALL, MarginState.LIQUIDATE, MarginState.DEFICIT})


@dataclass(frozen=True)
class StateCount:
    """How many scopes stand in a state, and how many more than the day before."""

    state: str
    count: int
    change: int | None
    address: str

    @property
    def change_words(self) -> str:
        """The change with its sign; fewer is no alarm, so it is not drawn as one."""
        return "" if self.change is None else grouped(self.change, sign=True)


@dataclass(frozen=True)
class DayBar:
    """One day's scopes by state, with what was called."""

    day: date
    bar: StackedBar
    called: Decimal
    is_shown: bool


@dataclass(frozen=True)
class Scopes:
    """The panel of scopes by state.

    Attributes:
        left_out: scopes the run could not compute.
        under_margined: what all scopes together lack of initial margin.
        run: the run of the day, of which the bars are.
        since: the run of the newest prices taken since the newest day, at which all but the bars
            stands; None where none were, and on past days.
    """

    run: MarginRun
    since: MarginRun | None
    counts: list[StateCount]
    before: date | None
    bars: list[DayBar]
    checked: int
    left_out: int
    calls: int
    currency: str
    under_margined: Decimal

    @property
    def all_scopes(self) -> int:
        return self.checked + self.left_out

    def number(self, state: str) -> int:
        """How many scopes stand in a state."""
        return next(each.count for each in self.counts if each.state == state)


def runs_until(day: date) -> list[MarginRun]:
    """The end-of-day run of each of the last days, oldest first; one query."""
    runs = (
        MarginRun.objects.filter(business_day__lte=day, purpose=END_OF_DAY)
        .order_by("-business_day", "-pk")
        .distinct("business_day")
    )
    return list(reversed(runs[:DAYS_SHOWN]))


def is_run_again(day_run: MarginRun) -> bool:
    """Whether scopes of the newest day stand at prices taken since; one query."""
    later = settled_runs().filter(pk__gt=day_run.pk).order_by()
    purposes = set(later.values_list("purpose", flat=True).distinct())
    return bool(purposes) and END_OF_DAY not in purposes


def scopes_by_state(request: DeskRequest, day: date) -> Scopes | None:
    """The panel of a day; None before its run. The queries do not grow with scopes."""
    runs = runs_until(day)
    if not runs or runs[-1].business_day != day:
        return None
    mine = of_accounts(request.roles, [entity_here(request).pk], path=CALL_ACCOUNT)
    results = MarginResult.objects.filter(mine, run__in=runs)
    groups_of = results.values("run_id", "state").annotate(**COUNTED)
    by_state: list[dict[str, Any]] = [dict(group) for group in groups_of]
    counts, called = counted(by_state)
    run = runs[-1]
    now = [group for group in by_state if group["run_id"] == run.pk]
    shown: Mapping[str, int] = counts[run.pk]
    since: MarginRun | None = None
    if is_run_again(run):
        standing = standing_runs()
        groups, since = standing_here(request, standing).order_by(), standing.newest
        now = [dict(group) for group in groups.values("state").annotate(**COUNTED)]
        shown = defaultdict(int, {group["state"]: group["n"] for group in now})
    before = runs[-2] if len(runs) > 1 else None
    return Scopes(
        run=run,
        since=since,
        counts=[
            StateCount(
                state=state.value,
                count=shown[state],
                change=None if before is None else shown[state] - counts[before.pk][state],
                address=address_of(state),
            )
            for state in MarginState
        ],
        before=None if before is None else before.business_day,
        bars=[
            DayBar(each.business_day, bar(counts[each.pk]), called[each.pk], each.pk == run.pk)
            for each in runs
        ],
        checked=sum(group["n"] for group in now),
        left_out=exceptions_here(request, run).count(),
        calls=sum(group["calls"] for group in now),
        currency=BASE,
        under_margined=exact_total(group["lacking"] for group in now),
    )


def counted(
    groups: Iterable[Mapping[str, Any]],
) -> tuple[dict[int, dict[str, int]], dict[int, Decimal]]:
    """Scopes by run and state, and what was called by run."""
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    called: dict[int, Decimal] = defaultdict(Decimal)
    for group in groups:
        counts[group["run_id"]][group["state"]] = group["n"]
        called[group["run_id"]] += group["amount"]
    return counts, called


def bar(counts: dict[str, int]) -> StackedBar:
    shown = STATES["margin"]
    return stacked_bar(
        [(shown[s].tone, shown[s].word.lower(), counts[s]) for s in MarginState.values]
    )


def address_of(state: MarginState) -> str:
    """Where the scopes of a state are listed."""
    page = "margin:calls" if state in CALLED else "margin:accounts"
    return f"{reverse(page)}?{urlencode({'state': state.value})}"
