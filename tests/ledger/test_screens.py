"""The screens of the ledger: what each shows, to whom, at which cost, and what it refuses."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.audit import acting
from accounts.models import Approval, Role
from ledger.models import Break, Entry, Holding, StatementFile, StatementLine
from ledger.screens.locations import desk_today
from tests.accounts.people import found_desk, sign_in
from tests.ledger.agreeing import file_letter
from tests.ledger.book import DESK, Book
from tests.ledger.differences import DAY, bank_moves, compare, give_statement, the_break
from tests.ledger.test_losses import long_one, loss

HTMX = {"HX-Request": "true"}
WHY = "The bank confirmed it by telephone"
READERS = (Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.COMPLIANCE, Role.AUDITOR)


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def desk(book: Book, role: Role = Role.OPERATIONS) -> Browser:
    """A browser in which somebody of the role is signed in."""
    browser = Browser()
    sign_in(browser, book.desk[role])
    return browser


@pytest.fixture
def compared(book: Book) -> Book:
    """One movement matched, one amount that differs, one line that is unknown, one holding."""
    bank = book.locations["client_bank"]
    bank_moves(book, "20.00", "T-1")
    bank_moves(book, "30.00", "T-2")
    give_statement(bank, ("T-1", "20.00"), ("T-2", "30.50"), ("BC-9", "565.09"))
    give_statement(book.locations["house_bank"])
    compare()
    return book


def pages(book: Book) -> list[str]:
    """An address of every page of the ledger."""
    return [
        reverse("ledger:breaks"),
        reverse("ledger:break", args=[Break.objects.order_by("pk")[0].pk]),
        reverse("ledger:locations"),
        reverse("ledger:location", args=["client_bank"]),
        reverse("ledger:entry", args=[Entry.objects.latest("pk").pk]),
    ]


# ---------------------------------------------------------------- who sees what


@pytest.mark.parametrize("role", READERS)
def test_who_reads_sees_every_page(compared: Book, role: Role) -> None:
    browser = desk(compared, role)
    for address in pages(compared):
        assert browser.get(address).status_code == 200, address


def test_an_administrator_sees_none_of_the_book(compared: Book) -> None:
    browser = desk(compared, Role.ADMINISTRATOR)
    for address in pages(compared):
        assert browser.get(address).status_code == 403, address


def test_nothing_of_the_book_exists_for_who_works_elsewhere(compared: Book) -> None:
    browser = Browser()
    sign_in(browser, found_desk(code="EB-UK")[Role.OPERATIONS])
    lists = (reverse("ledger:breaks"), reverse("ledger:locations"))
    for address in pages(compared):
        answer = browser.get(address)
        assert answer.status_code == (200 if address in lists else 404), address
    for address in lists:
        assert "client_bank" not in text_of(browser.get(address))
    found = Break.objects.order_by("pk")[0]
    for act in ("take", "explain", "close", "book", "correct"):
        answer = browser.post(reverse(f"ledger:break-{act}", args=[found.pk]), {})
        assert answer.status_code == 404, act
    assert Break.objects.get(pk=found.pk).status == "open"


@pytest.mark.parametrize("role", [Role.RISK, Role.COMPLIANCE, Role.AUDITOR])
def test_who_only_reads_breaks_sees_no_form_and_hears_who_can(compared: Book, role: Role) -> None:
    browser = desk(compared, role)
    found = Break.objects.filter(kind="missing_in_ledger").get()
    page = text_of(browser.get(reverse("ledger:break", args=[found.pk])))
    assert "L. Brandt or S. Iyer can close it." in page
    assert "Take it" not in page
    assert "<textarea" not in page
    answer = browser.post(reverse("ledger:break-take", args=[found.pk]))
    assert answer.status_code == 403
    assert "L. Brandt or S. Iyer can" in text_of(answer)
    assert Break.objects.get(pk=found.pk).owner is None


# ---------------------------------------------------------------- breaks


def test_the_day_is_compared_bank_by_bank(compared: Book) -> None:
    answer = desk(compared).get(reverse("ledger:breaks"))
    lines = {line.location.code: line for line in answer.context["compared"].banks}
    client = lines["client_bank"]
    assert (client.movements, client.lines, client.matched, client.state, client.word) == (
        2, 3, 1, "unmatched", "2 not closed",
    )  # fmt: skip
    assert (client.net, client.balance) == (Decimal(50), compared.balance("client_bank"))
    assert lines["house_bank"].state == "matched"
    assert lines["carol_bank"].state == "missing"


def test_breaks_are_listed_open_ones_first_with_their_difference(compared: Book) -> None:
    browser = desk(compared)
    page = text_of(browser.get(reverse("ledger:breaks")))
    assert '<data value="565.09" title="565.09 USD">+565.09</data>' in page
    assert '<data value="0.50" title="0.5 USD">+0.50</data>' in page
    assert "No total: assets differ" in page
    only = browser.get(reverse("ledger:breaks"), {"asset": "USD", "location": "client_bank"})
    assert str(only.context["totals"].difference) == "565.59"
    assert "+565.59" in text_of(only)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"kind": "amount_differs"}, {"T-2"}),
        ({"q": "bc"}, {"BC-9"}),
        ({"location": "client_bank"}, {"T-2", "BC-9"}),
        ({"owner": "nobody", "location": "client_bank"}, {"T-2", "BC-9"}),
        ({"owner": "me"}, set()),
        ({"status": "closed"}, set()),
        ({"age": "1"}, set()),
        ({"age": "0", "location": "client_bank"}, {"T-2", "BC-9"}),
        ({"age": "soon"}, set()),
        ({"owner": "who"}, set()),
    ],
)
def test_breaks_are_filtered_by_the_address(
    compared: Book, asked: dict[str, str], found: set[str]
) -> None:
    answer = desk(compared).get(reverse("ledger:breaks"), asked)
    assert {line.found.reference for line in answer.context["lines"]} == found


def test_the_export_holds_the_whole_filter_exactly(compared: Book) -> None:
    browser = desk(compared)
    asked = {"location": "client_bank", "sort": "reference"}
    answer = browser.get(reverse("ledger:breaks"), asked | {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(r["reference"], r["ledger"], r["statement"], r["difference"]) for r in rows] == [
        ("BC-9", "", "565.09", "565.09"), ("T-2", "30", "30.50", "0.50"),
    ]  # fmt: skip
    answer = browser.get(reverse("ledger:breaks"), asked | {"format": "json"})
    assert [row["difference"] for row in json.loads(answer.content)["rows"]] == ["565.09", "0.50"]


def test_a_break_goes_from_found_to_closed_on_its_page(compared: Book) -> None:
    browser = desk(compared)
    found = Break.objects.get(kind="missing_in_ledger")

    def act(name: str, **said: object) -> str:
        address = reverse(f"ledger:break-{name}", args=[found.pk])
        return text_of(browser.post(address, said, follow=True))

    assert "This break is yours now." in act("take", seen_owner="")
    assert "Explained." in act("explain", explanation="A client paid without a name")
    page = act("book", text="A client paid without a name")
    entry = Entry.objects.get(kind="unidentified_receipt", reference="BC-9")
    assert f"Booked as entry {entry.pk}." in page
    assert f'value="entry:{entry.pk}"' in page
    assert "Closed." in act("close", evidence=f"entry:{entry.pk}", reason=WHY)
    found.refresh_from_db()
    assert (found.status, found.closing_entry) == ("closed", entry)
    page = text_of(browser.get(reverse("ledger:break", args=[found.pk])))
    for words in ("Found.", "Taken.", "Explained.", "Booked as a receipt", "Closed with", WHY):
        assert words in page


def test_what_was_typed_into_a_refused_form_is_kept(compared: Book) -> None:
    browser = desk(compared)
    found = Break.objects.get(kind="amount_differs")
    address = reverse("ledger:break-explain", args=[found.pk])
    answer = browser.post(address, {"explanation": "short"})
    assert answer.status_code == 409
    assert ">short</textarea>" in text_of(answer)
    for evidence in ("", "entry:", "entry:x", "line:99999999999999999999", "what:1"):
        address = reverse("ledger:break-close", args=[found.pk])
        answer = browser.post(address, {"evidence": evidence, "reason": WHY})
        assert answer.status_code == 409, evidence
    assert Break.objects.get(pk=found.pk).status == "open"


def test_several_breaks_are_taken_at_once(compared: Book) -> None:
    browser = desk(compared)
    picked = [str(pk) for pk in Break.objects.order_by("pk").values_list("pk", flat=True)[:2]]
    address = reverse("ledger:breaks-take")
    question = text_of(browser.get(address, {"pick": picked}, headers=HTMX))
    assert "Take 2 of 2" in question
    assert "<html" not in question
    page = text_of(browser.post(address, {"pick": picked}, follow=True))
    assert "2 of 2 breaks taken." in page
    again = text_of(browser.post(address, {"pick": picked}, follow=True))
    assert "0 of 2 breaks taken." in again
    assert browser.get(address).status_code == 422
    mine = browser.get(reverse("ledger:breaks"), {"owner": "me"})
    assert mine.context["totals"].count == 2


def test_a_write_off_is_asked_for_on_the_page(book: Book) -> None:
    give_statement(book.locations["house_bank"], ("H-1", "12.00"))
    compare()
    found = the_break(book.locations["house_bank"], "missing_in_ledger")
    browser = desk(book, Role.TREASURY)
    address = reverse("ledger:break-correct", args=[found.pk])
    page = text_of(browser.post(address, {"why": WHY}, follow=True))
    assert "It waits for a second person; nothing has moved." in page
    asked = Approval.objects.get()
    assert (asked.action_id, asked.maker) == ("entry.write_off", book.desk[Role.TREASURY])
    assert text_of(browser.post(address, {"why": "no"})).count("Not done") == 1


def test_htmx_gets_the_rows_and_not_the_page(compared: Book) -> None:
    browser = desk(compared)
    for address in (reverse("ledger:breaks"), reverse("ledger:locations")):
        answer = browser.get(address, headers=HTMX)
        assert answer.status_code == 200
        assert b"<html" not in answer.content


# ---------------------------------------------------------------- pools, locations, entries


def test_each_pool_shows_what_it_holds_and_owes(compared: Book) -> None:
    answer = desk(compared).get(reverse("ledger:locations"))
    pools = {pool.code: pool for pool in answer.context["pools"]}
    assert list(pools) == ["CLIENT", "HOUSE", "INSURANCE"], "of this legal entity alone"
    (usd,) = [line for line in pools["CLIENT"].lines if line.asset == "USD"]
    assert usd.adds_up
    assert usd.verdict == "held"
    held = sum(compared.balance(name) for name in ("client_bank", "carol_bank", "venue"))
    assert (usd.held, usd.residual) == (held, -compared.balance("residual"))


def test_a_shortfall_is_said_on_the_pool_and_never_hidden(book: Book) -> None:
    book.post_approved("bank_error", ("shortfall", "40"), ("client_bank", "-40"))
    page = text_of(desk(book).get(reverse("ledger:locations")))
    assert 'class="st def"' in page
    assert '<b class="t-liq"><data value="40" title="40 USD">40.00</data></b>' in page


@pytest.mark.parametrize(
    ("expires", "tone", "word"),
    [
        (None, "ok", "acknowledged"),
        (31, "ok", "acknowledged"),
        (30, "watch", "expires in 30 d"),
        (0, "watch", "expires in 0 d"),
        (-1, "liq", "expired 1 d ago"),
    ],
)
def test_a_letter_is_flagged_before_it_expires(
    book: Book, expires: int | None, tone: str, word: str
) -> None:
    today = desk_today()
    file_letter(
        book.desk, book.locations["client_bank"], today - timedelta(days=400),
        None if expires is None else today + timedelta(days=expires),
    )  # fmt: skip
    answer = desk(book).get(reverse("ledger:location", args=["client_bank"]))
    letter = answer.context["letter"]
    assert (letter.tone, letter.word) == (tone, word)
    assert f'class="st {tone}"' in text_of(answer)


def test_a_letter_that_was_declared_is_said_to_be_missing_on_file(book: Book) -> None:
    answer = desk(book).get(reverse("ledger:location", args=["client_bank"]))
    letter = answer.context["letter"]
    assert (letter.tone, letter.word) == ("watch", "declared, letter not on file")


def test_a_location_lists_its_movements_with_the_line_that_confirms_each(compared: Book) -> None:
    browser = desk(compared)
    answer = browser.get(reverse("ledger:location", args=["client_bank"]))
    shown = [
        (line.posting.entry.reference, line.came_in, line.posting.confirmed_by)
        for line in answer.context["movements"]
    ]
    assert shown == [("T-2", 30, None), ("T-1", 20, 1), ("R-1", 2600, None)]
    only = browser.get(
        reverse("ledger:location", args=["client_bank"]), {"confirmed": "no", "q": "T-"}
    )
    assert [line.posting.entry.reference for line in only.context["movements"]] == ["T-2"]


def test_a_location_of_several_assets_shows_one_at_a_time(book: Book) -> None:
    browser = desk(book)
    answer = browser.get(reverse("ledger:location", args=["venue"]), {"asset": "BTC-PERP"})
    assert answer.context["chosen"].asset == "BTC-PERP"
    assert answer.context["listing"].total == 0
    assert browser.get(reverse("ledger:location", args=["venue"])).context["listing"].total == 1


def test_a_custodian_shows_what_it_reports_beside_the_book(book: Book) -> None:
    custodian = book.locations["custodian"]
    with acting(DESK, reason="A test receives holdings"):
        file = StatementFile.objects.create(sha256="0" * 64, name="holdings.csv", content=b"x")
        Holding.objects.create(
            file=file, location=custodian, asset=book.assets["SPY"], business_day=DAY, line=2,
            quantity=Decimal("10.5"), quantity_as_read="10.5",
        )  # fmt: skip
    compare()
    answer = desk(book).get(reverse("ledger:location", args=["custodian"]))
    (line,) = answer.context["reported"]
    found = the_break(custodian, "quantity_differs")
    assert (line.asset, line.quantity, line.found) == ("SPY", Decimal("10.5"), found)
    page = text_of(answer)
    assert '<data value="10.5" title="10.5">10.5</data>' in page, "not rounded to the asset's scale"
    assert reverse("ledger:break", args=[found.pk]) in page


def test_an_entry_shows_both_sides_of_every_pool(book: Book) -> None:
    entry = book.post_approved(
        "residual_withdrawal", ("residual", "25"), ("client_bank", "-25"), ("house_bank", "25"),
        ("house_equity", "-25"),
    )  # fmt: skip
    answer = desk(book).get(reverse("ledger:entry", args=[entry]))
    sides = {(side.pool, str(side.debit), str(side.credit)) for side in answer.context["sides"]}
    assert sides == {("CLIENT", "25", "25"), ("HOUSE", "25", "25")}
    page = text_of(answer)
    assert "residual interest" in page
    assert '<data value="75" title="75 USD">75.00</data>' in page, "said positive, stored negative"
    assert "Agreed by" in page
    assert "Seal pending" in page


def test_a_loss_beyond_a_bucket_is_told_on_its_entry(book: Book) -> None:
    long_one(book)
    book.post("house_expense", ("house_equity", "4900"), ("house_bank", "-4900"))
    (entry,) = book.post_drafts(loss(book, insurance="100", house="100", uncovered="7.50"))
    browser = desk(book)
    page = text_of(browser.get(reverse("ledger:entry", args=[entry])))
    assert "A loss beyond the bucket" in page
    assert "a shortfall of client money" in page
    deposit = book.post("deposit", ("client_bank", "30"), ("alice", "-30"))
    page = text_of(browser.get(reverse("ledger:entry", args=[deposit])))
    assert "no bucket lost more than it had" in page


def test_a_reversal_is_asked_for_on_the_entry(book: Book) -> None:
    entry = book.post("deposit", ("client_bank", "30"), ("alice", "-30"))
    browser = desk(book)
    address = reverse("ledger:entry-reverse", args=[entry])
    assert browser.post(address, {"reason": "no"}).status_code == 409
    assert not Approval.objects.exists()
    page = text_of(browser.post(address, {"reason": WHY}, follow=True))
    assert "It waits for a second person" in page
    assert Approval.objects.get().action_id == "entry.reversal"
    reader = desk(book, Role.AUDITOR)
    assert reader.post(address, {"reason": WHY}).status_code == 403


def test_a_reversal_and_its_entry_lead_to_each_other(book: Book) -> None:
    entry = book.post("deposit", ("client_bank", "30"), ("alice", "-30"))
    undone = book.post_approved(
        "reversal", ("client_bank", "-30"), ("alice", "30"), reverses=entry, narrative="Twice"
    )
    browser = desk(book)
    page = text_of(browser.get(reverse("ledger:entry", args=[entry])))
    assert "This entry was reversed." in page
    assert reverse("ledger:entry", args=[undone]) in page
    assert "Ask to reverse it" not in page
    page = text_of(browser.get(reverse("ledger:entry", args=[undone])))
    assert f"This reverses entry {entry}" in page


# ---------------------------------------------------------------- transfers


def test_a_transfer_is_asked_for_and_nothing_moves(book: Book) -> None:
    browser = desk(book, Role.TREASURY)
    book.state(timezone.now().date() - timedelta(days=1))
    before = book.balances()
    said = {
        "gives": "client_bank", "takes": "house_bank", "asset": "USD", "amount": "25.00",
        "reference": "", "reason": "Fees of January, agreed",
    }  # fmt: skip
    page = text_of(browser.post(reverse("ledger:transfer-new"), said, follow=True))
    assert "nothing has moved" in page
    assert "25.00 USD from CLIENT to HOUSE" in page
    assert "Owed to clients" in page
    assert book.moved(before) == {}
    asked = Approval.objects.get()
    assert asked.action_id == "entry.residual_withdrawal"
    assert asked.payload["reference"].startswith("RW")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"amount": "25.001"}, "USD has 2 decimals"),
        ({"amount": "99999999"}, "less than was asked for"),
        ({"amount": "NaN"}, "Enter a number"),
        ({"amount": "1e5000"}, "no more than 40 digits"),
        ({"amount": ""}, "This field is required"),
        ({"reason": "short"}, "at least 10"),
        ({"gives": "house_bank"}, "Select a valid choice"),
        ({"gives": "client_wallet"}, "does not carry USD"),
        ({"takes": "other_bank"}, "Select a valid choice"),
    ],
)
def test_a_transfer_that_does_not_fit_says_why_at_its_field(
    book: Book, changed: dict[str, str], words: str
) -> None:
    said = {
        "gives": "client_bank", "takes": "house_bank", "asset": "USD", "amount": "25.00",
        "reason": "Fees of January, agreed",
    }  # fmt: skip
    answer = desk(book, Role.TREASURY).post(reverse("ledger:transfer-new"), said | changed)
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert not Approval.objects.exists()


def test_who_may_not_ask_gets_no_form(book: Book) -> None:
    for role in (Role.RISK, Role.COMPLIANCE, Role.AUDITOR):
        browser = desk(book, role)
        assert browser.get(reverse("ledger:transfer-new")).status_code == 403
        assert "Ask for a transfer" not in text_of(browser.get(reverse("ledger:locations")))


# ---------------------------------------------------------------- cost


def cost(browser: Browser, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert browser.get(address, headers=HTMX).status_code == 200
    return len(queries)


@pytest.mark.parametrize(
    "address",
    [
        lambda: reverse("ledger:breaks"),
        lambda: reverse("ledger:locations"),
        lambda: reverse("ledger:location", args=["client_bank"]),
    ],
)
def test_a_page_costs_the_same_for_any_number_of_rows(
    compared: Book, address: Callable[[], str]
) -> None:
    browser = desk(compared)
    few = cost(browser, address())
    bank = compared.locations["client_bank"]
    for number in range(12):
        bank_moves(compared, "1.00", f"N-{number}")
    day = Break.objects.latest("business_day").business_day + timedelta(days=1)
    give_statement(bank, *((f"M-{number}", "2.00") for number in range(12)), day=day)
    compare(day)
    assert Break.objects.filter(reference__startswith="M-").count() == 12
    assert StatementLine.objects.count() == 15
    assert cost(browser, address()) == few
