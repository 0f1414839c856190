"""Options: known prices, parity, Greeks as slopes, limits, and volatility found again."""

from itertools import product
from math import exp, inf

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from margin.engine.pricing import OptionValues, black_76, black_scholes, implied_volatility
from margin.engine.rejected import RejectedInputError

HULL = {"strike": 40.0, "t": 0.5, "volatility": 0.2, "rate": 0.1}
options = st.fixed_dictionaries(
    {
        "spot": st.floats(20, 200),
        "strike": st.floats(20, 200),
        "t": st.floats(0.05, 3),
        "volatility": st.floats(0.05, 1.5),
        "rate": st.floats(-0.05, 0.15),
        "dividend_yield": st.floats(-0.05, 0.15),
    }
)
rights = st.sampled_from([1, -1])


def test_worked_example() -> None:
    """Spot 42, strike 40, six months, 10 %, 20 %: d1 = 0.7693, call 4.76, put 0.81."""
    call, put = (black_scholes(42.0, right=right, **HULL) for right in (1, -1))
    assert float(call.price) == pytest.approx(4.7594, abs=5e-5)
    assert float(put.price) == pytest.approx(0.8086, abs=5e-5)
    assert float(call.delta) == pytest.approx(0.7791, abs=5e-5)


def test_a_forward_is_worth_the_discounted_price() -> None:
    """Forward 20, strike 20, four months, 9 %, 25 %: the put on the future is worth 1.12."""
    put = black_76(20.0, right=-1, strike=20.0, t=4 / 12, volatility=0.25, rate=0.09)
    assert float(put.price) == pytest.approx(1.1166, abs=5e-5)
    assert float(put.rho) == pytest.approx(-float(put.price) / 3)


@given(options)
def test_call_less_put_is_forward_less_strike(option: dict[str, float]) -> None:
    call, put = black_scholes(right=1, **option), black_scholes(right=-1, **option)
    underlying = option["spot"] * exp(-option["dividend_yield"] * option["t"])
    money = option["strike"] * exp(-option["rate"] * option["t"])
    assert float(call.price - put.price) == pytest.approx(underlying - money, rel=1e-12, abs=1e-11)
    assert float(call.gamma) == pytest.approx(float(put.gamma), rel=1e-12)
    assert float(call.vega) == pytest.approx(float(put.vega), rel=1e-12)


@given(options, rights)
def test_greeks_are_the_slopes_of_the_price(option: dict[str, float], right: int) -> None:
    values = black_scholes(right=right, **option)

    def slope(name: str, of: str = "price") -> float:
        step = 1e-5 * abs(option[name]) + 1e-6
        up, down = option | {name: option[name] + step}, option | {name: option[name] - step}
        ends = [float(getattr(black_scholes(right=right, **end), of)) for end in (up, down)]
        return (ends[0] - ends[1]) / (2 * step)

    near = 1e-4 * option["spot"]
    assert float(values.delta) == pytest.approx(slope("spot"), abs=1e-5)
    assert float(values.gamma) == pytest.approx(slope("spot", "delta"), abs=1e-5)
    assert float(values.vega) == pytest.approx(slope("volatility"), rel=1e-4, abs=near)
    assert float(values.theta) == pytest.approx(-slope("t"), rel=1e-4, abs=near)
    assert float(values.rho) == pytest.approx(slope("rate"), rel=1e-4, abs=near)


@given(options, rights)
def test_black_76_is_the_spot_that_pays_the_rate_away(option: dict[str, float], right: int) -> None:
    del option["dividend_yield"]
    forward = option.pop("spot")
    values = black_76(forward, right=right, **option)
    same = black_scholes(forward, right=right, dividend_yield=option["rate"], **option)
    assert values[:5] == same[:5]
    step = 1e-6
    ends = [
        float(black_76(forward, right=right, **option | {"rate": option["rate"] + each}).price)
        for each in (step, -step)
    ]
    assert float(values.rho) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4 * forward)


@given(options, rights, st.floats(0.001, 0.5))
def test_more_volatility_is_worth_more(option: dict[str, float], right: int, more: float) -> None:
    less = black_scholes(right=right, **option)
    dearer = black_scholes(right=right, **option | {"volatility": option["volatility"] + more})
    assert float(dearer.price) >= float(less.price) - 1e-12 * option["spot"]


@given(options, rights)
def test_the_volatility_of_a_price_gives_the_price(option: dict[str, float], right: int) -> None:
    values = black_scholes(right=right, **option)
    terms = {name: value for name, value in option.items() if name != "volatility"}
    found = float(implied_volatility(values.price, right=right, **terms))
    again = float(black_scholes(right=right, **terms, volatility=found).price)
    assert again == pytest.approx(float(values.price), rel=1e-10, abs=1e-11)
    assume(float(values.vega) > 0.01)
    assert found == pytest.approx(option["volatility"], rel=1e-7)


@pytest.mark.parametrize(
    ("price", "volatility"),
    [(10.0, 0.0), (9.99, np.nan), (0.0, np.nan), (110.0, np.nan), (-1.0, np.nan), (1e9, np.nan)],
)
def test_a_price_that_no_volatility_gives_has_none(price: float, volatility: float) -> None:
    found = implied_volatility(price, right=1, spot=110.0, strike=100.0, t=1.0)
    np.testing.assert_array_equal(found, volatility)


def test_the_volatility_of_a_price_next_to_nothing_is_found() -> None:
    strikes = np.array([150.0, 300.0])
    prices = black_scholes(100.0, right=1, strike=strikes, t=0.1, volatility=0.2).price
    assert (prices < 1e-9).all()
    found = implied_volatility(prices, right=1, spot=100.0, strike=strikes, t=0.1)
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)


@pytest.mark.parametrize(("t", "volatility"), [(0.0, 0.2), (1.0, 0.0), (0.0, 0.0)])
def test_without_time_or_volatility_an_option_is_worth_what_it_pays(
    t: float, volatility: float
) -> None:
    spots = np.array([90.0, 110.0])
    call, put = (
        black_scholes(spots, right=right, strike=100.0, t=t, volatility=volatility)
        for right in (1, -1)
    )
    assert call.price.tolist() == [0.0, 10.0]
    assert put.price.tolist() == [10.0, 0.0]
    assert (call.delta.tolist(), put.delta.tolist()) == ([0.0, 1.0], [-1.0, 0.0])
    for values, name in product((call, put), ("gamma", "vega", "theta")):
        assert getattr(values, name).tolist() == [0.0, 0.0]


def test_without_volatility_a_call_is_worth_the_forward_less_the_strike() -> None:
    call = black_scholes(
        100.0, right=1, strike=100.0, t=2.0, volatility=0.0, rate=0.05, dividend_yield=0.01
    )
    assert float(call.price) == pytest.approx(100 * exp(-0.02) - 100 * exp(-0.1), rel=1e-12)
    assert float(call.delta) == pytest.approx(exp(-0.02))
    assert float(call.theta) == pytest.approx(100 * (0.01 * exp(-0.02) - 0.05 * exp(-0.1)))
    assert float(call.rho) == pytest.approx(200 * exp(-0.1))


@pytest.mark.parametrize("right", [1, -1])
def test_at_the_strike_the_last_instant_is_the_middle_of_the_jump(right: int) -> None:
    values = black_scholes(100.0, right=right, strike=100.0, t=0.0, volatility=0.2)
    assert (float(values.price), float(values.delta)) == (0.0, 0.5 * right)
    assert (float(values.gamma), float(values.theta)) == (inf, -inf)


def test_an_endless_volatility_makes_a_call_worth_the_underlying() -> None:
    call = black_scholes(100.0, right=1, strike=90.0, t=1.0, volatility=1e300)
    assert float(call.price) == 100.0
    assert all(np.isfinite(values).all() for values in call)


def test_a_grid_is_the_same_as_one_at_a_time() -> None:
    spots, volatilities = np.array([[90.0], [100.0], [110.0]]), np.array([0.1, 0.4])
    grid = black_scholes(spots, right=-1, strike=100.0, t=0.5, volatility=volatilities, rate=0.03)
    for row, column in product(range(3), range(2)):
        one = black_scholes(
            spots[row, 0], right=-1, strike=100.0, t=0.5, volatility=volatilities[column], rate=0.03
        )
        assert OptionValues(*(values[row, column] for values in grid)) == one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spot", 0.0),
        ("spot", np.nan),
        ("strike", -1.0),
        ("t", -0.1),
        ("volatility", -0.1),
        ("volatility", np.inf),
        ("right", 0),
        ("rate", np.nan),
        ("rate", 1e6),
        ("dividend_yield", "a"),
        ("strike", [1.0, 2.0, 3.0]),
    ],
)
def test_what_is_no_option_is_refused(name: str, value: object) -> None:
    terms: dict[str, object] = {"spot": [100.0, 90.0], "right": 1, "dividend_yield": 0.0} | HULL
    assert black_scholes(**terms).price.shape == (2,)  # type: ignore[arg-type]
    with pytest.raises(RejectedInputError):
        black_scholes(**terms | {name: value})  # type: ignore[arg-type]
