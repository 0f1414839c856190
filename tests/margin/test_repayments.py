"""Loans repaid from free money, as far as it goes, once a day."""

from decimal import Decimal

import pytest

from ledger.models import Release
from margin.repayments import repay_from_free_money
from tests.ledger.book import Book, digest, found_book
from tests.ledger.interest import JOB, publish, run
from tests.ledger.test_accrual import START, lend, rates


@pytest.fixture
def book(db: None) -> Book:
    return found_book()


def test_a_loan_is_repaid_from_the_money_beside_it(book: Book) -> None:
    publish(book, rates("borrow", "0", repays_from_free_money=True))
    lend(book, "carol", "200")
    lend(book, "bob", "1000")
    run(book, START)
    before = book.balances()
    assert repay_from_free_money(book.desk.entity, on=START, actor=JOB) == 2
    assert book.moved(before) == {
        "bob": "1000", "carol": "200", "client_bank": "-1200", "house_bank": "1200",
        "loan/bob": "-1000", "loan/carol": "-200",
    }  # fmt: skip
    given = Release.objects.get(bucket=book.buckets["bob"])
    assert (given.amount, given.binding_term) == (Decimal(1000), "repayment_leaves_equity")
    after = digest()
    assert repay_from_free_money(book.desk.entity, on=START, actor=JOB) == 0
    assert digest() == after


def test_loans_stay_where_the_rates_do_not_say_so(book: Book) -> None:
    publish(book, rates("borrow", "0.05"))
    lend(book, "bob", "1000")
    run(book, START)
    assert repay_from_free_money(book.desk.entity, on=START, actor=JOB) == 0
    assert book.balance("loan/bob") == 1000
