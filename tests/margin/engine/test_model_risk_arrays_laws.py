"""What holds for risk arrays whatever is declared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import units
from margin.engine.model import Part
from margin.engine.models.risk_array_parameters import (
    STANDARD,
    CalendarSpread,
    CommoditySpread,
    CommodityTerms,
    NamedTerms,
    RiskArrayParameters,
)
from margin.engine.models.risk_arrays import PreparedRiskArrays
from margin.engine.option_value import OptionValue
from margin.engine.slow.risk_arrays import requirements
from margin.engine.worlds import world

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_scan_risk_together_is_never_more_than_apart(seed: int) -> None:
    market, books = world(seed, scopes=12)
    other = books.select(np.roll(np.arange(12), 1))
    prepared = PreparedRiskArrays(market, STANDARD)
    one, two, both = (
        prepared.requirement(each).maintenance_parts[:, 0]
        for each in (books, other, books.plus(other))
    )
    assert (both <= one + two + 1e-9 * (one + two + 1.0)).all()


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_without_spreads_and_credits_the_whole_is_never_more_than_its_parts(seed: int) -> None:
    market, books = world(seed, scopes=12)
    other = books.select(np.roll(np.arange(12), 1))
    prepared = PreparedRiskArrays(market, replace(STANDARD, calendar=(), credits=()))
    one, two, both = (
        prepared.requirement(each).initial for each in (books, other, books.plus(other))
    )
    assert (both <= one + two + 1e-9 * (one + two + 1.0)).all()


@st.composite
def parameters(draw: st.DrawFn) -> RiskArrayParameters:
    """Parameters of the three underlyings of a world."""
    share = st.floats(0.0, 1.0)

    def terms() -> CommodityTerms:
        return CommodityTerms(draw(share), draw(share), draw(share), 0.1 * draw(share))

    tiers = draw(st.lists(st.sampled_from([2.0, 5.0, 9.0, 30.0, 90.0, 270.0]), unique=True))
    spread = st.tuples(st.integers(1, len(tiers) + 1), st.integers(1, len(tiers) + 1))
    spreads = (
        draw(st.lists(spread.filter(lambda pair: pair[0] < pair[1]), max_size=4)) if tiers else []
    )
    pairs = draw(st.lists(st.permutations(["U0", "U1", "U2"]), max_size=4))
    return RiskArrayParameters(
        default=terms(),
        named=tuple(NamedTerms(name, terms()) for name in ("U2", "U7")),
        extreme_multiple=draw(st.floats(1.0, 6.0)),
        extreme_cover=draw(share),
        look_ahead_days=draw(st.sampled_from([0.0, 1.0, 3.0])),
        tier_days=tuple(sorted(tiers)),
        calendar=tuple(CalendarSpread(*pair, draw(st.floats(0.0, 3.0))) for pair in spreads),
        credits=tuple(
            CommoditySpread(one, other, draw(st.floats(0.25, 4.0)), draw(share))
            for one, other, _ in pairs
        ),
        option_value=draw(st.sampled_from(OptionValue)),
        initial_ratio=draw(st.floats(1.0, 2.0)),
    )


@given(SEEDS, parameters())
@settings(max_examples=40, deadline=None)
def test_whatever_is_declared_the_slow_implementation_agrees(
    seed: int, declared: RiskArrayParameters
) -> None:
    market, books = world(seed, scopes=6)
    said = PreparedRiskArrays(market, declared).requirement(books)
    slow = np.array(requirements(market, declared, books))
    np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)


@given(SEEDS, parameters())
@settings(max_examples=40, deadline=None)
def test_whatever_is_declared_requirements_are_in_order_and_explained(
    seed: int, declared: RiskArrayParameters
) -> None:
    market, books = world(seed, scopes=6)
    prepared = PreparedRiskArrays(market, declared)
    said = prepared.requirement(books)
    assert (said.initial >= said.maintenance).all()
    assert (said.maintenance >= 0).all()
    found = prepared.figures(books)
    assert (found.credited <= found.legs.charged).all()
    for scope in range(len(books)):
        for tree, total in zip(
            prepared.explain(books, scope=scope), (said.initial, said.maintenance), strict=True
        ):
            assert tree.amount == total[scope]
            adds_up(
                tree, scale=1.0 + abs(books.quantities * prepared.deltas[books.instruments]).sum()
            )


def adds_up(part: Part, *, scale: float) -> None:
    if part.children:
        assert abs(sum(child.amount for child in part.children) - part.amount) <= 1e-9 * scale
    for child in part.children:
        adds_up(child, scale=scale)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    market, books = world(3, scopes=60)
    prepared = PreparedRiskArrays(market, STANDARD)
    whole = prepared.requirement(books)
    monkeypatch.setattr(units, "PIECE", 16)
    pieces = prepared.requirement(books)
    assert (pieces.initial_parts == whole.initial_parts).all()
    assert (pieces.binding == whole.binding).all()
