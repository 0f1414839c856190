"""Overrides of prices: what stands, what stood, and every number that was computed with one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.clock import desk_zone
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, amount_field, ask
from ledger.models import Asset
from margin.engine.house_rules import OVERRIDDEN_MARK
from margin.marks import BASE
from margin.models import MarginResult, MarginRun, PriceOverride
from margin.overrides import OVERRIDE, request_override
from margin.parts import parts_of
from margin.screens.visible import CALL_ACCOUNT, NO_PAGE, entity_here, of_accounts

SHOWN_MAX = 100
RESULTS_SHOWN_MAX = 200


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
    """An override, and what was computed with it of the scopes the person may see."""

    override: PriceOverride
    is_over: bool
    results: list[MarginResult]


@require_GET
@require("read")
def override_list(request: DeskRequest) -> HttpResponse:
    """Every override, newest first, with the results that rest on it."""
    entity, now = entity_here(request), timezone.now()
    found = PriceOverride.objects.select_related("asset").order_by("-pk")[:SHOWN_MAX]
    mine = of_accounts(request.roles, [entity.pk], path=CALL_ACCOUNT)
    rows = [
        OverrideRow(
            override=each,
            is_over=each.ends_at <= now,
            results=results_on(each, mine),
        )
        for each in found
    ]
    return render(request, "margin/overrides.html", {"rows": rows, "most": RESULTS_SHOWN_MAX})


def results_on(override: PriceOverride, mine: Q) -> list[MarginResult]:
    """Results that rest on an override, newest first; of those in columns only those looked at."""
    found = MarginResult.objects.filter(mine).select_related("run", "scope__bucket__account")
    order = ("-run__as_of", "scope__bucket__account__code")
    in_rows = found.filter(components__mark__override=override).distinct()
    flagged = found.filter(
        run__layout=MarginRun.Layout.COLUMNS,
        run__as_of__in=override.marks.values("as_of"),
        flags__contains=[OVERRIDDEN_MARK],
    )
    marks = set(override.marks.values_list("pk", flat=True))
    looked_at = list(flagged.order_by(*order)[:RESULTS_SHOWN_MAX])
    resting = {part.result_id for part in parts_of(looked_at) if part.mark_id in marks}
    in_columns = [result for result in looked_at if result.pk in resting]
    both = [*in_rows.order_by(*order)[:RESULTS_SHOWN_MAX], *in_columns]
    return sorted(both, key=lambda result: result.run.as_of, reverse=True)[:RESULTS_SHOWN_MAX]


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
