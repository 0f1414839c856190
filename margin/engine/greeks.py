"""Sensitivities of one contract of every instrument, in the settlement currency."""

from typing import NamedTuple

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Market
from margin.engine.pricing import black_76


class Greeks(NamedTuple):
    """What one contract gains, by what moves; (I,) each.

    Attributes:
        delta: per 1.00 of relative move of the underlying.
        gamma: second order: half of it times the squared move is gained on top.
        vega: per 1.00 of volatility.
        theta: per year that passes.
        rho: per 1.00 of the rate.
    """

    delta: Float
    gamma: Float
    vega: Float
    theta: Float
    rho: Float


def contract_greeks(market: Market) -> Greeks:
    """Greeks by Black-76 on each option's forward, which moves in proportion to its spot."""
    contract = market.instruments
    zero: Float = np.zeros(len(contract))
    greeks = Greeks(market.units * market.prices, *(zero.copy() for _ in range(4)))
    options = np.flatnonzero(contract.is_option)
    if len(options):
        forward, size = market.forwards[options], contract.multipliers[options]
        values = black_76(
            forward,
            right=contract.rights[options],
            strike=contract.strikes[options],
            t=contract.years[options],
            volatility=market.volatilities[options],
            rate=market.rates[options],
        )
        greeks.delta[options] = size * values.delta * forward
        greeks.gamma[options] = size * values.gamma * forward**2
        greeks.vega[options] = size * values.vega
        greeks.theta[options] = size * values.theta
        greeks.rho[options] = size * values.rho
    return greeks


def delta_values(market: Market) -> Float:
    """(I,) the delta of `contract_greeks` alone."""
    return contract_greeks(market).delta
