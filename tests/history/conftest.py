"""A book under seal."""

import pytest

from tests.history.book import Book, seal, small_book


@pytest.fixture
def book(db: None) -> Book:
    """Six entries under two blocks: deposits, and a perpetual bought twice and sold once."""
    book = small_book()
    book.deposit("A-1", "100", key="d-1")
    book.deposit("A-2", "50", key="d-2")
    seal()
    book.trade("A-1", "2", "10", key="t-1")
    book.trade("A-1", "1", "13", key="t-2")
    book.deposit("A-1", "7.5", key="d-3")
    seal()
    return book
