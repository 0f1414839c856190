"""The shell of every screen in a real browser: reachable, quick by keys, honest about its age."""

import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from accounts.models import Role
from accounts.news import UnknownTopicError, announce
from tests.accounts.people import PASSWORD, Desk, found_desk, sign_in_page
from tests.browser.judging import Watch, overflows, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def page(browser_page: "Page", desk_url: str, desk: Desk) -> "Page":
    """A page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, desk_url, desk[Role.OPERATIONS])
    return browser_page


def heard(page: "Page", topic: str) -> None:
    """Have the page note when it hears of a topic."""
    page.evaluate(
        "topic => document.body.addEventListener(`desk:${topic}`, () => {"
        " document.body.dataset.heard = topic })",
        topic,
    )


def test_the_shell_passes_axe_in_both_themes_and_at_any_width(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    for address in ("/approvals/", "/nothing-here/"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{desk_url}{address}")
            assert violations(page) == []
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert not overflows(page)
    missing = [said for said in watch.complaints if "404" in said]
    assert [said for said in watch.complaints if said not in missing] == []
    assert len(missing) == 2, "the page that does not exist was loaded twice, nothing else is amiss"


def test_signing_in_and_out_needs_no_script(browser: "Browser", desk_url: str, desk: Desk) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{desk_url}/approvals/")
        page.get_by_label("User name").fill("l.brandt")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(f"{desk_url}/approvals/")
        assert page.locator(".who").inner_text().startswith("L. Brandt\nOperations")
        assert page.locator(".rail [aria-current=page]").inner_text().strip() == "Approvals"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{desk_url}/sign-in/")


def test_the_first_tab_stop_leads_past_the_rail(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/approvals/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_keys_lead_around_the_desk_until_they_are_turned_off(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/audit/")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    assert page.url == f"{desk_url}/approvals/"
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    assert keys.is_visible()
    assert violations(page) == []
    page.get_by_label("Keys without Ctrl are on").uncheck()
    page.keyboard.press("Escape")
    assert not keys.is_visible()
    page.keyboard.press("?")
    assert not keys.is_visible()


def test_commands_are_found_by_typing(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/approvals/")
    page.keyboard.press("Control+k")
    page.get_by_label("Find a command").fill("audit")
    assert violations(page) == []
    page.keyboard.press("Enter")
    page.wait_for_url(f"{desk_url}/audit/")


def test_a_chosen_theme_is_in_the_page_from_the_start(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/approvals/")
    page.get_by_text("Theme", exact=True).click()
    page.get_by_role("button", name="Dark").click()
    page.locator("html[data-theme=dark]").wait_for()
    again = page.request.get(f"{desk_url}/approvals/").text()
    assert '<html lang="en" data-theme="dark">' in again


def test_the_page_says_whether_it_is_live_and_hears_what_changed(
    page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    page.goto(f"{desk_url}/approvals/")
    page.locator("[data-stream-state]", has_text="Live").wait_for()
    heard(page, "approvals")
    announce("approvals")
    page.locator("body[data-heard=approvals]").wait_for()
    assert page.locator("#stale").is_hidden()
    assert watch.complaints == []


def test_a_page_that_hears_nothing_says_its_numbers_may_be_old(page: "Page", desk_url: str) -> None:
    page.route("**/stream/", lambda route: route.abort())
    page.goto(f"{desk_url}/approvals/")
    banner = page.locator("#stale")
    banner.wait_for()
    assert re.search(r"Live updates stopped at \d\d:\d\d:\d\d", banner.inner_text())
    assert "Stale since" in page.locator("[data-stream-state]").inner_text()
    assert violations(page) == []
    heard(page, "again")
    page.unroute("**/stream/")
    page.locator("body[data-heard=again]").wait_for()
    banner.wait_for(state="hidden")


def test_nobody_is_told_of_a_topic_that_no_page_listens_to(db: None) -> None:
    with pytest.raises(UnknownTopicError, match="no page listens to 'weather'"):
        announce("margin", "weather")


def test_a_stranger_gets_no_stream(browser_page: "Page", desk_url: str) -> None:
    answer = browser_page.request.get(f"{desk_url}{reverse('stream')}", max_redirects=0)
    assert answer.status == 302


BEFORE = """
<details id="d"><summary>Parts</summary>5</details><input id="typed">
<table><tr id="r1"><td><input type="checkbox" value="1"></td><td><data value="1">1</data></td></tr>
<tr id="r2"><td><input type="checkbox" value="2"></td><td><data value="2">2</data></td></tr></table>
"""
AFTER = """
<details id="d"><summary>Parts</summary>6</details><input id="typed">
<table><tr id="r2"><td><input type="checkbox" value="2"></td><td><data value="3">3</data></td></tr>
<tr id="r3"><td><input type="checkbox" value="3"></td><td><data value="1">1</data></td></tr></table>
"""
LOAD_AGAIN = """([before, after]) => {
  const region = document.createElement("div");
  region.innerHTML = before;
  document.getElementById("main").append(region);
  region.querySelector("details").open = true;
  region.querySelector("#typed").value = "half a word";
  for (const box of region.querySelectorAll("[type=checkbox]")) box.checked = true;
  Idiomorph.morph(region, after, {morphStyle: "innerHTML"});
  return {
    open: region.querySelector("details").open,
    typed: region.querySelector("#typed").value,
    ticked: [...region.querySelectorAll("[type=checkbox]:checked")].map((box) => box.value),
    changed: [...region.querySelectorAll("data.changed")].map((data) => data.value),
    text: region.querySelector("details").textContent,
  };
}"""


def test_a_region_that_loads_itself_again_keeps_what_a_person_did_to_it(
    page: "Page", desk_url: str
) -> None:
    page.goto(f"{desk_url}/approvals/")
    assert page.evaluate(LOAD_AGAIN, [BEFORE, AFTER]) == {
        "open": True,
        "typed": "half a word",
        "ticked": ["2"],
        "changed": ["3"],
        "text": "Parts6",
    }


def test_ticked_amounts_add_up_to_the_last_digit(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/approvals/")
    sums = page.evaluate(
        """async (lists) => {
          const { exactSum } = await import("/static/desk/selection.js");
          return lists.map(exactSum);
        }""",
        [["0.1", "0.2"], ["45665.85", "39233.09"], ["-5.5", "5.50000001"], ["-7"], ["1"],
         ["99999999999999999999.99", "0.01"], ["-0.4", "0.1"]],
    )  # fmt: skip
    assert sums == [
        "0.3", "84,898.94", "0.00000001", "\N{MINUS SIGN}7", "1",
        "100,000,000,000,000,000,000.00", "\N{MINUS SIGN}0.3",
    ]  # fmt: skip
