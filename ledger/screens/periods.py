"""Closed periods: what is closed, every closing and reopening, and asking for either."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import RefusedError
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, one_of, require, who_may
from ledger.models import DayClose
from ledger.periods import CLOSE, REOPEN, close_period, closed_through, history, request_reopening
from ledger.screens.visible import entity_here

ASK = f"{REQUEST}{REOPEN}"


class ClosingForm(forms.Form):
    """A closing: through which day, and why."""

    through = forms.DateField(label="Close through", widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(
        label="Reason", min_length=10, max_length=500, help_text="At least 10 characters"
    )


class ReopeningForm(forms.Form):
    """A reopening: which day stays the last closed one, and why."""

    reopens_to = forms.DateField(
        label="Stays closed through",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty opens everything",
    )
    why = forms.CharField(
        label="Reason", min_length=10, max_length=500, help_text="At least 10 characters"
    )


@require_GET
@require("read")
def period_list(request: DeskRequest) -> HttpResponse:
    """What is closed, and how it came to that."""
    return drawn(request)


def drawn(
    request: DeskRequest,
    *,
    closing: ClosingForm | None = None,
    reopening: ReopeningForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page, with what had been typed into a refused form."""
    entity = entity_here(request)
    newest = DayClose.objects.filter(legal_entity=entity).order_by("-day").first()
    context = {
        "closed": closed_through(entity.pk),
        "turns": history(entity.pk),
        "newest": newest,
        "closing": closing or ClosingForm(),
        "reopening": reopening or ReopeningForm(),
        "may_close": may(request, CLOSE, entity),
        "may_ask": may(request, ASK, entity),
        "deciders": one_of(
            who_may(f"approval.decide:{REOPEN}", entity.pk, besides=request.operator.pk)
        ),
    }
    return render(request, "ledger/periods.html", context, status=status)


@require_POST
@require("read")
def close(request: DeskRequest) -> HttpResponse:
    """Close everything through a day."""
    entity = entity_here(request)
    check(request, CLOSE, entity)
    form = ClosingForm(request.POST)
    if not form.is_valid():
        return drawn(request, closing=form, status=422)
    try:
        close_period(
            entity.pk,
            through=form.cleaned_data["through"],
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            request_id=request.request_id,
        )
    except RefusedError as refused:
        form.add_error(None, f"Not closed: {refused.detail}.")
        return drawn(request, closing=form, status=409)
    messages.success(request, f"Closed through {form.cleaned_data['through']}.")
    announce("book")
    return redirect("ledger:periods")


@require_POST
@require("read")
def ask_reopening(request: DeskRequest) -> HttpResponse:
    """Ask that days be opened again; a second person decides."""
    entity = entity_here(request)
    check(request, ASK, entity)
    form = ReopeningForm(request.POST)
    if not form.is_valid():
        return drawn(request, reopening=form, status=422)
    try:
        approval_id = request_reopening(
            entity,
            reopens_to=form.cleaned_data["reopens_to"],
            reason=form.cleaned_data["why"],
            actor=request.actor,
            request_id=request.request_id,
        )
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return drawn(request, reopening=form, status=409)
    messages.success(request, "Asked. It waits for a second person; the period stays closed.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)
