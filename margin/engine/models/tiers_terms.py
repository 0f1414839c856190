"""What an exchange or broker publishes of its brackets: schedules, and which one is whose.

Axes: S schedules, K brackets, I instruments.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from margin.engine.brackets import rate_schedule
from margin.engine.given import Float
from margin.engine.market import Index, Instruments, Kind
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

NO_SCHEDULE: Final = -1
LONG, SHORT = 0, 1


class InstrumentKind(StrEnum):
    """Which instruments a schedule is for; options have a rule of their own."""

    ANY = "any"
    SPOT = "spot"
    SECURITY = "security"
    PERPETUAL = "perpetual"
    FUTURE = "future"


class Side(StrEnum):
    """Which positions a schedule is for."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Bracket:
    """Rates from one size of a position on."""

    floor: float = parameter(
        "Notional from which the bracket holds; the first is 0",
        unit="settlement currency",
        least=0.0,
    )
    initial_rate: float = parameter(
        "Initial margin on what lies in the bracket",
        unit="share of notional",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    maintenance_rate: float = parameter(
        "Maintenance margin on what lies in the bracket",
        unit="share of notional",
        least=0.0,
        most=1.0,
        is_shock=True,
    )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Brackets of some instruments; the first schedule that is for a position decides."""

    brackets: tuple[Bracket, ...]
    prefix: str = parameter("How the names of its instruments begin; empty for all")
    kind: InstrumentKind = parameter("Which kind of instruments it is for")
    side: Side = parameter("Whether it is for long positions, short ones or both")
    leverage: float = parameter(
        "Positions are held with this leverage: initial margin is notional / leverage at least",
        unit="times",
        least=1.0,
    )
    expiry_days: float = parameter(
        "Futures with so many days to expiry or fewer are near it", unit="days", least=0.0
    )
    expiry_multiplier: float = parameter(
        "What the requirement of futures near expiry is multiplied by",
        unit="times",
        least=1.0,
        is_shock=True,
    )
    interest_lower: float = parameter(
        "Open interest up to which initial rates are as they stand",
        unit="settlement currency",
        least=0.0,
    )
    interest_upper: float = parameter(
        "Open interest from which all of the notional is required; 0 for never",
        unit="settlement currency",
        least=0.0,
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        floors = [bracket.floor for bracket in self.brackets]
        if not floors or floors[0] != 0 or any(low >= high for low, high in pairwise(floors)):
            raise RejectedInputError("brackets: their floors ascend from 0")
        for low, high in pairwise(self.brackets):
            rise = high.initial_rate >= low.initial_rate
            if not rise or high.maintenance_rate < low.maintenance_rate:
                raise RejectedInputError("brackets: a rate falls where the position is greater")
        if any(each.initial_rate < each.maintenance_rate for each in self.brackets):
            raise RejectedInputError("brackets: an initial rate is below the maintenance rate")
        if self.interest_upper and self.interest_lower > self.interest_upper:
            raise RejectedInputError("interest_lower: it is above interest_upper")

    def takes(self, name: str, *, kind: Kind, side: Side) -> bool:
        """Whether it is for a position of that side in that instrument."""
        return (
            name.startswith(self.prefix)
            and self.kind in (InstrumentKind.ANY, kind.name.lower())
            and self.side in (Side.BOTH, side)
        )

    def takes_all_of(self, other: "Schedule") -> bool:
        """Whether nothing is left for the other after it."""
        return (
            other.prefix.startswith(self.prefix)
            and self.kind in (InstrumentKind.ANY, other.kind)
            and self.side in (Side.BOTH, other.side)
        )


class Table(NamedTuple):
    """Schedules as arrays, padded to the longest.

    Attributes:
        floors: (S, K) ascending from 0; infinite beyond the last bracket.
        initial_rates, maintenance_rates: (S, K).
        initial_deductions, maintenance_deductions: (S, K) what makes requirements continuous.
        leverages, expiry_days, expiry_multipliers: (S,).
        interest_lowers, interest_uppers: (S,).
    """

    floors: Float
    initial_rates: Float
    maintenance_rates: Float
    initial_deductions: Float
    maintenance_deductions: Float
    leverages: Float
    expiry_days: Float
    expiry_multipliers: Float
    interest_lowers: Float
    interest_uppers: Float


def check_order(schedules: tuple[Schedule, ...]) -> None:
    """Refuse schedules of which one is never reached.

    Raises:
        RejectedInputError: naming it.
    """
    for place, later in enumerate(schedules):
        for before, earlier in enumerate(schedules[:place]):
            if earlier.takes_all_of(later):
                raise RejectedInputError(
                    f"schedules.{place}: it never applies, schedules.{before} stands before it"
                )


def schedule_places(schedules: tuple[Schedule, ...], instruments: Instruments) -> Index:
    """(I, 2) the schedule of long and of short positions in each; NO_SCHEDULE for options, and
    where none is for it."""
    places = np.full((len(instruments), 2), NO_SCHEDULE, dtype=np.intp)
    for row, (name, code) in enumerate(zip(instruments.names, instruments.kinds, strict=True)):
        for column, side in ((LONG, Side.LONG), (SHORT, Side.SHORT)):
            places[row, column] = next(
                (
                    place
                    for place, schedule in enumerate(schedules)
                    if schedule.takes(name, kind=Kind(int(code)), side=side)
                ),
                NO_SCHEDULE,
            )
    places[instruments.is_option] = NO_SCHEDULE
    return places


def table_of(schedules: tuple[Schedule, ...]) -> Table:
    """The schedules as arrays; deductions by the same rule as the exact brackets."""
    width = max((len(each.brackets) for each in schedules), default=1)
    shape = (len(schedules), width)
    floors = np.full(shape, np.inf)
    rates, deductions = np.zeros((2, *shape)), np.zeros((2, *shape))
    for row, schedule in enumerate(schedules):
        count = len(schedule.brackets)
        floors[row, :count] = [bracket.floor for bracket in schedule.brackets]
        listed = (
            [bracket.initial_rate for bracket in schedule.brackets],
            [bracket.maintenance_rate for bracket in schedule.brackets],
        )
        for level, values in enumerate(listed):
            rates[level, row, :count] = values
            deductions[level, row, :count] = _deductions(floors[row, :count].tolist(), values)
    columns = (
        np.array([getattr(each, name) for each in schedules], dtype=np.float64)
        for name in (
            "leverage",
            "expiry_days",
            "expiry_multiplier",
            "interest_lower",
            "interest_upper",
        )
    )
    return Table(floors, rates[0], rates[1], deductions[0], deductions[1], *columns)


def _deductions(floors: list[float], rates: list[float]) -> list[float]:
    exact = rate_schedule(
        floors=[Decimal(repr(floor)) for floor in floors],
        rates=[Decimal(repr(rate)) for rate in rates],
    )
    return [float(deduction) for deduction in exact.deductions]
