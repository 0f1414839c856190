"""The cheapest legal way to split option positions on one underlying into groups.

Every contract is carried alone, covered by shares, as one side of a short call and put pair, or
in a spread. A spread is any set with as many long as short calls, as many long as short puts, and
no short that outlives a long of the set. Two spreads that are legal around the same day are legal
as one, and one never costs more than the two: its worst loss is at most the sum of theirs. So one
spread for each day on which a short expires is enough, and the cheapest split is a small integer
programme that is solved exactly.

Source:
    FINRA Rule 4210(a) and (f)(2) as amended by Regulatory Notice 12-44 (what a spread is);
    Cboe Margin Manual (pairs of short options, covered options).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import scipy  # which loads its solvers when the first book is grouped, not with every command
from numpy.typing import NDArray

from margin.engine.rejected import RejectedInputError

Real = NDArray[np.float64]
Count = NDArray[np.int64]
Flag = NDArray[np.bool_]

# Books of the desk need a handful of branches, a few hundred at worst; counted, not timed, so
# that the same book is answered or refused on every machine.
BRANCHES_MAX: Final = 20_000
# The solver drops smaller coefficients, and then complains of what it has dropped.
PREMIUM_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class OptionLegs:
    """Option positions on one underlying, one row per series; L legs.

    Attributes:
        is_call: (L,) a call, else a put.
        strike: (L,) price of exercise.
        premium: (L,) price of the option per unit of the underlying.
        contracts: (L,) contracts held, negative when written.
        expires_in_days: (L,) days until expiry.
    """

    is_call: Flag
    strike: Real
    premium: Real
    contracts: Count
    expires_in_days: Count


class CarryingCosts(NamedTuple):
    """What each way of carrying a contract requires, per unit of the underlying.

    Attributes:
        alone: (L,) of one contract by itself, long or short.
        pair: (L, L) of a short call (row) beside a short put (column); infinite where no such
            pair is allowed.
        call_lots: how many short calls the shares held cover.
        put_lots: how many short puts the shares sold cover.
    """

    alone: Real
    pair: Real
    call_lots: int
    put_lots: int


class Grouping(NamedTuple):
    """Contracts by the way they are carried; counts are not negative.

    Attributes:
        alone: (L,).
        covered: (L,) shorts covered by shares.
        pair: (L, L) short call (row) with short put (column).
        spread: (D, L) one row for each spread.
    """

    alone: Count
    covered: Count
    pair: Count
    spread: Count


class _Columns(NamedTuple):
    """Where each unknown of the programme stands: indices into its vector."""

    covered_leg: Count  # (C,)
    pair_call: Count  # (Y,)
    pair_put: Count  # (Y,)
    spread_day: Count  # (X,) row of the day
    spread_leg: Count  # (X,)
    day_count: int


def spread_requirement(legs: OptionLegs, contracts: Real | Count) -> float:
    """What such a spread requires per unit of the underlying: worst loss plus net premium.

    The payoff of a balanced set bends only at its strikes and is flat outside them, so the worst
    loss is at one of them. Premium received lowers the requirement, premium paid raises it; it is
    never below 0.

    Args:
        legs: L legs.
        contracts: (L,) signed contracts of the spread, balanced in calls and in puts.
    """
    held = np.flatnonzero(contracts)
    payoff = _intrinsic(legs, legs.strike[held])[:, held] @ contracts[held]
    worst_loss = max(0.0, -float(payoff.min(initial=0.0)))
    return max(0.0, worst_loss + float(legs.premium[held] @ contracts[held]))


def cheapest_grouping(legs: OptionLegs, *, costs: CarryingCosts) -> Grouping:
    """The grouping with the smallest total requirement; the same legs give the same grouping.

    Raises:
        RejectedInputError: the search is too long, or the numbers are too far apart for it.
    """
    size = len(legs.contracts)
    short = legs.contracts < 0
    if not short.any():
        nothing: Count = np.zeros(size, dtype=np.int64)
        pairs: Count = np.zeros((size, size), dtype=np.int64)
        spreads: Count = np.zeros((0, size), dtype=np.int64)
        return Grouping(np.abs(legs.contracts), nothing, pairs, spreads)
    columns, days = _columns(legs, costs)
    constraints = [_every_contract_once(legs, columns), *_shares_cover_once(legs, columns, costs)]
    constraints += _spreads_are_balanced(legs, columns)
    constraints += _spreads_cost_their_worst_loss(legs, columns)
    whole = size + len(columns.covered_leg) + len(columns.pair_call) + len(columns.spread_leg)
    objective = np.concatenate(
        [
            costs.alone,
            np.zeros(len(columns.covered_leg)),
            costs.pair[columns.pair_call, columns.pair_put],
            np.zeros(len(columns.spread_leg) + len(days)),
            np.ones(len(days)),
        ]
    )
    answer = scipy.optimize.milp(
        objective,
        constraints=constraints,
        integrality=np.r_[np.ones(whole), np.zeros(2 * len(days))],
        bounds=scipy.optimize.Bounds(lb=0.0),
        options={"mip_rel_gap": 0.0, "node_limit": BRANCHES_MAX},
    )
    if not answer.success:
        raise RejectedInputError(f"legs: the least requirement was not found ({answer.message})")
    grouping = _grouping(np.rint(answer.x[:whole]).astype(np.int64), size, columns)
    if not is_legal(legs, grouping):
        raise RejectedInputError("legs: numbers too far apart to be grouped exactly")
    return grouping


def is_legal(legs: OptionLegs, grouping: Grouping) -> bool:
    """Every contract is carried once, and each spread is balanced with no short that outlives."""
    sign = np.sign(legs.contracts)
    carried = grouping.alone + grouping.covered + grouping.spread.sum(axis=0)
    carried = carried + grouping.pair.sum(axis=0) + grouping.pair.sum(axis=1)
    signed = grouping.spread * sign
    calls, puts = signed @ legs.is_call, signed @ ~legs.is_call
    expires = legs.expires_in_days[None, :]
    last_short = np.where(signed < 0, expires, -1).max(axis=1, initial=-1)
    first_long = np.where(signed > 0, expires, last_short[:, None]).min(axis=1, initial=2**31)
    outlived = bool((last_short > first_long).any())
    once = bool((carried == np.abs(legs.contracts)).all())
    return once and not calls.any() and not puts.any() and not outlived


def _intrinsic(legs: OptionLegs, prices: Real) -> Real:
    """(S, L) what each option is worth when exercised at each of S prices of the underlying."""
    above = prices[:, None] - legs.strike[None, :]
    value: Real = np.maximum(0.0, np.where(legs.is_call[None, :], above, -above))
    return value


def _columns(legs: OptionLegs, costs: CarryingCosts) -> tuple[_Columns, Count]:
    """The unknowns beside "alone", and the days around which spreads are formed."""
    short = legs.contracts < 0
    lots = np.where(legs.is_call, costs.call_lots, costs.put_lots)
    pair_call, pair_put = np.nonzero(np.isfinite(costs.pair))
    days = np.unique(legs.expires_in_days[short])
    expires = legs.expires_in_days[None, :]
    eligible = np.where(short[None, :], expires <= days[:, None], expires >= days[:, None])
    spread_day, spread_leg = np.nonzero(eligible)
    covered_leg = np.flatnonzero(short & (lots > 0))
    columns = _Columns(covered_leg, pair_call, pair_put, spread_day, spread_leg, len(days))
    return columns, days


def _matrix(rows: int, size: int, columns: _Columns) -> tuple[Real, Real, Real, Real, Real, Real]:
    """An empty block of constraints as views: alone, covered, pairs, spreads, losses, costs."""
    widths = [
        size,
        len(columns.covered_leg),
        len(columns.pair_call),
        len(columns.spread_leg),
        columns.day_count,
        columns.day_count,
    ]
    block: Real = np.zeros((rows, sum(widths)))
    alone, covered, pair, spread, loss, cost = np.split(block, np.cumsum(widths)[:-1], axis=1)
    return alone, covered, pair, spread, loss, cost


def _whole(views: tuple[Real, ...]) -> Real:
    block: Real = np.concatenate(views, axis=1)
    return block


def _every_contract_once(legs: OptionLegs, columns: _Columns) -> "scipy.optimize.LinearConstraint":
    size = len(legs.contracts)
    views = _matrix(size, size, columns)
    alone, covered, pair, spread, _, _ = views
    np.fill_diagonal(alone, 1.0)
    covered[columns.covered_leg, np.arange(len(columns.covered_leg))] = 1.0
    pair[columns.pair_call, np.arange(len(columns.pair_call))] = 1.0
    pair[columns.pair_put, np.arange(len(columns.pair_put))] = 1.0
    spread[columns.spread_leg, np.arange(len(columns.spread_leg))] = 1.0
    held = np.abs(legs.contracts)
    return scipy.optimize.LinearConstraint(_whole(views), held, held)


def _shares_cover_once(
    legs: OptionLegs, columns: _Columns, costs: CarryingCosts
) -> "list[scipy.optimize.LinearConstraint]":
    if not len(columns.covered_leg):
        return []
    views = _matrix(2, len(legs.contracts), columns)
    is_call = legs.is_call[columns.covered_leg]
    views[1][0] = is_call
    views[1][1] = ~is_call
    lots = np.array([costs.call_lots, costs.put_lots], dtype=np.float64)
    return [scipy.optimize.LinearConstraint(_whole(views), -np.inf, lots)]


def _spreads_are_balanced(
    legs: OptionLegs, columns: _Columns
) -> "list[scipy.optimize.LinearConstraint]":
    """As many long as short calls, and as many long as short puts, around each day."""
    views = _matrix(2 * columns.day_count, len(legs.contracts), columns)
    row = 2 * columns.spread_day + legs.is_call[columns.spread_leg]
    sign = np.sign(legs.contracts[columns.spread_leg])
    views[3][row, np.arange(len(columns.spread_leg))] = sign
    return [scipy.optimize.LinearConstraint(_whole(views), 0.0, 0.0)]


def _spreads_cost_their_worst_loss(
    legs: OptionLegs, columns: _Columns
) -> "list[scipy.optimize.LinearConstraint]":
    """Loss of a day >= minus the payoff at each strike; cost >= loss + net premium."""
    prices = np.unique(legs.strike)
    sign = np.sign(legs.contracts[columns.spread_leg])
    payoff = _intrinsic(legs, prices)[:, columns.spread_leg] * sign
    premium = legs.premium.round(PREMIUM_DECIMALS)[columns.spread_leg] * sign
    constraints = []
    for day in range(columns.day_count):
        mine = columns.spread_day == day
        losses = _matrix(len(prices), len(legs.contracts), columns)
        losses[3][:] = np.where(mine, payoff, 0.0)
        losses[4][:, day] = 1.0
        cost = _matrix(1, len(legs.contracts), columns)
        cost[3][0] = np.where(mine, -premium, 0.0)
        cost[4][0, day] = -1.0
        cost[5][0, day] = 1.0
        block = np.vstack([_whole(losses), _whole(cost)])
        constraints.append(scipy.optimize.LinearConstraint(block, 0.0, np.inf))
    return constraints


def _grouping(counts: Count, size: int, columns: _Columns) -> Grouping:
    ends = np.cumsum([size, len(columns.covered_leg), len(columns.pair_call)])
    alone, covered_count, pair_count, spread_count = np.split(counts, ends)
    covered: Count = np.zeros(size, dtype=np.int64)
    covered[columns.covered_leg] = covered_count
    pair: Count = np.zeros((size, size), dtype=np.int64)
    pair[columns.pair_call, columns.pair_put] = pair_count
    spread: Count = np.zeros((columns.day_count, size), dtype=np.int64)
    spread[columns.spread_day, columns.spread_leg] = spread_count
    return Grouping(alone, covered, pair, spread[spread.any(axis=1)])
