"""What shares and options of each underlying require, declared."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Kind, Market
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError
from margin.engine.strategies import Breadth, Underlying

LEVERAGE_MOST: Final = 10.0


@dataclass(frozen=True, slots=True)
class UnderlyingTerms:
    """What an underlying represents; one that is not listed is a single share without leverage."""

    underlying: str = parameter("Name of the underlying")
    breadth: Breadth = parameter("A single share, a narrow or broad index, a volatility index")
    leverage: float = parameter(
        "Multiple of its index that a fund follows, negative for an inverse one, else 1",
        unit="times",
        least=-LEVERAGE_MOST,
        most=LEVERAGE_MOST,
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if self.leverage == 0:
            raise RejectedInputError(f"leverage: that of {self.underlying} is 0")


@dataclass(frozen=True, slots=True)
class StrategiesParameters:
    """Rates of shares, and how options are carried; rates of options are those of the rules."""

    underlyings: tuple[UnderlyingTerms, ...]
    initial_rate: float = parameter(
        "Initial margin of shares, long or short",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    long_rate: float = parameter(
        "Maintenance margin of long shares",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    short_rate: float = parameter(
        "Maintenance margin of short shares",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    short_least: float = parameter(
        "Least maintenance margin of a short share",
        unit="settlement currency per share",
        least=0.0,
        is_shock=True,
    )
    low_price: float = parameter(
        "Price below which a share is low-priced",
        unit="settlement currency per share",
        least=0.0,
    )
    low_short_rate: float = parameter(
        "Maintenance margin of short shares that are low-priced",
        unit="share of the price",
        least=0.0,
        most=2.0,
        is_shock=True,
    )
    low_short_least: float = parameter(
        "Least maintenance margin of a short share that is low-priced",
        unit="settlement currency per share",
        least=0.0,
        is_shock=True,
    )
    cover_units: float = parameter(
        "Units in the contracts that shares may cover; others are grouped without shares",
        unit="shares",
        least=0.0,
    )
    premium_required: bool = parameter(
        "Whether a short option requires its premium too: yes where equity does not deduct it"
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        names = [each.underlying for each in self.underlyings]
        if len(set(names)) != len(names):
            raise RejectedInputError("underlyings: one is listed twice")

    def underlying(self, name: str, *, price: float) -> Underlying:
        """One underlying as the rules see it."""
        for terms in self.underlyings:
            if terms.underlying == name:
                return Underlying(price, terms.breadth, terms.leverage)
        return Underlying(price)


class ShareRates(NamedTuple):
    """What one unit of each of I instruments requires, 0 where it is no share; (I, 2) each:
    held long, sold short."""

    initial: Float
    maintenance: Float


def share_rates(market: Market, parameters: StrategiesParameters) -> ShareRates:
    """Initial and maintenance margin of one unit of every share.

    Rates of a fund with leverage are multiplied by it, up to all of the price; initial margin is
    never below maintenance margin.

    Source:
        Regulation T, 12 CFR 220.12; FINRA rule 4210(c); Regulatory Notice 09-53 (leverage).
    """
    contract = market.instruments
    leverages = np.array(
        [
            max(1.0, abs(parameters.underlying(name, price=1.0).leverage))
            for name in market.underlyings
        ]
    )
    times = leverages[contract.underlyings]
    price, is_low = market.prices, market.prices < parameters.low_price
    rate = np.where(is_low, parameters.low_short_rate, parameters.short_rate)
    least = np.where(is_low, parameters.low_short_least, parameters.short_least)
    maintenance = np.column_stack(
        [
            np.minimum(parameters.long_rate * times, 1.0) * price,
            np.maximum(np.minimum(rate * times, np.maximum(rate, 1.0)) * price, least),
        ]
    )
    initial = np.maximum((parameters.initial_rate * price)[:, None], maintenance)
    units = np.where(contract.kinds == Kind.SECURITY, contract.multipliers, 0.0)[:, None]
    return ShareRates(initial * units, maintenance * units)
