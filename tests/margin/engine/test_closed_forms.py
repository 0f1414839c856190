"""Tiers, open interest, leverage, naked options and the close-out: small rules, exact values."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.brackets import one_bracket_requirement
from margin.engine.close_out import minimum_close_out
from margin.engine.exact import exact
from margin.engine.leverage import leverage_margin, notional
from margin.engine.naked_option import naked_option_maintenance
from margin.engine.open_interest import InterestTier, Market, open_interest_requirement
from margin.engine.rejected import RejectedInputError
from margin.engine.tiers import tiered_schedule

D = Decimal
MARKET = Market(price=300, exponent=-1, base_exponent=-6)
TIER = InterestTier(
    initial_ppm=200_000, maintenance_fraction_ppm=500_000, lower_cap=10_000, upper_cap=20_000
)
TIERS = ([D(1000), D(5000), None], [D("0.01"), D("0.02"), D("0.1")])


def test_deductions_leave_no_jump_at_a_cap() -> None:
    schedule = tiered_schedule(TIERS[0], rates=TIERS[1])
    assert schedule.deductions == (D(0), D(10), D(410))
    with exact():
        assert one_bracket_requirement(D(1000), schedule) == D(10)
        assert one_bracket_requirement(D(5000), schedule) == D(90)


@pytest.mark.parametrize(
    ("caps", "rates"),
    [
        ([], []),
        ([D(10)], [D("0.1"), D("0.2")]),
        ([D(0)], [D("0.1")]),
        ([D(10), D(10)], [D("0.1"), D("0.2")]),
        ([D(10), D(5)], [D("0.1"), D("0.2")]),
        ([None, D(5)], [D("0.1"), D("0.2")]),
        ([D("Infinity")], [D("0.1")]),
        ([D("NaN")], [D("0.1")]),
        ([D(10)], [D("NaN")]),
        ([D(10)], [D("1.1")]),
        ([D(10)], [D("-0.1")]),
    ],
)
def test_tiers_that_are_no_schedule_are_refused(caps: list[D | None], rates: list[D]) -> None:
    with pytest.raises(RejectedInputError):
        tiered_schedule(caps, rates=rates)


def test_open_interest_raises_the_initial_rate_between_its_caps() -> None:
    """100 units are 3,000: 20 % below, 60 % half-way between, 99.84 % just below the upper cap."""
    for interest, initial in [(0, 600), (333, 600), (500, 1800), (666, 2996), (667, 3000)]:
        answer = open_interest_requirement(100, market=MARKET, tier=TIER, open_interest=interest)
        assert (answer.initial, answer.maintenance) == (initial, 300), interest


def test_a_requirement_is_rounded_up_and_a_notional_down() -> None:
    tier = InterestTier(initial_ppm=333_333, maintenance_fraction_ppm=333_333)
    market = Market(price=19, exponent=-1, base_exponent=-6)
    assert market.notional(1) == 1
    answer = open_interest_requirement(1, market=market, tier=tier)
    assert (answer.initial, answer.maintenance) == (1, 1)


def test_requirements_of_any_size_are_exact() -> None:
    most = 2**64 - 1
    market = Market(price=most, exponent=0, base_exponent=-6)
    tier = InterestTier(initial_ppm=1_000_000, maintenance_fraction_ppm=1_000_000)
    assert open_interest_requirement(most, market=market, tier=tier).initial == most**2


@given(st.integers(-(10**12), 10**12), st.integers(0, 2000), st.integers(0, 2000))
def test_more_open_interest_never_requires_less(units: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    less = open_interest_requirement(units, market=MARKET, tier=TIER, open_interest=low)
    more = open_interest_requirement(units, market=MARKET, tier=TIER, open_interest=high)
    short = open_interest_requirement(-units, market=MARKET, tier=TIER, open_interest=high)
    assert less.initial <= more.initial <= MARKET.notional(units)
    assert less.maintenance == more.maintenance <= less.initial
    assert short == more


@given(st.integers(0, 2000))
def test_the_rate_is_between_the_base_and_all(interest: int) -> None:
    rate = TIER.initial_rate(MARKET.notional(interest))
    assert Fraction(1, 5) <= rate <= 1


@pytest.mark.parametrize(
    "changed",
    [
        {"initial_ppm": -1},
        {"initial_ppm": 1_000_001},
        {"maintenance_fraction_ppm": 1_000_001},
        {"lower_cap": 20_001},
        {"lower_cap": -1},
    ],
)
def test_a_tier_that_cannot_be_is_refused(changed: dict[str, int]) -> None:
    terms = {name: getattr(TIER, name) for name in InterestTier.__dataclass_fields__}
    assert InterestTier(**terms) == TIER
    with pytest.raises(RejectedInputError):
        InterestTier(**terms | changed)


def test_a_market_that_cannot_be_is_refused() -> None:
    with pytest.raises(RejectedInputError):
        Market(price=-1, exponent=0, base_exponent=0)
    with pytest.raises(RejectedInputError):
        Market(price=1, exponent=10**9, base_exponent=0)
    with pytest.raises(RejectedInputError):
        open_interest_requirement(1, market=MARKET, tier=TIER, open_interest=-1)


def test_leverage_divides_what_the_notional_requires() -> None:
    """10 at 50 are 500: 4 % of it over leverage 2 is 10; inverse, 1,000 at 50 are 20 coins."""
    assert float(leverage_margin(-10, price=50, leverage=2, rate=0.04)) == 10.0
    assert float(notional(1000, price=50, inverse=True)) == 20.0
    assert float(notional(1000, price=50, inverse=True, multiplier=10)) == 200.0
    both = leverage_margin([10, 1000], price=50, leverage=2, rate=0.04, inverse=[False, True])
    assert both.tolist() == [10.0, 0.4]


@given(
    st.floats(-1e6, 1e6), st.floats(0.01, 1e6), st.floats(1, 125), st.floats(0, 1), st.booleans()
)
def test_margin_grows_with_the_position(
    quantity: float, price: float, leverage: float, rate: float, inverse: bool
) -> None:
    terms: dict[str, Any] = {"price": price, "leverage": leverage, "rate": rate, "inverse": inverse}
    once, twice = leverage_margin(quantity, **terms), leverage_margin(2 * quantity, **terms)
    assert float(twice) == pytest.approx(2 * float(once), rel=1e-12)
    assert 0 <= float(once) <= float(notional(quantity, price=price, inverse=inverse))


@pytest.mark.parametrize(
    "changed",
    [{"price": 0}, {"leverage": 0}, {"rate": -0.1}, {"inverse": 2}, {"multiplier": 0}],
)
def test_terms_of_leverage_that_cannot_be_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RejectedInputError):
        leverage_margin(1, **{"price": 1, "leverage": 1, "rate": 0.1} | changed)
    with pytest.raises(RejectedInputError):
        leverage_margin(np.nan, price=1, leverage=1, rate=0.1)


def maintenance(right: int, underlying: float, **changed: Any) -> float:
    terms: dict[str, Any] = {"strike": 100.0, "premium": 2.0, "rate": 0.2} | changed
    contracts = terms.pop("contracts", 1)
    return float(naked_option_maintenance(contracts, right=right, underlying=underlying, **terms))


def test_a_naked_option_requires_its_premium_and_a_share() -> None:
    assert maintenance(1, 110.0) == 100 * (2 + 22)  # in the money by 10
    assert maintenance(1, 95.0) == 100 * (2 + 14)  # 19 less 5 out of the money
    assert maintenance(1, 80.0) == 100 * (2 + 8)  # the floor: a tenth of the underlying
    assert maintenance(-1, 120.0) == 100 * (2 + 10)  # the floor: a tenth of the strike
    assert maintenance(-1, 90.0) == 100 * (2 + 18)
    assert maintenance(1, 110.0, contracts=0) == 0


@given(st.sampled_from([1, -1]), st.floats(0, 300), st.floats(0.1, 1), st.floats(0, 50))
def test_a_naked_option_requires_at_least_premium_and_floor(
    right: int, underlying: float, rate: float, premium: float
) -> None:
    floor = 0.1 * (underlying if right == 1 else 100.0)
    required = maintenance(right, underlying, rate=rate, premium=premium)
    assert required >= 100 * (premium + floor) * (1 - 1e-12)


@pytest.mark.parametrize(
    "changed", [{"contracts": -1}, {"strike": 0}, {"premium": -1}, {"rate": np.nan}]
)
def test_a_naked_option_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RejectedInputError):
        maintenance(1, 100.0, **changed)


def test_a_close_out_frees_what_is_missing() -> None:
    terms = {"margin_rate": 0.1, "price": 50.0, "liquidator_fee": 0.01, "insurance_fee": 0.04}
    assert float(minimum_close_out(10.0, **terms)) == pytest.approx(4.0)
    assert float(minimum_close_out(10.0, **terms, quote_price=2.0)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rate", "liquidator", "insurance"),
    [(0.02, 0.01, 0.01), (0.02, 0.03, 0.0), (0.8, 0.7, 0.1), (0.3, 0.1, 0.2), (0, 0, 0)],
)
def test_no_quantity_helps_where_fees_take_all_that_is_freed(
    rate: float, liquidator: float, insurance: float
) -> None:
    quantity = minimum_close_out(
        10.0,
        margin_rate=rate,
        price=50.0,
        liquidator_fee=liquidator,
        insurance_fee=insurance,
    )
    assert np.isnan(quantity)


@given(st.floats(0, 1e9), st.floats(0.05, 1), st.floats(0.01, 1e6), st.floats(0, 0.02))
def test_after_the_close_out_nothing_is_missing(
    shortage: float, rate: float, price: float, fee: float
) -> None:
    quantity = minimum_close_out(
        shortage, margin_rate=rate, price=price, liquidator_fee=fee, insurance_fee=fee
    )
    freed, paid = quantity * price * rate, quantity * price * fee * 2
    assert float(freed - paid) == pytest.approx(shortage, rel=1e-12, abs=1e-300)


def test_what_is_worth_nothing_frees_nothing() -> None:
    assert np.isnan(minimum_close_out(10.0, margin_rate=0.1, price=0.0))


def test_a_negative_shortage_is_refused() -> None:
    with pytest.raises(RejectedInputError, match="shortage"):
        minimum_close_out(-1.0, margin_rate=0.1, price=1.0)
