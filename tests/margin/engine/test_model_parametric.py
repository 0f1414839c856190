"""Parametric margin: by hand, attributed without a rest, and by the slow implementation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.covariance import CovarianceParameters, Estimate, Target
from margin.engine.market import Instruments, Kind, Market
from margin.engine.models.parametric import MODEL, GammaAdjustment, ParametricParameters
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import SLOW
from margin.engine.tail_factors import Distribution, Measure
from margin.engine.worlds import world
from tests.margin.engine.coin_markets import coin_market, holdings

SEEDS = st.integers(0, 2**32 - 1)
# Deviations of 3 % and 4 %, uncorrelated: four days, each alone.
FOUR_DAYS = np.array([[0.03, 0.04], [0.03, -0.04], [-0.03, 0.04], [-0.03, -0.04]])
Z99, Z95 = 2.3263478740408408, 1.6448536269514722
NORMAL = replace(
    MODEL.standard,
    deviations=replace(
        MODEL.standard.deviations,
        measure=Measure.VALUE_AT_RISK,
        distribution=Distribution.NORMAL,
        confidence=0.99,
        maintenance_confidence=0.95,
        horizon_days=4.0,
    ),
    covariance=CovarianceParameters(
        lookback_days=4, estimate=Estimate.SAMPLE, decay=1.0, target=Target.NONE
    ),
)


def test_two_coins_that_do_not_move_together_by_hand() -> None:
    """Deviations of 300 and 400 make 500 together, twice that over four days."""
    priced = MODEL.prepare(coin_market(FOUR_DAYS, prices=[100.0, 1000.0]), NORMAL)
    books = holdings([100.0, 10.0], [100.0, -10.0], [0.0, 20.0])
    said = priced.requirement(books)
    expected = np.array([1000.0, 1000.0, 1600.0])
    np.testing.assert_allclose(said.initial, Z99 * expected, rtol=1e-12)
    np.testing.assert_allclose(said.maintenance, Z95 * expected, rtol=1e-12)
    assert [priced.bindings[place] for place in said.binding] == ["B", "B", "B"]
    delta, gamma = priced.explain(books, scope=0).initial.children
    # 300 x 300 / 500 and 400 x 400 / 500 of each deviation of a day.
    np.testing.assert_allclose(
        [child.amount for child in delta.children], [Z99 * 360, Z99 * 640], rtol=1e-12
    )
    assert gamma.amount == 0.0


def test_what_moves_as_one_and_is_held_against_itself_requires_nothing() -> None:
    together = np.array([[0.1, 0.1], [-0.1, -0.1], [0.2, 0.2], [-0.2, -0.2]])
    said = MODEL.prepare(coin_market(together, prices=[100.0, 100.0]), NORMAL).requirement(
        holdings([5.0, -5.0], [5.0, 5.0])
    )
    assert said.initial[0] <= 1e-12 * said.initial[1]


def option_market(*, years: float, volatility: float) -> Market:
    """A call at the money on one underlying of a deviation of 3 % a day."""
    coin = coin_market(FOUR_DAYS[:, :1], prices=[100.0])
    option = Instruments(
        names=("call",),
        kinds=np.array([Kind.OPTION], dtype=np.int8),
        underlyings=np.array([0]),
        multipliers=np.array([1.0]),
        strikes=np.array([100.0]),
        rights=np.array([1], dtype=np.int8),
        years=np.array([years]),
        is_inverse=np.array([False]),
    )
    return replace(coin, instruments=option, volatilities=np.array([volatility]))


def test_sold_gamma_is_charged_and_bought_gamma_is_not() -> None:
    """Gamma at the money: 100 x density(d1) / (volatility x root of time), d1 = 0.1."""
    market = option_market(years=0.25, volatility=0.4)
    said = MODEL.prepare(market, NORMAL).requirement(holdings([1.0], [-1.0]))
    gamma = 100.0 * np.exp(-0.005) / np.sqrt(2 * np.pi) / 0.2
    charge = 0.5 * gamma * (2 * Z99 * 0.03) ** 2
    np.testing.assert_allclose(said.initial_parts[:, 1], [0.0, charge], rtol=1e-12)
    assert said.initial_parts[0, 0] == said.initial_parts[1, 0]
    plain = replace(NORMAL, gamma=GammaAdjustment.NONE)
    none = MODEL.prepare(market, plain).requirement(holdings([-1.0]))
    assert none.initial_parts[0, 1] == 0.0


def test_gamma_without_end_costs_no_more_than_the_whole_move() -> None:
    said = MODEL.prepare(option_market(years=0.0, volatility=0.4), NORMAL).requirement(
        holdings([-1.0])
    )
    np.testing.assert_allclose(said.initial_parts[0, 1], 100.0 * 2 * Z99 * 0.03, rtol=1e-12)
    assert said.maintenance[0] < said.initial[0]


def test_a_market_that_never_moves_requires_nothing() -> None:
    still = replace(option_market(years=0.0, volatility=0.4), returns=np.zeros((4, 1)))
    said = MODEL.prepare(still, NORMAL).requirement(holdings([-1.0]))
    assert said.initial.tolist() == [0.0]
    assert said.binding.tolist() == [-1]


parameter_sets = st.builds(
    lambda measure, distribution, confidence, estimate, target, gamma: ParametricParameters(
        deviations=replace(
            MODEL.standard.deviations, measure=measure, distribution=distribution,
            confidence=confidence, maintenance_confidence=0.5,
        ),
        covariance=CovarianceParameters(
            lookback_days=30, estimate=estimate, decay=0.95, target=target
        ),
        gamma=gamma,
    ),
    st.sampled_from([*Measure]),
    st.sampled_from([*Distribution]),
    st.sampled_from([0.5, 0.9, 0.999]),
    st.sampled_from([*Estimate]),
    st.sampled_from([*Target]),
    st.sampled_from([*GammaAdjustment]),
)  # fmt: skip


@given(SEEDS, parameter_sets)
@settings(max_examples=60, deadline=None)
def test_the_slow_implementation_agrees_on_every_set(seed: int, parameters: Any) -> None:
    market, books = world(seed, scopes=5, underlyings=4)
    priced = MODEL.prepare(market, parameters)
    said = priced.requirement(books)
    slow = np.array(SLOW["parametric"](market, parameters, books))
    np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)
    assert (said.initial >= said.maintenance).all()
    for scope in range(len(books)):
        tree = priced.explain(books, scope=scope).initial
        for part in tree.children:
            legs = [leg.amount for asset in part.children for leg in asset.children]
            assert sum(legs) == pytest.approx(part.amount, rel=1e-9, abs=1e-7)


def test_too_few_days_are_refused() -> None:
    with pytest.raises(RejectedInputError):
        MODEL.prepare(coin_market(FOUR_DAYS[:3], prices=[1.0, 1.0]), NORMAL)


def test_many_underlyings_are_worked_out_a_stretch_at_a_time() -> None:
    market, _books = world(2, underlyings=40, options_each=1, history_days=250)
    scopes = np.repeat(np.arange(30_000), 3)
    draw = np.random.default_rng(9)
    books = books_of(
        scopes=scopes,
        instruments=draw.integers(0, len(market.instruments), len(scopes)),
        quantities=draw.normal(size=len(scopes)),
        cash=np.zeros(30_000),
    )
    priced = MODEL.prepare(market, MODEL.standard)
    said, some = priced.requirement(books), np.arange(0, 30_000, 1999)
    alone = priced.requirement(books.select(some))
    assert (alone.initial == said.initial[some]).all()
    assert (alone.binding == said.binding[some]).all()
