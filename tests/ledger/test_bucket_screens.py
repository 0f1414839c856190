"""Screens and API of buckets, clients held apart, debts, transit and blocks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Approval, Role
from ledger.models import MoveRule, Obligation
from tests.accounts.people import sign_in
from tests.ledger.book import Book
from tests.ledger.test_debts import guarantee, pledge, registered
from tests.ledger.test_individual import hold_apart

PAGES = (
    "ledger:buckets", "ledger:individual", "ledger:debts", "ledger:transit", "margin:blocks",
    "margin:move", "ledger:bucket-rule", "ledger:debt-new",
)  # fmt: skip


@pytest.fixture
def desk(book: Book) -> Iterator[Browser]:
    browser = Browser()
    sign_in(browser, book.desk[Role.OPERATIONS])
    return browser


def text_of(browser: Browser, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def posted(browser: Browser, address: str, said: dict[str, Any]) -> Any:
    return browser.post(address, json.dumps(said), content_type="application/json")


def test_every_page_opens(book: Book, desk: Browser) -> None:
    for name in PAGES:
        assert "<h1>" in text_of(desk, reverse(name))


def test_the_matrix_is_read_and_another_rule_asked_for(book: Book, desk: Browser) -> None:
    page = text_of(desk, reverse("ledger:buckets"))
    assert "Two people" in page
    assert "Margin test" in page
    before = MoveRule.objects.count()
    answer = desk.post(
        reverse("ledger:bucket-rule"),
        {"from_role": "HOLD", "to_role": "LOCKED", "guard": "free",
         "effective_from": "2026-02-05", "reason": "The desk works like this now."},
    )  # fmt: skip
    assert answer.status_code == 302
    assert Approval.objects.get().action_id == "bucket.rule"
    assert MoveRule.objects.count() == before


def test_a_clients_collateral_for_a_house_position_is_refused_with_the_rules_id(
    book: Book, desk: Browser
) -> None:
    said = {
        "kind": "pledge", "reference": "P-1", "by": "account alice", "to": "firm EB-US",
        "secures": "prop", "bucket": "FREE", "asset": "USD", "amount": "100",
        "effective_on": "2026-02-05", "reason": "Collateral for the house's position.",
    }  # fmt: skip
    answer = posted(desk, "/api/obligations/", said)
    assert (answer.status_code, answer.json()["rule"]) == (409, "owner_classes_do_not_meet")
    answer = posted(desk, "/api/obligations/", said | {"secures": "alice"})
    assert answer.status_code == 202
    again = posted(desk, "/api/obligations/", said | {"secures": "alice", "amount": "1000.01"})
    assert (again.status_code, again.json()["rule"]) == (409, "lot_is_pledged_once")
    form = desk.post(reverse("ledger:debt-new"), said)
    assert form.status_code == 409
    assert "owner_classes_do_not_meet" in form.content.decode()
    assert not Obligation.objects.exists()


def test_a_ring_shows_as_a_drawing_and_as_a_table(book: Book, desk: Browser) -> None:
    for giver, taker in (("alice", "bob"), ("bob", "alice")):
        registered(book, guarantee(book, giver, taker))
    registered(book, pledge(book, "alice", "10"))
    page = text_of(desk, reverse("ledger:debts"))
    assert "alice → bob → alice" in page
    assert "<svg" in page
    assert page.count("stands for") >= 1
    listed = desk.get("/api/obligations/").json()
    assert {row["reference"] for row in listed} == {"P-alice-10", "G-alice-bob", "G-bob-alice"}


def test_a_client_held_apart_has_a_page_with_their_reconciliation(
    book: Book, desk: Browser
) -> None:
    hold_apart(book, "carol")
    assert "carol_bank" in text_of(desk, reverse("ledger:individual"))
    page = text_of(desk, reverse("ledger:individual-client", args=["carol"]))
    assert "Never compared alone" in page
    answer = posted(
        desk, "/api/individual-clients/carol/reconcile/", {"business_day": "2026-02-05"}
    )
    assert (answer.status_code, answer.json()["is_whole"]) == (201, False)
    assert "Differs" in text_of(desk, reverse("ledger:individual-client", args=["carol"]))
    (line,) = desk.get("/api/individual-clients/").json()
    assert (line["client"], line["held"], line["owed"]) == ("carol", {"carol_bank": "300"}, "300")


def test_a_move_is_looked_at_and_made_by_the_same_rules(book: Book, desk: Browser) -> None:
    said = {
        "account": "alice", "from_bucket": "FREE", "to_bucket": "HOLD", "asset": "USD",
        "amount": "100", "reason": "Held for a payment tomorrow.", "key": "M-1",
    }  # fmt: skip
    looked = posted(desk, "/api/bucket-moves/preview/", said).json()
    assert (looked["refusal"], looked["source"]["after"]) == (None, "900")
    too_much = said | {"amount": "1000.01"}
    assert posted(desk, "/api/bucket-moves/preview/", too_much).json()["refusal"] == (
        "claim_not_below_zero"
    )
    refused = posted(desk, "/api/bucket-moves/", too_much)
    assert (refused.status_code, refused.json()["rule"]) == (409, "claim_not_below_zero")
    made = posted(desk, "/api/bucket-moves/", said)
    assert (made.status_code, made.json()["is_new"]) == (201, True)
    again = posted(desk, "/api/bucket-moves/", said | {"amount": "100"})
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    never = posted(
        desk, "/api/bucket-moves/",
        said | {"from_bucket": "HOLD", "to_bucket": "ISO", "key": "M-2"},
    )  # fmt: skip
    assert (never.status_code, never.json()["rule"]) == (409, "bucket_move_is_permitted")
    assert book.balance("alice/HOLD") == -100


def test_the_form_of_a_move_shows_before_it_moves(book: Book, desk: Browser) -> None:
    address = f"{reverse('margin:move')}?account=alice"
    assert "alice" in text_of(desk, address)
    said = {
        "source": "FREE", "target": "HOLD", "asset": "USD", "amount": "100",
        "reason": "Held for a payment tomorrow.", "key": "move:1",
    }  # fmt: skip
    looked = desk.post(address, said | {"look": "1"})
    assert "Can be made" in looked.content.decode()
    assert book.balance("alice/HOLD") == 0
    assert desk.post(address, said).status_code == 302
    assert book.balance("alice/HOLD") == -100
    assert desk.get(f"{reverse('margin:move')}?account=nobody").status_code == 404


def test_an_auditor_reads_and_moves_nothing(book: Book) -> None:
    browser = Browser()
    sign_in(browser, book.desk[Role.AUDITOR])
    for name in PAGES[:5]:
        text_of(browser, reverse(name))
    assert browser.get(reverse("margin:move")).status_code == 403
    said = {"account": "alice", "from_bucket": "FREE", "to_bucket": "HOLD", "asset": "USD",
            "amount": "1", "reason": "An auditor should not."}  # fmt: skip
    assert posted(browser, "/api/bucket-moves/", said).status_code == 403
    assert book.balance("alice/HOLD") == 0
