"""Prices inside a day on open pages: calls and figures change without anybody loading anything."""

from typing import TYPE_CHECKING

import pytest

from accounts.figures import grouped
from accounts.models import Role
from accounts.news import announce
from brokerage.inbox.cycle import Silent
from brokerage.remargining import MEMORY, run_remargin
from margin.models import MarginCall
from margin.standing_results import standing_runs
from tests.accounts.people import sign_in_page
from tests.brokerage.intraday import after, moved
from tests.browser.judging import Watch, violations
from tests.margin.firm import SmallFirm, crashed_firm

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

PATIENCE = 30_000


@pytest.fixture
def firm(db: None, tmp_path: "Path") -> SmallFirm:
    """A firm after a crash, and nobody's book in memory."""
    MEMORY.forget()
    return crashed_firm(tmp_path / "firm")


@pytest.fixture
def page(firm: SmallFirm, browser_page: "Page", desk_url: str) -> "Page":
    """A page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, desk_url, firm.desk[Role.OPERATIONS])
    browser_page.set_default_timeout(PATIENCE)
    return browser_page


def test_a_call_appears_on_an_open_page_that_nobody_loads_again(
    page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    called = set(MarginCall.objects.values_list("number", flat=True))
    page.goto(f"{desk_url}/margin/calls/?call=open")
    page.evaluate("window.neverLoadedAgain = true")
    moved(after(30), BTC="0.4", BTC_PERP="0.4")
    said = run_remargin({}, Silent())
    assert said["issued"] > 0
    announce("margin")
    fresh = MarginCall.objects.exclude(number__in=called).order_by("number")[0]
    account = fresh.scope.bucket.account.code
    page.get_by_text(account, exact=False).first.wait_for()
    page.get_by_text(grouped(fresh.amount, decimals=2)).first.wait_for()
    assert page.evaluate("window.neverLoadedAgain") is True
    assert violations(page) == []
    assert watch.complaints == []


def test_pages_say_which_run_and_instant_a_scope_stands_at(page: "Page", desk_url: str) -> None:
    moved(after(30), BTC="0.4", BTC_PERP="0.4")
    number = run_remargin({}, Silent())["run"]
    runs = standing_runs()
    assert runs.newest is not None
    assert runs.newest.number == number
    result = runs.results().filter(run=runs.newest).select_related("scope__bucket__account")[0]
    account = result.scope.bucket.account.code
    page.goto(f"{desk_url}/margin/accounts/{account}/")
    page.get_by_text(f"run {number}").first.wait_for()
    page.get_by_text(grouped(result.equity, decimals=2)).first.wait_for()
    page.goto(desk_url)
    page.get_by_text(f"in run {number}").first.wait_for()
    assert violations(page) == []
