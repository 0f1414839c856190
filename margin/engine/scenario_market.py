"""What a scenario margin is computed from: the market of one underlying, and books in it.

Axes: S scopes, E expiries, O options, C collateral assets, P rows of holdings. One underlying
has a spot, at most one perpetual, and options on the forwards of its expiries; money is counted
in the settlement currency, and collateral is worth its price over that of the stable asset.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from margin.engine.black76 import Floats
from margin.engine.rejected import RejectedInputError

Index = NDArray[np.intp]
Flag = NDArray[np.bool_]

SECONDS_PER_DAY: Final = 86_400.0
DAYS_PER_YEAR: Final = 365.0
# Over this last stretch the settlement price is averaged, so part of it is known already.
SETTLEMENT_SECONDS: Final = 1_800.0


def require_numbers(
    values: Floats | float, *, name: str, least: float = -np.inf, most: float = np.inf
) -> None:
    """Refuse numbers that are not finite or not within [least, most].

    Raises:
        RejectedInputError: naming `name`.
    """
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise RejectedInputError(f"{name}: a number is missing or infinite")
    if (array < least).any() or (array > most).any():
        raise RejectedInputError(f"{name}: a number is not within {least:g} and {most:g}")


def require_length(values: Floats | Index | Flag, *, name: str, count: int) -> None:
    """Refuse anything but one value per row.

    Raises:
        RejectedInputError: naming `name`.
    """
    if values.shape != (count,):
        raise RejectedInputError(f"{name}: {count} values are expected, not {values.shape}")


@dataclass(frozen=True, slots=True)
class Expiries:
    """Forwards of the underlying, with how much each source of prices trusts its figure.

    Attributes:
        seconds: (E,) time to expiry, not negative.
        forwards: (E,) price of the underlying for the expiry, above 0.
        rates: (E,) yearly rate, continuously compounded; below 0 counts as 0.
        forward_confidences, rate_confidences, volatility_confidences: (E,) from 0 to 1.
    """

    seconds: Floats
    forwards: Floats
    rates: Floats
    forward_confidences: Floats
    rate_confidences: Floats
    volatility_confidences: Floats

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_length(getattr(self, name), name=name, count=len(self.seconds))
            require_numbers(getattr(self, name), name=name)
        require_numbers(self.seconds, name="seconds", least=0)
        require_numbers(self.forwards, name="forwards", least=np.nextafter(0, 1))
        for name in ("forward_confidences", "rate_confidences", "volatility_confidences"):
            require_numbers(getattr(self, name), name=name, least=0, most=1)

    @property
    def years(self) -> Floats:
        """(E,) time to expiry in years of 365 days."""
        return self.seconds / (SECONDS_PER_DAY * DAYS_PER_YEAR)

    @property
    def charged_rates(self) -> Floats:
        """(E,) the rates, none below 0."""
        return np.maximum(self.rates, 0.0)

    @property
    def discounts(self) -> Floats:
        """(E,) what one unit of money at expiry is worth now."""
        return np.exp(-self.charged_rates * self.years)

    @property
    def open_shares(self) -> Floats:
        """(E,) share of the settlement price that is not averaged in yet, so still moves."""
        return np.minimum(self.seconds / SETTLEMENT_SECONDS, 1.0)

    @property
    def confidences(self) -> Floats:
        """(E,) the lowest confidence in what an option of the expiry is priced from."""
        sources = (self.forward_confidences, self.rate_confidences, self.volatility_confidences)
        lowest: Floats = np.minimum.reduce(sources)
        return lowest


@dataclass(frozen=True, slots=True)
class Options:
    """Listed options.

    Attributes:
        expiries: (O,) index into the expiries.
        strikes: (O,) above 0.
        is_call: (O,) True for a call, False for a put.
        volatilities: (O,) yearly, not negative.
    """

    expiries: Index
    strikes: Floats
    is_call: Flag
    volatilities: Floats

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_length(getattr(self, name), name=name, count=len(self.strikes))
        require_numbers(self.strikes, name="strikes", least=np.nextafter(0, 1))
        require_numbers(self.volatilities, name="volatilities", least=0)


@dataclass(frozen=True, slots=True)
class CollateralAssets:
    """What may be given as collateral.

    Attributes:
        prices: (C,) not negative.
        confidences: (C,) from 0 to 1.
        risk_cancelling: (C,) whether its value moves with the underlying, and so offsets it.
        maintenance_haircuts: (C,) share of the value that does not count, from 0 to 1.
        initial_haircuts: (C,) what initial margin leaves out on top of that.
    """

    prices: Floats
    confidences: Floats
    risk_cancelling: Flag
    maintenance_haircuts: Floats
    initial_haircuts: Floats

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_length(getattr(self, name), name=name, count=len(self.prices))
        require_numbers(self.prices, name="prices", least=0)
        require_numbers(self.confidences, name="confidences", least=0, most=1)
        require_numbers(self.maintenance_haircuts, name="maintenance_haircuts", least=0, most=1)
        require_numbers(self.initial_haircuts, name="initial_haircuts", most=1)


@dataclass(frozen=True, slots=True)
class Market:
    """One moment of one underlying.

    Attributes:
        spot, spot_confidence: price of the underlying and confidence in it.
        perpetual_price, perpetual_confidence: of its perpetual; not looked at without one.
        stable_price: of the stable asset, above 0.
    """

    spot: float
    spot_confidence: float
    perpetual_price: float
    perpetual_confidence: float
    stable_price: float
    expiries: Expiries
    options: Options
    collateral: CollateralAssets

    def __post_init__(self) -> None:
        require_numbers(self.spot, name="spot", least=0)
        require_numbers(self.perpetual_price, name="perpetual_price", least=0)
        require_numbers(self.stable_price, name="stable_price", least=np.nextafter(0, 1))
        for name in ("spot_confidence", "perpetual_confidence"):
            require_numbers(getattr(self, name), name=name, least=0, most=1)
        expiries = self.options.expiries
        if ((expiries < 0) | (expiries >= len(self.expiries.seconds))).any():
            raise RejectedInputError("options: one has an expiry that is not listed")


class Holdings(NamedTuple):
    """Who holds how much of what; several rows of one asset in one scope are one position.

    Attributes:
        scopes: (P,) index of the scope.
        assets: (P,) index of the option or collateral asset.
        amounts: (P,) signed.
    """

    scopes: Index
    assets: Index
    amounts: Floats


@dataclass(frozen=True, slots=True)
class Books:
    """What scopes hold.

    Attributes:
        cash: (S,) signed.
        perpetuals: (S,) signed count of the perpetual.
        perpetual_profits, fundings: (S,) not yet settled, signed.
        options: signed amounts.
        collateral: amounts, none of them negative.
    """

    cash: Floats
    perpetuals: Floats
    perpetual_profits: Floats
    fundings: Floats
    options: Holdings
    collateral: Holdings

    def __post_init__(self) -> None:
        for name in ("cash", "perpetuals", "perpetual_profits", "fundings"):
            require_length(getattr(self, name), name=name, count=len(self.cash))
            require_numbers(getattr(self, name), name=name)
        require_numbers(self.options.amounts, name="option amounts")
        require_numbers(self.collateral.amounts, name="collateral amounts", least=0)


def position_matrix(holdings: Holdings, *, scopes: int, assets: int) -> csr_array:
    """Net positions as a sparse matrix (scopes, assets).

    Rows are added in an order of their own, so that the order they came in changes nothing.

    Raises:
        RejectedInputError: a row names a scope or an asset that there is not.
    """
    for name, rows, count in (
        ("scopes", holdings.scopes, scopes),
        ("assets", holdings.assets, assets),
    ):
        require_length(rows, name=name, count=len(holdings.amounts))
        if ((rows < 0) | (rows >= count)).any():
            raise RejectedInputError(f"holdings: one names {name} beyond {count}")
    order = np.lexsort((holdings.amounts, holdings.assets, holdings.scopes))
    places = (holdings.scopes[order], holdings.assets[order])
    matrix = csr_array((holdings.amounts[order], places), shape=(scopes, assets))
    matrix.sum_duplicates()
    return matrix
