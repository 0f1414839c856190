"""Receipts without an owner: client money at once, aged, given to one client by two people."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError, pending_on, state_of
from accounts.models import Approval, Role
from accounts.roles import roles_of
from ledger.models import ReceiptSettlement, SegregationStatement
from ledger.receipts import Receipt, receipts_of, request_allocation, request_return
from ledger.segregation import pool_assets
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import WHY, agreed, refused
from tests.ledger.book import NOON, Book
from tests.ledger.raw import Owner, insert, refused_by_hand, run

TODAY = NOON.date()


def came(book: Book, amount: str = "33", **said: Any) -> Receipt:
    """Money that nobody knows the owner of."""
    entry = book.post(
        "unidentified_receipt", ("client_bank", amount), ("unallocated", f"-{amount}"), **said
    )
    (found,) = receipts_of(book.desk.entity, today=TODAY, entry_id=entry)
    return found


def to_bob(book: Book, receipt: Receipt, bucket: str = "bob") -> Any:
    return request_allocation(
        receipt, bucket=book.buckets[bucket], reason=WHY, effective_at=NOON,
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip


def test_an_unknown_receipt_raises_the_requirement_the_same_day(book: Book) -> None:
    def required() -> Decimal:
        return next(
            row.requirement
            for row in pool_assets(entities=[book.desk.entity.pk])
            if (row.pool, row.asset) == ("CLIENT", "USD")
        )

    before = required()
    came(book)
    assert required() - before == 33
    book.state(TODAY)
    stated = SegregationStatement.objects.get(asset__code="USD", business_day=TODAY)
    assert (stated.unallocated, stated.requirement) == (Decimal(33), before + 33)


def test_a_receipt_goes_whole_to_exactly_one_client(book: Book) -> None:
    receipt = came(book)
    asked = to_bob(book, receipt)
    before = book.balances()
    agreed(asked, book.desk[Role.TREASURY])
    assert book.moved(before) == {"unallocated": "33", "bob": "-33"}
    (settled,) = receipts_of(book.desk.entity, today=TODAY, is_open=False)
    assert settled.settled_by == ReceiptSettlement.objects.get().entry_id
    with pytest.raises(AskRefusedError):
        to_bob(book, settled, "alice")


def test_it_goes_back_whole_too(book: Book) -> None:
    receipt = came(book)
    asked = request_return(
        receipt, reason=WHY, effective_at=NOON, actor=person(book.desk[Role.OPERATIONS])
    )
    before = book.balances()
    agreed(asked, book.desk[Role.TREASURY])
    assert book.moved(before) == {"unallocated": "33", "client_bank": "-33"}


def test_of_two_requests_for_one_receipt_one_is_applied(book: Book) -> None:
    receipt = came(book)
    came(book, "100")
    first, second = to_bob(book, receipt), to_bob(book, receipt, "alice")
    agreed(first, book.desk[Role.TREASURY])
    with pytest.raises(Exception, match="is settled by entry"):
        agreed(second, book.desk[Role.TREASURY])
    assert Approval.objects.get(pk=second).used_xid is None
    assert ReceiptSettlement.objects.count() == 1


@pytest.mark.parametrize(
    ("amount", "key"), [("32", "receipt:{}:x"), ("33", "mine"), ("33", "receipt:1:x")]
)
def test_a_settlement_names_its_receipt_and_moves_all_of_it(
    book: Book, amount: str, key: str
) -> None:
    receipt = came(book)
    draft = book.approved(
        book.draft(
            "receipt_allocation", ("unallocated", amount), ("bob", f"-{amount}"),
            key=key.format(receipt.entry_id),
        )
    )  # fmt: skip
    with refused("receipt_is_settled_whole"):
        book.post_drafts(draft)


def test_a_settled_receipt_is_settled_once(book: Book) -> None:
    receipt = came(book)
    came(book)
    drafts = [
        book.approved(
            book.draft(
                "receipt_allocation", ("unallocated", "33"), (who, "-33"),
                key=f"receipt:{receipt.entry_id}:{who}",
            )
        )
        for who in ("bob", "alice")
    ]  # fmt: skip
    with refused("receipt_is_settled_once"):
        book.post_drafts(*drafts)
    book.post_drafts(drafts[0])
    with refused("receipt_is_settled_once"):
        book.post_drafts(drafts[1])


def test_a_wrong_allocation_is_undone_and_given_to_the_right_client(book: Book) -> None:
    receipt = came(book)
    agreed(to_bob(book, receipt), book.desk[Role.TREASURY])
    book.reverse(ReceiptSettlement.objects.get().entry_id)
    (again,) = receipts_of(book.desk.entity, today=TODAY, is_open=True)
    before = book.balances()
    agreed(to_bob(book, again, "alice"), book.desk[Role.TREASURY])
    assert book.moved(before) == {"unallocated": "33", "alice": "-33"}


def test_no_settlement_is_written_by_hand(book: Book, owner: Owner) -> None:
    receipt = came(book)
    other = book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    row = insert("ledger_receiptsettlement", {"entry_id": other, "receipt_id": receipt.entry_id})
    with refused_by_hand(book, "settlement_is_its_entry"):
        run(owner, row)


def test_who_asked_does_not_give_it_away(book: Book) -> None:
    asked = to_bob(book, came(book))
    with refused("approval_is_not_ones_own"):
        agreed(asked, book.desk[Role.OPERATIONS])


def test_a_receipt_alarms_once_it_has_waited_longer_than_the_rule(book: Book) -> None:
    came(book)
    for days, alarms in ((0, False), (1, False), (2, True)):
        (found,) = receipts_of(book.desk.entity, today=TODAY + timedelta(days=days))
        assert (found.age, found.alarms) == (days, alarms)


def test_the_pages_show_it_its_age_and_what_waits(book: Book) -> None:
    receipt = came(book)
    asked = to_bob(book, receipt)
    browser = Browser()
    sign_in(browser, book.desk[Role.OPERATIONS])
    listed = browser.get(reverse("ledger:receipts")).content.decode()
    assert "R-1" in listed
    assert "Alarm" in listed, "it came in February"
    page = browser.get(reverse("ledger:receipt", args=[receipt.entry_id])).content.decode()
    assert "Waits for a second person" in page
    assert reverse("accounts:approval", args=[asked]) in page
    agreed(asked, book.desk[Role.TREASURY])
    page = browser.get(reverse("ledger:receipt", args=[receipt.entry_id])).content.decode()
    assert "Waits for a second person" not in page
    assert "Settled" in page


def test_it_is_asked_for_on_its_page(book: Book) -> None:
    receipt = came(book)
    browser = Browser()
    sign_in(browser, book.desk[Role.OPERATIONS])
    address = reverse("ledger:receipt-allocate", args=[receipt.entry_id])
    assert browser.get(address).status_code == 200
    wrong = browser.post(address, {"account": "nobody", "bucket": "", "reason": WHY})
    assert wrong.status_code == 422
    assert not Approval.objects.exists()
    assert browser.post(address, {"account": "bob", "bucket": "", "reason": WHY}).status_code == 302
    pending = pending_on(receipt.record, roles=roles_of(book.desk[Role.RISK]))
    (asked,) = pending
    assert state_of(asked, now=datetime.now(tz=UTC)).value == "waiting"
    reader = Browser()
    sign_in(reader, book.desk[Role.AUDITOR])
    assert reader.post(address, {"account": "bob", "reason": WHY}).status_code == 403
