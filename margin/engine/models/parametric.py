"""Parametric value at risk and expected shortfall: delta exposures times a covariance.

requirement = multiplier x (k x root of (e' C e) + short gamma), where e is the net delta value by
underlying, C the covariance of a day's returns and k the standard deviations that the tail and the
root of the horizon make. The adjustment for gamma, where it is declared, charges half of the net
gamma of each underlying that is sold, at its own move of k deviations: bought gamma earns no
relief, and none of it is more than the whole move of what is sold. Axes: U underlyings.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.chunks import row_chunks
from margin.engine.covariance import (
    STANDARD_COVARIANCE,
    CovarianceParameters,
    estimated,
    psd_root,
)
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.greeks import contract_greeks
from margin.engine.market import Market
from margin.engine.model import (
    NOTHING_BINDS,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    first_greatest,
    in_order,
    of_all_together,
    of_past_days,
)
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rowwise import lengths
from margin.engine.tail_factors import STANDARD_DEVIATIONS, Deviations

PARTS: Final = ("delta", "short_gamma")


class GammaAdjustment(StrEnum):
    """What is charged for options beside their delta."""

    NONE = "none"
    SHORT_GAMMA = "short_gamma"


@dataclass(frozen=True, slots=True)
class ParametricParameters:
    """The tail, the covariance, and what is done about gamma."""

    deviations: Deviations = parameter("How far into the tail")
    covariance: CovarianceParameters = parameter("How returns move together")
    gamma: GammaAdjustment = parameter("What is charged for options beside their delta")

    def __post_init__(self) -> None:
        check_parameters(self)


class PreparedParametric(Prepared):
    """A market with its covariance, and the sensitivities of one contract of everything.

    Attributes:
        covariance: (U, U) of one day's returns.
        delta: (I,) settlement currency per 1.00 of relative move of the underlying.
        gamma: (I,) half of it times the squared move is gained on top.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: ParametricParameters) -> None:
        self.market, self.parameters = market, parameters
        self.bindings = market.underlyings
        self.covariance = estimated(market.returns, parameters=parameters.covariance).covariance
        self._root = psd_root(self.covariance)
        self._deviations = np.sqrt(np.diag(self.covariance))
        greeks = contract_greeks(market)
        self.delta = greeks.delta
        self.gamma = self._bounded(greeks.gamma)
        self._delta_by_underlying = self._by_underlying(self.delta)
        self._gamma_by_underlying = self._by_underlying(self.gamma)

    def requirement(self, books: Books) -> Requirement:
        held = books.matrix(instruments=len(self.market.instruments))
        initial, maintenance = np.zeros((2, len(books), len(PARTS)))
        binding = np.full(len(books), NOTHING_BINDS)
        for rows in row_chunks(len(books), width=4 * max(len(self.bindings), 1)):
            exposure = held[rows] @ self._delta_by_underlying
            exposure.sort_indices()
            deviation = lengths(exposure @ self._root)
            short = np.maximum(-(held[rows] @ self._gamma_by_underlying).toarray(), 0.0)
            tail = self.parameters.deviations
            initial[rows] = self._parts(deviation, short, tail.initial)
            maintenance[rows] = self._parts(deviation, short, tail.maintenance)
            pull = exposure.toarray() * (exposure @ self.covariance)
            per_deviation = np.where(deviation > 0, deviation, 1.0)[:, None]
            share = tail.initial * pull / per_deviation + short * self._charges(tail.initial)
            binding[rows] = first_greatest(share)
        total = in_order(initial)
        return Requirement(
            initial=total,
            maintenance=in_order(maintenance),
            initial_parts=initial,
            maintenance_parts=maintenance,
            binding=np.where(total > 0, binding, NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        said = self.requirement(one)
        tail = self.parameters.deviations
        return Explained(
            self._tree(one, "Initial", said.initial_parts, tail.initial),
            self._tree(one, "Maintenance", said.maintenance_parts, tail.maintenance),
        )

    def _bounded(self, gamma: Float) -> Float:
        """Gamma without end, as at expiry, costs no more than the whole move of the contract."""
        if self.parameters.gamma is GammaAdjustment.NONE:
            return np.zeros_like(gamma)
        contract = self.market.instruments
        move = self.parameters.deviations.initial * self._deviations[contract.underlyings]
        whole = 2.0 * contract.multipliers * self.market.forwards
        most = np.divide(whole, move, out=np.zeros_like(whole), where=move > 0)
        bounded: Float = np.minimum(gamma, most)
        return bounded

    def _by_underlying(self, values: Float) -> csr_array:
        contract = self.market.instruments
        return csr_array(
            (values, (np.arange(len(contract)), contract.underlyings)),
            shape=(len(contract), len(self.market.underlyings)),
        )

    def _charges(self, deviations: float) -> Float:
        """(U,) what one of sold gamma costs."""
        charges: Float = 0.5 * (deviations * self._deviations) ** 2
        return charges

    def _parts(self, deviation: Float, short: Float, deviations: float) -> Float:
        multiplier = self.parameters.deviations.multiplier
        gamma = in_order(short * self._charges(deviations))
        return np.column_stack([multiplier * (deviations * deviation), multiplier * gamma])

    def _tree(self, one: Books, name: str, parts: Float, deviations: float) -> Part:
        return Part(
            f"{name} margin by covariance",
            float(in_order(parts)[0]),
            f"{figure_of(deviations)} deviations of a day",
            ({"parameter": "deviations"},),
            (
                Part(
                    "Delta",
                    float(parts[0, 0]),
                    f"{figure_of(deviations)} {TIMES} deviation of net delta values",
                    ({"parameter": "covariance"},),
                    self._delta_children(one, deviations),
                ),
                Part(
                    "Short gamma",
                    float(parts[0, 1]),
                    "half of net gamma sold times the squared move",
                    ({"parameter": "gamma"},),
                    self._gamma_children(one, deviations),
                ),
            ),
        )

    def _delta_children(self, one: Books, deviations: float) -> tuple[Part, ...]:
        """By underlying what its instruments add to the deviation of all (Euler)."""
        instruments, quantities = one.of(0)
        exposure = one.matrix(instruments=len(self.market.instruments)) @ self._delta_by_underlying
        pulls = exposure @ self._root
        deviation = float(lengths(pulls)[0])
        if deviation <= 0:
            return ()
        scale = self.parameters.deviations.multiplier * deviations
        marginal = scale * (self._root @ (pulls[0] / deviation))
        return self._by_name(one, quantities * self.delta[instruments], marginal)

    def _gamma_children(self, one: Books, deviations: float) -> tuple[Part, ...]:
        instruments, quantities = one.of(0)
        net = one.matrix(instruments=len(self.market.instruments)) @ self._gamma_by_underlying
        rates = self.parameters.deviations.multiplier * self._charges(deviations)
        sold = np.where(net.toarray()[0] < 0, -rates, 0.0)
        return self._by_name(one, quantities * self.gamma[instruments], sold)

    def _by_name(self, one: Books, values: Float, rates: Float) -> tuple[Part, ...]:
        """Underlyings, and the legs of each: values (P,) of positions times rates (U,)."""
        instruments, _quantities = one.of(0)
        contract, names = self.market.instruments, self.market.underlyings
        places = contract.underlyings[instruments]
        parts = []
        for asset in np.unique(places[rates[places] != 0]):
            legs = tuple(
                Part(
                    contract.names[instruments[leg]],
                    float(values[leg] * rates[asset]),
                    f"{figure_of(values[leg])} {TIMES} {figure_of(rates[asset])}",
                    ({"price": contract.names[instruments[leg]]},),
                )
                for leg in np.flatnonzero(places == asset)
            )
            amount = sum(leg.amount for leg in legs)
            parts.append(Part(names[asset], amount, "sum of its legs", children=legs))
        return tuple(parts)


MODEL: Final = Model(
    name="parametric",
    version="v1",
    title="Parametric value at risk and expected shortfall",
    parameters=ParametricParameters,
    standard=ParametricParameters(
        deviations=STANDARD_DEVIATIONS,
        covariance=STANDARD_COVARIANCE,
        gamma=GammaAdjustment.SHORT_GAMMA,
    ),
    looks_back=of_past_days,
    mixes=of_all_together,
    prepare=PreparedParametric,
    laws=frozenset({Law.SCALE, Law.SUBADDITIVE, Law.MONOTONE}),
    source="Variance-covariance method: RiskMetrics Technical Document (1996); tails as McNeil,"
    " Frey and Embrechts (2005); shrinkage by Ledoit and Wolf (2004).",
)  # fmt: skip
