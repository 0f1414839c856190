"""Rates and interest on the screen, to programs and at the terminal."""

import json
from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client as Browser

from accounts.models import Approval, Role
from ledger.models import Accrual, AccrualRun, RateCurve
from tests.accounts.people import sign_in
from tests.ledger.book import Book
from tests.ledger.interest import publish, run
from tests.ledger.test_accrual import START, lend, rates

FORM = {
    "asset": "USD", "side": "borrow", "effective_from": "2026-02-05",
    "points": "0 2\n80 10\n100 60",
    "tenor": "", "day_count": "ACT/360", "charged": "daily", "paid_from": "claim",
    "utilisation_cap": "90", "reason": "Agreed by treasury on Monday",
}  # fmt: skip


def signed_in(book: Book, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, book.desk[role])
    return browser


@pytest.fixture
def lent(book: Book) -> Book:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 6))
    return book


def test_rates_typed_in_percent_wait_for_a_second_person(book: Book) -> None:
    answer = signed_in(book, Role.TREASURY).post("/ledger/rates/new/", FORM)
    asked = Approval.objects.get()
    assert answer.status_code == 302
    assert asked.payload["points"] == [["0", "0.02"], ["0.8", "0.1"], ["1", "0.6"]]
    assert asked.payload["utilisation_cap"] == "0.9"
    assert not RateCurve.objects.exists()
    page = signed_in(book, Role.RISK).get("/ledger/rates/").content.decode()
    assert "Waiting for a second person" in page


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("points", "x y", "is not two numbers"),
        ("points", "80 10\n20 5", "from left to right"),
        ("tenor", "1 2 3", "is not two numbers"),
        ("utilisation_cap", "101", "at most 1"),
        ("reason", "short", "at least 10"),
    ],
)
def test_rates_that_cannot_be_are_said_at_their_field(
    book: Book, field: str, typed: str, said: str
) -> None:
    answer = signed_in(book, Role.TREASURY).post("/ledger/rates/new/", {**FORM, field: typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Approval.objects.exists()


def test_operations_read_rates_and_ask_for_none(book: Book) -> None:
    browser = signed_in(book, Role.OPERATIONS)
    assert browser.get("/ledger/rates/").status_code == 200
    assert browser.get("/ledger/rates/new/").status_code == 403
    assert browser.post("/ledger/rates/new/", FORM).status_code == 403


def test_a_loan_shows_its_interest_day_by_day(lent: Book) -> None:
    browser = signed_in(lent, Role.OPERATIONS)
    page = browser.get(f"/ledger/interest/{lent['loan/carol']}/").content.decode()
    assert "carol FREE: loan in USD" in page
    assert page.count("36.5 %") == 2
    curve = browser.get(f"/ledger/rates/{RateCurve.objects.get().pk}/").content.decode()
    assert "36.5 % at 0 %" in curve
    assert browser.get(f"/ledger/interest/{lent['house_bank']}/").status_code == 404


def test_programs_read_curves_and_accruals(lent: Book) -> None:
    browser = signed_in(lent, Role.OPERATIONS)
    (curve,) = browser.get("/api/rates/").json()["results"]
    assert (curve["asset"], curve["side"]) == ("USD", "borrow")
    assert curve["versions"][0]["points"] == [["0", "0.365"]]
    rows = browser.get("/api/accruals/?account=carol").json()["results"]
    assert [(r["day"], r["accrued"], r["due"]) for r in rows] == [
        ("2026-02-06", "1", "1.00"), ("2026-02-05", "1", "1.00"),
    ]  # fmt: skip


def test_the_command_previews_accrues_and_does_it_once(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    shown = command("--on", "2026-02-05", "--preview")
    assert shown["legal_entities"][0]["accruals"][0]["accrued"] == "1"
    assert not AccrualRun.objects.exists()
    done = command("--on", "2026-02-06")
    assert done["legal_entities"] == [
        {
            "legal_entity": "EB-US",
            "days": ["2026-02-05", "2026-02-06"],
            "accounts": 2,
            "entries": 2,
            "repaid": 0,
        }
    ]
    assert command("--on", "2026-02-06")["legal_entities"][0]["days"] == []
    assert Accrual.objects.count() == 2
    with pytest.raises(SystemExit) as stop:
        call_command("accrue", "--on", "2026-02-05", "--preview", stderr=StringIO())
    assert stop.value.code == 2
    assert date(2026, 2, 5) == START


def command(*arguments: str) -> dict[str, object]:
    output = StringIO()
    call_command("accrue", *arguments, "--json", stdout=output)
    return dict(json.loads(output.getvalue()))
