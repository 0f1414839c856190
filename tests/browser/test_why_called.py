"""From the day board to why a scope was called, by keyboard alone, in three steps."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts.models import LegalEntity, Role
from margin.models import MarginCall
from tests.accounts.people import Desk, found_desk, sign_in_page
from tests.browser.judging import Watch
from tests.stage import booked_days

if TYPE_CHECKING:
    from playwright.sync_api import Page

PERPETUAL = "BTC-PERP"
TABS_MAX = 250


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """A firm after two days on which perpetuals were called."""
    booked_days(tmp_path / "firm", accounts=120, seed=7, days=2)
    return found_desk(entity=LegalEntity.objects.get())


def press_link(page: "Page", address: str) -> None:
    """Press Tab until a link to this address has the focus, then Enter: one click's worth."""
    wanted = re.compile(address)
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        href = page.evaluate("document.activeElement.getAttribute('href') || ''")
        if wanted.search(href):
            page.keyboard.press("Enter")
            return
    pytest.fail(f"no link to {address} within {TABS_MAX} tabs")


def test_three_steps_lead_from_the_day_board_to_the_price_and_the_bracket(
    desk: Desk, browser_page: "Page", desk_url: str
) -> None:
    page = browser_page
    page.set_default_timeout(30_000)
    sign_in_page(page, desk_url, desk[Role.OPERATIONS])
    watch = Watch(desk_url).on(page)
    call = (
        MarginCall.objects.open()
        .filter(last_result__components__kind="im_perpetual")
        .select_related("last_result")
        .order_by("number")[0]
    )

    page.goto(f"{desk_url}/")
    press_link(page, rf"/margin/calls/\?.*{call.last_result.state}|/margin/calls/$")
    page.wait_for_url(re.compile(r"/margin/calls/(\?.*)?$"))
    press_link(page, rf"/margin/calls/{call.number}/\?.*explain=initial_margin")
    page.wait_for_selector("#explain .proof")
    press_link(page, rf"/margin/prices/{PERPETUAL}/")

    page.wait_for_url(re.compile(rf"/margin/prices/{PERPETUAL}/"))
    assert "charged here" in page.inner_text("#terms tr[aria-current=true]")
    assert watch.complaints == []
