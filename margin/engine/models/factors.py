"""Multi-factor margin: what exposures to a few factors deviate together, and each one's own rest.

requirement = multiplier x k x root of (f' C f + sum of own variances x e^2), where f are exposures
to the market, sectors, basis, volatility and rates, C their covariance over a day, e the net delta
values by underlying and k the standard deviations that the tail and the root of the horizon make.
Market and sectors are estimated from returns; the deviations of basis, volatility and rates are
declared, and volatility moves with the market by a declared correlation, so that C is a covariance
whatever they are. Axes: U underlyings, F factors.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.chunks import row_chunks
from margin.engine.covariance import STANDARD_COVARIANCE, CovarianceParameters, psd_root
from margin.engine.explain import TIMES, figure_of
from margin.engine.factor_returns import Factors, Sector, check_sectors, factors_of
from margin.engine.given import Float
from margin.engine.greeks import contract_greeks
from margin.engine.market import DAYS_PER_YEAR, Kind, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    in_order,
    of_all_together,
    of_past_days,
)
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rowwise import lengths, times
from margin.engine.tail_factors import STANDARD_DEVIATIONS, Deviations

PARTS: Final = ("market", "sectors", "basis", "volatility", "rate", "own")
DECLARED: Final = 3  # basis, volatility, rate: after the market and the sectors


@dataclass(frozen=True, slots=True)
class FactorParameters:
    """The tail, the covariance and what is declared of factors without a history."""

    deviations: Deviations = parameter("How far into the tail")
    covariance: CovarianceParameters = parameter("How market and sectors are estimated")
    sectors: tuple[Sector, ...] = parameter("Underlyings that share a part of their moves")
    basis_deviation: float = parameter(
        "Standard deviation of a day's change of derivatives' prices over spot",
        unit="share of the price", least=0.0, most=1.0, is_shock=True,
    )  # fmt: skip
    volatility_deviation: float = parameter(
        "Standard deviation of a day's relative change of implied volatility",
        unit="share of the volatility", least=0.0, most=2.0,
    )  # fmt: skip
    volatility_correlation: float = parameter(
        "Correlation of that change with the market's return", least=-1.0, most=1.0
    )
    rate_deviation: float = parameter(
        "Standard deviation of a day's change of rates and of funding",
        unit="per year", least=0.0, most=10.0, is_shock=True,
    )  # fmt: skip
    funding_days: float = parameter(
        "Days for which a change of funding is borne on perpetuals",
        unit="days", least=0.0, most=3_650.0, is_shock=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_parameters(self)
        check_sectors(self.sectors)


class Spread(NamedTuple):
    """How scopes deviate in a day.

    Attributes:
        deviation: (A,) standard deviation of value.
        shares: (A, F + 1) what each factor adds to it (Euler), the own rest last; signed.
    """

    deviation: Float
    shares: Float


class PreparedFactors(Prepared):
    """A market with its factors and the exposure of one contract of everything to each.

    Attributes:
        exposures: (I, F) settlement currency per 1.00 of each factor.
        covariance: (F, F) of one day.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: FactorParameters) -> None:
        self.market, self.parameters = market, parameters
        self.factors = factors_of(
            market.returns,
            underlyings=market.underlyings,
            sectors=parameters.sectors,
            parameters=parameters.covariance,
        )
        sectors = tuple(f"sector {name}" for name in self.factors.sectors)
        self.bindings = ("market", *sectors, "basis", "volatility", "rate", "own")
        self.covariance = _covariance(self.factors, parameters)
        self._root = psd_root(self.covariance)
        self.exposures, self.delta = _exposures(market, self.factors, parameters)
        contract = market.instruments
        self._by_underlying = csr_array(
            (self.delta, (np.arange(len(contract)), contract.underlyings)),
            shape=(len(contract), len(market.underlyings)),
        )

    def requirement(self, books: Books) -> Requirement:
        initial, maintenance = np.zeros((2, len(books), len(PARTS)))
        binding = np.full(len(books), NOTHING_BINDS)
        held = books.matrix(instruments=len(self.market.instruments))
        width = len(self.market.underlyings) + 4 * len(self.bindings)
        tail = self.parameters.deviations
        for rows in row_chunks(len(books), width=width):
            shares = self._spread(held[rows]).shares
            by_part = self._by_part(shares)
            initial[rows] = (tail.multiplier * tail.initial) * by_part
            maintenance[rows] = (tail.multiplier * tail.maintenance) * by_part
            binding[rows] = shares.argmax(axis=1)
        initial, maintenance = _in_bounds(initial, maintenance)
        total = in_order(initial)
        return Requirement(
            initial=total,
            maintenance=in_order(maintenance),
            initial_parts=initial,
            maintenance_parts=maintenance,
            binding=np.where(total > 0, binding, NOTHING_BINDS),
        )

    def attribution(self, books: Books) -> Float:
        """(A, F + 1) what each of `bindings` adds to initial margin; within rounding they add up
        to it. A factor that a scope is hedged by takes away.
        """
        held = books.matrix(instruments=len(self.market.instruments))
        tail, count = self.parameters.deviations, len(books)
        width = len(self.market.underlyings) + 4 * len(self.bindings)
        shares = np.zeros((count, len(self.bindings)))
        for rows in row_chunks(count, width=width):
            shares[rows] = self._spread(held[rows]).shares
        return (tail.multiplier * tail.initial) * shares

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        said, tail = self.requirement(one), self.parameters.deviations
        return Explained(
            self._tree(one, "Initial", said.initial_parts[0], tail.initial),
            self._tree(one, "Maintenance", said.maintenance_parts[0], tail.maintenance),
        )

    def _spread(self, held: csr_array) -> Spread:
        exposed: Float = held @ self.exposures
        net: Float = (held @ self._by_underlying).toarray()
        pulls = times(exposed, self._root)
        own = in_order(self.factors.own_variances * net * net)
        deviation = np.sqrt(lengths(pulls) ** 2 + own)
        per_deviation = np.where(deviation > 0, deviation, 1.0)[:, None]
        common = exposed * times(pulls / per_deviation, self._root.T)
        return Spread(deviation, np.column_stack([common, own / per_deviation[:, 0]]))

    def _by_part(self, shares: Float) -> Float:
        """(A, 6) sectors in one."""
        first = len(self.bindings) - DECLARED - 1
        sectors = in_order(shares[:, 1:first])
        return np.column_stack([shares[:, 0], sectors, shares[:, first:]])

    def _tree(self, one: Books, name: str, parts: Float, deviations: float) -> Part:
        total = float(in_order(parts[None])[0])
        children = self._children(one, deviations) if total > 0 else ()
        return Part(
            f"{name} margin by factors",
            total,
            f"{figure_of(deviations)} deviations of a day",
            ({"parameter": "deviations"}, {"parameter": "covariance"}),
            children,
        )

    def _children(self, one: Books, deviations: float) -> tuple[Part, ...]:
        instruments, quantities = one.of(0)
        held = one.matrix(instruments=len(self.market.instruments))
        spread = self._spread(held)
        scale = self.parameters.deviations.multiplier * deviations / float(spread.deviation[0])
        pulls = times(held @ self.exposures, self._root)
        rates = scale * times(pulls, self._root.T)[0]
        values = quantities[:, None] * self.exposures[instruments]
        places = self.market.instruments.underlyings[instruments]
        net = (held @ self._by_underlying).toarray()[0]
        own_rates = scale * (self.factors.own_variances * net)[places]
        factors = [
            self._factor(one, self.bindings[place], values[:, place], np.full(len(values), rate))
            for place, rate in enumerate(rates)
        ]
        own = self._factor(one, "own", quantities * self.delta[instruments], own_rates)
        return (*factors, own)

    def _factor(self, one: Books, name: str, values: Float, rates: Float) -> Part:
        """What one factor adds, by instrument: exposures (P,) times rates (P,)."""
        instruments, _quantities = one.of(0)
        names = self.market.instruments.names
        legs = tuple(
            Part(
                names[instrument],
                float(value * rate),
                f"exposure {figure_of(value)} {TIMES} {figure_of(rate)}",
                ({"price": names[instrument]},),
            )
            for instrument, value, rate in zip(instruments, values, rates, strict=True)
            if value != 0
        )
        amount = sum(leg.amount for leg in legs)
        return Part(name, amount, "exposure times what the factor adds", children=legs)


def _covariance(factors: Factors, parameters: FactorParameters) -> Float:
    """(F, F) of one day: market and sectors, then basis, volatility and rate."""
    estimated = len(factors.covariance)
    full = np.zeros((estimated + DECLARED, estimated + DECLARED))
    full[:estimated, :estimated] = factors.covariance
    basis, volatility, rate = range(estimated, estimated + DECLARED)
    full[basis, basis] = parameters.basis_deviation**2
    full[volatility, volatility] = parameters.volatility_deviation**2
    full[rate, rate] = parameters.rate_deviation**2
    market = float(np.sqrt(factors.covariance[0, 0]))
    if market > 0:
        # Volatility moves with the market, and with the sectors as far as the market does.
        share = parameters.volatility_correlation * parameters.volatility_deviation / market
        full[volatility, :estimated] = full[:estimated, volatility] = share * factors.covariance[0]
    return full


def _exposures(
    market: Market, factors: Factors, parameters: FactorParameters
) -> tuple[Float, Float]:
    """(I, F) of one contract, and its delta (I,).

    Derivatives have the basis; options the volatility, and the rate through discount and forward;
    futures the rate through their forward; a long perpetual pays funding.
    """
    contract, greeks = market.instruments, contract_greeks(market)
    places = contract.underlyings
    is_perpetual = contract.kinds == Kind.PERPETUAL
    is_derivative = is_perpetual | (contract.kinds == Kind.FUTURE) | contract.is_option
    in_sector = factors.sector[places][:, None] == np.arange(len(factors.sectors))
    funding = parameters.funding_days / DAYS_PER_YEAR
    carry = np.where(is_perpetual, -funding, contract.years)
    exposures = np.column_stack(
        [
            greeks.delta * factors.betas[places],
            greeks.delta[:, None] * in_sector,
            np.where(is_derivative, greeks.delta, 0.0),
            greeks.vega * market.volatilities,
            np.where(is_derivative, greeks.delta * carry, 0.0) + greeks.rho,
        ]
    )
    return exposures, greeks.delta


def _in_bounds(initial: Float, maintenance: Float) -> tuple[Float, Float]:
    """Parts whose sums are in order bit for bit.

    Parts of a hedged scope are signed, and where next to nothing is left of them the rounding of
    their sum may be all there is.
    """
    total = in_order(initial)
    initial = np.where((total > 0)[:, None], initial, 0.0)
    maintenance = np.where((total > 0)[:, None], maintenance, 0.0)
    kept = in_order(maintenance)
    is_off = (kept < 0) | (kept > in_order(initial))
    return initial, np.where(is_off[:, None], initial, maintenance)


MODEL: Final = Model(
    name="factors",
    version="v1",
    title="Multi-factor margin",
    parameters=FactorParameters,
    standard=FactorParameters(
        deviations=STANDARD_DEVIATIONS,
        covariance=STANDARD_COVARIANCE,
        # The names that begin with U are of the made-up markets of `margin.engine.worlds`.
        sectors=(
            Sector(name="layer 1", underlyings=("BTC", "ETH", "SOL", "U0", "U2")),
            Sector(name="equity", underlyings=("SPY", "AAPL", "IBM", "BAC", "GOOG")),
        ),
        basis_deviation=0.004,
        volatility_deviation=0.06,
        volatility_correlation=-0.5,
        rate_deviation=0.01,
        funding_days=5.0,
    ),
    looks_back=of_past_days,
    mixes=of_all_together,
    prepare=PreparedFactors,
    laws=frozenset({Law.SCALE, Law.SUBADDITIVE, Law.MONOTONE}),
    source="Linear factor models of risk: Rosenberg (1974); attribution by Euler's theorem as in"
    " Tasche (1999); shrinkage by Ledoit and Wolf (2004).",
)
