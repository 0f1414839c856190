"""The scenario margin: scenarios, basis and skews computed by hand."""

import math
from dataclasses import replace
from typing import Any

import pytest

from margin.engine.contingencies import BasisTerms
from margin.engine.market import Kind
from margin.engine.models.scenario import PreparedScenario
from margin.engine.models.scenario_parameters import (
    DeclaredScenario,
    NamedRange,
    Netting,
    VolatilityMove,
    crossed,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_grid import DiscountTerms
from tests.margin.engine.plain_scenarios import (
    CALL,
    EXACT,
    NO_DISCOUNT,
    NO_SIZES,
    PERPETUAL,
    PLAIN,
    PUT,
    ask,
    price,
)
from tests.margin.engine.tiny_market import Listed, hold, market_of


@pytest.mark.parametrize(
    ("quantity", "binding"),
    [(3.0, "-1 ranges, volatility up"), (-3.0, "+1 ranges, volatility up")],
)
def test_a_perpetual_loses_the_range_in_the_first_scenario_that_moves_against_it(
    quantity: float, binding: str
) -> None:
    said = ask(market_of(PERPETUAL), {"PERP": quantity})
    assert said["scenario_loss"] == said["initial"] == pytest.approx(30.0, rel=EXACT)
    assert said["binding"] == binding


def test_a_tail_counts_as_far_as_it_is_dampened() -> None:
    tails = crossed((-4.0, 4.0), dampening=0.5)
    said = ask(market_of(PERPETUAL), {"PERP": 3.0}, scenarios=(*PLAIN.scenarios, *tails))
    assert said["scenario_loss"] == pytest.approx(3 * 100 * 0.4 * 0.5, rel=EXACT)
    assert said["binding"] == "-4 ranges, volatility up, 0.5 of it"
    gone = ask(market_of(PERPETUAL), {"PERP": 3.0}, scenarios=crossed((0.0, -20.0)))
    assert gone["scenario_loss"] == 300.0, "no price falls below 0"


@pytest.mark.parametrize(
    ("days", "growth"),
    [
        (120.0, (30 / 120) ** 0.25),
        (30.0, 1.0),
        (7.5, (30 / 7.5) ** 0.5),
        (0.25, (30 / 1.0) ** 0.5),
    ],
    ids=["far", "at 30 days", "near", "nearer than the floor"],
)
def test_near_volatilities_move_further_than_far_ones(days: float, growth: float) -> None:
    call = CALL._replace(days=days)
    short = ask(market_of(call), {"CALL": -2.0})
    up = price(call, move=1.1, volatility=0.5 * (1 + 0.4 * growth))
    assert short["scenario_loss"] == pytest.approx(2 * (up - price(call)), rel=1e-11)
    assert short["binding"] == "+1 ranges, volatility up"
    long = ask(market_of(call), {"CALL": 2.0})
    down = price(call, move=0.9, volatility=0.5 * max(1 - 0.3 * growth, 0.0))
    assert long["scenario_loss"] == pytest.approx(2 * (price(call) - down), rel=1e-11)
    assert long["binding"] == "-1 ranges, volatility down"


def test_a_volatility_is_at_least_the_floor_after_it_rose_even_one_of_nothing() -> None:
    still = CALL._replace(volatility=0.0)
    terms = replace(PLAIN.volatility, least_after_up=0.3)
    said = ask(market_of(still), {"CALL": -1.0}, volatility=terms, scenarios=crossed((0.0,)))
    assert said["scenario_loss"] == pytest.approx(price(still, volatility=0.3), rel=1e-12)


TWO = market_of(Listed("A"), Listed("B", underlying=1, price=50.0), spots=(100.0, 50.0))


def test_underlyings_lose_each_in_its_worst_scenario_or_all_in_a_common_one() -> None:
    held = {"A": 1.0, "B": -3.0}
    each = ask(TWO, held)
    assert each["scenario_loss"] == pytest.approx(10 + 15, rel=EXACT)
    assert each["binding"] == "+1 ranges, volatility up", "of the underlying that loses most"
    together = ask(TWO, held, netting=Netting.ALL_TOGETHER)
    assert together["scenario_loss"] == pytest.approx(15 - 10, rel=1e-12)
    named = (NamedRange("U1", 0.05),)
    own = ask(TWO, held, netting=Netting.ALL_TOGETHER, named=named)
    assert own["scenario_loss"] == pytest.approx(10 - 7.5, rel=1e-12)
    assert own["binding"] == "-1 ranges, volatility up"


def test_time_passes_in_every_scenario() -> None:
    said = ask(
        market_of(CALL),
        {"CALL": 3.0},
        days_passed=10.0,
        volatility=replace(PLAIN.volatility, range_up=0.0, range_down=0.0),
        scenarios=crossed((0.0,)),
    )
    lost = price(CALL) - price(CALL, passed=10.0)
    assert said["scenario_loss"] == pytest.approx(3 * lost, rel=1e-11)


def test_an_asset_is_cut_and_a_debt_is_raised_by_time_and_rate() -> None:
    terms = DiscountTerms(0.9, 1.0, 2.0, 0.1, 0.5, 0.02)
    still = (DeclaredScenario(0.0, VolatilityMove.SAME, 1.0),)
    years, value = 90 / 365, price(CALL)
    long = ask(market_of(CALL), {"CALL": 2.0}, discount=terms, scenarios=still)
    cut = 0.9 * math.exp(-years * (2 * 0.04 + 0.1))
    assert long["scenario_loss"] == pytest.approx(2 * value * (1 - cut), rel=1e-12)
    short = ask(market_of(CALL), {"CALL": -2.0}, discount=terms, scenarios=still)
    rise = min(math.exp(0.04 * years), math.exp(years * (0.5 * 0.04 + 0.02)))
    assert short["scenario_loss"] == pytest.approx(2 * value * (rise - 1), rel=1e-10)
    both = ask(market_of(CALL, PUT), {"CALL": 2.0, "PUT": -1.0}, discount=terms, scenarios=still)
    net = 2 * value - price(PUT)
    assert net > 0
    assert both["scenario_loss"] == pytest.approx(net * (1 - cut), rel=1e-12)


@pytest.mark.parametrize(
    ("skew", "strike", "tilt"),
    [
        (VolatilityMove.LINEAR_SKEW, 102.0, 0.2 * math.log(1.02) / 0.05),
        (VolatilityMove.LINEAR_SKEW, 98.0, 0.2 * math.log(0.98) / 0.05),
        (VolatilityMove.LINEAR_SKEW, 150.0, 0.2),
        (VolatilityMove.LINEAR_SKEW, 60.0, -0.2),
        (VolatilityMove.ABSOLUTE_SKEW, 98.0, -0.1 * math.log(0.98) / 0.05),
        (VolatilityMove.ABSOLUTE_SKEW, 60.0, 0.1),
        (VolatilityMove.CAPPED_LINEAR_SKEW, 60.0, -0.1),
    ],
)
@pytest.mark.parametrize("quantity", [2.0, -2.0])
def test_a_smile_may_tilt_either_way(
    skew: VolatilityMove, strike: float, tilt: float, quantity: float
) -> None:
    call = CALL._replace(strike=strike)
    said = ask(
        market_of(call, PERPETUAL),
        {"CALL": quantity, "PERP": 5.0},
        scenarios=(DeclaredScenario(0.0, skew, 1.0),),
    )
    change = price(call, volatility=0.5 * (1 + tilt)) - price(call)
    assert said["scenario_loss"] == pytest.approx(2 * abs(change), rel=1e-9)
    assert said["binding"] == skew.replace("_", " ")


def test_an_expiry_may_move_alone() -> None:
    near, far = Listed("NEAR", Kind.FUTURE, days=73.0), Listed("FAR", Kind.FUTURE, days=146.0)
    market = market_of(PERPETUAL, near, far)
    terms = BasisTerms(spot_up=1.06, spot_down=0.95, base=0.5, per_year=1.0)
    said = ask(market, {"NEAR": 2.0, "FAR": -2.0}, basis=terms)
    assert said["scenario_loss"] == 0.0
    lost = 2 * 100 * 0.05 * (0.5 + 0.2) + 2 * 100 * 0.06 * (0.5 + 0.4)
    assert said["basis"] == said["initial"] == pytest.approx(lost, rel=1e-12)
    assert said["binding"] == "basis"
    outright = ask(market, {"NEAR": 2.0, "PERP": 1.0}, basis=terms)
    assert outright["basis"] == 0.0, "the worst counts, not both"
    assert outright["scenario_loss"] == pytest.approx(30.0, rel=EXACT)
    assert ask(market, {"PERP": 1.0}, basis=terms, scenarios=crossed((0.0,)))["initial"] == 0.0


def test_options_and_futures_of_one_expiry_offset_each_other_in_the_basis() -> None:
    call, put = (each._replace(days=73.0, rate=0.0) for each in (CALL, PUT))
    market = market_of(call, put, Listed("NEAR", Kind.FUTURE, days=73.0))
    terms = BasisTerms(spot_up=1.06, spot_down=0.95, base=1.0, per_year=0.0)
    said = ask(market, {"CALL": 1.0, "PUT": -1.0, "NEAR": -1.0}, basis=terms)
    assert said["initial"] == pytest.approx(0.0, abs=1e-11)


def test_initial_margin_multiplies_the_loss_by_more() -> None:
    said = ask(market_of(PERPETUAL), {"PERP": 1.0}, maintenance_factor=0.8, initial_factor=1.25)
    assert said["maintenance"] == pytest.approx(8.0, rel=EXACT)
    assert said["initial"] == pytest.approx(12.5, rel=EXACT)


def test_the_tree_names_the_worst_scenario_and_what_each_position_gains_in_it() -> None:
    market = market_of(PERPETUAL, Listed("COIN", Kind.SPOT), CALL)
    prepared = PreparedScenario(market, replace(PLAIN, initial_factor=2.0))
    tree = prepared.explain(hold(market, {"PERP": 3.0, "COIN": -1.0}), scope=0).initial
    (unit,) = tree.children[0].children
    assert unit.label == "U0"
    assert [dict(each) for each in unit.inputs] == [
        {"scenario": "-1 ranges, volatility up"},
        {"parameter": "initial_factor"},
    ]
    legs = {leg.label: leg.amount for leg in unit.children}
    assert legs == pytest.approx({"PERP": 60.0, "COIN": -20.0}, rel=1e-12)
    assert sum(leg.amount for leg in unit.children) == tree.amount


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenarios": ()}, "at least one"),
        ({"scenarios": (*crossed((0.0,)), *crossed((0.0,)))}, "listed twice"),
        ({"scenarios": (DeclaredScenario(1.0, VolatilityMove.LINEAR_SKEW, 1.0),)}, "no price"),
        ({"named": (NamedRange("U0", 0.1), NamedRange("U0", 0.2))}, "listed twice"),
        ({"maintenance_factor": 1.1}, "initial_factor"),
        ({"discount": replace(NO_DISCOUNT, long_base=1.1)}, "discount"),
        ({"discount": replace(NO_DISCOUNT, short_base=0.9)}, "discount"),
        ({"rate_move": -0.01}, "rate_move"),
        ({"contingencies": replace(NO_SIZES, option=-0.1)}, "contingencies.option"),
        ({"price_range": math.nan}, "price_range"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RejectedInputError, match=said):
        replace(PLAIN, **changes)


def test_a_position_that_the_market_has_not_is_refused() -> None:
    books = hold(market_of(PERPETUAL, CALL), {"CALL": 1.0})
    with pytest.raises(RejectedInputError):
        PreparedScenario(market_of(PERPETUAL), PLAIN).requirement(books)
