"""Exact numbers as pairs of int64, many at once: value = high x 10^18 + low, in units of 10^-20.

With twenty decimals `high` is whole cents of the currency. A pair is in order where low lies in
[0, 10^18), so pairs compare by high and then by low; products and parts carry the sign of their
number in both instead, and are brought into order where they are added up.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from margin.engine.exact import Flag, Index

Ints = NDArray[np.int64]

DECIMALS: Final = 20
HALF: Final = 10**9
WHOLE: Final = 10**18
# A part of so much or more is left to plain decimals; two thousand of them still add up.
HIGH_MAX: Final = 10**15
PARTS_MAX: Final = 2_000


class Wide(NamedTuple):
    """(N,) numbers; see the module."""

    high: Ints
    low: Ints

    def at(self, places: Index) -> "Wide":
        """Those at some places."""
        return Wide(self.high[places], self.low[places])

    def times(self, signs: Ints) -> "Wide":
        """Each with a sign of -1, 0 or 1."""
        return Wide(self.high * signs, self.low * signs)

    def minus(self, other: "Wide") -> "Wide":
        """Differences of pairs in order, in order."""
        return in_order(self.high - other.high, self.low - other.low)

    def at_least(self, other: "Wide") -> Flag:
        """Whether pairs in order are no smaller."""
        found: Flag = (self.high > other.high) | (
            (self.high == other.high) & (self.low >= other.low)
        )
        return found

    def decimal(self, place: int) -> Decimal:
        """One of them as a decimal, without the zeros that say nothing."""
        return decimal_of(int(self.high[place]) * WHOLE + int(self.low[place]))


def decimal_of(units: int, *, decimals: int = DECIMALS) -> Decimal:
    """Whole units of 10^-decimals as a decimal, without zeros at its end behind the point."""
    while decimals and units % 10 == 0:
        units, decimals = units // 10, decimals - 1
    return Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -decimals))


def units_of(value: Decimal, decimals: int) -> int | None:
    """A decimal in whole units of 10^-decimals; None where it has more decimals than that."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "a number of the book is finite"
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    if exponent >= -decimals:
        return int(number * 10 ** (decimals + exponent))
    whole, rest = divmod(number, 10 ** (-exponent - decimals))
    return None if rest else whole


def wide_of(units: Sequence[int]) -> Wide:
    """Numbers in units of 10^-20 as pairs in order.

    Raises:
        OverflowError: one of them is beyond what a pair can hold.
    """
    split = [divmod(each, WHOLE) for each in units]
    return Wide(
        np.array([high for high, _ in split], dtype=np.int64),
        np.array([low for _, low in split], dtype=np.int64),
    )


def product(one: Ints, other: Ints) -> Wide:
    """Products of numbers that are not negative and below 10^18, in order."""
    one_high, one_low = split(one)
    other_high, other_low = split(other)
    middle_high, middle_low = split(one_low * other_high + one_high * other_low)
    low = one_low * other_low + middle_low * HALF
    carried = low >= WHOLE
    return Wide(one_high * other_high + middle_high + carried, low - carried * WHOLE)


def split(values: Ints) -> tuple[Ints, Ints]:
    """Multiples of 10^9 and what is left, which is not negative."""
    high = values // HALF
    return high, values - high * HALF


def in_order(high: Ints, low: Ints) -> Wide:
    """Pairs in order of pairs whose low may be any number."""
    carried = low // WHOLE
    return Wide(high + carried, low - carried * WHOLE)


def sums(parts: Wide, *, starts: Index) -> Wide:
    """Totals of runs of parts, in order.

    Args:
        parts: (N,) signed; no high of HIGH_MAX or more, no run of more than PARTS_MAX.
        starts: (A + 1,) where each run begins, ascending; a run may be empty.
    """
    count = len(starts) - 1
    filled = np.flatnonzero(starts[:-1] < starts[1:])
    high, low = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    if filled.size:
        at = starts[filled]
        upper, lower = split(parts.low)
        upper, lower = np.add.reduceat(upper, at), np.add.reduceat(lower, at)
        upper += lower // HALF
        high[filled] = np.add.reduceat(parts.high, at) + upper // HALF
        low[filled] = upper % HALF * HALF + lower % HALF
    return Wide(high, low)


def scaled(value: Wide, factor: Ints) -> Wide:
    """Pairs in order times whole numbers in [0, 10^9), in order; highs times them fit."""
    upper, lower = split(value.low)
    lower = lower * factor
    upper = upper * factor + lower // HALF
    high = value.high * factor + upper // HALF
    return Wide(high, upper % HALF * HALF + lower % HALF)
