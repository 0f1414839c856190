"""Scenarios: what they do to forwards, volatilities and discounts, computed by hand."""

import math

import numpy as np
import pytest

from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_grid import (
    DiscountTerms,
    Scenario,
    SkewCap,
    SkewTerms,
    VolatilityShock,
    VolatilityTerms,
    scenario_grid,
    shocked_forwards,
    shocked_volatility,
    skew_multipliers,
    static_discounts,
    term_multipliers,
)
from margin.engine.scenario_market import Expiries, Options

DAY = 86_400.0
TERMS = VolatilityTerms(
    range_up=0.5, range_down=0.25, least_after_up=0.6, short_power=0.5, long_power=1,
    days_floor=1.875,
)  # fmt: skip


def expiries(*seconds: float, forward: float = 100, rate: float = 0) -> Expiries:
    ones = np.ones(len(seconds))
    return Expiries(
        seconds=np.array(seconds), forwards=forward * ones, rates=rate * ones,
        forward_confidences=ones, rate_confidences=ones, volatility_confidences=ones,
    )  # fmt: skip


def skew_terms(**fields: float) -> SkewTerms:
    width = {"least_width": 0.01, "width_scale": 2.0, "width_volatility": 0.5, "width_slope": 0.25}
    return SkewTerms(linear=SkewCap(0.2, -0.1), absolute=SkewCap(0.1, 0), **(width | fields))


def test_near_volatilities_move_more_than_far_ones() -> None:
    days = (30, 7.5, 1.875, 0.1, 60)
    moves = term_multipliers(expiries(*(day * DAY for day in days)), terms=TERMS)
    assert moves.up.tolist() == [1.5, 2, 3, 3, 1.25]
    assert moves.down.tolist() == [0.75, 0.5, 0, 0, 0.875]


def test_a_volatility_falls_to_nothing_but_not_below() -> None:
    terms = VolatilityTerms(
        range_up=0, range_down=2, least_after_up=0, short_power=1, long_power=1, days_floor=1
    )
    assert term_multipliers(expiries(30 * DAY), terms=terms).down.tolist() == [0]


def test_volatilities_rise_at_least_to_a_floor_and_only_when_they_rise() -> None:
    options = Options(
        expiries=np.array([0, 0]), strikes=np.array([100.0, 100.0]),
        is_call=np.array([True, False]), volatilities=np.array([0.25, 1.0]),
    )  # fmt: skip
    moved = shocked_volatility(
        options, expiries=expiries(30 * DAY), terms=TERMS, skew=skew_terms()
    ).by_shock
    assert moved[VolatilityShock.NONE].tolist() == [0.25, 1]
    assert moved[VolatilityShock.UP].tolist() == [0.6, 1.5]
    assert moved[VolatilityShock.DOWN].tolist() == [0.1875, 0.75]
    assert moved[VolatilityShock.LINEAR_SKEW].tolist() == [0.25, 1]


def test_a_smile_tilts_in_proportion_up_to_its_width() -> None:
    """One year: cap 0.2 - 0.1 = 0.1, width 2 x (0.5 + 0.25) = 1.5."""
    moneyness = np.array([0.0, 0.75, 1.5, 9, -0.75, -1.5, -9])
    answer = skew_multipliers(
        moneyness, years=np.ones(7), cap=SkewCap(0.2, -0.1), terms=skew_terms()
    )
    assert answer.tolist() == pytest.approx([1, 1.05, 1.1, 1.1, 0.95, 0.9, 0.9], rel=1e-15)


def test_a_smile_never_tilts_below_nothing() -> None:
    steep = skew_multipliers(
        np.array([-9.0, 9.0]), years=np.ones(2), cap=SkewCap(3, 0), terms=skew_terms()
    )
    assert steep.tolist() == [0, 4]


def test_a_cap_below_zero_turns_the_tilt_round() -> None:
    answer = skew_multipliers(
        np.array([0.75, -0.75]), years=np.ones(2), cap=SkewCap(-0.1, 0), terms=skew_terms()
    )
    assert answer.tolist() == pytest.approx([0.9, 1.1], rel=1e-15)


def test_a_smile_without_width_is_at_its_cap_beside_the_forward() -> None:
    answer = skew_multipliers(
        np.array([-0.5, 0, 0.5]), years=np.zeros(3), cap=SkewCap(0.1, 0),
        terms=skew_terms(least_width=0),
    )  # fmt: skip
    assert answer.tolist() == pytest.approx([0.9, 1, 1.1], rel=1e-15)


def test_a_width_of_next_to_nothing_tilts_to_the_cap_and_without_a_cap_not_at_all() -> None:
    terms = skew_terms(least_width=5e-324, width_scale=0.0)
    for cap, tilted in ((0.1, [0.9, 1.0, 1.1]), (0.0, [1.0, 1.0, 1.0])):
        multipliers = skew_multipliers(
            np.array([-0.5, 0, 0.5]), years=np.ones(3), cap=SkewCap(cap, 0.0), terms=terms
        )
        assert multipliers.tolist() == tilted


def test_a_capped_linear_skew_goes_no_further_than_an_absolute_one() -> None:
    options = Options(
        expiries=np.array([0, 0]), strikes=100 * np.exp([-9.0, 9.0]),
        is_call=np.array([True, True]), volatilities=np.ones(2),
    )  # fmt: skip
    moved = shocked_volatility(
        options, expiries=expiries(365 * DAY), terms=TERMS, skew=skew_terms()
    ).by_shock
    assert moved[VolatilityShock.ABSOLUTE_SKEW].tolist() == pytest.approx([1.1, 1.1])
    assert moved[VolatilityShock.CAPPED_LINEAR_SKEW].tolist() == pytest.approx([0.9, 1.1])


def test_what_has_settled_of_a_forward_moves_no_more() -> None:
    forwards = shocked_forwards(np.array([1.5, 0.5]), expiries=expiries(1_800, 900, 0))
    assert forwards.tolist() == [[150, 125, 100], [50, 75, 100]]


def test_assets_are_cut_and_debts_raised_no_further_than_undiscounted() -> None:
    terms = DiscountTerms(
        long_base=0.9, short_base=1.1, long_rate_scale=2, long_rate_add=0.1,
        short_rate_scale=0.5, short_rate_add=0.05,
    )  # fmt: skip
    year = static_discounts(expiries(365 * DAY, rate=0.3), terms=terms)
    assert year.long.tolist() == pytest.approx([0.9 * math.exp(-0.7)], rel=1e-15)
    assert year.short.tolist() == pytest.approx([1.1 * math.exp(0.2)], rel=1e-15)
    assert year.of(np.array([10.0, 0, -10]), expiry=0).tolist() == pytest.approx(
        [9 * math.exp(-0.7), 0, -11 * math.exp(0.2)], rel=1e-15
    )
    negative = static_discounts(expiries(365 * DAY, rate=-0.3), terms=terms)
    assert negative.long.tolist() == pytest.approx([0.9 * math.exp(-0.1)], rel=1e-15)
    assert negative.short.tolist() == [1]


def test_scenarios_are_regular_or_tails_or_skews() -> None:
    grid = scenario_grid(
        [
            Scenario(1.1, VolatilityShock.UP, 1),
            Scenario(3, VolatilityShock.UP, 0.1),
            Scenario(1, VolatilityShock.ABSOLUTE_SKEW, 0.5),
            Scenario(1, VolatilityShock.LINEAR_SKEW, 1),
        ]
    )
    assert grid.regular.tolist() == [True, False, False, False]
    assert grid.tails.tolist() == [False, True, False, False]
    assert grid.skewed.tolist() == [False, False, True, True]


@pytest.mark.parametrize("scenario", [(-0.1, 0, 1), (float("nan"), 0, 1), (1, 0, -1)])
def test_a_scenario_that_cannot_happen_is_refused(scenario: tuple[float, int, float]) -> None:
    shock, volatility, dampening = scenario
    with pytest.raises(RejectedInputError):
        scenario_grid([Scenario(shock, VolatilityShock(volatility), dampening)])
