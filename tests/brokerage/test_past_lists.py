"""Transit, receipts, residual interest and clients held apart, read at another date and horizon."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Role
from ledger.horizons import store_horizon
from ledger.receipts import receipts_of
from ledger.residual_standing import standings
from ledger.times import ReadingPoint, at_horizon, reading_point
from ledger.transit import transit_lots
from tests.accounts.people import sign_in
from tests.ledger.agreeing import agreed
from tests.ledger.book import NOON, Book, found_book
from tests.ledger.test_individual import hold_apart
from tests.ledger.test_receipts import came, to_bob

DAY = timedelta(days=1)
TODAY = NOON.date()


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


@pytest.fixture
def desk(book: Book) -> Browser:
    browser = Browser()
    sign_in(browser, book.desk[Role.TREASURY])
    return browser


def horizon() -> tuple[ReadingPoint, str]:
    """A point that knows what there is now, and what to ask for to read there."""
    stored = store_horizon("test")
    return at_horizon(stored), stored.taken_at.isoformat()


def page(desk: Browser, name: str, *args: object, status: int = 200, **asked: str) -> str:
    answer = desk.get(f"{reverse(name, args=args)}?{urlencode(asked)}")
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def api(desk: Browser, name: str, **asked: str) -> Any:
    answer = desk.get(f"/api/{name}/?{urlencode(asked)}")
    assert answer.status_code == 200, answer.content[:500]
    return answer.json()


def sent(book: Book, amount: str, *, days: int) -> int:
    legs = ("client_transit", amount), ("client_bank", f"-{amount}")
    return book.post_approved("transit_out", *legs, at=NOON + days * DAY)


def test_money_on_its_way_is_what_was_known_and_had_left(book: Book, desk: Browser) -> None:
    first = sent(book, "100", days=1)
    point, known_at = horizon()
    second = sent(book, "50", days=3)
    book.post("transit_in", ("client_transit", "-100"), ("client_bank", "100"), at=NOON + 4 * DAY)
    third_day = (TODAY + 3 * DAY).isoformat()

    def entries(**asked: str) -> list[int]:
        return [lot["entry_id"] for lot in api(desk, "transit", **asked)]

    assert entries() == [second]
    assert entries(as_of=third_day) == [first, second]
    assert entries(as_of=third_day, known_at=known_at) == [first]
    lots = transit_lots(TODAY + 3 * DAY, entities=[book.desk.entity.pk], point=point)
    assert [(lot.open, lot.age) for lot in lots] == [(Decimal(100), 0)]  # a weekend
    then = page(desk, "ledger:transit", as_of=third_day, known_at=known_at)
    assert f"lot-{first}-" in then
    assert f"lot-{second}-" not in then
    assert "as known at" in then
    before = page(desk, "ledger:transit", as_of=TODAY.isoformat())
    assert "Nothing is on its way" in before


def test_custody_by_kind_adds_up_at_each_point(book: Book, desk: Browser) -> None:
    page_before = page(desk, "ledger:transit", as_of=TODAY.isoformat())
    known_at = horizon()[1]
    sent(book, "7.25", days=0)
    assert page(desk, "ledger:transit", as_of=TODAY.isoformat()).count("7.25") > 1
    then = page(desk, "ledger:transit", as_of=TODAY.isoformat(), known_at=known_at)
    assert "7.25" not in then
    kinds, end = 'id="h-kinds"', "</section>"
    assert then.split(kinds)[1].split(end)[0] == page_before.split(kinds)[1].split(end)[0]


def test_a_receipt_waits_again_where_its_owner_was_not_known(book: Book, desk: Browser) -> None:
    earlier = horizon()[1]
    receipt = came(book)
    point, known_at = horizon()
    agreed(to_bob(book, receipt), book.desk[Role.TREASURY])
    (now,) = api(desk, "receipts")
    (then,) = api(desk, "receipts", known_at=known_at)
    assert (now["settled_by"] is None, then["settled_by"]) == (False, None)
    assert api(desk, "receipts", known_at=earlier) == []
    yesterday = (TODAY - DAY).isoformat()
    assert api(desk, "receipts", as_of=yesterday) == []
    found = receipts_of(book.desk.entity, today=TODAY, point=point, is_open=True)
    assert [each.entry_id for each in found] == [receipt.entry_id]
    row = f"receipt-{receipt.entry_id}"
    assert row not in page(desk, "ledger:receipts")
    assert row in page(desk, "ledger:receipts", known_at=known_at)
    assert "Settled" in page(desk, "ledger:receipt", receipt.entry_id)
    assert "Settled" not in page(desk, "ledger:receipt", receipt.entry_id, known_at=known_at)
    said = page(desk, "ledger:receipt", receipt.entry_id, known_at=earlier, status=404)
    assert "was not known" in said


def test_a_receipt_that_was_undone_stands_where_that_was_not_known(
    book: Book, desk: Browser
) -> None:
    receipt = came(book)
    known_at = horizon()[1]
    book.reverse(receipt.entry_id)
    assert api(desk, "receipts") == []
    assert [each["entry"] for each in api(desk, "receipts", known_at=known_at)] == [
        receipt.entry_id
    ]


def test_residual_interest_stands_as_it_was_known(book: Book, desk: Browser) -> None:
    def of_usd(**asked: str) -> dict[str, str]:
        found = api(desk, "residual-interest", **asked)
        (line,) = (each for each in found if (each["pool"], each["asset"]) == ("CLIENT", "USD"))
        return {name: line[name] for name in ("now", "stated", "taken")}

    before, (point, known_at) = of_usd(), horizon()
    book.post("fee", ("alice", "5"), ("residual", "-5"))
    book.post_approved("residual_withdrawal", ("residual", "2"), ("client_bank", "-2"),
                       ("house_bank", "2"), ("house_equity", "-2"))  # fmt: skip
    after = of_usd()
    assert Decimal(after["now"]) - Decimal(before["now"]) == 3
    assert Decimal(after["taken"]) - Decimal(before["taken"]) == 2
    assert of_usd(known_at=known_at) == before
    (standing,) = (
        each
        for each in standings(book.desk.entity, day=TODAY, point=point)
        if (each.pool.code, each.asset.code) == ("CLIENT", "USD")
    )
    assert (standing.now, standing.taken) == (Decimal(before["now"]), Decimal(before["taken"]))
    here = reading_point(as_of=TODAY)
    assert standings(book.desk.entity, day=TODAY, point=here) == standings(
        book.desk.entity, day=TODAY
    )


def test_who_was_held_apart_is_read_as_it_was_known(book: Book, desk: Browser) -> None:
    known_at = horizon()[1]
    hold_apart(book, "carol")
    held = horizon()[1]
    book.post("deposit", ("carol_bank", "41.75"), ("carol", "-41.75"))
    code = book.clients["carol"].code
    now = page(desk, "ledger:individual-client", code)
    assert "Held apart: own locations" in now
    then = page(desk, "ledger:individual-client", code, known_at=known_at)
    assert "Not held apart" in then
    between = page(desk, "ledger:individual-client", code, known_at=held)
    assert "Held apart: own locations" in between
    assert "341.75" in now
    assert "341.75" not in between
    assert "Ask a second person" not in between
    assert "341.75" not in page(desk, "ledger:individual", known_at=held)
