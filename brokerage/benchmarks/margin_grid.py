"""Two thousand options in 33 scenarios, against a plain loop over the pricer of a library.

The library is QuantLib, which is compiled: the loop costs what calling it costs from Python. It
is no part of the product; where it is not installed there is no such figure, and it is said.
"""

import math
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import numpy as np

from brokerage.benchmarks.margin_kernel import (
    SEED,
    SPOT_MOVES,
    UNDERLYINGS,
    VOLATILITY_MOVES,
    Measured,
    UnsoundError,
)
from margin.engine.given import Float
from margin.engine.market import Index, Market
from margin.engine.revaluation import option_prices
from margin.engine.worlds import world

EACH = 40
TOLERANCE = 1e-9


def measure(*, rounds: int) -> Measured:
    """Seconds of our grid and of the loop, medians of interleaved rounds.

    Raises:
        UnsoundError: a price differs by more than 1e-9 of its forward and strike.
    """
    market = world(SEED + 1, scopes=1, underlyings=UNDERLYINGS, options_each=EACH).market
    options = np.flatnonzero(market.instruments.is_option)
    spots = np.repeat(SPOT_MOVES, len(VOLATILITY_MOVES))
    volatilities = np.tile(VOLATILITY_MOVES, len(SPOT_MOVES))
    size = {"options": len(options), "scenarios": len(spots)}
    ours = _timed(lambda: _grid(market, options, spots, volatilities), rounds)
    figures = size | {"grid_s": ours, "prices_s": len(options) * len(spots) / ours}
    if find_spec("QuantLib") is None:
        said = {"loop": "not measured: QuantLib is not installed (requirements-dev.txt)"}
        return Measured(figures | said, {})
    loop = library_loop(market, options, spots, volatilities)
    _require_same(market, options, _grid(market, options, spots, volatilities), loop())
    both = [
        (_timed(lambda: _grid(market, options, spots, volatilities), 1), _timed(loop, 1))
        for _ in range(rounds)
    ]
    figures |= {"loop_s": median(other for _mine, other in both)}
    return Measured(figures, {"grid_over_loop": median(mine / other for mine, other in both)})


def library_loop(
    market: Market, options: Index, spots: Float, volatilities: Float
) -> Callable[[], list[list[float]]]:
    """The same prices one after another by QuantLib's Black formula, all inputs made before."""
    import QuantLib

    rows = market.instruments
    contracts = [
        (
            QuantLib.Option.Call if rows.rights[place] > 0 else QuantLib.Option.Put,
            float(rows.strikes[place]),
            float(market.forwards[place]),
            float(market.volatilities[place]) * math.sqrt(rows.years[place]),
            math.exp(-market.rates[place] * rows.years[place]),
        )
        for place in options
    ]
    moves = list(zip(spots.tolist(), volatilities.tolist(), strict=True))
    price = QuantLib.blackFormula

    def run() -> list[list[float]]:
        return [
            [
                price(kind, strike, forward * spot, deviation * volatility, discount)
                for kind, strike, forward, deviation, discount in contracts
            ]
            for spot, volatility in moves
        ]

    return run


def _grid(market: Market, options: Index, spots: Float, volatilities: Float) -> Float:
    return option_prices(
        market,
        options,
        forward_moves=spots[:, None],
        volatility_moves=volatilities[:, None],
    )


def _require_same(market: Market, options: Index, ours: Float, theirs: list[list[float]]) -> None:
    size = market.forwards[options] + market.instruments.strikes[options]
    if not (np.abs(ours - np.array(theirs)) <= TOLERANCE * size).all():
        raise UnsoundError("the grid and the library give two prices")


def _timed(way: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        way()
        taken.append(time.perf_counter() - start)
    return median(taken)
