"""How many standard deviations a tail is worth, where returns follow a named distribution."""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, lgamma, log, pi, sqrt
from typing import Final

from scipy.special import ndtri, stdtrit

from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError


class Measure(StrEnum):
    """Which figure of the tail is required."""

    VALUE_AT_RISK = "value_at_risk"
    EXPECTED_SHORTFALL = "expected_shortfall"


class Distribution(StrEnum):
    """What one day's return is drawn from, at its standard deviation."""

    NORMAL = "normal"
    STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Deviations:
    """How far into the tail, over which horizon."""

    measure: Measure = parameter("Which figure of the tail is required")
    confidence: float = parameter(
        "Share of outcomes outside of the tail, for initial margin",
        unit="share", least=0.5, most=0.9999,
    )  # fmt: skip
    maintenance_confidence: float = parameter(
        "The same for maintenance margin, not above", unit="share", least=0.5, most=0.9999
    )
    distribution: Distribution = parameter("What returns are drawn from")
    degrees_of_freedom: float = parameter(
        "How thin the tails of the Student distribution are", least=2.1, most=1_000.0
    )
    horizon_days: float = parameter(
        "Days until positions are closed, by the square root",
        unit="days", least=0.0, most=1_000.0, is_shock=True,
    )  # fmt: skip
    multiplier: float = parameter(
        "Factor on the measure, for what a distribution does not know",
        unit="factor", least=0.0, is_shock=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_parameters(self)
        if self.maintenance_confidence > self.confidence:
            raise RejectedInputError("maintenance_confidence: above that of initial margin")

    @property
    def initial(self) -> float:
        """Standard deviations of one day that the horizon and the tail make, before multiplier."""
        return self._days(self.confidence)

    @property
    def maintenance(self) -> float:
        """The same for maintenance margin; not above initial."""
        return min(self._days(self.maintenance_confidence), self.initial)

    def _days(self, confidence: float) -> float:
        return sqrt(self.horizon_days) * tail_factor(
            confidence,
            measure=self.measure,
            distribution=self.distribution,
            degrees_of_freedom=self.degrees_of_freedom,
        )


STANDARD_DEVIATIONS: Final = Deviations(
    measure=Measure.EXPECTED_SHORTFALL,
    confidence=0.975,
    maintenance_confidence=0.95,
    distribution=Distribution.STUDENT,
    degrees_of_freedom=5.0,
    horizon_days=2.0,
    multiplier=1.0,
)


def tail_factor(
    confidence: float,
    *,
    measure: Measure,
    distribution: Distribution,
    degrees_of_freedom: float,
) -> float:
    """Standard deviations; a Student distribution is scaled to a deviation of 1.

    Args:
        confidence: from 0.5, below 1.
        degrees_of_freedom: above 2; of the Student distribution.

    Source:
        McNeil, Frey and Embrechts (2005), "Quantitative Risk Management", section 2.2.4.
    """
    tail = 1.0 - confidence
    if distribution is Distribution.NORMAL:
        border = float(ndtri(confidence))
        density = exp(-border * border / 2) / sqrt(2 * pi)
        return border if measure is Measure.VALUE_AT_RISK else density / tail
    border = float(stdtrit(degrees_of_freedom, confidence))
    scale = sqrt((degrees_of_freedom - 2) / degrees_of_freedom)
    if measure is Measure.VALUE_AT_RISK:
        return scale * border
    spread = (degrees_of_freedom + border * border) / (degrees_of_freedom - 1)
    return scale * _student_density(border, degrees_of_freedom) / tail * spread


def _student_density(place: float, degrees: float) -> float:
    logarithm = (
        lgamma((degrees + 1) / 2)
        - lgamma(degrees / 2)
        - log(degrees * pi) / 2
        - (degrees + 1) / 2 * log(1 + place * place / degrees)
    )
    return exp(logarithm)
