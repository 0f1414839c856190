"""How many standard deviations a tail is worth: the figures of the textbook."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import stdtrit

from margin.engine.rejected import RejectedInputError
from margin.engine.slow import statistics as slow
from margin.engine.tail_factors import Deviations, Distribution, Measure, tail_factor

STANDARD = Deviations(
    measure=Measure.VALUE_AT_RISK,
    confidence=0.99,
    maintenance_confidence=0.95,
    distribution=Distribution.NORMAL,
    degrees_of_freedom=4.0,
    horizon_days=1.0,
    multiplier=1.0,
)


@pytest.mark.parametrize(
    ("measure", "distribution", "figures"),
    [
        (Measure.VALUE_AT_RISK, Distribution.NORMAL, [162.1, 208.1, 247.9, 294.3, 325.8]),
        (Measure.VALUE_AT_RISK, Distribution.STUDENT, [137.1, 190.7, 248.3, 335.1, 411.8]),
        (Measure.EXPECTED_SHORTFALL, Distribution.NORMAL, [222.0, 260.9, 295.7, 337.1, 365.8]),
    ],
)
def test_the_table_of_the_textbook(
    measure: Measure, distribution: Distribution, figures: list[float]
) -> None:
    """10 000 at a volatility of 20 % over a day of 250; four degrees of freedom."""
    deviation = 10_000 * 0.2 / 250**0.5
    found = [
        deviation
        * tail_factor(level, measure=measure, distribution=distribution, degrees_of_freedom=4.0)
        for level in (0.90, 0.95, 0.975, 0.99, 0.995)
    ]
    assert found == pytest.approx(figures, abs=0.06)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.975, 0.99])
def test_a_shortfall_is_the_mean_of_all_borders_beyond(confidence: float) -> None:
    borders, _error = quad(lambda level: stdtrit(4.0, level), confidence, 1.0)
    found = tail_factor(
        confidence,
        measure=Measure.EXPECTED_SHORTFALL,
        distribution=Distribution.STUDENT,
        degrees_of_freedom=4.0,
    )
    assert found == pytest.approx(0.5**0.5 * borders / (1 - confidence), rel=1e-6)


@given(
    st.floats(0.5, 0.999),
    st.floats(2.1, 100.0),
    st.sampled_from([*Measure]),
    st.sampled_from([*Distribution]),
)
@settings(max_examples=50, deadline=None)
def test_the_slow_figure_agrees(
    confidence: float, degrees: float, measure: Measure, distribution: Distribution
) -> None:
    parameters = replace(
        STANDARD, measure=measure, distribution=distribution, degrees_of_freedom=degrees,
        confidence=confidence, maintenance_confidence=0.5, horizon_days=3.0,
    )  # fmt: skip
    assert parameters.initial == pytest.approx(slow.deviations(parameters, confidence), abs=1e-7)
    assert 0.0 <= parameters.maintenance <= parameters.initial


@given(st.floats(0.5, 0.9999), st.floats(2.1, 500.0), st.sampled_from([*Distribution]))
def test_a_shortfall_lies_beyond_its_border(
    confidence: float, degrees: float, distribution: Distribution
) -> None:
    border, mean = (
        tail_factor(confidence, measure=each, distribution=distribution, degrees_of_freedom=degrees)
        for each in (Measure.VALUE_AT_RISK, Measure.EXPECTED_SHORTFALL)
    )
    assert 0.0 <= border < mean


def test_a_horizon_counts_by_its_square_root() -> None:
    assert replace(STANDARD, horizon_days=9.0).initial == pytest.approx(3 * STANDARD.initial)


def test_maintenance_further_into_the_tail_is_refused() -> None:
    with pytest.raises(RejectedInputError):
        replace(STANDARD, maintenance_confidence=0.995)
