"""What a move between buckets needs, role by role, and asking for another rule."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError
from accounts.models import Bucket
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, one_of, require, who_may
from ledger.breaks import TEXT_LENGTH_MIN
from ledger.bucket_moves import ROLE_WORDS, SET_RULE, matrix, request_rule
from ledger.models import MoveGuard
from ledger.screens.visible import entity_here

TONES = {
    MoveGuard.FREE: ("ok", "check"),
    MoveGuard.MARGIN: ("watch", "below"),
    MoveGuard.TWO: ("info", "stamp"),
    MoveGuard.NEVER: ("mute", "x"),
}


class RuleForm(forms.Form):
    """One pair of roles and what it needs from a day on."""

    from_role = forms.ChoiceField(label="From", choices=Bucket.Role.choices)
    to_role = forms.ChoiceField(label="To", choices=list(ROLE_WORDS.items()))
    guard = forms.ChoiceField(label="A move needs", choices=MoveGuard.choices)
    effective_from = forms.DateField(
        label="From this day on", widget=forms.DateInput(attrs={"type": "date"}),
        help_text="After the last business day that is done.",
    )  # fmt: skip
    reason = forms.CharField(
        label="Reason", min_length=TEXT_LENGTH_MIN, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip


@require_GET
@require("read")
def matrix_page(request: DeskRequest) -> HttpResponse:
    """The matrix as it holds today."""
    today = timezone.now().date()
    cells = matrix(today)
    rows = [
        (
            word,
            [(cells[code, to_role], *TONES[cells[code, to_role].guard]) for to_role in ROLE_WORDS],
        )
        for code, word in Bucket.Role.choices
    ]
    context = {
        "today": today,
        "targets": list(ROLE_WORDS.values()),
        "rows": rows,
        "can_ask": may(request, f"{REQUEST}{SET_RULE}", entity_here(request)),
        "can_move": may(request, "bucket.move", entity_here(request)),
    }
    return render(request, "ledger/buckets.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def rule_new(request: DeskRequest) -> HttpResponse:
    """Ask a second person that a move need something else."""
    entity = entity_here(request)
    check(request, f"{REQUEST}{SET_RULE}", entity)
    today = {"effective_from": timezone.now().date()}
    form = RuleForm(request.POST) if request.method == "POST" else RuleForm(initial=today)
    if request.method == "GET":
        return rule_page(request, form)
    if not form.is_valid():
        return rule_page(request, form, status=422)
    typed: dict[str, Any] = form.cleaned_data
    try:
        approval_id = request_rule(
            **(typed | {"guard": MoveGuard(typed["guard"])}),
            legal_entity=entity,
            actor=request.actor,
            request_id=request.request_id,
        )
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return rule_page(request, form, status=409)
    messages.success(request, "Asked. It waits for a second person; nothing has changed.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)


def rule_page(request: DeskRequest, form: RuleForm, *, status: int = 200) -> HttpResponse:
    """The form, with who can decide."""
    entity = entity_here(request)
    deciders = who_may(f"approval.decide:{SET_RULE}", entity.pk, besides=request.operator.pk)
    context = {"form": form, "deciders": one_of(deciders)}
    return render(request, "ledger/bucket_rule.html", context, status=status)
