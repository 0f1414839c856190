"""What the scenario margin asks beside its scenarios, computed by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from margin.engine.contingencies import ConfidenceTerms, PegTerms
from margin.engine.market import Kind
from margin.engine.models.scenario import PARTS, PreparedScenario
from margin.engine.models.scenario_parameters import (
    ContingencyTerms,
    LiquidityTerms,
    crossed,
)
from margin.engine.option_value import OptionValue
from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_columns import model_values
from tests.margin.engine.plain_scenarios import (
    CALL,
    EXACT,
    PERPETUAL,
    PLAIN,
    PUT,
    ask,
    price,
)
from tests.margin.engine.tiny_market import Listed, hold, market_of


def test_sizes_ask_their_share_long_and_short_and_more_of_initial_margin() -> None:
    market = market_of(
        PERPETUAL, Listed("INVERSE", price=80.0, multiplier=40.0, is_inverse=True),
        Listed("NEAR", Kind.FUTURE, price=110.0, multiplier=2.0, days=9.0),
    )  # fmt: skip
    sizes = ContingencyTerms(0.02, 0.03, 0.0, 0.01, 0.02, 0.0)
    said = ask(
        market, {"PERP": -2.0, "INVERSE": 3.0, "NEAR": -1.0}, contingencies=sizes,
        scenarios=crossed((0.0,)),
    )  # fmt: skip
    assert said["perpetual"] == pytest.approx(0.03 * (200 + 3 * 40), rel=EXACT)
    assert said["future"] == pytest.approx(0.05 * 220, rel=EXACT)
    assert said["maintenance"] == pytest.approx(0.02 * 320 + 0.03 * 220, rel=EXACT)
    assert said["initial"] == pytest.approx(0.03 * 320 + 0.05 * 220, rel=EXACT)
    assert said["binding"] == "contingencies"


@pytest.mark.parametrize(
    ("held", "short"),
    [
        ({"CALL": -2.0}, 2),
        ({"CALL": -2.0, "PUT": 1.0}, 1),
        ({"CALL": -2.0, "PUT": -1.0}, 3),
        ({"CALL": -2.0, "HIGH": 2.0}, 2),
        ({"CALL": -2.0, "LATE": 2.0}, 2),
        ({"CALL": 2.0, "PUT": -1.0}, 0),
    ],
    ids=["bare", "call and put", "both short", "spread", "calendar", "covered"],
)
def test_options_net_short_at_a_strike_ask_their_share_of_spot_value(
    held: dict[str, float], short: int
) -> None:
    listed = (CALL, PUT, CALL._replace(name="HIGH", strike=120.0))
    late = CALL._replace(name="LATE", days=91.0)
    market = market_of(*(each._replace(multiplier=10.0) for each in (*listed, late)))
    sizes = ContingencyTerms(0.0, 0.0, 0.004, 0.0, 0.0, 0.003)
    prepared = PreparedScenario(market, replace(PLAIN, contingencies=sizes))
    said = prepared.requirement(hold(market, held))
    place = PARTS.index("option")
    assert said.maintenance_parts[0, place] == pytest.approx(short * 1000 * 0.004, rel=EXACT)
    assert said.initial_parts[0, place] == pytest.approx(short * 1000 * 0.007, rel=EXACT)


def test_doubt_in_a_price_adds_its_line_to_initial_margin_and_full_trust_takes_it_away() -> None:
    terms = ConfidenceTerms(threshold=0.9, rate=0.4)
    answers = {}
    for sure in (1.0, 0.9, 0.8):
        market = market_of(PERPETUAL._replace(confidence=sure), CALL._replace(confidence=1.0))
        answers[sure] = ask(market, {"PERP": -3.0, "CALL": 1.0}, confidence=terms)
    assert answers[1.0]["confidence"] == answers[0.9]["confidence"] == 0.0
    assert answers[0.8]["confidence"] == (1 - 0.8) * 0.4 * 300
    assert answers[0.8]["initial"] == answers[1.0]["initial"] + answers[0.8]["confidence"]
    assert answers[0.8]["maintenance"] == answers[1.0]["maintenance"], "doubt liquidates nobody"
    assert answers[1.0] == answers[0.9]


def test_a_lost_peg_adds_its_line_to_initial_margin() -> None:
    terms: dict[str, Any] = {"stable_coin": "U1", "peg": PegTerms(threshold=0.99, factor=4.0)}
    lost = market_of(Listed("A"), spots=(100.0, 0.97))
    said = ask(lost, {"A": 2.0}, initial_factor=1.5, **terms)
    assert said["scenario_loss"] == pytest.approx(30.0, rel=EXACT)
    assert said["peg"] == pytest.approx(0.02 * 4 * 20, rel=1e-12)
    assert said["maintenance"] == pytest.approx(20.0, rel=EXACT)
    kept = ask(market_of(Listed("A"), spots=(100.0, 0.99)), {"A": 2.0}, **terms)
    assert kept["peg"] == 0.0
    with pytest.raises(RejectedInputError, match="U1"):
        ask(market_of(Listed("A")), {"A": 2.0}, **terms)


def test_what_is_large_beside_the_volume_of_a_day_asks_more() -> None:
    market = market_of(
        Listed("A"), Listed("FUTURE", Kind.FUTURE, days=9.0), Listed("B", underlying=1),
        spots=(100.0, 100.0), daily_volumes=np.array([10_000.0, 0.0]),
    )  # fmt: skip
    terms = LiquidityTerms(volume_share=0.05, rate=0.03)
    held = {"A": 4.0, "FUTURE": -3.0}
    assert ask(market, held, liquidity=terms)["liquidity"] == pytest.approx(0.03 * 200, rel=EXACT)
    assert ask(market, {"A": 5.0}, liquidity=terms)["liquidity"] == 0.0
    assert ask(market, {"B": -1.0}, liquidity=terms)["liquidity"] == pytest.approx(3.0, rel=EXACT)


def test_options_bear_a_parallel_move_of_rates() -> None:
    late = CALL._replace(name="LATE", days=365.0)
    market = market_of(late, CALL)
    long = ask(market, {"LATE": 2.0}, rate_move=0.01)
    worth = 2 * price(late)
    assert long["interest_rate"] == pytest.approx(-worth * math.expm1(-0.01), rel=1e-11)
    short = ask(market, {"LATE": -2.0}, rate_move=0.01)
    assert short["interest_rate"] == pytest.approx(worth * math.expm1(0.01), rel=1e-11)
    against = -price(late) / price(CALL) * 365 / 90
    hedged = ask(market, {"LATE": 1.0, "CALL": against}, rate_move=0.01)
    assert hedged["interest_rate"] < 0.02 * long["interest_rate"]


def test_marks_of_options_fall_when_rates_rise_by_as_much_as_the_rate_move_says() -> None:
    market = market_of(CALL, PERPETUAL)
    higher = replace(market, rates=market.rates + 0.01)
    change = model_values(higher) - model_values(market)
    prepared = PreparedScenario(market, replace(PLAIN, rate_move=0.01))
    assert change[0] == pytest.approx(-price(CALL) * -math.expm1(-0.01 * 90 / 365), rel=1e-10)
    np.testing.assert_allclose(prepared.rate_columns.gains[0], change, rtol=1e-10)


@pytest.mark.parametrize(
    ("counts", "quantity", "taken"),
    [
        (OptionValue.IN_EQUITY, 1.0, 0.0),
        (OptionValue.LONG_ONLY, 1.0, -4.0),
        (OptionValue.LONG_ONLY, -1.0, 0.0),
        (OptionValue.NET, 1.0, -4.0),
        (OptionValue.NET, -1.0, 4.0),
    ],
)
def test_option_value_counts_as_the_firm_declares(
    counts: OptionValue, quantity: float, taken: float
) -> None:
    held = {"CALL": quantity, "PERP": 10.0}
    before = ask(market_of(CALL, PERPETUAL), held)
    said = ask(market_of(CALL, PERPETUAL), held, option_value=counts)
    assert said["option_value"] == taken
    assert said["initial"] == before["initial"] + taken
    alone = ask(market_of(CALL), {"CALL": 1.0}, option_value=OptionValue.LONG_ONLY)
    assert alone["initial"] == max(ask(market_of(CALL), {"CALL": 1.0})["initial"] - 4.0, 0.0)
