"""Past days as scenarios, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from margin.engine.history import (
    Filtering,
    History,
    Scaling,
    recent_scenarios,
    stressed_scenarios,
    volatility_ratios,
)
from margin.engine.rejected import RejectedInputError

AS_SEEN = History(
    lookback_days=3,
    filtering=Filtering.NONE,
    volatility_decay=0.9,
    ratio_most=10.0,
    horizon_days=1,
    scaling=Scaling.SQUARE_ROOT,
    age_decay=1.0,
)
RETURNS = np.array([[0.5], [-0.1], [0.2], [-0.5]])


def test_the_newest_days_are_looked_back_on() -> None:
    scenarios = recent_scenarios(RETURNS, history=AS_SEEN)
    assert scenarios.names == ("Day 3", "Day 2", "Day 1")
    np.testing.assert_allclose(scenarios.moves[:, 0], [0.9, 1.2, 0.5], rtol=1e-15)


def test_four_days_by_the_square_root_are_twice_the_compounded_return() -> None:
    history = replace(AS_SEEN, horizon_days=4)
    moves = recent_scenarios(RETURNS, history=history).moves[:, 0]
    np.testing.assert_allclose(moves, [0.81, 1.44, 0.25], rtol=1e-14)


def test_overlapping_days_are_compounded_in_a_row() -> None:
    history = replace(AS_SEEN, horizon_days=2, scaling=Scaling.OVERLAPPING)
    scenarios = recent_scenarios(RETURNS, history=history)
    assert scenarios.names == ("Days 3 to 2", "Days 2 to 1")
    np.testing.assert_allclose(scenarios.moves[:, 0], [0.9 * 1.2, 1.2 * 0.5], rtol=1e-14)
    single = replace(history, horizon_days=1)
    as_root = recent_scenarios(RETURNS, history=AS_SEEN)
    assert recent_scenarios(RETURNS, history=single).names == as_root.names


def test_a_stressed_stretch_is_taken_as_it_was() -> None:
    history = replace(AS_SEEN, filtering=Filtering.VOLATILITY)
    scenarios = stressed_scenarios(RETURNS, history=history, oldest_day=4, newest_day=3)
    assert scenarios.names == ("Stressed day 4", "Stressed day 3")
    np.testing.assert_allclose(scenarios.moves[:, 0], [1.5, 0.9], rtol=1e-15)


def test_volatility_ratios_by_hand() -> None:
    """Squares 1, 9, 4, 2: mean 4; halves are (4 + 1)/2, (2.5 + 9)/2, (5.75 + 4)/2, ..."""
    days = np.array([[1.0], [-3.0], [2.0], [-np.sqrt(2.0)]])
    expected = np.array([4.0, 2.5, 5.75, 4.875])
    today = (4.875 + 2.0) / 2
    ratios = volatility_ratios(days, decay=0.5, most=100.0)
    np.testing.assert_allclose(ratios[:, 0], np.sqrt(today / expected), rtol=1e-14)
    capped = volatility_ratios(days, decay=0.5, most=1.0)
    np.testing.assert_allclose(capped[:, 0], np.minimum(np.sqrt(today / expected), 1.0), rtol=1e-14)


def test_variance_that_never_changes_scales_nothing() -> None:
    days = np.array([[1.0], [-3.0], [2.0]])
    assert volatility_ratios(days, decay=1.0, most=5.0).tolist() == [[1.0]] * 3


def test_days_without_movement_are_left_as_they_are() -> None:
    still = volatility_ratios(np.zeros((3, 1)), decay=0.5, most=5.0)
    assert still.tolist() == [[1.0]] * 3
    # With no weight on the past, nothing was expected after a day at rest.
    days = np.array([[1.0], [0.0], [2.0], [1.0]])
    ratios = volatility_ratios(days, decay=0.0, most=5.0)
    np.testing.assert_allclose(ratios[:, 0], [1 / np.sqrt(1.5), 1.0, 1.0, 0.5], rtol=1e-14)


def test_a_move_after_days_at_rest_is_scaled_so_many_times_at_most() -> None:
    days = np.zeros((3_000, 1))
    days[0], days[-1] = 1.0, 1.0
    ratios = volatility_ratios(days, decay=0.9, most=4.0)
    assert ratios[-1, 0] == 4.0
    assert np.isfinite(ratios).all()


@pytest.mark.parametrize(
    "change",
    [
        {"lookback_days": 5},
        {"lookback_days": 1},
        {"horizon_days": 0},
        {"horizon_days": 3, "scaling": Scaling.OVERLAPPING},
        {"age_decay": 0.0},
        {"volatility_decay": 1.01},
    ],
)
def test_what_is_no_history_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RejectedInputError):
        recent_scenarios(RETURNS, history=replace(AS_SEEN, **change))  # type: ignore[arg-type]


def test_a_stretch_before_the_days_known_or_too_short_is_refused() -> None:
    with pytest.raises(RejectedInputError):
        stressed_scenarios(RETURNS, history=AS_SEEN, oldest_day=5, newest_day=1)
    joined = replace(AS_SEEN, horizon_days=2, scaling=Scaling.OVERLAPPING)
    with pytest.raises(RejectedInputError):
        stressed_scenarios(RETURNS, history=joined, oldest_day=2, newest_day=2)
