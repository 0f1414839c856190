"""Pages and the API at another date and horizon: the control, the one line, and refused times."""

from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import decide
from accounts.models import Approval, Role
from ledger.back_dating import request_back_dating
from ledger.horizons import store_horizon
from ledger.models import PeriodEvent
from tests.accounts.people import person, sign_in
from tests.ledger.book import NOON, Book, found_book

DAY = timedelta(days=1)
PAGES = ("ledger:locations", "ledger:entries", "ledger:trial-balance")
API = ("balances", "entries", "locations", "breaks", "segregation", "trial-balance",
       "back-dated-entries")  # fmt: skip
WHY = "February is reconciled and signed off"


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


@pytest.fixture
def desk(book: Book) -> Browser:
    browser = Browser()
    sign_in(browser, book.desk[Role.TREASURY])
    return browser


def deposit(book: Book, amount: str, *, days: int, reference: str) -> int:
    at = NOON + days * DAY
    legs = (("client_bank", amount), ("alice", f"-{amount}"))
    return book.post("deposit", *legs, at=at, reference=reference)


def account_address(book: Book) -> str:
    return reverse("margin:account", args=[book.buckets["alice"].account.code])


def text(desk: Browser, address: str, **asked: str) -> str:
    answer = desk.get(f"{address}?{urlencode(asked)}")
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


# ---------------------------------------------------------------- pages


def test_a_page_of_the_present_says_nothing_of_times_but_offers_them(
    book: Book, desk: Browser
) -> None:
    for name in PAGES:
        said = text(desk, reverse(name))
        assert "The past." not in said
        assert 'name="known_at"' in said


def test_a_page_in_the_past_says_so_once_and_keeps_it_in_its_address(
    book: Book, desk: Browser
) -> None:
    at = store_horizon("test").taken_at.isoformat()
    for address in (*(reverse(name) for name in PAGES), account_address(book)):
        said = text(desk, address, as_of="2026-02-05", known_at=at)
        assert said.count("The past.") == 1, address
        assert f'value="{at}"'.replace("+", "&#x2B;") in said or f'value="{at}"' in said, address


def test_a_later_entry_is_not_on_the_page_of_an_earlier_horizon(book: Book, desk: Browser) -> None:
    at = store_horizon("test").taken_at.isoformat()
    deposit(book, "77", days=0, reference="LATE-77")
    for address in (reverse("ledger:entries"), f"{account_address(book)}"):
        tab = {} if "entries" in address else {"tab": "statement"}
        assert "LATE-77" in text(desk, address, **tab)
        assert "LATE-77" not in text(desk, address, known_at=at, **tab)
    assert "1,077.00" in text(desk, account_address(book), as_of="2026-02-05")
    assert "1,077.00" not in text(desk, account_address(book), known_at=at)


def test_an_export_of_a_past_page_holds_its_rows_alone(book: Book, desk: Browser) -> None:
    at = store_horizon("test").taken_at.isoformat()
    deposit(book, "77", days=0, reference="LATE-77")
    assert "LATE-77" in text(desk, reverse("ledger:entries"), format="csv")
    assert "LATE-77" not in text(desk, reverse("ledger:entries"), format="csv", known_at=at)


def test_an_account_that_did_not_exist_then_has_no_page_then(db: None) -> None:
    at = store_horizon("test").taken_at.isoformat()
    book = found_book(db)
    browser = Browser()
    sign_in(browser, book.desk[Role.TREASURY])
    address = account_address(book)
    assert browser.get(address).status_code == 200
    assert browser.get(f"{address}?{urlencode({'known_at': at})}").status_code == 404
    assert "client_bank" not in text(browser, reverse("ledger:locations"), known_at=at)


@pytest.mark.parametrize(
    "asked",
    [
        {"as_of": "2026-13-01"},
        {"known_at": "now-ish"},
        {"known_at": "2001-01-01T00:00:00Z"},
        {"known_at": "2190-01-01T00:00:00Z"},
    ],
)
def test_a_time_that_cannot_be_read_at_is_refused_everywhere(
    book: Book, desk: Browser, asked: dict[str, str]
) -> None:
    addresses = [reverse(name) for name in PAGES] + [account_address(book)]
    addresses += [f"/api/{name}/" for name in API]
    before = book.digest()
    for address in addresses:
        if "as_of" in asked and address in ("/api/back-dated-entries/",):
            continue
        answer = desk.get(f"{address}?{urlencode(asked)}")
        assert answer.status_code == 400, address
    assert book.digest() == before


# ---------------------------------------------------------------- the API


def test_the_api_reads_balances_entries_and_pools_at_a_point(book: Book, desk: Browser) -> None:
    at = store_horizon("test").taken_at.isoformat()
    deposit(book, "77", days=0, reference="LATE-77")
    deposit(book, "5", days=9, reference="LATER-5")

    def claim(**asked: str) -> str:
        code = book.buckets["alice"].account.code
        rows = desk.get("/api/balances/", {"account": code, **asked}).json()["results"]
        return str(next(row["amount"] for row in rows if row["id"] == book["alice"]))

    assert claim() == "-1082"
    assert claim(as_of="2026-02-05") == "-1077"
    assert claim(known_at=at) == claim(as_of="2026-02-05", known_at=at) == "-1000"
    entries = desk.get("/api/entries/", {"known_at": at, "reference": "LATE-77"}).json()
    assert entries["count"] == 0
    assert desk.get("/api/entries/", {"reference": "LATE-77"}).json()["count"] == 1
    rows = desk.get("/api/segregation/", {"known_at": at}).json()
    then = next(row for row in rows if (row["pool"], row["asset"]) == ("CLIENT", "USD"))
    now = next(
        row
        for row in desk.get("/api/segregation/").json()
        if (row["pool"], row["asset"]) == ("CLIENT", "USD")
    )
    assert float(now["claims"]) - float(then["claims"]) == 82
    trial = desk.get("/api/trial-balance/", {"known_at": at}).json()
    assert {row["account_class"] for row in trial} >= {"custody", "claim"}
    assert len(desk.get("/api/locations/", {"known_at": at}).json()["results"]) > 3


# ---------------------------------------------------------------- late entries and periods


def test_late_entries_are_listed_with_what_they_would_have_broken(
    book: Book, desk: Browser
) -> None:
    book.post("withdrawal", ("alice", "900"), ("client_bank", "-900"), at=NOON + DAY)
    deposit(book, "500", days=5, reference="D-5")
    draft = book.draft(
        "withdrawal", ("alice", "200"), ("client_bank", "-200"), at=NOON + 3 * DAY, reference="W-3"
    )
    approval = request_back_dating(
        draft,
        legal_entity=book.desk.entity,
        reason=WHY,
        actor=person(book.desk[Role.OPERATIONS]),
    )
    decide(approval, verdict="approved", reason=WHY, actor=person(book.desk[Role.RISK]))
    assert "Effective" in text(desk, reverse("accounts:approval", args=[approval]))
    book.post_drafts(draft)
    said = text(desk, reverse("ledger:back-dated"))
    assert "W-3" in said
    assert "claim_not_below_zero" in said
    (row,) = desk.get("/api/back-dated-entries/", {"broken": "true"}).json()["results"]
    assert (row["reference"], row["balance"], row["broken_on"]) == ("W-3", "100", "2026-02-08")


def test_a_period_is_closed_and_asked_to_be_reopened_on_the_page(book: Book, desk: Browser) -> None:
    page = reverse("ledger:periods")
    assert "Nothing is closed" in text(desk, page)
    before = book.digest()
    refused = desk.post(reverse("ledger:period-close"), {"through": "2199-01-01", "reason": WHY})
    assert (refused.status_code, "is not over" in refused.content.decode()) == (409, True)
    short = desk.post(reverse("ledger:period-close"), {"through": "2026-02-28", "reason": "x"})
    assert (short.status_code, book.digest()) == (422, before)
    desk.post(reverse("ledger:period-close"), {"through": "2026-02-28", "reason": WHY})
    assert PeriodEvent.objects.get().closed_through == date(2026, 2, 28)
    answer = desk.post(reverse("ledger:period-reopen"), {"reopens_to": "2026-02-10", "why": WHY})
    approval = Approval.objects.get()
    assert answer.headers["Location"] == reverse("accounts:approval", args=[approval.pk])
    assert "2026-02-28" in text(desk, answer.headers["Location"])
    assert "2026" in text(desk, page)


def test_who_may_not_close_is_told_who_can(book: Book) -> None:
    browser = Browser()
    sign_in(browser, book.desk[Role.RISK])
    before = book.digest()
    answer = browser.post(reverse("ledger:period-close"), {"through": "2026-02-28", "reason": WHY})
    assert answer.status_code == 403
    said = browser.post("/api/periods/", {"legal_entity": book.desk.entity.code,
                                          "through": "2026-02-28", "reason": WHY})  # fmt: skip
    assert said.status_code == 403
    assert book.digest() == before
    assert "Close the period" not in text(browser, reverse("ledger:periods"))


def test_the_api_closes_a_period_and_refuses_with_the_rule(book: Book, desk: Browser) -> None:
    asked = {"legal_entity": book.desk.entity.code, "through": "2026-02-28", "reason": WHY}
    made = desk.post("/api/periods/", asked)
    assert (made.status_code, made.json()["closed_through"]) == (201, "2026-02-28")
    again = desk.post("/api/periods/", asked)
    assert (again.status_code, again.json()["rule"]) == (409, "period_closes_forward")
    (listed,) = desk.get("/api/periods/").json()
    assert [event["event"] for event in listed["events"]] == ["closed"]


def test_the_restatement_page_asks_and_refuses(book: Book, desk: Browser) -> None:
    page = reverse("brokerage:restatement")
    assert "No day is closed yet" in text(desk, page)
    at = store_horizon("test").taken_at.isoformat()
    late = deposit(book, "77", days=0, reference="LATE-77")
    said = text(desk, page, **{"as_of": "2026-02-05", "from": at})
    assert "LATE-77" in said
    assert "client claims" in said
    found = desk.get("/api/restatements/", {"as_of": "2026-02-05", "from": at}).json()
    assert [entry["entry"] for entry in found["entries"]] == [late]
    early = datetime(2001, 1, 1, tzinfo=UTC).isoformat()
    for address in (page, "/api/restatements/"):
        answer = desk.get(address, {"as_of": "2026-02-05", "from": early})
        assert answer.status_code == 400, address
