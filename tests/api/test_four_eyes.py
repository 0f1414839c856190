"""Asking for a second person through the API: the same forms, rights and refusals as on screen."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Approval, Role
from tests.accounts.people import sign_in
from tests.ledger.agreeing import PDF, WHY
from tests.ledger.book import Book, found_book

LISTS = (
    "receipts", "letters", "statements-of-segregation", "residual-interest", "limits", "agreements",
)  # fmt: skip


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


def by(book: Book, role: Role) -> Client:
    client = Client()
    sign_in(client, book.desk[role])
    return client


def post(client: Client, address: str, **said: Any) -> Any:
    return client.post(f"/api/{address}/", said | {"reason": WHY}, content_type="application/json")


@pytest.mark.parametrize("name", LISTS)
def test_every_list_answers_a_reader_and_no_stranger(book: Book, name: str) -> None:
    assert Client().get(f"/api/{name}/").status_code in (302, 403)
    assert by(book, Role.AUDITOR).get(f"/api/{name}/").status_code == 200


def asked(book: Book) -> list[tuple[str, dict[str, Any], Role]]:
    """What may be asked for, with somebody who may ask."""
    entry = book.post("unidentified_receipt", ("client_bank", "33"), ("unallocated", "-33"))
    place, own = book.locations["client_bank"].pk, book.locations["other_bank"].pk
    assert own
    return [
        (f"receipts/{entry}/allocate", {"account": "bob"}, Role.OPERATIONS),
        (f"receipts/{entry}/return", {}, Role.OPERATIONS),
        (f"letters/{place}/change", {"account_number": "9"}, Role.OPERATIONS),
        (
            "letters",
            {"pool": "HOUSE", "code": "house:api", "kind": "bank", "carries": ["USD"]},
            Role.TREASURY,
        ),
        (
            "residual-interest/target",
            {"pool": "CLIENT", "asset": "USD", "amount": "90", "effective_from": "2030-01-01"},
            Role.TREASURY,
        ),
        (
            "limits",
            {"role": "treasury", "asset": "USD", "effective_from": "2199-01-01",
             "approve_each": "5"},
            Role.RISK,
        ),
        (
            "agreements/haircut/BTC",
            {"haircut": "0.2", "effective_from": "2030-01-01"},
            Role.RISK,
        ),
    ]  # fmt: skip


def test_what_is_asked_for_waits_and_who_may_not_ask_is_refused(book: Book) -> None:
    for address, said, role in asked(book):
        before = Approval.objects.count()
        assert post(by(book, Role.AUDITOR), address, **said).status_code == 403, address
        assert Approval.objects.count() == before
        answer = post(by(book, role), address, **said)
        assert answer.status_code == 201, (address, answer.content)
        found = Approval.objects.get(pk=answer.json()["approval"])
        assert found.decision == ""


def test_a_letter_is_handed_in_as_a_file(book: Book) -> None:
    place = book.locations["client_bank"].pk
    said = {
        "letter_reference": "ACK-9", "signed_on": "2026-01-05", "reason": WHY,
        "document": SimpleUploadedFile("ack.pdf", PDF),
    }  # fmt: skip
    answer = by(book, Role.OPERATIONS).post(f"/api/letters/{place}/letter/", said)
    assert answer.status_code == 201, answer.content
    wrong = post(by(book, Role.OPERATIONS), f"letters/{place}/letter", signed_on="2026-01-05")
    assert wrong.status_code == 422
    assert set(wrong.json()) == {"letter_reference", "document"}


def test_a_refusal_names_its_rule(book: Book) -> None:
    place = book.locations["client_bank"].pk
    closed = post(by(book, Role.OPERATIONS), f"letters/{place}/close", closed_on="2026-02-05")
    assert closed.status_code == 422
    assert "still holds" in closed.content.decode()
    assert not Approval.objects.exists()
