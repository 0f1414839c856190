"""What positions gain in each scenario, as columns of which the lowest counts.

A static discount cuts what is an asset and raises what is a debt, a skew may tilt either way, and
the basis of an expiry may widen or narrow: each is the lowest of a few figures that are linear in
the positions. So an outcome has one column or several, and what is held of one expiry gains the
lowest of them. Books together therefore never lose more than apart.

Axes: S scenarios, C columns, I instruments, N rows (a scope and one expiry of which it holds
something), P positions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Flag, Index, Kind, Market
from margin.engine.revaluation import option_prices, profit_table
from margin.engine.scenario_grid import (
    DiscountTerms,
    ScenarioGrid,
    SkewTerms,
    VolatilityTerms,
    shocked_volatility,
    static_discounts,
)
from margin.engine.scenario_market import DAYS_PER_YEAR, SECONDS_PER_DAY, Expiries, Options
from margin.engine.units import Units


class ScenarioTerms(NamedTuple):
    """What happens in each scenario, and how values count in it.

    Attributes:
        grid: S scenarios; a skew moves no spot.
        spot_moves: (S, U) factors on the underlyings.
        years_passed: how much nearer each expiry is.
    """

    grid: ScenarioGrid
    spot_moves: Float
    volatility: VolatilityTerms
    skew: SkewTerms
    discount: DiscountTerms
    years_passed: float


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Outcomes, one after another.

    Attributes:
        gains: (C, I) what one contract gains.
        starts: (outcomes + 1,) where the columns of each outcome begin; the last is C.
    """

    gains: Float
    starts: Index

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def is_linear(self) -> bool:
        """Whether every outcome has a single column."""
        return len(self) == len(self.gains)

    def of(self, held: Units) -> Float:
        """(N, outcomes) what each row gains: of each outcome the lowest column."""
        rows = held.books.matrix(instruments=self.gains.shape[1])
        counts = np.diff(self.starts)
        lowest: Float = rows @ np.ascontiguousarray(self.gains[self.starts[:-1]].T)
        for further in range(1, int(counts.max())):
            chosen = np.flatnonzero(counts > further)
            gains = rows @ np.ascontiguousarray(self.gains[self.starts[chosen] + further].T)
            if len(chosen) == len(counts):
                np.minimum(lowest, gains, out=lowest)
            else:
                lowest[:, chosen] = np.minimum(lowest[:, chosen], gains)
        return lowest

    def position_gains(self, held: Units, *, outcomes: Index) -> Float:
        """(P,) what each position gains in one outcome of its row, by the column that counts.

        Args:
            outcomes: (N,) which outcome of each row.
        """
        first, last = self.starts[outcomes], self.starts[outcomes + 1] - 1
        rows, books = held.books.scopes, held.books
        chosen: Float = books.quantities * self.gains[first[rows], books.instruments]
        lowest = held.per_row(chosen)
        for further in range(1, int((last - first).max(initial=0)) + 1):
            column = np.minimum(first + further, last)
            gains = books.quantities * self.gains[column[rows], books.instruments]
            total = held.per_row(gains)
            chosen = np.where((total < lowest)[rows], gains, chosen)
            lowest = np.minimum(lowest, total)
        return chosen


def columns_of(outcomes: list[list[Float]]) -> Columns:
    """Columns (I,) of each outcome, at least one each."""
    counts = [len(outcome) for outcome in outcomes]
    return Columns(
        np.array([column for outcome in outcomes for column in outcome]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.intp),
    )


def model_values(market: Market) -> Float:
    """(I,) what one contract of every option is worth by its formula; 0 of anything else."""
    options = np.flatnonzero(market.instruments.is_option)
    values: Float = np.zeros(len(market.instruments))
    values[options] = market.instruments.multipliers[options] * option_prices(market, options)
    return values


def scenario_outcomes(market: Market, *, terms: ScenarioTerms) -> list[list[Float]]:
    """The columns of each scenario, dampened."""
    grid = terms.grid
    profits = profit_table(
        market,
        spot_moves=terms.spot_moves,
        volatilities=_volatilities(market, terms),
        years_passed=terms.years_passed,
    )
    discounts = static_discounts(_expiries(market), terms=terms.discount)
    tables = [profits]
    is_option = market.instruments.is_option
    if any((multiples[is_option] != 1).any() for multiples in discounts):
        values = model_values(market)
        tables = [
            np.where(is_option, multiples * (profits + values) - values, profits)
            for multiples in discounts
        ]
    outcomes = []
    for place, dampening in enumerate(grid.dampenings):
        columns = [dampening * table[place] for table in tables]
        if grid.skewed[place]:
            # A smile may tilt either way, so what a tilt would gain counts as what it may lose.
            columns += [-column for column in columns]
        outcomes.append(columns)
    return outcomes


def basis_outcome(market: Market, *, up: float, down: float, shares: Float) -> list[Float]:
    """The columns of one expiry moving alone: up, down, or not at all.

    Args:
        up, down: factors on its forward.
        shares: (I,) of the loss that count.
    """
    moves = np.array([[up], [down]])
    profits = profit_table(
        market, spot_moves=np.repeat(moves, len(market.underlyings), axis=1)
    ) * np.where(expires(market), shares, 0.0)
    return [profits[0], profits[1], np.zeros(len(shares))]


def expires(market: Market) -> Flag:
    """(I,) what rests on a forward of its own."""
    kinds = market.instruments.kinds
    flag: Flag = (kinds == Kind.FUTURE) | (kinds == Kind.OPTION)
    return flag


def expiry_rows(market: Market, *, unit_of: Index) -> "ExpiryRows":
    """Number what is netted by itself: units, of them underlyings, of them expiries.

    Args:
        unit_of: (I,) netting unit of each instrument.
    """
    assets = market.instruments.underlyings
    years = np.where(expires(market), market.instruments.years, -1.0)
    keys = np.column_stack([unit_of, assets, years])
    listed, numbers = np.unique(keys, axis=0, return_inverse=True)
    return ExpiryRows(
        numbers.reshape(-1), listed[:, 0].astype(np.intp), listed[:, 1].astype(np.intp)
    )


class ExpiryRows(NamedTuple):
    """Expiries of underlyings, those of one unit and of one underlying side by side.

    Attributes:
        numbers: (I,) of each instrument; what does not expire is an expiry of its own.
        units: of each expiry.
        underlyings: of each expiry.
    """

    numbers: Index
    units: Index
    underlyings: Index


def rate_outcome(market: Market, *, move: float) -> list[Float]:
    """The columns of all rates moving together: up, down, or not at all; forwards stay.

    Args:
        move: per year, from 0.
    """
    values, years = model_values(market), market.instruments.years
    return [values * np.expm1(-move * years), values * np.expm1(move * years), np.zeros(len(years))]


def _volatilities(market: Market, terms: ScenarioTerms) -> Float:
    """(S, I) volatility of options in each scenario; 0 of anything else."""
    contract = market.instruments
    places = np.flatnonzero(contract.is_option)
    options = Options(
        places, contract.strikes[places], contract.rights[places] > 0, market.volatilities[places]
    )
    shocked = shocked_volatility(
        options, expiries=_expiries(market), terms=terms.volatility, skew=terms.skew
    )
    table: Float = np.zeros((len(terms.grid.volatility), len(contract)))
    table[:, places] = shocked.by_shock[terms.grid.volatility]
    return table


def _expiries(market: Market) -> Expiries:
    """Every instrument as an expiry of its own: forwards may differ within one."""
    years, sure = market.instruments.years, market.confidences
    seconds = years * DAYS_PER_YEAR * SECONDS_PER_DAY
    return Expiries(seconds, market.forwards, market.rates, sure, sure, sure)
