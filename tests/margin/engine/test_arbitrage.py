"""What nobody may earn for nothing: each rule found where it is broken, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.arbitrage import Breach, Rule, parity_breaches, surface_breaches
from margin.engine.pricing import black_76, implied_volatility
from margin.engine.quotes import PriceQuotes, VolatilityQuotes
from margin.engine.surface import SurfacePolicy, surface_of

POLICY = SurfacePolicy(width_most=0.2, age_most=60.0, markup=0.25, wing_slope_most=0.5, unquoted=1)


def breaches(*rows: tuple[float, float, float]) -> tuple[Breach, ...]:
    """Of strike, years and volatility, each bid and asked at once; forward 100."""
    strikes, years, volatilities = np.array(rows, dtype=float).T
    same = np.ones(len(rows))
    quotes = VolatilityQuotes(strikes, years, 100 * same, volatilities, volatilities, 0 * same)
    return surface_breaches(surface_of(quotes, policy=POLICY))


def volatility_of(call: float, strike: float) -> float:
    return float(implied_volatility(call, right=1, spot=100.0, strike=strike, t=1.0))


def calls(*prices: float) -> tuple[Breach, ...]:
    """Of calls at 90, 100, 110, ... in a year."""
    strikes = [90.0 + 10 * place for place in range(len(prices))]
    rows = [
        (strike, 1.0, volatility_of(price, strike))
        for strike, price in zip(strikes, prices, strict=True)
    ]
    return breaches(*rows)


def test_a_flat_surface_breaks_nothing() -> None:
    strikes, expiries = (60.0, 80.0, 95.0, 100.0, 120.0, 200.0), (0.02, 0.25, 1.0, 3.0)
    assert breaches(*((strike, years, 0.4) for strike in strikes for years in expiries)) == ()


def test_a_butterfly_that_pays_is_named_with_its_strikes_and_its_gain() -> None:
    """Calls of 18, 14.5 and 8: the middle one is 1.5 above the straight line of the others."""
    assert calls(18.0, 12.0, 8.0) == ()
    (breach,) = calls(18.0, 14.5, 8.0)
    assert (breach.rule, breach.years) == (Rule.BUTTERFLY, 1.0)
    assert breach.strikes == pytest.approx((90.0, 100.0, 110.0))
    assert breach.amount == pytest.approx(1.5, rel=1e-9)
    assert breach.said == "butterfly at 90, 100, 110 to 1 years: 1.5"


def test_a_call_that_is_dearer_at_a_higher_strike_is_named() -> None:
    found = {breach.rule: breach for breach in calls(18.0, 12.0, 12.5)}
    assert found[Rule.VERTICAL].strikes == pytest.approx((100.0, 110.0))
    assert found[Rule.VERTICAL].amount == pytest.approx(0.5, rel=1e-9)


def test_a_call_that_falls_by_more_than_the_strikes_differ_is_named() -> None:
    (breach,) = calls(25.0, 13.0)
    assert breach.rule is Rule.VERTICAL
    assert breach.amount == pytest.approx(2.0, rel=1e-9)


def test_total_variance_that_falls_with_expiry_is_named() -> None:
    """50 % for half a year is 0.125; 30 % for a year is 0.09."""
    (breach,) = breaches((100.0, 0.5, 0.5), (100.0, 1.0, 0.3))
    assert (breach.rule, breach.years, breach.strikes) == (Rule.CALENDAR, 1.0, (100.0,))
    assert breach.amount == pytest.approx(0.035, rel=1e-12)
    assert breaches((100.0, 0.5, 0.5), (100.0, 1.0, 0.36)) == ()


def test_a_calendar_is_looked_at_between_strikes_too() -> None:
    """The earlier expiry is higher only at 100, where the later one is not quoted."""
    found = breaches(
        (80.0, 0.5, 0.4), (100.0, 0.5, 0.6), (120.0, 0.5, 0.4), (80.0, 1.0, 0.4), (120.0, 1.0, 0.4)
    )
    calendars = [breach for breach in found if breach.rule is Rule.CALENDAR]
    assert [breach.strikes for breach in calendars] == [pytest.approx((100.0,))]
    assert calendars[0].amount == pytest.approx(0.18 - 0.16, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.05, 1.5),
    st.floats(0.0, 0.6),
    st.lists(st.floats(0.02, 4), min_size=1, max_size=4, unique=True),
)
def test_calls_that_are_means_of_two_worlds_break_nothing(
    volatility: float, apart: float, expiries: list[float]
) -> None:
    """A mixture of two free worlds is free of arbitrage: a smile that is known to be sound."""
    strikes = np.array([70.0, 85.0, 100.0, 115.0, 140.0])
    rows = []
    for years in expiries:
        both = [
            black_76(100.0, right=1, strike=strikes, t=years, volatility=each).price
            for each in (volatility, volatility + apart)
        ]
        found = implied_volatility(
            (both[0] + both[1]) / 2, right=1, spot=100.0, strike=strikes, t=years
        )
        rows += [
            (strike, years, each)
            for strike, each in zip(strikes.tolist(), found.tolist(), strict=True)
            if each > 0.01
        ]
    named = breaches(*rows) if rows else ()
    assert [breach for breach in named if breach.rule is not Rule.CALENDAR] == []


# ---------------------------------------------------------------- parity


def pair(call: tuple[float, float], put: tuple[float, float]) -> PriceQuotes:
    """A call and a put at 90, forward 100, discount 0.9: their difference is worth 9."""
    both = np.ones(2)
    return PriceQuotes(
        np.array([1.0, -1.0]), 90 * both, 0.5 * both, 100 * both, 0.9 * both,
        np.array([call[0], put[0]]), np.array([call[1], put[1]]), 0 * both,
    )  # fmt: skip


def test_a_call_less_its_put_that_is_the_forward_less_the_strike_breaks_nothing() -> None:
    assert parity_breaches(pair((13.0, 13.0), (4.0, 4.0))) == ()
    assert parity_breaches(pair((12.5, 13.5), (3.9, 4.4))) == ()


def test_a_call_that_is_too_dear_beside_its_put_is_named_with_what_can_be_earned() -> None:
    (breach,) = parity_breaches(pair((14.0, 14.2), (4.0, 4.3)))
    assert (breach.rule, breach.years, breach.strikes) == (Rule.PARITY, 0.5, (90.0,))
    assert breach.amount == pytest.approx(14.0 - 4.3 - 9.0, rel=1e-9)


def test_a_put_that_is_too_dear_beside_its_call_is_named() -> None:
    (breach,) = parity_breaches(pair((12.0, 12.1), (4.0, 4.3)))
    assert breach.amount == pytest.approx(9.0 - (12.1 - 4.0), rel=1e-9)


def test_a_side_that_nobody_quotes_cannot_be_traded() -> None:
    nan = float("nan")
    assert parity_breaches(pair((14.0, 14.2), (4.0, nan))) == ()
    alone = pair((14.0, 14.2), (4.0, 4.3))
    assert parity_breaches(
        replace(alone, **{name: getattr(alone, name)[:1] for name in alone.__slots__})
    ) == ()  # fmt: skip


@given(st.floats(50, 200), st.floats(0.05, 2), st.floats(0.05, 1.5), st.floats(0.5, 1))
def test_prices_of_one_formula_keep_parity(
    strike: float, years: float, volatility: float, discount: float
) -> None:
    terms = {"strike": strike, "t": years, "volatility": volatility}
    prices = [discount * float(black_76(100.0, right=right, **terms).price) for right in (1, -1)]
    both = np.ones(2)
    quotes = PriceQuotes(
        np.array([1.0, -1.0]), strike * both, years * both, 100 * both, discount * both,
        np.array(prices), np.array(prices), 0 * both,
    )  # fmt: skip
    assert parity_breaches(quotes) == ()
