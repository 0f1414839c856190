"""The worst of 33 scenarios for every account, and again for those that one moved price touches.

The baseline is what one writes first with scipy: the whole table of accounts by scenarios as one
sparse product, then argmin and take. The results are compared in the run.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.given import Float
from margin.engine.holders import Holders, holders_of
from margin.engine.market import Index, Market
from margin.engine.revaluation import profit_table
from margin.engine.worlds import LINEAR_EACH, world
from margin.engine.worst import PLAIN, compiled, worst_losses

SEED: Final = 20_260_601
UNDERLYINGS, EACH, POSITIONS = 50, 40, 5
SPOT_MOVES: Final = np.linspace(0.75, 1.25, 11)
VOLATILITY_MOVES: Final = np.array([0.75, 1.0, 1.25])
TOLERANCE: Final = 1e-9
MOVED, MOVE = (3, 17, 24, 31, 48), 1.03  # each alone, one after another, so that no cache helps

Worst = tuple[Float, Index]


class UnsoundError(Exception):
    """Two ways gave two results; a figure of either would mean nothing."""


class Measured(NamedTuple):
    """What is printed as it is."""

    figures: dict[str, Any]
    ratios: dict[str, float]


class Setting(NamedTuple):
    """Accounts, and what one contract of everything gains, before and after each price moved."""

    market: Market
    books: Books
    profits: Float
    moved_profits: dict[int, Float]


def measure(*, accounts: int, rounds: int) -> Measured:
    """Seconds of each way, medians of interleaved rounds, and the medians of their ratios.

    Raises:
        UnsoundError: values differ by more than 1e-9 of the largest, or scenarios differ at all.
    """
    setting = setting_of(accounts)
    books, profits = setting.books, setting.profits
    start = time.perf_counter()
    holders = holders_of(books, groups=setting.market.instruments.underlyings)
    indexed = time.perf_counter() - start
    lowest, at = worst_losses(books, profits=profits)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def touched() -> None:
        for underlying, moved in setting.moved_profits.items():
            _ask_again(holders, underlying, profits=moved, results=(lowest, at))

    whole = _whole(books, profits)
    _require_same((lowest, at), whole())
    _require_same(worst_losses(books, profits=profits, kernel=PLAIN), whole())
    _require_all_updated(setting, holders)
    seconds = _by_turns(
        {
            "csr": whole,
            "kernel": lambda: worst_losses(books, profits=profits),
            "kernel_without_numba": lambda: worst_losses(books, profits=profits, kernel=PLAIN),
            "incremental": touched,
        },
        rounds,
    )
    seconds["incremental"] = [taken / len(MOVED) for taken in seconds["incremental"]]
    scopes = sum(len(holders.of(underlying)) for underlying in MOVED) / len(MOVED)
    return Measured(
        figures={
            "numba": compiled() is not None,
            **{f"{name}_s": median(taken) for name, taken in seconds.items()},
            "accounts_s": accounts / median(seconds["kernel"]),
            "incremental_scopes": scopes,
            "incremental_accounts_s": scopes / median(seconds["incremental"]),
            "index_of_holders_s": indexed,
            "index_of_holders_mb": holders.nbytes / 1e6,
            "memory_before_the_baseline_mb": memory,
            "kernel_without_numba_over_csr": _ratio(seconds, "kernel_without_numba", "csr"),
        },
        ratios={
            "kernel_over_csr": _ratio(seconds, "kernel", "csr"),
            "incremental_over_kernel": _ratio(seconds, "incremental", "kernel"),
        },
    )


def setting_of(accounts: int) -> Setting:
    """The same accounts and prices on every machine; each account holds five instruments."""
    market = world(SEED, scopes=1, underlyings=UNDERLYINGS, options_each=EACH - LINEAR_EACH).market
    draw = np.random.Generator(np.random.PCG64(SEED))
    # Ascending numbers, each raised by its place, are ascending and differ.
    places = np.sort(draw.integers(0, UNDERLYINGS * EACH - POSITIONS + 1, (accounts, POSITIONS)))
    instruments = (places + np.arange(POSITIONS)).astype(np.intp).ravel()
    quantities = draw.integers(1, 500, accounts * POSITIONS) / 10.0
    quantities *= draw.choice([-1.0, 1.0], accounts * POSITIONS)
    starts = np.arange(0, accounts * POSITIONS + 1, POSITIONS, dtype=np.intp)
    books = Books(starts, instruments, quantities, np.zeros(accounts))
    moved = {underlying: profits_of(moved_market(market, underlying)) for underlying in MOVED}
    return Setting(market, books, profits_of(market), moved)


def profits_of(market: Market) -> Float:
    """(33, I) eleven moves of all prices, each with three of volatility."""
    spots = np.repeat(SPOT_MOVES, len(VOLATILITY_MOVES))
    every = np.repeat(spots[:, None], len(market.underlyings), axis=1)
    volatilities = np.tile(VOLATILITY_MOVES, len(SPOT_MOVES))
    return profit_table(market, spot_moves=every, volatility_moves=volatilities)


def moved_market(market: Market, underlying: int) -> Market:
    """The market after one of its underlyings has moved by 3 %."""
    by_underlying = np.ones(len(market.underlyings))
    by_underlying[underlying] = MOVE
    factors = by_underlying[market.instruments.underlyings]
    return replace(
        market,
        spots=market.spots * by_underlying,
        prices=market.prices * factors,
        forwards=market.forwards * factors,
    )


def _whole(books: Books, profits: Float) -> Callable[[], Worst]:
    """The baseline, with everything that can be made before made before."""
    matrix = books.matrix(instruments=profits.shape[1])
    table = np.ascontiguousarray(profits.T)

    def run() -> Worst:
        totals = matrix @ table
        at = totals.argmin(axis=1)
        return np.take_along_axis(totals, at[:, None], axis=1)[:, 0], at

    return run


def _require_same(found: Worst, expected: Worst) -> None:
    largest = max(1.0, float(np.abs(expected[0]).max(initial=0.0)))
    if not (np.abs(found[0] - expected[0]) <= TOLERANCE * largest).all():
        raise UnsoundError("the kernel and the whole product give two worst losses")
    if not (found[1] == expected[1]).all():
        raise UnsoundError("the kernel and the whole product give two worst scenarios")


def _require_all_updated(setting: Setting, holders: Holders) -> None:
    """After each move the results of all accounts are those of asking every account again."""
    for underlying, moved in setting.moved_profits.items():
        lowest, at = worst_losses(setting.books, profits=setting.profits)
        _ask_again(holders, underlying, profits=moved, results=(lowest, at))
        _require_same((lowest, at), _whole(setting.books, moved)())


def _ask_again(holders: Holders, underlying: int, *, profits: Float, results: Worst) -> None:
    """Bring the results of all accounts up to date after one underlying has moved."""
    scopes = holders.of(underlying)
    for result, now in zip(
        results, worst_losses(holders.books_of(underlying), profits=profits), strict=True
    ):
        result[scopes] = now


def _by_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _ratio(seconds: dict[str, list[float]], one: str, other: str) -> float:
    """The median of the ratios of the rounds, so that a slow round is slow for both."""
    return median(mine / theirs for mine, theirs in zip(seconds[one], seconds[other], strict=True))
