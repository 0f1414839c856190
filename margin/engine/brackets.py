"""Brackets: rates that rise with the size of a position, without a jump at a floor."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from margin.engine.exact import ZERO, Exact, Index, column, exact


class BracketError(ValueError):
    """A schedule that is none; `rule` names what it breaks."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class RateSchedule:
    """One rate per bracket of notional; K brackets.

    Attributes:
        floors: (K,) notional from which a bracket holds, ascending from 0.
        rates: (K,) share of notional required.
        deductions: (K,) what makes the requirement continuous at each floor.
    """

    floors: tuple[Decimal, ...]
    rates: tuple[Decimal, ...]
    deductions: tuple[Decimal, ...]


class BracketRequirement(NamedTuple):
    """What a schedule requires.

    Attributes:
        amount: (N,) required, in the currency of the notional.
        bracket: (N,) index of the bracket that decided, from 0.
    """

    amount: Exact
    bracket: Index


def rate_schedule(*, floors: Sequence[Decimal], rates: Sequence[Decimal]) -> RateSchedule:
    """The schedule of such brackets, with its deductions.

    d_0 = 0 and d_k = d_(k-1) + floor_k x (rate_k - rate_(k-1)): a floor is charged the same by
    the bracket below it and the one above.

    Raises:
        BracketError: `brackets_ascend_from_zero` or `rate_is_not_negative`.

    Source:
        House rules v1, requirements of perpetuals; exchanges publish the deduction as
        "maintenance amount".
    """
    if len(floors) != len(rates) or not floors or floors[0] != 0:
        raise BracketError("brackets_ascend_from_zero", "the first floor is 0")
    if any(low >= high for low, high in pairwise(floors)):
        raise BracketError("brackets_ascend_from_zero", "each floor is above the one before")
    if any(rate < 0 for rate in rates):
        raise BracketError("rate_is_not_negative", "a requirement is not below 0")
    deductions = [ZERO]
    with exact():
        for k in range(1, len(floors)):
            deductions.append(deductions[-1] + floors[k] * (rates[k] - rates[k - 1]))
    return RateSchedule(tuple(floors), tuple(rates), tuple(deductions))


def bracket_requirement(notional: Exact, schedule: RateSchedule) -> BracketRequirement:
    """What the last bracket whose floor is reached requires: notional x rate - deduction.

    Args:
        notional: (N,) size of each position, not negative.
    """
    floors = column(schedule.floors)
    bracket: Index = np.searchsorted(floors, notional, side="right") - 1
    rates, deductions = column(schedule.rates), column(schedule.deductions)
    with exact():
        return BracketRequirement(notional * rates[bracket] - deductions[bracket], bracket)


def one_bracket_requirement(notional: Decimal, schedule: RateSchedule) -> Decimal:
    """`bracket_requirement` of a single position; called inside `exact()`."""
    k = bisect_right(schedule.floors, notional) - 1
    return notional * schedule.rates[k] - schedule.deductions[k]
