"""Risk arrays: sixteen scenarios, spreads, credits and minima computed by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from margin.engine.market import Kind, Market
from margin.engine.models.risk_array_parameters import (
    STANDARD,
    CalendarSpread,
    CommoditySpread,
    CommodityTerms,
    NamedTerms,
    RiskArrayParameters,
)
from margin.engine.models.risk_arrays import MODEL, PARTS, PreparedRiskArrays
from margin.engine.option_value import OptionValue
from margin.engine.rejected import RejectedInputError
from margin.engine.risk_arrays import SCAN_NAMES, scan_risk
from margin.engine.slow.contracts import option_price
from margin.engine.worlds import world
from tests.margin.engine.tiny_market import Listed, hold, market_of

TERMS = CommodityTerms(price_range=0.1, volatility_range=0.2, spread_rate=0.02, short_minimum=0.01)
PLAIN = RiskArrayParameters(
    default=TERMS,
    named=(),
    extreme_multiple=3.0,
    extreme_cover=0.3,
    look_ahead_days=0.0,
    tier_days=(7.0, 30.0),
    calendar=(CalendarSpread(1, 2, 1.0), CalendarSpread(1, 3, 1.5), CalendarSpread(2, 3, 1.0)),
    credits=(),
    option_value=OptionValue.IN_EQUITY,
    initial_ratio=1.0,
)
PERPETUAL = Listed("PERP")
NEAR = Listed("NEAR", Kind.FUTURE, days=30.0)
FAR = Listed("FAR", Kind.FUTURE, days=31.0)
CALL = Listed(
    "CALL", Kind.OPTION, price=5.0, strike=150.0, right=1, days=10.0, multiplier=10.0
)  # without volatility: worth nothing in any scenario
SEEDS = st.integers(0, 2**32 - 1)


def ask(market: Market, held: dict[str, float], **changes: Any) -> dict[str, Any]:
    """The maintenance parts of one scope, and what binds."""
    prepared = PreparedRiskArrays(market, replace(PLAIN, **changes))
    said = prepared.requirement(hold(market, held))
    parts: dict[str, Any] = dict(zip(PARTS, said.maintenance_parts[0].tolist(), strict=True))
    return parts | {
        "maintenance": float(said.maintenance[0]),
        "initial": float(said.initial[0]),
        "binding": prepared.bindings[said.binding[0]],
    }


def test_the_sixteen_scenarios_are_named_once_each() -> None:
    assert len(set(SCAN_NAMES)) == len(SCAN_NAMES) == 16


@pytest.mark.parametrize(
    ("quantity", "binding"),
    [(3.0, "the range down, volatility up"), (-3.0, "the range up, volatility up")],
)
def test_a_perpetual_loses_the_whole_range_against_it(quantity: float, binding: str) -> None:
    said = ask(market_of(PERPETUAL), {"PERP": quantity})
    assert said["scan_risk"] == said["maintenance"] == pytest.approx(30.0, rel=1e-14)
    assert said["binding"] == binding


def test_an_extreme_counts_as_far_as_it_is_covered() -> None:
    said = ask(market_of(PERPETUAL), {"PERP": 3.0}, extreme_cover=0.4)
    assert said["scan_risk"] == pytest.approx(3 * 100 * 0.1 * 3 * 0.4, rel=1e-14)
    assert said["binding"] == "extreme fall"
    gone = ask(market_of(PERPETUAL), {"PERP": 3.0}, extreme_multiple=20.0, extreme_cover=0.5)
    assert gone["scan_risk"] == 150.0, "no price falls below 0"


def test_options_are_priced_again_in_every_scenario() -> None:
    market = market_of(
        Listed("CALL", Kind.OPTION, strike=105.0, right=1, days=73.0, volatility=0.5, rate=0.03)
    )
    years = 0.2

    def price(forward: float, volatility: float, left: float) -> float:
        return option_price(
            forward,
            strike=105.0,
            deviation=volatility * left**0.5,
            discount=float(np.exp(-0.03 * left)),
            is_call=True,
        )

    now = price(100.0, 0.5, years)
    short = ask(market, {"CALL": -2.0}, look_ahead_days=1.0)
    worst = 2 * (price(110.0, 0.6, years - 1 / 365) - now)
    far = 2 * 0.3 * (price(130.0, 0.5, years - 1 / 365) - now)
    assert worst > far
    assert short["scan_risk"] == pytest.approx(worst, rel=1e-12)
    assert short["binding"] == "the range up, volatility up"
    long = ask(market, {"CALL": 2.0}, look_ahead_days=1.0)
    lost = 2 * (now - price(90.0, 0.4, years - 1 / 365))
    assert long["scan_risk"] == pytest.approx(lost, rel=1e-12)
    assert long["binding"] == "the range down, volatility down"


def test_arrays_say_what_the_matrix_of_scan_risk_says() -> None:
    market, books = world(11)
    prepared = PreparedRiskArrays(market, STANDARD)
    found = prepared.figures(books)
    assets = market.instruments.underlyings
    for row, (scope, place) in enumerate(
        zip(found.legs.scopes, found.legs.underlyings, strict=True)
    ):
        held = books.select([scope]).matrix(instruments=len(assets)).toarray() * (assets == place)
        dense = scan_risk(held, arrays=prepared.arrays.T)
        assert found.legs.charged[row] == pytest.approx(dense.amount[0], rel=1e-12)
        assert found.scenarios[row] == dense.scenario[0]


def test_expiries_that_offset_each_other_are_charged_for_it() -> None:
    market = market_of(PERPETUAL, NEAR, FAR)
    said = ask(market, {"PERP": 2.0, "NEAR": -2.0})
    assert said["scan_risk"] == 0.0
    assert said["calendar_spreads"] == pytest.approx(0.02 * 200, rel=1e-14)
    farther = ask(market, {"PERP": 2.0, "FAR": -2.0})
    assert farther["calendar_spreads"] == pytest.approx(0.02 * 1.5 * 200, rel=1e-14)
    assert ask(market, {"PERP": 2.0, "NEAR": 2.0})["calendar_spreads"] == 0.0


@pytest.mark.parametrize(
    ("priority", "charged"),
    [
        ((CalendarSpread(1, 2, 1.0), CalendarSpread(1, 3, 1.5)), 0.02 * 100 * (1.0 + 1.5)),
        ((CalendarSpread(1, 3, 1.5), CalendarSpread(1, 2, 1.0)), 0.02 * 200 * 1.5),
        ((CalendarSpread(2, 3, 9.0),), 0.0),
    ],
    ids=["near first", "far first", "both short"],
)
def test_an_earlier_spread_is_matched_first(
    priority: tuple[CalendarSpread, ...], charged: float
) -> None:
    market = market_of(PERPETUAL, NEAR, FAR)
    said = ask(market, {"PERP": 2.0, "NEAR": -1.0, "FAR": -3.0}, calendar=priority)
    assert said["scan_risk"] == pytest.approx(20.0, rel=1e-14)
    assert said["calendar_spreads"] == pytest.approx(charged, rel=1e-14)


TWO = market_of(
    Listed("A"), Listed("B", underlying=1, price=50.0), spots=(100.0, 50.0)
)  # B has twice the range
TWICE = (NamedTerms("U1", replace(TERMS, price_range=0.2)),)


@pytest.mark.parametrize(
    ("held", "ratio", "scan", "credit"),
    [
        ({"A": 1.0, "B": -2.0}, 1.0, 10 + 20, 0.5 * 10 + 0.5 * 20),
        ({"A": -1.0, "B": 2.0}, 1.0, 10 + 20, 0.5 * 10 + 0.5 * 20),
        ({"A": 1.0, "B": -2.0}, 2.0, 10 + 20, 0.5 * 5 + 0.5 * 20),
        ({"A": 1.0, "B": -0.5}, 1.0, 10 + 5, 0.5 * 2.5 + 0.5 * 5),
        ({"A": 1.0, "B": 2.0}, 1.0, 10 + 20, 0.0),
        ({"A": 1.0}, 1.0, 10, 0.0),
    ],
    ids=["opposite", "turned", "two for one", "a part", "same side", "alone"],
)
def test_opposite_deltas_of_two_underlyings_earn_a_credit(
    held: dict[str, float], ratio: float, scan: float, credit: float
) -> None:
    pairs = (CommoditySpread("U0", "U1", ratio, 0.5),)
    said = ask(TWO, held, named=TWICE, credits=pairs)
    assert said["scan_risk"] == pytest.approx(scan, rel=1e-14)
    assert said["commodity_credits"] == pytest.approx(-credit, rel=1e-14)
    assert said["maintenance"] == pytest.approx(scan - credit, rel=1e-14)


def test_a_matched_delta_earns_no_second_credit_and_an_unknown_underlying_none() -> None:
    market = market_of(
        *(Listed(name, underlying=n) for n, name in enumerate("ABC")), spots=(1.0,) * 3
    )
    held = {"A": 1.0, "B": -1.0, "C": -1.0}
    first = CommoditySpread("U0", "U1", 1.0, 0.5)
    second = CommoditySpread("U2", "U0", 1.0, 0.8)
    unknown = CommoditySpread("U0", "U9", 1.0, 1.0)
    said = ask(market, held, credits=(unknown, first, second))
    assert said["commodity_credits"] == pytest.approx(-0.5 * 20, rel=1e-14)
    turned = ask(market, held, credits=(second, first))
    assert turned["commodity_credits"] == pytest.approx(-0.8 * 20, rel=1e-14)


def test_no_leg_is_given_back_more_than_it_is_charged() -> None:
    put = Listed("PUT", Kind.OPTION, price=0.0, strike=95.0, right=-1, days=30.0)
    market = market_of(
        Listed("COIN", Kind.SPOT), put, Listed("B", underlying=1), spots=(100.0, 100.0)
    )
    said = ask(
        market,
        {"COIN": 1.0, "PUT": 1.0, "B": -1.0},
        credits=(CommoditySpread("U0", "U1", 1.0, 0.8),),
    )
    assert said["scan_risk"] == pytest.approx(5 + 10, rel=1e-13)
    assert said["commodity_credits"] == pytest.approx(-(5 + 8), rel=1e-13)


def test_short_options_ask_their_minimum_whatever_they_may_lose() -> None:
    said = ask(market_of(CALL, PERPETUAL), {"CALL": -3.0})
    assert said["scan_risk"] == 0.0
    assert said["short_option_minimum"] == pytest.approx(0.01 * 3 * 10 * 100, rel=1e-14)
    assert said["binding"] == "short_option_minimum"
    hedged = ask(market_of(CALL, PERPETUAL), {"CALL": -3.0, "PERP": 2.0})
    assert hedged["scan_risk"] == pytest.approx(20.0, rel=1e-14)
    assert hedged["short_option_minimum"] == pytest.approx(30.0 - 20.0, rel=1e-14)
    enough = ask(market_of(CALL, PERPETUAL), {"CALL": -3.0, "PERP": 4.0})
    assert enough["short_option_minimum"] == 0.0
    assert enough["binding"] == "the range down, volatility up"
    assert ask(market_of(CALL, PERPETUAL), {"CALL": 3.0})["maintenance"] == 0.0


@pytest.mark.parametrize(
    ("counts", "held", "taken", "required"),
    [
        (OptionValue.IN_EQUITY, {"CALL": 0.1, "PERP": 1.0}, 0.0, 10.0),
        (OptionValue.LONG_ONLY, {"CALL": 0.1, "PERP": 1.0}, -5.0, 5.0),
        (OptionValue.LONG_ONLY, {"CALL": 4.0, "PERP": 1.0}, -10.0, 0.0),
        (OptionValue.LONG_ONLY, {"CALL": -0.1, "PERP": 1.0}, 0.0, 10.0),
        (OptionValue.NET, {"CALL": 0.1, "PERP": 1.0}, -5.0, 5.0),
        (OptionValue.NET, {"CALL": -0.1, "PERP": 1.0}, 5.0, 15.0),
    ],
)
def test_option_value_counts_as_the_firm_declares(
    counts: OptionValue, held: dict[str, float], taken: float, required: float
) -> None:
    said = ask(market_of(CALL, PERPETUAL), held, option_value=counts)
    assert said["option_value"] == pytest.approx(taken, abs=1e-12)
    assert said["maintenance"] == pytest.approx(required, abs=1e-12)
    if required == 0.0:
        assert said["maintenance"] == said["initial"] == 0.0


def test_what_only_option_value_asks_is_said_to() -> None:
    free = replace(TERMS, short_minimum=0.0)
    said = ask(
        market_of(CALL, PERPETUAL), {"CALL": -1.0}, default=free, option_value=OptionValue.NET
    )
    assert said["maintenance"] == 50.0
    assert said["binding"] == "option_value"


def test_initial_margin_is_maintenance_margin_times_the_ratio() -> None:
    said = ask(market_of(PERPETUAL), {"PERP": 1.0}, initial_ratio=1.5)
    assert said["initial"] == pytest.approx(15.0, rel=1e-14)
    assert said["maintenance"] == pytest.approx(10.0, rel=1e-14)


def test_the_tree_names_scenarios_spreads_and_positions() -> None:
    market = market_of(PERPETUAL, NEAR, CALL)
    prepared = PreparedRiskArrays(market, replace(PLAIN, option_value=OptionValue.NET))
    books = hold(market, {"PERP": 3.0, "NEAR": -1.0, "CALL": -4.0})
    tree = prepared.explain(books, scope=0).maintenance
    scan, calendar, credit, lift, value = tree.children
    assert [part.label for part in scan.children] == ["U0"]
    assert dict(scan.children[0].inputs[0]) == {"scenario": "the range down, volatility up"}
    legs = {leg.label: leg.amount for leg in scan.children[0].children}
    assert legs == pytest.approx({"PERP": 30.0, "NEAR": -10.0, "CALL": 0.0})
    assert [part.label for part in calendar.children] == ["U0, tiers 1 and 2"]
    assert calendar.amount == pytest.approx(2.0)
    assert credit.children == ()
    assert lift.children[0].amount == pytest.approx(40.0 - 22.0)
    assert [(leg.label, leg.amount) for leg in value.children] == [("CALL", 200.0)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tier_days": (7.0, 7.0)}, "tier_days"),
        ({"named": (NamedTerms("U0", TERMS), NamedTerms("U0", TERMS))}, "listed twice"),
        ({"calendar": (CalendarSpread(2, 2, 1.0),)}, "calendar.0"),
        ({"calendar": (CalendarSpread(1, 4, 1.0),)}, "calendar.0"),
        ({"credits": (CommoditySpread("U0", "U0", 1.0, 0.5),)}, "credits.0"),
        ({"credits": (CommoditySpread("U0", "U1", 0.0, 0.5),)}, "delta_ratio"),
        ({"credits": (CommoditySpread("U0", "U1", 1.0, 1.5),)}, "credit"),
        ({"initial_ratio": 0.99}, "initial_ratio"),
        ({"default": replace(TERMS, price_range=-0.1)}, "price_range"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RejectedInputError, match=said):
        replace(PLAIN, **changes)


def test_a_position_that_the_market_has_not_is_refused() -> None:
    market = market_of(PERPETUAL)
    books = hold(market_of(PERPETUAL, NEAR), {"NEAR": 1.0})
    with pytest.raises(RejectedInputError):
        MODEL.prepare(market, PLAIN).requirement(books)
