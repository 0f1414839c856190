"""Two people, one book: nobody approves their own, nothing is edited, nothing happens twice."""

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from accounts.models import Approval, Role
from ledger.models import Entry
from tests.accounts.people import sign_in_page
from tests.browser.judging import violations
from tests.ledger.book import Book, found_book

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30_000
WHY = "Booked to the wrong client"


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


@pytest.fixture
def maker(book: Book, browser_page: "Page", desk_url: str) -> "Page":
    """A page on which treasury is signed in."""
    sign_in_page(browser_page, desk_url, book.desk[Role.TREASURY])
    browser_page.set_default_timeout(PATIENCE)
    return browser_page


def test_the_maker_cannot_approve_the_checker_undoes_and_both_entries_stay(
    book: Book, maker: "Page", browser: "Browser", desk_url: str
) -> None:
    before = book.balances()
    entry = book.post("deposit", ("client_bank", "500"), ("alice", "-500"), reference="D-1")
    maker.goto(f"{desk_url}{reverse('ledger:entry', args=[entry])}")
    maker.get_by_text("Ask to reverse it").click()
    maker.get_by_label("Your reason").fill(WHY)
    maker.get_by_role("button", name="Ask a second person").click()
    maker.get_by_text("so you cannot approve it").wait_for()
    assert maker.get_by_role("button", name=re.compile("^Approve")).count() == 0
    asked = Approval.objects.get()
    token = maker.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value") or ""
    answer = maker.request.post(
        f"{desk_url}{reverse('accounts:approval-decide', args=[asked.pk])}",
        form={"verdict": "approved", "reason": WHY, "csrfmiddlewaretoken": token},
    )
    assert answer.status == 403
    assert Entry.objects.filter(reverses=entry).count() == 0
    with browser.new_context() as context:
        checker = context.new_page()
        sign_in_page(checker, desk_url, book.desk[Role.RISK])
        checker.set_default_timeout(PATIENCE)
        checker.goto(f"{desk_url}/approvals/")
        inbox = checker.locator(".rail a", has_text="Approvals")
        assert inbox.locator(".count").inner_text().split()[0] == "1"
        checker.goto(f"{desk_url}{reverse('accounts:approval', args=[asked.pk])}")
        checker.get_by_label("Your reason").fill("Checked against the letter")
        checker.get_by_role("button", name=re.compile("^Approve")).click()
        checker.get_by_text("is approved and applied.").wait_for()
    undone = Entry.objects.get(reverses=entry)
    maker.goto(f"{desk_url}{reverse('ledger:entry', args=[entry])}")
    maker.get_by_role("link", name=f"Entry {undone.pk}").click()
    maker.get_by_role("link", name=f"Entry {entry}").wait_for()
    assert "leg by leg" in maker.inner_text("main")
    assert book.moved(before) == {}


def test_what_is_wrong_is_said_in_its_place_and_what_was_typed_stays(
    book: Book, maker: "Page", desk_url: str
) -> None:
    maker.goto(f"{desk_url}{reverse('ledger:transfer-new')}?kind=residual_deposit")
    maker.get_by_label("Amount").fill("lots")
    maker.get_by_label("Reason").fill("Fees of January, agreed")
    maker.get_by_role("button", name="Ask a second person").click()
    amount = maker.get_by_label("Amount")
    amount.wait_for()
    assert amount.get_attribute("aria-invalid") == "true"
    described = (amount.get_attribute("aria-describedby") or "").split()
    errors = [maker.locator(f"[id='{name}'].err") for name in described]
    assert any(error.count() == 1 and error.inner_text().strip() for error in errors)
    assert amount.input_value() == "lots"
    assert maker.get_by_label("Reason").input_value() == "Fees of January, agreed"
    assert violations(maker) == []
    assert not Approval.objects.exists()


def test_a_double_click_and_the_back_button_ask_once(
    book: Book, maker: "Page", desk_url: str
) -> None:
    maker.goto(f"{desk_url}{reverse('ledger:transfer-new')}?kind=residual_deposit")
    maker.get_by_label("From").select_option("house_bank")
    maker.get_by_label("To", exact=True).select_option("client_bank")
    maker.get_by_label("Amount").fill("25.00")
    maker.get_by_label("Reason").fill("Fees of January, agreed")
    maker.get_by_role("button", name="Ask a second person").dblclick()
    maker.get_by_text("so you cannot approve it").wait_for()
    assert Approval.objects.count() == 1
    maker.go_back()
    maker.go_forward()
    maker.get_by_text("so you cannot approve it").wait_for()
    assert Approval.objects.count() == 1
