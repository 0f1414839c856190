"""Scan risk: the largest loss of a portfolio over the sixteen scenarios of its risk arrays."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.exact import ZERO, Index, exact
from margin.engine.given import Float, finite
from margin.engine.rejected import RejectedInputError

SCENARIOS: Final = 16


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
