"""Two conventions of value at risk: by hand, and a shortfall that is never the better figure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.rejected import RejectedInputError
from margin.engine.value_at_risk import order_statistic_tail, percentile_tail

YEAR = [-10.0, -8.0, -8.0, -3.0, 0.0, 1.0, 2.0, 4.0, 5.0, 9.0]
histories = arrays(np.float64, st.tuples(st.integers(1, 40)), elements=st.floats(-1e6, 1e6))


@pytest.mark.parametrize(
    ("cutoff", "value", "shortfall"),
    [(0.0, -10, -10), (0.1, -8.2, -10), (0.25, -6.75, -26 / 3), (0.5, 0.5, -5.8), (1.0, 9, -0.8)],
)
def test_a_percentile_lies_between_two_returns(
    cutoff: float, value: float, shortfall: float
) -> None:
    tail = percentile_tail(YEAR, cutoff=cutoff)
    assert float(tail.value_at_risk) == pytest.approx(value)
    assert float(tail.expected_shortfall) == pytest.approx(shortfall)


@pytest.mark.parametrize(
    ("confidence", "loss", "shortfall"),
    [
        (0.99, 10, 10),  # less than one day in ten: the worst day
        (0.9, 10, 10),  # no day is worse
        (0.8, 8, 10),
        (0.7, 8, 10),  # the third worst loses as much as the second: one day is worse
        (0.65, 3, 26 / 3),  # the third and a half: the fourth
        (0.6, 3, 26 / 3),
        (0.0, -9, 17 / 9),  # all days but the best
    ],
)
def test_an_order_statistic_is_one_of_the_losses(
    confidence: float, loss: float, shortfall: float
) -> None:
    tail = order_statistic_tail(YEAR, confidence=confidence)
    assert float(tail.value_at_risk) == loss
    assert float(tail.expected_shortfall) == pytest.approx(shortfall)


def test_a_share_of_days_that_floats_miss_is_still_whole() -> None:
    """30 x (1 - 0.9) is a little less than 3 in floats, 100 x 0.29 a little less than 29."""
    losses = [-float(day) for day in range(30)]
    assert float(order_statistic_tail(losses, confidence=0.9).value_at_risk) == 27.0
    returns = [float(day) for day in range(101)]
    tail = percentile_tail(returns, cutoff=0.29)
    assert float(tail.expected_shortfall) == np.mean(returns[:30])


@given(histories, st.floats(0, 1))
def test_the_mean_of_the_tail_is_no_better_return_than_its_border(
    returns: np.ndarray, cutoff: float
) -> None:
    tail = percentile_tail(returns, cutoff=cutoff)
    assert tail.expected_shortfall <= tail.value_at_risk
    assert float(tail.value_at_risk) == np.percentile(returns, 100 * cutoff) or np.isclose(
        float(tail.value_at_risk), np.percentile(returns, 100 * cutoff), rtol=1e-9, atol=1e-6
    )


@given(histories, st.floats(0, 0.999))
def test_the_shortfall_is_no_smaller_loss_than_the_value_at_risk(
    returns: np.ndarray, confidence: float
) -> None:
    tail = order_statistic_tail(returns, confidence=confidence)
    assert tail.expected_shortfall >= tail.value_at_risk
    assert float(-tail.value_at_risk) in returns.tolist()


@given(arrays(np.float64, (7, 3), elements=st.floats(-1e6, 1e6)), st.floats(0.01, 0.99))
def test_many_histories_are_the_same_as_one_at_a_time(returns: np.ndarray, level: float) -> None:
    both = percentile_tail(returns, cutoff=level), order_statistic_tail(returns, confidence=level)
    for column in range(3):
        one = percentile_tail(returns[:, column], cutoff=level)
        other = order_statistic_tail(returns[:, column], confidence=level)
        for batch, single in zip(both, (one, other), strict=True):
            assert batch.value_at_risk[column] == single.value_at_risk
            np.testing.assert_allclose(
                batch.expected_shortfall[column], single.expected_shortfall, rtol=1e-12, atol=1e-9
            )


def test_value_at_risk_is_not_sub_additive() -> None:
    """Two bonds that default in different years are worse together than each alone."""
    one, other = np.zeros(20), np.zeros(20)
    one[3], other[7] = -100.0, -100.0
    alone = [order_statistic_tail(each, confidence=0.9).value_at_risk for each in (one, other)]
    together = order_statistic_tail(one + other, confidence=0.9).value_at_risk
    assert float(together) == 100.0 > float(sum(alone)) == 0.0


def test_what_is_no_history_is_refused() -> None:
    for returns in ([], [np.nan], [[[1.0]]], 1.0):
        with pytest.raises(RejectedInputError):
            percentile_tail(returns, cutoff=0.1)
    for level in (-0.1, 1.1, np.nan):
        with pytest.raises(RejectedInputError):
            percentile_tail(YEAR, cutoff=level)
        with pytest.raises(RejectedInputError):
            order_statistic_tail(YEAR, confidence=level)
    with pytest.raises(RejectedInputError):
        order_statistic_tail(YEAR, confidence=1.0)
