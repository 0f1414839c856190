"""The incident page: it updates in place, and a switch is asked by one and agreed to by another."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from accounts.models import Role
from accounts.news import announce
from margin.models import Switch
from tests.accounts.people import sign_in_page
from tests.browser.judging import violations
from tests.margin.firm import SmallFirm, crashed_firm
from tests.serving import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 60_000
WHY = "The venue sends prices that nobody else has"


def test_a_switch_is_asked_by_one_and_set_by_another_while_the_page_keeps_its_focus(
    db: None, tmp_path: Path, browser: "Browser", browser_page: "Page", web_server: WebServer
) -> None:
    firm: SmallFirm = crashed_firm(tmp_path / "firm")
    page = browser_page
    sign_in_page(page, web_server.url, firm.desk[Role.OPERATIONS])
    page.set_default_timeout(PATIENCE)
    page.goto(f"{web_server.url}/incident/")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    seen(page, "incident")
    assert violations(page) == []
    main = page.inner_text("main")
    assert "Nearest to liquidation" in main
    assert page.locator("#h-queue").count() == 1
    page.get_by_text("The same as a table").click()
    assert int(page.locator("#minutes-table tbody tr").first.locator("td").first.inner_text()) > 0
    page.click("#stop-calls")
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name=re.compile("^Ask")).click()
    page.get_by_text("Asked. It waits for a second person").wait_for()
    asked = page.url
    assert not Switch.objects.exists()
    page.goto(f"{web_server.url}/incident/")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    page.get_by_text("Waits for a second person").wait_for()
    page.focus("#stop-liquidation")
    with browser.new_context() as context:
        checker = context.new_page()
        checker.set_default_timeout(PATIENCE)
        sign_in_page(checker, web_server.url, firm.desk[Role.RISK])
        checker.goto(asked)
        checker.get_by_label("Your reason").fill("The feed is wrong, I see it too")
        checker.get_by_role("button", name=re.compile("^Approve")).click()
        checker.get_by_text("is approved and applied.").wait_for()
    announce("approvals", "margin")
    page.locator("#stopped-calls").wait_for()
    assert page.evaluate("document.activeElement.id") == "stop-liquidation"
    assert page.locator("#switch-calls", has_text="Stopped").count() == 1
    seen(page, "stopped")
    for place in ("/", "/margin/calls/"):
        page.goto(f"{web_server.url}{place}")
        page.locator("#stopped-calls").wait_for()
    taken = page.request.get(f"{web_server.url}/incident/timeline.csv")
    assert taken.text().splitlines()[0] == "at,known_at,kind,where,what,by,row"
    assert taken.text().count(",call,") > 3


def seen(page: "Page", name: str) -> None:
    """Keep a picture where somebody wants to look at it."""
    folder = os.environ.get("PICTURES")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
