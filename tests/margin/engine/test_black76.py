"""Options on a forward: textbook values, parity, and the limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.black76 import black76_price
from margin.engine.pricing import black_76

forwards = st.floats(1, 1000)
volatilities = st.floats(0, 3)
spans = st.floats(0, 5)


def price(is_call: bool, *, forward: float = 20, strike: float = 20, **fields: float) -> float:
    market = {"volatility": 0.25, "years": 4 / 12, "discount": math.exp(-0.03)} | fields
    return float(black76_price(forward, strike=strike, is_call=is_call, **market))


def test_a_textbook_option_on_a_future() -> None:
    """At the money N(d1) - N(d2) is erf(deviation / sqrt 8), so the price is known in full."""
    deviation = 0.25 * math.sqrt(4 / 12)
    expected = math.exp(-0.03) * 20 * math.erf(deviation / math.sqrt(8))
    assert price(False) == pytest.approx(expected, rel=1e-14)
    assert round(price(False), 2) == 1.12


def test_without_time_or_volatility_an_option_is_worth_its_exercise() -> None:
    assert price(True, forward=25, years=0, discount=1) == 5
    assert price(False, forward=25, years=0, discount=1) == 0
    assert price(True, forward=25, volatility=0, discount=0.5) == 2.5
    assert price(False, forward=15, volatility=0, discount=0.5) == 2.5
    assert price(True, forward=20, volatility=0, discount=1) == 0


def test_a_worthless_underlying_leaves_the_put_its_strike() -> None:
    assert price(False, forward=0, discount=1) == 20
    assert price(True, forward=0, discount=1) == 0


def test_all_arguments_broadcast() -> None:
    table = black76_price(
        [[90.0], [110.0]], strike=[90.0, 100.0, 110.0], volatility=0.0, years=1.0,
        discount=1.0, is_call=[True, True, False],
    )  # fmt: skip
    assert table.tolist() == [[0, 0, 20], [20, 10, 0]]


@given(forwards, forwards, volatilities, spans)
def test_a_call_less_a_put_is_the_forward_less_the_strike(
    forward: float, strike: float, volatility: float, years: float
) -> None:
    terms = {"volatility": volatility, "years": years, "discount": math.exp(-0.1 * years)}
    call = price(True, forward=forward, strike=strike, **terms)
    put = price(False, forward=forward, strike=strike, **terms)
    expected = terms["discount"] * (forward - strike)
    assert call - put == pytest.approx(expected, abs=1e-11 * (forward + strike))


@given(forwards, forwards, volatilities, spans)
def test_a_price_lies_between_its_exercise_and_its_bound(
    forward: float, strike: float, volatility: float, years: float
) -> None:
    terms = {"volatility": volatility, "years": years, "discount": 0.9}
    call = price(True, forward=forward, strike=strike, **terms)
    put = price(False, forward=forward, strike=strike, **terms)
    assert 0.9 * max(forward - strike, 0) <= call <= 0.9 * forward * (1 + 1e-15)
    assert 0.9 * max(strike - forward, 0) <= put <= 0.9 * strike * (1 + 1e-15)


@given(forwards, forwards, volatilities, spans, st.booleans())
def test_the_price_with_greeks_is_the_price_without(
    forward: float, strike: float, volatility: float, years: float, is_call: bool
) -> None:
    rate = 0.07
    alone = price(
        is_call, forward=forward, strike=strike, volatility=volatility, years=years,
        discount=math.exp(-rate * years),
    )  # fmt: skip
    terms = {"strike": strike, "t": years, "volatility": volatility, "rate": rate}
    beside = black_76(forward, right=1 if is_call else -1, **terms)
    assert float(beside.price) == pytest.approx(alone, rel=1e-12, abs=1e-13 * (forward + strike))
