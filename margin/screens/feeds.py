"""Feeds: how late each source is, what it promised, what went wrong, and rules of market data."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import pending_on
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import Question, ask
from ledger.screens.locations import desk_today
from margin.engine.parameters import parameter_fields, read_parameters
from margin.engine.trading_calendar import STANDARD_CALENDARS
from margin.market.feeds import BUCKETS, Feed, Latency, feeds_of
from margin.market.rules import (
    RULE,
    RULES_OF,
    calendars_in_force,
    newest_values,
    request_rule,
)
from margin.models import MarketRow, MarketRule, Task
from margin.screens.parameter_form import parameter_form
from margin.screens.prices import DayLinks, day_links
from margin.screens.visible import NO_PAGE, entity_here, tasks_here

INCIDENTS = (Task.Kind.DISLOCATION, Task.Kind.FEED, Task.Kind.PRICE)


@dataclass(frozen=True)
class Bar:
    """One bucket of a histogram: its end in words, how many prices, and their share."""

    words: str
    count: int
    share: Decimal


@dataclass(frozen=True)
class StageRow:
    """One source at one stage."""

    latency: Latency
    bars: list[Bar]

    @property
    def mean(self) -> Decimal:
        """In seconds, to a tenth."""
        return tenths(self.latency.mean)

    @property
    def longest(self) -> Decimal:
        """In seconds, to a tenth."""
        return tenths(self.latency.longest)


@dataclass(frozen=True)
class FeedRow:
    """A source with its stages."""

    feed: Feed
    stages: list[StageRow]


@dataclass(frozen=True)
class DataRow:
    """What was received of one kind of market data."""

    kind: str
    label: str
    count: int
    newest: datetime


@require_GET
@require("read")
def feed_list(request: DeskRequest) -> HttpResponse:
    """The sources of a day, `?day=` or the newest, with incidents and rules."""
    days: DayLinks = day_links(request)
    feeds = feeds_of(days.day) if days.day else []
    rules = MarketRule.objects.order_by("kind", "name", "-version")
    context = {
        "days": days,
        "rows": [FeedRow(feed, stage_rows(feed)) for feed in feeds],
        "incidents": tasks_here(request)
        .filter(kind__in=INCIDENTS, closed_at=None)
        .select_related("owner")
        .order_by("due_at", "pk"),
        "rules": rules,
        "calendars": calendar_rows(desk_today()),
        "data": data_rows(),
        "can_set": may(request, f"{REQUEST}{RULE}", entity_here(request)),
    }
    return render(request, "margin/feeds.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def rule_new(request: DeskRequest, kind: str, name: str) -> HttpResponse:
    """Ask that market data be held to rules from a day on."""
    entity = entity_here(request)
    if kind not in MarketRule.Kind.values:
        raise Http404(NO_PAGE)
    form = parameter_form(
        RULES_OF[kind], request.POST if request.method == "POST" else None,
        values=newest_values(kind, name), begins=desk_today(),
    )  # fmt: skip

    def do(typed: Any) -> Any:  # noqa: ANN401
        return form.asked(
            lambda values: request_rule(
                kind=kind, name=name, values=values, effective_from=typed["effective_from"],
                legal_entity=entity, reason=typed["reason"], actor=request.actor,
                request_id=request.request_id,
            )
        )  # fmt: skip

    question = Question(
        action=RULE, title=f"Rules of {name}", back=reverse("margin:feeds"), back_label="Feeds",
        purpose="From their first day marks and feeds are held to them. Marks made before stay."
        " A limit of 0 is off.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_GET
@require("read")
def rule_page(request: DeskRequest, rule_id: int) -> HttpResponse:
    """One version of a rule, value by value."""
    rule = MarketRule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise Http404(NO_PAGE)
    context = {
        "rule": rule,
        "fields": list(parameter_fields(read_parameters(RULES_OF[rule.kind], rule.values))),
        "pending": pending_on(f"margin_marketrule:{rule.kind}/{rule.name}", roles=request.roles),
        "can_set": may(request, f"{REQUEST}{RULE}", entity_here(request)),
    }
    return render(request, "margin/market_rule.html", context)


def stage_rows(feed: Feed) -> list[StageRow]:
    """The stages of a source, received before used, each with its histogram."""
    return [StageRow(each, bars(each)) for _, each in sorted(feed.latencies.items())]


def bars(latency: Latency) -> list[Bar]:
    """The buckets that have prices."""
    ends = [f"up to {seconds_words(end)}" for end in BUCKETS]
    words = [*ends, f"over {seconds_words(BUCKETS[-1])}"]
    return [
        Bar(word, count, (Decimal(count) / latency.count).quantize(Decimal("1.0000")))
        for word, count in zip(words, latency.counts, strict=True)
        if count
    ]


def tenths(seconds: float) -> Decimal:
    """Seconds as a figure for the eye."""
    return Decimal(f"{seconds:.1f}")


def seconds_words(seconds: float) -> str:
    """Seconds as people say them: 30 s, 5 min, 1 h, 1 d."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:g} s"


def calendar_rows(day: date) -> list[tuple[str, bool, bool]]:
    """Every calendar: its name, whether it comes with the product, whether people set it."""
    set_here = set(
        MarketRule.objects.filter(kind=MarketRule.Kind.CALENDAR).values_list("name", flat=True)
    )
    return [
        (name, name in STANDARD_CALENDARS, name in set_here)
        for name in sorted(calendars_in_force(day))
    ]


def data_rows() -> list[DataRow]:
    """What was received beside prices, by kind."""
    found = {
        row["kind"]: row
        for row in MarketRow.objects.values("kind").annotate(
            newest=Max("observed_at"), count=Count("pk")
        )
    }
    return [
        DataRow(kind, label, found[kind]["count"], found[kind]["newest"])
        for kind, label in MarketRow.Kind.choices
        if kind in found
    ]
