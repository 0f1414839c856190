"""What it adds to margin that many stand in the same place, as our own book shows it.

Three measures of one side of an instrument, each a share from 0 to 1 and charged by how far it
exceeds its threshold: the side's share of the market's open interest; the greatest share of all
liquidation points that lie within a narrow band of prices with one of that side among them; the
share of all holders who are on that side. What they come to is a rate on notional, which everybody
on the side pays as initial margin. It is no maintenance margin: what is to make liquidations rarer
must not set them off. Where nothing exceeds its threshold nothing is charged.

Axes: P holdings of one instrument.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from margin.engine.dynamic import number
from margin.engine.exact import ONE, ZERO, exact, round_up
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import FIGURES

RATE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class CrowdingPolicy:
    """When a side of an instrument is crowded, and what that costs; 0 switches a measure off.

    Raises:
        RejectedInputError: a value out of its bounds.
    """

    holders_least: int = parameter(
        "Fewer holders than that are no crowd", unit="holders", least=2, most=1_000_000
    )
    band: float = parameter("Width of a band of prices", unit="share", least=0.0001, most=0.5)
    cluster_from: float = parameter(
        "Share of liquidation points in a band that is no crowd yet",
        unit="share", least=0.0, most=0.99,
    )  # fmt: skip
    cluster_rate: float = parameter(
        "What it costs that all are in one band", unit="share of notional", least=0.0, most=1.0
    )
    herd_from: float = parameter(
        "Share of holders on one side that is no crowd yet", unit="share", least=0.0, most=0.99
    )
    herd_rate: float = parameter(
        "What it costs that all are on one side", unit="share of notional", least=0.0, most=1.0
    )
    open_interest: float = parameter(
        "Open contracts of the market; 0 where unknown", unit="contracts", least=0.0
    )
    interest_from: float = parameter(
        "Share of them that is not too much yet", unit="share", least=0.0, most=0.99
    )
    interest_rate: float = parameter(
        "What it costs that all are ours", unit="share of notional", least=0.0, most=1.0
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if not (self.cluster_rate or self.herd_rate or self.interest_rate):
            raise RejectedInputError("cluster_rate: a policy charges something")


class HoldingRow(NamedTuple):
    """One holding: signed quantity, and the price at which it would be liquidated, if any."""

    quantity: Decimal
    liquidation_price: Decimal | None


class Point(NamedTuple):
    """A liquidation point; the side is 1 for long, -1 for short."""

    price: Decimal
    side: int


class Measure(NamedTuple):
    """A share of one side, where it begins to cost, and what it costs, of notional."""

    name: str
    share: Decimal
    threshold: Decimal
    rate: Decimal


class Crowd(NamedTuple):
    """A side of an instrument: what everybody on it pays, and why.

    Attributes:
        side: 1 for those who are long, -1 for those who are short.
        rate: of notional, rounded up; the sum of those of the measures.
    """

    side: int
    rate: Decimal
    measures: tuple[Measure, ...]


def crowds(held: Sequence[HoldingRow], *, policy: CrowdingPolicy) -> list[Crowd]:
    """The crowded sides of one instrument; none where nothing exceeds its threshold.

    Args:
        held: (P,) all holdings of the book that are not 0.
    """
    if len(held) < policy.holders_least:
        return []
    found = []
    for side in (1, -1):
        measures = [m for m in _measures(held, side, policy) if m.rate]
        if measures:
            with exact():
                rate = min(ONE, sum((m.rate for m in measures), ZERO))
            found.append(Crowd(side, rate, tuple(measures)))
    return found


def greatest_cluster(points: Iterable[Point], *, side: int, band: Decimal) -> int:
    """The most points that lie in one band [p, p x (1 + band)] with one of the side among them.

    Those of the other side count too: whoever is closed first pushes the price at the others.
    """
    listed = sorted(points)
    prices = [point.price for point in listed]
    with exact():
        ends = [bisect_right(prices, price * (ONE + band)) for price in prices]
    of_side = list(accumulate((point.side == side for point in listed), initial=0))
    return max((end - n for n, end in enumerate(ends) if of_side[end] > of_side[n]), default=0)


def _measures(held: Sequence[HoldingRow], side: int, policy: CrowdingPolicy) -> Iterable[Measure]:
    mine = [row for row in held if row.quantity * side > 0]
    points = [
        Point(row.liquidation_price, 1 if row.quantity > 0 else -1)
        for row in held
        if row.liquidation_price is not None
    ]
    if len(points) >= policy.holders_least:
        cluster = greatest_cluster(points, side=side, band=number(policy.band))
        yield _charged(
            "cluster", Decimal(cluster), Decimal(len(points)), policy.cluster_from,
            policy.cluster_rate,
        )  # fmt: skip
    yield _charged(
        "herd", Decimal(len(mine)), Decimal(len(held)), policy.herd_from, policy.herd_rate
    )
    if policy.open_interest:
        with exact():
            ours = sum((abs(row.quantity) for row in mine), ZERO)
        yield _charged(
            "open_interest", ours, number(policy.open_interest), policy.interest_from,
            policy.interest_rate,
        )  # fmt: skip


def _charged(name: str, part: Decimal, whole: Decimal, threshold: float, rate: float) -> Measure:
    """rate x (share - threshold) / (1 - threshold), rounded up; nothing up to the threshold."""
    share = min(ONE, FIGURES.divide(part, whole))
    begins = number(threshold)
    with exact():
        # Compared without the division, so that exactly the threshold is not above it.
        is_above = part > begins * whole
    excess = FIGURES.divide(FIGURES.subtract(share, begins), ONE - begins) if is_above else ZERO
    cost = round_up(FIGURES.multiply(number(rate), max(ZERO, excess)), RATE_DECIMALS)
    return Measure(name, share, begins, cost)
