"""A book under seal."""

from pathlib import Path

import pytest

from tests.history.book import Book, seal, small_book
from tests.margin.firm import crashed_firm
from tests.stage import staged


@pytest.fixture
def book(db: None) -> Book:
    """Six entries under two blocks: deposits, and a perpetual bought twice and sold once."""

    def build() -> Book:
        book = small_book()
        book.deposit("A-1", "100", key="d-1")
        book.deposit("A-2", "50", key="d-2")
        seal()
        book.trade("A-1", "2", "10", key="t-1")
        book.trade("A-1", "1", "13", key="t-2")
        book.deposit("A-1", "7.5", key="d-3")
        seal()
        return book

    return staged("six entries under seal", build)


@pytest.fixture
def firm(db: None, tmp_path: Path) -> None:
    """A firm after two days under seal, with roles, calls, breaks and statements."""

    def build() -> None:
        crashed_firm(tmp_path, accounts=8)
        seal()

    staged("a firm of 8 accounts under seal", build)
