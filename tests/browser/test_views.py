"""Lists as people use them: views by their name, chips, files, columns, and addresses to share."""

import csv
import io
import json
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts.models import Role
from margin.models import MarginCall
from tests.accounts.people import sign_in_page
from tests.browser.judging import Watch, violations
from tests.margin.firm import SmallFirm, crashed_firm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30_000
BOARD = "/margin/calls/"
IDS = "rows => rows.map(row => row.id)"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    """A firm after a crash, with many calls."""
    return crashed_firm(tmp_path / "firm")


@pytest.fixture
def page(firm: SmallFirm, browser_page: "Page", desk_url: str) -> "Page":
    """A page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, desk_url, firm.desk[Role.OPERATIONS])
    browser_page.set_default_timeout(PATIENCE)
    return browser_page


def rows(page: "Page") -> list[str]:
    found: list[str] = page.eval_on_selector_all("tbody tr[id]", IDS)
    return found


def a_filter() -> str:
    """Part of a call's name that keeps some of the open calls and not all."""
    codes = MarginCall.objects.open().values_list("scope__bucket__account__code", flat=True)
    return str(sorted(codes)[0])


def test_a_shared_view_shows_another_person_the_same_rows(
    firm: SmallFirm, page: "Page", browser: "Browser", desk_url: str
) -> None:
    page.goto(f"{desk_url}{BOARD}?q={a_filter()}&sort=amount&live=off")
    page.locator("#views > summary").click()
    assert violations(page) == []
    page.get_by_label("Keep this filter, order and columns as").fill("The first account")
    page.get_by_label("Shared with everybody").check()
    page.get_by_role("button", name="Keep view").click()
    page.wait_for_url(re.compile(r"\?filter=the-first-account$"))
    kept = rows(page)
    assert 0 < len(kept) < MarginCall.objects.open().count()
    with browser.new_context() as context:
        other = context.new_page()
        sign_in_page(other, desk_url, firm.desk[Role.RISK])
        other.goto(page.url)
        assert rows(other) == kept
        assert other.locator("#views > summary").inner_text().strip() == "The first account"


def test_a_chip_is_taken_off_and_all_of_them_at_once(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}{BOARD}?q={a_filter()}&from=1&live=off")
    few = len(rows(page))
    page.get_by_role("link", name=re.compile("Remove filter Account, client or call")).click()
    page.wait_for_url(re.compile(r"\?from=1&live=off$"))
    assert len(rows(page)) > few
    page.get_by_role("link", name="Reset", exact=True).click()
    page.wait_for_url(re.compile(r"/margin/calls/\?live=off$"))
    assert page.locator(".chip").count() == 0


def saved(page: "Page", name: str) -> bytes:
    with page.expect_download() as started:
        page.get_by_role("link", name=name, exact=True).first.click()
    return started.value.path().read_bytes()


def test_files_hold_every_row_of_the_filter_and_add_up_to_the_foot(
    page: "Page", desk_url: str
) -> None:
    page.goto(f"{desk_url}{BOARD}?live=off")
    foot = Decimal(page.locator("tfoot data").first.get_attribute("value") or "")
    total = MarginCall.objects.open().count()
    page.locator("#export > summary").click()
    assert violations(page) == []
    lines = list(csv.DictReader(io.StringIO(saved(page, "CSV").decode())))
    assert len(lines) == total
    assert sum(Decimal(line["amount"]) for line in lines) == foot
    said = json.loads(saved(page, "JSON"))
    assert said["count"] == total
    assert [row["number"] for row in said["rows"]] == [line["number"] for line in lines]
    with zipfile.ZipFile(io.BytesIO(saved(page, "XLSX"))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == total + 1


def test_any_table_of_any_page_is_a_file(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    code = a_filter()
    page.goto(f"{desk_url}/margin/accounts/{code}/")
    shown = page.locator("section table").count()
    page.get_by_role("link", name="Tables of this page as CSV, XLSX or JSON").click()
    page.get_by_role("heading", name=re.compile("^Tables of")).wait_for()
    assert violations(page) == []
    offered = page.locator("ul.work li").count() - 1
    assert 2 < offered <= shown
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile("^XLSX of all")).click()
    with zipfile.ZipFile(started.value.path()) as book:
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
    assert len(sheets) == offered
    assert watch.complaints == []


def test_columns_and_height_of_rows_are_remembered(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}{BOARD}?live=off")
    page.locator("#columns > summary").click()
    page.locator("#columns").get_by_label("Agreement", exact=True).check()
    page.get_by_role("button", name="Show these").click()
    page.get_by_role("link", name="compact").click()
    page.goto(f"{desk_url}{BOARD}")
    assert page.get_by_role("columnheader", name="Agreement").count() == 1
    assert page.locator("section.panel.compact").count() == 1
    head = page.locator("thead th").first
    assert head.evaluate("head => getComputedStyle(head).position") == "sticky"


def test_an_address_says_everything_and_going_back_works(
    firm: SmallFirm, page: "Page", browser: "Browser", desk_url: str
) -> None:
    page.goto(f"{desk_url}{BOARD}?live=off")
    first = rows(page)
    page.get_by_role("button", name="Call amount").click()
    page.wait_for_url(re.compile("sort="))
    page.locator("tbody a.why").first.click()
    page.wait_for_selector("#explain .proof")
    address, said = page.url, page.inner_text("#explain .total")
    with browser.new_context() as context:
        other = context.new_page()
        sign_in_page(other, desk_url, firm.desk[Role.RISK])
        other.goto(address)
        assert other.inner_text("#explain .total") == said
    page.go_back()
    page.go_back()
    assert page.url == f"{desk_url}{BOARD}?live=off"
    assert rows(page) == first
