"""Exact numbers as whole units of their asset: what fits 64 bits, and which do not."""

from typing import NamedTuple

import numpy as np

from accounts.packed import Flags, Ints

# What PostgreSQL sends of a `numeric`: number of digits, weight of the first, sign, decimals
# shown, then digits to the base of 10,000 (src/backend/utils/adt/numeric.c, numeric_send).
DIGITS = 5
BASE = 10_000
NEGATIVE = 0x4000
WIRE = np.dtype(
    [
        ("many", ">i2"), ("weight", ">i2"), ("sign", ">u2"), ("shown", ">i2"),
        ("digits", ">u2", DIGITS),
    ]
)  # fmt: skip
# A unit as digit `d` times ten to the power of this is below 1e18, so two of them can be added.
EXPONENT_MAX = 14
TENS = 10 ** np.arange(EXPONENT_MAX + 1, dtype=np.int64)
EXPONENT_MIN = -4


class Units(NamedTuple):
    """Numbers as whole units.

    Attributes:
        values: each below 1e18 either way; 0 where it does not fit.
        fits: whether the number is a whole number of units of such a size.
    """

    values: Ints
    fits: Flags


def joined_exact(value: str) -> str:
    """The aggregate that joins a column of exact numbers, for `as_units`; leaves out nulls."""
    padding = "00" * WIRE.itemsize
    return (
        f"coalesce(string_agg(substr(numeric_send({value}) || '\\x{padding}'::bytea,"
        f" 1, {WIRE.itemsize}), ''), '')"
    )


def as_units(joined: bytes, scales: Ints) -> Units:
    """A column that `joined_exact` made, in units of ten to the power of minus its scale.

    A longer number arrives cut short; it says itself how many digits it has.
    """
    sent = np.frombuffer(joined, WIRE)
    many, weight = sent["many"].astype(np.int64), sent["weight"].astype(np.int64)
    is_negative = sent["sign"] == NEGATIVE
    fits = (many <= DIGITS) & (is_negative | (sent["sign"] == 0))
    values = np.zeros(len(sent), np.int64)
    most = min(int(many.max(initial=0)), DIGITS)
    for nth in range(most):
        digit = np.where(nth < many, sent["digits"][:, nth].astype(np.int64), 0)
        exponent = 4 * (weight - nth) + scales
        is_there = digit != 0
        can = (exponent <= EXPONENT_MAX) & (exponent >= EXPONENT_MIN)
        below = TENS[np.clip(-exponent, 0, -EXPONENT_MIN)]
        can &= (exponent >= 0) | (digit % below == 0)
        fits &= can | ~is_there
        above = TENS[np.clip(exponent, 0, EXPONENT_MAX)]
        values += np.where(can, digit * above // below, 0)
    values = np.where(fits, np.where(is_negative, -values, values), 0)
    return Units(values, fits)
