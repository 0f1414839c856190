"""Risk arrays: sixteen scenarios, the largest loss in them, and what spreads cost and save.

Axes: S the 16 scenarios, I instruments, U underlyings, N rows (a scope and one underlying that it
holds), T tiers of expiry.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.books import Books
from margin.engine.exact import ZERO, Index, exact
from margin.engine.given import Float, finite
from margin.engine.market import Market
from margin.engine.rejected import RejectedInputError
from margin.engine.revaluation import profit_table
from margin.engine.worst import worst_losses

SCENARIOS: Final = 16
# Thirds of the price scan range, in the customary order; each with volatility up and down.
THIRDS: Final = {
    0: "no move",
    1: "a third up",
    -1: "a third down",
    2: "two thirds up",
    -2: "two thirds down",
    3: "the range up",
    -3: "the range down",
}
EXTREMES: Final = {1: "extreme rise", -1: "extreme fall"}
SCAN_NAMES: Final = (
    *(f"{name}, volatility {way}" for name in THIRDS.values() for way in ("up", "down")),
    *EXTREMES.values(),
)


class ScanTerms(NamedTuple):
    """How far the sixteen scenarios go.

    Attributes:
        price_ranges: (U,) share of the price of each underlying.
        volatility_ranges: (U,) share of the volatility of its options.
        extreme_multiple: the two extremes are so many price ranges away.
        extreme_cover: share of their profit or loss that counts.
        years_passed: how much nearer each expiry is.
    """

    price_ranges: Float
    volatility_ranges: Float
    extreme_multiple: float
    extreme_cover: float
    years_passed: float


class ScanRisk(NamedTuple):
    """What portfolios lose in their worst scenario.

    Attributes:
        amount: (P,) largest loss, from 0, in the currency of the arrays.
        scenario: (P,) which scenario it is, from 0; the first of equals.
    """

    amount: Float
    scenario: Index


def scan_risk(quantities: ArrayLike, *, arrays: ArrayLike) -> ScanRisk:
    """The scan risk of many portfolios at once, by one product of matrices.

    Args:
        quantities: (P, L) contracts that each portfolio holds of each leg, short is negative.
        arrays: (L, 16) what one contract held of each leg earns in each scenario; a loss is
            negative.

    Raises:
        RejectedInputError: a number that is not finite, or shapes that do not go together.

    Source:
        CME Group, "SPAN methodology": scanning risk of a combined commodity.
    """
    held, profits = finite("quantities", quantities), finite("arrays", arrays)
    if held.ndim != 2 or profits.shape != (held.shape[1], SCENARIOS):
        raise RejectedInputError(
            f"quantities {held.shape} and arrays {profits.shape} are not (P, L) and (L, 16)"
        )
    profit = held @ profits
    scenario: Index = profit.argmin(axis=1)
    worst = profit[np.arange(len(profit)), scenario]
    return ScanRisk(np.maximum(-worst, 0.0), scenario)


def exact_scan_risk(arrays: Sequence[Sequence[Decimal]]) -> Decimal:
    """The scan risk of one portfolio to the last unit, an array for each of its legs.

    Raises:
        RejectedInputError: an array without sixteen finite numbers.
    """
    for array in arrays:
        if len(array) != SCENARIOS or not all(profit.is_finite() for profit in array):
            raise RejectedInputError(f"a risk array is not {SCENARIOS} finite numbers")
    if not arrays:
        return ZERO
    with exact():
        return max(ZERO, *(-sum(scenario, ZERO) for scenario in zip(*arrays, strict=True)))


def scan_arrays(market: Market, *, terms: ScanTerms) -> Float:
    """(16, I) what one contract of everything earns in each scenario, by full revaluation.

    No price and no volatility falls below 0. Volatility stays as it is in the extremes.
    """
    steps = [thirds / 3 for thirds in THIRDS for _ in range(2)]
    steps += [way * terms.extreme_multiple for way in EXTREMES]
    ways = np.array([1.0, -1.0] * len(THIRDS) + [0.0] * len(EXTREMES))
    by_instrument = terms.volatility_ranges[market.instruments.underlyings]
    profits = profit_table(
        market,
        spot_moves=np.maximum(1.0 + np.outer(steps, terms.price_ranges), 0.0),
        volatility_moves=np.maximum(1.0 + np.outer(ways, by_instrument), 0.0),
        years_passed=terms.years_passed,
    )
    profits[-len(EXTREMES) :] *= terms.extreme_cover
    return profits


def scan_risks(books: Books, *, arrays: Float) -> ScanRisk:
    """The scan risk of books, each in the order of its instruments.

    Args:
        arrays: (16, I) as `scan_arrays` makes them.
    """
    worst, scenario = worst_losses(books, profits=arrays)
    return ScanRisk(np.maximum(-worst, 0.0), scenario)


class TierPair(NamedTuple):
    """Two tiers of expiry, counted from 0, and a multiple of the rate of calendar spreads."""

    near: int
    far: int
    multiple: float


def calendar_charges(deltas: Float, *, pairs: Sequence[TierPair], rates: Float) -> Float:
    """(N, pairs) what it costs that scan risk nets expiries as if they moved alike.

    Opposite deltas of two tiers are matched pair by pair; what one pair has matched, no later one
    can match again.

    Args:
        deltas: (N, T) net delta of each tier, in money.
        rates: (N,) charge per matched delta.

    Source:
        CME Group, "SPAN methodology": intra-commodity spread charge by tiers.
    """
    left = deltas.copy()
    charges = np.zeros((len(deltas), len(pairs)))
    for place, pair in enumerate(pairs):
        near, far = left[:, pair.near], left[:, pair.far]
        matched = _opposite(near, far, np.minimum(np.abs(near), np.abs(far)))
        charges[:, place] = rates * pair.multiple * matched
        signs = np.sign(near)
        left[:, pair.near] = near - signs * matched
        left[:, pair.far] = far + signs * matched
    return charges


class CommodityPair(NamedTuple):
    """Two underlyings that offset each other.

    Attributes:
        first, second: index of each.
        ratio: delta of the second, in money, that goes with 1 of the first.
        credit: share of the price risk of the matched deltas that is given back.
    """

    first: int
    second: int
    ratio: float
    credit: float


class Legs(NamedTuple):
    """What each scope holds of each underlying; rows by scope, then by underlying.

    Attributes:
        scopes, underlyings: (N,).
        deltas: (N,) net, in money.
        price_ranges: (N,) of the underlying.
        charged: (N,) scan risk, from 0.
    """

    scopes: Index
    underlyings: Index
    deltas: Float
    price_ranges: Float
    charged: Float


def commodity_credits(legs: Legs, *, pairs: Sequence[CommodityPair]) -> Float:
    """(N, pairs) what is given back to each leg because two underlyings offset each other.

    Only opposite deltas offset. A leg is given credit x price range x matched delta, and over all
    pairs no more than it is charged; what one pair has matched, no later one can match again.

    Source:
        CME Group, "SPAN methodology": inter-commodity spread credits, in order of priority; the
        price risk of a delta is taken to be its loss over the whole price range.
    """
    left, room = legs.deltas.copy(), legs.charged.copy()
    given = np.zeros((len(left), len(pairs)))
    for place, pair in enumerate(pairs):
        first, second = _rows_of(legs, pair)
        one, other = left[first], left[second]
        size = np.minimum(np.abs(one), np.abs(other) / pair.ratio)
        matched = _opposite(one, other, size)
        for rows, used in (
            (first, matched),
            (second, np.minimum(matched * pair.ratio, np.abs(other))),
        ):
            saved = np.minimum(pair.credit * legs.price_ranges[rows] * used, room[rows])
            given[rows, place] = saved
            room[rows] -= saved
            left[rows] -= np.sign(left[rows]) * used
    return given


def _opposite(one: Float, other: Float, size: Float) -> Float:
    """The size where the two are of opposite signs, else 0."""
    matched: Float = np.where(np.sign(one) * np.sign(other) < 0, size, 0.0)
    return matched


def _rows_of(legs: Legs, pair: CommodityPair) -> tuple[Index, Index]:
    """Rows of scopes that hold both underlyings, of the one and of the other."""
    one, other = (np.flatnonzero(legs.underlyings == place) for place in pair[:2])
    _, in_one, in_other = np.intersect1d(
        legs.scopes[one], legs.scopes[other], assume_unique=True, return_indices=True
    )
    return one[in_one], other[in_other]
