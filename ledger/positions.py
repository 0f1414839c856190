"""What a trade does to a position: its average cost, and the profit it realises.

Everything here is exact until a result is rounded, half to even, in one step. The posting
functions of the database follow the same rules in `numeric` and have the last word.
"""

from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Final, Literal

AVERAGE_DECIMALS: Final = 8
ZERO: Final = Decimal(0)

_WIDE: Final = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)

Kind = Literal["security", "perpetual"]


@dataclass(frozen=True, slots=True)
class Position:
    """A holding of one instrument in one bucket.

    Attributes:
        quantity: in units of the instrument; negative is short, 0 is flat.
        average_cost: price per unit of what is open, with 8 decimals; 0 if flat.
    """

    quantity: Decimal
    average_cost: Decimal


@dataclass(frozen=True, slots=True)
class TradeEffect:
    """What one trade makes of a position.

    Attributes:
        quantity_after: signed.
        average_after: with 8 decimals; 0 if the position is now flat.
        closed_quantity: the part of the old position that was closed, with that position's sign;
            0 if the trade only opened or increased.
        realised: profit of the closed part in the settlement asset, negative for a loss. None if
            nothing was closed, and for a security: its cash changes hands in full, so there is
            no separate profit to settle.
    """

    quantity_after: Decimal
    average_after: Decimal
    closed_quantity: Decimal
    realised: Decimal | None


def apply_trade(
    position: Position,
    *,
    signed_quantity: Decimal,
    price: Decimal,
    kind: Kind,
    realised_scale: int = 2,
) -> TradeEffect:
    """The position after a trade, and what the trade realised.

    A trade that opens or increases sets the average to the mean price of all units, half-even
    to 8 decimals; a reduction leaves it; beyond zero the rest is a new position at the trade
    price. Fees do not enter. Whether a position may be short is not decided here.

    Args:
        signed_quantity: positive buys, negative sells; not 0.
        price: per unit, above 0; 0 only where nothing is opened, as an option may settle at.
        realised_scale: decimals of the settlement asset, to which realised is rounded half-even.

    Raises:
        ValueError: the quantity is 0, or the price is not above 0 where something is opened.
    """
    before, average = position.quantity, Fraction(position.average_cost)
    closed = _closed_part(before, signed_quantity)
    only_closes = closed == signed_quantity.copy_negate()
    if not signed_quantity or not (price > 0 or (price == 0 and only_closes)):
        raise ValueError(f"no trade: {signed_quantity} at {price}")
    after = _exact_sum(before, signed_quantity)
    realised = Fraction(closed) * (Fraction(price) - average)
    return TradeEffect(
        quantity_after=after,
        average_after=_average_after(position, signed_quantity, Fraction(price), after),
        closed_quantity=closed,
        realised=half_even(realised, realised_scale) if closed and kind == "perpetual" else None,
    )


def unrealised(position: Position, *, mark: Decimal) -> Decimal:
    """Profit of an open position at a mark, in the settlement asset, exact."""
    gain = _WIDE.subtract(mark, position.average_cost)
    return _without_minus_zero(_WIDE.multiply(position.quantity, gain))


def half_even(value: Decimal | Fraction, decimals: int) -> Decimal:
    """The nearest number with so many decimals; of two equally near, the one with an even digit.

    Never a minus zero, whatever the number of digits.
    """
    units = round(Fraction(value) * 10**decimals)
    return Decimal(units).scaleb(-decimals, context=_WIDE)


def _average_after(
    position: Position, signed_quantity: Decimal, price: Fraction, after: Decimal
) -> Decimal:
    before = position.quantity
    if not after:
        return ZERO
    if not _closed_part(before, signed_quantity):
        cost = abs(Fraction(before)) * Fraction(position.average_cost)
        cost += abs(Fraction(signed_quantity)) * price
        return half_even(cost / abs(Fraction(after)), AVERAGE_DECIMALS)
    if after.is_signed() == before.is_signed():
        return position.average_cost
    return half_even(price, AVERAGE_DECIMALS)


def _closed_part(before: Decimal, change: Decimal) -> Decimal:
    """The smaller of the two quantities with the position's sign, or 0 if it does not shrink."""
    if not before or before.is_signed() == change.is_signed():
        return ZERO
    smaller = before if before.copy_abs() <= change.copy_abs() else change
    return smaller.copy_sign(before)


def _exact_sum(one: Decimal, other: Decimal) -> Decimal:
    return _without_minus_zero(_WIDE.add(one, other))


def _without_minus_zero(value: Decimal) -> Decimal:
    return value if value else value.copy_abs()
