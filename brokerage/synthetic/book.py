"""The books the invented firm expects to hold, so that its banks can send correct statements.

This is a light record of claims, positions, loans and custody, no ledger: it exists only to tell
what a bank or custodian would report. Whether an event is accepted is decided by a `Decide`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

from brokerage.synthetic.events import Event, Trade, Transfer
from brokerage.synthetic.reference import (
    BANKS,
    CLIENT_BANK,
    HOUSE_BANK,
    INSURANCE_BANK,
    PERPETUAL,
    Reference,
)

ZERO = Decimal(0)
CENT = Decimal("0.01")
AVERAGE_PLACES = Decimal("0.00000001")
POOL_BANK = {"CLIENT": CLIENT_BANK, "HOUSE": HOUSE_BANK}

Scope = tuple[str, str]


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """More digits than any product of the book's numbers has, so nothing rounds unasked."""
    with localcontext(Context(prec=80)):
        yield


class Position(NamedTuple):
    quantity: Decimal
    average_cost: Decimal


NO_POSITION = Position(ZERO, ZERO)


class Movement(NamedTuple):
    """What a bank's statement will show for one event."""

    reference: str
    amount: Decimal


@dataclass
class Effects:
    """What an event changes: amounts to add, and the one position it leaves."""

    claims: list[tuple[Scope, str, Decimal]] = field(default_factory=list)
    custody: list[tuple[str, str, Decimal]] = field(default_factory=list)
    banks: list[tuple[str, Movement]] = field(default_factory=list)
    loan: tuple[str, Decimal] | None = None
    position: tuple[Scope, str, Position] | None = None

    def at_bank(self, bank: str, reference: str, amount: Decimal) -> None:
        self.custody.append((bank, "USD", amount))
        self.banks.append((bank, Movement(reference, amount)))


@dataclass
class Book:
    """Balances of the moment, the marks of the evening before, and the day's bank movements."""

    reference: Reference
    marks: dict[str, Decimal]
    claims: dict[Scope, dict[str, Decimal]] = field(default_factory=dict)
    positions: dict[Scope, dict[str, Position]] = field(default_factory=dict)
    loans: dict[str, Decimal] = field(default_factory=dict)
    custody: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    movements: dict[str, list[Movement]] = field(default_factory=dict)
    window: tuple[datetime, datetime] | None = None

    def begin_day(self, *, start: datetime, as_of: datetime) -> None:
        self.window = (start, as_of)
        self.movements = {bank: [] for bank in BANKS}

    def copy(self) -> "Book":
        """The same balances in a book of its own, to try a day on."""
        return Book(
            self.reference,
            dict(self.marks),
            {scope: dict(held) for scope, held in self.claims.items()},
            {scope: dict(held) for scope, held in self.positions.items()},
            dict(self.loans),
            dict(self.custody),
            set(self.seen),
            {bank: list(moved) for bank, moved in self.movements.items()},
            self.window,
        )

    def claim(self, scope: Scope, asset: str = "USD") -> Decimal:
        return self.claims.get(scope, {}).get(asset, ZERO)

    def position(self, scope: Scope, instrument: str = PERPETUAL) -> Position:
        return self.positions.get(scope, {}).get(instrument, NO_POSITION)

    def held(self, location: str, asset: str = "USD") -> Decimal:
        return self.custody.get((location, asset), ZERO)

    def take(self, event: Event, *, decide: "Decide") -> str | None:
        """Apply the event, or return the reason it is refused for."""
        reason = decide(self, event)
        self.seen.add(event.id)
        if reason is None:
            self._apply(effects_of(self, event))
        return reason

    def _apply(self, effects: Effects) -> None:
        for scope, asset, amount in effects.claims:
            held = self.claims.setdefault(scope, {})
            held[asset] = held.get(asset, ZERO) + amount
        for location, asset, amount in effects.custody:
            self.custody[location, asset] = self.held(location, asset) + amount
        for bank, movement in effects.banks:
            self.movements[bank].append(movement)
        if effects.loan:
            account, amount = effects.loan
            self.loans[account] = self.loans.get(account, ZERO) + amount
        if effects.position:
            scope, instrument, position = effects.position
            if position.quantity:
                self.positions.setdefault(scope, {})[instrument] = position
            else:
                self.positions.get(scope, {}).pop(instrument, None)


# Whether an event is accepted: None, or the reason of the inbox format. The book is the state
# before the event and is not changed. `rules.decide` is the default.
Decide = Callable[[Book, Event], str | None]


def effects_of(book: Book, event: Event) -> Effects:
    """What an event does to the balances once it is accepted."""
    if isinstance(event, Transfer):
        return transfer_effects(event)
    if event.instrument == PERPETUAL:
        return perpetual_effects(book, event)
    return security_effects(book, event)


def transfer_effects(transfer: Transfer) -> Effects:
    effects = Effects()
    scope, asset, amount = (transfer.account, transfer.bucket), transfer.asset, transfer.amount

    def move(location: str, moved: Decimal) -> None:
        if location in BANKS:
            effects.at_bank(location, transfer.reference, moved)
        else:
            effects.custody.append((location, asset, moved))

    if transfer.kind in ("withdrawal", "repay"):
        amount = -amount
    if transfer.kind in ("deposit", "withdrawal"):
        effects.claims.append((scope, asset, amount))
        move(transfer.location, amount)
    elif transfer.kind == "custody_move":
        move(transfer.location, -amount)
        move(transfer.to_location, amount)
    elif transfer.kind == "bucket_move":
        effects.claims.append((scope, asset, -amount))
        effects.claims.append(((transfer.account, transfer.to_bucket), asset, amount))
    else:
        effects.claims.append((scope, asset, amount))
        effects.loan = (transfer.account, amount)
        move(HOUSE_BANK, -amount)
        move(CLIENT_BANK, amount)
    return effects


def moved_position(old: Position, trade: Trade) -> tuple[Position, Decimal]:
    """The position after the trade, and the closed part with the sign of the old position."""
    signed = trade.quantity if trade.side == "buy" else -trade.quantity
    quantity = old.quantity + signed
    if old.quantity * signed >= 0:
        cost = abs(old.quantity) * old.average_cost + abs(signed) * trade.price
        average = (cost / abs(quantity)).quantize(AVERAGE_PLACES, ROUND_HALF_EVEN)
        return Position(quantity, average), ZERO
    if abs(signed) <= abs(old.quantity):
        return Position(quantity, old.average_cost), -signed
    return Position(quantity, trade.price), old.quantity


def security_effects(book: Book, trade: Trade) -> Effects:
    effects = Effects()
    scope = (trade.account, trade.bucket)
    position, _ = moved_position(book.position(scope, trade.instrument), trade)
    cash = (trade.quantity * trade.price).quantize(CENT, ROUND_HALF_EVEN)
    signed = trade.quantity if trade.side == "buy" else -trade.quantity
    cash = -cash if trade.side == "buy" else cash
    effects.at_bank(POOL_BANK[book.reference.accounts[trade.account].pool], trade.id, cash)
    effects.claims.append((scope, "USD", cash - trade.fee))
    effects.custody.append((trade.location, trade.instrument, signed))
    effects.position = (scope, trade.instrument, position)
    return effects


def perpetual_effects(book: Book, trade: Trade) -> Effects:
    """A closed part settles in USD at the venue; a loss beyond the claim is topped up at once."""
    effects = Effects()
    scope = (trade.account, trade.bucket)
    old, claim = book.position(scope), book.claim(scope)
    position, closed = moved_position(old, trade)
    signed = trade.quantity if trade.side == "buy" else -trade.quantity
    effects.position = (scope, PERPETUAL, position)
    effects.custody.append((trade.location, PERPETUAL, signed))
    if not closed:
        effects.claims.append((scope, "USD", -trade.fee))
        return effects
    realised = (closed * (trade.price - old.average_cost)).quantize(CENT, ROUND_HALF_EVEN)
    effects.custody.append((trade.location, "USD", realised))
    left = max(claim + realised, ZERO)
    effects.claims.append((scope, "USD", left - min(trade.fee, left) - claim))
    shortfall = max(-(claim + realised), ZERO)
    for bank, letter in ((INSURANCE_BANK, "I"), (HOUSE_BANK, "H")):
        part = min(shortfall, book.held(bank))
        if part:
            effects.at_bank(bank, f"{letter}-{trade.id}", -part)
            effects.at_bank(CLIENT_BANK, f"{letter}-{trade.id}", part)
        shortfall -= part
    return effects
