"""Statements of ledger accounts, entries and locations at two times: sound, and without script."""

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.urls import reverse

from accounts.models import Role
from ledger.horizons import store_horizon
from tests.accounts.people import sign_in_page
from tests.browser.test_every_page import visit
from tests.ledger.book import NOON, Book, found_book

if TYPE_CHECKING:
    from playwright.sync_api import Page


def deposits(book: Book, count: int) -> list[int]:
    legs = (("client_bank", "500"), ("alice", "-500"))
    drafts = [
        book.draft("deposit", *legs, at=NOON + timedelta(days=day % 3), reference=f"D-{day}")
        for day in range(count)
    ]
    return book.post_drafts(*drafts)


def test_the_statement_and_what_it_leads_to_are_sound_now_and_then(
    db: None, browser_page: "Page", desk_url: str
) -> None:
    book = found_book(db)
    entries = deposits(book, 60)
    at = store_horizon("test").taken_at.isoformat()
    late = deposits(book, 1)[0]
    sign_in_page(browser_page, desk_url, book.desk[Role.TREASURY])
    asked = {"known_at": at, "as_of": "2026-02-06"}
    addresses = [
        reverse("ledger:account-statement", args=[book["alice"]]),
        reverse("ledger:account-statement", args=[book["bob:SPY"]]),
        reverse("ledger:entry", args=[entries[0]]),
        reverse("ledger:location", args=["client_bank"]),
    ]
    then = [f"{address}?{urlencode(asked)}" for address in addresses]
    older = f"{addresses[0]}?{urlencode({'before': 12, **asked})}"
    assert visit(browser_page, desk_url, [*addresses, *then, older]) == []

    refused = f"{desk_url}{reverse('ledger:entry', args=[late])}?{urlencode(asked)}"
    answer = browser_page.goto(refused)
    assert answer is not None
    assert answer.status == 404
    assert f"Entry {late} was not known at" in browser_page.inner_text("main")


def test_the_statement_is_turned_over_and_read_in_the_past_without_script(
    db: None, browser_page: "Page", desk_url: str
) -> None:
    book = found_book(db)
    deposits(book, 60)
    at = store_horizon("test").taken_at.isoformat()
    deposits(book, 1)
    sign_in_page(browser_page, desk_url, book.desk[Role.TREASURY])
    browser = browser_page.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False)
    plain.add_cookies(browser_page.context.cookies())  # type: ignore[arg-type]
    page = plain.new_page()
    page.goto(f"{desk_url}{reverse('ledger:account-statement', args=[book['alice']])}")
    assert "31,500.00 USD" in page.inner_text("section header")
    page.click("#times summary")
    page.fill("#times-known-at", at)
    page.click("#times button")
    assert "31,000.00 USD" in page.inner_text("section header")
    page.click("a[rel=next]")
    assert "The past." in page.inner_text("main")
    assert page.locator("tbody tr").count() == 11
    page.click("a[rel=first]")
    assert page.locator("tbody tr").count() == 50
    plain.close()
