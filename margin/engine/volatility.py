"""How much a price moves in a day, by a named estimator, out of its closes.

Logarithms and roots are rounded correctly at a fixed number of digits, so that the figure is the
same, to the last digit, on every machine; it then enters requirements as an exact number.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final

from margin.engine.exact import ZERO
from margin.engine.rejected import RejectedInputError

FIGURES: Final = Context(prec=34, rounding=ROUND_HALF_EVEN)


class Estimator(StrEnum):
    """How a volatility is made of daily returns."""

    SAMPLE = "sample"  # root of the sample variance, divided by one less than the days
    EWMA = "ewma"  # root of mean squares that weigh newer days more; no mean is taken out


def log_returns(closes: Sequence[Decimal]) -> list[Decimal]:
    """Compounded returns between following closes, one fewer than there are closes.

    Raises:
        RejectedInputError: a close is not above 0.
    """
    if any(not close.is_finite() or close <= 0 for close in closes):
        raise RejectedInputError("a close is not above 0")
    logs = [FIGURES.ln(close) for close in closes]
    return [FIGURES.subtract(after, before) for before, after in pairwise(logs)]


def daily_volatility(
    returns: Sequence[Decimal], *, estimator: Estimator, decay: Decimal = ZERO
) -> Decimal:
    """The standard deviation of a day's return, not negative.

    Args:
        returns: at least two, the oldest first.
        decay: weight of a day as a share of the next one's, above 0 and below 1; `ewma` alone.

    Raises:
        RejectedInputError: there are fewer than two returns.

    Source:
        sample: s^2 = sum (r - mean)^2 / (n - 1). ewma: RiskMetrics technical document (1996),
        table 5.1: weights (1 - d) d^k / (1 - d^n) on squared returns, k days ago.
    """
    if len(returns) < 2:
        raise RejectedInputError("a volatility needs two returns")
    return FIGURES.sqrt(_VARIANCES[estimator](returns, decay))


def horizon_move(volatility: Decimal, *, multiple: Decimal, days: Decimal) -> Decimal:
    """multiple x volatility x root of days: a move over a horizon, at 34 digits."""
    return FIGURES.multiply(FIGURES.multiply(multiple, volatility), FIGURES.sqrt(days))


def greatest_volatility(
    returns: Sequence[Decimal], *, days: int, estimator: Estimator, decay: Decimal = ZERO
) -> Decimal:
    """The greatest volatility of any stretch of so many days: the stressed one.

    Raises:
        RejectedInputError: there are fewer returns than that.
    """
    if len(returns) < days:
        raise RejectedInputError(f"{len(returns)} returns are known, a stretch has {days}")
    stretches = (returns[end - days : end] for end in range(days, len(returns) + 1))
    return max(daily_volatility(each, estimator=estimator, decay=decay) for each in stretches)


def _sample(returns: Sequence[Decimal], _decay: Decimal) -> Decimal:
    mean = FIGURES.divide(_total(returns), Decimal(len(returns)))
    squares = _total([_square(FIGURES.subtract(each, mean)) for each in returns])
    return FIGURES.divide(squares, Decimal(len(returns) - 1))


def _ewma(returns: Sequence[Decimal], decay: Decimal) -> Decimal:
    weighted = weights = ZERO
    for each in returns:
        weighted = FIGURES.add(FIGURES.multiply(weighted, decay), _square(each))
        weights = FIGURES.add(FIGURES.multiply(weights, decay), Decimal(1))
    return FIGURES.divide(weighted, weights)


def _square(value: Decimal) -> Decimal:
    return FIGURES.multiply(value, value)


def _total(values: Sequence[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = FIGURES.add(total, value)
    return total


_VARIANCES: Final[dict[Estimator, Callable[[Sequence[Decimal], Decimal], Decimal]]] = {
    Estimator.SAMPLE: _sample,
    Estimator.EWMA: _ewma,
}
