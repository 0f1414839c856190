"""Whatever has a name is found by it, by those who may see it."""

import pytest
from django.test import Client as Browser

from accounts.models import MarginAccount, Role
from tests.accounts.people import found_desk, sign_in
from tests.ledger.book import Book, found_book


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


@pytest.fixture
def desk(book: Book, client: Browser) -> Browser:
    sign_in(client, book.desk[Role.OPERATIONS])
    return client


def titles(desk: Browser, text: str) -> list[tuple[str, str]]:
    answer = desk.get("/search/", {"q": text})
    assert answer.status_code == 200
    return [(each.kind, each.title) for each in answer.context["found"]]


def test_the_only_thing_of_that_name_is_opened_at_once(desk: Browser, book: Book) -> None:
    account = MarginAccount.objects.get(client=book.clients["alice"])
    for text in (account.code, account.code.lower(), f"  {account.code} "):
        assert desk.get("/search/", {"q": text})["Location"].endswith(f"/accounts/{account.code}/")


def test_an_entry_is_found_by_its_whole_reference(desk: Browser, book: Book) -> None:
    legs = ("client_bank", "5"), ("unallocated", "-5")
    entry = book.post("unidentified_receipt", *legs, reference="RF-77")
    assert desk.get("/search/", {"q": "rf-77"})["Location"] == f"/ledger/entries/{entry}/"
    assert titles(desk, "RF-7") == []


def test_places_and_prices_are_found_by_how_they_begin(desk: Browser, book: Book) -> None:
    found = titles(desk, "B")
    assert ("Price", "BTC") in found
    assert ("Price", "BTC-PERP") in found
    place = book.locations["house_bank"].code
    assert desk.get("/search/", {"q": place})["Location"] == f"/ledger/locations/{place}/"


def test_nothing_of_another_legal_entity_is_found(desk: Browser, book: Book) -> None:
    account = MarginAccount.objects.get(client=book.clients["alice"])
    stranger = Browser()
    sign_in(stranger, found_desk(code="EB-UK")[Role.OPERATIONS])
    for text in (account.code, book.locations["house_bank"].code, "R-1"):
        assert titles(stranger, text) == []


@pytest.mark.parametrize("text", ["", "   ", "\0", "%", "_", "x" * 5000, "'; --", "<script>"])
def test_any_text_is_answered(desk: Browser, text: str) -> None:
    assert titles(desk, text) == []
    assert b"<script>alert" not in desk.get("/search/", {"q": "<script>alert"}).content


def test_who_may_not_read_may_not_search(book: Book, client: Browser) -> None:
    sign_in(client, book.desk[Role.ADMINISTRATOR])
    assert client.get("/search/", {"q": "A"}).status_code == 403
