"""Live pages: focus and ticks stay, silence is said within ten seconds, and it mends itself."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts.models import Role
from accounts.news import announce
from margin.calls.settling import acknowledge_call
from margin.models import MarginCall
from tests.accounts.people import Desk, found_desk, person, sign_in_page
from tests.browser.judging import violations
from tests.margin.firm import SmallFirm, crashed_firm
from tests.serving import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

SAID_WITHIN = 10_000
PATIENCE = 40_000
HERE = "document.activeElement.closest('tr').id + ' ' + document.activeElement.textContent.trim()"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def page(desk: Desk, browser_page: "Page", web_server: WebServer) -> "Page":
    """A live page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, web_server.url, desk[Role.OPERATIONS])
    browser_page.goto(f"{web_server.url}/approvals/")
    browser_page.locator("[data-stream-state]", has_text="Live").wait_for()
    return browser_page


def test_a_killed_server_is_said_within_ten_seconds_and_the_page_recovers_by_itself(
    page: "Page", web_server: WebServer
) -> None:
    page.evaluate("window.neverLoadedAgain = true")
    web_server.kill()
    banner = page.locator("#stale")
    banner.wait_for(timeout=SAID_WITHIN)
    assert "Live updates stopped at" in banner.inner_text()
    assert violations(page) == []
    web_server.start()
    banner.wait_for(state="hidden", timeout=PATIENCE)
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    assert page.evaluate("window.neverLoadedAgain") is True


def test_a_stream_that_only_falls_silent_is_said_within_ten_seconds(
    page: "Page", web_server: WebServer
) -> None:
    page.route("**/stream/", lambda route: None)  # neither answered nor refused
    page.goto(f"{web_server.url}/approvals/", wait_until="domcontentloaded")
    began = time.monotonic()
    page.locator("#stale").wait_for(timeout=SAID_WITHIN)
    assert time.monotonic() - began < SAID_WITHIN / 1000


def test_an_update_keeps_focus_ticks_and_scroll_and_a_pause_holds_it_back(
    db: None, tmp_path: Path, browser_page: "Page", web_server: WebServer
) -> None:
    firm: SmallFirm = crashed_firm(tmp_path / "firm")
    page = browser_page
    sign_in_page(page, web_server.url, firm.desk[Role.OPERATIONS])
    page.set_default_timeout(PATIENCE)
    page.goto(f"{web_server.url}/margin/calls/")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    first, second = MarginCall.objects.filter(state="delivered").order_by("number")[:2]
    page.check(f"#call-{second.number} .pick input")
    page.focus(f"#call-{second.number} th a")
    page.evaluate("scrollTo(0, 120)")
    focused, scrolled = page.evaluate(HERE), page.evaluate("scrollY")
    acknowledge_call(first.number, actor=person(firm.desk[Role.RISK]), words="Reached.")
    announce("margin")
    page.wait_for_selector(f"#call-{first.number} >> text=M. Okafor")
    assert page.evaluate(HERE) == focused
    assert page.evaluate("scrollY") == scrolled
    assert page.is_checked(f"#call-{second.number} .pick input")
    assert page.locator("#calls[hx-get]").count() == 1
    page.get_by_role("link", name="Pause updates").click()
    page.get_by_role("link", name="Resume updates").wait_for()
    assert page.locator("#calls[hx-get]").count() == 0
