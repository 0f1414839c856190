"""The statement of one ledger account, and entries and locations, at any date and horizon."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from accounts.audit import acting
from accounts.models import MarginAccount, Role
from accounts.roles import Roles
from ledger.account_statement import statement_page
from ledger.horizons import store_horizon
from ledger.locations import request_change
from ledger.times import at_horizon, reading_point
from tests.accounts.people import found_desk, person, sign_in
from tests.ledger.agreeing import WHY, agreed
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.costs import counted

DAY = timedelta(days=1)
LONG_AGO = "2026-02-05"
# What counts at two times for an account, added up line by line.
ADDED_UP = """
    SELECT p.account_seq, sum(p.amount) OVER (ORDER BY p.account_seq)
    FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
    WHERE p.account_id = %s AND pg_visible_in_snapshot(p.xid, %s::pg_snapshot)
      AND (%s::date IS NULL OR (e.effective_at AT TIME ZONE 'UTC')::date <= %s::date)
    ORDER BY p.account_seq DESC
"""


def deposit(book: Book, amount: int, *, days: int = 0, reference: str = "R-1") -> int:
    legs = (("client_bank", str(amount)), ("alice", str(-amount)))
    return book.post("deposit", *legs, at=NOON + days * DAY, reference=reference)


@pytest.fixture
def browser(book: Book) -> Browser:
    client = Browser()
    sign_in(client, book.desk[Role.TREASURY])
    return client


def now_known() -> str:
    return store_horizon("test").taken_at.isoformat()


def page_of(account_id: int) -> str:
    return reverse("ledger:account-statement", args=[account_id])


def api_of(account_id: int) -> str:
    return f"/api/ledger/accounts/{account_id}/statement/"


def text(browser: Browser, address: str, *, status: int = 200, **asked: str) -> str:
    answer = browser.get(address, asked)
    assert answer.status_code == status, answer.content[:500]
    return " ".join(answer.content.decode().split())


# ---------------------------------------------------------------- the reader


def test_pages_and_balances_are_what_adding_up_gives_at_any_two_times(book: Book) -> None:
    known = []
    for amount, days in ((1, 0), (2, 4), (3, 1), (4, 2), (5, 9), (6, 0), (7, 5), (8, 1)):
        deposit(book, amount, days=days)
        known.append(at_horizon(store_horizon("test")))
    for horizon in known:
        for days in (None, -2, 0, 1, 3, 4, 8, 9, 12):
            as_of = None if days is None else (NOON + days * DAY).date()
            assert horizon.horizon is not None
            point = at_horizon(horizon.horizon, as_of=as_of)
            with connection.cursor() as cursor:
                cursor.execute(ADDED_UP, [book["alice"], point.snapshot, as_of, as_of])
                expected = cursor.fetchall()
            for size in (1, 3, 50):
                assert turned(book["alice"], point, size) == expected, f"{as_of} {size}"


def turned(account_id: int, point: Any, size: int) -> list[tuple[int, Decimal]]:
    """Places and balances of a statement that is turned over page by page."""
    lines, before = [], None
    while True:
        page = statement_page(account_id, point=point, before=before, size=size)
        lines += [(line.account_seq, line.balance) for line in page.lines]
        if page.before is None:
            assert not lines or lines[0][1] == page.balance
            return lines
        assert len(page.lines) == size, "only the last page is not full"
        before = page.before


def test_the_place_of_the_newer_page_leads_back(book: Book) -> None:
    for amount in range(1, 8):
        deposit(book, amount)
    first = statement_page(book["alice"], size=3)
    second = statement_page(book["alice"], size=3, before=first.before)
    third = statement_page(book["alice"], size=3, before=second.before)
    assert first.after is None
    assert statement_page(book["alice"], size=3, before=third.after) == second
    assert statement_page(book["alice"], size=3, before=second.after).lines == first.lines


def test_a_far_date_is_read_at_once_though_an_entry_came_late_for_it(book: Book) -> None:
    for _ in range(60):
        deposit(book, 1, days=3)
    late = deposit(book, 9)
    page = statement_page(book["alice"], point=reading_point(as_of=NOON.date()))
    assert page.lines[0].entry_id == late
    assert [line.amount for line in page.lines] == [-9, -1000]
    assert [line.balance for line in page.lines] == [-1009, -1000]
    assert page.before is None


# ---------------------------------------------------------------- the statement's page


def test_the_page_of_a_ledger_account_has_its_lines_and_what_it_then_held(
    book: Book, browser: Browser
) -> None:
    deposit(book, 77, reference="D-77")
    said = text(browser, page_of(book["alice"]))
    assert "D-77" in said
    assert '<data value="1077"' in said
    assert "The past." not in said
    assert 'name="as_of"' in said
    assert 'name="known_at"' in said


def test_the_page_keeps_its_two_times_in_every_link(book: Book, browser: Browser) -> None:
    for _ in range(60):
        deposit(book, 1)
    at = now_known()
    deposit(book, 5, reference="AFTER-5")
    asked = {"as_of": LONG_AGO, "known_at": at}
    said = text(browser, page_of(book["alice"]), **asked)
    assert "AFTER-5" not in said
    assert said.count("The past.") == 1
    kept = urlencode(asked).replace("&", "&amp;")
    older = f"?before=12&amp;{kept}"
    assert f'href="{older}" rel="next"' in said
    entry = reverse("ledger:entry", args=[statement_page(book["alice"]).lines[1].entry_id])
    assert f'href="{entry}?{kept}"' in said
    second = text(browser, page_of(book["alice"]), before="12", **asked)
    assert 'rel="first">Newest' in second
    assert 'rel="next"' not in second
    assert '<data value="1000"' in second


@pytest.mark.parametrize("before", ["x", "-1", "1.5", "9" * 19, "²"])
def test_a_place_that_is_none_has_no_page(book: Book, browser: Browser, before: str) -> None:
    text(browser, page_of(book["alice"]), status=404, before=before)
    assert browser.get(api_of(book["alice"]), {"before": before}).status_code == 400


def test_a_position_shows_price_and_average_cost(book: Book, browser: Browser) -> None:
    said = text(browser, page_of(book["bob:SPY"]))
    assert "Average cost" in said
    assert "280" in said


def test_whoever_works_elsewhere_or_reads_nothing_sees_no_statement(book: Book) -> None:
    stranger, administrator = Browser(), Browser()
    sign_in(stranger, found_desk(code="EB-UK")[Role.TREASURY])
    sign_in(administrator, book.desk[Role.ADMINISTRATOR])
    for address in (page_of(book["alice"]), api_of(book["alice"])):
        assert stranger.get(address).status_code == 404
        assert administrator.get(address).status_code == 403
    assert stranger.get(page_of(10**17)).status_code == 404


def test_accounts_balances_and_entries_lead_to_the_statement(book: Book, browser: Browser) -> None:
    entry = deposit(book, 3)
    alice, bank = page_of(book["alice"]), page_of(book["client_bank"])
    at = {"known_at": now_known()}
    kept = f"?{urlencode(at)}"
    account = reverse("margin:account", args=[book.buckets["alice"].account.code])
    place = reverse("ledger:location", args=["client_bank"])
    of_entry = reverse("ledger:entry", args=[entry])
    for address, statements in ((account, [alice]), (place, [bank]), (of_entry, [alice, bank])):
        for statement in statements:
            assert f'href="{statement}' in text(browser, address), address
            assert f'href="{statement}{kept}' in text(browser, address, **at), address


# ---------------------------------------------------------------- the API


def test_the_api_has_the_statement_with_every_number_as_text(book: Book, browser: Browser) -> None:
    deposit(book, 77, reference="D-77")
    found = browser.get(api_of(book["alice"]), {"size": "1"}).json()
    assert (found["pool"], found["asset"], found["account_class"]) == ("CLIENT", "USD", "claim")
    assert (found["account"], found["bucket"], found["location"]) == ("alice", "FREE", None)
    assert (found["balance"], found["newest"], found["before"]) == ("-1077", 2, 2)
    (line,) = found["lines"]
    assert (line["amount"], line["balance"], line["price"]) == ("-77", "-1077", None)
    assert line["entry_reference"] == "D-77"
    older = browser.get(found["next"]).json()
    assert [line["amount"] for line in older["lines"]] == ["-1000"]
    assert (older["before"], older["next"]) == (None, None)


def test_the_api_reads_the_statement_at_two_times(book: Book, browser: Browser) -> None:
    at = now_known()
    deposit(book, 77, days=2)
    address = api_of(book["alice"])
    assert browser.get(address).json()["balance"] == "-1077"
    assert browser.get(address, {"known_at": at}).json()["balance"] == "-1000"
    dated = browser.get(address, {"as_of": LONG_AGO}).json()
    assert (dated["balance"], len(dated["lines"])) == ("-1000", 1)
    followed = browser.get(address, {"size": "1", "known_at": at})
    assert followed.json()["next"] is None
    assert browser.get(address, {"known_at": "2001-01-01T00:00:00Z"}).status_code == 400
    for size in ("0", "501", "x"):
        assert browser.get(address, {"size": size}).status_code == 400


def test_the_schema_describes_the_statement(book: Book, browser: Browser) -> None:
    schema = browser.get("/api/schema/?format=json").json()
    found = schema["paths"]["/api/ledger/accounts/{id}/statement/"]["get"]
    assert {each["name"] for each in found["parameters"]} == {
        "id", "before", "size", "as_of", "known_at",
    }  # fmt: skip
    lines = schema["components"]["schemas"]["StatementLine"]["properties"]
    assert lines["amount"]["type"] == lines["balance"]["type"] == "string"
    entry = schema["paths"]["/api/entries/{id}/"]["get"]
    assert {"as_of", "known_at"} <= {each["name"] for each in entry["parameters"]}


# ---------------------------------------------------------------- entries


def test_an_entry_that_was_not_known_then_is_not_there_and_a_sentence_says_so(
    book: Book, browser: Browser
) -> None:
    at = now_known()
    entry = deposit(book, 77, days=3)
    address, of_api = reverse("ledger:entry", args=[entry]), f"/api/entries/{entry}/"
    sentence = f"Entry {entry} was not known at"
    assert sentence in text(browser, address, status=404, known_at=at)
    dated = f"Entry {entry} takes effect on 2026-02-08 (UTC), after the date asked for."
    assert dated in text(browser, address, status=404, as_of="2026-02-07")
    assert "The past." in text(browser, address, as_of="2026-02-08")
    refused = browser.get(of_api, {"known_at": at})
    assert (refused.status_code, sentence in refused.json()["detail"]) == (404, True)
    assert browser.get(of_api, {"as_of": "2026-02-07"}).json()["detail"] == dated
    assert browser.get(of_api, {"as_of": "2026-02-08"}).json()["id"] == entry


def test_an_entry_is_shown_without_what_came_after(book: Book, browser: Browser) -> None:
    entry = deposit(book, 5)
    at = now_known()
    book.reverse(entry)
    address = reverse("ledger:entry", args=[entry])
    assert "This entry was reversed." in text(browser, address)
    then = text(browser, address, known_at=at)
    assert "This entry was reversed." not in then
    assert "Ask to reverse it" not in then


# ---------------------------------------------------------------- locations


def test_a_location_shows_what_it_held_and_what_was_known_of_it(
    book: Book, browser: Browser
) -> None:
    place = book.locations["client_bank"]
    address = reverse("ledger:location", args=["client_bank"])
    at = now_known()
    deposit(book, 77, reference="LATE-77")
    change = request_change(
        place,
        particulars={"account_number": "NEW-NUMBER-9"},
        reason=WHY,
        actor=person(book.desk[Role.OPERATIONS]),
    )
    agreed(change, book.desk[Role.TREASURY])
    now, then = text(browser, address), text(browser, address, known_at=at)
    assert ("NEW-NUMBER-9" in now, "LATE-77" in now, '<data value="2677"' in now) == (True,) * 3
    assert ("NEW-NUMBER-9" in then, "LATE-77" in then, '<data value="2677"' in then) == (False,) * 3
    assert '<data value="2600"' in then
    dated = text(browser, address, as_of="2026-02-03")
    assert '<data value="2600"' not in dated
    assert "LATE-77" in text(browser, address, format="csv")
    assert "LATE-77" not in text(browser, address, format="csv", known_at=at)


def test_as_of_a_date_no_balance_counts_what_takes_effect_later(
    book: Book, browser: Browser
) -> None:
    deposit(book, 500, days=3)
    deposit(book, 7, reference="LATE-7")
    account = reverse("margin:account", args=[book.buckets["alice"].account.code])
    for address in (reverse("ledger:location", args=["client_bank"]), account):
        said = text(browser, address, as_of=LONG_AGO)
        assert ("LATE-7" in said, "1507" in said, "3107" in said) == (True, False, False)
        assert "Balance after" not in said
    statement = text(browser, page_of(book["client_bank"]), as_of=LONG_AGO)
    assert ('<data value="2607"' in statement, "3107" in statement) == (True, False)


def test_the_assets_of_a_past_location_keep_the_two_times(book: Book, browser: Browser) -> None:
    asked = {"known_at": now_known()}
    said = text(browser, reverse("ledger:location", args=["venue"]), **asked)
    assert f'href="?asset=BTC-PERP&amp;{urlencode(asked)}"' in said


@pytest.mark.parametrize("asked", [{"as_of": "2026-13-01"}, {"known_at": "2001-01-01T00:00:00Z"}])
def test_a_time_that_cannot_be_read_at_is_refused(
    book: Book, browser: Browser, asked: dict[str, str]
) -> None:
    entry = deposit(book, 5)
    before = book.digest()
    for address in (
        page_of(book["alice"]),
        api_of(book["alice"]),
        f"/api/entries/{entry}/",
        reverse("ledger:entry", args=[entry]),
        reverse("ledger:location", args=["client_bank"]),
    ):
        assert browser.get(address, asked).status_code == 400, address
    assert book.digest() == before


def test_the_api_reads_what_lies_apart_at_two_times(book: Book, browser: Browser) -> None:
    at = now_known()
    legs = (("carol_bank", "50"), ("carol", "-50"))
    book.post("deposit", *legs, at=NOON + 2 * DAY)

    def line(**asked: str) -> tuple[str, dict[str, str]]:
        rows = browser.get("/api/individual-clients/", asked).json()
        (found,) = (row for row in rows if row["asset"] == "USD")
        return found["owed"], found["held"]

    assert line() == ("350", {"carol_bank": "350"})
    assert line(known_at=at) == line(as_of=LONG_AGO) == ("300", {"carol_bank": "300"})
    assert line(as_of="2026-02-07") == line()


# ---------------------------------------------------------------- cost


def test_a_page_costs_the_same_for_any_number_of_lines(
    book: Book, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = deposit(book, 1)
    at = now_known()
    addresses = [
        f"{address}{asked}"
        for address in (
            page_of(book["alice"]),
            api_of(book["alice"]),
            reverse("ledger:entry", args=[entry]),
            reverse("ledger:location", args=["client_bank"]),
        )
        for asked in ("", f"?{urlencode({'known_at': at})}", f"?as_of={LONG_AGO}")
    ]

    def cost() -> dict[str, int]:
        found = {}
        for address in addresses:
            with counted(monkeypatch) as sent:
                assert browser.get(address).status_code == 200
            found[address] = len(sent)
        return found

    few = cost()
    for number in range(30):
        deposit(book, 1, days=number % 3)
    assert cost() == few
    assert max(few.values()) < 40


def test_who_is_limited_to_a_desk_reads_its_statements_and_balances_alone(
    book: Book, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with acting(DESK, reason="A test gives Alice to a desk"):
        MarginAccount.objects.filter(code="alice").update(desk="futures")
    at = now_known()
    monkeypatch.setattr(Roles, "desks", lambda *_: frozenset({"futures"}))
    for name, status in (("alice", 200), ("bob", 404), ("client_bank", 200)):
        for address in (page_of(book[name]), api_of(book[name])):
            assert browser.get(address).status_code == status, address
            assert browser.get(address, {"known_at": at}).status_code == status, address
    for asked in ({}, {"known_at": at}):
        for code, found in (("alice", True), ("bob", False)):
            rows = browser.get("/api/balances/", {"account": code, **asked}).json()["results"]
            assert bool(rows) is found, (code, asked)
