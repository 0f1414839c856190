"""The prices at which a scope would be liquidated: the nearest below and above, proven.

Equity and requirement are piecewise linear in one price; between the prices where a rule bends
the point is found in closed form. Each is put back into the rules before it is reported.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple

from margin.engine.exact import ZERO, exact

# Digits behind the point of what is reported; the check below decides whether they suffice.
DECIMALS: Final = 18
STEP: Final = Decimal(1).scaleb(-DECIMALS)
AGREES_WITHIN: Final = Decimal("1e-9")


class Balance(NamedTuple):
    """What a scope has and what it must not fall below, at one price."""

    equity: Decimal
    threshold: Decimal


class LiquidationPoints(NamedTuple):
    """The nearest prices at which equity is the threshold.

    Attributes:
        below, above: None where the price may fall, or rise, for ever.
        is_reached: the scope is below its threshold already; then neither is given.
        jumps_below, jumps_above: where there is no such price, since the threshold jumps over
            equity: the first price at which it is passed.
    """

    below: Decimal | None
    above: Decimal | None
    is_reached: bool = False
    jumps_below: Decimal | None = None
    jumps_above: Decimal | None = None


def liquidation_points(
    at: Callable[[Decimal], Balance], *, price: Decimal, bends: Iterable[Decimal]
) -> LiquidationPoints:
    """The nearest price on either side at which equity falls to the threshold.

    Args:
        at: equity and threshold at a price, linear between two bends; all else is held.
        price: where it stands, above 0.
        bends: prices at which a rule bends, in any order; where one jumps, both sides of it.
    """
    if _gap(at, price) < 0:
        return LiquidationPoints(None, None, is_reached=True)
    nodes = sorted({bend for bend in bends if bend > 0})
    down = [price, *reversed([bend for bend in nodes if bend < price]), ZERO]
    up = [price, *[bend for bend in nodes if bend > price]]
    with exact():
        # Beyond the last bend everything is linear for ever: any further price shows its slope.
        up.append(up[-1] * 2)
    return LiquidationPoints(
        below=_first(at, down, endless=False), above=_first(at, up, endless=True)
    )


def _first(
    at: Callable[[Decimal], Balance], nodes: Sequence[Decimal], *, endless: bool
) -> Decimal | None:
    """The first point along the nodes, beyond the last of them too where it goes on for ever."""
    for place, (near, far) in enumerate(pairwise(nodes)):
        here, there = Fraction(_gap(at, near)), Fraction(_gap(at, far))
        goes_on = endless and place == len(nodes) - 2
        if there < 0 and abs(far - near) <= STEP:
            # A rule jumps between them: the first price behind the jump is where it happens.
            return far if far > 0 and at(far).threshold > 0 else None
        if there < 0 or (goes_on and there < here):
            root = Fraction(near) + (Fraction(far) - Fraction(near)) * here / (here - there)
            return _proven(at, root)
    return None


def _proven(at: Callable[[Decimal], Balance], root: Fraction) -> Decimal | None:
    """The point in decimals, if putting it back gives what it should."""
    unit = 10**DECIMALS
    price = Decimal(round(root * unit)).scaleb(-DECIMALS)
    if price <= 0:
        return None
    balance = at(price)
    with exact():
        larger = max(abs(balance.equity), abs(balance.threshold))
        holds = abs(balance.equity - balance.threshold) <= AGREES_WITHIN * larger
    return price if holds and balance.threshold > 0 else None


def _gap(at: Callable[[Decimal], Balance], price: Decimal) -> Decimal:
    balance = at(price)
    with exact():
        return balance.equity - balance.threshold
