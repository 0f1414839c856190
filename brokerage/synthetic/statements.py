"""What banks, custodians, wallets and the venue report, and the mistakes they make."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from brokerage.synthetic.book import Book, Movement
from brokerage.synthetic.profile import Faults, Rates, drawn, drawn_among, drawn_count
from brokerage.synthetic.reference import BANKS, INSURANCE_BANK, PERPETUAL
from brokerage.synthetic.rows import Cells


class StatementLine(NamedTuple):
    """One booking; `reference` is None when the bank gives none."""

    reference: str | None
    amount: Decimal
    value_date: date


@dataclass
class Statement:
    """A bank's day. Whatever it says, it is rendered as it stands."""

    account_id: str
    day: date
    number: int
    opening: Decimal
    closing: Decimal
    lines: list[StatementLine]
    currency: str = "USD"
    # What spoils the text itself; each format knows its own ways.
    spoilt: str | None = None


@dataclass
class Banks:
    """The banks' own books: their balances go on from what they booked, mistakes included."""

    balances: dict[str, Decimal]
    was_rejected: dict[str, bool] = field(default_factory=dict)
    day_number: int = 0

    def statements(
        self, rng: Random, book: Book, faults: Faults, *, day: date
    ) -> dict[str, Statement]:
        """Today's statement of each bank, from the book's movements and the banks' mistakes."""
        self.day_number += 1
        result = {}
        for bank in BANKS:
            lines = booked_lines(rng, book.movements[bank], faults.lines, day=day, bank=bank)
            closing = self.balances[bank] + sum((line.amount for line in lines), Decimal(0))
            account_id = book.reference.locations[bank].account_id
            statement = Statement(
                account_id, day, self.day_number, self.balances[bank], closing, lines
            )
            self.balances[bank] = closing
            fault = self.possible(bank, drawn(rng, faults.statements))
            self.was_rejected[bank] = fault is not None
            result[bank] = spoiled(rng, statement, fault) if fault else statement
        return result

    def possible(self, bank: str, fault: str | None) -> str | None:
        """Only BAI2 has control totals; after a rejected statement no opening is compared."""
        if fault == "control_total" and bank != INSURANCE_BANK:
            return "sum"
        if fault == "opening" and self.was_rejected.get(bank):
            return "wrong_account"
        return fault


def booked_lines(
    rng: Random, movements: Sequence[Movement], rates: Rates, *, day: date, bank: str
) -> list[StatementLine]:
    """A line for each movement, less and more than that where the bank errs."""
    lines = [StatementLine(moved.reference, moved.amount, day) for moved in movements]
    faults = list(drawn_among(rng, {k: r for k, r in rates.items() if k != "extra"}, len(lines)))
    if len(faults) <= len(lines):
        for at, fault in zip(rng.sample(range(len(lines)), len(faults)), faults, strict=True):
            line = lines[at]
            if fault == "missing":
                lines[at] = line._replace(reference="")  # taken out below
            elif fault == "differs":
                lines[at] = line._replace(amount=differing(rng, line.amount))
            elif fault == "no_reference":
                lines[at] = line._replace(reference=None)
            else:
                lines.append(line)
    lines = [line for line in lines if line.reference != ""]
    for number in range(drawn_count(rng, rates.get("extra", 0) * max(len(lines), 5))):
        lines.insert(
            rng.randint(0, len(lines)),
            StatementLine(f"BC{day:%y%m%d}-{number:05}", extra_amount(rng, bank), day),
        )
    return lines


def differing(rng: Random, amount: Decimal) -> Decimal:
    """Another amount: a cent, swapped digits' worth, or the other sign."""
    other = rng.choice((amount + Decimal("0.01"), amount + Decimal("90.00"), -amount))
    return other if other != amount else amount + 1


def extra_amount(rng: Random, bank: str) -> Decimal:
    """A charge or credit nobody told the book of; some banks write more decimals."""
    amount = Decimal(rng.randrange(-30_000, 60_000)) / 100
    if bank != INSURANCE_BANK and rng.random() < 0.25:
        return amount.quantize(Decimal("0.0001")) + rng.choice((0, Decimal("0.0050")))
    return amount.quantize(Decimal("0.01"))


def spoiled(rng: Random, statement: Statement, fault: str) -> Statement:
    """The statement with the one fault that gets it rejected."""
    off = Decimal(rng.randrange(1, 90_000)) / 100
    if fault == "wrong_account":
        return replace(statement, account_id=rng.choice((statement.account_id[::-1], "")))
    if fault == "wrong_currency_or_date":
        if statement.lines and rng.random() < 0.5:
            lines = list(statement.lines)
            at = rng.randrange(len(lines))
            lines[at] = lines[at]._replace(value_date=statement.day - timedelta(days=1))
            return replace(statement, lines=lines)
        return replace(statement, currency="EUR")
    if fault == "sum":
        return replace(statement, closing=statement.closing + off)
    if fault == "opening":
        return replace(statement, opening=statement.opening + off, closing=statement.closing + off)
    return replace(statement, spoilt=f"{fault}:{rng.randrange(1_000)}")


def reported_holdings(rng: Random, book: Book, faults: Faults, *, as_of: str) -> list[Cells]:
    """A row for every asset outside the banks, now and then in two parts."""
    rows: list[Cells] = []
    for location in book.reference.locations.values():
        if location.kind == "bank":
            continue
        for asset in location.assets:
            unit = Decimal(1).scaleb(-(book.reference.scale(asset) or 0))
            quantity = book.held(location.code, asset).quantize(unit)
            fault = drawn(rng, faults.holdings)
            if fault == "missing":
                continue
            if fault == "differs":
                quantity += rng.choice((unit, 40 * unit, -unit, unit / 2))
            parts = [quantity]
            if rng.random() < 0.1:
                parts = [quantity - 3 * unit, 3 * unit]
            if asset != PERPETUAL and quantity == 0 and not fault and rng.random() < 0.3:
                parts = []  # nothing there, nothing reported
            rows += [[location.code, asset, f"{part:f}", as_of] for part in parts]
    rng.shuffle(rows)
    return rows
