"""Correlation offsets as a model: figures by hand, limits, bounds, signs that turn, matrices."""

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.laws import slow_excess
from margin.engine.market import Kind
from margin.engine.model import NOTHING_BINDS
from margin.engine.models.correlation_offsets import (
    MODEL,
    CorrelationOffsetsParameters,
    Pair,
    PreparedOffsets,
)
from margin.engine.offsets import OffsetRule
from margin.engine.parameters import read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world_for
from tests.margin.engine.small_markets import Row, book_of, market_of

ROWS = [
    Row("A-PERP", Kind.PERPETUAL),
    Row("B-PERP", Kind.PERPETUAL, underlying="B", price=10.0),
    Row("C-PERP", Kind.PERPETUAL, underlying="C", price=20.0),
]
MARKET = market_of(ROWS, spots={"A": 100.0, "B": 10.0, "C": 20.0})


def pair(correlation: float, *, first: str = "A", second: str = "B") -> Pair:
    return Pair(first, second, correlation, -1.0, 1.0)


def terms(*pairs: Pair, most: float = 1.0) -> CorrelationOffsetsParameters:
    return replace(
        MODEL.standard, shock=0.1, credit_most=most, maintenance_share=0.5, pairs=tuple(pairs)
    )


def parts(held: dict[str, float], said: CorrelationOffsetsParameters) -> tuple[float, float]:
    """Gross and credit."""
    found = PreparedOffsets(MARKET, said).requirement(book_of(MARKET, held))
    gross, credit = found.initial_parts[0].tolist()
    assert found.initial[0] == gross + credit
    return gross, credit


def test_a_hedge_is_credited_as_far_as_the_two_move_together() -> None:
    # 100 long of A and 100 short of B: 10 each; c = 1 - 2 x 0.8, the root of 200 - 120.
    gross, credit = parts({"A-PERP": 1, "B-PERP": -10}, terms(pair(0.8)))
    assert gross == 20.0
    assert credit == pytest.approx(sqrt(80.0) - 20.0, rel=1e-12)


def test_the_credit_falls_to_nothing_as_the_sign_turns() -> None:
    held = {"A-PERP": 1.0, "B-PERP": -10.0}
    taken = [parts(held, terms(pair(rho)))[1] for rho in (0.5, 0.25, 0.01, 0.0, -0.01, -0.9)]
    assert taken[0] < taken[1] < taken[2] < 0
    assert taken[3:] == [0.0, 0.0, 0.0]
    # Against a negative correlation it is two of one side that hedge each other.
    assert parts({"A-PERP": 1, "B-PERP": 10}, terms(pair(-0.8)))[1] < 0


def test_the_limit_and_the_bounds_of_a_pair_bind() -> None:
    held = {"A-PERP": 1.0, "B-PERP": -10.0}
    assert parts(held, terms(pair(1.0), most=0.5)) == (20.0, -10.0)
    capped = Pair("A", "B", 1.0, 0.0, 0.0)
    assert parts(held, terms(capped))[1] == 0.0


def test_what_no_pair_names_offsets_nothing() -> None:
    held = {"A-PERP": 1.0, "C-PERP": -5.0}
    assert parts(held, terms(pair(0.9))) == (20.0, 0.0)
    assert parts(held, MODEL.standard)[1] == 0.0


def test_a_perfect_hedge_requires_nothing_and_nothing_binds() -> None:
    prepared = PreparedOffsets(MARKET, terms(pair(1.0)))
    said = prepared.requirement(book_of(MARKET, {"A-PERP": 1, "B-PERP": -10}))
    assert said.initial.tolist() == [0.0]
    assert said.binding.tolist() == [NOTHING_BINDS]


def test_gross_credit_net_and_both_stresses_are_said() -> None:
    prepared = PreparedOffsets(MARKET, terms(pair(0.8)))
    tree = prepared.explain(book_of(MARKET, {"A-PERP": 1, "B-PERP": -10}), scope=0).initial
    assert [each.label for each in tree.children] == ["Gross", "Credit"]
    assert "gross 20" in tree.how
    assert "were every correlation 1: 0," in tree.how
    assert tree.how.endswith("1: 20")
    assert sum(leg.amount for leg in tree.children[1].children) == pytest.approx(
        tree.children[1].amount, abs=1e-12
    )


@pytest.mark.parametrize(
    "pairs",
    [
        (pair(0.5), pair(0.4)),
        (pair(0.5, second="A"),),
        (Pair("A", "B", 0.5, 0.6, 0.4),),
        # No three can all move so: the matrix has a negative eigenvalue far beyond repair.
        (pair(0.99), pair(0.99, second="C"), pair(-0.99, first="B", second="C")),
    ],
)
def test_a_matrix_that_cannot_be_is_no_set(pairs: tuple[Pair, ...]) -> None:
    with pytest.raises(RejectedInputError):
        terms(*pairs)


def test_a_set_is_read_as_it_was_written() -> None:
    said = terms(pair(0.8), pair(0.2, second="C"))
    assert read_parameters(CorrelationOffsetsParameters, written_parameters(said)) == said


@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(list(OffsetRule)))
@settings(max_examples=20, deadline=None)
def test_the_slow_implementation_agrees_with_a_matrix(seed: int, rule: OffsetRule) -> None:
    market, _ = world_for(MODEL, seed)
    first, *others = market.underlyings
    said = replace(
        terms(*(pair(0.5, first=first, second=other) for other in others[:1]), most=0.6), rule=rule
    )
    assert slow_excess(MODEL, said, seed=seed) <= 0
