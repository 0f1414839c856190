"""A scenario margin with nothing beside its scenarios, asked of one scope at a time."""

import math
from dataclasses import replace
from typing import Any

from margin.engine.contingencies import BasisTerms, ConfidenceTerms, PegTerms
from margin.engine.market import Kind, Market
from margin.engine.models.scenario import PARTS, PreparedScenario
from margin.engine.models.scenario_parameters import (
    ContingencyTerms,
    LiquidityTerms,
    Netting,
    ScenarioParameters,
    crossed,
)
from margin.engine.option_value import OptionValue
from margin.engine.scenario_grid import DiscountTerms, SkewCap, SkewTerms, VolatilityTerms
from margin.engine.slow.contracts import option_price
from tests.margin.engine.tiny_market import Listed, hold

NO_DISCOUNT = DiscountTerms(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
NO_SIZES = ContingencyTerms(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
PLAIN = ScenarioParameters(
    netting=Netting.EACH_UNDERLYING,
    price_range=0.1,
    named=(),
    scenarios=crossed((-1.0, 0.0, 1.0)),
    days_passed=0.0,
    volatility=VolatilityTerms(
        range_up=0.4,
        range_down=0.3,
        least_after_up=0.0,
        short_power=0.5,
        long_power=0.25,
        days_floor=1.0,
    ),
    skew=SkewTerms(SkewCap(0.2, 0.0), SkewCap(0.1, 0.0), 0.05, 0.0, 0.0, 0.0),
    discount=NO_DISCOUNT,
    basis=BasisTerms(1.0, 1.0, 0.0, 0.0),
    contingencies=NO_SIZES,
    confidence=ConfidenceTerms(0.0, 0.0),
    stable_coin="",
    peg=PegTerms(0.0, 0.0),
    liquidity=LiquidityTerms(0.0, 0.0),
    rate_move=0.0,
    option_value=OptionValue.IN_EQUITY,
    maintenance_factor=1.0,
    initial_factor=1.0,
)
PERPETUAL = Listed("PERP")
CALL = Listed(
    "CALL", Kind.OPTION, price=4.0, strike=100.0, right=1, days=90.0, volatility=0.5, rate=0.04
)
PUT = CALL._replace(name="PUT", right=-1)
EXACT = 1e-13


def ask(market: Market, held: dict[str, float], **changes: Any) -> dict[str, Any]:
    """The initial parts of one scope, the two totals, and what binds."""
    prepared = PreparedScenario(market, replace(PLAIN, **changes))
    said = prepared.requirement(hold(market, held))
    parts: dict[str, Any] = dict(zip(PARTS, said.initial_parts[0].tolist(), strict=True))
    return parts | {
        "maintenance": float(said.maintenance[0]),
        "initial": float(said.initial[0]),
        "binding": prepared.bindings[said.binding[0]],
    }


def price(
    listed: Listed, *, move: float = 1.0, volatility: float | None = None, passed: float = 0.0
) -> float:
    """What one option is worth, by the slow formula."""
    years = (listed.days - passed) / 365.0
    deviation = (listed.volatility if volatility is None else volatility) * math.sqrt(years)
    return option_price(
        listed.forward * move,
        strike=listed.strike,
        deviation=deviation,
        discount=math.exp(-listed.rate * years),
        is_call=listed.right > 0,
    )
