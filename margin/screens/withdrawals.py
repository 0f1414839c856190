"""Withdrawals: the list, asking for one with what the gate says, and the page of one."""

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.columns import Column
from accounts.filters import Choice, Day, Text
from accounts.listing import Listing, wants_rows
from accounts.models import Act, Bucket, MarginAccount, PaymentInstruction
from accounts.news import announce
from accounts.roles import DECIDE, REQUEST, DeskRequest, check, may, one_of, require, who_may
from accounts.screens.asking import AskForm, Question, amount_field, ask, day_field, text_field
from ledger.models import Asset, Location, Payment
from ledger.payments import OUTCOME, PAY, State, moment
from ledger.posting import plain
from margin.payments.outcomes import OUTCOMES, request_outcome
from margin.payments.withdrawals import (
    PAYING,
    Look,
    Withdrawal,
    cancel_withdrawal,
    look,
    payee_facts,
    request_withdrawal,
)
from margin.screens.visible import NO_PAGE, entity_here, of_accounts

ACCOUNT = "bucket__account"
COLUMNS = (
    Column("reference", "Reference", value="end_to_end_id", sort=("end_to_end_id",)),
    Column("account", "Account", value="bucket.account.code", sort=("bucket__account__code", "pk")),
    Column("amount", "Amount", sort=("amount", "pk"), numeric=True),
    Column("asset", "Asset", value="asset.code", sort=("asset__code", "pk")),
    Column("location", "Paid from", value="location.code", sort=("location__code", "pk")),
    Column("instruction", "By", value="instruction.code"),
    Column("pay_on", "On", sort=("pay_on", "pk"), value="pay_on"),
    Column("state", "State", sort=("state", "pk")),
    Column("binding", "Binding term", value="binding_term"),
    Column("requested", "Requested", value="requested_at", sort=("requested_at", "pk")),
)


def payments_here(request: DeskRequest) -> "QuerySet[Payment]":
    """The payments of a list."""
    here = [entity_here(request).pk]
    return Payment.objects.named().filter(of_accounts(request.roles, here, path=ACCOUNT))


def payment_or_404(request: DeskRequest, payment_id: UUID) -> Payment:
    """One payment with all that its page shows."""
    mine = of_accounts(request.roles, request.roles.entities("read"), path=ACCOUNT)
    found = (
        Payment.objects.named()
        .filter(mine, pk=payment_id)
        .select_related("instruction__client__person_key", "legal_entity", "approval__maker",
                        "line__statement", "return_line__statement", "hold")
        .first()
    )  # fmt: skip
    if found is None:
        raise Http404(NO_PAGE)
    return found


@require_GET
@require("read")
def withdrawal_list(request: DeskRequest) -> HttpResponse:
    """Withdrawals, the newest first."""
    listing = Listing(
        request,
        payments_here(request),
        name="withdrawals",
        columns=COLUMNS,
        filters=[
            Choice("state", "State", "state", list(Payment.State.choices)),
            Text("account", "Account", ("bucket__account__code",)),
            Text("q", "Reference", ("end_to_end_id",)),
            Day("from", "Paid from day", "pay_on", "gte"),
            Day("to", "Paid to day", "pay_on", "lte"),
        ],
        default_sort="-requested",
        tabs="state",
    )
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "can_ask": may(request, f"{REQUEST}{PAY}", entity_here(request)),
    }
    template = "margin/_withdrawals.html" if wants_rows(request) else "margin/withdrawals.html"
    return render(request, template, context)


# ---------------------------------------------------------------- asking


class WithdrawalForm(AskForm):
    """What is to be paid, from where and to whom."""

    bucket = forms.ModelChoiceField(
        Bucket.objects.none(), to_field_name="code", label="From bucket", empty_label=None
    )
    asset = forms.ModelChoiceField(
        Asset.objects.filter(kind="money").order_by("code"), to_field_name="code", label="Asset",
        empty_label=None,
    )  # fmt: skip
    amount = amount_field("Amount")
    location = forms.ModelChoiceField(
        Location.objects.none(), to_field_name="code", label="Paid from", empty_label=None
    )
    instruction = forms.ModelChoiceField(
        PaymentInstruction.objects.none(), to_field_name="code", label="Paid to, by instruction",
        empty_label=None,
    )  # fmt: skip
    pay_on = day_field("To be paid on")
    key = forms.CharField(widget=forms.HiddenInput, max_length=60)
    field_order = ("bucket", "asset", "amount", "location", "instruction", "pay_on", "reason")

    def __init__(self, data: Any, *, account: MarginAccount) -> None:  # noqa: ANN401
        initial = {"key": f"screen:{uuid4()}", "pay_on": moment().date()}
        super().__init__(data, initial=initial)
        choices: dict[str, QuerySet[Any]] = {
            "bucket": Bucket.objects.filter(account=account, role__in=PAYING)
            .select_related("account__client")
            .order_by("code"),
            "location": Location.objects.filter(
                pool__legal_entity=account.legal_entity_id, pool__owner_class=account.owner_class,
                closed_on__isnull=True,
            ).exclude(kind=Location.Kind.VENUE).order_by("kind", "code"),
            "instruction": PaymentInstruction.objects.newest()
            .filter(client=account.client_id, is_active=True)
            .order_by("code"),
        }  # fmt: skip
        for name, rows in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows

    def asked(self) -> Withdrawal:
        """The withdrawal as typed; a shorter amount is the same amount."""
        typed = self.cleaned_data
        amount = typed["amount"].__class__(plain(typed["amount"]))
        return Withdrawal(
            typed["key"], typed["bucket"], typed["asset"], amount, typed["location"],
            typed["instruction"], typed["pay_on"],
        )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def withdrawal_new(request: DeskRequest) -> HttpResponse:
    """Choose the account, then what is paid; "Look" says what the gate would."""
    entity = entity_here(request)
    check(request, f"{REQUEST}{PAY}", entity)
    account = account_named(request, request.GET.get("account", ""))
    if account is None:
        asked = "account" in request.GET
        context: dict[str, object] = {"unknown": asked, "typed": request.GET.get("account", "")}
        return render(
            request, "margin/withdrawal_account.html", context, status=404 if asked else 200
        )
    form = WithdrawalForm(request.POST if request.method == "POST" else None, account=account)
    if request.method != "POST":
        return withdrawal_form(request, form, account)
    if not form.is_valid():
        return withdrawal_form(request, form, account, status=422)
    wanted = form.asked()
    if "look" in request.POST:
        return withdrawal_form(request, form, account, seen=look(wanted))
    try:
        payment = request_withdrawal(
            wanted, reason=form.cleaned_data["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except AskRefusedError as refused:
        form.add_error(refused.field if refused.field == "amount" else None, str(refused))
        return withdrawal_form(request, form, account, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked ({refused.rule}): {refused.detail}.")
        return withdrawal_form(request, form, account, status=409)
    tell(request, payment)
    return redirect("margin:withdrawal", payment.pk)


def tell(request: DeskRequest, payment: Payment) -> None:
    """Say what became of the request."""
    if payment.state == State.REFUSED:
        messages.error(request, payment.note)
    elif payment.state == State.RELEASED:
        messages.success(request, "Released. It waits for a second person; nothing has moved.")
    else:
        messages.info(request, f"This was asked before: {payment.get_state_display().lower()}.")
    announce("approvals")
    announce("book")


def account_named(request: DeskRequest, code: str) -> MarginAccount | None:
    """An account of a client that the person may ask for."""
    here = [entity_here(request).pk]
    mine = of_accounts(request.roles, here, path="", act=f"{REQUEST}{PAY}")
    found = MarginAccount.objects.filter(mine, code=code.strip(), client__isnull=False)
    return found.select_related("client__person_key").first()


def withdrawal_form(
    request: DeskRequest, form: WithdrawalForm, account: MarginAccount, *,
    seen: Look | None = None, status: int = 200,
) -> HttpResponse:  # fmt: skip
    """The form, and beside it every term of what may leave."""
    deciders = who_may(f"{DECIDE}{PAY}", entity_here(request).pk, besides=request.operator.pk)
    context = {"form": form, "account": account, "seen": seen, "deciders": one_of(deciders)}
    return render(request, "margin/withdrawal_new.html", context, status=status)


# ---------------------------------------------------------------- one of them


@require_GET
@require("read")
def withdrawal_page(request: DeskRequest, payment_id: UUID) -> HttpResponse:
    """A payment: its figures, whom it goes to, its steps."""
    payment = payment_or_404(request, payment_id)
    events = list(payment.events.order_by("pk"))
    acts = Act.objects.select_related("operator").in_bulk([event.xid for event in events])
    files = payment.files.select_related("file").order_by("pk")
    state = State(payment.state)
    can_ask = may(request, f"{REQUEST}{OUTCOME}", payment.legal_entity)
    context = {
        "payment": payment,
        "payee": payee_facts(payment.instruction),
        "steps": [(event, acts.get(event.xid), State(event.to_state).label) for event in events],
        "files": files,
        "can_cancel": state == State.RELEASED
        and may(request, f"{REQUEST}{PAY}", payment.legal_entity),
        "outcomes": [
            (outcome.value, outcome.label.lower())
            for outcome, sources in OUTCOMES.items()
            if can_ask and state in sources
        ],
    }
    return render(request, "margin/withdrawal.html", context)


@require_POST
@require("read")
def withdrawal_cancel(request: DeskRequest, payment_id: UUID) -> HttpResponse:
    """Take back a request that nobody has agreed to."""
    payment = payment_or_404(request, payment_id)
    check(request, f"{REQUEST}{PAY}", payment.legal_entity)
    reason = request.POST.get("reason", "").strip()
    try:
        if len(reason) < 10:
            raise RefusedError("reason_says_why", "a reason has at least 10 characters")
        cancel_withdrawal(
            payment, reason=reason, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        messages.error(request, f"Not cancelled: {refused.detail}.")
    else:
        messages.success(request, "Cancelled. Nothing had moved.")
        announce("book")
    return redirect("margin:withdrawal", payment.pk)


class OutcomeForm(AskForm):
    """What became of it, by somebody's word."""

    reference = text_field(
        "Proof", hint="What the bank, or the chain, calls the movement; empty if there was none."
    )
    field_order = ("reference", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def withdrawal_outcome(request: DeskRequest, payment_id: UUID, outcome: str) -> HttpResponse:
    """Ask a second person to agree what became of a payment."""
    payment = payment_or_404(request, payment_id)
    if outcome not in [each.value for each in OUTCOMES]:
        raise Http404(NO_PAGE)
    label = State(outcome).label.lower()
    question = Question(
        action=OUTCOME, title=f"Payment {payment}: {label}",
        purpose="Where no line of a statement says it, two people do.",
        back=reverse("margin:withdrawal", args=[payment.pk]), back_label=str(payment),
        facts=(("Account", payment.bucket.account.code), *payee_facts(payment.instruction),
               ("State", payment.get_state_display())),
    )  # fmt: skip
    form = OutcomeForm(request.POST if request.method == "POST" else None)
    return ask(
        request, form, question, entity=payment.legal_entity,
        do=lambda typed: request_outcome(
            payment, outcome=outcome, reference=typed["reference"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        ),
    )  # fmt: skip
