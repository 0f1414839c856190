"""Scenarios: what happens to spot, forwards and volatilities in each of them.

Axes: G scenarios, E expiries, O options.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from margin.engine.black76 import Floats
from margin.engine.parameters import parameter
from margin.engine.scenario_market import (
    SECONDS_PER_DAY,
    Expiries,
    Flag,
    Index,
    Options,
    require_numbers,
)

TERM_DAYS: Final = 30.0  # the term for which volatility ranges are quoted


class VolatilityShock(IntEnum):
    """What a scenario does to volatilities.

    A linear skew tilts the smile by signed moneyness, an absolute one bends both wings the same
    way. The capped linear skew tilts like the first, but no further than the second may.
    """

    NONE = 0
    UP = 1
    DOWN = 2
    LINEAR_SKEW = 3
    ABSOLUTE_SKEW = 4
    CAPPED_LINEAR_SKEW = 5


class Scenario(NamedTuple):
    """One thing that may happen.

    Attributes:
        spot_shock: what prices are multiplied by; options keep their forward in a skew.
        volatility: what happens to volatilities.
        dampening: share of the profit or loss that counts; below 1 for what is far away.
    """

    spot_shock: float
    volatility: VolatilityShock
    dampening: float


@dataclass(frozen=True, slots=True)
class ScenarioGrid:
    """Scenarios as arrays (G,)."""

    spot_shocks: Floats
    volatility: Index
    dampenings: Floats

    @property
    def skewed(self) -> Flag:
        """(G,) scenarios in which volatilities move by strike and forwards do not move."""
        return self.volatility >= VolatilityShock.LINEAR_SKEW

    @property
    def tails(self) -> Flag:
        """(G,) scenarios so far away that only a share of them counts; no skews."""
        tails: Flag = ~self.skewed & (self.dampenings != 1)
        return tails

    @property
    def regular(self) -> Flag:
        """(G,) all other scenarios."""
        regular: Flag = ~self.skewed & (self.dampenings == 1)
        return regular


def scenario_grid(scenarios: Sequence[Scenario]) -> ScenarioGrid:
    """Scenarios in their order.

    Raises:
        RejectedInputError: a shock or a dampening is negative or no number.
    """
    grid = ScenarioGrid(
        spot_shocks=np.array([each.spot_shock for each in scenarios], dtype=float),
        volatility=np.array([each.volatility for each in scenarios], dtype=np.intp),
        dampenings=np.array([each.dampening for each in scenarios], dtype=float),
    )
    require_numbers(grid.spot_shocks, name="spot shocks", least=0)
    require_numbers(grid.dampenings, name="dampenings", least=0)
    return grid


@dataclass(frozen=True, slots=True)
class VolatilityTerms:
    """How far volatilities move; all figures not negative.

    Attributes:
        range_up, range_down: relative move at 30 days.
        least_after_up: no volatility is below it after a move up.
        short_power, long_power: how the move falls with time, up to 30 days and beyond.
        days_floor: nearer expiries move as if they were this far away; above 0.
    """

    range_up: float = parameter(
        "Rise of volatilities at 30 days", unit="share of the volatility", least=0.0, is_shock=True
    )
    range_down: float = parameter(
        "Fall of volatilities at 30 days", unit="share of the volatility", least=0.0, is_shock=True
    )
    least_after_up: float = parameter(
        "Volatility that a rise leads to at least", unit="per year", least=0.0, is_shock=True
    )
    short_power: float = parameter(
        "How the move grows towards expiry, up to 30 days", unit="exponent", least=0.0
    )
    long_power: float = parameter(
        "How the move falls with time, beyond 30 days", unit="exponent", least=0.0
    )
    days_floor: float = parameter(
        "Nearer expiries move as if they were this far away", unit="days", least=0.0
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=name, least=0)
        require_numbers(self.days_floor, name="days_floor", least=np.nextafter(0, 1))


@dataclass(frozen=True, slots=True)
class SkewCap:
    """Largest relative move of a volatility: at_zero + per_root_year x sqrt(years)."""

    at_zero: float = parameter("Largest move at expiry", unit="share of the volatility")
    per_root_year: float = parameter(
        "How that grows with the root of time", unit="share of the volatility per root year"
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=f"skew cap {name}")


@dataclass(frozen=True, slots=True)
class SkewTerms:
    """How volatilities move by strike.

    Attributes:
        linear, absolute: caps of the two kinds of skew.
        least_width: logarithm of strike over forward beyond which no skew grows, at least.
        width_scale, width_volatility, width_slope: that width is otherwise sqrt(years) x
            width_scale x (width_volatility + width_slope x sqrt(years)).
    """

    linear: SkewCap = parameter("Cap of a skew by signed moneyness")
    absolute: SkewCap = parameter("Cap of a skew of both wings alike")
    least_width: float = parameter(
        "Moneyness beyond which no skew grows, at least", unit="logarithm", least=0.0
    )
    width_scale: float = parameter("Scale of that width", unit="standard deviations")
    width_volatility: float = parameter("Volatility of that width", unit="per year")
    width_slope: float = parameter(
        "How that volatility changes with the root of time", unit="per year and root year"
    )

    def __post_init__(self) -> None:
        for name in ("width_scale", "width_volatility", "width_slope"):
            require_numbers(getattr(self, name), name=name)
        require_numbers(self.least_width, name="least_width", least=0)


class TermMultipliers(NamedTuple):
    """What volatilities of an expiry are multiplied by when they move up or down, (E,) each."""

    up: Floats
    down: Floats


def term_multipliers(expiries: Expiries, *, terms: VolatilityTerms) -> TermMultipliers:
    """1 + range x m up and 1 - range x m down, but not below 0.

    m = (30 days / time to expiry) ^ power: near expiries move more than far ones.
    """
    days = expiries.seconds / SECONDS_PER_DAY
    power = np.where(days <= TERM_DAYS, terms.short_power, terms.long_power)
    m = (TERM_DAYS / np.maximum(days, terms.days_floor)) ** power
    return TermMultipliers(
        up=1 + terms.range_up * m, down=np.maximum(1 - terms.range_down * m, 0.0)
    )


def skew_multipliers(moneyness: Floats, *, years: Floats, cap: SkewCap, terms: SkewTerms) -> Floats:
    """What volatilities are multiplied by where the smile tilts, not below 0.

    1 + cap x moneyness / width, the second part kept within -cap and cap. A cap below 0 turns
    the bounds round: then the part is held at least that far out on either side.

    Args:
        moneyness: (O,) ln(strike / forward), or its absolute value.
        years: (O,) time to expiry.
    """
    root = np.sqrt(years)
    most = cap.at_zero + cap.per_root_year * root
    width = np.maximum(
        terms.least_width,
        root * terms.width_scale * (terms.width_volatility + root * terms.width_slope),
    )
    # Where the smile has no width every strike but that of the forward lies beyond it.
    # A width of next to nothing has steps without end, and none of them moves what has no cap.
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.divide(moneyness, width, out=np.sign(moneyness), where=width > 0)
        tilted = np.where(
            moneyness >= 0, np.minimum(most, steps * most), np.maximum(-most, steps * most)
        )
    tilt = np.where(most == 0, 0.0, tilted)
    multipliers: Floats = np.maximum(1 + tilt, 0.0)
    return multipliers


@dataclass(frozen=True, slots=True)
class ShockedVolatility:
    """Volatilities of every option after each kind of move.

    Attributes:
        by_shock: (6, O) in the order of `VolatilityShock`.
        multipliers: of the moves up and down, by expiry.
    """

    by_shock: Floats
    multipliers: TermMultipliers


def shocked_volatility(
    options: Options, *, expiries: Expiries, terms: VolatilityTerms, skew: SkewTerms
) -> ShockedVolatility:
    """Volatilities after each kind of move."""
    multipliers = term_multipliers(expiries, terms=terms)
    base, chosen = options.volatilities, options.expiries
    years = expiries.years[chosen]
    moneyness = np.log(options.strikes / expiries.forwards[chosen])
    skews = (
        (VolatilityShock.LINEAR_SKEW, moneyness, skew.linear),
        (VolatilityShock.ABSOLUTE_SKEW, np.abs(moneyness), skew.absolute),
        (VolatilityShock.CAPPED_LINEAR_SKEW, moneyness, skew.absolute),
    )
    by_shock = np.empty((len(VolatilityShock), len(base)))
    by_shock[VolatilityShock.NONE] = base
    by_shock[VolatilityShock.UP] = np.maximum(base * multipliers.up[chosen], terms.least_after_up)
    by_shock[VolatilityShock.DOWN] = base * multipliers.down[chosen]
    for shock, moved, cap in skews:
        by_shock[shock] = base * skew_multipliers(moved, years=years, cap=cap, terms=skew)
    return ShockedVolatility(by_shock, multipliers)


def shocked_forwards(shocks: Floats, *, expiries: Expiries) -> Floats:
    """Forwards (G, E) after spot is multiplied by `shocks` (G,): the settled share stays."""
    moved = expiries.open_shares
    return expiries.forwards * (1 - moved + moved * shocks[:, np.newaxis])


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """How a shocked value is cut when it is an asset, and raised when it is a debt.

    Attributes:
        long_base, short_base: multiple at expiry.
        long_rate_scale, long_rate_add: the yearly rate of the cut is scale x rate + add.
        short_rate_scale, short_rate_add: the yearly rate of the rise, likewise.
    """

    long_base: float = parameter("What an asset counts for at expiry", unit="multiple", least=0.0)
    short_base: float = parameter("What a debt counts for at expiry", unit="multiple", least=0.0)
    long_rate_scale: float = parameter(
        "Cut of an asset per year, of the rate", unit="times the rate", least=0.0
    )
    long_rate_add: float = parameter("and on top of that", unit="per year", least=0.0)
    short_rate_scale: float = parameter(
        "Rise of a debt per year, of the rate", unit="times the rate", least=0.0
    )
    short_rate_add: float = parameter("and on top of that", unit="per year", least=0.0)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=name, least=0)


class StaticDiscounts(NamedTuple):
    """Multiples (E,) of a shocked value: `long` where it is not negative, else `short`."""

    long: Floats
    short: Floats

    def of(self, values: Floats, *, expiry: int) -> Floats:
        """Values of one expiry, cut or raised by their sign."""
        multiples: Floats = np.where(values >= 0, self.long[expiry], self.short[expiry])
        return values * multiples


def static_discounts(expiries: Expiries, *, terms: DiscountTerms) -> StaticDiscounts:
    """The multiples of each expiry; a debt is raised no further than its undiscounted value."""
    rates, years = expiries.charged_rates, expiries.years
    long_rates = rates * terms.long_rate_scale + terms.long_rate_add
    short_rates = rates * terms.short_rate_scale + terms.short_rate_add
    with np.errstate(over="ignore"):
        raised = terms.short_base * np.exp(years * short_rates)
    return StaticDiscounts(
        long=terms.long_base * np.exp(-years * long_rates),
        short=np.minimum(1 / expiries.discounts, raised),
    )
