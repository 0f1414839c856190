"""One moment of a market, as the models of portfolios see it: what can be held, at what prices.

Axes: I instruments, U underlyings, T days of history. Prices, volumes and values are floats in
the settlement currency.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from margin.engine.given import Float, finite, not_negative, positive, share
from margin.engine.rejected import RejectedInputError

Index = NDArray[np.intp]
Flag = NDArray[np.bool_]
Code = NDArray[np.int8]

DAYS_PER_YEAR: Final = 365.0


class Kind(IntEnum):
    """What an instrument is; decides what one unit is worth when its underlying moves."""

    SPOT = 0  # money or a coin: worth its price
    SECURITY = 1
    PERPETUAL = 2
    FUTURE = 3
    OPTION = 4


@dataclass(frozen=True, slots=True, eq=False)
class Instruments:
    """What can be held.

    Attributes:
        names: (I,) each once.
        kinds: (I,) Kind.
        underlyings: (I,) index of the underlying that moves each.
        multipliers: (I,) units of the underlying in one contract, above 0; of an inverse contract
            the amount of the settlement currency.
        strikes: (I,) of options, above 0; 0 for the others.
        rights: (I,) +1 a call, -1 a put, 0 no option.
        years: (I,) to expiry, from 0; 0 for what does not expire.
        is_inverse: (I,) a perpetual or future that settles in its underlying.
    """

    names: tuple[str, ...]
    kinds: Code
    underlyings: Index
    multipliers: Float
    strikes: Float
    rights: Code
    years: Float
    is_inverse: Flag

    def __post_init__(self) -> None:
        for name in self.__slots__[1:]:
            _require_shape(name, getattr(self, name), (len(self.names),))
        if len(set(self.names)) != len(self.names):
            raise RejectedInputError("names: an instrument is listed twice")
        positive("multipliers", self.multipliers)
        not_negative("years", self.years)
        is_option = self.kinds == Kind.OPTION
        positive("strikes", self.strikes[is_option])
        if not (np.abs(self.rights) == is_option).all():
            raise RejectedInputError("rights: a call is +1, a put -1, anything else 0")
        derivative = (self.kinds == Kind.PERPETUAL) | (self.kinds == Kind.FUTURE)
        if (self.is_inverse & ~derivative).any():
            raise RejectedInputError("is_inverse: only perpetuals and futures are")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_option(self) -> Flag:
        """(I,) which are options."""
        flag: Flag = self.kinds == Kind.OPTION
        return flag


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Prices of one moment, with what is known of how they move.

    Attributes:
        instruments: what can be held.
        underlyings: (U,) names, each once.
        spots: (U,) price of one unit of the underlying.
        prices: (I,) mark per unit of the underlying (options: the premium), from 0.
        forwards: (I,) price of the underlying for the instrument's expiry; spot where none.
        volatilities: (I,) of options, per year; 0 for the others.
        rates: (I,) continuous, per year, to expiry.
        confidences: (I,) how far the sources of the price are trusted, from 0 to 1.
        daily_volatilities: (U,) standard deviation of one day's return.
        daily_volumes: (U,) value traded on a day.
        open_interests: (I,) value of all open contracts.
        returns: (T, U) simple returns of past days, the oldest first, each above -1.
    """

    instruments: Instruments
    underlyings: tuple[str, ...]
    spots: Float
    prices: Float
    forwards: Float
    volatilities: Float
    rates: Float
    confidences: Float
    daily_volatilities: Float
    daily_volumes: Float
    open_interests: Float
    returns: Float

    def __post_init__(self) -> None:
        count, assets = len(self.instruments), len(self.underlyings)
        if len(set(self.underlyings)) != assets:
            raise RejectedInputError("underlyings: one is listed twice")
        for name in ("prices", "forwards", "volatilities", "rates", "confidences"):
            _require_shape(name, getattr(self, name), (count,))
        _require_shape("open_interests", self.open_interests, (count,))
        for name in ("spots", "daily_volatilities", "daily_volumes"):
            _require_shape(name, getattr(self, name), (assets,))
        _require_shape("returns", self.returns, (len(self.returns), assets))
        places = self.instruments.underlyings
        if ((places < 0) | (places >= assets)).any():
            raise RejectedInputError("instruments: one has an underlying that is not listed")
        positive("spots", self.spots)
        positive("forwards", self.forwards)
        for name in ("prices", "volatilities", "open_interests"):
            not_negative(name, getattr(self, name))
        for name in ("daily_volatilities", "daily_volumes"):
            not_negative(name, getattr(self, name))
        finite("rates", self.rates)
        share("confidences", self.confidences)
        if not (finite("returns", self.returns) > -1).all():
            raise RejectedInputError("returns: a price falls by less than all of it")

    @property
    def units(self) -> Float:
        """(I,) how far the value of one contract moves with its underlying's price, options apart.

        An inverse contract pays multiplier x (1 / cost - 1 / price) of the underlying; at its mark
        that moves as multiplier / price units do.
        """
        contract = self.instruments
        per_contract: Float = contract.multipliers / np.where(
            contract.is_inverse, np.where(self.prices > 0, self.prices, np.inf), 1.0
        )
        return per_contract

    @property
    def notionals(self) -> Float:
        """(I,) value of what one contract stands for: units x price, of options x spot."""
        contract = self.instruments
        at = np.where(contract.is_option, self.spots[contract.underlyings], self.prices)
        value: Float = self.units * at
        return value


def _require_shape(name: str, values: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise RejectedInputError(f"{name}: the shape {shape} is expected, not {values.shape}")
