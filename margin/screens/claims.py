"""What the client says of a call, taken on its page: disputes, evidence, promises, transfers."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.clock import desk_zone
from accounts.roles import DeskRequest, require
from accounts.screens.asking import AskForm, Question, amount_field, ask, text_field
from margin.calls.acts import CARRY_ON
from margin.calls.disputes import (
    AGREE,
    BYTES_MOST,
    Claim,
    DisputeRefusedError,
    attach_evidence,
    open_dispute,
    open_dispute_of,
    request_agreement,
)
from margin.calls.promises import promise_payment
from margin.models import CallDispute, CallEvidence, CallPromise, MarginCall
from margin.screens.carrying import account_of, facts_of
from margin.screens.visible import NO_PAGE, call_or_404, check_account

WORDS = forms.CharField(
    label="What the client said", min_length=3, max_length=2000,
    widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept for ever with your name.",
)  # fmt: skip


class DisputeForm(forms.Form):
    """How much the client does not dispute, and why not the rest."""

    undisputed = amount_field("Undisputed", hint="Stays due. What the client's own numbers give.")
    why = forms.ChoiceField(label="Because of", choices=CallDispute.Why.choices)
    words = WORDS
    file = forms.FileField(
        label="The client's numbers", required=False, max_length=200,
        help_text="CSV: total,component,amount. Totals are equity and initial_margin; a line"
        " without a component is the whole of its total.",
    )  # fmt: skip

    def claim(self) -> Claim:
        """What was typed."""
        typed = self.cleaned_data
        file: Any = typed["file"]
        return Claim(
            undisputed=typed["undisputed"], why=typed["why"], reason=typed["words"],
            file_name="" if file is None else str(file.name),
            content=b"" if file is None else file.read(BYTES_MOST + 1),
        )  # fmt: skip


class EvidenceForm(forms.Form):
    """A file that belongs to a dispute."""

    file = forms.FileField(label="File", max_length=200, help_text="Kept as it comes.")


class PromiseForm(forms.Form):
    """How much will come, and by when."""

    kind = forms.ChoiceField(label="What", choices=CallPromise.Kind.choices)
    amount = amount_field("Amount")
    pay_by = forms.DateTimeField(
        label="By", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="By the clock of the desk.",
    )  # fmt: skip
    reference = text_field(
        "Reference", length=80, hint="Of the transfer; the deposit with it keeps the promise."
    )
    words = WORDS


class AgreeForm(AskForm):
    """The amount on which both sides agree."""

    agreed = amount_field("Agreed amount")
    field_order = ("agreed", "reason")


def _checked(request: DeskRequest, number: str) -> MarginCall:
    call = call_or_404(request, number)
    check_account(request, CARRY_ON, account_of(call))
    return call


@require_http_methods(["GET", "POST"])
@require("read")
def dispute(request: DeskRequest, number: str) -> HttpResponse:
    """Take a dispute with the client's numbers."""
    call = _checked(request, number)
    sent = request.method == "POST"
    form = DisputeForm(request.POST if sent else None, request.FILES if sent else None)
    if not sent or not form.is_valid():
        return _page(request, call, form, title="Dispute", status=422 if sent else 200)
    try:
        open_dispute(number, form.claim(), actor=request.actor, request_id=request.request_id)
    except (DisputeRefusedError, RefusedError) as refused:
        form.add_error(None, f"Not disputed: {refused} ({refused.rule})")
        status = 422 if isinstance(refused, DisputeRefusedError) else 409
        return _page(request, call_or_404(request, number), form, title="Dispute", status=status)
    messages.success(request, f"{number} is disputed. The undisputed part stays due.")
    return redirect("margin:call", number)


@require_http_methods(["GET", "POST"])
@require("read")
def evidence(request: DeskRequest, number: str) -> HttpResponse:
    """Attach a file to the open dispute of a call."""
    call = _checked(request, number)
    found = open_dispute_of(call)
    if found is None:
        raise Http404(NO_PAGE)
    sent = request.method == "POST"
    form = EvidenceForm(request.POST if sent else None, request.FILES if sent else None)
    if not sent or not form.is_valid():
        return _page(request, call, form, title="Evidence", status=422 if sent else 200)
    file: Any = form.cleaned_data["file"]
    try:
        attach_evidence(
            found, name=str(file.name), content=file.read(BYTES_MOST + 1), actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except (DisputeRefusedError, RefusedError) as refused:
        form.add_error(None, f"Not attached: {refused} ({refused.rule})")
        return _page(request, call, form, title="Evidence", status=409)
    messages.success(request, "Attached.")
    return redirect("margin:call", number)


@require_http_methods(["GET", "POST"])
@require("read")
def promise(request: DeskRequest, number: str) -> HttpResponse:
    """Record a promise to pay, or a transfer on its way."""
    call = _checked(request, number)
    sent = request.method == "POST"
    form = PromiseForm(request.POST if sent else None)
    if not sent or not form.is_valid():
        return _page(request, call, form, title="Promise", status=422 if sent else 200)
    typed = form.cleaned_data
    try:
        promise_payment(
            number, kind=typed["kind"], amount=typed["amount"], words=typed["words"],
            pay_by=typed["pay_by"].replace(tzinfo=desk_zone()), reference=typed["reference"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        form.add_error(None, f"Not recorded: {refused} ({refused.rule})")
        return _page(request, call, form, title="Promise", status=409)
    messages.success(request, "Recorded. The call stays due.")
    return redirect("margin:call", number)


@require_http_methods(["GET", "POST"])
@require("read")
def agree(request: DeskRequest, number: str) -> HttpResponse:
    """Ask a second person that a disputed call come to an amount."""
    call = call_or_404(request, number)
    if open_dispute_of(call) is None:
        raise Http404(NO_PAGE)
    entity = account_of(call).legal_entity

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_agreement(
            call, agreed=Decimal(typed["agreed"]), legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=AGREE, title=f"Agree on {number}", facts=facts_of(call), back_label=number,
        back=reverse("margin:call", args=[number]),
        purpose="The dispute ends and the call asks for this amount. What is given up is not"
        " called again by it.",
    )  # fmt: skip
    form = AgreeForm(request.POST if request.method == "POST" else None)
    return ask(request, form, question, entity=entity, do=do)


def _page(
    request: DeskRequest, call: MarginCall, form: forms.Form, *, title: str, status: int
) -> HttpResponse:
    context = {
        "call": call,
        "form": form,
        "title": f"{title}: {call.number}",
        "here": title,
        "facts": facts_of(call),
        "is_multipart": form.is_multipart(),
    }
    return render(request, "margin/claim.html", context, status=status)


def disputes_of(call: MarginCall) -> "QuerySet[CallDispute]":
    """The disputes of a call with what differs, the newest first."""
    return (
        CallDispute.objects.filter(call=call)
        .defer("content")
        .select_related("end")
        .prefetch_related("parts", Prefetch("evidence", CallEvidence.objects.defer("content")))
        .order_by("-pk")
    )


def promises_of(call: MarginCall) -> "QuerySet[CallPromise]":
    """The promises of a call, the newest first."""
    return CallPromise.objects.filter(call=call).select_related("end").order_by("-pk")
