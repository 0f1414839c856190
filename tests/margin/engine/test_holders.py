"""Who holds what moved: every scope that does, once, and no other."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import Books, books_of
from margin.engine.holders import Holders, holders_of
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world
from margin.engine.worst import PLAIN, Kernel, compiled, worst_losses, worst_losses_of


def five() -> Books:
    """Scope 0 holds 0 and 1, scope 1 nothing, scope 2 holds 3, 3 holds 1 and 3, 4 holds 0."""
    return books_of(
        scopes=[0, 0, 2, 3, 3, 4],
        instruments=[0, 1, 3, 1, 3, 0],
        quantities=[1.0] * 6,
        cash=[0] * 5,
    )


def test_the_holders_of_each_instrument_are_found() -> None:
    holders = holders_of(five(), groups=np.arange(5))
    assert [holders.of(place).tolist() for place in range(5)] == [[0, 4], [0, 3], [], [2, 3], []]
    assert holders.of([1, 3]).tolist() == [0, 2, 3]
    assert holders.of([]).tolist() == []


def test_a_scope_with_two_instruments_of_an_underlying_is_named_once() -> None:
    holders = holders_of(five(), groups=np.array([0, 0, 0, 2, 2]))
    assert [holders.of(group).tolist() for group in range(3)] == [[0, 3, 4], [], [2, 3]]
    assert holders.of([0, 2]).tolist() == [0, 2, 3, 4]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2), max_size=5))
def test_exactly_those_who_hold_it_are_found(seed: int, moved: list[int]) -> None:
    market, books = world(seed, scopes=40)
    groups = market.instruments.underlyings
    found = holders_of(books, groups=groups).of(moved)
    expected = [
        scope for scope in range(len(books)) if set(groups[books.of(scope)[0]]) & set(moved)
    ]
    assert found.tolist() == expected


def test_few_or_many_holders_are_found_alike() -> None:
    scopes = np.repeat(np.arange(1_000), 2)
    books = books_of(
        scopes=scopes, instruments=np.arange(2_000), quantities=np.ones(2_000), cash=[0] * 1_000
    )
    holders = holders_of(books, groups=np.arange(2_000))
    assert holders.of([20, 21, 22]).tolist() == [10, 11]
    assert holders.of(np.arange(500)).tolist() == list(range(250))


def test_asking_the_holders_again_is_asking_everyone_again() -> None:
    market, books = world(11, scopes=200)
    groups = market.instruments.underlyings
    draw = np.random.default_rng(1)
    profits = draw.normal(0, 1, (16, len(groups)))
    lowest, at = worst_losses(books, profits=profits)
    profits[:, groups == 2] *= 1.5
    touched = holders_of(books, groups=groups).of(2)
    lowest[touched], at[touched] = worst_losses_of(books, profits=profits, scopes=touched)
    every, every_at = worst_losses(books, profits=profits)
    assert 0 < len(touched) < len(books)
    assert (lowest == every).all()
    assert (at == every_at).all()


def test_all_that_the_holders_of_a_group_hold_lies_side_by_side() -> None:
    """Scopes 0 and 3 hold instrument 1, and what else they hold comes along."""
    books = holders_of(five(), groups=np.arange(5)).books_of(1)
    assert books.starts.tolist() == [0, 2, 4]
    assert books.instruments.tolist() == [0, 1, 1, 3]
    assert books.quantities.tolist() == [1.0] * 4
    assert len(holders_of(five(), groups=np.arange(5)).books_of(2)) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_books_of_a_group_are_those_of_its_scopes(seed: int) -> None:
    market, books = world(seed, scopes=40)
    groups = market.instruments.underlyings
    holders = holders_of(books, groups=groups)
    for group in range(int(groups.max()) + 1):
        found, scopes = holders.books_of(group), holders.of(group)
        assert len(found) == len(scopes)
        for place, scope in enumerate(scopes.tolist()):
            expected = books.of(scope)
            assert found.of(place)[0].tolist() == expected[0].tolist()
            assert found.of(place)[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize(
    "kernel_of",
    [
        lambda: PLAIN,
        pytest.param(
            compiled,
            marks=pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed"),
        ),
    ],
    ids=["scipy", "numba"],
)
def test_what_lies_side_by_side_gives_the_bits_of_the_whole(
    kernel_of: Callable[[], Kernel],
) -> None:
    kernel = kernel_of()
    market, books = world(12, scopes=300)
    groups = market.instruments.underlyings
    profits = np.random.default_rng(2).normal(0, 1, (33, len(groups)))
    every, every_at = worst_losses(books, profits=profits, kernel=kernel)
    holders = holders_of(books, groups=groups)
    for group in range(int(groups.max()) + 1):
        lowest, at = worst_losses(holders.books_of(group), profits=profits, kernel=kernel)
        scopes = holders.of(group)
        assert lowest.tobytes() == every[scopes].tobytes()
        assert (at == every_at[scopes]).all()


def test_what_is_not_there_is_refused() -> None:
    holders = holders_of(five(), groups=np.arange(4))
    for group in (-1, 4):
        with pytest.raises(RejectedInputError, match="not there"):
            holders.of(group)
        with pytest.raises(RejectedInputError, match="not there"):
            holders.books_of(group)
    with pytest.raises(RejectedInputError, match="does not have"):
        holders_of(five(), groups=np.arange(3))


def test_books_without_positions_have_no_holders() -> None:
    nothing = books_of(scopes=[], instruments=[], quantities=[], cash=[1.0, 2.0])
    assert holders_of(nothing, groups=np.array([0, 1])).of([0, 1]).tolist() == []
    assert len(holders_of(nothing, groups=np.array([0, 1])).books_of(1)) == 0
    assert isinstance(holders_of(nothing, groups=np.array([], dtype=np.intp)), Holders)
