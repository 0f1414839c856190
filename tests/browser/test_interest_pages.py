"""Rates, interest and retention in a browser: sound in both themes and at every width."""

from datetime import date
from typing import TYPE_CHECKING

from django.urls import reverse

from accounts.models import Role
from ledger.models import RateCurve
from tests.accounts.people import sign_in_page
from tests.browser.test_every_page import visit
from tests.ledger.book import found_book
from tests.ledger.interest import line, publish, run
from tests.ledger.test_accrual import lend, rates

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_rates_interest_and_retention_are_sound(
    db: None, browser_page: "Page", desk_url: str
) -> None:
    book = found_book()
    kinked = line(("0", "0.02"), ("0.8", "0.10"), ("1", "0.60"))
    publish(book, rates("borrow", points=kinked, tenor=line(("0", "0"), ("30", "0.01"))))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 7))
    lend(book, "carol", "100", on=date(2026, 2, 6))
    run(book, date(2026, 2, 8))
    addresses = [
        reverse("ledger:rates"),
        reverse("ledger:rate-curve", args=[RateCurve.objects.get().pk]),
        reverse("ledger:interest", args=[book["loan/carol"]]),
        reverse("ledger:interest", args=[book["bob"]]),
        reverse("accounts:retention"),
        reverse("accounts:client-retention", args=["carol"]),
    ]
    sign_in_page(browser_page, desk_url, book.desk[Role.OPERATIONS])
    assert visit(browser_page, desk_url, addresses) == []
    sign_in_page(browser_page, desk_url, book.desk[Role.TREASURY])
    assert visit(browser_page, desk_url, [reverse("ledger:rates-new")]) == []
