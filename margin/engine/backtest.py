"""Backtests: do losses pass the forecast as often as it says, and not one after another.

Axes: T days (the oldest first), A scopes.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, chdtrc, xlog1py, xlogy

from margin.engine.books import Books
from margin.engine.given import Float, finite
from margin.engine.market import Flag, Market
from margin.engine.model import Prepared
from margin.engine.rejected import RejectedInputError
from margin.engine.revaluation import profit_table

YELLOW_FROM: Final = 0.95
RED_FROM: Final = 0.9999


class Zone(IntEnum):
    """How many exceptions there are, judged by how unlikely so many or fewer are."""

    GREEN = 0
    YELLOW = 1
    RED = 2


class LikelihoodRatio(NamedTuple):
    """A likelihood ratio and how likely a greater one is where the forecast is right."""

    statistic: Float
    p_value: Float


class Backtest(NamedTuple):
    """The tests of forecasts against outcomes; (A,) each, or one figure for one series.

    Attributes:
        days: T.
        exceptions: days on which the loss was greater than forecast.
        coverage: as many as forecast? (Kupiec)
        independence: no more on the day after one? (Christoffersen)
        both: both at once.
        zones: Zone of each.
    """

    days: int
    exceptions: np.ndarray
    coverage: LikelihoodRatio
    independence: LikelihoodRatio
    both: LikelihoodRatio
    zones: np.ndarray


class Walk(NamedTuple):
    """Forecasts with what then happened, (T, A) each."""

    forecasts: Float
    losses: Float


def backtest(forecasts: ArrayLike, losses: ArrayLike, *, confidence: float) -> Backtest:
    """LikelihoodRatio forecasts of a value at risk.

    Args:
        forecasts: (T,) or (T, A) losses that are passed with probability 1 - confidence.
        losses: as many that followed; a gain is negative.
        confidence: above 0, below 1.

    Raises:
        RejectedInputError: shapes that differ, fewer than two days, or no such confidence.
    """
    said, came = finite("forecasts", forecasts), finite("losses", losses)
    if said.shape != came.shape or said.ndim not in (1, 2) or len(said) < 2:
        raise RejectedInputError("forecasts: one is needed for each loss, of two days or more")
    hits = came > said
    count = hits.sum(axis=0)
    coverage = kupiec(len(hits), exceptions=count, confidence=confidence)
    independence = christoffersen(hits)
    joint = coverage.statistic + independence.statistic
    return Backtest(
        days=len(hits),
        exceptions=count,
        coverage=coverage,
        independence=independence,
        both=LikelihoodRatio(joint, chdtrc(2, joint)),
        zones=traffic_light(len(hits), exceptions=count, confidence=confidence),
    )


def kupiec(days: int, *, exceptions: ArrayLike, confidence: float) -> LikelihoodRatio:
    """Proportion of failures: the likelihood of the forecast against that of what was seen.

    Args:
        days: above 0.
        exceptions: (A,) or one figure, from 0 to the days.

    Raises:
        RejectedInputError: as many exceptions cannot be, or no such confidence.

    Source:
        Kupiec (1995), "Techniques for verifying the accuracy of risk measurement models".
    """
    count, probability = _counted(days, exceptions, confidence)
    seen = count / days
    forecast = xlog1py(days - count, -probability) + xlogy(count, probability)
    best = xlog1py(days - count, -seen) + xlogy(count, seen)
    return _test(best - forecast)


def christoffersen(hits: ArrayLike) -> LikelihoodRatio:
    """Independence: is an exception as likely after a day with one as after a day without?

    Args:
        hits: (T,) or (T, A) of days on which the loss was greater than forecast.

    Source:
        Christoffersen (1998), "Evaluating interval forecasts".
    """
    flags: Flag = np.asarray(hits, dtype=bool)
    before, after = flags[:-1], flags[1:]
    calm_calm, calm_hit = (~before & ~after).sum(axis=0), (~before & after).sum(axis=0)
    hit_calm, hit_hit = (before & ~after).sum(axis=0), (before & after).sum(axis=0)
    apart = _likelihood(calm_calm, calm_hit) + _likelihood(hit_calm, hit_hit)
    return _test(apart - _likelihood(calm_calm + hit_calm, calm_hit + hit_hit))


def traffic_light(days: int, *, exceptions: ArrayLike, confidence: float) -> np.ndarray:
    """(A,) Zone: yellow where so many or fewer have a probability of 95 %, red where of 99.99 %.

    Source:
        Basel Committee (1996), "Supervisory framework for the use of backtesting in conjunction
        with the internal models approach to market risk capital requirements"; MAR99.
    """
    count, probability = _counted(days, exceptions, confidence)
    reached = bdtr(count, days, probability)
    return np.where(
        reached >= RED_FROM, Zone.RED, np.where(reached >= YELLOW_FROM, Zone.YELLOW, Zone.GREEN)
    )


def walk_forward(
    prepare: Callable[[Market], Prepared],
    market: Market,
    books: Books,
    *,
    days: int,
    horizon_days: int = 1,
) -> Walk:
    """Forecast each of the last days from those before it, and what the same books then lost.

    Prices and positions are those of today throughout: what is tested is the forecast, not the
    trading. A forecast sees no return of its own horizon.

    Args:
        prepare: the model with its parameters; its initial margin is the forecast.
        days: how many forecasts.
        horizon_days: over which losses are counted; one horizon begins where the last ended.

    Raises:
        RejectedInputError: not one forecast, or the days before the first are not known.
    """
    first = len(market.returns) - days * horizon_days
    if days < 1 or horizon_days < 1 or first < 1:
        raise RejectedInputError(f"returns: {len(market.returns)} days are known, which is too few")
    held = books.matrix(instruments=len(market.instruments))
    forecasts, losses = [], []
    for start in range(first, len(market.returns), horizon_days):
        known = replace(market, returns=market.returns[:start])
        forecasts.append(prepare(known).requirement(books).initial)
        moves = np.prod(1.0 + market.returns[start : start + horizon_days], axis=0)
        losses.append(-(held @ profit_table(market, spot_moves=moves[None])[0]))
    return Walk(np.array(forecasts), np.array(losses))


def _counted(days: int, exceptions: ArrayLike, confidence: float) -> tuple[Float, float]:
    count = finite("exceptions", exceptions)
    if days < 1 or (count < 0).any() or (count > days).any():
        raise RejectedInputError(f"exceptions: they lie between 0 and {days} days")
    if not 0 < confidence < 1:
        raise RejectedInputError(f"a confidence of {confidence} is not above 0 and below 1")
    return count, 1.0 - confidence


def _likelihood(calm: Float, hit: Float) -> Float:
    """Log likelihood of days with and without an exception at their own rate."""
    days = calm + hit
    rate = np.divide(hit, days, out=np.zeros(np.shape(days)), where=days > 0)
    likelihood: Float = xlog1py(calm, -rate) + xlogy(hit, rate)
    return likelihood


def _test(difference: Float) -> LikelihoodRatio:
    # Likelihoods of the same figure differ by rounding.
    statistic = np.maximum(2.0 * difference, 0.0)
    return LikelihoodRatio(statistic, chdtrc(1, statistic))
