"""What derivatives are written on: what is known, and asking that more be."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import Actor
from accounts.clock import desk_zone
from accounts.models import LegalEntity
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, amount_field, ask, text_field
from ledger.models import Asset, AssetKind, Location
from margin.contracts import SET, request_contract
from margin.market.marks import BASE
from margin.models import Contract
from margin.option_listing import LIST, POOLS, SCALE_MOST, OptionToList, request_option
from margin.screens.visible import NO_PAGE, entity_here

RIGHTS = [("call", "Call"), ("put", "Put")]
# What may be asked for here; options are listed on a page of their own.
FORMS = [each for each in Contract.Form.choices if each[0] != Contract.Form.OPTION]


class ContractForm(AskForm):
    """What a derivative is written on."""

    form = forms.ChoiceField(label="Form", choices=FORMS)
    underlying = forms.ModelChoiceField(
        Asset.objects.order_by("code"), to_field_name="code", label="Written on", empty_label=None
    )
    multiplier = amount_field("Units in one contract")
    is_inverse = forms.BooleanField(label="Settled in what it is written on", required=False)
    expires_at = forms.DateTimeField(
        label="Expires", required=False, help_text="By the clock of the desk; of futures, options.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )  # fmt: skip
    field_order = ("form", "underlying", "multiplier", "is_inverse", "expires_at", "reason")


class OptionForm(AskForm):
    """An option to list."""

    code = text_field("Code", required=True, length=40, hint="By which files name it; new.")
    underlying = forms.ModelChoiceField(
        Asset.objects.exclude(kind=AssetKind.DERIVATIVE).exclude(code=BASE).order_by("code"),
        to_field_name="code", label="Written on", empty_label=None,
    )  # fmt: skip
    right = forms.ChoiceField(label="Right", choices=RIGHTS)
    strike = amount_field("Strike, USD")
    multiplier = amount_field("Units in one contract")
    expires_at = forms.DateTimeField(
        label="Expires", help_text="By the clock of the desk.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )  # fmt: skip
    style = forms.ChoiceField(label="Style", choices=Contract.Style.choices)
    settlement = forms.ChoiceField(label="Settlement", choices=Contract.Settlement.choices)
    price_scale = forms.IntegerField(
        label="Decimals of prices", min_value=0, max_value=SCALE_MOST, initial=4
    )
    locations = forms.ModelMultipleChoiceField(
        Location.objects.none(), to_field_name="code", label="Carried by",
        help_text="Venues, one for each pool.",
    )  # fmt: skip
    field_order = (
        "code", "underlying", "right", "strike", "multiplier", "expires_at", "style", "settlement",
        "price_scale", "locations", "reason",
    )  # fmt: skip


@require_GET
@require("read")
def contract_list(request: DeskRequest) -> HttpResponse:
    """Every derivative, with its contract where it has one."""
    derivatives = (
        Asset.objects.filter(kind=AssetKind.DERIVATIVE)
        .select_related("contract__underlying", "settles_in")
        .order_by("code")
    )
    rows = [(asset, getattr(asset, "contract", None)) for asset in derivatives]
    entity = entity_here(request)
    context = {
        "rows": rows,
        "can_set": may(request, f"{REQUEST}{SET}", entity),
        "can_list": may(request, f"{REQUEST}{LIST}", entity),
    }
    return render(request, "margin/contracts.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def contract_new(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that a derivative be known as written on something."""
    entity = entity_here(request)
    asset = Asset.objects.filter(code=code, kind=AssetKind.DERIVATIVE, is_option=False).first()
    if asset is None:
        raise Http404(NO_PAGE)
    form = ContractForm(
        request.POST if request.method == "POST" else None, initial={"multiplier": Decimal(1)}
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_contract(
            asset=asset, form=typed["form"], underlying=typed["underlying"],
            multiplier=typed["multiplier"], is_inverse=typed["is_inverse"],
            expires_at=_at_desk(typed["expires_at"]), legal_entity=entity,
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=SET, title=f"What {asset.code} is written on", back=reverse("margin:contracts"),
        back_label="Contracts",
        purpose="Portfolio models then move it with what it is written on. It is said once.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def option_new(request: DeskRequest) -> HttpResponse:
    """Ask that an option be listed."""
    entity = entity_here(request)
    form = option_form(request.POST if request.method == "POST" else None, entity)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return asked_option(
            typed, entity=entity, actor=request.actor, request_id=request.request_id
        )

    question = Question(
        action=LIST, title="List an option", back=reverse("margin:contracts"),
        back_label="Contracts",
        purpose="It is then traded under its code, by accounts whose model knows options, and paid"
        " out in cash when it is over.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def option_form(sent: QueryDict | None, entity: LegalEntity) -> OptionForm:
    """The form with the venues that may carry an option at a legal entity."""
    form = OptionForm(sent, initial={"multiplier": Decimal(1)})
    places = form.fields["locations"]
    assert isinstance(places, forms.ModelMultipleChoiceField)
    places.queryset = Location.objects.filter(
        pool__legal_entity=entity, pool__owner_class__in=POOLS, kind=Location.Kind.VENUE,
        closed_on__isnull=True,
    ).order_by("code")  # fmt: skip
    return form


def asked_option(
    typed: Mapping[str, Any], *, entity: LegalEntity, actor: Actor, request_id: str
) -> UUID:
    """Ask for what the form says.

    Raises:
        AskRefusedError: the terms are none, or not carried by the book.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    expires_at = _at_desk(typed["expires_at"])
    assert expires_at is not None, "the form asks for it"
    option = OptionToList(
        code=typed["code"], underlying=typed["underlying"], strike=typed["strike"],
        is_call=typed["right"] == "call", expires_at=expires_at,
        multiplier=typed["multiplier"], style=typed["style"], settlement=typed["settlement"],
        price_scale=typed["price_scale"],
    )  # fmt: skip
    return request_option(
        option, locations=list(typed["locations"]), legal_entity=entity,
        reason=typed["reason"], actor=actor, request_id=request_id,
    )  # fmt: skip


def _at_desk(typed: datetime | None) -> datetime | None:
    """What was typed, as the clock of the desk meant it."""
    return None if typed is None else typed.replace(tzinfo=desk_zone())
