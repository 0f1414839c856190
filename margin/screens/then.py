"""One account as it was known then: what it had and owed, and its statement."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render

from accounts.models import MarginAccount
from accounts.roles import DeskRequest
from ledger.models import LedgerAccount
from ledger.naming import said
from ledger.screens.times import Times, not_known, not_there
from ledger.standing import balances_at
from ledger.times import ReadingPoint, as_known, known
from margin.screens.statement import lines_of, statement_listing


@dataclass(frozen=True)
class StoodLine:
    """One claim, position or loan as it stood; what the account had or owed is positive."""

    account: LedgerAccount
    amount: Decimal
    average_cost: Decimal | None


def account_then(request: DeskRequest, account: MarginAccount, times: Times) -> HttpResponse:
    """The page of an account in the past; an account that was not known then does not show."""
    point = times.point
    assert point is not None, "the present has its own page"
    if not as_known([account], point):
        return not_there(request, times, not_known(f"Account {account.code}", point))
    listing = statement_listing(request, account, point=point)
    if listing.format:
        return listing.export()
    context = {
        "account": account,
        "times": times,
        "balances": balances_of(account, point),
        "listing": listing,
        "lines": lines_of(list(listing.page)),
    }
    return render(request, "margin/account_then.html", context)


def balances_of(account: MarginAccount, point: ReadingPoint) -> list[StoodLine]:
    """What the account had or owed that was not zero."""
    accounts = list(
        known(LedgerAccount.objects.filter(margin_account=account), point)
        .select_related("asset", "bucket")
        .order_by("bucket__code", "asset__code", "account_class")
    )
    stood = balances_at(point, account_ids=[each.pk for each in accounts])
    return [
        StoodLine(
            each, said(each.account_class, stood[each.pk].amount), stood[each.pk].average_cost
        )
        for each in accounts
        if stood[each.pk].amount
    ]
