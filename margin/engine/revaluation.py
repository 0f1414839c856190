"""What one unit of every instrument gains when its market moves: priced once, for all scopes.

Axes: S scenarios, I instruments, U underlyings.
"""

import numpy as np

from margin.engine.black76 import black76_price
from margin.engine.given import Float, finite, not_negative
from margin.engine.market import Market


def profit_table(
    market: Market,
    *,
    spot_moves: Float,
    volatility_moves: Float | None = None,
    volatilities: Float | None = None,
    years_passed: float = 0.0,
) -> Float:
    """(S, I) what one contract gains in each scenario, in the settlement currency.

    Linear instruments move with their own price; options are priced again at the moved forward,
    moved volatility and shorter time, and compared with their price by the same formula now, so
    that a scenario that moves nothing gains exactly 0.

    Args:
        spot_moves: (S, U) factor on the price of each underlying, from 0; 1 is no move.
        volatility_moves: (S,) or (S, I) factor on the volatility of options, from 0; none is 1.
        volatilities: (S, I) what the volatility of options is instead, from 0, where no factor
            says it.
        years_passed: how much nearer each expiry is; the same in every scenario.

    Raises:
        RejectedInputError: a factor is below 0 or no number.
    """
    contract = market.instruments
    moves = not_negative("spot_moves", spot_moves)[:, contract.underlyings]
    profits: Float = market.units * market.prices * (moves - 1.0)
    options = np.flatnonzero(contract.is_option)
    if len(options):
        factors = np.ones((len(moves), 1))
        if volatility_moves is not None:
            given = not_negative("volatility_moves", volatility_moves)
            factors = given[:, None] if given.ndim == 1 else given[:, options]
        now = option_prices(market, options)
        then = option_prices(
            market,
            options,
            forward_moves=moves[:, options],
            volatility_moves=factors,
            volatilities=None if volatilities is None else volatilities[:, options],
            years_passed=years_passed,
        )
        profits[:, options] = contract.multipliers[options] * (then - now)
    return finite("profits", profits)


def option_prices(
    market: Market,
    options: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    *,
    forward_moves: Float | float = 1.0,
    volatility_moves: Float | float = 1.0,
    volatilities: Float | None = None,
    years_passed: float = 0.0,
) -> Float:
    """(..., O) Black-76 prices of some options per unit of their underlying."""
    contract = market.instruments
    base = market.volatilities[options] if volatilities is None else volatilities
    years = np.maximum(contract.years[options] - years_passed, 0.0)
    return black76_price(
        market.forwards[options] * forward_moves,
        strike=contract.strikes[options],
        volatility=base * volatility_moves,
        years=years,
        discount=np.exp(-market.rates[options] * years),
        is_call=contract.rights[options] > 0,
    )
