"""Rate curves: between dates, beyond them, and what one hundred basis points move."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.greeks import contract_greeks
from margin.engine.market import Kind
from margin.engine.pricing import black_76, black_scholes
from margin.engine.rate_curve import RateCurve, at_rates, curve_of, forward_price
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world

POINTS = 0.01
CURVE = curve_of({2.0: 0.05, 1.0: 0.03, 4.0: 0.04})
curves = st.dictionaries(
    st.integers(1, 40).map(lambda quarters: quarters / 4), st.floats(-0.02, 0.2), min_size=1
).map(curve_of)
times = st.floats(0, 12)


def test_between_two_dates_one_forward_rate_holds() -> None:
    """3 % to year 1 and 5 % to year 2 leave 7 % between; 18 months discount by 3 % and 3.5 %."""
    assert float(CURVE.forward_rate(1.0, end=2.0)) == pytest.approx(0.07, rel=1e-12)
    assert float(CURVE.discount(1.5)) == pytest.approx(exp(-0.03 - 0.035), rel=1e-12)
    assert float(CURVE.zero_rate(1.5)) == pytest.approx(0.065 / 1.5, rel=1e-12)
    assert float(CURVE.forward_rate(2.0, end=4.0)) == pytest.approx((0.16 - 0.10) / 2, rel=1e-12)


def test_before_the_first_date_and_beyond_the_last_their_rates_hold() -> None:
    assert CURVE.zero_rate([0.0, 0.25, 1.0, 4.0, 30.0]).tolist() == pytest.approx(
        [0.03, 0.03, 0.03, 0.04, 0.04], rel=1e-12
    )
    assert float(CURVE.discount(0.0)) == 1.0
    assert float(CURVE.discount(10.0)) == pytest.approx(exp(-0.4), rel=1e-12)


def test_a_forward_is_the_spot_grown_by_the_rate_less_the_yield() -> None:
    """100 for two years at 5 %, yielding 2 %: 100 e^0.06."""
    price = forward_price(100.0, curve=CURVE, years=[0.0, 2.0], carry_yield=0.02)
    assert price.tolist() == pytest.approx([100.0, 100 * exp(0.06)], rel=1e-12)


def test_interest_is_what_an_amount_grows_by() -> None:
    """A million lent for the second year at 7 %; what is owed is paid with the other sign."""
    earned = CURVE.interest([1e6, -1e6], start=1.0, end=2.0)
    assert earned.tolist() == pytest.approx([1e6 * (exp(0.07) - 1), -1e6 * (exp(0.07) - 1)])


@given(curves, st.floats(-0.01, 0.03), times)
def test_a_parallel_shift_moves_every_rate_by_as_much(
    curve: RateCurve, shift: float, years: float
) -> None:
    moved = curve.shifted(shift)
    assert float(moved.zero_rate(years)) == pytest.approx(
        float(curve.zero_rate(years)) + shift, abs=1e-14
    )
    assert float(moved.discount(years)) == pytest.approx(
        float(curve.discount(years)) * exp(-shift * years), rel=1e-12
    )


@given(curves, times, times, times)
def test_lending_on_is_lending_at_once(
    curve: RateCurve, start: float, first: float, then: float
) -> None:
    between = start + first + 0.01
    end = between + then + 0.01
    twice = (1 + curve.interest(1.0, start=start, end=between)) * (
        1 + curve.interest(1.0, start=between, end=end)
    )
    assert float(twice) == pytest.approx(1 + float(curve.interest(1.0, start=start, end=end)))


@given(curves, st.floats(0.01, 10))
def test_the_rate_between_now_and_a_date_is_the_zero_rate(curve: RateCurve, years: float) -> None:
    assert float(curve.forward_rate(0.0, end=years)) == pytest.approx(
        float(curve.zero_rate(years)), abs=1e-14
    )
    assert float(curve.discount(years)) == pytest.approx(
        1 / (1 + float(curve.interest(1.0, start=0.0, end=years))), rel=1e-12
    )


def test_a_hundred_points_move_accruals_by_their_time() -> None:
    """On a million for a quarter: 2,500 at first order, and 1 % of the year's duration more."""
    before = CURVE.interest(1e6, start=0.0, end=0.25)
    after = CURVE.shifted(POINTS).interest(1e6, start=0.0, end=0.25)
    assert float(after - before) == pytest.approx(1e6 * exp(0.0075) * (exp(0.0025) - 1), rel=1e-9)
    assert 2_500 < float(after - before) < 2_530
    owed = CURVE.shifted(POINTS).interest(-1e6, start=0.0, end=0.25)
    assert float(owed) == -float(after)


def test_a_hundred_points_move_forward_marks_by_one_percent_a_year() -> None:
    market, _books = world(5)
    before = at_rates(market, curve=CURVE)
    after = at_rates(market, curve=CURVE.shifted(POINTS))
    futures = market.instruments.kinds == Kind.FUTURE
    years = market.instruments.years[futures]
    assert futures.any()
    assert (after.prices[futures] > before.prices[futures]).all()
    np.testing.assert_allclose(
        after.prices[futures] / before.prices[futures], np.exp(POINTS * years), rtol=1e-12
    )
    others = ~futures & ~market.instruments.is_option
    assert (after.prices[others] == market.prices[others]).all()
    assert (after.spots == market.spots).all()


def test_a_hundred_points_raise_calls_lower_puts_and_by_rho() -> None:
    market, _books = world(6)
    before = at_rates(market, curve=CURVE, yields=0.01)
    after = at_rates(market, curve=CURVE.shifted(POINTS), yields=0.01)
    options = np.flatnonzero(market.instruments.is_option)
    rows = market.instruments
    rho = black_scholes(
        before.spots[rows.underlyings[options]],
        right=rows.rights[options],
        strike=rows.strikes[options],
        t=rows.years[options],
        volatility=before.volatilities[options],
        rate=before.rates[options],
        dividend_yield=0.01,
    ).rho
    change = after.prices[options] - before.prices[options]
    assert (np.sign(change) == rows.rights[options])[np.abs(rho) > 1e-9].all()
    size = before.spots[rows.underlyings[options]]
    assert (np.abs(change - rho * POINTS) <= 0.0005 * size).all()
    assert (np.abs(change) > 0.0005 * size).any()


def test_an_option_on_a_forward_that_stays_loses_by_its_discount() -> None:
    """With the forward held, 100 points on two years take 2 % of the premium, as Greeks say."""
    terms = {"strike": 100.0, "t": 2.0, "volatility": 0.3}
    before, after = (
        black_76(105.0, right=1, rate=float(curve.zero_rate(2.0)), **terms)
        for curve in (CURVE, CURVE.shifted(POINTS))
    )
    assert log(float(after.price / before.price)) == pytest.approx(-0.02, rel=1e-9)
    assert float(before.rho) == pytest.approx(-2 * float(before.price), rel=1e-12)


@given(st.integers(0, 1_000), curves)
def test_marks_of_calls_and_puts_keep_parity_at_any_curve(seed: int, curve: RateCurve) -> None:
    market, _books = world(seed)
    marked = at_rates(market, curve=curve)
    rows = marked.instruments
    for place in np.flatnonzero(rows.is_option)[:3]:
        terms = {
            "strike": rows.strikes[place], "t": rows.years[place],
            "volatility": marked.volatilities[place], "rate": marked.rates[place],
        }  # fmt: skip
        call, put = (black_76(marked.forwards[place], right=right, **terms) for right in (1, -1))
        gap = curve.discount(rows.years[place]) * (marked.forwards[place] - rows.strikes[place])
        size = marked.forwards[place] + rows.strikes[place]
        assert float(call.price - put.price) == pytest.approx(float(gap), abs=1e-12 * size)
        own = call if rows.rights[place] > 0 else put
        assert marked.prices[place] == pytest.approx(float(own.price), abs=1e-12 * size)
    assert np.isfinite(contract_greeks(marked).rho).all()


@pytest.mark.parametrize(
    ("years", "rates"),
    [([], []), ([1.0, 1.0], [0.1, 0.1]), ([2.0, 1.0], [0.1, 0.1]), ([0.0], [0.1]),
     ([1.0], [np.nan]), ([1.0, 2.0], [0.1])],
)  # fmt: skip
def test_what_is_no_curve_is_refused(years: list[float], rates: list[float]) -> None:
    with pytest.raises(RejectedInputError):
        RateCurve(np.array(years), np.array(rates))


def test_a_date_before_now_or_an_end_before_its_start_is_refused() -> None:
    with pytest.raises(RejectedInputError):
        CURVE.zero_rate(-0.1)
    with pytest.raises(RejectedInputError, match="after the start"):
        CURVE.interest(1.0, start=1.0, end=1.0)
