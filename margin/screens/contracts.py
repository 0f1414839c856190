"""What derivatives are written on: what is known, and asking that more be."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.clock import desk_zone
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, amount_field, ask
from ledger.models import Asset, AssetKind
from margin.contracts import SET, request_contract
from margin.models import Contract
from margin.screens.visible import NO_PAGE, entity_here

RIGHTS = [("", "no option"), ("call", "Call"), ("put", "Put")]


class ContractForm(AskForm):
    """What a derivative is written on."""

    form = forms.ChoiceField(label="Form", choices=Contract.Form.choices)
    underlying = forms.ModelChoiceField(
        Asset.objects.order_by("code"), to_field_name="code", label="Written on", empty_label=None
    )
    multiplier = amount_field("Units in one contract")
    is_inverse = forms.BooleanField(label="Settled in what it is written on", required=False)
    expires_at = forms.DateTimeField(
        label="Expires", required=False, help_text="By the clock of the desk; of futures, options.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )  # fmt: skip
    strike = forms.DecimalField(
        label="Strike", required=False, max_digits=40, decimal_places=18, help_text="Of options.",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip
    right = forms.ChoiceField(label="Right", choices=RIGHTS, required=False)
    field_order = (
        "form", "underlying", "multiplier", "is_inverse", "expires_at", "strike", "right", "reason",
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
    context = {"rows": rows, "can_set": may(request, f"{REQUEST}{SET}", entity_here(request))}
    return render(request, "margin/contracts.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def contract_new(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that a derivative be known as written on something."""
    entity = entity_here(request)
    asset = Asset.objects.filter(code=code, kind=AssetKind.DERIVATIVE).first()
    if asset is None:
        raise Http404(NO_PAGE)
    form = ContractForm(
        request.POST if request.method == "POST" else None, initial={"multiplier": Decimal(1)}
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_contract(
            asset=asset, form=typed["form"], underlying=typed["underlying"],
            multiplier=typed["multiplier"], is_inverse=typed["is_inverse"],
            expires_at=_at_desk(typed["expires_at"]), strike=typed["strike"],
            is_call=None if not typed["right"] else typed["right"] == "call",
            legal_entity=entity, reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=SET, title=f"What {asset.code} is written on", back=reverse("margin:contracts"),
        back_label="Contracts",
        purpose="Portfolio models then move it with what it is written on. It is said once.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def _at_desk(typed: datetime | None) -> datetime | None:
    """What was typed, as the clock of the desk meant it."""
    return None if typed is None else typed.replace(tzinfo=desk_zone())
