"""Arithmetic that is exact or an error, and the named roundings."""

from decimal import Decimal, FloatOperation, Inexact
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.exact import (
    column,
    exact,
    plain,
    round_down,
    round_half_even,
    round_up,
    sums,
)

D = Decimal
values = st.decimals("-1e12", "1e12", places=9)


def test_an_operation_that_would_round_is_an_error() -> None:
    with exact(), pytest.raises(Inexact):
        D(1) / D(3)
    with exact(), pytest.raises(Inexact):
        column([D(1), D(2)]) / D(3)


def test_a_float_is_never_mixed_in() -> None:
    with exact(), pytest.raises(FloatOperation):
        D(0.1)
    with exact(), pytest.raises((FloatOperation, TypeError)):
        column([D(1)]) * 0.1
    with pytest.raises(ValueError, match="not an exact number"):
        column([0.1])  # type: ignore[list-item]


@pytest.mark.parametrize("strange", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_in_no_array(strange: str) -> None:
    assert column([D("1.5")]).tolist() == [D("1.5")]
    with pytest.raises(ValueError, match="not an exact number"):
        column([D(strange)])


def test_products_keep_digits_beyond_the_usual_precision() -> None:
    with exact():
        product = D("123456789.123456789123456789") * D("987654321.987654321987654321")
    assert product == D("121932631356500531.591068431581771069347203169112635269")


@pytest.mark.parametrize(
    ("value", "half_even", "up", "down"),
    [
        ("0.005", "0.00", "0.01", "0.00"),
        ("0.015", "0.02", "0.02", "0.01"),
        ("-0.005", "0.00", "0.00", "-0.01"),
        ("-0.015", "-0.02", "-0.01", "-0.02"),
        ("-0.0149999", "-0.01", "-0.01", "-0.02"),
        ("1.230000000000000000000000000000000000000001", "1.23", "1.24", "1.23"),
        ("7", "7.00", "7.00", "7.00"),
        ("-0", "0.00", "0.00", "0.00"),
    ],
)
def test_named_roundings(value: str, half_even: str, up: str, down: str) -> None:
    assert str(round_half_even(D(value), 2)) == half_even
    assert str(round_up(D(value), 2)) == up
    assert str(round_down(D(value), 2)) == down


@given(values)
def test_requirements_never_shrink_and_collateral_never_grows(value: Decimal) -> None:
    assert round_down(value, 2) <= value <= round_up(value, 2)
    assert round_up(value, 2) - round_down(value, 2) <= D("0.01")
    assert round_up(-value, 2) == -round_down(value, 2)
    assert Fraction(round_half_even(value, 2)) == Fraction(round(Fraction(value), 2))


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("100", "100"), ("1E+3", "1000"), ("-0.00", "0"), ("1E-8", "0.00000001")],
)
def test_numbers_as_plain_text(value: str, text: str) -> None:
    assert plain(D(value)) == text


@given(st.lists(st.tuples(st.integers(0, 3), values), max_size=20))
def test_sums_by_group_are_exact(pairs: list[tuple[int, Decimal]]) -> None:
    groups = np.array([group for group, _ in pairs], dtype=np.intp)
    totals = sums(column(value for _, value in pairs), groups=groups, count=4)
    for group, total in enumerate(totals):
        assert Fraction(total) == sum(Fraction(v) for g, v in pairs if g == group)
