"""Payment instructions of clients: the list, setting one, ending one, and how long one waits."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.columns import Column
from accounts.filters import Choice, Text
from accounts.listing import Listing, wants_rows
from accounts.models import Client, PaymentInstruction
from accounts.payees import (
    RULE,
    SET,
    WAIT_HOURS_MAX,
    Payee,
    as_payee,
    request_end,
    request_instruction,
    request_rule,
    waiting_hours,
)
from accounts.personal import ErasedPersonError
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask, day_field, text_field
from ledger.models import Asset
from margin.screens.visible import NO_PAGE, entity_here

COLUMNS = (
    Column("client", "Client", value="client.code", sort=("client__code", "code")),
    Column("code", "Instruction", value="code", sort=("code", "pk")),
    Column("version", "Version", value="version", numeric=True),
    Column("asset", "Asset", value="asset_code", sort=("asset_code", "pk")),
    Column("method", "To a", value="get_method_display", is_exported=False),
    Column("payee", "Beneficiary", value="code", is_exported=False),
    Column("usable", "Used from", value="usable_from", sort=("usable_from", "pk")),
    Column("active", "In force", value="is_active", sort=("is_active", "pk")),
)


def instructions_here(request: DeskRequest) -> "QuerySet[PaymentInstruction]":
    """The newest version of each instruction, of where one works and of one's desks."""
    entity = entity_here(request)
    found = PaymentInstruction.objects.newest().filter(client__legal_entity=entity)
    desks = request.roles.desks("read", entity.pk)
    if desks is not None:
        found = found.filter(client__accounts__desk__in=desks).distinct()
    return found.select_related("client__person_key")


def payee_of(instruction: PaymentInstruction) -> Payee | None:
    """Whom it names; None where the person was erased."""
    try:
        return Payee.of(instruction)
    except ErasedPersonError:
        return None


@require_GET
@require("read")
def instruction_list(request: DeskRequest) -> HttpResponse:
    """Who may be paid, and from when."""
    entity = entity_here(request)
    listing = Listing(
        request,
        instructions_here(request),
        name="payment-instructions",
        columns=COLUMNS,
        filters=[
            Text("client", "Client", ("client__code",)),
            Choice("method", "To a", "method", list(PaymentInstruction.Method.choices)),
        ],
        default_sort="client",
    )
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "rows": [(row, payee_of(row)) for row in listing.page],
        "now": timezone.now(),
        "hours": waiting_hours(entity, timezone.now().date()),
        "can_set": may(request, f"{REQUEST}{SET}", entity),
        "can_rule": may(request, f"{REQUEST}{RULE}", entity),
    }
    template = "margin/_instructions.html" if wants_rows(request) else "margin/instructions.html"
    return render(request, template, context)


class InstructionForm(AskForm):
    """Whose money may go where."""

    client = forms.ModelChoiceField(
        Client.objects.none(), to_field_name="code", label="Client",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    code = text_field("Name of the instruction", required=True, length=40, hint="Such as main.")
    asset = forms.ModelChoiceField(
        Asset.objects.filter(kind="money").order_by("code"), to_field_name="code", label="Asset",
        empty_label=None,
    )  # fmt: skip
    method = forms.ChoiceField(label="To a", choices=PaymentInstruction.Method.choices)
    name = text_field("Beneficiary", required=True, length=140, hint="As their bank knows them.")
    iban = text_field("IBAN", length=42)
    bic = text_field("BIC", length=11)
    account = text_field("Account number", length=34, hint="Where there is no IBAN.")
    address = text_field("Wallet address", length=120)
    field_order = (
        "client", "code", "asset", "method", "name", "iban", "bic", "account", "address", "reason",
    )  # fmt: skip

    def __init__(self, data: Any, *, clients: "QuerySet[Client]", initial: Any = None) -> None:  # noqa: ANN401
        super().__init__(data, initial=initial)
        field = self.fields["client"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = clients


@require_http_methods(["GET", "POST"])
@require("read")
def instruction_new(request: DeskRequest) -> HttpResponse:
    """Ask that a client's money may go somewhere."""
    entity = entity_here(request)
    clients = Client.objects.named().filter(legal_entity=entity, person_key__key__isnull=False)
    form = InstructionForm(
        request.POST if request.method == "POST" else None, clients=clients,
        initial={"client": request.GET.get("client", "")},
    )  # fmt: skip
    hours = waiting_hours(entity, timezone.now().date())
    question = Question(
        action=SET, title="Set a payment instruction",
        purpose="Where a client's money may go. Whoever decides compares it with what the client"
        f" signed; it is used {hours} hours after that.",
        back=reverse("margin:instructions"), back_label="Payment instructions",
    )  # fmt: skip
    return ask(
        request, form, question, entity=entity,
        do=lambda typed: request_instruction(
            client=typed["client"], code=typed["code"], asset_code=typed["asset"].code,
            method=typed["method"],
            payee=as_payee(**{n: typed[n] for n in ("name", "iban", "bic", "account", "address")}),
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        ),
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def instruction_end(request: DeskRequest, instruction_id: int) -> HttpResponse:
    """Ask that nothing be paid by an instruction any more."""
    found = instructions_here(request).filter(pk=instruction_id, is_active=True).first()
    if found is None:
        raise Http404(NO_PAGE)
    payee = payee_of(found)
    question = Question(
        action=SET, title=f"End instruction {found.code} of client {found.client.code}",
        purpose="Nothing is paid by it from the moment a second person agrees.",
        back=reverse("margin:instructions"), back_label="Payment instructions",
        facts=(("Beneficiary", payee.name if payee else "erased"),
               ("To", payee.place if payee else "erased")),
    )  # fmt: skip
    form = AskForm(request.POST if request.method == "POST" else None)
    return ask(
        request, form, question, entity=found.client.legal_entity,
        do=lambda typed: request_end(
            found, reason=typed["reason"], actor=request.actor, request_id=request.request_id
        ),
    )  # fmt: skip


class RuleForm(AskForm):
    """How long, and from when."""

    hours = forms.IntegerField(label="Hours", min_value=0, max_value=WAIT_HOURS_MAX)
    effective_from = day_field("From")
    field_order = ("hours", "effective_from", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def instruction_rule(request: DeskRequest) -> HttpResponse:
    """Ask that new instructions wait for another number of hours."""
    entity = entity_here(request)
    today = timezone.now().date()
    question = Question(
        action=RULE, title="Change how long a new instruction waits",
        purpose="Between the second person's agreement and the first payment.",
        back=reverse("margin:instructions"), back_label="Payment instructions",
        facts=(("Hours today", str(waiting_hours(entity, today))),),
    )  # fmt: skip
    form = RuleForm(
        request.POST if request.method == "POST" else None, initial={"effective_from": today}
    )
    return ask(
        request, form, question, entity=entity,
        do=lambda typed: request_rule(
            hours=typed["hours"], effective_from=typed["effective_from"], legal_entity=entity,
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        ),
    )  # fmt: skip
