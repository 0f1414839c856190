"""American options: a slow tree, bounds, symmetry, and what early exercise can never cost."""

from importlib.util import find_spec
from itertools import product
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from margin.engine.american import american_price, both_below
from margin.engine.pricing import black_scholes
from margin.engine.rejected import RejectedInputError

BELOW, ABOVE = 0.004, 0.0002  # of the strike: how far from the tree, whose own error is the latter
options = st.fixed_dictionaries(
    {
        "spot": st.floats(20, 200),
        "strike": st.floats(20, 200),
        "t": st.floats(0.0, 3),
        "volatility": st.floats(0.0, 1.5),
        "rate": st.floats(-0.05, 0.15),
        "dividend_yield": st.floats(-0.05, 0.15),
    }
)
rights = st.sampled_from([1, -1])


def on_a_tree(
    *,
    spot: float,
    right: int,
    strike: float,
    t: float,
    volatility: float,
    rate: float,
    dividend_yield: float,
    steps: int = 2_000,
) -> float:
    """Exercised or held at every node of a tree of ups and downs, backwards from expiry."""
    step = t / steps
    up = exp(volatility * sqrt(step))
    chance = (exp((rate - dividend_yield) * step) - 1 / up) / (up - 1 / up)
    assert 0 < chance < 1
    spots = spot * up ** np.arange(-steps, steps + 1.0)
    worth = np.maximum(right * (spots[::2] - strike), 0.0)
    for left in range(steps - 1, -1, -1):
        held = exp(-rate * step) * (chance * worth[1:] + (1 - chance) * worth[:-1])
        nodes = spots[steps - left : steps + left + 1 : 2]
        worth = np.maximum(held, right * (nodes - strike))
    return float(worth[0])


CASES = [
    {"spot": spot, "right": right, "strike": 100.0, "t": t, "volatility": volatility,
     "rate": rate, "dividend_yield": dividend_yield}
    for spot, right, t, volatility, (rate, dividend_yield) in product(
        (70.0, 100.0, 140.0), (1, -1), (0.25, 2.5), (0.15, 0.9),
        ((0.08, 0.0), (0.03, 0.08), (0.05, 0.05), (-0.02, 0.03)),
    )
]  # fmt: skip


@pytest.mark.parametrize("right", [1, -1])
def test_prices_are_those_of_a_slow_tree(right: int) -> None:
    for case in (each for each in CASES if each["right"] == right):
        slow = on_a_tree(**case)  # type: ignore[arg-type]
        ours = float(american_price(**case))
        assert slow - BELOW * 100 <= ours <= slow + ABOVE * 100, case


def test_a_put_at_the_money_is_worth_more_than_the_european() -> None:
    """The textbook put of five months: spot and strike 50, 10 %, 40 %; 4.28 on a fine tree."""
    terms = {"strike": 50.0, "t": 5 / 12, "volatility": 0.4, "rate": 0.1}
    american = float(american_price(50.0, right=-1, **terms))
    assert american == pytest.approx(4.28, abs=0.03)
    assert float(black_scholes(50.0, right=-1, **terms).price) == pytest.approx(4.08, abs=0.01)


@settings(max_examples=300, deadline=None)
@given(options, rights)
def test_it_is_never_below_the_european_nor_exercise_nor_above_the_underlying(
    option: dict[str, float], right: int
) -> None:
    price = float(american_price(right=right, **option))
    assert price >= float(black_scholes(right=right, **option).price)
    assert price >= right * (option["spot"] - option["strike"])
    grown = exp(max(0.0, -option["rate"], -option["dividend_yield"]) * option["t"])
    most = option["spot"] if right == 1 else option["strike"]
    assert price <= most * grown * (1 + 1e-12)


@settings(deadline=None)
@given(options, st.floats(0, 0.15), st.floats(-0.05, 0))
def test_a_call_whose_underlying_pays_nothing_is_the_european_call(
    option: dict[str, float], rate: float, dividend_yield: float
) -> None:
    terms = option | {"rate": rate, "dividend_yield": dividend_yield}
    assert american_price(right=1, **terms) == black_scholes(right=1, **terms).price


@settings(deadline=None)
@given(options, rights, st.floats(0, 30), st.sampled_from(["spot", "t", "volatility"]))
def test_more_of_what_an_option_gains_by_is_worth_no_less(
    option: dict[str, float], right: int, more: float, name: str
) -> None:
    """Within how far the price may lie below the true one."""
    tame = option | {"volatility": option["volatility"] / 2, "t": option["t"] / 2}
    step = right * more if name == "spot" else more / 60
    assume(tame[name] + step > 0)
    prices = [
        float(american_price(right=right, **each))
        for each in (tame, tame | {name: tame[name] + step})
    ]
    assert prices[1] >= prices[0] - BELOW * max(option["strike"], option["spot"])


@settings(deadline=None)
@given(options)
def test_a_put_is_the_call_with_everything_changed_over(option: dict[str, float]) -> None:
    put = float(american_price(right=-1, **option))
    over = {
        "spot": option["strike"], "strike": option["spot"], "rate": option["dividend_yield"],
        "dividend_yield": option["rate"], "t": option["t"], "volatility": option["volatility"],
    }  # fmt: skip
    scale = option["spot"] + option["strike"]
    assert float(american_price(right=1, **over)) == pytest.approx(put, abs=1e-12 * scale)


@settings(deadline=None)
@given(options, rights, st.floats(0.01, 100))
def test_in_another_currency_it_is_the_same(
    option: dict[str, float], right: int, factor: float
) -> None:
    price = float(american_price(right=right, **option))
    other = option | {name: factor * option[name] for name in ("spot", "strike")}
    again = float(american_price(right=right, **other))
    assert again == pytest.approx(factor * price, rel=1e-9, abs=1e-9 * factor)


def test_without_volatility_it_is_exercised_on_the_best_day() -> None:
    """S e^(-qt) - K e^(-rt) with S = 90, K = 100, q = 5 %, r = 10 %: best at t = ln(20/9) / 5 %."""
    terms = {"strike": 100.0, "t": 30.0, "volatility": 0.0, "rate": 0.1, "dividend_yield": 0.05}
    day = log(0.1 * 100 / (0.05 * 90)) / 0.05
    gain = 90 * exp(-0.05 * day) - 100 * exp(-0.1 * day)
    assert day == pytest.approx(15.97, abs=0.01)
    assert float(american_price(90.0, right=1, **terms)) == pytest.approx(gain, rel=1e-12)
    assert gain > float(black_scholes(90.0, right=1, **terms).price)


def test_at_expiry_it_is_worth_its_exercise() -> None:
    prices = american_price([90.0, 110.0], right=[[1], [-1]], strike=100.0, t=0.0, volatility=0.3)
    assert prices.tolist() == [[0.0, 10.0], [10.0, 0.0]]


def test_a_grid_is_the_same_as_one_at_a_time() -> None:
    spots = np.array([60.0, 95.0, 130.0])
    terms = {"strike": 100.0, "t": 0.7, "volatility": 0.35, "rate": 0.06, "dividend_yield": 0.02}
    grid = american_price(spots, right=-1, **terms)
    assert [float(american_price(spot, right=-1, **terms)) for spot in spots] == grid.tolist()


@pytest.mark.parametrize("correlation", [-0.95, -0.4, 0.0, 0.6, 0.95])
def test_two_normal_variables_add_up_to_one(correlation: float) -> None:
    """What is below h and below or above k is what is below h; at 0 and 0 the chance is known."""
    levels = np.array([-3.0, -0.5, 0.0, 0.7, 2.5])
    h, k = levels[:, None], levels[None, :]
    below = both_below(h, k, correlation=correlation)
    above = both_below(h, -k, correlation=-correlation)
    alone = both_below(h, np.full_like(k, 40.0), correlation=correlation)
    np.testing.assert_allclose(below + above, np.broadcast_to(alone, below.shape), atol=1e-15)
    known = 0.25 + np.arcsin(correlation) / (2 * np.pi)
    assert below[2, 2] == pytest.approx(known, abs=1e-15)


@pytest.mark.skipif(find_spec("QuantLib") is None, reason="QuantLib is not installed")
def test_prices_are_near_those_of_another_library() -> None:
    """QuantLib's boundary by a fixed point is good to ten digits; ours is never above it."""
    import QuantLib

    today, days = QuantLib.Date(1, 6, 2026), QuantLib.Actual365Fixed()
    QuantLib.Settings.instance().evaluationDate = today
    for case in (each for each in CASES if each["rate"] > 0 and each["t"] == 2.5):
        rate, pays = (
            QuantLib.YieldTermStructureHandle(QuantLib.FlatForward(today, case[name], days))
            for name in ("rate", "dividend_yield")
        )
        moves = QuantLib.BlackConstantVol(today, QuantLib.NullCalendar(), case["volatility"], days)
        process = QuantLib.BlackScholesMertonProcess(
            QuantLib.QuoteHandle(QuantLib.SimpleQuote(case["spot"])),
            pays, rate, QuantLib.BlackVolTermStructureHandle(moves),
        )  # fmt: skip
        kind = QuantLib.Option.Call if case["right"] > 0 else QuantLib.Option.Put
        until = QuantLib.AmericanExercise(today, today + 912)
        option = QuantLib.VanillaOption(QuantLib.PlainVanillaPayoff(kind, 100.0), until)
        option.setPricingEngine(QuantLib.QdFpAmericanEngine(process))
        ours = float(american_price(**case | {"t": 912 / 365}))
        assert option.NPV() - BELOW * 100 <= ours <= option.NPV() + 1e-6, case


@pytest.mark.parametrize(
    ("name", "value"), [("spot", 0.0), ("strike", -1.0), ("t", -1.0), ("volatility", -0.1)]
)
def test_what_is_no_option_is_refused(name: str, value: float) -> None:
    terms = {"spot": 100.0, "strike": 100.0, "t": 1.0, "volatility": 0.2}
    with pytest.raises(RejectedInputError):
        american_price(right=1, **terms | {name: value})
