"""A move between two buckets: chosen, shown as it would be, then made or asked for."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.models import Bucket, MarginAccount
from accounts.news import announce
from accounts.roles import DeskRequest, check, require
from ledger.bucket_moves import ROLE_WORDS, BucketMove
from ledger.models import Asset, MoveGuard
from margin.bucket_moves import MovePlan, MoveRefusedError, make_move, plan_move, request_move
from margin.screens.visible import entity_here, of_accounts

MOVE = "bucket.move"
TEXT_LENGTH_MIN = 10


class AccountForm(forms.Form):
    """Which account."""

    account = forms.CharField(label="Account", max_length=40)


class MoveForm(forms.Form):
    """What moves from which bucket to which."""

    source = forms.ModelChoiceField(
        Bucket.objects.none(), to_field_name="code", label="From", empty_label=None
    )
    target = forms.ModelChoiceField(
        Bucket.objects.none(), to_field_name="code", label="To", empty_label=None
    )
    asset = forms.ModelChoiceField(
        Asset.objects.order_by("code"), to_field_name="code", label="Asset", empty_label=None
    )
    amount = forms.DecimalField(
        label="Amount", max_digits=40, decimal_places=18, localize=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="Of money or of the instrument, without a sign.",
    )  # fmt: skip
    reason = forms.CharField(
        label="Reason", min_length=TEXT_LENGTH_MIN, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip
    key = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(self, data: Any, *, account: MarginAccount, key: str) -> None:  # noqa: ANN401
        super().__init__(data, initial={"key": key})
        buckets = Bucket.objects.filter(account=account).order_by("code").select_related("account")
        for name in ("source", "target"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = buckets


@require_http_methods(["GET", "POST"])
@require("read")
def move(request: DeskRequest) -> HttpResponse:
    """Choose the account, then the move; "Look" shows what it would do, "Move" does it."""
    entity = entity_here(request)
    check(request, MOVE, entity)
    account = account_named(request, request.GET.get("account", ""))
    if account is None:
        asked = "account" in request.GET
        context = {"form": AccountForm(request.GET if asked else None), "unknown": asked}
        return render(request, "margin/move_account.html", context, status=404 if asked else 200)
    sent = request.POST if request.method == "POST" else None
    form = MoveForm(sent, account=account, key=f"move:{uuid4()}")
    if sent is None:
        return move_page(request, form, account)
    if not form.is_valid():
        return move_page(request, form, account, status=422)
    wanted = move_of(form.cleaned_data)
    if "look" in sent:
        return move_page(request, form, account, plan=plan_move(wanted))
    return carry_out(request, form, account, wanted)


def account_named(request: DeskRequest, code: str) -> MarginAccount | None:
    """An account that the person may move within, of their desk where they are limited to one."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path="", act=MOVE)
    return MarginAccount.objects.filter(mine, code=code.strip()).first()


def move_of(typed: dict[str, Any]) -> BucketMove:
    amount: Decimal = typed["amount"]
    return BucketMove(
        key=typed["key"], source=typed["source"], target=typed["target"], asset=typed["asset"],
        amount=amount, reference=typed["key"].removeprefix("move:")[:8].upper(),
        effective_at=datetime.now(tz=UTC),
    )  # fmt: skip


def carry_out(
    request: DeskRequest, form: MoveForm, account: MarginAccount, wanted: BucketMove
) -> HttpResponse:
    """Make the move, or ask a second person where the matrix wants one."""
    acts: dict[str, Any] = {
        "actor": request.actor,
        "reason": form.cleaned_data["reason"],
        "request_id": request.request_id,
    }
    plan = plan_move(wanted)
    try:
        if plan.guard == MoveGuard.TWO:
            approval_id = request_move(wanted, **acts)
            messages.success(request, "Asked. It waits for a second person; nothing has moved.")
            announce("approvals")
            return redirect("accounts:approval", approval_id)
        posted = make_move(wanted, **acts)
    except MoveRefusedError as refused:
        form.add_error(None, str(refused))
        return move_page(request, form, account, plan=plan, status=409)
    except RefusedError as refused:
        form.add_error(None, f"Not moved ({refused.rule}): {refused.detail}.")
        return move_page(request, form, account, plan=plan, status=409)
    messages.success(request, f"Moved by entry {posted.entry_id}.")
    announce("book")
    return redirect("ledger:entry", posted.entry_id)


def move_page(
    request: DeskRequest, form: MoveForm, account: MarginAccount, *,
    plan: MovePlan | None = None, status: int = 200,
) -> HttpResponse:  # fmt: skip
    """The form, and beside it what the move would do."""
    context = {
        "form": form,
        "account": account,
        "plan": plan,
        "sides": [plan.source, plan.target] if plan else [],
        "roles": ROLE_WORDS,
        "today": timezone.now().date(),
    }
    return render(request, "margin/move.html", context, status=status)
