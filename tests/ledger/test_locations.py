"""Locations and letters: opened, changed and closed by two people, used while a letter is good."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import (
    AskRefusedError,
    apply_approved,
    decide,
    describe,
    request_approval,
)
from accounts.audit import acting
from accounts.models import Approval, AuditRow, Role
from ledger.letter_documents import LetterDraft, store_letter
from ledger.letters import letter_state
from ledger.locations import (
    request_change,
    request_closing,
    request_letter,
    request_opening,
)
from ledger.models import Letter, LetterDocument, Location, LocationChange
from ledger.posting import AccountKey, open_accounts
from ledger.screens.locations import desk_today
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import PDF, WHY, agreed, file_letter, hash_of, letter, refused
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.raw import Owner, insert, refused_by_hand, run

SIGNED = date(2026, 1, 5)


def opening(book: Book, code: str = "bank:new", **changed: Any) -> UUID:
    """Somebody asks for a new bank of the client pool."""
    said: dict[str, Any] = {
        "pool": book.pools["CLIENT"], "code": code, "kind": "bank",
        "carries": [book.assets["USD"]], "particulars": {"account_number": "77"},
        "letter": letter(SIGNED), "reason": WHY, "actor": person(book.desk[Role.OPERATIONS]),
    }  # fmt: skip
    return request_opening(**(said | changed))


def test_a_client_location_is_opened_with_its_letter(book: Book) -> None:
    pk = opening(book)
    said = describe(Approval.objects.get(pk=pk))
    assert ("Account number", "77") in said.facts
    assert (said.fields[0].label, said.fields[0].after) == ("Letter", "L-2")
    assert not Location.objects.filter(code="bank:new").exists(), "nothing before the second person"
    agreed(pk, book.desk[Role.TREASURY])
    place = Location.objects.get(code="bank:new")
    assert (place.letter_reference, place.letter_signed_on) == ("L-2", SIGNED)
    kept = Letter.objects.get(location=place)
    assert kept.document is not None
    assert (bytes(kept.document.content), kept.document.pk) == (PDF, hash_of(PDF))
    assert letter_state(place, today=desk_today()).tone == "ok"
    with acting(DESK, reason="Money comes there"):
        key = AccountKey(place.pool_id, book.assets["USD"].pk, "custody", location_id=place.pk)
        book.ids["new"] = open_accounts([key])[key]
    book.post("deposit", ("new", "5"), ("alice", "-5"))


def test_without_a_letter_no_client_location_is_asked_for(book: Book) -> None:
    with pytest.raises(AskRefusedError) as refusal:
        opening(book, letter=None)
    assert refusal.value.field == "document"
    with pytest.raises(AskRefusedError):
        opening(book, code="client_bank")
    assert not Approval.objects.exists()
    pk = opening(book, code="house:new", pool=book.pools["HOUSE"], letter=None)
    agreed(pk, book.desk[Role.TREASURY])
    assert Location.objects.get(code="house:new").title == "own"


@pytest.mark.parametrize("signed", [date(2199, 1, 1)])
def test_a_letter_counts_once_it_is_signed(book: Book, signed: date) -> None:
    pk = opening(book, letter=letter(signed))
    with refused("letter_is_signed"):
        agreed(pk, book.desk[Role.TREASURY])


def test_a_letter_that_has_run_out_opens_nothing(book: Book) -> None:
    pk = opening(book, letter=letter(SIGNED, SIGNED + timedelta(days=1)))
    with refused("client_location_is_acknowledged"):
        agreed(pk, book.desk[Role.TREASURY])


def test_who_asked_opens_nothing(book: Book) -> None:
    pk = opening(book)
    with refused("approval_is_not_ones_own"):
        agreed(pk, book.desk[Role.OPERATIONS])


def test_no_location_is_opened_or_changed_by_hand(book: Book, owner: Owner) -> None:
    row = {
        "code": "by hand", "pool_id": book.pools["CLIENT"].pk, "kind": "bank", "title": "omnibus",
        "account_number": "", "venue": "", "chain": "", "letter_reference": "L",
    }  # fmt: skip
    for changed in ({}, {"pool_id": book.pools["HOUSE"].pk, "title": "own"}):
        with refused_by_hand(book, "location_is_opened_by_two"):
            run(owner, insert("ledger_location", row | changed))
    place = book.locations["client_bank"].pk
    for rule, statement in (
        ("location_is_changed_by_two", "ledger_location SET account_number = '1'"),
        ("location_is_changed_by_two", "ledger_location SET keeper = 'Another bank'"),
        ("location_is_closed_by_two", "ledger_location SET closed_on = '2026-01-01'"),
        ("location_shows_its_letter", "ledger_location SET letter_expires_on = '2099-01-01'"),
        ("location_use_follows_its_letters", "ledger_locationuse SET usable_until = '2099-01-01'"),
        ("location_use_follows_its_letters", "ledger_locationuse SET closed_from = '2020-01-01'"),
    ):
        with refused_by_hand(book, rule):
            run(owner, f"UPDATE {statement}")
    letter_row = {
        "location_id": place, "reference": "L-9", "signed_on": SIGNED, "expires_on": None,
        "document_id": None, "is_declared": True,
    }  # fmt: skip
    with refused_by_hand(book, "letter_is_filed_by_two"):
        run(owner, insert("ledger_letter", letter_row))
    change = {"location_id": place, "changed_on": SIGNED, "fields": "keeper"}
    with refused_by_hand(book, "location_change_is_its_own"):
        run(owner, insert("ledger_locationchange", change))


def test_a_document_is_its_hash(book: Book, owner: Owner) -> None:
    right = {"sha256": hash_of(b"x"), "name": "n", "media_type": "text/plain", "content": b"x"}
    with refused_by_hand(book, "document_is_its_hash"):
        run(owner, insert("ledger_letterdocument", right | {"content": b"y"}))
    run(owner, insert("ledger_letterdocument", right))
    filed = {
        "location_id": book.locations["client_bank"].pk, "reference": "L", "expires_on": None,
        "signed_on": SIGNED, "document_id": None, "is_declared": False,
    }  # fmt: skip
    with refused_by_hand(book, "letter_has_a_document_and_a_date"):
        run(owner, insert("ledger_letter", filed))
    over = {"document_id": hash_of(b"x"), "expires_on": SIGNED - timedelta(days=1)}
    with refused_by_hand(book, "letter_expires_after_it_is_signed"):
        run(owner, insert("ledger_letter", filed | over))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PDF, "application/pdf"), (b"plain words", "text/plain"), (b"\xff\xd8\xff1", "image/jpeg")],
)
def test_a_letter_is_kept_as_what_it_is(book: Book, content: bytes, kind: str) -> None:
    with acting(DESK, reason="A test keeps a letter"):
        said = store_letter(letter(SIGNED, content=content))
        assert store_letter(letter(SIGNED, content=content)) == said, "kept once"
    assert LetterDocument.objects.get(pk=said["document_id"]).media_type == kind
    with pytest.raises(AskRefusedError), acting(DESK, reason="Not a letter"):
        store_letter(LetterDraft("L", SIGNED, None, "x", b"\0\1\2" + content))


# ---------------------------------------------------------------- in use


def deposit_on(book: Book, day: date) -> int:
    at = datetime.combine(day, NOON.timetz())
    return book.post("deposit", ("client_bank", "5"), ("alice", "-5"), at=at)


def test_nothing_comes_to_a_location_whose_letter_has_run_out(book: Book) -> None:
    last = date(2026, 2, 10)
    file_letter(book.desk, book.locations["client_bank"], SIGNED, last)
    deposit_on(book, last)
    with refused("client_location_is_acknowledged"):
        deposit_on(book, last + timedelta(days=1))
    late = NOON.replace(day=12)
    book.post("withdrawal", ("alice", "5"), ("client_bank", "-5"), at=late)
    book.post("deposit", ("carol_bank", "5"), ("carol", "-5"), at=late)
    file_letter(book.desk, book.locations["client_bank"], last + timedelta(days=1))
    deposit_on(book, last + timedelta(days=1))


def test_a_gap_between_two_letters_stays_a_gap(book: Book) -> None:
    place = book.locations["client_bank"]
    file_letter(book.desk, place, SIGNED, date(2026, 2, 10))
    file_letter(book.desk, place, date(2026, 2, 20))
    for day, is_good in ((9, True), (10, True), (11, False), (19, False), (20, True)):
        if is_good:
            deposit_on(book, date(2026, 2, day))
        else:
            with refused("client_location_is_acknowledged"):
                deposit_on(book, date(2026, 2, day))


def test_a_change_makes_the_letter_void_after_120_days(book: Book) -> None:
    place = book.locations["client_bank"]
    file_letter(book.desk, place, SIGNED)
    pk = request_change(
        place, particulars={"account_number": "4711", "keeper": "First Bank of Elsewhere"},
        reason=WHY, actor=person(book.desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(pk, book.desk[Role.TREASURY])
    changed = LocationChange.objects.get()
    assert changed.fields == "account_number, keeper"
    place.refresh_from_db()
    last = changed.changed_on + timedelta(days=120)
    state = letter_state(place, today=last)
    assert (state.word, state.good_until) == ("void after a change in 0 d", last)
    assert letter_state(place, today=last + timedelta(days=1)).tone == "liq"
    deposit_on(book, last)
    with refused("client_location_is_acknowledged"):
        deposit_on(book, last + timedelta(days=1))
    file_letter(book.desk, place, changed.changed_on)
    deposit_on(book, last + timedelta(days=1))


def test_a_closed_location_holds_nothing_and_moves_nothing(book: Book) -> None:
    place = book.locations["house_savings"]
    with pytest.raises(AskRefusedError, match=r"700\.00 USD"):
        request_closing(
            place, closed_on=NOON.date(), reason=WHY, actor=person(book.desk[Role.OPERATIONS])
        )
    book.post("custody_move", ("house_bank", "700"), ("house_savings", "-700"))
    pk = request_closing(
        place, closed_on=date(2026, 2, 6), reason=WHY, actor=person(book.desk[Role.OPERATIONS])
    )
    book.post("custody_move", ("house_bank", "-1"), ("house_savings", "1"))
    checker = person(book.desk[Role.TREASURY])
    approved = decide(pk, verdict="approved", reason=WHY, actor=checker)
    with refused("closed_location_is_empty"):
        apply_approved(approved, actor=checker)
    book.post("custody_move", ("house_bank", "1"), ("house_savings", "-1"))
    apply_approved(approved, actor=checker)
    with refused("location_is_open"):
        book.post(
            "custody_move", ("house_bank", "-1"), ("house_savings", "1"),
            at=datetime(2026, 2, 6, 9, tzinfo=UTC),
        )  # fmt: skip


def test_what_a_set_up_declares_is_recorded_as_declared(book: Book) -> None:
    declared = Letter.objects.get(location=book.locations["client_bank"])
    assert (declared.is_declared, declared.reference) == (True, "letter client_bank")
    assert declared.document is None
    state = letter_state(book.locations["client_bank"], today=desk_today())
    assert (state.tone, state.word) == ("watch", "declared, letter not on file")
    assert not Letter.objects.filter(location=book.locations["house_bank"]).exists()


# ---------------------------------------------------------------- on the screen


def browser_of(book: Book, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, book.desk[role])
    return browser


def test_a_letter_is_handed_in_decided_and_read_again(book: Book) -> None:
    place = book.locations["client_bank"]
    browser = browser_of(book, Role.OPERATIONS)
    answer = browser.post(
        reverse("ledger:letter-new", args=[place.pk]),
        {
            "letter_reference": "ACK-1", "signed_on": "2026-01-05", "expires_on": "",
            "document": SimpleUploadedFile("ack.pdf", PDF), "reason": WHY,
        },
    )  # fmt: skip
    assert answer.status_code == 302
    asked = Approval.objects.get()
    page = browser.get(reverse("ledger:location", args=["client_bank"])).content.decode()
    assert "Waits for a second person: file an acknowledgement letter" in page
    document = reverse("ledger:letter-document", args=[hash_of(PDF)])
    read = browser_of(book, Role.COMPLIANCE).get(document)
    assert (read.content, read["Content-Type"]) == (PDF, "application/pdf")
    assert read["Content-Disposition"].startswith("attachment")
    decided = browser_of(book, Role.COMPLIANCE).post(
        reverse("accounts:approval-decide", args=[asked.pk]),
        {"verdict": "approved", "reason": WHY},
    )
    assert decided.status_code == 302
    page = browser.get(reverse("ledger:location", args=["client_bank"])).content.decode()
    assert "ACK-1" in page
    assert "Waits for a second person" not in page
    trail = AuditRow.objects.filter(table_name="ledger_location", operation="update").latest("pk")
    assert trail.after is not None
    assert trail.after["letter_reference"] == "ACK-1"


def test_the_conduct_page_lists_letters_thirty_days_before(book: Book) -> None:
    place = book.locations["client_bank"]
    page = reverse("ledger:conduct")
    for days, is_listed in ((31, False), (30, True)):
        file_letter(
            book.desk,
            place,
            SIGNED + timedelta(days=40 - days),
            desk_today() + timedelta(days=days),
        )
        shown = browser_of(book, Role.COMPLIANCE).get(page)
        codes = [found.code for found, _ in shown.context["letters"]]
        assert ("client_bank" in codes) is is_listed
    assert "expires in 30 d" in shown.content.decode()


def test_who_may_not_ask_gets_no_form(book: Book) -> None:
    place = book.locations["client_bank"].pk
    for name, arguments in (
        ("location-new", []), ("location-change", [place]), ("location-close", [place]),
        ("letter-new", [place]),
    ):  # fmt: skip
        address = reverse(f"ledger:{name}", args=arguments)
        assert browser_of(book, Role.OPERATIONS).get(address).status_code == 200
        assert browser_of(book, Role.AUDITOR).get(address).status_code == 403
        assert browser_of(book, Role.AUDITOR).post(address, {"reason": WHY}).status_code == 403
        assert browser_of(book, Role.OPERATIONS).post(address, {}).status_code == 422
    assert not Approval.objects.exists()


def test_a_letter_of_the_firms_own_location_is_not_filed(book: Book) -> None:
    with pytest.raises(AskRefusedError):
        request_letter(
            book.locations["house_bank"], letter=letter(SIGNED), reason=WHY,
            actor=person(book.desk[Role.OPERATIONS]),
        )  # fmt: skip
    assert not LetterDocument.objects.exists()


def test_a_location_is_of_the_firm_that_asks(book: Book) -> None:
    asked = Approval.objects.get(pk=opening(book, code="other:new", pool=book.pools["HOUSE"]))
    payload = asked.payload
    payload["row"] |= {"code": "other:stolen", "pool_id": book.pools["OTHER"].pk}
    with acting(person(book.desk[Role.OPERATIONS]), reason=WHY):
        pk = request_approval(
            legal_entity_id=book.desk.entity.pk, action="location.open", subject="x",
            payload=payload, reason=WHY, records=("ledger_pool:1",),
        )  # fmt: skip
    with refused("location_is_of_the_firm"):
        agreed(pk, book.desk[Role.TREASURY])
    with (
        refused("request_names_a_record_once"),
        acting(person(book.desk[Role.OPERATIONS]), reason=WHY),
    ):
        request_approval(
            legal_entity_id=book.desk.entity.pk, action="location.open", subject="x",
            payload=payload, reason=WHY, records=("ledger_pool:1", "ledger_pool:1"),
        )  # fmt: skip
