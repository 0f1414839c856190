"""Everything by keyboard: every control is reached and seen, and the main act needs no mouse."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Act, Role
from margin.models import MarginCall
from tests.accounts.people import sign_in_page
from tests.browser.judging import Watch
from tests.margin.firm import PERPETUAL, SmallFirm, crashed_firm
from tests.margin.kept import holders_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 30_000
# Controls that a person could use now: visible, not off, not taken out of the order on purpose.
NUMBERED = """() => {
  const wanted = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]';
  return [...document.querySelectorAll(wanted)].filter((each) => each.checkVisibility() &&
    !each.disabled && each.tabIndex >= 0).map((each, n) => { each.dataset.nth = n; return n; });
}"""
FOCUSED = """() => {
  const style = getComputedStyle(document.activeElement);
  return [document.activeElement.dataset.nth ?? '', style.outlineStyle, style.outlineWidth];
}"""


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


def tab_to(page: "Page", words: str) -> None:
    """Press Tab until a control with these words has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if words in page.evaluate("document.activeElement.textContent"):
            return
    pytest.fail(f"no control “{words}” was reached")


def test_tab_reaches_every_control_and_each_shows_that_it_has_the_focus(
    page: "Page", desk_url: str
) -> None:
    page.goto(f"{desk_url}/margin/calls/?live=off")
    wanted: list[int] = page.evaluate(NUMBERED)
    reached: set[int] = set()
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        number, style, width = page.evaluate(FOCUSED)
        if number != "":
            assert (style, width) != ("none", "0px"), f"control {number} hides its focus"
            reached.add(int(number))
    assert len(wanted) > 40
    assert set(wanted) - reached == set()


def test_a_call_is_opened_and_acknowledged_by_keyboard_alone(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    call = MarginCall.objects.filter(state="delivered").order_by("number")[0]
    page.goto(f"{desk_url}/margin/calls/?q={call.number}&live=off")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/margin/calls/{call.number}/$"))
    tab_to(page, "Acknowledge…")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] textarea")
    while page.evaluate("document.activeElement.tagName") != "TEXTAREA":
        page.keyboard.press("Tab")
    page.keyboard.type("Reached by telephone.")
    tab_to(page, "Acknowledge")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]", state="hidden")
    page.get_by_text("Reached by telephone.").first.wait_for()
    call.refresh_from_db()
    assert (call.state, call.acknowledged_by) == ("acknowledged", firm_operator(call))
    assert watch.complaints == []


def firm_operator(call: MarginCall) -> Any:
    """Who owns the call now."""
    return call.owner


def test_sliders_are_moved_by_arrows_and_write_nothing(
    firm: SmallFirm, page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    (held, *_) = [
        each for each in holders_of(call_run(firm), [PERPETUAL])
        if each.scope.bucket and each.scope.bucket.code == "FREE"
    ]  # fmt: skip
    bucket: Any = held.scope.bucket
    page.goto(f"{desk_url}/margin/sliders/{bucket.account.code}/?bucket={bucket.code}")
    acts = Act.objects.count()
    after = page.locator("#said tr:has(th:text-is('Equity')) td:nth-child(3) data")
    before = after.get_attribute("value")
    slider = page.get_by_label(re.compile(r"USD in, or out"))
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("money=[1-9]"))
    moved = page.evaluate("Number(document.activeElement.value)")
    assert moved > 0
    page.wait_for_function(  # a look that is on its way is shown first, then the last one
        "(said) => Math.abs(said - document.querySelector("
        "'#said tr:nth-child(2) td:nth-child(3) data').value) < 0.01",
        arg=float(before or 0) + moved,
    )
    assert float(after.get_attribute("value") or 0) == pytest.approx(float(before or 0) + moved)
    assert page.get_by_role("status").filter(has_text="Margin call:").count() == 1
    assert (
        slider.get_attribute("aria-valuetext")
        == slider.locator("..").locator("output").inner_text()
    )
    assert Act.objects.count() == acts
    assert watch.complaints == []


def call_run(firm: SmallFirm) -> Any:
    """The newest run of the firm."""
    from margin.models import MarginRun

    return MarginRun.objects.get(number=firm.second_run)
