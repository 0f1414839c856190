"""Who may have portfolio margin: rules, approved clients, and asking for either."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import AskRefusedError, pending_on
from accounts.models import Client
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, amount_field, ask, day_field, text_field
from margin.eligibility import CLIENT, EVERY_MODEL, RULE, request_client, request_rule
from margin.engine.models import MODELS
from margin.models import ClientEligibility, EligibilityRule
from margin.screens.terms import desk_today
from margin.screens.visible import entity_here, of_accounts

EVERY = "every model"
BACK = "Eligibility"


class RuleForm(AskForm):
    """What an account must have."""

    model = forms.ChoiceField(
        label="Model", choices=[(EVERY, "Every model without a rule of its own"),
                                *((name, model.title) for name, model in MODELS.items())],
    )  # fmt: skip
    minimum_equity = amount_field("Minimum equity of the account")
    needs_approved_client = forms.BooleanField(label="The client is approved", required=False)
    effective_from = day_field("From")
    field_order = ("model", "minimum_equity", "needs_approved_client", "effective_from", "reason")


class ClientForm(AskForm):
    """Whether a client is approved."""

    client = text_field("Client", required=True, length=40)
    is_approved = forms.BooleanField(label="Approved for portfolio margin", required=False)
    effective_from = day_field("From")
    field_order = ("client", "is_approved", "effective_from", "reason")


@require_GET
@require("read")
def eligibility_page(request: DeskRequest) -> HttpResponse:
    """Every version of every rule, and what was decided of clients the person may see."""
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path="client__accounts")
    context = {
        "rules": EligibilityRule.objects.order_by("model", "-effective_from"),
        "clients": ClientEligibility.objects.filter(mine)
        .select_related("client")
        .order_by("client__code", "-effective_from")
        .distinct(),
        "pending": pending_on("margin_eligibility:rules", roles=request.roles),
        "can_rule": may(request, f"{REQUEST}{RULE}", entity),
        "can_client": may(request, f"{REQUEST}{CLIENT}", entity),
    }
    return render(request, "margin/eligibility.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def rule_new(request: DeskRequest) -> HttpResponse:
    """Ask for a rule from a day on."""
    entity = entity_here(request)
    form = RuleForm(
        request.POST if request.method == "POST" else None,
        initial={"effective_from": desk_today()},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_rule(
            model=EVERY_MODEL if typed["model"] == EVERY else typed["model"],
            minimum_equity=typed["minimum_equity"],
            needs_approved_client=typed["needs_approved_client"],
            effective_from=typed["effective_from"], legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=RULE, title="Set who may have portfolio margin", back=reverse("margin:eligibility"),
        back_label=BACK,
        purpose="Agreements of accounts that fall short may not name the model; those that fall"
        " short later stay under it, flagged and as a task.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def client_new(request: DeskRequest) -> HttpResponse:
    """Ask that a client be approved, or not any more."""
    entity = entity_here(request)
    form = ClientForm(
        request.POST if request.method == "POST" else None,
        initial={"effective_from": desk_today()},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        client = Client.objects.filter(legal_entity=entity, code=typed["client"].strip()).first()
        if client is None:
            raise AskRefusedError("client", "There is no such client.")
        return request_client(
            client=client, is_approved=typed["is_approved"],
            effective_from=typed["effective_from"], reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=CLIENT, title="Approve a client for portfolio margin",
        back=reverse("margin:eligibility"), back_label=BACK,
        purpose="It counts for models whose rule asks for an approved client.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)
