"""The statement of one ledger account, page by page, at any date and horizon."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.figures import WIDE
from accounts.roles import DeskRequest, require
from ledger.account_statement import StatementLine, StatementPage, statement_page
from ledger.models import EntryKind, LedgerAccount
from ledger.naming import account_name, said
from ledger.screens.times import Times, in_two_times, is_known_then, not_known, not_there
from ledger.screens.visible import NO_PAGE, ledger_account_or_404, visible_entries


@dataclass(frozen=True)
class AccountLine:
    """A posting as people read it: debit or credit, and what the account then held.

    Attributes:
        is_readable: whether the person may open the entry.
    """

    line: StatementLine
    kind: str
    debit: Decimal | None
    credit: Decimal | None
    balance: Decimal
    is_readable: bool


@require_GET
@require("read")
@in_two_times()
def account_statement(request: DeskRequest, account_id: int, *, times: Times) -> HttpResponse:
    """A page of the statement; `?before=` is the place from which older lines are read."""
    account = ledger_account_or_404(request, account_id)
    if times.point is not None and not is_known_then(account, times.point):
        name = f"Ledger account {account_id}"
        return not_there(request, times, not_known(name, times.point))
    page = statement_page(account.pk, point=times.point, before=place_asked(request))
    context = {
        "account": account,
        "name": account_name(account),
        "balance": said(account.account_class, page.balance),
        "page": page,
        "lines": lines_of(request, account, page),
        "has_prices": account.account_class == "position",
        "is_first": "before" not in request.GET,
        "times": times,
    }
    return render(request, "ledger/account_statement.html", context)


def place_asked(request: DeskRequest) -> int | None:
    """The place that the address names; None for the newest lines.

    Raises:
        Http404: it is none.
    """
    text = request.GET.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Http404(NO_PAGE)
    return int(text)


def lines_of(
    request: DeskRequest, account: LedgerAccount, page: StatementPage
) -> list[AccountLine]:
    """The lines of a page with the words of their kinds; two queries."""
    entries = visible_entries(request).filter(pk__in=[line.entry_id for line in page.lines])
    readable = set(entries.values_list("pk", flat=True))
    kinds = dict(EntryKind.objects.values_list("code", "title"))
    return [
        AccountLine(
            line=line,
            kind=kinds[line.kind],
            debit=line.amount if line.amount > 0 else None,
            credit=WIDE.minus(line.amount) if line.amount < 0 else None,
            balance=said(account.account_class, line.balance),
            is_readable=line.entry_id in readable,
        )
        for line in page.lines
    ]
