"""Parameters of the scenario margin: scenarios, how values count in them, and contingencies."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from margin.engine.contingencies import BasisTerms, ConfidenceTerms, PegTerms
from margin.engine.given import Float
from margin.engine.market import Market
from margin.engine.option_value import OptionValue
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_grid import (
    DiscountTerms,
    Scenario,
    ScenarioGrid,
    SkewCap,
    SkewTerms,
    VolatilityShock,
    VolatilityTerms,
    scenario_grid,
)


class Netting(StrEnum):
    """What loses together: each underlying by itself, or all of them in one common scenario."""

    EACH_UNDERLYING = "each_underlying"
    ALL_TOGETHER = "all_together"


class VolatilityMove(StrEnum):
    """What a scenario does to volatilities; as `VolatilityShock`."""

    SAME = "same"
    UP = "up"
    DOWN = "down"
    LINEAR_SKEW = "linear_skew"
    ABSOLUTE_SKEW = "absolute_skew"
    CAPPED_LINEAR_SKEW = "capped_linear_skew"


SHOCKS: Final = {
    VolatilityMove.SAME: VolatilityShock.NONE,
    VolatilityMove.UP: VolatilityShock.UP,
    VolatilityMove.DOWN: VolatilityShock.DOWN,
    VolatilityMove.LINEAR_SKEW: VolatilityShock.LINEAR_SKEW,
    VolatilityMove.ABSOLUTE_SKEW: VolatilityShock.ABSOLUTE_SKEW,
    VolatilityMove.CAPPED_LINEAR_SKEW: VolatilityShock.CAPPED_LINEAR_SKEW,
}


@dataclass(frozen=True, slots=True)
class DeclaredScenario:
    """One thing that may happen to all underlyings of a netting unit."""

    step: float = parameter("Move of prices, up or down", unit="price ranges")
    volatility: VolatilityMove = parameter("Move of volatilities; a skew moves no price")
    dampening: float = parameter("How much of the profit or loss counts", unit="share", least=0.0)

    @property
    def name(self) -> str:
        """How results name it."""
        damped = "" if self.dampening == 1.0 else f", {self.dampening:g} of it"
        if SHOCKS[self.volatility] >= VolatilityShock.LINEAR_SKEW:
            return self.volatility.replace("_", " ") + damped
        return f"{self.step:+.6g} ranges, volatility {self.volatility}{damped}"


@dataclass(frozen=True, slots=True)
class NamedRange:
    """Price range of an underlying that has its own."""

    underlying: str = parameter("Underlying that this range is for")
    price_range: float = parameter(
        "Its price range", unit="share of the price", least=0.0, is_shock=True
    )


@dataclass(frozen=True, slots=True)
class ContingencyTerms:
    """What sizes ask, whatever scenarios say; initial margin asks the additions as well."""

    perpetual: float = parameter(
        "Perpetuals, long and short", unit="share of notional", least=0.0, is_shock=True
    )
    future: float = parameter(
        "Futures, long and short", unit="share of notional", least=0.0, is_shock=True
    )
    option: float = parameter(
        "Options net short at a strike", unit="share of spot value", least=0.0, is_shock=True
    )
    initial_perpetual: float = parameter(
        "Perpetuals, on top for initial margin",
        unit="share of notional",
        least=0.0,
        is_shock=True,
    )
    initial_future: float = parameter(
        "Futures, on top for initial margin", unit="share of notional", least=0.0, is_shock=True
    )
    initial_option: float = parameter(
        "Options net short at a strike, on top for initial margin",
        unit="share of spot value",
        least=0.0,
        is_shock=True,
    )


@dataclass(frozen=True, slots=True)
class LiquidityTerms:
    """What it asks that a position is large beside what is traded of its underlying."""

    volume_share: float = parameter(
        "Position that is not large yet", unit="share of the value traded on a day", least=0.0
    )
    rate: float = parameter(
        "What is beyond it asks", unit="share of that value", least=0.0, is_shock=True
    )


@dataclass(frozen=True, slots=True)
class ScenarioParameters:
    """Terms of the scenario margin."""

    netting: Netting = parameter("What loses together")
    price_range: float = parameter(
        "Price range that steps of scenarios are counted in",
        unit="share of the price",
        least=0.0,
        is_shock=True,
    )
    named: tuple[NamedRange, ...] = parameter("Underlyings with a range of their own")
    scenarios: tuple[DeclaredScenario, ...] = parameter("What may happen")
    days_passed: float = parameter("How much time passes in every scenario", unit="days", least=0.0)
    volatility: VolatilityTerms = parameter("How far volatilities move")
    skew: SkewTerms = parameter("How far smiles tilt")
    discount: DiscountTerms = parameter("How option values count as assets and as debts")
    basis: BasisTerms = parameter("What an expiry may move alone")
    contingencies: ContingencyTerms = parameter("What sizes ask")
    confidence: ConfidenceTerms = parameter("What doubt in a price asks of initial margin")
    stable_coin: str = parameter("Underlying whose peg is watched; empty for none")
    peg: PegTerms = parameter("What a lost peg asks of initial margin")
    liquidity: LiquidityTerms = parameter("What large positions ask")
    rate_move: float = parameter(
        "Parallel move of interest rates that options must bear",
        unit="per year",
        least=0.0,
        is_shock=True,
    )
    option_value: OptionValue = parameter("How option value counts against the requirement")
    maintenance_factor: float = parameter(
        "What the worst loss is multiplied by", unit="multiple", least=0.0, is_shock=True
    )
    initial_factor: float = parameter(
        "What initial margin multiplies it by", unit="multiple", least=0.0, is_shock=True
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if self.initial_factor < self.maintenance_factor:
            raise RejectedInputError("initial_factor: it is below the maintenance factor")
        if not self.discount.long_base <= 1.0 <= self.discount.short_base:
            raise RejectedInputError("discount: an asset counts for no more, a debt for no less")
        if not self.scenarios:
            raise RejectedInputError("scenarios: at least one is needed")
        for each in self.scenarios:
            if each.step and SHOCKS[each.volatility] >= VolatilityShock.LINEAR_SKEW:
                raise RejectedInputError(f"scenarios: {each.name}: a skew moves no price")
        for what, names in (
            ("scenarios", [each.name for each in self.scenarios]),
            ("named", [each.underlying for each in self.named]),
        ):
            if len(set(names)) != len(names):
                raise RejectedInputError(f"{what}: one is listed twice")

    @property
    def grid(self) -> ScenarioGrid:
        """The scenarios as arrays, spot in price ranges."""
        return scenario_grid(
            [Scenario(1.0, SHOCKS[each.volatility], each.dampening) for each in self.scenarios]
        )

    def spot_moves(self, market: Market) -> Float:
        """(S, U) factors on the underlyings; no price falls below 0."""
        own = {each.underlying: each.price_range for each in self.named}
        ranges = np.array([own.get(name, self.price_range) for name in market.underlyings])
        steps = np.array([each.step for each in self.scenarios])
        moves: Float = np.maximum(1.0 + np.outer(steps, ranges), 0.0)
        return moves

    def peg_addition(self, market: Market) -> float:
        """What a lost peg adds to the initial loss factor.

        Raises:
            RejectedInputError: the market has no price of the stable coin.
        """
        if not self.stable_coin:
            return 0.0
        if self.stable_coin not in market.underlyings:
            raise RejectedInputError(f"stable_coin: the market has no {self.stable_coin}")
        price = market.spots[market.underlyings.index(self.stable_coin)]
        return self.peg.addition(float(price))


def crossed(steps: tuple[float, ...], *, dampening: float = 1.0) -> tuple[DeclaredScenario, ...]:
    """Each step of the price with volatilities up, the same and down."""
    moves = (VolatilityMove.UP, VolatilityMove.SAME, VolatilityMove.DOWN)
    return tuple(DeclaredScenario(step, move, dampening) for step in steps for move in moves)


STANDARD: Final = ScenarioParameters(
    netting=Netting.EACH_UNDERLYING,
    price_range=0.15,
    named=(NamedRange("U0", 0.1),),
    scenarios=(
        *crossed((-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)),
        *crossed((-3.0, 3.0), dampening=0.3),
        DeclaredScenario(0.0, VolatilityMove.LINEAR_SKEW, 1.0),
        DeclaredScenario(0.0, VolatilityMove.ABSOLUTE_SKEW, 1.0),
    ),
    days_passed=0.0,
    volatility=VolatilityTerms(
        range_up=0.45,
        range_down=0.3,
        least_after_up=0.3,
        short_power=0.3,
        long_power=0.13,
        days_floor=1.0,
    ),
    skew=SkewTerms(
        linear=SkewCap(0.2, -0.05),
        absolute=SkewCap(0.12, -0.03),
        least_width=0.02,
        width_scale=4.0,
        width_volatility=0.6,
        width_slope=-0.1,
    ),
    discount=DiscountTerms(
        long_base=0.98,
        short_base=1.0,
        long_rate_scale=1.0,
        long_rate_add=0.05,
        short_rate_scale=1.0,
        short_rate_add=0.03,
    ),
    basis=BasisTerms(spot_up=1.05, spot_down=0.95, base=0.25, per_year=1.0),
    contingencies=ContingencyTerms(
        perpetual=0.01,
        future=0.01,
        option=0.005,
        initial_perpetual=0.01,
        initial_future=0.005,
        initial_option=0.005,
    ),
    confidence=ConfidenceTerms(threshold=0.9, rate=0.4),
    stable_coin="",
    peg=PegTerms(threshold=0.99, factor=4.0),
    liquidity=LiquidityTerms(volume_share=0.05, rate=0.03),
    rate_move=0.01,
    option_value=OptionValue.IN_EQUITY,
    maintenance_factor=0.8,
    initial_factor=1.0,
)
