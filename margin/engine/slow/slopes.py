"""Slopes of one contract by the formula, in plain floats."""

import math
from typing import NamedTuple

from margin.engine.market import Kind
from margin.engine.slow.contracts import Contract, normal


class Slopes(NamedTuple):
    """Of one contract, in the settlement currency.

    Attributes:
        delta: per 1.00 of relative move of the underlying.
        gamma: half of it times the squared move is gained on top.
        vega: per 1.00 of volatility.
        rho: per 1.00 of the rate, the forward held.
    """

    delta: float
    gamma: float
    vega: float
    rho: float


def slopes(contract: Contract) -> Slopes:
    """Black-76 for options that have time and volatility left; the rest moves in proportion."""
    if contract.kind is not Kind.OPTION:
        return Slopes(contract.value(), 0.0, 0.0, 0.0)
    discount = math.exp(-contract.rate * contract.years)
    deviation = contract.volatility * math.sqrt(contract.years)
    size = contract.multiplier * discount
    upper = math.log(contract.forward / contract.strike) / deviation + deviation / 2
    density = math.exp(-upper * upper / 2) / math.sqrt(2 * math.pi)
    chance = normal(upper) if contract.is_call else -normal(-upper)
    return Slopes(
        delta=size * chance * contract.forward,
        gamma=size * density / (contract.forward * deviation) * contract.forward**2,
        vega=size * contract.forward * density * math.sqrt(contract.years),
        rho=-contract.years * contract.value(),
    )
