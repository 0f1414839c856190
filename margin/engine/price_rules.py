"""What two people ask of the prices of an asset before a mark may carry every act.

An asset without rules is marked as house rules v1 say (`margin.engine.marks`), to the last digit.
Numbers are floats as typed; `exactly` gives the decimal that was meant.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from margin.engine.marks import PRICE_STATES
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

OFF: Final = 0.0


class Method(StrEnum):
    """How the prices that are left become one."""

    MEDIAN = "median"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What is known of one source of an asset's price."""

    source: str = parameter("Name of the source, as its rows say it")
    venue: str = parameter("Venue the price comes from; sources of one venue count as one")
    weight: float = parameter("Weight of its price, where prices are weighted", least=0.0)
    max_age_seconds: float = parameter(
        "How old its price may be in trading time; 0: as any other", unit="seconds", least=0.0
    )


@dataclass(frozen=True, slots=True)
class ConfidenceRules:
    """How far a mark is trusted, and what less than full trust costs."""

    sources_full: int = parameter("So many sources are full confidence; 0: not asked", least=0)
    spread_tight: float = parameter(
        "Sources no further apart than this take nothing off", unit="share", least=0.0
    )
    spread_wide: float = parameter(
        "Sources as far apart as this leave no confidence; 0: not asked", unit="share", least=0.0
    )
    least: float = parameter(
        "A mark of less confidence is too uncertain; 0: none is", unit="share", least=0.0, most=1.0
    )
    rate: float = parameter(
        "What complete doubt adds to both requirements", unit="share of value", least=0.0, most=1.0
    )

    def __post_init__(self) -> None:
        if self.spread_wide and self.spread_wide <= self.spread_tight:
            raise RejectedInputError("spread_wide: it lies above spread_tight, or is 0")


@dataclass(frozen=True, slots=True)
class MoveRules:
    """When a mark has moved too far from the closes before it."""

    limit: float = parameter("Largest move from the mark before; 0: any", unit="share", least=0.0)
    sigmas: float = parameter(
        "Largest move in standard deviations of daily closes; 0: any", unit="multiple", least=0.0
    )
    closes_min: int = parameter("So many closes must be known for that", unit="days", least=3)
    volume_multiple: float = parameter(
        "A volume of so many times the usual one bears the move out; 0: none does",
        unit="multiple",
        least=0.0,
    )


@dataclass(frozen=True, slots=True)
class IndexRules:
    """A derivative marked as the index of its underlying and its smoothed distance from it."""

    underlying: str = parameter("Whose mark is the index; empty: it is marked by its own prices")
    smoothing: float = parameter(
        "Share of today's distance in the smoothed one", unit="share", least=0.01, most=1.0
    )
    basis_most: float = parameter(
        "Largest smoothed distance from the index; 0: any", unit="share of the index", least=0.0
    )


@dataclass(frozen=True, slots=True)
class AddOn:
    """What a state of the mark adds to both requirements of who holds the asset."""

    state: str = parameter("State, by its name")
    share: float = parameter("Addition", unit="share of value", least=0.0, most=1.0)


@dataclass(frozen=True, slots=True)
class PriceRules:
    """The rules of one asset. Every limit is off at 0."""

    calendar: str = parameter("Name of the calendar by which it trades")
    max_age_seconds: float = parameter(
        "How old a price may be in trading time", unit="seconds", least=0.0
    )
    outlier_fraction: float = parameter(
        "Prices further from the median do not count", unit="share", least=0.0
    )
    sources_min: int = parameter("So many sources must be left", least=2)
    venues_min: int = parameter("from so many venues", least=1)
    method: Method = parameter("How they become one price")
    sources: tuple[SourceRules, ...] = parameter("Sources of which something is known")
    may_be_non_positive: bool = parameter("A price of zero or below is a price")
    dislocated_beyond: float = parameter(
        "One source so far from the mark makes it dislocated; 0: none does", unit="share", least=0.0
    )
    depth_least: float = parameter(
        "Value a source must show on its book to count; 0: any",
        unit="settlement currency",
        least=0.0,
    )
    nav_source: str = parameter("Who states its redemption value; empty: nobody")
    nav_band: float = parameter(
        "How far the market may lie from the redemption value", unit="share", least=0.0
    )
    index: IndexRules = parameter("Its index, of a derivative")
    move: MoveRules = parameter("How far it may move")
    confidence: ConfidenceRules = parameter("How far the mark is trusted")
    add_ons: tuple[AddOn, ...] = parameter("What states of the mark add")

    def __post_init__(self) -> None:
        check_parameters(self)
        for name, listed in (
            ("sources", [each.source for each in self.sources]),
            ("add_ons", [each.state for each in self.add_ons]),
        ):
            if len(set(listed)) != len(listed):
                raise RejectedInputError(f"{name}: one is listed twice")
        for each in self.add_ons:
            if each.state not in PRICE_STATES or each.state == "VALID":
                raise RejectedInputError(f"add_ons: {each.state!r} is no state that adds")
        if self.method is Method.WEIGHTED and not any(each.weight for each in self.sources):
            raise RejectedInputError("sources: a weighted price needs a weight above 0")

    def venue_of(self, source: str) -> str:
        """The venue of a source; one that nothing is known of is a venue of its own."""
        known = {each.source: each.venue or each.source for each in self.sources}
        return known.get(source, source)

    def weight_of(self, source: str) -> Decimal:
        """The weight of a source; 0 of one that nothing is known of."""
        return next((exactly(s.weight) for s in self.sources if s.source == source), Decimal(0))

    def age_of(self, source: str) -> float:
        """How old a price of a source may be, in seconds."""
        known = {each.source: each.max_age_seconds for each in self.sources}
        return known.get(source) or self.max_age_seconds

    def add_on(self, state: str) -> Decimal:
        """What a state adds, as a share of value."""
        return next((exactly(a.share) for a in self.add_ons if a.state == state), Decimal(0))


@dataclass(frozen=True, slots=True)
class FeedRules:
    """What a source of prices has promised."""

    seconds_most: float = parameter(
        "Longest time from the event until it is received; 0: any", unit="seconds", least=0.0
    )
    is_expected: bool = parameter("It sends something every business day")

    def __post_init__(self) -> None:
        check_parameters(self)


def exactly(value: float) -> Decimal:
    """The decimal that was typed: 0.05 is five hundredths."""
    return Decimal(repr(value))


# House rules v1 as rules, from which people change what they mean to.
STANDARD_RULES: Final = PriceRules(
    calendar="ALWAYS",
    max_age_seconds=900.0,
    outlier_fraction=0.05,
    sources_min=2,
    venues_min=1,
    method=Method.MEDIAN,
    sources=(),
    may_be_non_positive=False,
    dislocated_beyond=OFF,
    depth_least=OFF,
    nav_source="",
    nav_band=OFF,
    index=IndexRules("", 0.1, OFF),
    move=MoveRules(OFF, OFF, 20, OFF),
    confidence=ConfidenceRules(0, OFF, OFF, OFF, OFF),
    add_ons=(),
)
