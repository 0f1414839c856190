"""Quotes of options as venues give them, and the volatilities in them.

Axis: Q quotes. A side on which nobody quotes is NaN.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from margin.engine.given import Float, finite, not_negative, positive, sign
from margin.engine.market import Code, Index
from margin.engine.pricing import implied_volatility
from margin.engine.rejected import RejectedInputError


class Support(IntEnum):
    """What a volatility rests on, from the best to nothing at all."""

    QUOTED = 0  # a good quote of that very strike and expiry
    BETWEEN = 1  # good quotes on either side, by strike and by expiry
    WIDE = 2  # its own quote, with the sides too far apart
    ONE_SIDED = 3  # its own quote, with a side missing
    CROSSED = 4  # its own quote, with the bid above the ask
    STALE = 5  # its own quote, too old
    WING = 6  # beyond the outermost strikes that are quoted well
    EXPIRY = 7  # before the first expiry that is quoted well, or after the last
    NOTHING = 8  # no good quote of the underlying at all


FLAGGED_FROM: Final = Support.WIDE


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityQuotes:
    """What is bid and asked for volatility, one underlying.

    Attributes:
        strikes: (Q,) above 0.
        years: (Q,) to expiry, above 0.
        forwards: (Q,) of the underlying for that expiry, above 0, one for each expiry.
        bids, asks: (Q,) per year; NaN where there is none.
        ages: (Q,) seconds since it was quoted.
    """

    strikes: Float
    years: Float
    forwards: Float
    bids: Float
    asks: Float
    ages: Float

    def __post_init__(self) -> None:
        _require_columns(self)
        for name in ("strikes", "years", "forwards"):
            positive(name, getattr(self, name))
        not_negative("ages", self.ages)
        for name in ("bids", "asks"):
            positive(name, _present(getattr(self, name)))
        if len(set(zip(self.strikes, self.years, strict=True))) != len(self.strikes):
            raise RejectedInputError("quotes: a strike of an expiry is quoted twice")
        if len(set(zip(self.forwards, self.years, strict=True))) != len(set(self.years)):
            raise RejectedInputError("quotes: an expiry has two forwards")

    def __len__(self) -> int:
        return len(self.strikes)

    def support(self, *, width_most: float, age_most: float) -> Code:
        """(Q,) QUOTED where a quote is good, else what is wrong with it, the worst first.

        Args:
            width_most: how far the ask may lie above the bid, as a share of their middle.
            age_most: seconds.
        """
        is_missing = np.isnan(self.bids) | np.isnan(self.asks)
        width = self.asks - self.bids
        is_wide = ~(width <= width_most * (self.asks + self.bids) / 2)
        found = np.select(
            [self.ages > age_most, is_missing, width < 0, is_wide],
            [Support.STALE, Support.ONE_SIDED, Support.CROSSED, Support.WIDE],
            Support.QUOTED,
        )
        return found.astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class PriceQuotes:
    """What is bid and asked for options, one underlying.

    Attributes:
        rights: (Q,) +1 a call, -1 a put.
        strikes, years, forwards, ages: (Q,) as `VolatilityQuotes`.
        discounts: (Q,) what one unit of money at that expiry is worth now.
        bids, asks: (Q,) per unit of the underlying, from 0; NaN where there is none.
    """

    rights: Float
    strikes: Float
    years: Float
    forwards: Float
    discounts: Float
    bids: Float
    asks: Float
    ages: Float

    def __post_init__(self) -> None:
        _require_columns(self)
        sign("rights", self.rights)
        for name in ("strikes", "years", "forwards", "discounts"):
            positive(name, getattr(self, name))
        not_negative("ages", self.ages)
        for name in ("bids", "asks"):
            not_negative(name, _present(getattr(self, name)))


def volatilities_in(quotes: PriceQuotes) -> VolatilityQuotes:
    """The volatilities that prices imply, one quote for each strike of an expiry.

    The option out of the money stands for both, since its price is all time value; the other one
    where only that is quoted on both sides. A side whose price no volatility gives is missing.

    Raises:
        RejectedInputError: an option is quoted twice.
    """
    is_call = quotes.rights > 0
    is_out = is_call == (quotes.strikes >= quotes.forwards)
    rank = 2 * ~(np.isnan(quotes.bids) | np.isnan(quotes.asks)) + is_out
    if len(set(zip(quotes.strikes, quotes.years, is_call, strict=True))) != len(quotes.strikes):
        raise RejectedInputError("quotes: an option is quoted twice")
    options = list(zip(quotes.strikes.tolist(), quotes.years.tolist(), strict=True))
    chosen: dict[tuple[float, float], int] = {}
    for row in np.argsort(rank, kind="stable").tolist():
        chosen[options[row]] = row  # the best of the two is the last
    rows = np.array(list(chosen.values()), dtype=np.intp)
    return VolatilityQuotes(
        strikes=quotes.strikes[rows],
        years=quotes.years[rows],
        forwards=quotes.forwards[rows],
        bids=_implied(quotes, rows, quotes.bids),
        asks=_implied(quotes, rows, quotes.asks),
        ages=quotes.ages[rows],
    )


def _implied(quotes: PriceQuotes, rows: Index, prices: Float) -> Float:
    """(N,) volatilities above 0, NaN where the price has none."""
    at_expiry = prices[rows] / quotes.discounts[rows]
    found = implied_volatility(
        np.where(np.isnan(at_expiry), 0.0, at_expiry),
        right=quotes.rights[rows],
        spot=quotes.forwards[rows],
        strike=quotes.strikes[rows],
        t=quotes.years[rows],
    )
    return np.where(np.isnan(at_expiry) | ~(found > 0), np.nan, found)


def _present(values: Float) -> Float:
    return values[~np.isnan(values)]


def _require_columns(quotes: VolatilityQuotes | PriceQuotes) -> None:
    columns = [getattr(quotes, name) for name in quotes.__slots__]
    if {column.shape for column in columns} != {(len(columns[0]),)}:
        raise RejectedInputError("quotes: their columns differ in length")
    for name in ("strikes", "years", "forwards", "ages"):
        finite(name, getattr(quotes, name))
