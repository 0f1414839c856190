"""Entries that two people must agree to: what a request shows is what is posted, to the letter."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.approvals import Change, apply_approved, decide, describe, request_approval
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Role
from ledger.corrections import request_reversal
from ledger.entry_approvals import KINDS
from ledger.models import Entry, EntryKind
from ledger.posting import Draft, Leg, LossParts
from ledger.transfers import (
    TRANSFERS,
    TransferRefusedError,
    request_journal,
    request_transfer,
)
from tests.accounts.people import found_desk, person
from tests.ledger.book import NOON, Book

WHY = "Fees of January, agreed with finance"
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-9, max_value=9)


def asked_transfer(book: Book, kind: str, amount: str, gives: str, takes: str) -> Approval:
    pk = request_transfer(
        kind=TRANSFERS[kind],
        asset=book.assets["USD"],
        amount=Decimal(amount),
        gives=book.locations[gives],
        takes=book.locations[takes],
        reference="RW-1",
        reason=WHY,
        effective_at=NOON,
        legal_entity=book.desk.entity,
        actor=person(book.desk[Role.TREASURY]),
        recipients="The house, at house_bank",
        complies=True,
    )
    return Approval.objects.get(pk=pk)


def agreed(book: Book, asked: Approval) -> None:
    """A second person agrees, and it is applied."""
    checker = person(book.desk[Role.RISK])
    apply_approved(decide(asked.pk, verdict="approved", reason=WHY, actor=checker), actor=checker)


def test_every_kind_that_needs_an_approval_is_shown_and_applied_here(book: Book) -> None:
    wanted = EntryKind.objects.filter(needs_approval=True).values_list("code", flat=True)
    assert sorted(KINDS) == sorted(wanted)


@given(
    legs=st.lists(
        st.builds(
            Leg,
            account_id=st.integers(1, 9),
            amount=amounts,
            reference=st.none() | st.just("R"),
            price=st.none() | amounts,
            average=st.none() | amounts,
        ),
        min_size=2,
        max_size=4,
    ),
    reverses=st.none() | st.integers(1, 9),
    has_loss=st.booleans(),
)
def test_a_draft_read_back_from_its_content_says_the_same(
    legs: list[Leg], reverses: int | None, has_loss: bool
) -> None:
    loss = LossParts(1, *map(Decimal, ("-5.50", "3.00", "1.00", "1.00", "1.00")))
    draft = Draft(
        key="k", kind="fee", effective_at=NOON, reference="r", legs=legs, narrative="n",
        reverses=reverses, loss=loss if has_loss else None,
    )  # fmt: skip
    assert Draft.from_content(draft.content()).content() == draft.content()


def test_a_withdrawal_of_residual_interest_shows_each_balance_and_what_stays(book: Book) -> None:
    asked = asked_transfer(book, "residual_withdrawal", "25.00", "client_bank", "house_bank")
    said = describe(asked)
    assert (said.headline, said.amount, said.unit, said.decimals) == (
        "25.00 USD from CLIENT to HOUSE", "25.00 USD", "USD", 2,
    )  # fmt: skip
    bank, house, equity = (book.balance(n) for n in ("client_bank", "house_bank", "house_equity"))
    owed = -sum(book.balance(n) for n in ("alice", "alice/ISO", "bob", "carol", "unallocated"))
    assert said.changes == (
        Change("CLIENT residual interest", Decimal(100), Decimal(-25), "not negative"),
        Change("CLIENT client_bank", bank, Decimal(-25), "not negative"),
        Change("HOUSE house_bank", house, Decimal(25), "not negative"),
        Change("HOUSE own equity", -equity, Decimal(25)),
        Change("Owed to clients", owed, Decimal(0), "held = owed"),
    )
    assert "falls from 100.00 to 75.00 USD" in said.note


def test_what_was_shown_is_what_is_posted(book: Book) -> None:
    asked = asked_transfer(book, "residual_withdrawal", "25.00", "client_bank", "house_bank")
    before = book.balances()
    agreed(book, asked)
    assert book.moved(before) == {
        "client_bank": "-25", "house_bank": "25", "house_equity": "-25", "residual": "25",
    }  # fmt: skip
    entry = Entry.objects.latest("pk")
    assert (entry.kind_id, entry.reference, entry.narrative) == ("residual_withdrawal", "RW-1", WHY)
    assert Approval.objects.get(pk=asked.pk).used_xid == entry.xid


@pytest.mark.parametrize(
    ("kind", "gives", "takes", "moved"),
    [
        (
            "residual_deposit", "house_bank", "client_bank",
            {"client_bank": "5", "house_bank": "-5", "house_equity": "5", "residual": "-5"},
        ),
        (
            "insurance_funding", "house_bank", "insurance_bank",
            {
                "house_bank": "-5", "house_equity": "5", "insurance_bank": "5",
                "insurance_equity": "-5",
            },
        ),
    ],
)  # fmt: skip
def test_each_transfer_moves_the_firms_own_money(
    book: Book, kind: str, gives: str, takes: str, moved: dict[str, str]
) -> None:
    asked = asked_transfer(book, kind, "5.00", gives, takes)
    before = book.balances()
    agreed(book, asked)
    assert book.moved(before) == moved


def test_paying_a_shortfall_makes_client_money_whole(book: Book) -> None:
    book.post_approved("bank_error", ("shortfall", "40"), ("client_bank", "-40"))
    asked = asked_transfer(book, "shortfall_funding", "40.00", "house_bank", "client_bank")
    assert "whole again" in describe(asked).note
    agreed(book, asked)
    assert book.balance("shortfall") == 0


def test_a_request_that_the_book_would_refuse_says_so(book: Book) -> None:
    asked = asked_transfer(book, "residual_withdrawal", "100.01", "client_bank", "house_bank")
    said = describe(asked)
    assert not said.changes[0].is_kept
    assert said.note.startswith(
        "As balances stand now the book refuses this: CLIENT residual interest would be −0.01 USD."  # noqa: RUF001
    )
    checker = person(book.desk[Role.PRINCIPAL])
    approved = decide(asked.pk, verdict="approved", reason=WHY, actor=checker)
    with book.refused("residual_interest_not_below_zero"):
        apply_approved(approved, actor=checker)
    assert Approval.objects.get(pk=asked.pk).used_xid is None


def test_a_journal_moves_one_location_of_the_firm(book: Book) -> None:
    pk = request_journal(
        location=book.locations["house_bank"], asset=book.assets["USD"], amount=Decimal("-7.25"),
        reference="", reason=WHY, effective_at=NOON, legal_entity=book.desk.entity,
        actor=person(book.desk[Role.TREASURY]),
    )  # fmt: skip
    before = book.balances()
    asked = Approval.objects.get(pk=pk)
    assert asked.subject == "7.25 USD out of house_bank"
    agreed(book, asked)
    assert book.moved(before) == {"house_bank": "-7.25", "house_equity": "7.25"}


def test_an_entry_is_undone_leg_by_leg_and_once(book: Book) -> None:
    before = book.balances()
    entry = book.post("deposit", ("client_bank", "30"), ("alice", "-30"))
    pk = request_reversal(
        entry, reason=WHY, effective_at=NOON, legal_entity=book.desk.entity,
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    asked = Approval.objects.get(pk=pk)
    said = describe(asked)
    assert said.headline == "Reversal of an entry, 30.00 USD"
    assert [(c.label, c.change) for c in said.changes] == [
        ("CLIENT alice FREE", Decimal(-30)),
        ("CLIENT client_bank", Decimal(-30)),
        ("Owed to clients", Decimal(-30)),
    ]
    agreed(book, asked)
    assert book.moved(before) == {}
    assert Entry.objects.get(reverses=entry).reference == f"REV-{entry}"


def test_a_request_for_another_legal_entitys_pools_is_not_applied(book: Book) -> None:
    """The maker's own desk agrees; the pools are somebody else's."""
    stranger = found_desk(code="EB-UK")
    draft = book.draft("manual_journal", ("house_bank", "5"), ("house_equity", "-5"))
    with acting(person(stranger[Role.TREASURY]), reason=WHY):
        pk = request_approval(
            legal_entity_id=stranger.entity.pk, action="entry.manual_journal", subject="s",
            payload=draft.content(), reason=WHY,
        )  # fmt: skip
    checker = person(stranger[Role.RISK])
    approved = decide(pk, verdict="approved", reason=WHY, actor=checker)
    with book.refused("approval_is_for_its_legal_entity"):
        apply_approved(approved, actor=checker)


def test_a_payload_that_was_agreed_cannot_be_posted_with_another_amount(book: Book) -> None:
    asked = asked_transfer(book, "residual_withdrawal", "25.00", "client_bank", "house_bank")
    decide(asked.pk, verdict="approved", reason=WHY, actor=person(book.desk[Role.RISK]))
    draft = Draft.from_content(asked.payload, approval_id=UUID(str(asked.pk)))
    more = [leg._replace(amount=leg.amount * 2) for leg in draft.legs]
    with pytest.raises(RefusedError):
        book.post_drafts(replace(draft, legs=more))
    assert book.balance("residual") == Decimal(-100)


@pytest.mark.parametrize(
    ("amount", "gives", "takes", "field"),
    [
        ("0", "client_bank", "house_bank", "amount"),
        ("-1", "client_bank", "house_bank", "amount"),
        ("1.001", "client_bank", "house_bank", "amount"),
        ("99999", "client_bank", "house_bank", "amount"),
        ("1", "house_savings", "house_bank", "gives"),
        ("1", "client_bank", "venue", "takes"),
        ("1", "client_bank", "other_bank", "takes"),
        ("1", "client_wallet", "house_bank", "gives"),
    ],
)
def test_what_does_not_fit_is_not_even_asked(
    book: Book, amount: str, gives: str, takes: str, field: str
) -> None:
    before = book.balances()
    with pytest.raises(TransferRefusedError) as refused:
        asked_transfer(book, "residual_withdrawal", amount, gives, takes)
    assert refused.value.field == field
    assert not Approval.objects.exists()
    assert book.moved(before) == {}
