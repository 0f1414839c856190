"""Prices of a day: the mark of everything that needs one, and how each was composed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import ExpressionWrapper, F, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import NullIf
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.approvals import pending_on
from accounts.columns import Column
from accounts.fields import ExactField
from accounts.filters import Choice, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.roles import REQUEST, DeskRequest, may, require
from ledger.models import Asset, AssetKind
from margin.explanation import BracketInForce, schedules
from margin.incidents import fact_words
from margin.market.corrections import CORRECT
from margin.market.marks import BASE
from margin.market.rules import RULE
from margin.models import Bracket, Haircut, InstrumentTerms, Mark, MarketRule, Price
from margin.screens.overrides import may_override
from margin.screens.visible import MARGIN_MOVED, NO_PAGE, entity_here
from margin.terms import terms_in_force

DAYS_SHOWN = 30
DROP_WORDS = {
    "not_positive": "not above zero",
    "future": "after the as-of instant",
    "stale": "too old",
    "thin": "its book is too thin",
    "superseded": "a later price of this source came",
    "outlier": "too far from the median",
    "too_few": "alone: two sources must agree",
    "overridden": "two people set another price",
}

COLUMNS = (
    Column("instrument", "Instrument", value="asset.code", sort=("asset__code",)),
    Column("kind", "Kind", value="asset.kind", sort=("asset__kind", "asset__code")),
    Column("state", "State", sort=("state", "asset__code")),
    Column("mark", "Mark, USD", value="price", sort=("price",), numeric=True),
    Column("change", "Change", sort=("change",), numeric=True),
    Column("confidence", "Confidence", sort=("confidence",), numeric=True, is_shown=False),
    Column("used", "Sources used", value=lambda mark: used_words(mark)),
    Column("dropped", "Left out", value=lambda mark: dropped_words(mark)),
    Column("as_of", "As of", sort=("as_of",), is_shown=False),
    Column("carried_from", "Carried from", value="carried_from.business_day", is_shown=False),
)


@dataclass(frozen=True)
class MarkRow:
    """A mark as a row shows it."""

    mark: Mark
    used: str
    dropped: str
    source_count: int


@dataclass(frozen=True)
class SourceRow:
    """One price as it came, and what became of it.

    Attributes:
        age: how old it was as of the mark; late: how long it took to come. Seconds.
    """

    price: Price
    is_used: bool
    reason: str
    age: int
    late: int


@dataclass(frozen=True)
class DayLinks:
    """The day of the page and its neighbours."""

    day: date | None
    earlier: date | None
    later: date | None
    newest: date | None


@require_GET
@require("read")
def price_list(request: DeskRequest) -> HttpResponse:
    """The marks of a day, `?day=` or the newest, as a page, its live region or a file."""
    days = day_links(request)
    listing = Listing(
        request,
        marks_of_day(days.day),
        name=f"prices-{days.day}" if days.day else "prices",
        columns=COLUMNS,
        filters=[
            Choice("state", "State", "state", Mark.State.choices),
            Choice("kind", "Kind", "asset__kind", AssetKind.choices),
            Text("q", "Instrument", ("asset__code",)),
        ],
        default_sort="instrument",
        tabs="state",
    )
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "days": days,
        "rows": [mark_row(mark) for mark in listing.page],
        "pause": listing.address(live=["off"]),
        "resume": listing.address(live=[]),
    }
    return live_answer(
        request,
        context,
        page="margin/prices.html",
        region="margin/_prices.html",
        triggers=MARGIN_MOVED,
        name="prices",
    )


def day_links(request: HttpRequest) -> DayLinks:
    """The day that the address asks for, or the newest.

    Raises:
        Http404: what it asks for is no date.
    """
    newest = Mark.objects.aggregate(day=Max("business_day"))["day"]
    asked = request.GET.get("day", "")
    try:
        day = date.fromisoformat(asked) if asked else newest
    except ValueError as error:
        raise Http404(NO_PAGE) from error
    if day is None:
        return DayLinks(None, None, None, None)
    days = Mark.objects.order_by("business_day").values_list("business_day", flat=True).distinct()
    return DayLinks(
        day=day,
        earlier=days.filter(business_day__lt=day).last(),
        later=days.filter(business_day__gt=day).first(),
        newest=newest,
    )


def marks_of_day(day: date | None) -> "QuerySet[Mark]":
    """The newest marks of a day, each with the change from the mark before it.

    Of a day that is over its own, whatever came inside it.
    """
    if day is None:
        return with_change(Mark.objects.none())
    marks = Mark.objects.filter(business_day=day)
    is_over = Mark.objects.filter(business_day__gt=day).exists()
    own = marks.of_days().aggregate(at=Max("as_of"))["at"] if is_over else None
    newest = own or marks.aggregate(at=Max("as_of"))["at"]
    return with_change(Mark.objects.standing().filter(business_day=day, as_of=newest))


def with_change(marks: "QuerySet[Mark]") -> "QuerySet[Mark]":
    """Marks with `change`, a share of the mark before, and what they show of other rows."""
    before = Mark.objects.filter(asset=OuterRef("asset"), as_of__lt=OuterRef("as_of"))
    previous = Subquery(before.order_by("-as_of", "-revision").values("price")[:1])
    change = ExpressionWrapper(
        F("price") / NullIf(F("previous"), Value(Decimal(0))) - Value(Decimal(1)),
        output_field=ExactField(),
    )
    return (
        marks.annotate(previous=previous)
        .annotate(change=change)
        .select_related("asset", "carried_from")
    )


def mark_row(mark: Mark) -> MarkRow:
    return MarkRow(mark, used_words(mark), dropped_words(mark), source_count(mark))


def source_count(mark: Mark) -> int:
    """How many sources sent a price."""
    return len({each["source"] for each in [*mark.used, *mark.dropped]})


def used_words(mark: Mark) -> str:
    """The sources behind a mark."""
    return ", ".join(sorted(each["source"] for each in mark.used)) or "none"


def dropped_words(mark: Mark) -> str:
    """What was left out, and why."""
    return "; ".join(f"{each['source']}: {drop_word(each['reason'])}" for each in mark.dropped)


def drop_word(reason: str) -> str:
    return DROP_WORDS.get(reason, reason.replace("_", " "))


# --- One price ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """What the rules apply to an asset on a day; only what its kind has."""

    haircut: Haircut | None
    instrument: InstrumentTerms | None
    brackets: Sequence[BracketInForce]


@require_GET
@require("read")
def price_page(request: DeskRequest, code: str) -> HttpResponse:
    """One asset on a day: how its mark was composed, its terms, its history.

    `?bracket=` points out the bracket that a requirement was charged by.
    """
    asset = Asset.objects.filter(code=code).first()
    if asset is None:
        raise Http404(NO_PAGE)
    days = day_links(request)
    marks = with_change(Mark.objects.filter(asset=asset))
    until = marks.filter(business_day__lte=days.day) if days.day else marks.none()
    history = [mark_row(each) for each in until.order_by("-as_of", "-revision")[:DAYS_SHOWN]]
    mark = history[0].mark if history and history[0].mark.business_day == days.day else None
    context = {
        "asset": asset,
        "days": days,
        "mark": mark,
        "row": None if mark is None else mark_row(mark),
        "sources": [] if mark is None else source_rows(mark),
        "terms": terms_of(asset, days.day),
        "bracket": request.GET.get("bracket", ""),
        "history": history,
        "pending": pending_on(f"ledger_asset:{asset.pk}", roles=request.roles),
        "facts": [] if mark is None else [fact_words(each) for each in mark.facts or []],
        "latest_rule": MarketRule.objects.filter(kind="price", name=asset.code)
        .order_by("-version")
        .first(),
        "can_rule": asset.code != BASE and may(request, f"{REQUEST}{RULE}", entity_here(request)),
        "can_correct": mark is not None
        and may(request, f"{REQUEST}{CORRECT}", entity_here(request)),
        "can_override": asset.code != BASE and may_override(request),
    }
    return render(request, "margin/price.html", context)


def source_rows(mark: Mark) -> list[SourceRow]:
    """The day's prices as they came, those behind the mark first.

    Of those taken inside the day only what the mark says something of: there may be thousands.
    """
    used = {each["price_id"] for each in mark.used}
    reasons = {each["price_id"]: each["reason"] for each in mark.dropped}
    prices = Price.objects.filter(
        Q(business_day=mark.business_day, price_file__isnull=True)
        | Q(pk__in=used | reasons.keys()),
        asset=mark.asset_id,
    )
    rows = [
        SourceRow(
            price,
            price.pk in used,
            drop_word(reasons[price.pk]) if price.pk in reasons else "",
            age=int((mark.as_of - price.observed_at).total_seconds()),
            late=int((price.received_at - price.observed_at).total_seconds()),
        )
        for price in prices.order_by("source", "observed_at", "line")
    ]
    return sorted(rows, key=lambda row: not row.is_used)


def terms_of(asset: Asset, day: date | None) -> Terms:
    """Haircut, rates or brackets in force on a day; three queries."""
    if day is None:
        return Terms(None, None, ())
    in_force = terms_in_force(day)
    instrument = in_force.instruments.get(asset.pk)
    steps = Bracket.objects.filter(terms=instrument).order_by("floor") if instrument else ()
    return Terms(
        haircut=in_force.haircuts.get(asset.pk),
        instrument=instrument,
        brackets=schedules(steps).get(instrument.pk, ()) if instrument else (),
    )
