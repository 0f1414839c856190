"""The day board, breaks and transfers in a real browser: by keyboard, live, without scripts."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from accounts.models import Approval, Role
from accounts.news import announce
from ledger.breaks import take_break
from ledger.models import Break
from margin.models import MarginCall
from tests.accounts.people import person, sign_in_page
from tests.browser.judging import Watch, overflows, violations
from tests.ledger.book import Book, found_book
from tests.ledger.differences import compare, give_statement
from tests.margin.firm import SmallFirm, crashed_firm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30_000
TABS_MAX = 80
WHY = "A client paid without a name"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    """A firm after a crash."""
    return crashed_firm(tmp_path / "firm")


@pytest.fixture
def book(db: None) -> Book:
    """A small book with one line that it knows nothing of."""
    book = found_book(db)
    give_statement(book.locations["client_bank"], ("BC-9", "565.09"))
    compare()
    return book


def signed_in(page: "Page", desk_url: str, operator: object) -> "Page":
    sign_in_page(page, desk_url, operator)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    return page


def tab_to(page: "Page", pattern: str) -> None:
    """Press Tab until a link whose address fits has the focus."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        address = page.evaluate("document.activeElement.getAttribute('href') || ''")
        if re.search(pattern, address):
            return
    pytest.fail(f"no link {pattern} within {TABS_MAX} tabs")


def test_from_the_day_board_to_the_price_and_the_bracket_by_keyboard(
    firm: SmallFirm, browser_page: "Page", desk_url: str
) -> None:
    page = signed_in(browser_page, desk_url, firm.desk[Role.RISK])
    watch = Watch(desk_url).on(page)
    page.goto(f"{desk_url}/")
    assert "Client money is whole." in page.inner_text("#verdict")
    tab_to(page, r"/calls/MC-[^/]+/\?explain=initial_margin")
    page.keyboard.press("Enter")
    page.wait_for_selector("#explain .proof")
    number = re.search(r"/calls/(MC-[^/]+)/", page.url)
    assert number is not None
    assert MarginCall.objects.filter(number=number[1]).exists()
    assert "Why initial margin is" in page.inner_text("#explain")
    tab_to(page, r"/prices/[^/]+/\?day=[^#]*#")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/margin/prices/"))
    assert page.locator("h1").count() == 1
    assert watch.complaints == []


def test_the_board_shows_what_others_do_without_being_asked(
    firm: SmallFirm, browser_page: "Page", desk_url: str
) -> None:
    from playwright.sync_api import expect

    page = signed_in(browser_page, desk_url, firm.desk[Role.OPERATIONS])
    watch = Watch(desk_url).on(page)
    page.goto(f"{desk_url}/")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    free = page.locator(".work .st", has_text="Break")
    assert free.count() > 0
    actor = person(firm.desk[Role.TREASURY])
    for found in Break.objects.unresolved():
        take_break(found.pk, seen_owner_id=None, actor=actor)
    announce("breaks")
    expect(free).to_have_count(0, timeout=PATIENCE)
    assert page.locator("#verdict").count() == 1
    assert watch.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_open_menus_and_forms_are_sound(
    book: Book, browser_page: "Page", desk_url: str, scheme: str
) -> None:
    page = signed_in(browser_page, desk_url, book.desk[Role.OPERATIONS])
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    watch = Watch(desk_url).on(page)
    found = Break.objects.get(kind="missing_in_ledger")
    page.goto(f"{desk_url}{reverse('ledger:break', args=[found.pk])}")
    for summary in page.locator("details.more > summary").all():
        summary.click()
    assert violations(page) == []
    for width in (320, 390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert not overflows(page)
    page.goto(f"{desk_url}{reverse('ledger:breaks')}")
    page.check("[data-pick-all]")
    page.get_by_role("button", name="Take…").click()
    page.get_by_role("heading", name="Take these breaks?").wait_for()
    assert violations(page) == []
    for kind in ("residual_withdrawal", "manual_journal"):
        page.goto(f"{desk_url}{reverse('ledger:transfer-new')}?kind={kind}")
        assert violations(page) == []
    assert watch.complaints == []


def test_a_break_is_closed_without_any_script(
    book: Book, browser: "Browser", desk_url: str
) -> None:
    found = Break.objects.get(kind="missing_in_ledger")
    with browser.new_context(java_script_enabled=False) as context:
        page = signed_in(context.new_page(), desk_url, book.desk[Role.OPERATIONS])
        page.goto(f"{desk_url}{reverse('ledger:break', args=[found.pk])}")
        page.get_by_role("button", name="Take it").click()
        page.get_by_text("This break is yours now.").wait_for()
        page.get_by_text("Book it as a receipt without an owner").click()
        page.get_by_label("What is known of it").fill(WHY)
        page.get_by_role("button", name="Book 565.09 USD").click()
        page.get_by_text("Close the break with it.").wait_for()
        page.get_by_role("radio").check()
        page.get_by_label("Why this explains it").fill(WHY)
        page.get_by_role("button", name="Close with this evidence").click()
        page.get_by_text("Closed. The evidence stays with it.").wait_for()
    assert Break.objects.get(pk=found.pk).status == "closed"


def test_two_people_move_the_firms_money(
    book: Book, browser: "Browser", browser_page: "Page", desk_url: str
) -> None:
    maker = signed_in(browser_page, desk_url, book.desk[Role.TREASURY])
    maker.goto(f"{desk_url}{reverse('ledger:locations')}")
    maker.get_by_role("link", name="Ask for a transfer").click()
    maker.goto(f"{maker.url}?kind=residual_deposit")
    maker.get_by_label("From").select_option("house_bank")
    maker.get_by_label("To", exact=True).select_option("client_bank")
    maker.get_by_label("Amount").fill("25.00")
    maker.get_by_label("Reason").fill("Fees of January, agreed")
    maker.get_by_role("button", name="Ask a second person").click()
    maker.get_by_text("so you cannot approve it").wait_for()
    before = book.balances()
    asked = Approval.objects.get()
    with browser.new_context() as context:
        checker = signed_in(context.new_page(), desk_url, book.desk[Role.RISK])
        checker.goto(f"{desk_url}{reverse('accounts:approval', args=[asked.pk])}")
        assert "Owed to clients" in checker.inner_text("main")
        assert violations(checker) == []
        checker.get_by_label("Your reason").fill("Checked against the ledger")
        checker.get_by_role("button", name="Approve 25.00 USD").click()
        checker.get_by_text("is approved and applied.").wait_for()
    assert book.moved(before) == {
        "client_bank": "25", "house_bank": "-25", "house_equity": "25", "residual": "-25",
    }  # fmt: skip
