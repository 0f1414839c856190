"""Parameters of value at risk and expected shortfall of past days."""

from dataclasses import dataclass
from enum import StrEnum

from margin.engine.history import History
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError
from margin.engine.tails import QuantileConvention, ShortfallConvention


class Combination(StrEnum):
    """How the stressed stretch counts."""

    NONE = "none"
    MAX = "max"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class Stress:
    """A stretch of days that is measured beside the newest ones."""

    combination: Combination = parameter("How the stressed stretch counts")
    oldest_day: int = parameter(
        "First day of the stretch, counted back from the newest day, which is 1",
        unit="days", least=1, most=100_000,
    )  # fmt: skip
    newest_day: int = parameter(
        "Last day of the stretch, counted alike", unit="days", least=1, most=100_000
    )
    weight: float = parameter(
        "Share of the stressed measure where both count", unit="share", least=0.0, most=1.0
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if self.newest_day > self.oldest_day:
            raise RejectedInputError("oldest_day: the stretch ends before it begins")


@dataclass(frozen=True, slots=True)
class TailParameters:
    """What value at risk and expected shortfall have in common."""

    confidence: float = parameter(
        "Share of days outside of the tail, for initial margin",
        unit="share", least=0.5, most=0.9999,
    )  # fmt: skip
    maintenance_confidence: float = parameter(
        "The same for maintenance margin, not above", unit="share", least=0.5, most=0.9999
    )
    multiplier: float = parameter(
        "Factor on the measure, for what history does not show",
        unit="factor", least=0.0, is_shock=True,
    )  # fmt: skip
    history: History = parameter("Which days")
    stress: Stress = parameter("Which stressed days")

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class ValueAtRiskParameters(TailParameters):
    """Value at risk; percentiles between two days are not defined where days weigh by age."""

    convention: QuantileConvention = parameter("Which loss is value at risk")

    def __post_init__(self) -> None:
        _check(self)
        aged = self.history.age_decay < 1
        if aged and self.convention is QuantileConvention.LINEAR_PERCENTILE:
            raise RejectedInputError("convention: days that weigh by age need order_statistic")


@dataclass(frozen=True, slots=True)
class ExpectedShortfallParameters(TailParameters):
    """Expected shortfall; tails counted in days are not defined where days weigh by age."""

    convention: ShortfallConvention = parameter("Which losses are the tail")

    def __post_init__(self) -> None:
        _check(self)
        aged = self.history.age_decay < 1
        if aged and self.convention is ShortfallConvention.LINEAR_PERCENTILE:
            raise RejectedInputError("convention: days that weigh by age need tail_mean")


def _check(parameters: TailParameters) -> None:
    check_parameters(parameters)
    if parameters.maintenance_confidence > parameters.confidence:
        raise RejectedInputError("maintenance_confidence: above that of initial margin")
