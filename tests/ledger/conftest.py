"""The small firm that tests of the book work on."""

import pytest

from tests.ledger.book import Book, found_book


@pytest.fixture
def book(db: None) -> Book:
    """A firm with money in every pool, in a database of the test's own."""
    return found_book(db)
