"""Past days as scenarios: which days, how they are scaled, over which horizon.

Days are compounded returns: they add up over a horizon, and no factor takes a price below 0.
Axes: T days of history, S scenarios, U underlyings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import NamedTuple

import numpy as np

from margin.engine.given import Float
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError


class Filtering(StrEnum):
    """What is done to a day before it is used."""

    NONE = "none"
    VOLATILITY = "volatility"  # times today's volatility over that day's


class Scaling(StrEnum):
    """How one day becomes a horizon of several."""

    SQUARE_ROOT = "square_root"  # each day times the root of the horizon
    OVERLAPPING = "overlapping"  # as many days in a row, from every day on


@dataclass(frozen=True, slots=True)
class History:
    """Which past days are scenarios, and how."""

    lookback_days: int = parameter(
        "How many of the newest days are used", unit="days", least=2, most=100_000
    )
    filtering: Filtering = parameter("Whether days are scaled to today's volatility")
    volatility_decay: float = parameter(
        "Weight of yesterday's variance in today's, where days are scaled",
        unit="share", least=0.0, most=1.0,
    )  # fmt: skip
    ratio_most: float = parameter(
        "How many times greater a day is made by scaling at most", unit="factor", least=1.0
    )
    horizon_days: int = parameter(
        "Days until positions are closed", unit="days", least=1, most=1_000
    )
    scaling: Scaling = parameter("How a horizon is made of days")
    age_decay: float = parameter(
        "Weight of a day as a share of the next one's; 1 weighs all alike",
        unit="share", least=0.5, most=1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_parameters(self)
        if self.scaling is Scaling.OVERLAPPING and self.horizon_days >= self.lookback_days:
            raise RejectedInputError("horizon_days: as long as the days looked back on")


class Scenarios(NamedTuple):
    """Moves of a market.

    Attributes:
        names: (S,) for people; the newest day is day 1.
        moves: (S, U) factor on the price of each underlying, above 0; the oldest first.
    """

    names: tuple[str, ...]
    moves: Float


def recent_scenarios(returns: Float, *, history: History) -> Scenarios:
    """The newest days, scaled and joined as declared.

    Args:
        returns: (T, U) simple returns, the oldest first.

    Raises:
        RejectedInputError: fewer days are known than are looked back on.
    """
    newest = _days(returns, oldest_day=history.lookback_days, newest_day=1)
    if history.filtering is Filtering.VOLATILITY:
        newest = newest * volatility_ratios(
            newest, decay=history.volatility_decay, most=history.ratio_most
        )
    return _scenarios("Day", newest, newest_day=1, history=history)


def stressed_scenarios(
    returns: Float, *, history: History, oldest_day: int, newest_day: int
) -> Scenarios:
    """The days of a stressed stretch as they were, over the same horizon; never scaled to today.

    Args:
        returns: (T, U) simple returns, the oldest first.
        oldest_day, newest_day: counted back from the newest day known, which is day 1.

    Raises:
        RejectedInputError: the stretch begins before the days known, or is too short to join.
    """
    days = _days(returns, oldest_day=oldest_day, newest_day=newest_day)
    return _scenarios("Stressed day", days, newest_day=newest_day, history=history)


def volatility_ratios(days: Float, *, decay: float, most: float) -> Float:
    """(T, U) today's volatility over the one expected for each day, at most `most`.

    The variance expected for a day is `decay` times that for the day before and the rest of it the
    square of that day; the first is the mean square of all. A day that no movement was expected
    for, as none had been, is left as it is.

    Args:
        days: (T, U) compounded returns, the oldest first.

    Source:
        Hull and White (1998), "Incorporating volatility updating into the historical simulation
        method"; the recursion is that of RiskMetrics (1996).
    """
    variance = np.empty((len(days) + 1, days.shape[1]))
    variance[0] = _added(days**2) / len(days)
    for day, squares in enumerate(days**2):
        variance[day + 1] = decay * variance[day] + (1 - decay) * squares
    then, now = np.sqrt(variance[:-1]), np.sqrt(variance[-1])
    # Beyond the most allowed a quotient may be too great for a float.
    beyond = then * most <= now
    ratios: Float = np.divide(now, then, out=np.full_like(then, most), where=~beyond)
    return np.where(then > 0, ratios, 1.0)


def _days(returns: Float, *, oldest_day: int, newest_day: int) -> Float:
    if oldest_day > len(returns):
        raise RejectedInputError(
            f"returns: {len(returns)} days are known, {oldest_day} are looked back on"
        )
    days: Float = np.log1p(returns[len(returns) - oldest_day : len(returns) - newest_day + 1])
    return days


def _scenarios(label: str, days: Float, *, newest_day: int, history: History) -> Scenarios:
    """Days joined to the horizon."""
    length, oldest = history.horizon_days, newest_day + len(days) - 1
    if history.scaling is Scaling.SQUARE_ROOT:
        names = tuple(f"{label} {oldest - place}" for place in range(len(days)))
        return Scenarios(names, np.exp(np.sqrt(float(length)) * days))
    if length > len(days):
        raise RejectedInputError(f"{length} days in a row do not fit into {len(days)}")
    joined = _added([days[first : len(days) - length + 1 + first] for first in range(length)])
    names = tuple(
        f"{label}s {oldest - place} to {oldest - place - length + 1}"
        if length > 1
        else f"{label} {oldest - place}"
        for place in range(len(joined))
    )
    return Scenarios(names, np.exp(joined))


def _added(rows: Iterable[Float]) -> Float:
    """The sum of rows one after another: an underlying's does not depend on how many others are."""
    return reduce(np.add, rows)
