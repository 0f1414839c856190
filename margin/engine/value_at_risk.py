"""Value at risk and expected shortfall of a history, by two conventions that do not agree.

A figure without its convention means nothing: the two differ in what they read off and in sign.
"""

from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, finite
from margin.engine.rejected import RejectedInputError

LINEAR_PERCENTILE: Final = "linear_percentile"
ORDER_STATISTIC: Final = "order_statistic"
PLACES: Final = 9  # 30 x (1 - 0.9) is 3, whatever floats make of it


class TailRisk(NamedTuple):
    """Per column of the history; in the sign of its convention.

    Attributes:
        value_at_risk: the figure at the border of the tail.
        expected_shortfall: the mean of the tail, never better than the figure at its border.
    """

    value_at_risk: Float
    expected_shortfall: Float


def percentile_tail(returns: ArrayLike, *, cutoff: float) -> TailRisk:
    """`linear_percentile`: the return at a quantile, between two observations if need be.

    The tail is every observation up to that quantile, counted by its place. Both figures are
    returns: a loss is negative.

    Args:
        returns: (T,) or (T, A), at least one; higher is better.
        cutoff: the quantile, 0 to 1; 0.05 is the worst twentieth.

    Raises:
        RejectedInputError: no observation, one that is not finite, or no such quantile.

    Source:
        Hyndman and Fan (1996), definition 7, as numpy's quantile.
    """
    history = _history(returns)
    if not 0 <= cutoff <= 1:
        raise RejectedInputError(f"a cutoff of {cutoff} is not from 0 to 1")
    tail = percentile_place(len(history), cutoff=cutoff)[0] + 1
    border: Float = np.asarray(np.quantile(history, cutoff, axis=0, method="linear"))
    mean = np.sort(history, axis=0)[:tail].mean(axis=0)
    # The mean of equal numbers may differ from them in the last digit.
    return TailRisk(border, np.minimum(mean, border))


def order_statistic_tail(returns: ArrayLike, *, confidence: float) -> TailRisk:
    """`order_statistic`: the k-th worst loss, k = T x (1 - confidence) rounded up.

    The shortfall is the mean of the losses worse than that; where none is, the loss itself. Both
    figures are losses: a loss is positive, and a tail that earns is negative.

    Args:
        returns: (T,) or (T, A), at least one; higher is better.
        confidence: share of observations outside of the tail, from 0, below 1.

    Raises:
        RejectedInputError: no observation, one that is not finite, or no such confidence.
    """
    history = _history(returns)
    if not 0 <= confidence < 1:
        raise RejectedInputError(f"a confidence of {confidence} is not from 0 to below 1")
    place = order_place(len(history), confidence=confidence)
    losses = -history
    border: Float = np.asarray(np.sort(losses, axis=0)[len(losses) - place])
    worse = losses > border
    count = worse.sum(axis=0)
    total = np.where(worse, losses, 0.0).sum(axis=0)
    mean = np.where(count == 0, border, total / np.maximum(count, 1))
    return TailRisk(border, np.maximum(mean, border))


def percentile_place(count: int, *, cutoff: float) -> tuple[int, float]:
    """Between which observations a percentile lies: the place, from 0 the worst, and how far on.

    Args:
        count: of observations, at least one.
        cutoff: the quantile, 0 to 1.
    """
    exact = (count - 1) * cutoff
    place = floor(round(exact, PLACES))
    return place, max(exact - place, 0.0)


def order_place(count: int, *, confidence: float) -> int:
    """Which of the worst losses an order statistic is, from 1 the worst.

    Args:
        count: of observations, at least one.
        confidence: from 0, below 1.
    """
    return max(ceil(round(count * (1 - confidence), PLACES)), 1)


def _history(returns: ArrayLike) -> Float:
    history = finite("returns", returns)
    if history.ndim not in (1, 2) or not history.size:
        raise RejectedInputError("returns are not at least one observation in rows")
    return history
