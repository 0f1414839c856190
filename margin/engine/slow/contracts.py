"""One contract at a time, in plain floats: what it is worth and how it moves."""

import math
from dataclasses import dataclass

from margin.engine.market import Kind, Market


@dataclass(frozen=True, slots=True)
class Contract:
    """One instrument of a market, read out of its columns."""

    kind: Kind
    underlying: int
    multiplier: float
    strike: float
    is_call: bool
    years: float
    is_inverse: bool
    spot: float
    price: float
    forward: float
    volatility: float
    rate: float

    @property
    def units(self) -> float:
        """Units of the underlying that one contract moves with."""
        return self.multiplier / self.price if self.is_inverse else self.multiplier

    def value(self, *, move: float = 1.0, volatility: float = 1.0, years: float = 0.0) -> float:
        """What one contract is worth when the underlying is at `move` times its price.

        Args:
            volatility: factor on the option's volatility.
            years: that have passed.
        """
        if self.kind is not Kind.OPTION:
            return self.units * self.price * move
        left = max(self.years - years, 0.0)
        return self.multiplier * option_price(
            self.forward * move,
            strike=self.strike,
            deviation=self.volatility * volatility * math.sqrt(left),
            discount=math.exp(-self.rate * left),
            is_call=self.is_call,
        )


def contract_of(market: Market, place: int) -> Contract:
    """One row of a market."""
    rows = market.instruments
    underlying = int(rows.underlyings[place])
    return Contract(
        kind=Kind(int(rows.kinds[place])),
        underlying=underlying,
        multiplier=float(rows.multipliers[place]),
        strike=float(rows.strikes[place]),
        is_call=bool(rows.rights[place] > 0),
        years=float(rows.years[place]),
        is_inverse=bool(rows.is_inverse[place]),
        spot=float(market.spots[underlying]),
        price=float(market.prices[place]),
        forward=float(market.forwards[place]),
        volatility=float(market.volatilities[place]),
        rate=float(market.rates[place]),
    )


def option_price(
    forward: float, *, strike: float, deviation: float, discount: float, is_call: bool
) -> float:
    """Black-76, by the error function of the C library."""
    sign = 1.0 if is_call else -1.0
    if deviation <= 0.0 or forward <= 0.0:
        return discount * max(sign * (forward - strike), 0.0)
    upper = math.log(forward / strike) / deviation + deviation / 2
    lower = upper - deviation
    return discount * sign * (forward * normal(sign * upper) - strike * normal(sign * lower))


def normal(deviations: float) -> float:
    """Share of the normal distribution below so many deviations."""
    return 0.5 * math.erfc(-deviations / math.sqrt(2.0))
