"""Greeks margin: what net sensitivities lose in declared shocks, Greek by Greek.

Of each underlying, over all that is held in it:

    delta  price shock x |net delta value|
    gamma  what the net gamma of each bucket of time to expiry loses in the price shock,
           1/2 x gamma x shock^2; short gamma is charged, long gamma of another bucket counts
           against it by a declared share and never lowers anything else
    vega   net vega of each bucket x a volatility shock that is greater for short terms,
           (30 days / days)^power; buckets hedge each other as far as they are correlated
    theta  what passing time costs over the holding period, net of what it earns there
    rho    net rho of each bucket x rate shock, buckets as with vega

Charges of underlyings, then of Greeks, are combined by declared correlations, where 1 adds them
and 0 takes the root of the sum of their squares. Each step is a norm or its positive side, so that
books together never require more than apart, and each position has an exact share (Euler's).

Axes: A scopes, I instruments, B buckets, N underlyings held by scopes, 5 Greeks.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.combination import Correlated, OneSided, PartlyHedged, Rule, added
from margin.engine.given import Float
from margin.engine.greeks import Greeks, contract_greeks
from margin.engine.market import DAYS_PER_YEAR, Index, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Explained,
    Law,
    Model,
    Prepared,
    Requirement,
    in_order,
)
from margin.engine.models import greeks_tree
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

PARTS: Final = ("delta", "gamma", "vega", "theta", "rho")
REFERENCE_DAYS: Final = 30.0
# Days are told apart no finer: 30 days as a share of a year are 30 days again.
DAYS_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class GreeksParameters:
    """Shocks of the Greeks margin, and what hedges what."""

    price_shock: float = parameter(
        "Fall or rise of an underlying that net delta and short gamma must bear",
        unit="share of the price",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    long_gamma_share: float = parameter(
        "How much of the long gamma of one bucket counts against the short gamma of another",
        unit="share",
        least=0.0,
        most=1.0,
    )
    volatility_shock: float = parameter(
        "Move of the volatility of options with 30 days to expiry",
        unit="volatility per year",
        least=0.0,
        is_shock=True,
    )
    volatility_power: float = parameter(
        "How much faster short volatilities move: (30 days / days to expiry) to this power",
        least=0.0,
        most=1.0,
    )
    volatility_days_least: float = parameter(
        "Days to expiry below which the volatility shock grows no more", unit="days", least=1.0
    )
    holding_days: float = parameter(
        "Days over which lost time value is required", unit="days", least=0.0, is_shock=True
    )
    rate_shock: float = parameter(
        "Move of interest rates", unit="rate per year", least=0.0, is_shock=True
    )
    buckets_days: tuple[float, ...] = parameter(
        "Days to expiry at which one bucket ends and the next begins, in ascending order",
        unit="days",
        least=0.0,
    )
    bucket_correlation: float = parameter(
        "Correlation of volatility or rate moves of two buckets: what opposite ones may offset",
        least=0.0,
        most=1.0,
    )
    underlying_correlation: float = parameter(
        "Correlation of losses of two underlyings; 1 adds them up", least=0.0, most=1.0
    )
    greek_correlation: float = parameter(
        "Correlation of losses by two Greeks; 1 adds them up", least=0.0, most=1.0
    )
    days_least: float = parameter(
        "Options are taken to have so many days left at least, since gamma has no bound at expiry",
        unit="days",
        least=0.0,
    )
    maintenance_share: float = parameter(
        "Maintenance margin as a share of initial margin", unit="share", least=0.0, most=1.0
    )

    def __post_init__(self) -> None:
        check_parameters(self)
        if any(low >= high for low, high in pairwise(self.buckets_days)):
            raise RejectedInputError("buckets_days: each bucket ends after the one before")


class Rows(NamedTuple):
    """Where positions are added up: one row for each underlying that a scope holds something in.

    Attributes:
        scopes: (N,) ascending.
        underlyings: (N,) ascending within a scope.
        order: (P,) positions in the order of rows.
        places: (P,) row of each position in that order.
    """

    scopes: Index
    underlyings: Index
    order: Index
    places: Index


class PreparedGreeks(Prepared):
    """A market with what one contract of everything loses in each shock.

    Attributes:
        losses: (I, 5) signed; what one contract held adds to each charge before netting.
        buckets: (I,) bucket of time to expiry, from 0.
        rules: how the buckets of an underlying make one charge, for each Greek.
    """

    parts = bindings = PARTS

    def __init__(self, market: Market, parameters: GreeksParameters) -> None:
        self.market, self.parameters = market, parameters
        days = np.round(market.instruments.years * DAYS_PER_YEAR, DAYS_DECIMALS)
        self.buckets: Index = np.searchsorted(parameters.buckets_days, days, side="left")
        self.greeks = sensitivities(market, days_least=parameters.days_least)
        self.losses = np.column_stack(_losses(self.greeks, parameters, days))
        self._unbounded = np.asarray((~np.isfinite(self.losses)).any(axis=1), dtype=np.bool_)
        self.by_underlying = Correlated(parameters.underlying_correlation)
        self.by_greek = Correlated(parameters.greek_correlation)
        curve = PartlyHedged(parameters.bucket_correlation)
        self.rules: tuple[Rule, ...] = (
            PartlyHedged(1.0),
            OneSided(parameters.long_gamma_share),
            curve,
            OneSided(1.0),
            curve,
        )

    def requirement(self, books: Books) -> Requirement:
        self._refuse(books)
        rows = self._rows(books)
        charges = np.column_stack(
            [
                self._over_underlyings(
                    rule.charge(self._nets(books, rows, greek)), rows, len(books)
                )
                for greek, rule in enumerate(self.rules)
            ]
        )
        parts = charges * self.by_greek.slopes(charges)
        kept = self.parameters.maintenance_share * parts
        initial = in_order(parts)
        return Requirement(
            initial=initial,
            maintenance=in_order(kept),
            initial_parts=parts,
            maintenance_parts=kept,
            binding=np.where(initial > 0, parts.argmax(axis=1), NOTHING_BINDS),
        )

    def contributions(self, books: Books, *, scope: int) -> Float:
        """(P, 5) the share of each position of a scope in its initial margin, by Greek.

        The shares of a Greek add up to its part: each is the position times the slope of the
        requirement along it (Euler). Where slopes jump, one of the slopes that meet there.
        """
        one = books.select([scope])
        self._refuse(one)
        rows = self._rows(one)
        nets = [self._nets(one, rows, greek) for greek in range(len(PARTS))]
        charges = np.array([rule.charge(net) for rule, net in zip(self.rules, nets, strict=True)])
        totals = self.by_underlying.charge(charges)
        outer = self.by_underlying.slopes(charges) * self.by_greek.slopes(totals[None, :]).T
        shares = np.zeros((len(one.instruments), len(PARTS)))
        buckets = self.buckets[one.instruments[rows.order]]
        values = one.quantities[:, None] * self.losses[one.instruments]
        for greek, rule in enumerate(self.rules):
            inner = rule.slopes(nets[greek])[rows.places, buckets]
            slope = outer[greek, rows.places] * inner
            shares[rows.order, greek] = slope * values[rows.order, greek]
        return shares

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        shares = self.contributions(one, scope=0)
        return greeks_tree.explained(self, one=one, shares=shares)

    def _nets(self, books: Books, rows: Rows, greek: int) -> Float:
        """(N, B) what a Greek adds up to in each bucket of each underlying held."""
        held = books.instruments[rows.order]
        count = len(self.parameters.buckets_days) + 1
        nets = added(
            books.quantities[rows.order] * self.losses[held, greek],
            rows=rows.places * count + self.buckets[held],
            count=len(rows.scopes) * count,
        )
        return nets.reshape(-1, count)

    def _rows(self, books: Books) -> Rows:
        count = len(self.market.underlyings)
        key = books.scopes * count + self.market.instruments.underlyings[books.instruments]
        order = np.argsort(key, kind="stable")
        is_first = np.diff(key[order], prepend=-1) != 0
        found = key[order][is_first]
        return Rows(found // count, found % count, order, np.cumsum(is_first) - 1)

    def _over_underlyings(self, charges: Float, rows: Rows, scopes: int) -> Float:
        """(A,) one charge of those (N,) of the underlyings that each scope holds."""
        total = added(charges, rows=rows.scopes, count=scopes)
        squares = added(charges * charges, rows=rows.scopes, count=scopes)
        return self.by_underlying.of_sums(total, squares=squares)

    def _refuse(self, books: Books) -> None:
        books.require(instruments=len(self.market.instruments))
        unbounded = self._unbounded[books.instruments]
        if unbounded.any():
            name = self.market.instruments.names[books.instruments[unbounded][0]]
            raise RejectedInputError(
                f"{name}: at its forward without volatility or time, it has no Greeks"
            )


def sensitivities(market: Market, *, days_least: float) -> Greeks:
    """(I,) Greeks of one contract, of options with so many days left at least."""
    contract = market.instruments
    longer = np.maximum(contract.years, days_least / DAYS_PER_YEAR)
    years = np.where(contract.is_option, longer, contract.years)
    return contract_greeks(replace(market, instruments=replace(contract, years=years)))


def _losses(greeks: Greeks, parameters: GreeksParameters, days: Float) -> tuple[Float, ...]:
    """(I,) for each Greek, what one contract adds to its charge."""
    term = REFERENCE_DAYS / np.maximum(days, parameters.volatility_days_least)
    volatility_shock = parameters.volatility_shock * term**parameters.volatility_power
    return (
        parameters.price_shock * greeks.delta,
        -0.5 * parameters.price_shock**2 * greeks.gamma,
        volatility_shock * greeks.vega,
        -parameters.holding_days / DAYS_PER_YEAR * greeks.theta,
        parameters.rate_shock * greeks.rho,
    )


MODEL: Final = Model(
    name="greeks",
    version="v1",
    title="Greeks margin",
    parameters=GreeksParameters,
    standard=GreeksParameters(
        price_shock=0.15,
        long_gamma_share=0.5,
        volatility_shock=0.15,
        volatility_power=0.3,
        volatility_days_least=7.0,
        holding_days=2.0,
        rate_shock=0.01,
        buckets_days=(30.0, 90.0, 365.0),
        bucket_correlation=0.6,
        underlying_correlation=0.8,
        greek_correlation=1.0,
        days_least=1.0,
        maintenance_share=0.75,
    ),
    prepare=PreparedGreeks,
    laws=frozenset({Law.SCALE, Law.SUBADDITIVE, Law.MONOTONE}),
    source="Net sensitivities by underlying and tenor, weighted and added up under correlations, as"
    " in the sensitivities-based method of the Basel standardised approach (MAR21); second-order"
    " loss of short gamma by Taylor's expansion.",
)
