"""Parameters of the risk arrays: ranges and rates by underlying, tiers, spreads and credits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Index
from margin.engine.option_value import OptionValue
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

# Days to expiry are compared after what binary years leave behind is rounded away.
DAY_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class CommodityTerms:
    """Ranges and rates of one underlying."""

    price_range: float = parameter(
        "Price scan range: fall or rise that scan risk must bear",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    volatility_range: float = parameter(
        "Volatility scan range: how far volatilities rise and fall",
        unit="share of the volatility",
        least=0.0,
        is_shock=True,
    )
    spread_rate: float = parameter(
        "Charge for deltas of different expiries that offset each other",
        unit="share of matched delta value",
        least=0.0,
        is_shock=True,
    )
    short_minimum: float = parameter(
        "What each short option contract asks at least",
        unit="share of the value of its underlying",
        least=0.0,
        is_shock=True,
    )


@dataclass(frozen=True, slots=True)
class NamedTerms:
    """Terms of an underlying that has its own."""

    underlying: str = parameter("Underlying that these terms are for")
    terms: CommodityTerms = parameter("Its terms")


@dataclass(frozen=True, slots=True)
class CalendarSpread:
    """Two tiers whose opposite deltas are matched; an earlier spread is matched first."""

    near: int = parameter("Nearer tier, counted from 1", least=1)
    far: int = parameter("Farther tier", least=1)
    multiple: float = parameter(
        "Multiple of the spread rate", unit="times the rate", least=0.0, is_shock=True
    )


@dataclass(frozen=True, slots=True)
class CommoditySpread:
    """Two underlyings whose opposite deltas earn a credit; an earlier one is matched first."""

    first: str = parameter("Underlying")
    second: str = parameter("Underlying that offsets it")
    delta_ratio: float = parameter(
        "Delta value of the second that goes with 1 of the first", unit="ratio", least=1e-6
    )
    credit: float = parameter(
        "What is given back of the price risk of matched deltas", unit="share", least=0.0, most=1.0
    )


@dataclass(frozen=True, slots=True)
class RiskArrayParameters:
    """Terms of the risk arrays."""

    default: CommodityTerms = parameter("Terms of underlyings without their own")
    named: tuple[NamedTerms, ...] = parameter("Underlyings with their own terms")
    extreme_multiple: float = parameter(
        "How far away the two extreme scenarios are",
        unit="price scan ranges",
        least=1.0,
        is_shock=True,
    )
    extreme_cover: float = parameter(
        "How much of an extreme profit or loss counts",
        unit="share",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    look_ahead_days: float = parameter(
        "How much time passes in every scenario", unit="days", least=0.0
    )
    tier_days: tuple[float, ...] = parameter(
        "Last day to expiry of each tier but the last; what does not expire is in the first",
        unit="days",
        least=0.0,
    )
    calendar: tuple[CalendarSpread, ...] = parameter("Calendar spreads by priority")
    credits: tuple[CommoditySpread, ...] = parameter("Credits between underlyings by priority")
    option_value: OptionValue = parameter("How option value counts against the requirement")
    initial_ratio: float = parameter(
        "Initial margin over maintenance margin", unit="ratio", least=1.0, is_shock=True
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if list(self.tier_days) != sorted(set(self.tier_days)):
            raise RejectedInputError("tier_days: each is later than the one before")
        named = [each.underlying for each in self.named]
        if len(set(named)) != len(named):
            raise RejectedInputError("named: an underlying is listed twice")
        for place, spread in enumerate(self.calendar):
            if not spread.near < spread.far <= self.tier_count:
                raise RejectedInputError(f"calendar.{place}: two of {self.tier_count} tiers")
        for place, pair in enumerate(self.credits):
            if pair.first == pair.second:
                raise RejectedInputError(f"credits.{place}: an underlying offsets itself already")

    @property
    def tier_count(self) -> int:
        """How many tiers of expiry there are."""
        return len(self.tier_days) + 1

    def tiers(self, years: Float) -> Index:
        """The tier of each expiry, from 0."""
        days = np.round(years * DAYS_PER_YEAR, DAY_DECIMALS)
        return np.searchsorted(np.array(self.tier_days), days, side="left")

    def terms_of(self, underlyings: Sequence[str]) -> list[CommodityTerms]:
        """The terms of each underlying, its own or the default."""
        own = {each.underlying: each.terms for each in self.named}
        return [own.get(name, self.default) for name in underlyings]


STANDARD: Final = RiskArrayParameters(
    default=CommodityTerms(
        price_range=0.12, volatility_range=0.25, spread_rate=0.02, short_minimum=0.01
    ),
    named=(
        NamedTerms(
            "U0",
            CommodityTerms(
                price_range=0.08, volatility_range=0.2, spread_rate=0.015, short_minimum=0.0075
            ),
        ),
    ),
    extreme_multiple=3.0,
    extreme_cover=0.35,
    look_ahead_days=1.0,
    tier_days=(7.0, 35.0, 100.0),
    calendar=(
        CalendarSpread(near=1, far=2, multiple=1.0),
        CalendarSpread(near=2, far=3, multiple=1.0),
        CalendarSpread(near=3, far=4, multiple=1.0),
        CalendarSpread(near=1, far=3, multiple=1.5),
        CalendarSpread(near=2, far=4, multiple=1.5),
        CalendarSpread(near=1, far=4, multiple=2.0),
    ),
    credits=(
        CommoditySpread(first="U0", second="U1", delta_ratio=1.0, credit=0.6),
        CommoditySpread(first="U0", second="U2", delta_ratio=1.25, credit=0.5),
    ),
    option_value=OptionValue.NET,
    initial_ratio=1.25,
)
