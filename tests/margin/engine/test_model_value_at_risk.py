"""Value at risk and expected shortfall of past days: by hand, and by the slow implementation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.history import Filtering, Scaling
from margin.engine.model import Model, in_order
from margin.engine.models.value_at_risk import EXPECTED_SHORTFALL, VALUE_AT_RISK
from margin.engine.models.value_at_risk_parameters import (
    Combination,
    ExpectedShortfallParameters,
    Stress,
    TailParameters,
    ValueAtRiskParameters,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import SLOW
from margin.engine.tails import QuantileConvention, ShortfallConvention
from margin.engine.worlds import world
from tests.margin.engine.coin_markets import coin_market, holdings

SHORTFALL: Model[Any] = EXPECTED_SHORTFALL
SEEDS = st.integers(0, 2**32 - 1)
CALM = replace(EXPECTED_SHORTFALL.standard.stress, combination=Combination.NONE)
# Ten days of one coin at 100: a long coin loses 10, 8, 8, 3, 0 and earns on the rest.
TEN_DAYS = [0.04, -0.08, 0.02, -0.10, 0.05, -0.03, 0.0, 0.09, -0.08, 0.01]
AS_SEEN = replace(
    EXPECTED_SHORTFALL.standard.history, filtering=Filtering.NONE, horizon_days=1, lookback_days=10
)


def shortfall(**changes: Any) -> ExpectedShortfallParameters:
    kept: dict[str, Any] = {
        "history": AS_SEEN,
        "stress": CALM,
        "confidence": 0.8,
        "maintenance_confidence": 0.75,
    }
    return replace(EXPECTED_SHORTFALL.standard, **(kept | changes))


def quantile(**changes: Any) -> ValueAtRiskParameters:
    kept: dict[str, Any] = {
        "history": AS_SEEN,
        "stress": CALM,
        "confidence": 0.8,
        "maintenance_confidence": 0.75,
    }
    return replace(VALUE_AT_RISK.standard, **(kept | changes))


def asked(model: Model[Any], parameters: TailParameters, *scopes: list[float]) -> Any:
    market = coin_market(TEN_DAYS, prices=[100.0])
    return model.prepare(market, parameters).requirement(holdings(*scopes))


def test_a_long_and_a_short_coin_by_hand() -> None:
    """The worst fifth are two days: 10 and 8 long, 9 and 5 short."""
    said = asked(EXPECTED_SHORTFALL, shortfall(), [1.0], [-2.0])
    np.testing.assert_allclose(said.initial, [9.0, 14.0], rtol=1e-12)
    # Two days and a half: (10 + 8 + 8/2) / 2.5 and (9 + 5 + 4/2) / 2.5, twice.
    np.testing.assert_allclose(said.maintenance, [8.8, 12.8], rtol=1e-12)
    assert said.binding.tolist() == [3, 7]
    border = asked(VALUE_AT_RISK, quantile(), [1.0], [-2.0])
    np.testing.assert_allclose(border.initial, [8.0, 10.0], rtol=1e-12)
    np.testing.assert_allclose(border.maintenance, [8.0, 8.0], rtol=1e-12)


def test_percentiles_lie_between_two_days() -> None:
    """Nine places from the worst: 2.25 of them on, a quarter of the way from 8 to 3."""
    linear = quantile(convention=QuantileConvention.LINEAR_PERCENTILE, confidence=0.75)
    said = asked(VALUE_AT_RISK, linear, [1.0])
    np.testing.assert_allclose(said.initial, [6.75], rtol=1e-12)
    counted = shortfall(convention=ShortfallConvention.LINEAR_PERCENTILE, confidence=0.75)
    said = asked(EXPECTED_SHORTFALL, counted, [1.0])
    np.testing.assert_allclose(said.initial, [26 / 3], rtol=1e-12)


def test_the_multiplier_multiplies() -> None:
    said = asked(EXPECTED_SHORTFALL, shortfall(multiplier=3.0), [1.0])
    np.testing.assert_allclose([said.initial[0], said.maintenance[0]], [27.0, 26.4], rtol=1e-12)


def test_a_tail_that_earns_requires_nothing() -> None:
    market = coin_market([0.1, 0.2, 0.3], prices=[100.0])
    history = replace(AS_SEEN, lookback_days=3)
    priced = EXPECTED_SHORTFALL.prepare(market, shortfall(history=history))
    said = priced.requirement(holdings([1.0]))
    assert said.initial.tolist() == said.maintenance.tolist() == [0.0]
    assert said.binding.tolist() == [-1]
    assert priced.explain(holdings([1.0]), scope=0).initial.amount == 0.0


@pytest.mark.parametrize(
    ("combination", "parts"),
    [
        (Combination.NONE, [9.0, 0.0]),
        (Combination.MAX, [9.0, 0.0]),
        (Combination.WEIGHTED, [6.75, 2.0]),
    ],
)
def test_a_stressed_stretch_counts_as_declared(
    combination: Combination, parts: list[float]
) -> None:
    """The newest two days lose 8 and earn 1: the worst two fifths of a day are 8."""
    stress = Stress(combination=combination, oldest_day=2, newest_day=1, weight=0.25)
    said = asked(EXPECTED_SHORTFALL, shortfall(stress=stress), [1.0])
    np.testing.assert_allclose(said.initial_parts, [parts], rtol=1e-12)


def test_a_worse_stretch_binds_and_is_named() -> None:
    returns = [-0.5, -0.4, *TEN_DAYS]
    stress = Stress(combination=Combination.MAX, oldest_day=12, newest_day=11, weight=0.0)
    priced = EXPECTED_SHORTFALL.prepare(
        coin_market(returns, prices=[100.0]), shortfall(stress=stress)
    )
    said = priced.requirement(holdings([1.0], [-1.0]))
    np.testing.assert_allclose(said.initial_parts, [[0.0, 50.0], [7.0, 0.0]], rtol=1e-12)
    assert [priced.bindings[place] for place in said.binding] == ["Stressed day 12", "Day 3"]
    tree = priced.explain(holdings([1.0], [-1.0]), scope=0).initial
    assert [child.label for child in tree.children] == ["Stressed days"]
    assert [each.label for each in tree.beside] == ["Newest days"]
    assert tree.beside[0].amount == pytest.approx(9.0)


def test_newer_days_weigh_more_where_days_weigh_by_age() -> None:
    """Weights 1, 2, 4 of 7; the loss of 30 is the oldest: half of the tail of 2/7, then 20."""
    market = coin_market([-0.3, 0.1, -0.2], prices=[100.0])
    history = replace(AS_SEEN, lookback_days=3, age_decay=0.5)
    both = {"history": history, "confidence": 5 / 7, "maintenance_confidence": 0.5}
    said = EXPECTED_SHORTFALL.prepare(market, shortfall(**both)).requirement(holdings([1.0]))
    np.testing.assert_allclose(said.initial, [25.0], rtol=1e-12)
    np.testing.assert_allclose(said.maintenance, [(30 + 20 * 2.5) / 3.5], rtol=1e-12)
    border = VALUE_AT_RISK.prepare(market, quantile(**both)).requirement(holdings([1.0]))
    np.testing.assert_allclose(border.initial, [20.0], rtol=1e-12)


def test_contributions_to_a_shortfall_are_means_of_the_tail() -> None:
    """Two coins at 100: together the worst of four days are the first and second."""
    market = coin_market(
        [[-0.10, -0.02], [-0.06, -0.04], [0.01, -0.08], [0.2, 0.2]], prices=[100.0, 100.0]
    )
    parameters = shortfall(
        history=replace(AS_SEEN, lookback_days=4), confidence=0.5, maintenance_confidence=0.5
    )
    books = holdings([1.0, 1.0])
    tree = EXPECTED_SHORTFALL.prepare(market, parameters).explain(books, scope=0).initial
    assert tree.amount == pytest.approx(11.0)
    (newest,) = tree.children
    assert [leg.label for leg in newest.children] == ["A", "B"]
    np.testing.assert_allclose([leg.amount for leg in newest.children], [8.0, 3.0], rtol=1e-12)
    assert [day.label for day in newest.beside] == ["Day 4", "Day 3"]
    border = quantile(
        history=replace(AS_SEEN, lookback_days=4), confidence=0.5, maintenance_confidence=0.5
    )
    tree = VALUE_AT_RISK.prepare(market, border).explain(books, scope=0).initial
    legs = [leg.amount for leg in tree.children[0].children]
    np.testing.assert_allclose(legs, [6.0, 4.0], rtol=1e-12)


@given(SEEDS, st.floats(0.5, 0.999), st.sampled_from([*Combination]))
@settings(max_examples=30, deadline=None)
def test_a_shortfall_is_never_below_value_at_risk_at_one_level(
    seed: int, confidence: float, combination: Combination
) -> None:
    market, books = world(seed)
    stress = replace(CALM, combination=combination)
    for border, tail in zip(QuantileConvention, ShortfallConvention, strict=True):
        one = replace(
            VALUE_AT_RISK.standard, convention=border, confidence=confidence, stress=stress,
            maintenance_confidence=0.5,
        )  # fmt: skip
        other = replace(
            EXPECTED_SHORTFALL.standard, convention=tail, confidence=confidence, stress=stress,
            maintenance_confidence=0.5,
        )  # fmt: skip
        value = VALUE_AT_RISK.prepare(market, one).requirement(books)
        mean = EXPECTED_SHORTFALL.prepare(market, other).requirement(books)
        assert (mean.initial >= value.initial).all()
        assert (mean.maintenance >= value.maintenance).all()


histories = st.builds(
    lambda filtering, horizon, scaling, decay: replace(
        AS_SEEN, lookback_days=200, filtering=filtering, horizon_days=horizon, scaling=scaling,
        age_decay=decay,
    ),
    st.sampled_from([*Filtering]),
    st.integers(1, 5),
    st.sampled_from([*Scaling]),
    st.sampled_from([1.0, 0.99, 0.9]),
)  # fmt: skip


@given(SEEDS, histories, st.sampled_from([*Combination]), st.floats(0.5, 0.995), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_slow_implementation_agrees_on_every_kind_of_history(
    seed: int, history: Any, combination: Combination, confidence: float, by_place: bool
) -> None:
    market, books = world(seed, scopes=4)
    stress = Stress(combination=combination, oldest_day=260, newest_day=221, weight=0.4)
    common = {
        "history": history, "stress": stress, "confidence": confidence,
        "maintenance_confidence": 0.5,
    }  # fmt: skip
    linear = by_place and history.age_decay == 1.0
    border = QuantileConvention.LINEAR_PERCENTILE if linear else QuantileConvention.ORDER_STATISTIC
    tail = ShortfallConvention.LINEAR_PERCENTILE if linear else ShortfallConvention.TAIL_MEAN
    both: list[tuple[Model[Any], TailParameters]] = [
        (VALUE_AT_RISK, quantile(convention=border, **common)),
        (EXPECTED_SHORTFALL, shortfall(convention=tail, **common)),
    ]
    for model, parameters in both:
        priced = model.prepare(market, parameters)
        said = priced.requirement(books)
        slow = np.array(SLOW[model.name](market, parameters, books))
        np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
        np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)
        assert (said.initial >= said.maintenance).all()
        assert (in_order(said.initial_parts) == said.initial).all()
        for scope in range(len(books)):
            alone = priced.requirement(books.select([scope]))
            assert alone.initial[0] == said.initial[scope]
            assert alone.binding[0] == said.binding[scope]
            tree = priced.explain(books, scope=scope).initial
            legs = [leg.amount for window in tree.children for leg in window.children]
            assert sum(legs) == pytest.approx(tree.amount, rel=1e-9, abs=1e-6)


@given(SEEDS, histories, st.sampled_from([*Combination]), st.floats(0.5, 0.995))
@settings(max_examples=40, deadline=None)
def test_a_shortfall_of_two_books_is_no_more_than_of_each(
    seed: int, history: Any, combination: Combination, confidence: float
) -> None:
    market, books = world(seed)
    stress = Stress(combination=combination, oldest_day=260, newest_day=221, weight=0.4)
    priced = SHORTFALL.prepare(
        market,
        shortfall(
            history=history, stress=stress, confidence=confidence, maintenance_confidence=0.5
        ),
    )
    other = books.select(np.roll(np.arange(len(books)), 1))
    whole = priced.requirement(books.plus(other))
    one, two = priced.requirement(books), priced.requirement(other)
    for field in ("initial", "maintenance"):
        apart = getattr(one, field) + getattr(two, field)
        assert (getattr(whole, field) <= apart * (1 + 1e-9) + 1e-9).all()


def test_many_scopes_are_worked_out_a_stretch_at_a_time() -> None:
    """So many that they do not fit into one stretch; each is still what it is alone."""
    market, books = world(3, scopes=20_000, positions_most=3)
    priced = EXPECTED_SHORTFALL.prepare(market, EXPECTED_SHORTFALL.standard)
    said = priced.requirement(books)
    some = np.arange(0, 20_000, 997)
    assert (priced.requirement(books.select(some)).initial == said.initial[some]).all()


def test_the_same_inputs_give_the_same_bits() -> None:
    twice = [
        EXPECTED_SHORTFALL.prepare(market, EXPECTED_SHORTFALL.standard).requirement(books)
        for market, books in (world(11), world(11))
    ]
    assert twice[0].initial.tobytes() == twice[1].initial.tobytes()


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (shortfall, {"maintenance_confidence": 0.81}),
        (shortfall, {"confidence": 1.0}),
        (quantile, {"confidence": 0.4}),
        (quantile, {"multiplier": -1.0}),
    ],
)
def test_parameters_that_contradict_are_refused(make: Any, change: dict[str, float]) -> None:
    with pytest.raises(RejectedInputError):
        make(**change)


def test_percentiles_of_days_that_weigh_by_age_are_refused() -> None:
    aged = replace(AS_SEEN, age_decay=0.99)
    with pytest.raises(RejectedInputError):
        quantile(history=aged, convention=QuantileConvention.LINEAR_PERCENTILE)
    with pytest.raises(RejectedInputError):
        shortfall(history=aged, convention=ShortfallConvention.LINEAR_PERCENTILE)
    with pytest.raises(RejectedInputError):
        Stress(combination=Combination.MAX, oldest_day=1, newest_day=2, weight=0.0)


def test_a_market_that_knows_too_few_days_is_refused() -> None:
    market = coin_market(TEN_DAYS[:9], prices=[100.0])
    with pytest.raises(RejectedInputError):
        EXPECTED_SHORTFALL.prepare(market, shortfall())
