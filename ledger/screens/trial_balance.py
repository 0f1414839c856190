"""The trial balance: what stands on either side of each pool, at any date and horizon."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.figures import WIDE
from accounts.roles import DeskRequest, require
from ledger.models import AccountClass
from ledger.screens.times import Times, in_two_times
from ledger.screens.visible import entity_here
from ledger.standing import Group, GroupKey, book_standing
from ledger.times import reading_point

ZERO = Decimal(0)


@dataclass(frozen=True)
class TrialLine:
    """Accounts of one class and place."""

    class_word: str
    location: str
    debit: Decimal
    credit: Decimal


@dataclass
class TrialSide:
    """One asset of one pool; both sides are equal."""

    pool: str
    asset: str
    scale: int
    lines: list[TrialLine] = field(default_factory=list)
    debit: Decimal = ZERO
    credit: Decimal = ZERO

    @property
    def is_equal(self) -> bool:
        return self.debit == self.credit


@require_GET
@require("read")
@in_two_times()
def trial_balance(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Every pool and asset, with debits and credits by class and place."""
    book = book_standing(times.point or reading_point(), entities=[entity_here(request).pk])
    context = {"sides": sides_of(book.grouped()), "times": times}
    return render(request, "ledger/trial_balance.html", context)


def sides_of(groups: Iterable[tuple[GroupKey, Group]]) -> list[TrialSide]:
    """Groups of accounts by pool and asset, with their totals."""
    sides: dict[tuple[str, str], TrialSide] = {}
    for (pool, asset, account_class, location), group in groups:
        side = sides.setdefault((pool, asset), TrialSide(pool, asset, group.scale))
        word = AccountClass(account_class).label
        side.lines.append(TrialLine(word, location, group.debit, group.credit))
        side.debit = WIDE.add(side.debit, group.debit)
        side.credit = WIDE.add(side.credit, group.credit)
    return list(sides.values())
