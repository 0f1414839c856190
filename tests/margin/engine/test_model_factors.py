"""Multi-factor margin: by hand, attributed to factors without a rest, and by the slow one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.covariance import CovarianceParameters, Estimate, Target, psd_root
from margin.engine.factor_returns import Sector
from margin.engine.market import Instruments, Kind, Market
from margin.engine.model import Model, in_order
from margin.engine.models import MODELS, parametric
from margin.engine.models.factors import MODEL, FactorParameters, PreparedFactors
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import SLOW
from margin.engine.tail_factors import Distribution, Measure
from margin.engine.worlds import world
from tests.margin.engine.coin_markets import coin_market, holdings

SEEDS = st.integers(0, 2**32 - 1)
FOUR_DAYS = np.array([[0.03, 0.04], [0.03, -0.04], [-0.03, 0.04], [-0.03, -0.04]])
Z99 = 2.3263478740408408
PLAIN = replace(
    MODEL.standard,
    deviations=replace(
        MODEL.standard.deviations,
        measure=Measure.VALUE_AT_RISK,
        distribution=Distribution.NORMAL,
        confidence=0.99,
        maintenance_confidence=0.95,
        horizon_days=1.0,
    ),
    covariance=CovarianceParameters(
        lookback_days=4, estimate=Estimate.SAMPLE, decay=1.0, target=Target.NONE
    ),
    sectors=(),
)


def prepared(market: Market, parameters: FactorParameters) -> PreparedFactors:
    model: Model[Any] = MODEL
    priced = model.prepare(market, parameters)
    assert isinstance(priced, PreparedFactors)
    return priced


def test_a_market_and_what_is_left_by_hand() -> None:
    """The market deviates by 2.5 %, the coins follow it 0.72 and 1.28 times; 2.4 % is left to each.

    10 000 of the first: 180 by the market and 240 of its own make 300, its deviation of 3 %.
    """
    priced = prepared(coin_market(FOUR_DAYS, prices=[100.0, 100.0]), PLAIN)
    np.testing.assert_allclose(priced.factors.betas, [0.72, 1.28], rtol=1e-12)
    np.testing.assert_allclose(priced.factors.own_variances, [5.76e-4] * 2, rtol=1e-12)
    books = holdings([100.0, 0.0], [128.0, -72.0])
    said = priced.requirement(books)
    np.testing.assert_allclose(said.initial[0], Z99 * 300, rtol=1e-12)
    shares = np.array([180**2, 0, 0, 0, 0, 240**2]) / 300
    np.testing.assert_allclose(said.initial_parts[0], Z99 * shares, rtol=1e-12, atol=1e-9)
    # Held against each other by their betas, nothing of the market is left.
    own = np.hypot(12_800 * 0.024, 7_200 * 0.024)
    np.testing.assert_allclose(said.initial_parts[1, [0, 5]], [0, Z99 * own], atol=1e-9)
    assert [priced.bindings[place] for place in said.binding] == ["own", "own"]
    np.testing.assert_allclose(priced.attribution(books).sum(axis=1), said.initial, rtol=1e-12)


def test_each_in_a_sector_of_its_own_is_the_whole_covariance() -> None:
    """Nothing is left out then: the requirement is that of the parametric model."""
    market, books = world(17)
    sectors = tuple(Sector(name=name, underlyings=(name,)) for name in market.underlyings)
    covariance = CovarianceParameters(
        lookback_days=250, estimate=Estimate.SAMPLE, decay=1.0, target=Target.NONE
    )
    ours = replace(
        PLAIN, sectors=sectors, covariance=covariance, basis_deviation=0.0,
        volatility_deviation=0.0, rate_deviation=0.0,
    )  # fmt: skip
    theirs = replace(
        parametric.MODEL.standard,
        covariance=covariance,
        deviations=PLAIN.deviations,
        gamma=parametric.GammaAdjustment.NONE,
    )
    here = MODEL.prepare(market, ours).requirement(books).initial
    there = parametric.MODEL.prepare(market, theirs).requirement(books).initial
    np.testing.assert_allclose(here, there, rtol=1e-9)


def derivative(kind: Kind, *, years: float = 0.0) -> Market:
    """One perpetual or future at 100 over a coin that never moves."""
    coin = coin_market(np.zeros((4, 1)), prices=[100.0])
    contract = Instruments(
        names=("contract",),
        kinds=np.array([kind], dtype=np.int8),
        underlyings=np.array([0]),
        multipliers=np.array([1.0]),
        strikes=np.array([0.0]),
        rights=np.array([0], dtype=np.int8),
        years=np.array([years]),
        is_inverse=np.array([False]),
    )
    return replace(coin, instruments=contract)


@pytest.mark.parametrize(
    ("kind", "years", "rate_days"), [(Kind.PERPETUAL, 0.0, -36.5), (Kind.FUTURE, 0.5, 182.5)]
)
def test_basis_and_rates_of_derivatives_by_hand(kind: Kind, years: float, rate_days: float) -> None:
    """10 of them are 1 000: a basis of 1 % is 10; a rate of 2 % over so many days the rest."""
    parameters = replace(PLAIN, basis_deviation=0.01, rate_deviation=0.02, funding_days=36.5)
    priced = prepared(derivative(kind, years=years), parameters)
    rate = 1_000 * 0.02 * rate_days / 365
    both = np.hypot(10.0, rate)
    said = priced.requirement(holdings([10.0]))
    np.testing.assert_allclose(said.initial, [Z99 * both], rtol=1e-12)
    np.testing.assert_allclose(
        said.initial_parts[0], Z99 * np.array([0, 0, 100, 0, rate**2, 0]) / both, atol=1e-9
    )


def test_a_sold_put_loses_twice_where_volatility_rises_as_the_market_falls() -> None:
    market, _books = world(8)
    put = int(np.flatnonzero(market.instruments.rights == -1)[0])
    sold = books_of(scopes=[0], instruments=[put], quantities=[-1], cash=[0])
    apart, falling = (
        prepared(market, replace(MODEL.standard, volatility_correlation=correlation))
        .requirement(sold)
        .initial[0]
        for correlation in (0.0, -0.9)
    )
    assert falling > apart > 0


sets = st.builds(
    lambda estimate, target, sectors, correlation, confidence: replace(
        MODEL.standard,
        covariance=CovarianceParameters(
            lookback_days=40, estimate=estimate, decay=0.95, target=target
        ),
        sectors=sectors,
        volatility_correlation=correlation,
        deviations=replace(
            MODEL.standard.deviations, confidence=confidence, maintenance_confidence=0.5
        ),
    ),
    st.sampled_from([*Estimate]),
    st.sampled_from([*Target]),
    st.sampled_from(
        [
            (),
            (Sector(name="a", underlyings=("U0", "U3", "not there")),),
            (Sector(name="a", underlyings=("U1",)), Sector(name="b", underlyings=("U0", "U2"))),
            (Sector(name="all", underlyings=("U0", "U1", "U2", "U3")),),
        ]
    ),
    st.sampled_from([-1.0, -0.4, 0.0, 1.0]),
    st.sampled_from([0.5, 0.95, 0.999]),
)


@given(SEEDS, sets)
@settings(max_examples=60, deadline=None)
def test_the_slow_implementation_agrees_on_every_set(
    seed: int, parameters: FactorParameters
) -> None:
    market, books = world(seed, scopes=5, underlyings=4)
    priced = prepared(market, parameters)
    psd_root(priced.covariance)
    said = priced.requirement(books)
    slow = np.array(SLOW["factors"](market, parameters, books))
    np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)
    assert (in_order(said.maintenance_parts) == said.maintenance).all()
    assert (said.initial >= said.maintenance).all()
    assert (said.maintenance >= 0).all()
    attributed = priced.attribution(books)
    np.testing.assert_allclose(attributed.sum(axis=1), said.initial, rtol=1e-9, atol=1e-6)
    for scope in range(len(books)):
        tree = priced.explain(books, scope=scope).initial
        by_factor = {child.label: child.amount for child in tree.children}
        for place, name in enumerate(priced.bindings):
            found = by_factor.get(name, 0.0)
            assert found == pytest.approx(attributed[scope, place], rel=1e-7, abs=1e-6)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_hedges_of_which_next_to_nothing_is_left_stay_in_order(seed: int) -> None:
    """The same coin long as spot and short as two perpetuals, to the last digit."""
    market, _books = world(seed)
    draw = np.random.default_rng(seed)
    size = float(draw.uniform(1, 1e9))
    contract = market.instruments
    alike = np.flatnonzero(contract.underlyings == 0)[:3]
    weights = draw.uniform(-1, 1, 3)
    values = np.array([weights[0], weights[1], -(weights[0] + weights[1])]) * size
    books = books_of(
        scopes=np.zeros(3, dtype=int),
        instruments=alike,
        quantities=values / market.notionals[alike],
        cash=[0.0],
    )
    still = replace(MODEL.standard, basis_deviation=0.0, rate_deviation=0.0)
    said = prepared(market, still).requirement(books)
    assert said.initial[0] >= said.maintenance[0] >= 0.0
    assert said.initial[0] <= 1e-9 * size
    assert (said.binding[0] >= 0) == (said.initial[0] > 0)


@pytest.mark.parametrize(
    "sectors",
    [
        (Sector(name="a", underlyings=("X",)), Sector(name="a", underlyings=("Y",))),
        (Sector(name="a", underlyings=("X",)), Sector(name="b", underlyings=("X",))),
        (Sector(name="others", underlyings=("X",)),),
    ],
    ids=["one name twice", "one underlying twice", "the name of what is left"],
)
def test_sectors_that_overlap_are_refused(sectors: tuple[Sector, ...]) -> None:
    with pytest.raises(RejectedInputError):
        replace(MODEL.standard, sectors=sectors)


@pytest.mark.parametrize("name", ["delta", "expected-shortfall", "factors", "hybrid", "parametric"])
def test_a_market_of_nothing_requires_nothing(name: str) -> None:
    market = coin_market(np.zeros((260, 0)), prices=[])
    model: Model[Any] = MODELS[name]
    cash_only = books_of(scopes=[], instruments=[], quantities=[], cash=[1.0])
    said = model.prepare(market, model.standard).requirement(cash_only)
    assert said.initial.tolist() == said.maintenance.tolist() == [0.0]
    assert said.binding.tolist() == [-1]
