"""Leave to post: approvals of a second person, and margin's releases of a bucket."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.audit import acting
from accounts.models import Approval, Role
from ledger.models import ReleaseUse
from ledger.posting import Draft, lock_balances, open_accounts, post_entries
from tests.ledger.book import DESK, Book

WITHDRAW = ("bob", "50"), ("client_bank", "-50")


def withdrawal(book: Book, **draft: Any) -> Draft:
    return book.draft("withdrawal", *WITHDRAW, **draft)


def test_a_release_lets_exactly_its_amount_out_once(book: Book) -> None:
    release = book.release("bob", "withdrawal", "50")
    entry = book.post("withdrawal", *WITHDRAW, release=release)
    assert ReleaseUse.objects.get(pk=release).entry_id == entry
    with book.refused("release_is_used_once"):
        book.post("withdrawal", *WITHDRAW, release=release)


def test_one_release_is_not_used_by_two_entries_of_a_batch(book: Book) -> None:
    release = book.release("bob", "withdrawal", "50")
    with book.refused("release_is_used_once"):
        book.post_drafts(withdrawal(book, release=release), withdrawal(book, release=release))


def test_a_margined_bucket_is_not_lowered_without_a_release(book: Book) -> None:
    with book.refused("entry_has_its_release"):
        book.post("withdrawal", *WITHDRAW)
    book.post("withdrawal", *WITHDRAW, release=book.release("bob", "withdrawal", "50"))


def test_a_bucket_that_is_no_scope_needs_none(book: Book) -> None:
    book.post("withdrawal", ("alice", "50"), ("client_bank", "-50"))
    book.post("bucket_move", ("alice", "50"), ("alice/ISO", "-50"))
    with book.refused("entry_has_its_release"):
        book.post("bucket_move", ("alice/ISO", "50"), ("alice", "-50"))


def test_a_release_that_does_not_exist_releases_nothing(book: Book) -> None:
    with book.refused("release_is_given"):
        book.post("withdrawal", *WITHDRAW, release=uuid4())


@pytest.mark.parametrize(
    "given",
    [
        ("bob", "withdrawal", "49.99", "USD"),
        ("bob", "bucket_move", "50", "USD"),
        ("bob", "withdrawal", "50", "BTC"),
        ("alice/ISO", "withdrawal", "50", "USD"),
    ],
    ids=["another amount", "another kind", "another asset", "another bucket"],
)
def test_a_release_is_for_this_and_nothing_else(
    book: Book, given: tuple[str, str, str, str]
) -> None:
    bucket, kind, amount, asset = given
    release = book.release(bucket, kind, amount, asset=asset)
    with book.refused("release_is_for_this"):
        book.post("withdrawal", *WITHDRAW, release=release)


def test_a_release_does_not_cover_a_second_leg(book: Book) -> None:
    book.post("deposit", ("client_wallet:BTC", "1"), ("bob:BTC", "-1"))
    release = book.release("bob", "withdrawal", "50")
    with book.refused("release_is_for_this"):
        book.post(
            "withdrawal", *WITHDRAW, ("bob:BTC", "1"), ("client_wallet:BTC", "-1"), release=release
        )
    with book.refused("release_is_for_this"):
        book.post("withdrawal", *WITHDRAW, *WITHDRAW, release=release)
    book.post("withdrawal", *WITHDRAW, release=release)


def test_any_posting_to_the_bucket_voids_its_release(book: Book) -> None:
    release = book.release("bob", "withdrawal", "50")
    book.post("deposit", ("client_bank", "0.01"), ("bob", "-0.01"))
    with book.refused("release_is_current"):
        book.post("withdrawal", *WITHDRAW, release=release)


def test_postings_elsewhere_leave_a_release_alone(book: Book) -> None:
    release = book.release("bob", "withdrawal", "50")
    book.post("deposit", ("client_bank", "1"), ("alice", "-1"))
    book.post("withdrawal", *WITHDRAW, release=release)


def test_releases_of_one_batch_count_the_postings_before_them(book: Book) -> None:
    version = book.version("bob")
    first = book.release("bob", "withdrawal", "50", version=version)
    second = book.release("bob", "withdrawal", "50", version=version + 2)
    deposit = book.draft("deposit", ("client_bank", "1"), ("bob", "-1"))
    batch = withdrawal(book, release=first), deposit, withdrawal(book, release=second)
    with book.refused("release_is_current"):
        book.post_drafts(batch[0], batch[2], deposit)
    book.post_drafts(*batch)


def test_a_repayment_needs_its_release_too(book: Book) -> None:
    book.post(
        "borrow",
        ("client_bank", "50"), ("bob", "-50"), ("house_bank", "-50"), ("loan/bob", "50"),
    )  # fmt: skip
    before = book.balances()
    legs = ("bob", "20"), ("client_bank", "-20"), ("house_bank", "20"), ("loan/bob", "-20")
    with book.refused("entry_has_its_release"):
        book.post("repay", *legs)
    book.post("repay", *legs, release=book.release("bob", "repay", "20"))
    assert book.moved(before) == {
        "bob": "20", "client_bank": "-20", "house_bank": "20", "loan/bob": "-20",
    }  # fmt: skip


def test_a_transfer_between_clients_needs_both_leaves(book: Book) -> None:
    draft = book.draft("client_transfer", ("bob", "30"), ("alice", "-30"))
    approved = book.approved(draft)
    with book.refused("entry_has_its_release"):
        book.post_drafts(approved)
    release = book.release("bob", "client_transfer", "30")
    with book.refused("approval_is_given"):
        book.post_drafts(replace(draft, release_id=release))
    book.post_drafts(replace(approved, release_id=release))


def test_whoever_decides_on_a_bucket_holds_it_with_everything_in_it(book: Book) -> None:
    with acting(DESK, reason="Decides"):
        held = lock_balances(account_ids=[book["client_bank"]], bucket_ids=[book.buckets["bob"].pk])
        assert held[book["bob"]].amount == -2000
        assert held[book["bob:SPY"]].average_cost == 280
        assert book["client_bank"] in held
        assert book["alice"] not in held


# ---------------------------------------------------------------- approvals


def test_an_approval_is_for_exactly_this_entry(book: Book) -> None:
    draft = book.draft("interest", ("residual", "2"), ("alice", "-2"))
    approval = book.approve(draft)
    other = [
        replace(draft, key="another"),
        replace(draft, reference="R-2"),
        replace(draft, legs=[book.leg("residual", "3"), book.leg("alice", "-3")]),
        replace(draft, kind="refund"),
        replace(draft, legs=[book.leg("residual", "2"), book.leg("bob", "-2")]),
    ]
    for changed in other:
        with book.refused("approval_is_for_this"):
            book.post_drafts(replace(changed, approval_id=approval))
    book.post_drafts(replace(draft, approval_id=approval))


def test_an_approval_is_used_once(book: Book) -> None:
    draft = book.approved(book.draft("interest", ("residual", "2"), ("alice", "-2")))
    book.post_drafts(draft)
    assert Approval.objects.get(pk=draft.approval_id).used_xid is not None
    with book.refused("approval_is_for_this"):
        book.post_drafts(replace(draft, key="another"))


def test_no_approval_or_a_rejected_one_moves_nothing(book: Book) -> None:
    draft = book.draft("interest", ("residual", "2"), ("alice", "-2"))
    with book.refused("approval_is_given"):
        book.post_drafts(draft)
    with book.refused("approval_is_given"):
        book.post_drafts(replace(draft, approval_id=uuid4()))
    asked = book.request(draft)
    with book.refused("approval_is_given"):
        book.post_drafts(replace(draft, approval_id=asked))
    book.decide(asked, checker=Role.TREASURY, decision="rejected")
    with book.refused("approval_is_given"):
        book.post_drafts(replace(draft, approval_id=asked))


def test_an_approval_of_one_firm_does_not_move_the_money_of_another(book: Book) -> None:
    legs = ("other_bank", "5"), ("other_equity", "-5")
    book.post("house_income", *legs)
    draft = book.approved(book.draft("manual_journal", *legs))
    with book.refused("entry_has_its_approval"):
        book.post_drafts(draft)


def test_two_entries_need_two_approvals(book: Book) -> None:
    one = book.approved(book.draft("interest", ("residual", "2"), ("alice", "-2")))
    two = book.draft("interest", ("residual", "2"), ("alice", "-2"))
    with book.refused("approval_is_for_this"):
        book.post_drafts(one, replace(two, approval_id=one.approval_id))
    before = book.balances()
    book.post_drafts(one, book.approved(two))
    assert book.moved(before) == {"residual": "4", "alice": "-4"}


def test_accounts_opened_and_posted_to_in_one_act_stand_together(book: Book) -> None:
    key = book.key("carol")
    with acting(DESK, reason="Opens and posts"):
        (account,) = open_accounts([key]).values()
        (posted,) = post_entries([book.draft("fee", ("carol", "1"), ("residual", "-1"))])
    assert (account, posted.is_new) == (book["carol"], True)
    assert book.balance("carol") == Decimal(-299)
