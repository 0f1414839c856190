"""Two administrators in two browsers give a role; every page of it passes axe, full and empty."""

from typing import TYPE_CHECKING

import pytest

from accounts import people
from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Role, RoleGrant
from tests.accounts.people import Desk, add_operator, found_desk, person, sign_in_page
from tests.browser.judging import Watch, overflows, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EMPTY = ("/approvals/?list=you", "/approvals/?list=decided", "/audit/?actor=nobody")
FILLED = ("/approvals/", "/approvals/?list=made", "/audit/", "/audit/?actor=brandt", "/people/")


@pytest.fixture
def desk(db: None) -> Desk:
    desk = found_desk()
    with acting(Actor.command("setup"), reason="A newcomer"):
        add_operator("j.adeyemi", "J. Adeyemi")
    return desk


def judge(page: "Page", address: str) -> None:
    """The page in both themes, and at the width of a telephone."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type, unused-ignore]
        page.goto(address)
        assert violations(page) == [], address
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert not overflows(page), address


def test_pages_pass_axe_while_there_is_nothing_to_show(
    desk: Desk, desk_url: str, browser_page: "Page"
) -> None:
    sign_in_page(browser_page, desk_url, desk[Role.COMPLIANCE])
    watch = Watch(desk_url).on(browser_page)
    for page in EMPTY:
        judge(browser_page, f"{desk_url}{page}")
    assert watch.complaints == []


def test_pages_pass_axe_with_requests_and_acts(
    desk: Desk, desk_url: str, browser_page: "Page"
) -> None:
    asks, decides = (person(administrator) for administrator in desk.administrators)
    grant = RoleGrant.objects.get(operator=desk[Role.TREASURY])
    why = "Leaves the firm in March"
    people.request_revocation(grant=grant, reason=why, actor=asks)
    grant = RoleGrant.objects.get(operator=desk[Role.RISK])
    people.request_revocation(grant=grant, reason=why, actor=decides)
    with acting(person(desk[Role.OPERATIONS]), reason="The firm changed its name"):
        LegalEntity.objects.update(name="Example Brokerage")
    sign_in_page(browser_page, desk_url, desk.administrators[0])
    watch = Watch(desk_url).on(browser_page)
    for page in FILLED:
        judge(browser_page, f"{desk_url}{page}")
    assert watch.complaints == []


def test_two_people_give_a_role_and_the_second_needs_no_reload(
    desk: Desk, desk_url: str, browser: "Browser"
) -> None:
    with browser.new_context() as first, browser.new_context() as second:
        asks, decides = first.new_page(), second.new_page()
        sign_in_page(asks, desk_url, desk.administrators[0])
        sign_in_page(decides, desk_url, desk.administrators[1])
        decides.goto(f"{desk_url}/approvals/")
        decides.get_by_text("Nothing waits for you").wait_for()
        decides.locator("[data-stream-state].t-ok").wait_for()
        asks.goto(f"{desk_url}/people/")
        asks.get_by_label("Person", exact=True).select_option("j.adeyemi")
        asks.get_by_label("Role", exact=True).select_option("risk")
        asks.get_by_label("Reason").fill("Joins the risk desk on Monday")
        asks.get_by_role("button", name="Ask for this role").click()
        asks.get_by_text(
            "You made this request, so you cannot approve it. R. Haddad can."
        ).wait_for()
        decides.get_by_label("Your reason").fill("Checked with the head of the desk")
        decides.get_by_role("button", name="Approve").click()
        decides.get_by_text("is approved and applied.").wait_for()
    assert RoleGrant.objects.get(operator__username="j.adeyemi").role == "risk"


def test_taking_a_role_away_asks_for_the_reason_in_a_dialog(
    desk: Desk, desk_url: str, browser_page: "Page"
) -> None:
    sign_in_page(browser_page, desk_url, desk.administrators[0])
    browser_page.goto(f"{desk_url}/people/")
    browser_page.get_by_role("link", name="Take away Treasury from S. Iyer").click()
    dialog = browser_page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Leaves the firm in March")
    assert violations(browser_page) == []
    dialog.get_by_role("button", name="Ask to take it away").click()
    browser_page.get_by_text("Asked. Another administrator decides.").wait_for()
    assert RoleGrant.objects.get(operator=desk[Role.TREASURY]).revoked_xid is None
