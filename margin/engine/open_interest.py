"""Margin that rises with the open interest of the whole market.

In whole units of account, exact at any size; and the same rise in floats, for models of portfolios.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, not_negative, together
from margin.engine.rejected import RejectedInputError

MILLION: Final = 1_000_000
QUOTE_DECIMALS: Final = 6
EXPONENT_MAX: Final = 100  # far beyond any market; a power of ten of any size is not computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """How a position in base units becomes a notional in units of the quote currency.

    Attributes:
        price: whole number, from 0; times 10^exponent it is the price of one coin.
        exponent: decimals of the price, negative for a fraction.
        base_exponent: one base unit is 10^base_exponent coins.
    """

    price: int
    exponent: int
    base_exponent: int

    def __post_init__(self) -> None:
        if self.price < 0:
            raise RejectedInputError("the price is below 0")
        if abs(self.exponent) > EXPONENT_MAX or abs(self.base_exponent) > EXPONENT_MAX:
            raise RejectedInputError(f"an exponent is beyond {EXPONENT_MAX}")

    def notional(self, base_units: int) -> int:
        """Absolute value in units of 10^-6 of the quote currency; what is less than one falls."""
        power = self.exponent + self.base_exponent + QUOTE_DECIMALS
        return int(abs(base_units) * self.price * Fraction(10) ** power)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestTier:
    """Rates in millionths, and the open notional between which the initial one rises to all.

    Attributes:
        initial_ppm: base initial rate, 0 to a million.
        maintenance_fraction_ppm: maintenance as a share of the base initial requirement.
        lower_cap: open notional up to which the base rate holds, in quote units.
        upper_cap: open notional from which all of the notional is required; 0 switches it off.
    """

    initial_ppm: int
    maintenance_fraction_ppm: int
    lower_cap: int = 0
    upper_cap: int = 0

    def __post_init__(self) -> None:
        for rate in (self.initial_ppm, self.maintenance_fraction_ppm):
            if not 0 <= rate <= MILLION:
                raise RejectedInputError(f"a rate of {rate} is not from 0 to a million millionths")
        if not 0 <= self.lower_cap <= self.upper_cap:
            raise RejectedInputError("the caps of open interest do not ascend from 0")

    def initial_rate(self, open_notional: int) -> Fraction:
        """Share of notional required at such open interest: the base rate, rising to 1."""
        base = Fraction(self.initial_ppm, MILLION)
        if not self.upper_cap:
            return base
        if open_notional >= self.upper_cap:
            return Fraction(1)
        if open_notional <= self.lower_cap:
            return base
        rise = Fraction(open_notional - self.lower_cap, self.upper_cap - self.lower_cap)
        return base + (1 - base) * rise


@dataclass(frozen=True, slots=True)
class WholeRequirement:
    """Initial and maintenance requirement, in whole quote units."""

    initial: int
    maintenance: int


def open_interest_requirement(
    base_units: int, *, market: Market, tier: InterestTier, open_interest: int = 0
) -> WholeRequirement:
    """What a position requires, rounded up to whole quote units.

    Whole numbers of any size: products of two 64-bit numbers are common here, and the answer is
    compared to the last unit.

    Args:
        base_units: position, long or short alike.
        open_interest: of all positions in this market, in base units, from 0.

    Raises:
        RejectedInputError: open interest below 0.

    Source:
        dYdX v4, perpetuals module: liquidity tiers with open-interest margin fractions.
        Maintenance is a share of the initial requirement as it is without scaling, rounded.
    """
    if open_interest < 0:
        raise RejectedInputError("open interest is below 0")
    notional = market.notional(base_units)
    base = ceil(notional * Fraction(tier.initial_ppm, MILLION))
    return WholeRequirement(
        initial=ceil(notional * tier.initial_rate(market.notional(open_interest))),
        maintenance=ceil(base * Fraction(tier.maintenance_fraction_ppm, MILLION)),
    )


def interest_rise(open_interest: ArrayLike, *, lower_cap: ArrayLike, upper_cap: ArrayLike) -> Float:
    """How far rates have risen from their base to all of the notional, as `InterestTier` has it.

    Args:
        open_interest: (N,) value of all open contracts, from 0.
        lower_cap: (N,) up to which the base rate holds.
        upper_cap: (N,) from which all of the notional is required; 0 switches it off.

    Returns:
        (N,) shares from 0 to 1: the rate is base + (1 - base) x share.

    Raises:
        RejectedInputError: a value is below 0, or shapes do not go together.
    """
    opened, lower, upper = together(
        not_negative("open_interest", open_interest),
        not_negative("lower_cap", lower_cap),
        not_negative("upper_cap", upper_cap),
    )
    between = np.where(upper > lower, upper - lower, 1.0)
    rise = np.clip((opened - lower) / between, 0.0, 1.0)
    full = np.where(opened >= upper, 1.0, rise)
    share: Float = np.where(upper > 0, full, 0.0)
    return share
