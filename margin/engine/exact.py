"""Exact arithmetic on decimals, the named roundings, and numbers as text.

Inside `exact()` every sum and product is the true one. An operation that would have to round
raises `decimal.Inexact`, and one that mixes in a float raises too, so nothing is lost in silence.
Rounding happens only in the functions below, each named after what it favours.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Final

import numpy as np
from numpy.typing import NDArray

Exact = NDArray[np.object_]  # of Decimal
Index = NDArray[np.intp]
Flag = NDArray[np.bool_]

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
HALF: Final = Decimal("0.5")
CENT: Final = Decimal("0.01")

# More digits than any product of the database's numbers has; only digits in use cost anything.
PRECISION: Final = 1_000_000
EXACT: Final = Context(
    prec=PRECISION,
    Emin=MIN_EMIN,
    Emax=MAX_EMAX,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)
_ROUNDING: Final = Context(prec=PRECISION, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation])


def exact() -> AbstractContextManager[Context]:
    """The context in which Decimal arithmetic is exact or an error."""
    return localcontext(EXACT)


def round_half_even(value: Decimal, decimals: int) -> Decimal:
    """The nearest number with so many decimals; ties to the even digit, negatives alike."""
    return _rounded(value, decimals, ROUND_HALF_EVEN)


def round_up(value: Decimal, decimals: int) -> Decimal:
    """The smallest number with so many decimals that is not below `value`: for requirements."""
    return _rounded(value, decimals, ROUND_CEILING)


def round_down(value: Decimal, decimals: int) -> Decimal:
    """The largest number with so many decimals that is not above `value`: for collateral."""
    return _rounded(value, decimals, ROUND_FLOOR)


def at_least_cents(value: Decimal) -> Decimal:
    """The same number with the decimals that say something, two at the least, and no minus zero.

    A product has as many decimals as its factors were written with. Totals and parts are kept with
    these, so that the same number is the same text however it was computed.
    """
    short = value.copy_abs() if value == 0 else value.normalize(_ROUNDING)
    has_cents = int(short.as_tuple().exponent) <= -2
    return short if has_cents else short.quantize(CENT, context=_ROUNDING)


def plain(value: Decimal) -> str:
    """A decimal as its shortest text: no exponent, no trailing zeros, no minus zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def column(values: Iterable[Decimal]) -> Exact:
    """Decimals as an array of shape (N,).

    Raises:
        ValueError: one of them is not a finite Decimal.
    """
    listed = list(values)
    for value in listed:
        if not isinstance(value, Decimal) or not value.is_finite():
            raise ValueError(f"{value!r} is not an exact number")
    array: Exact = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def sums(amounts: Exact, *, groups: Index, count: int) -> Exact:
    """Exact totals of `amounts` (N,) by group (N,), as an array (count,); 0 for an empty group."""
    totals: Exact = np.full(count, ZERO, dtype=object)
    with exact():
        np.add.at(totals, groups, amounts)
    return totals


def _rounded(value: Decimal, decimals: int, rounding: str) -> Decimal:
    unit = Decimal((0, (1,), -decimals))
    rounded = value.quantize(unit, rounding=rounding, context=_ROUNDING)
    return rounded if rounded else rounded.copy_abs()
