"""Overrides of prices: what stands, what stood, and every number that was computed with one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import F, QuerySet
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.clock import desk_zone
from accounts.columns import Column
from accounts.filters import Choice, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, amount_field, ask
from ledger.models import Asset
from margin.market.marks import BASE
from margin.market.overrides import OVERRIDE, request_override
from margin.models import MarginResult, MarginState, PriceOverride
from margin.screens.visible import (
    CALL_ACCOUNT,
    MARGIN_MOVED,
    NO_PAGE,
    entity_here,
    of_accounts,
    scope_name,
)

SHOWN_MAX = 100
COLUMNS = (
    Column(
        "scope", "Scope", value=lambda result: scope_name(result),
        sort=("scope__bucket__account__code", "scope__bucket__code"),
    ),
    Column("run", "Run", value="run.number", sort=("run__as_of", "run__number")),
    Column("asset", "Price of", value="override_asset", sort=("override_asset",)),
    Column("price", "Set to", value="override_price", sort=("override_price",), numeric=True),
    Column("state", "State", sort=("state",)),
    Column("equity", "Equity", sort=("equity",), numeric=True),
    Column("initial_margin", "Initial margin", sort=("initial_margin",), numeric=True),
    Column(
        "maintenance_margin", "Maintenance margin", sort=("maintenance_margin",), numeric=True,
        is_shown=False,
    ),
    Column("call_amount", "Call", sort=("call_amount",), numeric=True, is_shown=False),
    Column("override_from", "Set from", is_shown=False),
    Column("override_until", "Set until", is_shown=False),
)  # fmt: skip


def moment_field(label: str) -> forms.DateTimeField:
    """A date and time at the desk's clock."""
    return forms.DateTimeField(
        label=label, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="By the clock of the desk.",
    )  # fmt: skip


class OverrideForm(AskForm):
    """A price, and how long it stands."""

    price = amount_field("Price", hint=f"In {BASE}, above 0.")
    begins_at = moment_field("From")
    ends_at = moment_field("Until")
    field_order = ("price", "begins_at", "ends_at", "reason")


@dataclass(frozen=True)
class OverrideRow:
    """An override, and whether it is over."""

    override: PriceOverride
    is_over: bool


@require_GET
@require("read")
def override_list(request: DeskRequest) -> HttpResponse:
    """Overrides, the newest first, and every result that rests on one, as a page or a file."""
    listing = Listing(
        request,
        overridden_results(request),
        name="overridden-results",
        columns=COLUMNS,
        filters=[
            Choice("state", "State", "state", MarginState.choices),
            Text("asset", "Asset", ("override_asset",)),
            Text("run", "Run", ("run__number",)),
            Text("q", "Account", ("scope__bucket__account__code",)),
        ],
        default_sort="-run",
    )
    if listing.format:
        return listing.export()
    now = timezone.now()
    found = PriceOverride.objects.select_related("asset").order_by("-pk")
    newest = found[:SHOWN_MAX]
    context = {
        "listing": listing,
        "rows": listing.page,
        "overrides": [OverrideRow(override=each, is_over=each.ends_at <= now) for each in newest],
        "older": max(found.count() - SHOWN_MAX, 0),
    }
    return live_answer(
        request,
        context,
        page="margin/overrides.html",
        region="margin/_overridden.html",
        triggers=MARGIN_MOVED,
        name="overridden",
    )


def overridden_results(request: DeskRequest) -> "QuerySet[MarginResult]":
    """Every result that the person may see once for every override it rests on; one query.

    Rows carry `override_asset`, `override_price`, `override_from` and `override_until`.
    """
    mine = of_accounts(request.roles, [entity_here(request).pk], path=CALL_ACCOUNT)
    return (
        MarginResult.objects.filter(mine, components__mark__override__isnull=False)
        .annotate(
            override=F("components__mark__override"),
            override_asset=F("components__mark__override__asset__code"),
            override_price=F("components__mark__override__price"),
            override_from=F("components__mark__override__begins_at"),
            override_until=F("components__mark__override__ends_at"),
        )
        .select_related("run", "scope__bucket__account")
        .distinct()
    )


@require_http_methods(["GET", "POST"])
@require("read")
def override_new(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that a price stand in place of the sources' for a time."""
    entity = entity_here(request)
    asset = Asset.objects.filter(code=code).exclude(code=BASE).first()
    if asset is None:
        raise Http404(NO_PAGE)
    form = OverrideForm(
        request.POST if request.method == "POST" else None,
        initial={"begins_at": _clock(timezone.now()),
                 "ends_at": _clock(timezone.now() + timedelta(days=1))},
    )  # fmt: skip

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_override(
            asset=asset, price=typed["price"], begins_at=_at_desk(typed["begins_at"]),
            ends_at=_at_desk(typed["ends_at"]), legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=OVERRIDE, title=f"Override the price of {asset.code}",
        back=reverse("margin:price", args=[asset.code]), back_label=asset.code,
        purpose="Until it expires the mark is this price, whatever the sources say. Nobody is"
        " liquidated on it, and every number computed with it says so.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def may_override(request: DeskRequest) -> bool:
    """Whether the person may ask for one."""
    return may(request, f"{REQUEST}{OVERRIDE}", entity_here(request))


def _clock(moment: datetime) -> str:
    return moment.astimezone(desk_zone()).strftime("%Y-%m-%dT%H:%M")


def _at_desk(typed: datetime) -> datetime:
    """What was typed, which Django takes for UTC, as the clock of the desk meant it."""
    return typed.replace(tzinfo=desk_zone())
