"""The prices at which a scope under a portfolio model would be liquidated: searched, then proven.

Equity is linear in one price. What a model requires may be anything, in whole cents: each side is
looked at on a fixed ladder of prices, and between the first two of which one is passed the point
is narrowed down. What is reported was put back into the model and into equity; where the
requirement jumps over equity no such price is there, and the place of the jump is said instead.

A stretch between two rungs on which a scope falls below its threshold and comes back is not seen.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from margin.engine.exact import exact
from margin.engine.liquidation_points import (
    AGREES_WITHIN,
    DECIMALS,
    Balance,
    LiquidationPoints,
)

# Shares of the price that are looked at, outward: to a hundredth of it, to a hundred times it.
RUNGS_DOWN: Final = "0.95 0.9 0.8 0.7 0.5 0.3 0.1 0.01"
RUNGS_UP: Final = "1.05 1.1 1.2 1.4 1.7 2.5 5 20 100"
NARROWED_MOST: Final = 60
# A bracket so much narrower than its price has a jump in it, or nothing that can be told.
NARROW: Final = Decimal("1e-10")
UNIT: Final = 10**DECIMALS


class _Seen(NamedTuple):
    """A price that was looked at."""

    price: Decimal
    balance: Balance

    @property
    def gap(self) -> Decimal:
        """What is beyond the threshold; negative where it is passed."""
        with exact():
            return self.balance.equity - self.balance.threshold

    @property
    def agrees(self) -> bool:
        """Whether equity is the threshold, within a billionth of the larger."""
        equity, threshold = self.balance
        with exact():
            return threshold > 0 and abs(self.gap) <= AGREES_WITHIN * max(abs(equity), threshold)


def searched_points(
    at: Callable[[Decimal], Balance], *, price: Decimal, now: Balance
) -> LiquidationPoints:
    """The nearest price found on either side at which equity falls to the threshold.

    Args:
        at: equity, linear in the price, and threshold at a price; all else is held.
        price: where it stands, above 0.
        now: equity and threshold as they stand.

    Cost:
        `at` is asked once for each rung up to the first that is passed, and a few times more.
    """
    here = _Seen(price, now)
    if here.gap < 0:
        return LiquidationPoints(None, None, is_reached=True)
    below, jumps_below = _nearest(at, here, RUNGS_DOWN.split())
    above, jumps_above = _nearest(at, here, RUNGS_UP.split())
    return LiquidationPoints(below, above, jumps_below=jumps_below, jumps_above=jumps_above)


def _nearest(
    at: Callable[[Decimal], Balance], here: _Seen, rungs: Iterable[str]
) -> tuple[Decimal | None, Decimal | None]:
    """The point between the first two rungs of which one is passed, or where it is jumped over."""
    near = here
    for share in map(Decimal, rungs):
        with exact():
            price = here.price * share
        far = _Seen(price, at(price))
        if far.gap < 0:
            return _narrowed(at, near, far)
        near = far
    return None, None


def _narrowed(
    at: Callable[[Decimal], Balance], kept: _Seen, passed: _Seen
) -> tuple[Decimal | None, Decimal | None]:
    """The point between a price that keeps the threshold and one that has passed it.

    Each turn looks at the chord of the gap, or at the middle where that is slow, and at where
    equity would be the threshold just seen: the requirement is flat between two of its cents.
    """
    for turn in range(NARROWED_MOST):
        if abs(passed.price - kept.price) <= NARROW * kept.price:
            break
        for target in (_middle if turn % 2 else _chord, _flat_at(kept), _flat_at(passed)):
            price = _rounded(target(kept, passed))
            if not min(kept.price, passed.price) < price < max(kept.price, passed.price):
                continue
            seen = _Seen(price, at(price))
            if seen.agrees:
                return price, None
            kept, passed = (seen, passed) if seen.gap >= 0 else (kept, seen)
    for seen in (kept, passed):
        if seen.agrees:
            return seen.price, None
    return None, passed.price


Target = Callable[[_Seen, _Seen], Fraction]


def _chord(kept: _Seen, passed: _Seen) -> Fraction:
    """Where the gap would be 0 if it were linear."""
    near, far = Fraction(kept.gap), Fraction(passed.gap)
    start = Fraction(kept.price)
    return start + (Fraction(passed.price) - start) * near / (near - far)


def _middle(kept: _Seen, passed: _Seen) -> Fraction:
    return (Fraction(kept.price) + Fraction(passed.price)) / 2


def _flat_at(seen: _Seen) -> Target:
    """Where equity is the threshold that was seen."""
    threshold = Fraction(seen.balance.threshold)

    def target(kept: _Seen, passed: _Seen) -> Fraction:
        near, far = Fraction(kept.balance.equity), Fraction(passed.balance.equity)
        if near == far:
            return _middle(kept, passed)
        start = Fraction(kept.price)
        return start + (Fraction(passed.price) - start) * (near - threshold) / (near - far)

    return target


def _rounded(root: Fraction) -> Decimal:
    return Decimal(round(root * UNIT)).scaleb(-DECIMALS)
