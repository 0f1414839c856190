"""The day board: its figures are the day's result, its verdict is what is worst, its cost fixed."""

import re
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.audit import acting
from accounts.models import LegalEntity, Role
from brokerage.models import BusinessDay
from brokerage.screens.day import Prices, verdict
from brokerage.screens.waiting import missing_money
from brokerage.screens.whole import Losses, Whole, whole_now, whole_then
from ledger.breaks import take_break
from ledger.models import Break, Location
from ledger.screens.identity import IdentityLine, equation
from ledger.screens.locations import desk_today
from margin.models import MarginCall, MarginResult, MarginState, Mark, Task
from tests.accounts.people import found_desk, person, sign_in
from tests.ledger.agreeing import file_letter
from tests.ledger.book import Book, found_book
from tests.margin.firm import FIRST_DAY, PERPETUAL, SmallFirm, crashed_firm

HTMX = {"HX-Request": "true"}
NOTHING = Decimal(0)
LOSSES = Losses(0, NOTHING, NOTHING, NOTHING)
CRASH_DAY = "2031-03-04"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    """A firm after a crash: calls, liquidations, one price missing."""
    return crashed_firm(tmp_path / "firm")


def browser_of(firm: SmallFirm, role: Role = Role.OPERATIONS) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def board(browser: Browser, *day: str, **headers: str) -> Any:
    answer = browser.get(reverse("brokerage:day", args=day), headers=headers)
    assert answer.status_code == 200
    return answer


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def client_line(*, shortfall: str = "0", asset: str = "USD") -> IdentityLine:
    """A client pool that holds 90 and owes 100 less what is short."""
    return IdentityLine(
        pool="CLIENT", owner_class="CLIENT", asset=asset, scale=2, custody={"bank": Decimal(90)},
        held=Decimal(90), residual=Decimal(0), shortfall=Decimal(shortfall),
        owed=Decimal(90) + Decimal(shortfall),
    )  # fmt: skip


def whole_of(*lines: IdentityLine) -> Whole:
    return Whole(list(lines), equation(lines, asset="USD"), "USD", LOSSES)


# ---------------------------------------------------------------- is client money whole


def test_the_book_as_it_stands_is_the_result_of_the_newest_day(firm: SmallFirm) -> None:
    entity = LegalEntity.objects.get()
    day = BusinessDay.objects.get(day=CRASH_DAY)
    assert day.result is not None
    now = {(line.pool, line.asset): line for line in whole_now(entity, day).lines}
    assert len(now) == len(day.result["segregation"])
    for row in day.result["segregation"]:
        line = now[row["pool"], row["asset"]]
        assert line.adds_up
        assert line.held == Decimal(row["resource"])
        assert {place: Decimal(held) for place, held in row["custody"].items()} == line.custody
        if line.is_client:
            assert line.owed == Decimal(row["client_claims"])
            assert line.residual - (line.shortfall or 0) == Decimal(row["residual_interest"])
        else:
            assert line.residual == Decimal(row["own_equity"])


def test_a_past_day_is_shown_as_its_result_kept_it(firm: SmallFirm) -> None:
    entity = LegalEntity.objects.get()
    newest = BusinessDay.objects.get(day=CRASH_DAY)
    kept, stands = whole_then(entity, newest).lines, whole_now(entity, newest).lines
    assert kept == stands, "nothing has moved since the day was closed"
    first = BusinessDay.objects.get(day=FIRST_DAY)
    then = whole_then(entity, first)
    assert all(line.adds_up for line in then.lines)
    assert then.lines != whole_then(entity, newest).lines


def test_the_beams_end_together(firm: SmallFirm) -> None:
    answer = board(browser_of(firm))
    sides = answer.context["board"].whole.equation
    assert sides.held + sides.shortfall == sides.owed + sides.residual
    for bar in (sides.beam.upper, sides.beam.lower):
        end = Decimal(bar[-1].x) + Decimal(bar[-1].width)
        assert abs(end - 998) < 1


def test_a_shortfall_comes_first_everywhere(db: None) -> None:
    short = whole_of(client_line(shortfall="10"), client_line(asset="BTC"))
    assert not short.is_whole
    assert (short.whole_count, [line.asset for line in short.missing]) == (1, ["USD"])
    said = verdict(short, None, Prices([], [], 0, "VALID"))
    assert said.startswith("Client money lacks 10.00 USD, due from the firm.")
    (line,) = missing_money(short)
    assert (line.shown.tone, line.title) == (
        "def", "Client money lacks 10.00 USD, due from the firm",
    )  # fmt: skip


def test_a_fund_without_money_is_no_shortfall() -> None:
    fund = IdentityLine(
        pool="INSURANCE", owner_class="INSURANCE", asset="USD", scale=2, custody={"bank": NOTHING},
        held=NOTHING, residual=NOTHING,
    )  # fmt: skip
    assert fund.verdict == "empty"
    assert whole_of(client_line(), fund).is_whole


# ---------------------------------------------------------------- the verdict and the scopes


def test_the_verdict_says_what_is_worst(firm: SmallFirm) -> None:
    answer = board(browser_of(firm))
    states = Counter(
        MarginResult.objects.filter(run__number=firm.second_run).values_list("state", flat=True)
    )
    said = answer.context["board"].verdict
    assert said.startswith("Client money is whole. ")
    missing = Mark.objects.filter(business_day=CRASH_DAY).exclude(state="VALID").count()
    assert said.endswith({1: "one price is missing.", 2: "two prices are missing."}[missing])
    for state, words in (("DEFICIT", "in deficit"), ("LIQUIDATE", "at liquidation")):
        assert (words in said) is bool(states[state])
    assert f'<p id="verdict">{said}' in text_of(answer)


def test_a_calm_day_says_so() -> None:
    calm = verdict(whole_of(client_line()), None, Prices([], [], 0, "VALID"))
    assert calm == "Client money is whole. No margin run has been made yet."


def test_scopes_are_counted_by_state_against_the_day_before(firm: SmallFirm) -> None:
    answer = board(browser_of(firm))
    scopes = answer.context["board"].scopes
    results = {
        number: Counter(
            MarginResult.objects.filter(run__number=number).values_list("state", flat=True)
        )
        for number in (firm.first_run, firm.second_run)
    }
    for each in scopes.counts:
        assert each.count == results[firm.second_run][each.state]
        assert each.change == each.count - results[firm.first_run][each.state]
    assert scopes.checked == sum(results[firm.second_run].values())
    assert [bar.day.isoformat() for bar in scopes.bars] == [FIRST_DAY.isoformat(), CRASH_DAY]
    called = MarginResult.objects.filter(run__number=firm.second_run)
    assert scopes.bars[-1].called == sum(result.call_amount for result in called)
    lacking = [r.initial_margin - r.equity for r in called if r.initial_margin > r.equity]
    assert scopes.under_margined == sum(lacking)


def test_every_state_leads_to_a_list_of_exactly_those_scopes(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    for each in board(browser).context["board"].scopes.counts:
        listing = browser.get(each.address).context["listing"]
        if each.state in (MarginState.OK, MarginState.BELOW_INITIAL):
            assert listing.total == each.count
        else:  # below the minimum transfer amount nothing is called
            small = MarginResult.objects.filter(
                run__number=firm.second_run, state=each.state, flags__contains=["below_mta"]
            ).count()
            assert listing.total == each.count - small


# ---------------------------------------------------------------- what needs a person


def work(browser: Browser) -> dict[str, Any]:
    """The lines of the panel by the word on their badge, the first of each."""
    lines: dict[str, Any] = {}
    for line in board(browser).context["board"].work:
        lines.setdefault(line.shown.word, line)
    return lines


def test_scopes_below_a_level_are_one_line_that_leads_to_why(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    tasks = Task.objects.filter(kind="liquidate", closed_at=None)
    line = work(browser)["Liquidate"]
    assert line.title.startswith(f"{tasks.count()} scope")
    name, address = line.links[0]
    number = re.search(r"/calls/(MC-[0-9-]+)/\?explain=initial_margin", address)
    assert number is not None
    call = MarginCall.objects.get(number=number[1])
    assert call.scope.bucket is not None
    assert call.scope.bucket.account.code == name
    assert browser.get(address).context["explanation"] is not None


def test_a_missing_price_says_whom_it_concerns(firm: SmallFirm) -> None:
    lines = board(browser_of(firm)).context["board"].work
    (line,) = [each for each in lines if each.title.startswith(PERPETUAL)]
    mark = Mark.objects.get(asset__code=PERPETUAL, business_day=CRASH_DAY)
    flagged = MarginResult.objects.filter(
        run__number=firm.second_run, flags__contains=["insufficient_mark"]
    )
    assert line.title == f"{PERPETUAL} has no valid price; its liquidations are held"
    stays = f"No price came. Mark of 3 Mar {mark.price.normalize():,f} stays."
    assert line.detail.startswith(stays)
    assert f"{flagged.count()} scopes flagged" in line.detail
    assert f"/prices/{PERPETUAL}/" in line.address


def test_a_break_leaves_the_panel_once_somebody_has_it(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    assert "Break" in work(browser)
    actor = person(firm.desk[Role.OPERATIONS])
    for found in Break.objects.unresolved():
        take_break(found.pk, seen_owner_id=None, actor=actor)
    assert "Break" not in work(browser)


def test_a_letter_that_expires_soon_needs_a_person(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    assert "Letter" not in work(browser)
    place = Location.objects.select_related("pool").get(code="bank:client-usd")
    file_letter(firm.desk, place, desk_today() - timedelta(days=400), desk_today())
    assert work(browser)["Letter"].title == (
        "The acknowledgement letter of bank:client-usd runs out soon"
    )


def test_the_worst_comes_first(firm: SmallFirm) -> None:
    tones = [line.shown.tone for line in board(browser_of(firm)).context["board"].work]
    order = ["def", "liq", "call", "watch", "info"]
    assert tones == sorted(tones, key=order.index)
    assert tones


# ---------------------------------------------------------------- days, people, refreshing


def test_days_lead_to_their_neighbours(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    page = text_of(board(browser))
    first = reverse("brokerage:day", args=[FIRST_DAY.isoformat()])
    assert f'href="{first}" rel="prev"' in page
    assert 'rel="next"' not in page
    page = text_of(board(browser, FIRST_DAY.isoformat()))
    assert "Monday 3 March 2031" in page
    assert 'rel="next"' in page
    assert "What the day came to" in page
    assert "Needs a person now" not in page


@pytest.mark.parametrize("day", ["2031-03-02", "2031-02-30", "0000-00-00"])
def test_a_day_that_is_not_in_the_book_is_no_page(firm: SmallFirm, day: str) -> None:
    assert browser_of(firm).get(f"/day/{day}/").status_code == 404


def test_a_past_day_says_what_it_rests_on(firm: SmallFirm) -> None:
    answer = board(browser_of(firm), FIRST_DAY.isoformat())
    assert answer.context["strip"].run == firm.first_run


def test_an_unchanged_board_costs_no_bytes(firm: SmallFirm) -> None:
    browser = browser_of(firm)
    answer = board(browser, **HTMX)
    assert b"<html" not in answer.content
    digest = re.search(r'"X-Live": "([0-9a-f]{20})"', answer.content.decode())
    assert digest is not None
    seen = HTMX | {"X-Live": digest[1]}
    assert browser.get("/", headers=seen).status_code == 204
    found = Break.objects.unresolved().filter(business_day=CRASH_DAY)[0]
    take_break(found.pk, seen_owner_id=None, actor=person(firm.desk[Role.OPERATIONS]))
    assert browser.get("/", headers=seen).status_code == 200


def test_before_the_first_day_the_page_says_how_to_begin(db: None) -> None:
    desk = found_desk()
    browser = Browser()
    sign_in(browser, desk[Role.OPERATIONS])
    assert "manage.py cycle --inbox" in text_of(browser.get("/"))


def test_a_day_without_a_run_is_shown_all_the_same(db: None) -> None:
    book: Book = found_book(db)
    with acting(person(book.desk[Role.OPERATIONS]), reason="A test opens a day"):
        BusinessDay.objects.create(
            legal_entity=book.desk.entity, day="2026-02-05", as_of=timezone.now(),
            content_sha256="0" * 64, folder="x",
        )  # fmt: skip
    browser = Browser()
    sign_in(browser, book.desk[Role.OPERATIONS])
    page = text_of(browser.get("/"))
    assert "No margin run yet" in page
    assert "No marks yet" in page
    assert "Export</" not in page, "there is no report of a day that is not closed"


@pytest.mark.parametrize(
    "role", [Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.COMPLIANCE, Role.AUDITOR]
)
def test_who_reads_sees_the_board(firm: SmallFirm, role: Role) -> None:
    assert "Is client money whole?" in text_of(board(browser_of(firm, role)))


def test_an_administrator_is_led_to_the_approvals(firm: SmallFirm) -> None:
    browser = browser_of(firm, Role.ADMINISTRATOR)
    assert browser.get("/")["Location"] == reverse("accounts:approvals")
    assert browser.get(f"/day/{CRASH_DAY}/").status_code == 403


def test_who_works_elsewhere_sees_no_day_of_this_firm(firm: SmallFirm) -> None:
    browser = Browser()
    sign_in(browser, found_desk(code="EB-UK")[Role.OPERATIONS])
    assert "No day in the book yet" in text_of(browser.get("/"))
    assert browser.get(f"/day/{CRASH_DAY}/").status_code == 404


@pytest.mark.parametrize("accounts", [15, 45])
def test_the_board_costs_the_same_for_any_number_of_accounts(
    db: None, tmp_path: Path, accounts: int
) -> None:
    firm = crashed_firm(tmp_path / "firm", accounts=accounts)
    browser = browser_of(firm)
    board(browser)
    for day, most in ((), 38), ((FIRST_DAY.isoformat(),), 27):
        with CaptureQueriesContext(connection) as queries:
            board(browser, *day, **HTMX)
        assert len(queries) <= most
    with CaptureQueriesContext(connection) as queries:
        whole_now(LegalEntity.objects.get(), BusinessDay.objects.get(day=CRASH_DAY))
    assert len(queries) == 7
