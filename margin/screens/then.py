"""One account as it was known then: what it had and owed, and its statement."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render

from accounts.models import MarginAccount
from accounts.roles import DeskRequest
from ledger.models import LedgerAccount, Posting
from ledger.naming import said
from ledger.screens.times import Times
from ledger.standing import balances_at
from ledger.times import IsKnown, ReadingPoint, as_known, known
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
        raise Http404("There was no such page.")
    listing = statement_listing(request, account, only=lambda rows: postings_at(rows, point))
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


def postings_at(rows: "QuerySet[Posting]", point: ReadingPoint) -> "QuerySet[Posting]":
    """The postings that had taken effect and were known."""
    found = rows.filter(IsKnown("xid", point))
    return found if point.ends_at is None else found.filter(entry__effective_at__lt=point.ends_at)


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
