"""Clients whose assets lie apart: their own locations, and nobody else's assets there."""

from datetime import date
from decimal import Decimal

import pytest

from accounts.approvals import apply_approved
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Client, Role
from ledger.individual import (
    clients_apart,
    own_lines,
    reconcile_alone,
    request_segregation,
    request_signature,
)
from ledger.models import Location, ReconciliationSignature, Statement, StatementFile
from tests.accounts.people import person
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.raw import Owner, Raw, refused_by_hand, run

DAY = NOON.date()


def hold_apart(book: Book, who: str, *, held_apart: bool = True) -> None:
    """Have two people agree that a client is held apart, or no longer."""
    asked = request_segregation(
        book.clients[who], held_apart=held_apart, reason="The client asked for it.",
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    book.decide(asked, checker=Role.RISK)
    apply_approved(Approval.objects.get(pk=asked), actor=person(book.desk[Role.RISK]))


@pytest.fixture
def apart(book: Book) -> Book:
    """Carol has 300.00 at her own bank and is held apart."""
    hold_apart(book, "carol")
    return book


def test_a_client_is_held_apart_by_two_people_and_the_trail_has_it(
    book: Book, owner: Owner
) -> None:
    by_hand = "UPDATE accounts_client SET is_individually_segregated = true WHERE code = 'carol'"
    with refused_by_hand(book, "client_is_held_apart_by_two"):
        run(owner, by_hand)
    hold_apart(book, "carol")
    assert Client.objects.get(code="carol").is_individually_segregated
    kept = owner.execute(
        "SELECT before ->> 'is_individually_segregated', after ->> 'is_individually_segregated'"
        " FROM accounts_auditrow WHERE table_name = 'accounts_client' AND operation = 'update'"
    ).fetchall()
    assert kept == [("false", "true")]


def test_a_client_with_assets_elsewhere_is_not_held_apart_yet(book: Book) -> None:
    with pytest.raises(RefusedError) as refused:
        hold_apart(book, "alice")
    assert refused.value.rule == "individual_client_is_held_apart"
    assert not Client.objects.get(code="alice").is_individually_segregated


def test_an_asset_of_theirs_goes_through_no_omnibus_location(apart: Book, owner: Owner) -> None:
    legs = ("client_bank", "50"), ("carol", "-50")
    with apart.refused("individual_client_keeps_own_locations"):
        apart.post("deposit", *legs)
    with refused_by_hand(apart, "individual_client_keeps_own_locations"):
        Raw("deposit", legs).write(owner, apart)
    with apart.refused("individual_client_keeps_own_locations"):
        apart.post("withdrawal", ("carol", "50"), ("client_bank", "-50"))
    before = apart.balances()
    apart.post("deposit", ("carol_bank", "50"), ("carol", "-50"))
    assert apart.moved(before) == {"carol": "-50", "carol_bank": "50"}


def test_nobody_elses_asset_lies_at_their_location(apart: Book, owner: Owner) -> None:
    # The place is of one client and the claim of another: two clients meet in no deposit.
    with apart.refused("entry_fits_its_kind"):
        apart.post("deposit", ("carol_bank", "50"), ("alice", "-50"))
    legs = ("client_bank", "-50"), ("carol_bank", "50")
    with apart.refused("individual_client_keeps_own_locations"):
        apart.post("custody_move", *legs)
    with refused_by_hand(apart, "individual_client_keeps_own_locations"):
        Raw("custody_move", legs).write(owner, apart)
    with apart.refused("individual_client_keeps_own_locations"):
        apart.post("custody_move", ("client_bank", "50"), ("carol_bank", "-50"))


def test_nothing_of_theirs_is_given_that_lies_elsewhere(apart: Book) -> None:
    transfer = apart.approved(apart.draft("client_transfer", ("alice", "50"), ("carol", "-50")))
    with apart.refused("individual_client_is_held_apart"):
        apart.post_drafts(transfer)


def test_a_fee_leaves_the_firms_own_beside_them_and_interest_takes_it(apart: Book) -> None:
    apart.post("fee", ("carol", "10"), ("residual", "-10"))
    (line,) = own_lines([apart.clients["carol"]])
    assert (line.total, line.owed, line.over) == (Decimal(300), Decimal(290), Decimal(10))
    apart.post_approved("interest", ("residual", "10"), ("carol", "-10"))
    draft = apart.approved(apart.draft("interest", ("residual", "0.01"), ("carol", "-0.01")))
    with apart.refused("individual_client_is_held_apart"):
        apart.post_drafts(draft)


def test_a_banks_error_is_booked_and_nothing_makes_it_worse(apart: Book) -> None:
    apart.post_approved("bank_error", ("shortfall", "5"), ("carol_bank", "-5"))
    apart.post("deposit", ("carol_bank", "1"), ("carol", "-1"))
    draft = apart.approved(apart.draft("interest", ("residual", "1"), ("carol", "-1")))
    with apart.refused("individual_client_is_held_apart"):
        apart.post_drafts(draft)


def test_two_people_bring_assets_to_a_clients_own_location_up_to_what_is_owed(book: Book) -> None:
    book.post("deposit", ("client_bank", "40"), ("alice", "-40"))
    book.post("fee", ("carol", "1"), ("residual", "-1"))
    # Carol is owed 299 and has 300 there: nothing more of others may come.
    draft = book.approved(
        book.draft("segregation_move", ("client_bank", "-10"), ("carol_bank", "10"))
    )
    with book.refused("individual_client_is_held_apart"):
        book.post_drafts(draft)
    before = book.balances()
    book.post_approved("segregation_move", ("carol_bank", "-1"), ("client_bank", "1"))
    assert book.moved(before) == {"carol_bank": "-1", "client_bank": "1"}


# ---------------------------------------------------------------- their own reconciliation


def stated(place: Location, closing: str, *, rejection: str = "") -> None:
    """A bank's statement of the day, as the gate kept it."""
    with acting(DESK, reason="A statement came in"):
        file = StatementFile.objects.create(sha256=f"{place.pk:064d}", name="s", content=b"s")
        Statement.objects.create(
            location=place, business_day=DAY, file=file, format="camt.053", parser_version="1",
            opening=Decimal(0), closing=None if rejection else Decimal(closing), lines_read=0,
            rejection=rejection,
        )  # fmt: skip


def test_their_reconciliation_runs_and_signs_off_alone(apart: Book) -> None:
    carol = apart.clients["carol"]
    stated(apart.locations["carol_bank"], "300.00")
    # Everybody else's bank is in disorder; that is not looked at.
    stated(apart.locations["client_bank"], "0", rejection="does not add up")
    found = reconcile_alone(carol, business_day=DAY, actor=DESK, reason="Evening")
    assert found.is_whole
    assert found.lines == [
        {"asset": "USD", "book": "300", "location": "carol_bank", "reported": "300",
         "difference": "0"},
        {"asset": "USD", "held": "300", "owed": "300", "over": "0"},
    ]  # fmt: skip
    asked = request_signature(
        found, reason="I compared all of it.", actor=person(apart.desk[Role.OPERATIONS])
    )
    apart.decide(asked, checker=Role.COMPLIANCE)
    apply_approved(Approval.objects.get(pk=asked), actor=person(apart.desk[Role.COMPLIANCE]))
    assert ReconciliationSignature.objects.get().reconciliation_id == found.pk


def test_what_differs_is_not_signed(apart: Book, owner: Owner) -> None:
    carol = apart.clients["carol"]
    stated(apart.locations["carol_bank"], "299.99")
    found = reconcile_alone(carol, business_day=DAY, actor=DESK, reason="Evening")
    assert not found.is_whole
    assert found.lines[0]["difference"] == "-0.01"
    with pytest.raises(RefusedError) as refused:
        request_signature(
            found, reason="I compared all of it.", actor=person(apart.desk[Role.OPERATIONS])
        )
    assert refused.value.rule == "signed_reconciliation_is_whole"
    assert not ReconciliationSignature.objects.exists()


def test_a_day_without_a_statement_is_not_whole(apart: Book) -> None:
    found = reconcile_alone(
        apart.clients["carol"], business_day=date(2026, 2, 6), actor=DESK, reason="Evening"
    )
    assert (found.is_whole, found.lines[0]["reported"]) == (False, None)


def test_nobody_writes_a_reconciliation_that_says_something_else(apart: Book, owner: Owner) -> None:
    pk = apart.clients["carol"].pk
    with refused_by_hand(apart, "client_reconciliation_says_what_stands"):
        run(
            owner,
            "INSERT INTO ledger_clientreconciliation (client_id, business_day, number, lines,"
            f" open_breaks, is_whole) VALUES ({pk}, '2026-02-05', 1, '[]', 0, true)",
        )
    found = reconcile_alone(apart.clients["carol"], business_day=DAY, actor=DESK, reason="Evening")
    with refused_by_hand(apart, "reconciliation_is_signed_by_two"):
        run(
            owner,
            "INSERT INTO ledger_reconciliationsignature (reconciliation_id, approval_id)"
            f" VALUES ({found.pk}, gen_random_uuid())",
        )


def test_the_lines_show_every_client_with_a_location_of_their_own(apart: Book) -> None:
    found = clients_apart([apart.desk.entity.pk])
    assert [client.code for client in found] == ["carol"]
    (line,) = own_lines(found)
    assert (line.held, line.owed, line.is_whole) == (
        {"carol_bank": Decimal(300)}, Decimal(300), True,
    )  # fmt: skip
