"""Scan risk: by hand, exact and by matrix alike, and never more than the parts."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from margin.engine.rejected import RejectedInputError
from margin.engine.risk_arrays import exact_scan_risk, scan_risk

whole = st.integers(-(10**6), 10**6).map(float)
legs = drawn(np.float64, (4, 16), elements=whole)
holdings = drawn(np.float64, (3, 4), elements=st.integers(-9, 9).map(float))


def test_the_largest_loss_of_the_sum_counts() -> None:
    long = [Decimal(k) for k in range(-8, 8)]
    other = [Decimal(-3)] * 16
    assert exact_scan_risk([long]) == 8
    assert exact_scan_risk([long, other]) == 11
    assert exact_scan_risk([[Decimal(1)] * 16]) == 0
    assert exact_scan_risk([]) == 0
    assert exact_scan_risk([[Decimal("-0.1")] * 16, [Decimal("-0.2")] * 16]) == Decimal("0.3")


def test_the_worst_scenario_is_named() -> None:
    array = np.zeros((1, 16))
    array[0, [3, 9]] = -5.0, -7.0
    long, short, none = scan_risk([[2.0], [-1.0], [0.0]], arrays=array).amount
    assert (long, short, none) == (14.0, 0.0, 0.0)
    assert scan_risk([[2.0]], arrays=array).scenario.tolist() == [9]


@given(holdings, legs)
def test_many_by_matrix_are_the_same_as_one_at_a_time(
    quantities: np.ndarray, profits: np.ndarray
) -> None:
    batch = scan_risk(quantities, arrays=profits)
    for held, amount in zip(quantities, batch.amount, strict=True):
        arrays = [[Decimal(int(each)) for each in row] for row in held[:, None] * profits]
        assert Decimal(int(amount)) == exact_scan_risk(arrays)


@given(holdings, legs)
def test_a_portfolio_never_needs_more_than_its_parts(
    quantities: np.ndarray, profits: np.ndarray
) -> None:
    whole_amount = scan_risk(quantities.sum(axis=0, keepdims=True), arrays=profits).amount
    assert whole_amount[0] <= scan_risk(quantities, arrays=profits).amount.sum()


@given(holdings, legs)
def test_twice_the_portfolio_needs_twice_the_margin(
    quantities: np.ndarray, profits: np.ndarray
) -> None:
    once, twice = (scan_risk(k * quantities, arrays=profits).amount for k in (1, 2))
    assert (twice == 2 * once).all()
    assert (once >= 0).all()


def test_arrays_that_are_none_are_refused() -> None:
    with pytest.raises(RejectedInputError):
        exact_scan_risk([[Decimal(1)] * 15])
    with pytest.raises(RejectedInputError):
        exact_scan_risk([[Decimal("NaN")] * 16])
    with pytest.raises(RejectedInputError):
        scan_risk([[1.0, 2.0]], arrays=np.zeros((1, 16)))
    with pytest.raises(RejectedInputError):
        scan_risk([[1.0]], arrays=np.full((1, 16), np.nan))
