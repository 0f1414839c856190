"""Weights of ranks: the same figures as both conventions, and a shortfall that is coherent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.tails import (
    QuantileConvention,
    ShortfallConvention,
    aged_quantile,
    aged_tail,
    aged_weights,
    measured,
    quantile_weights,
    shortfall_weights,
    worst_first,
)
from margin.engine.value_at_risk import order_statistic_tail, percentile_tail

LOSSES = np.array([10.0, 8.0, 8.0, 3.0, 0.0, -1.0, -2.0, -4.0, -5.0, -9.0])
histories = arrays(np.float64, st.integers(1, 40), elements=st.integers(-1000, 1000))
levels = st.floats(0.5, 0.9999)


def quantile(losses: np.ndarray, confidence: float, convention: QuantileConvention) -> float:
    weights = quantile_weights(len(losses), confidence=confidence, convention=convention)
    return float(measured(worst_first(losses[None], ranks=len(weights)), weights=weights[None])[0])


def shortfall(losses: np.ndarray, confidence: float, convention: ShortfallConvention) -> float:
    weights = shortfall_weights(len(losses), confidence=confidence, convention=convention)
    return float(measured(worst_first(losses[None], ranks=len(weights)), weights=weights[None])[0])


@pytest.mark.parametrize(
    ("confidence", "border", "percentile", "mean", "counted"),
    [
        # 1 of 10 days; the percentile lies 0.9 of the way from the worst to the second.
        (0.9, 10, 8.2, 10, 10),
        # 2 days; 1.8 places on, between 8 and 8; two are counted.
        (0.8, 8, 8, 9, 9),
        # 2.5 days: the third by half. 2.25 places on: 8 less a quarter of 5. Three are counted.
        (0.75, 8, 6.75, (10 + 8 + 4) / 2.5, 26 / 3),
        # 5 days; half way from the fifth to the sixth.
        (0.5, 0, -0.5, 5.8, 5.8),
    ],
)
def test_measures_of_ten_days_by_hand(
    confidence: float, border: float, percentile: float, mean: float, counted: float
) -> None:
    assert quantile(LOSSES, confidence, QuantileConvention.ORDER_STATISTIC) == border
    found = quantile(LOSSES, confidence, QuantileConvention.LINEAR_PERCENTILE)
    assert found == pytest.approx(percentile, rel=1e-12)
    assert shortfall(LOSSES, confidence, ShortfallConvention.TAIL_MEAN) == pytest.approx(mean)
    found = shortfall(LOSSES, confidence, ShortfallConvention.LINEAR_PERCENTILE)
    assert found == pytest.approx(counted)


@given(histories, levels)
def test_ranks_give_what_the_conventions_give(losses: np.ndarray, confidence: float) -> None:
    ordered = order_statistic_tail(-losses, confidence=confidence)
    found = quantile(losses, confidence, QuantileConvention.ORDER_STATISTIC)
    assert found == float(ordered.value_at_risk)
    linear = percentile_tail(-losses, cutoff=1 - confidence)
    found = quantile(losses, confidence, QuantileConvention.LINEAR_PERCENTILE)
    assert found == pytest.approx(-float(linear.value_at_risk), rel=1e-9, abs=1e-6)
    found = shortfall(losses, confidence, ShortfallConvention.LINEAR_PERCENTILE)
    assert found == pytest.approx(-float(linear.expected_shortfall), rel=1e-9, abs=1e-6)


@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)),
    levels,
    st.sampled_from([*QuantileConvention]),
    st.sampled_from([*ShortfallConvention]),
)
def test_a_shortfall_is_never_below_value_at_risk_by_any_conventions(
    losses: np.ndarray,
    confidence: float,
    border: QuantileConvention,
    tail: ShortfallConvention,
) -> None:
    value, mean = quantile(losses, confidence, border), shortfall(losses, confidence, tail)
    assert mean >= value - 1e-9 * max(abs(value), 1.0)
    if (border is QuantileConvention.LINEAR_PERCENTILE) == (
        tail is ShortfallConvention.LINEAR_PERCENTILE
    ):
        assert mean >= value


@given(
    st.integers(1, 30).flatmap(
        lambda days: arrays(np.float64, (2, days), elements=st.integers(-5, 5))
    ),
    levels,
    st.sampled_from([*ShortfallConvention]),
)
def test_a_shortfall_is_sub_additive_with_ties_too(
    losses: np.ndarray, confidence: float, tail: ShortfallConvention
) -> None:
    apart = sum(shortfall(one, confidence, tail) for one in losses)
    assert shortfall(losses.sum(axis=0), confidence, tail) <= apart + 1e-9


def test_the_mean_of_losses_beyond_a_border_is_not_sub_additive() -> None:
    """Three of four days: 2 and 1 are beyond 0 in each, together only 4 is beyond 1."""
    one, other = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 2.0])
    apart, beside, together = (
        float(order_statistic_tail(-losses, confidence=0.25).expected_shortfall)
        for losses in (one, other, one + other)
    )
    assert (apart, beside, together) == (1.5, 1.5, 4.0)


def test_days_weigh_less_the_older_they_are() -> None:
    assert aged_weights(3, decay=0.5).tolist() == [1 / 7, 2 / 7, 4 / 7]
    assert aged_weights(4, decay=1.0).tolist() == [0.25] * 4


def test_a_tail_of_days_that_weigh_by_age() -> None:
    """Losses 9 (weight 0.1), 5 (0.3), 2 (0.6): the worst fifth is all of 9 and a third of 5."""
    ordered = np.array([[0.1, 0.3, 0.6]])
    assert aged_quantile(ordered, confidence=0.9).tolist() == [0]
    assert aged_quantile(ordered, confidence=0.8).tolist() == [1]
    assert aged_quantile(ordered, confidence=0.6).tolist() == [1]
    assert aged_quantile(ordered, confidence=0.5).tolist() == [2]
    np.testing.assert_allclose(aged_tail(ordered, confidence=0.8), [[0.5, 0.5, 0.0]], atol=1e-12)
    mean = measured(np.array([[9.0, 5.0, 2.0]]), weights=aged_tail(ordered, confidence=0.8))
    assert float(mean[0]) == pytest.approx(7.0, rel=1e-12)


@given(histories, levels)
def test_days_that_all_weigh_alike_are_ranks(losses: np.ndarray, confidence: float) -> None:
    worst = np.sort(losses)[::-1][None]
    ordered = aged_weights(len(losses), decay=1.0)[None]
    at = int(aged_quantile(ordered, confidence=confidence)[0])
    assert worst[0, at] == quantile(losses, confidence, QuantileConvention.ORDER_STATISTIC)
    mean = measured(worst, weights=aged_tail(ordered, confidence=confidence))
    expected = shortfall(losses, confidence, ShortfallConvention.TAIL_MEAN)
    assert float(mean[0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)
