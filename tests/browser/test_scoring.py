"""What a desk must show of itself: bands, figures, clocks, proofs, records of who did what."""

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accounts.audit import Actor, acting
from accounts.models import Operator, Role
from ledger.models import Balance
from margin.levels import SEVERITY
from margin.models import MarginCall
from tests.accounts.people import sign_in_page
from tests.browser.judging import Watch, overflows, violations
from tests.margin.firm import SmallFirm, crashed_firm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 30_000
COMPRESSED_MOST = 150_000
LOOKS = """cells => cells.map((cell) => {
  const style = getComputedStyle(cell);
  return [style.textAlign, style.fontVariantNumeric.includes("tabular-nums"), cell.innerText];
})"""
SENT = """() => performance.getEntriesByType("resource").concat(
  performance.getEntriesByType("navigation")).map((e) => [e.name, e.encodedBodySize])"""
RUNNING = "document.getAnimations().filter((each) => each.playState === 'running').length"
FIGURE = re.compile(
    r"[\N{MINUS SIGN}+]?\d{1,3}(,\d{3})*(\.\d+)?(\N{NO-BREAK SPACE}%)?|\N{EN DASH}|none"
)


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


def test_an_act_on_many_shows_count_and_total_and_escape_sends_nothing(
    page: "Page", desk_url: str
) -> None:
    posts: list[str] = []
    page.on("request", lambda asked: posts.append(asked.url) if asked.method == "POST" else None)
    page.goto(f"{desk_url}/margin/calls/?live=off&call=delivered")
    for box in page.locator("tbody .pick input").all()[:3]:
        box.check()
    amounts = page.locator("tbody .pick input").evaluate_all(
        "boxes => boxes.filter((box) => box.checked).map((box) => box.dataset.amount)"
    )
    page.get_by_role("button", name="Acknowledge…").click()
    page.wait_for_selector("dialog[open] h2")
    said = page.inner_text("dialog[open]")
    assert "3 calls" in said
    total = page.locator("dialog p data").first.get_attribute("value")
    assert Decimal(total or "") == sum(Decimal(text) for text in amounts)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    assert posts == []


def test_bands_are_words_beside_colour_and_the_worst_come_first(
    page: "Page", desk_url: str
) -> None:
    page.emulate_media(forced_colors="active")
    page.goto(f"{desk_url}/margin/calls/?live=off")
    words = page.locator("tbody tr td .st").all_inner_texts()
    labels = {label.lower(): SEVERITY[state] for state, label in bands()}
    ranks = [labels[word.strip().lower()] for word in words if word.strip().lower() in labels]
    assert len(ranks) == page.locator("tbody tr").count()
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) > 1


def bands() -> list[tuple[str, str]]:
    """The bands and the words of their badges."""
    from accounts.states import STATES

    return [(state, STATES["margin"][state].word) for state in SEVERITY]


def test_a_figure_opens_into_parts_that_add_up_to_it(page: "Page", desk_url: str) -> None:
    call = MarginCall.objects.open().select_related("scope__bucket__account").order_by("number")[0]
    assert call.scope.bucket is not None
    page.goto(f"{desk_url}/margin/accounts/{call.scope.bucket.account.code}/")
    opened = page.locator("section:has(h2:text-matches('^Scope')) a.why")
    assert opened.count() >= 3
    opened.first.click()
    page.wait_for_selector("#explain .proof")
    total = page.locator("#explain .total data").get_attribute("value")
    leaves = page.locator("#explain li.leaf > .r data").evaluate_all("d => d.map((x) => x.value)")
    assert sum(Decimal(value) for value in leaves) == Decimal(total or "")
    for heading in ("Statement of account", "Buckets and balances", "Positions"):
        assert page.get_by_role("heading", name=re.compile(heading)).count() >= 1


def test_what_may_leave_the_ratio_and_the_loan_open_down_to_their_terms(
    page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(page)
    loan = Balance.objects.filter(
        account__account_class="loan_receivable", amount__gt=0, account__bucket__code="FREE"
    ).select_related("account__margin_account")[0]  # fmt: skip
    assert loan.account.margin_account is not None
    account = f"{desk_url}/margin/accounts/{loan.account.margin_account.code}/"
    for label, question in (
        ("Available to withdraw", "available to withdraw"),
        ("Equity / initial", "of initial margin"),
        ("Loan", "the loan is"),
    ):
        page.goto(account)
        figure = page.locator(".fig", has=page.get_by_text(label, exact=True)).locator("a.why")
        value = figure.locator("data").get_attribute("value")
        figure.click()
        page.wait_for_selector("#explain .proof")
        assert question in page.inner_text("#h-why")
        assert page.locator("#explain .total data").get_attribute("value") == value
        assert page.locator("#explain li.leaf").count() >= 1
        assert violations(page) == []
    page.goto(account)
    page.get_by_text("Available to withdraw", exact=True).locator("..").locator("a.why").click()
    assert "binds" in page.locator("#explain .tree").nth(1).inner_text()
    assert watch.complaints == []


def test_figures_stand_right_grouped_and_never_in_powers_of_ten(
    page: "Page", desk_url: str
) -> None:
    for address in ("/margin/calls/?live=off", "/margin/accounts/", "/ledger/locations/"):
        page.goto(f"{desk_url}{address}")
        cells = page.eval_on_selector_all("td.num", LOOKS)
        assert cells, address
        assert {(align, tabular) for align, tabular, _ in cells} == {("right", True)}
        figures = page.locator("td.num data").all_inner_texts()
        assert [text for text in figures if not FIGURE.fullmatch(text.strip())] == []


def test_two_people_read_one_instant_on_their_own_clocks(
    firm: SmallFirm, page: "Page", browser: "Browser", desk_url: str
) -> None:
    with acting(Actor.command("setup"), reason="Reads the clock of Tokyo"):
        Operator.objects.filter(pk=firm.desk[Role.RISK].pk).update(time_zone="Asia/Tokyo")
    call = MarginCall.objects.open().order_by("number")[0]
    address = f"{desk_url}/margin/calls/{call.number}/"
    times = ".times time"
    page.goto(address)
    here = [page.locator(times).first.get_attribute(name) for name in ("datetime", "title")]
    said = page.locator(times).first.inner_text()
    with browser.new_context(timezone_id="Europe/Paris") as context:
        other = context.new_page()
        sign_in_page(other, desk_url, firm.desk[Role.RISK])
        other.goto(address)
        there = [other.locator(times).first.get_attribute(name) for name in ("datetime", "title")]
        assert there == here
        assert other.locator(times).first.inner_text() != said
        assert "JST" in other.inner_text("#strip")
    assert (here[1] or "").endswith("UTC")


def test_what_a_person_changes_is_in_the_record_with_its_request(
    page: "Page", desk_url: str
) -> None:
    page.goto(f"{desk_url}/margin/calls/")
    page.locator("details.clock > summary").click()
    page.get_by_label("Read times in").select_option("Asia/Tokyo")
    with page.expect_response(lambda answer: answer.url.endswith("/clock/")) as heard:
        page.get_by_role("button", name="Read in this zone").click()
    request = heard.value.headers["x-request-id"]
    page.goto(f"{desk_url}/audit/?q={request}")
    said = page.inner_text("main")
    for words in ("L. Brandt", "screen", request, "Chose to read times in Tokyo", "Asia/Tokyo"):
        assert words in said
    assert re.search(r"Sealed|Pending|sealed", said)
    assert violations(page) == []


def test_the_front_page_proves_that_client_money_is_whole_and_labels_whose_it_is(
    page: "Page", desk_url: str
) -> None:
    page.goto(desk_url)
    proof = page.locator("section[aria-labelledby=h-whole]")
    assert re.search(r"Held = owed|Shortfall in", proof.inner_text())
    assert "CLIENT" in proof.inner_text()
    page.goto(f"{desk_url}/ledger/locations/")
    assert {"CLIENT", "HOUSE"} <= set(re.findall(r"\b(CLIENT|HOUSE)\b", page.inner_text("main")))


def test_the_first_load_is_small_and_asks_nobody_else(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    page.goto(f"{desk_url}/margin/calls/")
    page.wait_for_load_state("load")
    sent = dict(page.evaluate(SENT))
    files = {name: size for name, size in sent.items() if "/stream/" not in name}
    assert len(files) > 10
    assert sum(files.values()) <= COMPRESSED_MOST
    assert watch.complaints == []


def test_a_page_is_printed_enlarged_and_still_as_a_reader_asks(page: "Page", desk_url: str) -> None:
    page.goto(f"{desk_url}/margin/calls/?live=off")
    page.set_viewport_size({"width": 640, "height": 400})  # 1280 by 800 at 200 %
    assert not overflows(page)
    assert violations(page) == []
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(reduced_motion="reduce")
    running = page.evaluate(
        "document.getAnimations().filter((a) => a.playState === 'running').length"
    )
    assert running == 0
    page.emulate_media(media="print")
    for hidden in (".rail", ".top", ".acts", ".pager"):
        assert not page.locator(hidden).first.is_visible()
    assert page.locator("tbody tr").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == (
        "table-header-group"
    )
    assert len(page.pdf()) > 10_000


def test_the_board_and_a_call_are_read_without_any_script(
    firm: SmallFirm, browser: "Browser", desk_url: str
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in_page(page, desk_url, firm.desk[Role.OPERATIONS])
        page.goto(f"{desk_url}/margin/calls/?sort=-amount")
        page.locator("tbody th a").first.click()
        assert page.locator("h1").count() == 1
        page.get_by_role("link", name="Acknowledge…").click()
        page.get_by_label("What the client said").fill("Reached.")
        page.get_by_role("button", name="Acknowledge").click()
        page.get_by_text("Reached.").first.wait_for()
