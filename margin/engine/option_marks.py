"""The options of a market marked by the surfaces of their underlyings, each side on its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from margin.engine.black76 import black76_price
from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Code, Index, Market
from margin.engine.quotes import Support
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import Surface

# An option in its last minute still has the volatility of one with a minute left.
YEARS_LEAST: Final = 1 / (DAYS_PER_YEAR * 24 * 60)


class OptionMarks(NamedTuple):
    """A market marked.

    Attributes:
        market: with the middle of the surfaces as volatilities and prices of options.
        long, short: (I,) the price for who holds the instrument and for who owes it; one price
            for what is no option.
        support: (I,) what each mark rests on, Support; QUOTED for what is no option.
    """

    market: Market
    long: Float
    short: Float
    support: Code


def marked_by_surfaces(market: Market, *, surfaces: Mapping[str, Surface]) -> OptionMarks:
    """Every option marked by the surface of its underlying, by name.

    Raises:
        RejectedInputError: an underlying with options has no surface; one without quotes will do.
    """
    contract = market.instruments
    volatilities = [market.volatilities.copy() for _ in range(3)]
    support = np.full(len(contract), Support.QUOTED, dtype=np.int8)
    options = np.flatnonzero(contract.is_option)
    for asset in np.unique(contract.underlyings[options]):
        name = market.underlyings[asset]
        if name not in surfaces:
            raise RejectedInputError(f"surfaces: {name} has options and no surface")
        rows = options[contract.underlyings[options] == asset]
        marks = surfaces[name].volatilities(
            contract.strikes[rows],
            years=np.maximum(contract.years[rows], YEARS_LEAST),
            forwards=market.forwards[rows],
        )
        for column, side in zip(volatilities, marks[:3], strict=True):
            column[rows] = side
        support[rows] = marks.support
    middle, long, short = (_prices(market, options, each) for each in volatilities)
    return OptionMarks(
        replace(market, volatilities=volatilities[0], prices=middle), long, short, support
    )


def _prices(market: Market, options: Index, volatilities: Float) -> Float:
    contract = market.instruments
    years = contract.years[options]
    prices = market.prices.copy()
    prices[options] = black76_price(
        market.forwards[options],
        strike=contract.strikes[options],
        volatility=volatilities[options],
        years=years,
        discount=np.exp(-market.rates[options] * years),
        is_call=contract.rights[options] > 0,
    )
    return prices
