"""Breaks: the comparison of the newest day, and every difference until it is closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    Count,
    DateField,
    ExpressionWrapper,
    F,
    IntegerField,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.columns import Column
from accounts.fields import ExactField
from accounts.filters import BadFilterError, Choice, Choices, Option, Owner, Text
from accounts.listing import Listing, wants_rows
from accounts.models import LegalEntity
from accounts.roles import DeskRequest, may, require
from ledger.models import Break, Location
from ledger.naming import decimals_of
from ledger.screens.reconciled import newest_day, reconciled, rejection_words
from ledger.screens.visible import breaks_here, entity_here, locations_here

UNRESOLVED = (Break.Status.OPEN, Break.Status.INVESTIGATING, Break.Status.EXPLAINED)
RANKS = {status: rank for rank, status in enumerate([Break.Status.CLOSED, *reversed(UNRESOLVED)])}
ZERO = Decimal(0)

COLUMNS = (
    Column(
        "location", "Location", value="location.code", sort=("location__code", "-business_day")
    ),
    Column("kind", "Kind", value=lambda found: found.get_kind_display(), sort=("kind",)),
    Column("reference", "Reference", sort=("reference",)),
    Column("asset", "Asset", value="asset.code", sort=("asset__code",)),
    Column("ledger", "Ledger", value="ledger_amount", sort=("ledger_amount",), numeric=True),
    Column(
        "statement", "Statement", value="statement_amount", sort=("statement_amount",),
        numeric=True,
    ),
    Column("difference", "Difference", sort=("gap",), numeric=True),
    Column(
        "age", "Age", value=lambda found: age_days(found), sort=("-business_day",), numeric=True
    ),
    Column(
        "status", "Status", sort=("rank", "business_day", "location__code", "ordinal")
    ),
    Column("owner", "Owner", value="owner.full_name", sort=("owner__full_name",), is_shown=False),
    Column("found_on", "Found", value="business_day", sort=("business_day",), is_shown=False),
    Column("detail", "Detail", is_shown=False),
)  # fmt: skip


@dataclass(frozen=True)
class OlderThan:
    """Breaks found so many days before the newest day, or earlier."""

    newest: date
    key: str = "age"
    label: str = "Days old, at least"
    control: str = "number"

    def days(self, values: Sequence[str]) -> int:
        text = values[-1].strip()
        if not text.isdecimal() or len(text) > 5:
            raise BadFilterError(f"{self.label} “{text[:40]}” is not a number of days")
        return int(text)

    def condition(self, values: Sequence[str]) -> Q:
        return Q(business_day__lte=self.newest - timedelta(days=self.days(values)))

    def words(self, values: Sequence[str]) -> str:
        return str(self.days(values))


@dataclass(frozen=True)
class Line:
    """A break as a row shows it."""

    found: Break
    scale: int
    age_days: int

    @property
    def detail_words(self) -> str:
        """Why a statement was rejected."""
        return rejection_words(self.found.detail) if self.found.detail else ""


@dataclass(frozen=True)
class Totals:
    """Sums of the whole filter where one asset is in it; else only how many."""

    count: int
    asset: str
    scale: int
    difference: Decimal


@require_GET
@require("read")
def break_list(request: DeskRequest) -> HttpResponse:
    """The breaks, as a page, as its rows, or as a file."""
    entity = entity_here(request)
    day = newest_day(entity)
    listing = break_listing(request, entity, day)
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "lines": [line_of(found) for found in listing.page],
        "totals": totals_of(listing.rows),
        "compared": reconciled(entity, day) if day else None,
        "can_take": may(request, "break.take", entity),
        "bulk_acts": [("take", "Take")],
    }
    template = "ledger/_break_rows.html" if wants_rows(request) else "ledger/breaks.html"
    return render(request, template, context)


def break_listing(request: DeskRequest, entity: LegalEntity, day: date | None) -> Listing[Break]:
    """The list that the address asks for."""
    newest = day or date.max
    return Listing(
        request,
        drawn_breaks(breaks_here(request), newest=newest),
        name="breaks",
        columns=COLUMNS,
        filters=[
            Choice("status", "Status", "status", statuses(), default="unresolved"),
            Choice("location", "Location", "location__code", lambda: places(request)),
            Choice("kind", "Kind", "kind", Break.Kind.choices),
            Choice("asset", "Asset", "asset__code", lambda: assets(entity)),
            Choice("pool", "Pool", "location__pool__code", lambda: pools(request)),
            Owner(request.operator.pk, entity),
            OlderThan(newest),
            Text("q", "Reference", ("reference",)),
        ],
        default_sort="-status",
        tabs="status",
    )


def drawn_breaks(breaks: "QuerySet[Break]", *, newest: date) -> "QuerySet[Break]":
    """Breaks with what their rows show and sort by."""
    there = Coalesce(F("statement_amount"), Value(ZERO), output_field=ExactField())
    here = Coalesce(F("ledger_amount"), Value(ZERO), output_field=ExactField())
    return breaks.annotate(
        rank=Case(
            *(When(status=status, then=Value(rank)) for status, rank in RANKS.items()),
            output_field=IntegerField(),
        ),
        gap=Case(
            When(kind=Break.Kind.STATEMENT_REJECTED, then=Value(None)),
            When(kind=Break.Kind.DUPLICATE_IN_STATEMENT, then=F("statement_amount")),
            default=ExpressionWrapper(there - here, output_field=ExactField()),
            output_field=ExactField(),
        ),
        newest=Value(newest, output_field=DateField()),
    ).select_related("location__pool", "asset", "owner")


def statuses() -> Choices:
    """What is left to do as one choice, then each status."""
    return [
        Option("unresolved", "Not closed", tuple(status.value for status in UNRESOLVED)),
        *((status.value, status.label) for status in Break.Status),
    ]


def places(request: DeskRequest) -> Choices:
    codes = locations_here(request).order_by("code").values_list("code", flat=True)
    return [(code, code) for code in codes]


def pools(request: DeskRequest) -> Choices:
    codes = locations_here(request).order_by("pool__code").values_list("pool__code", flat=True)
    return [(code, code) for code in codes.distinct()]


def assets(entity: LegalEntity) -> Choices:
    """Assets of the entity's locations."""
    codes = Location.objects.filter(pool__legal_entity=entity).order_by("carried__asset__code")
    found = codes.values_list("carried__asset__code", flat=True).distinct()
    return [(code, code) for code in found if code]


def line_of(found: Break) -> Line:
    return Line(
        found=found,
        scale=decimals_of(found),
        age_days=age_days(found),
    )


def age_days(found: Any) -> int:  # noqa: ANN401 - annotated row
    """Days from the day it was found to the newest day."""
    return int((found.newest - found.business_day).days)


def totals_of(breaks: "QuerySet[Break]") -> Totals:
    """Sums of every break of the filter; one query."""
    sums = breaks.order_by().aggregate(
        n=Count("pk"),
        first=Min("asset__code"),
        last=Max("asset__code"),
        scale=Max("asset__scale"),
        difference=Sum("gap"),
    )
    is_one = sums["first"] == sums["last"]
    return Totals(
        count=sums["n"],
        asset=(sums["first"] or "") if is_one else "",
        scale=sums["scale"] or 0,
        difference=sums["difference"] or ZERO,
    )
