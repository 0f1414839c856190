"""Books of options in a few words, for the tests of their margin."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from margin.engine.strategies import (
    Account,
    Book,
    ShareLots,
    StrategyRequirement,
    Underlying,
    strategy_requirement,
)
from margin.engine.strategy_grouping import OptionLegs

SPOT = 100.0


class Leg(NamedTuple):
    """One option of a test: `right` is "call" or "put"."""

    contracts: int
    right: str
    strike: float
    premium: float
    days: int = 30


def options(legs: Sequence[Leg]) -> OptionLegs:
    return OptionLegs(
        is_call=np.array([leg.right == "call" for leg in legs], dtype=np.bool_),
        strike=np.array([leg.strike for leg in legs], dtype=np.float64),
        premium=np.array([leg.premium for leg in legs], dtype=np.float64),
        contracts=np.array([leg.contracts for leg in legs], dtype=np.int64),
        expires_in_days=np.array([leg.days for leg in legs], dtype=np.int64),
    )


def book(
    *legs: Leg,
    shares: Sequence[tuple[float, float]] = (),
    underlying: Underlying = Underlying(SPOT),  # noqa: B008 (frozen)
) -> Book:
    """Options and (quantity, price) lots of shares on one underlying."""
    lots = ShareLots(
        price=np.array([price for _, price in shares], dtype=np.float64),
        quantity=np.array([quantity for quantity, _ in shares], dtype=np.float64),
    )
    return Book(underlying, options(legs), lots)


def margin(positions: Book) -> StrategyRequirement:
    answer = strategy_requirement(positions, account=Account.MARGIN)
    assert answer is not None
    return answer


def names(positions: Book) -> list[str]:
    return [group.strategy for group in margin(positions).groups]


def fair_premium(right: str, strike: float, days: int) -> float:
    """Normal-model value without interest: no strike, day or parity can be played off."""
    spread = 25.0 * math.sqrt((days + 5) / 365)
    away = (SPOT - strike) / spread
    density = math.exp(-away * away / 2) / math.sqrt(2 * math.pi)
    call = spread * (density + away * (1 + math.erf(away / math.sqrt(2))) / 2)
    return call if right == "call" else call - (SPOT - strike)


def fair(contracts: int, right: str, strike: float, days: int) -> Leg:
    return Leg(contracts, right, strike, fair_premium(right, strike, days), days)
