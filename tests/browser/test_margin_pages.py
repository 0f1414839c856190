"""The screens of margin in a real browser: by keyboard, live, at every width, in both themes."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts.models import Role
from margin.calls.settling import acknowledge_call
from margin.models import MarginCall
from tests.accounts.people import person, sign_in_page
from tests.browser.judging import Watch, overflows, violations
from tests.margin.firm import PERPETUAL, SmallFirm, crashed_firm

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 30_000
TABS_MAX = 60


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    """A firm after a crash: several calls, a perpetual without a price."""
    return crashed_firm(tmp_path / "firm")


@pytest.fixture
def page(firm: SmallFirm, browser_page: "Page", desk_url: str) -> "Page":
    """A page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, desk_url, firm.desk[Role.OPERATIONS])
    browser_page.set_default_timeout(PATIENCE)
    return browser_page


def called_on_a_perpetual() -> MarginCall:
    calls = MarginCall.objects.filter(last_result__components__kind="im_perpetual")
    return calls.select_related("scope__bucket__account").order_by("number")[0]


def tab_to(page: "Page", words: str) -> None:
    """Press Tab until a link with these words has the focus."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent.trim()")
        if words in focused and page.evaluate("document.activeElement.tagName") == "A":
            return
    pytest.fail(f"no link “{words}” within {TABS_MAX} tabs")


def test_from_the_board_to_the_price_and_the_bracket_by_keyboard(
    page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    call = called_on_a_perpetual()
    page.goto(f"{desk_url}/margin/calls/?call={call.state}&q={call.number}")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/margin/calls/{call.number}/$"))
    page.keyboard.press("e")
    page.wait_for_url(re.compile("explain=initial_margin"))
    page.wait_for_selector("#explain .proof")
    tab_to(page, f"{PERPETUAL} ")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/margin/prices/{PERPETUAL}/\?day=.*&bracket="))
    assert "charged here" in page.inner_text("#terms tr[aria-current=true]")
    assert watch.complaints == []


def test_the_board_shows_what_others_do_without_being_asked(
    firm: SmallFirm, page: "Page", desk_url: str
) -> None:
    call = MarginCall.objects.filter(state="delivered").order_by("number")[0]
    page.goto(f"{desk_url}/margin/calls/")
    page.check(f"#call-{call.number} .pick input")
    acknowledge_call(call.number, actor=person(firm.desk[Role.RISK]), words="Reached.")
    page.wait_for_selector(f"#call-{call.number} >> text=M. Okafor")
    assert page.is_checked(f"#call-{call.number} .pick input"), "a tick outlives a refresh"


def test_selected_calls_are_acknowledged_in_a_dialog(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    first, second = MarginCall.objects.filter(state="delivered").order_by("number")[:2]
    page.goto(f"{desk_url}/margin/calls/?live=off")
    for call in (first, second):
        page.check(f"#call-{call.number} .pick input")
    assert page.inner_text("[data-bulk-count]") == "2 selected"
    page.click("text=Acknowledge…")
    page.wait_for_selector("dialog[open] h2")
    assert violations(page) == []
    page.fill("dialog #reason", "Told both by telephone.")
    page.fill("dialog #count", "2")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("text=2 of 2 calls acknowledged.")
    states = MarginCall.objects.filter(pk__in=[first.pk, second.pk]).values_list("state", flat=True)
    assert set(states) == {"acknowledged"}
    assert watch.complaints == []


def test_the_drawer_closes_with_escape(page: "Page", desk_url: str) -> None:
    call = called_on_a_perpetual()
    page.goto(f"{desk_url}/margin/calls/{call.number}/?explain=equity")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile(rf"/margin/calls/{call.number}/$"))
    assert page.query_selector("#explain") is None


def test_no_page_of_an_object_has_a_fault_in_any_theme_or_width(
    page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    call = called_on_a_perpetual()
    assert call.scope.bucket is not None
    account = call.scope.bucket.account.code
    addresses = [
        f"/margin/calls/{call.number}/?explain=equity",
        f"/margin/calls/{call.number}/?tab=notice",
        f"/margin/calls/{call.number}/?tab=payments",
        f"/margin/accounts/{account}/",
        f"/margin/accounts/{account}/?tab=statement",
        f"/margin/accounts/{account}/?tab=agreement",
        f"/margin/prices/{PERPETUAL}/?bracket=1",
        "/margin/tasks/?status=closed",
    ]
    faults: list[str] = []
    for address in addresses:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{desk_url}{address}")
            faults += [f"{address} {scheme}: {fault}" for fault in violations(page)]
        for width in (320, 390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            if overflows(page):
                faults.append(f"{address} is wider than {width}")
    assert faults + watch.complaints == []


def test_a_policy_is_typed_into_fields_and_errors_stand_beside_them(
    firm: SmallFirm, browser_page: "Page", desk_url: str
) -> None:
    page = browser_page
    sign_in_page(page, desk_url, firm.desk[Role.RISK])
    watch = Watch(desk_url).on(page)
    page.set_default_timeout(PATIENCE)
    page.goto(f"{desk_url}/margin/dynamic/")
    page.get_by_role("link", name=f"dynamic-margin of {PERPETUAL}").click()
    page.wait_for_selector("form.stack")
    assert page.locator("form.stack textarea").count() == 1, "only the reason is prose"
    page.get_by_label("Initial rate never above").fill("2")
    page.get_by_label("Most it falls").fill("0.03")
    page.get_by_label("Reason").fill("Volatility has risen for a week")
    page.get_by_role("button", name="Ask a second person").click()
    wrong = page.get_by_label("Initial rate never above")
    assert wrong.get_attribute("aria-invalid") == "true"
    said = page.locator(f"#{wrong.get_attribute('aria-describedby').split()[-1]}")  # type: ignore[union-attr]
    assert "1" in said.inner_text()
    assert page.get_by_label("Most it falls").input_value() == "0.03"
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert not overflows(page)
    wrong.fill("0.5")
    page.get_by_role("button", name="Ask a second person").click()
    page.wait_for_url(re.compile("/approvals/"))
    # The browser reports the refused form as a failed request of its own.
    assert [each for each in watch.complaints if "422" not in each] == []
