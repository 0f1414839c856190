"""What people do about breaks: each is taken once, explained with text, closed with evidence."""

from datetime import date
from decimal import Decimal
from inspect import getsource

import pytest
from django.db import DatabaseError

from accounts.approvals import apply_approved, decide
from accounts.audit import acting
from accounts.models import Approval, Role
from ledger import breaks, corrections, receipts, reconciliation
from ledger.breaks import (
    BreakActError,
    close_break,
    evidence_for,
    explain_break,
    take_break,
)
from ledger.corrections import correction_kind, request_correction
from ledger.models import Break, BreakEvent, Entry, StatementLine
from ledger.receipts import book_receipt
from ledger.screens.break_page import EVENTS
from ledger.segregation import pool_assets
from ledger.transfers import TransferRefusedError
from tests.accounts.people import person
from tests.ledger.book import DESK, Book, digest
from tests.ledger.differences import DAY, bank_moves, compare, give_statement, the_break

NEXT_DAY = date(2026, 2, 6)
WHY = "The bank confirmed it by telephone"


@pytest.fixture
def unknown(book: Book) -> Break:
    """565.09 USD came to the client bank, and the book knows nothing of it."""
    give_statement(book.locations["client_bank"], ("BC-1", "565.09"))
    compare()
    return the_break(book.locations["client_bank"], "missing_in_ledger")


def unmoved(act: object, *, words: str) -> None:
    """Prove that an act is refused with these words and that nothing moved."""
    assert callable(act)
    before = digest()
    with pytest.raises(BreakActError, match=words):
        act()
    assert digest() == before, "a refusal moved something"


def events(found: Break) -> list[tuple[str, str]]:
    return list(found.events.order_by("pk").values_list("event", "text"))


# ---------------------------------------------------------------- taking and explaining


def test_a_break_that_is_taken_is_being_investigated_by_its_owner(
    book: Book, unknown: Break
) -> None:
    operator = book.desk[Role.OPERATIONS]
    take_break(unknown.pk, seen_owner_id=None, actor=person(operator))
    unknown.refresh_from_db()
    assert (unknown.owner, unknown.status) == (operator, "investigating")
    assert events(unknown) == [("found", ""), ("taken", "")]


def test_of_two_who_take_a_break_at_once_the_second_hears_who_has_it(
    book: Book, unknown: Break
) -> None:
    take_break(unknown.pk, seen_owner_id=None, actor=person(book.desk[Role.OPERATIONS]))
    actor = person(book.desk[Role.TREASURY])
    unmoved(
        lambda: take_break(unknown.pk, seen_owner_id=None, actor=actor),
        words="L. Brandt has this break now",
    )


def test_a_break_can_be_taken_over_by_who_saw_whose_it_is(book: Book, unknown: Break) -> None:
    first, second = book.desk[Role.OPERATIONS], book.desk[Role.TREASURY]
    take_break(unknown.pk, seen_owner_id=None, actor=person(first))
    take_break(unknown.pk, seen_owner_id=first.pk, actor=person(second))
    assert Break.objects.get(pk=unknown.pk).owner == second
    actor = person(second)
    unmoved(
        lambda: take_break(unknown.pk, seen_owner_id=second.pk, actor=actor),
        words="yours already",
    )


def test_an_explained_break_is_not_closed(book: Book, unknown: Break) -> None:
    operator = book.desk[Role.OPERATIONS]
    explain_break(unknown.pk, text=WHY, actor=person(operator))
    unknown.refresh_from_db()
    assert (unknown.status, unknown.owner) == ("explained", operator)
    assert unknown in Break.objects.unresolved()
    assert events(unknown)[-1] == ("explained", WHY)


@pytest.mark.parametrize("text", ["", "   ", "too short", " nine char"])
def test_an_explanation_says_something(book: Book, unknown: Break, text: str) -> None:
    actor = person(book.desk[Role.OPERATIONS])
    unmoved(lambda: explain_break(unknown.pk, text=text, actor=actor), words="at least 10")


# ---------------------------------------------------------------- closing with a posting


def test_a_receipt_is_client_money_at_once_and_closes_its_break(book: Book, unknown: Break) -> None:
    before = book.balances()
    actor = person(book.desk[Role.OPERATIONS])
    entry = book_receipt(unknown.pk, text=WHY, actor=actor)
    assert book.moved(before) == {"client_bank": "565.09", "unallocated": "-565.09"}
    (usd,) = [row for row in pool_assets() if (row.pool, row.asset) == ("CLIENT", "USD")]
    assert usd.unallocated == Decimal("565.09")
    assert usd.is_whole
    assert Entry.objects.get(pk=entry).effective_at.date() == DAY
    close_break(unknown.pk, entry_id=entry, reason=WHY, actor=actor)
    unknown.refresh_from_db()
    assert (unknown.status, unknown.closing_entry_id, unknown.closing_reason) == (
        "closed", entry, WHY,
    )  # fmt: skip
    assert unknown.closed_at is not None
    assert [event for event, _ in events(unknown)] == ["found", "booked", "closed"]


def test_a_receipt_is_booked_once(book: Book, unknown: Break) -> None:
    actor = person(book.desk[Role.OPERATIONS])
    entry = book_receipt(unknown.pk, text=WHY, actor=actor)
    assert book_receipt(unknown.pk, text=WHY, actor=actor) == entry
    with book.refused("key_names_one_content"):
        book_receipt(unknown.pk, text="Another text altogether", actor=actor)


def test_only_money_that_came_to_a_client_location_is_a_receipt(book: Book) -> None:
    give_statement(book.locations["house_bank"], ("H-1", "10.00"))
    give_statement(book.locations["client_bank"], ("C-1", "-10.00"))
    compare()
    actor = person(book.desk[Role.OPERATIONS])
    for place in ("house_bank", "client_bank"):
        found = the_break(book.locations[place], "missing_in_ledger")
        unmoved(
            lambda pk=found.pk: book_receipt(pk, text=WHY, actor=actor),  # type: ignore[misc]
            words="no receipt",
        )


@pytest.mark.parametrize("amount", ["565.08", "565.10", "1130.18"])
def test_a_posting_of_another_amount_is_no_evidence(
    book: Book, unknown: Break, amount: str
) -> None:
    entry = bank_moves(book, amount, "BC-1")
    actor = person(book.desk[Role.OPERATIONS])
    assert not evidence_for(unknown).is_there
    unmoved(
        lambda: close_break(unknown.pk, entry_id=entry, reason=WHY, actor=actor),
        words="does not explain",
    )


def test_a_posting_at_another_location_is_no_evidence(book: Book, unknown: Break) -> None:
    entry = book.post("unidentified_receipt", ("venue", "565.09"), ("unallocated", "-565.09"))
    actor = person(book.desk[Role.OPERATIONS])
    unmoved(
        lambda: close_break(unknown.pk, entry_id=entry, reason=WHY, actor=actor),
        words="does not explain",
    )


def test_a_posting_that_a_line_confirms_is_no_evidence_for_another_line(book: Book) -> None:
    entry = bank_moves(book, "40.00", "BC-2")
    bank = book.locations["client_bank"]
    give_statement(bank, ("BC-2", "40.00"), ("BC-3", "40.00"))
    compare()
    found = the_break(bank, "missing_in_ledger")
    actor = person(book.desk[Role.OPERATIONS])
    unmoved(
        lambda: close_break(found.pk, entry_id=entry, reason=WHY, actor=actor),
        words="does not explain",
    )


def test_one_posting_closes_one_break(book: Book) -> None:
    bank = book.locations["client_bank"]
    give_statement(bank, ("BC-4", "40.00"), ("BC-5", "40.00"))
    compare()
    first, second = Break.objects.filter(location=bank, kind="missing_in_ledger").order_by("pk")
    entry = bank_moves(book, "40.00", "BC-4")
    actor = person(book.desk[Role.OPERATIONS])
    close_break(first.pk, entry_id=entry, reason=WHY, actor=actor)
    unmoved(
        lambda: close_break(second.pk, entry_id=entry, reason=WHY, actor=actor),
        words="does not explain",
    )


# ---------------------------------------------------------------- closing with a line


def test_a_movement_missing_in_the_statement_closes_with_the_line_that_comes_later(
    book: Book,
) -> None:
    bank = book.locations["client_bank"]
    entry = bank_moves(book, "73.83", "RF-1")
    give_statement(bank)
    compare()
    found = the_break(bank, "missing_in_statement")
    assert found.difference == Decimal("-73.83")
    assert not evidence_for(found).is_there, "its own posting is no evidence for it"
    give_statement(bank, ("RF-1", "73.83"), day=NEXT_DAY)
    compare(NEXT_DAY)
    line = StatementLine.objects.get(statement__business_day=NEXT_DAY)
    actor = person(book.desk[Role.OPERATIONS])
    close_break(found.pk, line_id=line.pk, reason=WHY, actor=actor)
    later = the_break(bank, "missing_in_ledger", day=NEXT_DAY)
    close_break(later.pk, entry_id=entry, reason=WHY, actor=actor)
    assert not Break.objects.unresolved().filter(location=bank).exists()


def test_a_line_too_many_closes_with_the_line_that_takes_it_back(book: Book) -> None:
    bank = book.locations["client_bank"]
    bank_moves(book, "20.00", "T-7")
    give_statement(bank, ("T-7", "20.00"), ("T-7", "20.00"))
    compare()
    found = the_break(bank, "duplicate_in_statement")
    assert found.difference == Decimal("20.00")
    give_statement(bank, ("T-7 reversed", "-20.00"), day=NEXT_DAY)
    line = StatementLine.objects.get(statement__business_day=NEXT_DAY)
    assert [each.pk for each in evidence_for(found).lines] == [line.pk]
    close_break(found.pk, line_id=line.pk, reason=WHY, actor=person(book.desk[Role.OPERATIONS]))
    assert Break.objects.get(pk=found.pk).closing_line == line


def test_an_amount_that_differs_closes_with_the_rest(book: Book) -> None:
    bank = book.locations["client_bank"]
    bank_moves(book, "20.00", "T-8")
    give_statement(bank, ("T-8", "20.50"))
    compare()
    found = the_break(bank, "amount_differs")
    assert evidence_for(found).moved == Decimal("0.50")
    entry = bank_moves(book, "0.50", "T-8 rest")
    close_break(found.pk, entry_id=entry, reason=WHY, actor=person(book.desk[Role.OPERATIONS]))
    assert Break.objects.get(pk=found.pk).status == "closed"


def test_a_rejected_statement_closes_with_the_first_line_of_a_later_one(book: Book) -> None:
    bank = book.locations["client_bank"]
    give_statement(bank, ("X-1", "1.00"), rejection="sum")
    compare()
    found = the_break(bank, "statement_rejected")
    assert found.difference is None
    assert not evidence_for(found).is_there
    give_statement(bank, ("X-2", "2.00"), ("X-3", "3.00"), day=NEXT_DAY)
    (line,) = evidence_for(found).lines
    assert (line.ordinal, line.reference) == (1, "X-2")
    close_break(found.pk, line_id=line.pk, reason=WHY, actor=person(book.desk[Role.OPERATIONS]))
    assert Break.objects.get(pk=found.pk).closing_line == line


# ---------------------------------------------------------------- no other way


def test_a_break_is_closed_with_one_piece_of_evidence_and_a_reason(
    book: Book, unknown: Break
) -> None:
    actor = person(book.desk[Role.OPERATIONS])
    entry = book_receipt(unknown.pk, text=WHY, actor=actor)
    unmoved(lambda: close_break(unknown.pk, reason=WHY, actor=actor), words="Choose one")
    unmoved(
        lambda: close_break(unknown.pk, entry_id=entry, line_id=1, reason=WHY, actor=actor),
        words="Choose one",
    )
    unmoved(
        lambda: close_break(unknown.pk, entry_id=entry, reason="fine", actor=actor),
        words="at least 10",
    )


def test_the_database_closes_no_break_without_evidence(book: Book, unknown: Break) -> None:
    def close() -> None:
        with acting(DESK, reason="A test closes by hand"):
            Break.objects.filter(pk=unknown.pk).update(
                status="closed", closed_at=unknown.events.get().recorded_at, closing_reason=WHY
            )

    with book.refused("break_closes_with_evidence"):
        close()


def test_a_closed_break_stays_as_it_is(book: Book, unknown: Break) -> None:
    actor = person(book.desk[Role.OPERATIONS])
    entry = book_receipt(unknown.pk, text=WHY, actor=actor)
    close_break(unknown.pk, entry_id=entry, reason=WHY, actor=actor)
    for act in (
        lambda: take_break(unknown.pk, seen_owner_id=None, actor=actor),
        lambda: explain_break(unknown.pk, text=WHY, actor=actor),
        lambda: close_break(unknown.pk, entry_id=entry, reason=WHY, actor=actor),
        lambda: book_receipt(unknown.pk, text=WHY, actor=actor),
    ):
        unmoved(act, words="is closed")


def test_what_happened_to_a_break_cannot_be_rewritten(book: Book, unknown: Break) -> None:
    def rewrite() -> None:
        with acting(DESK, reason="A test rewrites"):
            BreakEvent.objects.filter(found=unknown).update(text="something else")

    with pytest.raises(DatabaseError, match="permission denied"):
        rewrite()
    assert events(unknown) == [("found", "")]


# ---------------------------------------------------------------- corrections with four eyes


@pytest.mark.parametrize(
    ("place", "amount", "kind"),
    [
        ("house_bank", "10.00", "write_off"),
        ("house_bank", "-10.00", "write_off"),
        ("insurance_bank", "10.00", "write_off"),
        ("client_bank", "-10.00", "bank_error"),
        ("client_bank", "10.00", None),
    ],
)
def test_who_bears_a_difference_follows_from_the_pool(
    book: Book, place: str, amount: str, kind: str | None
) -> None:
    give_statement(book.locations[place], ("U-1", amount))
    compare()
    found = the_break(book.locations[place], "missing_in_ledger")
    assert correction_kind(found) == kind


def test_a_bank_error_is_agreed_by_two_and_becomes_a_shortfall(book: Book) -> None:
    give_statement(book.locations["client_bank"], ("U-2", "-10.00"))
    compare()
    found = the_break(book.locations["client_bank"], "missing_in_ledger")
    before = book.balances()
    asked = request_correction(
        found, reason=WHY, legal_entity=book.desk.entity,
        actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    assert book.moved(before) == {}
    assert Break.objects.get(pk=found.pk).status == "open"
    checker = person(book.desk[Role.RISK])
    decide(asked, verdict="approved", reason=WHY, actor=checker)
    apply_approved(Approval.objects.get(pk=asked), actor=checker)
    assert book.moved(before) == {"client_bank": "-10", "shortfall": "10"}
    (posting,) = evidence_for(found).postings
    close_break(
        found.pk, entry_id=posting.entry_id, reason=WHY,
        actor=person(book.desk[Role.TREASURY]),
    )  # fmt: skip
    assert Break.objects.get(pk=found.pk).status == "closed"


def test_more_money_at_a_client_bank_is_never_written_off(book: Book, unknown: Break) -> None:
    actor = person(book.desk[Role.OPERATIONS])
    before = digest()
    with pytest.raises(TransferRefusedError, match="cannot be written off"):
        request_correction(unknown, reason=WHY, legal_entity=book.desk.entity, actor=actor)
    assert digest() == before


MODULES = (breaks, corrections, receipts, reconciliation)


def test_every_event_the_page_knows_is_written_somewhere() -> None:
    source = "".join(getsource(module) for module in MODULES)
    assert [event for event in EVENTS if f'"{event}"' not in source] == []
