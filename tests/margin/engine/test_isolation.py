"""How far to keep collateral apart: by hand, and never pooled where all lose together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.isolation import Isolation, Level, isolation_of
from margin.engine.model import Model
from margin.engine.models import delta
from margin.engine.models.value_at_risk import EXPECTED_SHORTFALL, VALUE_AT_RISK
from margin.engine.models.value_at_risk_parameters import Combination
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world
from tests.margin.engine.coin_markets import coin_market, holdings

DELTA: Model[Any] = delta.MODEL
SHORTFALL: Model[Any] = EXPECTED_SHORTFALL
TENTH = DELTA.prepare(
    coin_market(np.zeros((2, 2)), prices=[100.0, 100.0]),
    replace(delta.MODEL.standard, shock=0.1, residual=0.0),
)


def sized(*scopes: list[float], clients: list[int], least_benefit: float = 0.2) -> Isolation:
    return isolation_of(
        TENTH,
        holdings(*scopes),
        levels=[Level("client", clients)],
        least_benefit=least_benefit,
    )


def test_a_client_who_hedges_is_pooled_and_one_who_does_not_stays_apart() -> None:
    """A tenth of 100 and 60 against each other, and of 30 and 20 on one side."""
    found = sized([10.0, 0.0], [-6.0, 0.0], [3.0, 0.0], [2.0, 0.0], clients=[0, 0, 1, 1])
    assert found.levels == ("alone", "client")
    np.testing.assert_allclose(found.margins, [[160.0, 40.0], [50.0, 50.0]], rtol=1e-12)
    np.testing.assert_allclose(found.benefits, [[0.0, 120.0], [0.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(found.shares, [[0.0, 0.75], [0.0, 0.0]], atol=1e-12)
    assert found.advised.tolist() == [1, 0]


def test_pooling_is_advised_only_where_it_saves_enough() -> None:
    scopes = [10.0, 0.0], [-1.0, 0.0]
    assert sized(*scopes, clients=[0, 0], least_benefit=0.18).advised.tolist() == [1]
    assert sized(*scopes, clients=[0, 0], least_benefit=0.19).advised.tolist() == [0]


def test_the_narrowest_level_that_no_wider_one_beats_is_advised() -> None:
    """Accounts hedge within the first client; the two clients of the group lose together."""
    found = isolation_of(
        TENTH,
        holdings([10.0, 0.0], [-6.0, 0.0], [8.0, 0.0]),
        levels=[Level("client", [0, 0, 1]), Level("group", [0, 0, 0])],
        least_benefit=0.1,
    )
    np.testing.assert_allclose(found.margins, [[240.0, 120.0, 120.0]], rtol=1e-12)
    assert found.levels[found.advised[0]] == "client"


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(0.1, 1e4), min_size=2, max_size=5))
@settings(max_examples=30, deadline=None)
def test_legs_that_lose_together_save_nothing_and_stay_apart(seed: int, sizes: list[float]) -> None:
    market, _books = world(seed)
    priced = SHORTFALL.prepare(market, EXPECTED_SHORTFALL.standard)
    legs = np.arange(len(sizes))
    books = books_of(
        scopes=legs, instruments=np.zeros(len(sizes)), quantities=sizes, cash=np.zeros(len(sizes))
    )
    found = isolation_of(priced, books, levels=[Level("client", 0 * legs)], least_benefit=1e-6)
    np.testing.assert_allclose(found.margins[0, 1], found.margins[0, 0], rtol=1e-12)
    assert found.advised.tolist() == [0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_pooling_never_costs_more_by_expected_shortfall(seed: int) -> None:
    market, books = world(seed)
    priced = SHORTFALL.prepare(market, EXPECTED_SHORTFALL.standard)
    levels = [Level("client", np.arange(8) // 2), Level("group", np.arange(8) // 4)]
    found = isolation_of(priced, books, levels=levels, least_benefit=0.05)
    assert (np.diff(found.margins, axis=1) <= 1e-9 * found.margins[:, :1] + 1e-9).all()
    alone = priced.requirement(books).initial
    np.testing.assert_allclose(found.margins[:, 0], alone.reshape(2, 4).sum(axis=1), rtol=1e-12)
    again = isolation_of(priced, books, levels=levels, least_benefit=0.05)
    assert found.margins.tobytes() == again.margins.tobytes()


def test_pooling_may_cost_more_by_value_at_risk_and_is_then_not_advised() -> None:
    """Two coins that fall on different days: alone no fall is in the tail, together two are."""
    days = np.zeros((20, 2))
    days[3, 0] = days[7, 1] = -0.5
    standard = VALUE_AT_RISK.standard
    parameters = replace(
        standard,
        confidence=0.9,
        maintenance_confidence=0.9,
        history=replace(standard.history, lookback_days=20, horizon_days=1),
        stress=replace(standard.stress, combination=Combination.NONE),
    )
    model: Model[Any] = VALUE_AT_RISK
    market = coin_market(days, prices=[100.0, 100.0])
    found = isolation_of(
        model.prepare(market, parameters),
        holdings([1.0, 0.0], [0.0, 1.0]),
        levels=[Level("client", [0, 0])],
        least_benefit=0.01,
    )
    assert found.margins[0, 0] == 0.0
    assert found.benefits[0, 1] < 0.0
    assert found.advised.tolist() == [0]


def test_nobody_and_nothing_held_are_no_trouble() -> None:
    empty = books_of(scopes=[], instruments=[], quantities=[], cash=[])
    found = isolation_of(TENTH, empty, levels=[Level("client", [])], least_benefit=0.1)
    assert found.margins.shape == (0, 2)
    idle = sized([0.0, 0.0], clients=[0])
    assert idle.shares.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    "levels",
    [
        [],
        [Level("client", [0])],
        [Level("client", [0, -1])],
        [Level("client", [0, 0]), Level("group", [0, 1])],
    ],
    ids=["none", "too few scopes", "no pool", "a client of two groups"],
)
def test_levels_that_do_not_nest_are_refused(levels: list[Level]) -> None:
    with pytest.raises(RejectedInputError):
        isolation_of(TENTH, holdings([1.0, 0.0], [0.0, 1.0]), levels=levels, least_benefit=0.1)
    with pytest.raises(RejectedInputError):
        sized([1.0, 0.0], clients=[0], least_benefit=0.0)
