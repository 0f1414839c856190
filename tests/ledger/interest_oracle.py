"""Interest worked out apart from the product: plain fractions, every day from scratch."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Terms:
    """Rates from a day on."""

    first: date
    rate: str
    day_count: str
    compounds: bool
    charged: str = "daily"


def bond_days(since: date, until: date) -> int:
    first = min(since.day, 30)
    last = min(until.day, 30) if first == 30 else until.day
    return 360 * (until.year - since.year) + 30 * (until.month - since.month) + last - first


def share_of_year(night: date, since: date, day_count: str) -> Fraction:
    """The night after a day as a share of a year."""
    after = night + ONE_DAY
    if day_count == "ACT/ACT":
        return Fraction(1, (date(night.year + 1, 1, 1) - date(night.year, 1, 1)).days)
    if day_count == "30/360":
        return Fraction(bond_days(since, after) - bond_days(since, night), 360)
    if day_count == "30E/360":
        months = 12 * (after.year - night.year) + after.month - night.month
        return Fraction(30 * months + min(after.day, 30) - min(night.day, 30), 360)
    return Fraction(1, {"ACT/365F": 365, "ACT/360": 360}[day_count])


@dataclass
class Oracle:
    """One account: what moved on which date, and what interest that makes."""

    terms: list[Terms]
    sign: int
    scale: int = 2
    moves: list[tuple[date, Decimal]] = field(default_factory=list)
    paid: Decimal = Decimal(0)
    withheld_on: dict[date, Decimal] = field(default_factory=dict)
    cumulative: Fraction = Fraction(0)
    paid_before: Decimal = Decimal(0)
    withheld: Decimal = Decimal(0)

    def closing(self, day: date) -> Decimal:
        return sum((amount for on, amount in self.moves if on <= day), Decimal(0))

    def since(self, day: date) -> date:
        start = None
        for on in sorted({on for on, _ in self.moves if on <= day}):
            if self.closing(on) == 0:
                start = None
            elif start is None:
                start = on
        assert start is not None
        return start

    def terms_on(self, day: date) -> Terms:
        return max((t for t in self.terms if t.first <= day), key=lambda t: t.first)

    def night(self, day: date) -> Fraction:
        base = self.closing(day) - self.withheld_on[day]
        if base <= 0:
            return Fraction(0)
        terms = self.terms_on(day)
        share = share_of_year(day, self.since(day), terms.day_count)
        return self.sign * Fraction(base) * Fraction(terms.rate) * share

    def accrue(self, day: date) -> Decimal:
        """The day is accrued and posted in full; returns what the client pays with it."""
        terms = self.terms_on(day)
        if terms.compounds or self.closing(day) == 0:
            self.withheld = Decimal(0)
        self.withheld_on[day] = self.withheld
        self.cumulative = sum((self.night(night) for night in self.withheld_on), Fraction(0))
        if terms.charged == "monthly" and (day + ONE_DAY).day != 1:
            return Decimal(0)
        owed = Decimal(round(self.cumulative * 10**self.scale)).scaleb(-self.scale)
        due = owed - self.paid_before
        self.paid_before += due
        return due

    def posted(self, day: date, amount: Decimal) -> None:
        """Interest of a day changed the balance at the midnight after it, as people say it."""
        if amount:
            self.moves.append((day + ONE_DAY, amount))
            self.withheld += amount
