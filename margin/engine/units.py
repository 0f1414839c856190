"""Books cut into what is netted by itself, and asked in pieces of bounded size.

Axes: A scopes, N rows (a scope and one unit of which it holds something), I instruments.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.model import Requirement

# Positions, and scopes, of one piece: tables of some forty scenarios then take 10 MB each.
PIECE: Final = 1 << 15


class Units(NamedTuple):
    """Books with a row for each scope and unit.

    Attributes:
        books: (N,) rows, by scope and within it by unit; without money.
        scopes: (N,) whose row it is.
        units: (N,) of which unit.
    """

    books: Books
    scopes: Index
    units: Index

    def by_scope(self, amounts: Float, *, scopes: int) -> Float:
        """(A,) amounts (N,) of each scope, added in the order of the units."""
        return sums(amounts, groups=self.scopes, count=scopes)

    def per_row(self, amounts: Float) -> Float:
        """(N,) amounts (P,) of each row's positions, added in the order of the instruments."""
        return sums(amounts, groups=self.books.scopes, count=len(self.scopes))


def sums(amounts: Float, *, groups: Index, count: int) -> Float:
    """(count,) amounts by group, each added from left to right from 0: anyone can repeat it."""
    return np.asarray(np.bincount(groups, weights=amounts, minlength=count), dtype=np.float64)


def units_of(books: Books, *, unit_of: Index) -> Units:
    """Cut books by the unit of each instrument.

    Args:
        unit_of: (I,) from 0.
    """
    unit, scope = unit_of[books.instruments], books.scopes
    key = scope * (int(unit_of.max(initial=0)) + 1) + unit
    if (np.diff(key) >= 0).all():
        instruments, quantities = books.instruments, books.quantities
    else:
        order = np.argsort(key, kind="stable")
        key, unit, scope = key[order], unit[order], scope[order]
        instruments, quantities = books.instruments[order], books.quantities[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    starts = np.append(first, len(key)).astype(np.intp)
    rows = Books(starts, instruments, quantities, np.zeros(len(first)))
    return Units(rows, scope[first], unit[first])


def largest_of_each(scopes: Index, amounts: Float) -> tuple[Index, Index]:
    """Of each scope that has rows the row of the largest amount, the first of equals.

    Args:
        scopes: (N,) ascending.
        amounts: (N,).

    Returns:
        The scopes, ascending, and the row of each.
    """
    first = np.flatnonzero(np.diff(scopes, prepend=-1))
    if not len(first):
        return first, first
    most = np.repeat(np.maximum.reduceat(amounts, first), np.diff(np.append(first, len(scopes))))
    rows = np.where(amounts == most, np.arange(len(scopes)), len(scopes))
    return scopes[first], np.minimum.reduceat(rows, first)


def in_pieces(books: Books, requirement: Callable[[Books], Requirement]) -> Requirement:
    """What scopes are required, asked piece by piece: memory does not grow with their number."""
    pieces = list(_pieces(books))
    if len(pieces) == 1:
        return requirement(books)
    said = [requirement(books.select(piece)) for piece in pieces]
    return Requirement(
        **{
            each.name: np.concatenate([getattr(part, each.name) for part in said])
            for each in fields(Requirement)
        }
    )


def _pieces(books: Books) -> Iterator[Index]:
    """Scopes that follow each other, at least one; more only within `PIECE` positions."""
    first, count = 0, len(books)
    while first < count or first == 0:
        most = books.starts[first] + PIECE
        within = int(np.searchsorted(books.starts, most, side="right")) - 1
        last = min(max(within, first + 1), first + PIECE, count)
        yield np.arange(first, last)
        if last == count:
            return
        first = last
