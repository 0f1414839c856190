"""Deciding on calls that a restated run would not have made so, and correcting marks."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.figures import grouped, plain
from accounts.roles import REQUEST, DeskRequest, check, require
from accounts.screens.asking import AskForm, Question, amount_field, ask, text_field
from margin.calls.decisions import CANCEL, affected, keep_call, may_decide, request_decision
from margin.calls.settling import StaleCallError
from margin.market.corrections import CORRECT, request_correction
from margin.models import CallDecision, Mark
from margin.screens.runs import run_or_404
from margin.screens.visible import NO_PAGE, call_or_404, entity_here

Verdict = CallDecision.Verdict
PURPOSES = {
    Verdict.AMEND: "The call asks for what the restated run says; whoever was told of it is told.",
    Verdict.CANCEL: "The restated run would not have made the call. Whoever was told is told.",
}


class CorrectionForm(AskForm):
    """The right price of a mark, and where it is from."""

    price = amount_field("Right price", hint="In USD, above 0.")
    source = text_field("Source of the right price", required=True)
    field_order = ("price", "source", "reason")


@require_http_methods(["GET", "POST"])
@require("read")
def call_decision(request: DeskRequest, number: str, call: str, verdict: str) -> HttpResponse:
    """Keep a call that the restated run would not have made so, or ask that it change."""
    run, found_call = run_or_404(number), call_or_404(request, call)
    if verdict not in Verdict.values:
        raise Http404(NO_PAGE)
    bucket = found_call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    entity, back = bucket.account.legal_entity, reverse("margin:run", args=[number])
    form = AskForm(request.POST if request.method == "POST" else None)
    check(request, f"{REQUEST}{CANCEL}", entity)
    try:
        found = affected(found_call, run)
    except StaleCallError as stale:
        messages.error(request, str(stale))
        return redirect(back)
    if verdict not in may_decide(found):
        raise Http404(NO_PAGE)
    should_be = "unknown" if found.should_be is None else grouped(found.should_be, decimals=2)
    facts = (
        ("Account", f"{bucket.account.code} {bucket.code}"),
        ("Call", f"{found_call.number}, {found_call.get_state_display().lower()}"),
        ("Called now", f"{grouped(found_call.amount, decimals=2)} {found_call.currency}"),
        (f"By {run.number}", f"{should_be} {found_call.currency}"),
    )
    label = Verdict(verdict).label
    if verdict == Verdict.KEEP:
        title = f"Keep {found_call.number}"
        if request.method == "POST" and form.is_valid():
            return kept(request, found_call.number, run.number, reason=form.cleaned_data["reason"])
        context = {"form": form, "title": title, "back": back, "number": number, "facts": facts}
        status = 422 if request.method == "POST" else 200
        return render(request, "margin/keep_call.html", context, status=status)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_decision(
            found_call, run=run, verdict=verdict, legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=f"call.{verdict}", title=f"{label} {found_call.number}", back=back,
        back_label=number, purpose=PURPOSES[Verdict(verdict)], facts=facts,
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def kept(request: DeskRequest, call: str, number: str, *, reason: str) -> HttpResponse:
    """Record that the call stays, once, and go back to the run."""
    try:
        keep_call(
            call_or_404(request, call), run=run_or_404(number), reason=reason,
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except (StaleCallError, RefusedError) as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{call} stays as it is.")
    return redirect("margin:run", number)


@require_http_methods(["GET", "POST"])
@require("read")
def mark_correction(request: DeskRequest, mark_id: int) -> HttpResponse:
    """Ask that a mark that proved wrong be corrected."""
    entity = entity_here(request)
    mark = Mark.objects.standing().select_related("asset").filter(pk=mark_id).first()
    if mark is None:
        raise Http404(NO_PAGE)
    code, stood = mark.asset.code, mark
    form: forms.Form = CorrectionForm(request.POST if request.method == "POST" else None)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_correction(
            stood, price=typed["price"], source=typed["source"], legal_entity=entity,
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    day = f"{mark.business_day:%Y-%m-%d}"
    question = Question(
        action=CORRECT, title=f"Correct the mark of {code}",
        back=f"{reverse('margin:price', args=[code])}?day={day}", back_label=code,
        purpose="Runs that used the wrong mark stay as they are; restating one shows what changes.",
        facts=(("Day", day), ("Mark", f"{plain(mark.price)} ({mark.get_state_display()})")),
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)
