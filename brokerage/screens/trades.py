"""Booking one trade by hand, for what no file brings."""

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
from accounts.models import MarginAccount
from accounts.roles import DeskRequest, check, require
from accounts.screens.asking import AskForm, amount_field, text_field
from brokerage.booked_trades import WORDS, book_trade
from brokerage.inbox.rows import TradeRow
from ledger.posting import Posted
from margin.screens.visible import entity_here, of_accounts

BOOK = "trade.book"


class TradeForm(AskForm):
    """An execution as the desk knows it."""

    account = text_field("Account", required=True)
    bucket = text_field("Bucket", required=True)
    instrument = text_field("Instrument", required=True)
    side = forms.ChoiceField(label="Side", choices=(("buy", "Buy"), ("sell", "Sell")))
    quantity = amount_field("Quantity")
    price = amount_field("Price", hint="Per unit, in USD.")
    fee = amount_field("Fee", required=False, hint="In USD; none if empty.")
    location = text_field("Location", required=True, hint="The venue or custodian.")
    key = text_field("Number", hint="The same number is booked once; a new one if empty.")
    field_order = (
        "account", "bucket", "instrument", "side", "quantity", "price", "fee", "location", "key",
        "reason",
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def trade_new(request: DeskRequest) -> HttpResponse:
    """The form; sending it books the trade."""
    check(request, BOOK, entity_here(request))
    form = TradeForm(
        request.POST if request.method == "POST" else None,
        initial={name: request.GET.get(name, "") for name in ("account", "bucket", "instrument")},
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                posted = booked(request, form.cleaned_data)
            except RefusedError as refused:
                form.add_error(None, f"Not booked ({refused.rule}): {refused.detail}.")
                status = 409
            else:
                messages.success(
                    request, "Booked." if posted.is_new else "It was booked before; nothing moved."
                )
                return redirect("ledger:entry", posted.entry_id)
    return render(request, "brokerage/trade_new.html", {"form": form}, status=status)


def booked(request: DeskRequest, typed: dict[str, Any]) -> Posted:
    """Book what was typed, for an account that the person may trade for.

    Raises:
        RefusedError: see `book_trade`; an account elsewhere is none.
    """
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path="", act=BOOK)
    if not MarginAccount.objects.filter(mine, code=typed["account"].strip()).exists():
        raise RefusedError("unknown_reference", WORDS["unknown_reference"])
    row = TradeRow(
        line=0, trade_id=typed["key"].strip() or f"T-{uuid4()}", executed_at=timezone.now(),
        account=typed["account"].strip(), bucket=typed["bucket"].strip(),
        instrument=typed["instrument"].strip(), side=typed["side"], quantity=typed["quantity"],
        price=typed["price"], fee_usd=typed["fee"] or Decimal(0),
        location=typed["location"].strip(),
    )  # fmt: skip
    return book_trade(
        row, actor=request.actor, reason=typed["reason"], request_id=request.request_id
    )
