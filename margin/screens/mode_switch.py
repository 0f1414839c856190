"""How an account is margined, as it would be under another agreement, and asking for it."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.agreements import SIGN, request_signature
from accounts.approvals import pending_on
from accounts.models import Agreement, MarginAccount
from accounts.roles import DECIDE, REQUEST, DeskRequest, may, one_of, require, who_may
from accounts.screens.asking import AskForm, Question, ask, day_field
from margin.mode_switch import Switch, preview_pooled, preview_switch
from margin.scope_standing import Side
from margin.screens.terms import desk_today
from margin.screens.thought import LiquidationRow, liquidation_rows
from margin.screens.visible import account_or_404
from margin.what_if_ground import WhatIfRefusedError


class SwitchForm(forms.Form):
    """Under which agreement, from which day."""

    agreement = forms.ModelChoiceField(
        Agreement.objects.none(), to_field_name="code", label="Agreement", empty_label=None
    )
    effective_from = day_field("From")

    def __init__(self, data: Any, *, account: MarginAccount, **more: Any) -> None:  # noqa: ANN401
        super().__init__(data, **more)
        field = self.fields["agreement"]
        assert isinstance(field, forms.ModelChoiceField)
        here = Agreement.objects.filter(legal_entity=account.legal_entity_id)
        field.queryset = here.order_by("code")


class AskSwitchForm(SwitchForm, AskForm):
    """The same, asked for."""

    field_order = ("agreement", "effective_from", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def switch_page(request: DeskRequest, code: str) -> HttpResponse:
    """Look at an account under another agreement, or as one scope; a POST asks for the first."""
    account = account_or_404(request, code)
    if request.method == "POST":
        return ask_for_switch(request, account)
    looked = "agreement" in request.GET or "pooled" in request.GET
    form = SwitchForm(
        request.GET if "agreement" in request.GET else None,
        account=account, initial={"effective_from": desk_today()},
    )  # fmt: skip
    context: dict[str, Any] = {
        "account": account, "form": form,
        "is_isolated": account.mode == MarginAccount.Mode.ISOLATED,
        "can_ask": may(request, f"{REQUEST}{SIGN}", account.legal_entity_id),
        "deciders": one_of(
            who_may(f"{DECIDE}{SIGN}", account.legal_entity_id, besides=request.operator.pk)
        ),
        "pending": pending_on(f"accounts_marginaccount:{account.pk}", roles=request.roles),
    }  # fmt: skip
    if not looked:
        return render(request, "margin/mode_switch.html", context)
    pooled = "pooled" in request.GET
    if not pooled and not form.is_valid():
        return render(request, "margin/mode_switch.html", context, status=422)
    try:
        said = preview_pooled(account) if pooled else preview_of(account, form)
    except WhatIfRefusedError as refused:
        context["refused"] = refused
        return render(request, "margin/mode_switch.html", context, status=409)
    context |= {"said": said, "sides": sides_of(said), "points": points_of(said)}
    if not pooled:
        context["asked"] = AskSwitchForm(
            None, account=account, initial=form.cleaned_data, auto_id="ask_%s"
        )
    return render(request, "margin/mode_switch.html", context)


def preview_of(account: MarginAccount, form: forms.Form) -> Switch:
    """The switch that a valid form says."""
    typed = form.cleaned_data
    return preview_switch(account, typed["agreement"], day=typed["effective_from"])


def ask_for_switch(request: DeskRequest, account: MarginAccount) -> HttpResponse:
    """Ask a second person; refused where a scope would not keep its initial margin."""
    form = AskSwitchForm(request.POST, account=account)
    back = reverse("margin:mode-switch", args=[account.code])
    question = Question(
        action=SIGN, title=f"Other margin for {account.code}", back=back,
        back_label=account.code,
        purpose="From that day the account has the terms of this agreement and no others.",
    )  # fmt: skip
    return ask(
        request, form, question, entity=account.legal_entity,
        do=lambda typed: request_signature(
            account=account, agreement=typed["agreement"],
            effective_from=typed["effective_from"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        ),
    )  # fmt: skip


def sides_of(said: Switch) -> list[tuple[str, Side | None, Side | None]]:
    """Every scope by name, as it is and as it would be."""
    names = [*said.now.sides, *(name for name in said.after.sides if name not in said.now.sides)]
    return [(name, said.now.sides.get(name), said.after.sides.get(name)) for name in names]


def points_of(said: Switch) -> list[tuple[str, LiquidationRow]]:
    """The liquidation points of every scope, by asset."""
    return [
        (name, row)
        for name, now, after in sides_of(said)
        for row in liquidation_rows(
            {} if now is None else now.liquidation, {} if after is None else after.liquidation
        )
    ]
