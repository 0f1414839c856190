"""What a scenario margin asks for beside its scenarios: size, bare shorts, doubt, and basis.

Axes: S scopes, E expiries, O options, C collateral assets. All amounts are costs, not negative,
in the settlement currency, except the basis contingency, which is a loss like a scenario's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from margin.engine.black76 import Floats
from margin.engine.parameters import parameter
from margin.engine.scenario_market import Expiries, Index, Market, Options, require_numbers


@dataclass(frozen=True, slots=True)
class ContingencyRates:
    """Shares of notional; what initial margin asks comes on top of maintenance margin.

    Attributes:
        perpetual, option: maintenance, not negative.
        initial_perpetual, initial_option: the addition of initial margin.
    """

    perpetual: float
    option: float
    initial_perpetual: float
    initial_option: float

    def __post_init__(self) -> None:
        for name in ("perpetual", "option"):
            require_numbers(getattr(self, name), name=name, least=0)
        for name in ("initial_perpetual", "initial_option"):
            require_numbers(getattr(self, name), name=name)


@dataclass(frozen=True, slots=True)
class ConfidenceTerms:
    """When a price is doubted, and what doubt costs.

    Attributes:
        threshold: confidence below which a price is doubted.
        rate: share of notional that complete doubt costs.
    """

    threshold: float = parameter(
        "Confidence below which a price is doubted", unit="share", least=0.0, is_shock=True
    )
    rate: float = parameter(
        "What complete doubt costs", unit="share of notional", least=0.0, is_shock=True
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=name, least=0)

    def cost(self, confidences: Floats) -> Floats:
        """Share of notional asked for prices of such confidence, an array of the same shape."""
        doubted = confidences < self.threshold
        return np.where(doubted, (1 - confidences) * self.rate, 0.0)


@dataclass(frozen=True, slots=True)
class PegTerms:
    """What it adds to the initial loss factor that the stable asset is not stable.

    Attributes:
        threshold: price from which down the peg counts as lost.
        factor: addition per unit of price below that.
    """

    threshold: float = parameter(
        "Price of the stable coin below which its peg counts as lost",
        unit="settlement currency",
        least=0.0,
        is_shock=True,
    )
    factor: float = parameter(
        "Addition to the initial loss factor per unit below that",
        unit="multiple",
        least=0.0,
        is_shock=True,
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=name, least=0)

    def addition(self, stable_price: float) -> float:
        """Addition to the loss factor at such a price, 0 at the threshold and above."""
        return max(self.threshold - stable_price, 0.0) * self.factor


@dataclass(frozen=True, slots=True)
class BasisTerms:
    """What it costs that the forward of an expiry may move without the others.

    Attributes:
        spot_up, spot_down: what the forward is multiplied by.
        base, per_year: share of the loss that counts is base + per_year x years.
    """

    spot_up: float = parameter("Move of one expiry alone, upwards", unit="multiple", least=0.0)
    spot_down: float = parameter("and downwards", unit="multiple", least=0.0)
    base: float = parameter(
        "How much of that loss counts at once", unit="share", least=0.0, is_shock=True
    )
    per_year: float = parameter(
        "and for every year to expiry", unit="share per year", least=0.0, is_shock=True
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require_numbers(getattr(self, name), name=name, least=0)

    def shares(self, expiries: Expiries) -> Floats:
        """(E,) share of the loss of each expiry that counts."""
        return self.base + self.per_year * expiries.years


def strike_matrix(options: Options) -> csr_array:
    """Which options share expiry and strike, as a matrix of ones (O, strikes)."""
    pairs = np.stack([options.expiries.astype(float), options.strikes])
    listed, strike = np.unique(pairs, axis=1, return_inverse=True)
    places = (np.arange(len(options.strikes)), strike.reshape(-1))
    shape = (len(options.strikes), listed.shape[1])
    return csr_array((np.ones(len(options.strikes)), places), shape=shape)


def short_options(held: csr_array, *, strikes: csr_array) -> Floats:
    """(S,) options short after calls and puts of one expiry and strike are netted."""
    net = held @ strikes
    net.data = np.maximum(-net.data, 0.0)
    return np.asarray(net.sum(axis=1), dtype=float).reshape(-1)


class Doubt(NamedTuple):
    """What doubted prices cost, (S,) each."""

    perpetual: Floats
    options: Floats
    collateral: Floats


def doubt_contingency(
    *,
    perpetuals: Floats,
    options: csr_array,
    collateral_values: csr_array,
    market: Market,
    options_of: Sequence[Index],
    terms: ConfidenceTerms,
) -> Doubt:
    """The cost of doubt in the prices that each position rests on.

    A perpetual rests on spot and its own price; options on forward, rate and volatility of their
    expiry, on spot, and on the perpetual where the scope holds it; collateral on spot and its own
    price. The lowest confidence decides.

    Args:
        perpetuals: (S,) signed count.
        options: (S, O) signed amounts.
        collateral_values: (S, C).
        options_of: for each expiry the indices of its options.
    """
    own = np.where(perpetuals != 0, market.perpetual_confidence, 1.0)
    shared = np.minimum(own, market.spot_confidence)
    of_collateral = np.minimum(market.collateral.confidences, market.spot_confidence)
    sizes = abs(options).tocsc()
    of_options = np.zeros(len(perpetuals))
    for confidence, chosen in zip(market.expiries.confidences, options_of, strict=True):
        count = sizes[:, chosen] @ np.ones(len(chosen))
        of_options += count * market.spot * terms.cost(np.minimum(shared, confidence))
    return Doubt(
        perpetual=np.abs(perpetuals) * market.spot * terms.cost(shared),
        options=of_options,
        collateral=collateral_values @ terms.cost(of_collateral),
    )


def basis_contingency(now: Floats, *, up: Floats, down: Floats, share: float) -> Floats:
    """(S,) signed: the worse of the changes of one expiry's value, as far as it counts.

    Args:
        now, up, down: (S,) value as it is, and with the forward moved up and down.
        share: of the loss that counts.
    """
    return np.minimum(np.minimum(up - now, down - now), 0.0) * share
