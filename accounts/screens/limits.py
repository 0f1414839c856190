"""Limits: what each role may ask for and agree to, and asking for others."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import pending_on
from accounts.limits import (
    AMOUNTS,
    CHANGE,
    LIMITED,
    limits_in_force,
    request_limit,
    utc_today,
)
from accounts.models import LegalEntity, Role
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import (
    AskForm,
    Question,
    amount_field,
    ask,
    day_field,
    text_field,
)


class LimitForm(AskForm):
    """Other limits of a role in an asset."""

    role = forms.ChoiceField(label="Role", choices=[(r.value, r.label) for r in LIMITED])
    asset = text_field(
        "Asset", length=40, hint="Such as USD. Empty: all without a row of their own."
    )
    effective_from = day_field("From")
    request_each = amount_field(AMOUNTS["request_each"], required=False, hint="Empty: no limit.")
    request_day = amount_field(AMOUNTS["request_day"], required=False, hint="Empty: no limit.")
    approve_each = amount_field(AMOUNTS["approve_each"], required=False, hint="Empty: no limit.")
    approve_day = amount_field(AMOUNTS["approve_day"], required=False, hint="Empty: no limit.")
    field_order = ("role", "asset", "effective_from", *AMOUNTS, "reason")


@require_GET
@require("approval.read")
def limit_list(request: DeskRequest) -> HttpResponse:
    """The limits in force, with what has been asked for and agreed to today."""
    entity = here(request)
    found = [
        asked
        for role in Role
        for asked in pending_on(f"accounts_approvallimit:{role.value}", roles=request.roles)
        if asked.legal_entity_id == entity.pk
    ]
    context = {
        "limits": limits_in_force(entity, day=utc_today()),
        "pending": found,
        "can_change": may(request, f"{REQUEST}{CHANGE}", entity),
    }
    return render(request, "accounts/limits.html", context)


@require_http_methods(["GET", "POST"])
@require("approval.read")
def limit_new(request: DeskRequest) -> HttpResponse:
    """Ask for other limits."""
    entity = here(request)
    form = LimitForm(
        request.POST if request.method == "POST" else None, initial={"effective_from": utc_today()}
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_limit(
            legal_entity=entity, role=typed["role"], asset=typed["asset"].strip(),
            effective_from=typed["effective_from"],
            amounts={name: typed[name] for name in AMOUNTS}, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=CHANGE,
        title="Change a limit",
        purpose="What a role may ask for and agree to, in one request and in a day.",
        back=reverse("accounts:limits"),
        back_label="Limits",
    )
    return ask(request, form, question, entity=entity, do=do)


def here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at; `require` has seen to it."""
    assert request.legal_entity is not None
    return request.legal_entity
