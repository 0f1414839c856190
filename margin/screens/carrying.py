"""Carrying a call on from its page: one step at a time, or what two people let it have."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.clock import desk_zone
from accounts.figures import grouped
from accounts.models import LegalEntity, MarginAccount
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask
from margin.calls.acts import ACTS, CARRY_ON, CallAct, carry_on
from margin.calls.increments import left_of
from margin.calls.reliefs import EXTEND, WAIVE, request_relief
from margin.engine.call_terms import Part
from margin.models import CallRelief, CallTransition, MarginCall
from margin.screens.visible import NO_PAGE, call_or_404, check_account

WORDS_LENGTH_MIN, WORDS_LENGTH_MAX = 3, 2000
RELIEFS = {
    CallRelief.Kind.EXTEND: (EXTEND, "Extend", "The call is due later. Nothing else changes."),
    CallRelief.Kind.WAIVE: (WAIVE, "Waive", "The call ends and nothing is due by it."),
}


class Way(NamedTuple):
    """Something that may be done with a call now: what its link says, and where it leads."""

    title: str
    address: str
    purpose: str


class CarryForm(forms.Form):
    """Why a call is carried on."""

    words = forms.CharField(
        label="Reason", min_length=WORDS_LENGTH_MIN, max_length=WORDS_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept for ever with your name. At least 3 characters.",
    )  # fmt: skip


class ExtendForm(AskForm):
    """Until when a call is extended."""

    until = forms.DateTimeField(
        label="Due", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="By the clock of the desk.",
    )  # fmt: skip
    field_order = ("until", "reason")

    def clean_until(self) -> datetime:
        """What was typed, as the clock of the desk meant it."""
        typed: datetime = self.cleaned_data["until"]
        return typed.replace(tzinfo=desk_zone())


def account_of(call: MarginCall) -> MarginAccount:
    assert call.scope.bucket is not None, "calls are made on buckets"
    return call.scope.bucket.account


def ways_on(request: DeskRequest, call: MarginCall) -> list[Way]:
    """What this person may do with the call as it stands."""
    entity, number = account_of(call).legal_entity_id, call.number
    steps = CallTransition.objects.filter(from_state=call.state).values_list("act", "to_state")
    listed = {(act, state) for act, state in steps}
    found = [
        Way(act.title, reverse("margin:call-carry", args=[number, act.code]), act.purpose)
        for act in ACTS.values()
        if (_listed_act(act), act.to_state) in listed
        and act.code != "acknowledge"
        and may(request, act.right, entity)
    ]
    for kind, (action, title, purpose) in RELIEFS.items():
        step = ("extend", "extended") if kind == CallRelief.Kind.EXTEND else ("cancel", "cancelled")
        is_open = step in listed and call.state != MarginCall.State.DRAFT
        if is_open and may(request, f"{REQUEST}{action}", entity):
            address = reverse("margin:call-relief", args=[number, kind.value])
            found.append(Way(f"{title}…", address, f"{purpose} Takes two people."))
    if may(request, CARRY_ON, entity):
        found += _claims(call, states={state for _, state in listed})
    return found


def _claims(call: MarginCall, *, states: set[str]) -> list[Way]:
    """What the client may say of the call as it stands."""
    found = []
    if MarginCall.State.DISPUTED in states:
        found.append(("Dispute…", "margin:call-dispute", "The client says less is due."))
    if MarginCall.State.AGREED in states:
        found.append(("Agree…", "margin:call-agree", "End the dispute. Takes two people."))
        found.append(("Evidence…", "margin:call-evidence", "Attach a file to the dispute."))
    if call.state not in (*MarginCall.ENDED, MarginCall.State.DRAFT):
        found.append(("Promise…", "margin:call-promise", "The client says when money comes."))
    return [Way(title, reverse(name, args=[call.number]), why) for title, name, why in found]


def _listed_act(act: CallAct) -> str:
    return "cancel" if act.code == "withdraw" else act.code


def parts_shown(call: MarginCall) -> list[Part]:
    """The parts of an open call, where it has more than one."""
    parts = [] if call.state in MarginCall.ENDED else left_of(call)
    return parts if len(parts) > 1 or any(each.number for each in parts) else []


@require_http_methods(["GET", "POST"])
@require("read")
def carry(request: DeskRequest, number: str, act: str) -> HttpResponse:
    """Ask why, then take one step; the database says whether the call has it."""
    call, wanted = call_or_404(request, number), ACTS.get(act)
    if wanted is None:
        raise Http404(NO_PAGE)
    check_account(request, wanted.right, account_of(call))
    if request.method == "GET":
        return carry_page(request, call, wanted, form=CarryForm())
    form = CarryForm(request.POST)
    if not form.is_valid():
        return carry_page(request, call, wanted, form=form, status=422)
    try:
        found = carry_on(
            number, act, actor=request.actor, words=form.cleaned_data["words"],
            request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        form.add_error(None, f"Not done: {refused.detail} ({refused.rule}). Your text is kept.")
        now = call_or_404(request, number)
        return carry_page(request, now, wanted, form=form, status=409)
    messages.success(request, f"{number} is {found.get_state_display().lower()}.")
    return redirect("margin:call", number)


def carry_page(
    request: DeskRequest, call: MarginCall, act: CallAct, *, form: CarryForm, status: int = 200
) -> HttpResponse:
    """The question beside what stands now."""
    context = {
        "call": call,
        "act": act,
        "form": form,
        "title": f"{act.title}: {call.number}",
        "facts": facts_of(call),
    }
    return render(request, "margin/carry.html", context, status=status)


def facts_of(call: MarginCall) -> tuple[tuple[str, str], ...]:
    """What stands now, label and text."""
    account = account_of(call)
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    return (
        ("Account", f"{account.code} {bucket.code}"),
        ("The call is", call.get_state_display().lower()),
        ("Called", f"{grouped(call.amount, decimals=2)} {call.currency}"),
        ("Due", f"{call.due_at.astimezone(desk_zone()):%Y-%m-%d %H:%M}"),
    )


@require_http_methods(["GET", "POST"])
@require("read")
def relief(request: DeskRequest, number: str, kind: str) -> HttpResponse:
    """Ask a second person for more time, or that nothing be due."""
    call = call_or_404(request, number)
    if kind not in RELIEFS:
        raise Http404(NO_PAGE)
    action, title, purpose = RELIEFS[CallRelief.Kind(kind)]
    entity: LegalEntity = account_of(call).legal_entity
    form_type = ExtendForm if action == EXTEND else AskForm
    later = (call.due_at + timedelta(days=1)).astimezone(desk_zone())
    form = form_type(
        request.POST if request.method == "POST" else None,
        initial={"until": later.strftime("%Y-%m-%dT%H:%M")},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_relief(
            call, kind=kind, until=typed.get("until"), legal_entity=entity,
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=action, title=f"{title} {number}", purpose=purpose, facts=facts_of(call),
        back=reverse("margin:call", args=[number]), back_label=number,
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)
