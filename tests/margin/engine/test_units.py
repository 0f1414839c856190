"""Books cut into units and pieces, and totals in the order of the instruments."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import units
from margin.engine.books import Books, books_of
from margin.engine.model import Requirement
from margin.engine.rejected import RejectedInputError
from margin.engine.units import in_pieces, largest_of_each, sums, units_of
from margin.engine.worst import worst_losses


def drawn_books(draw: np.random.Generator, *, scopes: int, instruments: int) -> Books:
    count = 4 * scopes
    return books_of(
        scopes=draw.integers(0, scopes, count),
        instruments=draw.integers(0, instruments, count),
        quantities=draw.normal(size=count),
        cash=np.zeros(scopes),
    )


def test_the_lowest_total_counts_and_the_first_of_equals_is_named() -> None:
    books = books_of(
        scopes=[0, 0, 1, 3], instruments=[0, 1, 1, 0], quantities=[2, -1, 1, 1], cash=[0.0] * 4
    )
    profits = np.array([[1.0, -3.0], [-2.0, 1.0], [5.0, -3.0], [-2.0, 1.0]])
    lowest, which = worst_losses(books, profits=profits)
    assert lowest.tolist() == [-5.0, -3.0, 0.0, -2.0]
    assert which.tolist() == [1, 0, 0, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_totals_are_added_in_the_order_of_the_instruments(seed: int, scenarios: int) -> None:
    draw = np.random.default_rng(seed)
    books = drawn_books(draw, scopes=9, instruments=6)
    profits = draw.normal(size=(scenarios, 6)) * 10.0 ** draw.integers(-8, 8, (scenarios, 6))
    lowest, which = worst_losses(books, profits=profits)
    for scope in range(9):
        totals = []
        for row in profits:
            total = 0.0
            for instrument, quantity in zip(*books.of(scope), strict=True):
                total += float(quantity) * float(row[instrument])
            totals.append(total)
        assert lowest[scope] == min(totals)
        assert which[scope] == totals.index(min(totals))


def test_no_scenario_and_no_such_instrument_are_refused() -> None:
    books = books_of(scopes=[0], instruments=[2], quantities=[1], cash=[0.0])
    with pytest.raises(RejectedInputError, match="at least one"):
        worst_losses(books, profits=np.zeros((0, 3)))
    with pytest.raises(RejectedInputError, match="does not have"):
        worst_losses(books, profits=np.zeros((1, 2)))
    assert worst_losses(books, profits=np.zeros((1, 3)))[0].tolist() == [0.0]


@pytest.mark.parametrize("unit_of", [[0, 0, 1, 1], [1, 0, 1, 0]], ids=["in order", "mixed"])
def test_books_are_cut_by_the_unit_of_each_instrument(unit_of: list[int]) -> None:
    books = books_of(
        scopes=[0, 0, 0, 2, 2],
        instruments=[0, 1, 3, 2, 1],
        quantities=[1.0, 2.0, 4.0, 8.0, 16.0],
        cash=[1.0, 1.0, 1.0],
    )
    cut = units_of(books, unit_of=np.array(unit_of))
    said = {
        (int(cut.scopes[row]), int(cut.units[row])): dict(zip(*cut.books.of(row), strict=True))
        for row in range(len(cut.books))
    }
    expected: dict[tuple[int, int], dict[int, float]] = {}
    for scope in range(3):
        for instrument, quantity in zip(*books.of(scope), strict=True):
            expected.setdefault((scope, unit_of[instrument]), {})[instrument] = quantity
    assert said == expected
    assert list(said) == sorted(said)
    by_scope = sums(cut.per_row(cut.books.quantities), groups=cut.scopes, count=3)
    assert by_scope.tolist() == [7.0, 0.0, 24.0]


def test_the_largest_row_of_each_scope_is_the_first_of_equals() -> None:
    scopes, rows = largest_of_each(np.array([0, 0, 0, 2, 2]), np.array([1.0, 3.0, 3.0, 0.0, 0.0]))
    assert scopes.tolist() == [0, 2]
    assert rows.tolist() == [1, 3]
    none = largest_of_each(np.array([], dtype=np.intp), np.array([]))
    assert [each.tolist() for each in none] == [[], []]


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 100])
def test_pieces_are_every_scope_once_and_in_order(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "PIECE", piece)
    seen: list[int] = []

    def counted(books: Books) -> Requirement:
        assert len(books) == 1 or len(books.quantities) <= piece
        seen.append(len(books))
        gross: Any = sums(books.quantities, groups=books.scopes, count=len(books))
        nothing = np.zeros((len(books), 0))
        return Requirement(gross, gross, nothing, nothing, np.arange(len(books)))

    books = books_of(
        scopes=[0, 0, 0, 2, 4, 5, 5],
        instruments=[0, 1, 2, 0, 0, 1, 2],
        quantities=[1, 2, 3, 4, 5, 6, 7],
        cash=np.zeros(7),
    )
    assert in_pieces(books, counted).initial.tolist() == [6, 0, 4, 0, 5, 13, 0]
    assert sum(seen) == 7
    nobody = books_of(scopes=[], instruments=[], quantities=[], cash=[])
    assert in_pieces(nobody, counted).initial.tolist() == []
