"""Cases: everything that happened once and in order, notes that stay, holds of two people."""

import csv
import io
import random
import zipfile
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.db.models import Q
from django.test import Client as Browser
from django.urls import reverse

from accounts import people
from accounts.approvals import apply_approved, decide
from accounts.audit import Actor, RefusedError, acting
from accounts.models import (
    Act,
    Approval,
    Client,
    Erasure,
    LegalEntity,
    LegalHold,
    MarginAccount,
    Role,
)
from brokerage.cases.case import (
    close_case,
    holds_of,
    open_case,
    request_case_hold,
    request_case_lifting,
    write_note,
)
from brokerage.cases.case_file import FORMAT, case_file
from brokerage.cases.scope import scope_of
from brokerage.cases.sources import Item
from brokerage.cases.timeline import timeline
from brokerage.models import Case, CaseNote, ReportFile
from brokerage.packed import faults, zipped
from brokerage.purge import accounts_in_cases
from ledger.horizons import current_horizon
from ledger.models import Posting
from ledger.times import at_horizon, one_snapshot, reading_point
from margin.calls.settling import acknowledge_call
from margin.models import CallEvent, MarginCall, MarginResult, Mark, TaskEvent
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.ledger.book import NOON, Book, found_book
from tests.ledger.firm import found_client
from tests.stage import FIRST_DAY, booked_days

WHY = "A client complained about a margin call"


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """Three days of a firm of 30 accounts, and the people who work there."""
    booked_days(tmp_path, accounts=30, seed=21, days=3)
    return found_desk(entity=LegalEntity.objects.get())


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


def compliance(desk: Desk) -> Actor:
    return person(desk[Role.COMPLIANCE])


def case_of(
    desk: Desk, *, account: MarginAccount | None = None, client: Client | None = None,
    first: date = FIRST_DAY, last: date = FIRST_DAY,
) -> Case:  # fmt: skip
    return open_case(
        desk.entity, account=account, client=client, first_day=first, last_day=last,
        subject="Complaint 17", reason=WHY, actor=compliance(desk),
    )  # fmt: skip


def items_of(case: Case) -> list[Item]:
    with one_snapshot():
        return timeline(scope_of(case), reading_point())


def called(day: date) -> list[MarginAccount]:
    """Accounts of clients with a call of a day."""
    calls = MarginCall.objects.filter(business_day=day)
    found = MarginAccount.objects.filter(buckets__scope__calls__in=calls, client__isnull=False)
    return list(found.distinct().order_by("code"))


def wanted_keys(account: MarginAccount, day: date) -> set[str]:
    """What the tables say of an account on a day, counted apart from the timeline."""
    inside = Q(account__bucket__account=account)
    postings = Posting.objects.filter(inside, entry__effective_at__date=day)
    assets = set(
        Posting.objects.filter(inside, entry__effective_at__date__lte=day).values_list(
            "asset_id", flat=True
        )
    )
    marks = Mark.objects.filter(asset__in=assets, as_of__date=day)
    results = MarginResult.objects.filter(scope__bucket__account=account, run__as_of__date=day)
    events = CallEvent.objects.filter(call__scope__bucket__account=account, occurred_at__date=day)
    tasks = TaskEvent.objects.filter(task__scope__bucket__account=account, occurred_at__date=day)
    return {
        *(f"ledger_posting:{p.account_id}/{p.account_seq}" for p in postings),
        *(f"margin_mark:{pk}" for pk in marks.values_list("pk", flat=True)),
        *(f"margin_marginresult:{pk}" for pk in results.values_list("pk", flat=True)),
        *(f"margin_callevent:{pk}" for pk in events.values_list("pk", flat=True)),
        *(f"margin_taskevent:{pk}" for pk in tasks.values_list("pk", flat=True)),
    }


def test_a_random_day_of_an_account_has_every_row_once_and_in_order(
    desk: Desk, chance: random.Random
) -> None:
    accounts = list(MarginAccount.objects.filter(client__isnull=False).order_by("pk"))
    seen_calls = 0
    for account in [*chance.sample(accounts, 3), *called(FIRST_DAY)[:2]]:
        for number in range(3):
            day = FIRST_DAY + timedelta(days=number)
            found = items_of(case_of(desk, account=account, first=day, last=day))
            keys = [item.key for item in found]
            assert len(keys) == len(set(keys))
            rows = {key for key in keys if not key.startswith("accounts_")}
            assert rows == wanted_keys(account, day), (account.code, day)
            assert [(i.at, i.known_at) for i in found] == sorted((i.at, i.known_at) for i in found)
            seen_calls += sum(item.kind == "call" for item in found)
    assert seen_calls


def test_what_an_operator_does_stands_at_the_time_of_what_it_moves(desk: Desk) -> None:
    call = MarginCall.objects.filter(state=MarginCall.State.DELIVERED).order_by("number")[0]
    assert call.scope.bucket is not None
    account = call.scope.bucket.account
    acknowledge_call(
        call.number, actor=person(desk[Role.OPERATIONS]), words="Reached by telephone at noon"
    )
    event = CallEvent.objects.filter(call=call).latest("pk")
    today = event.occurred_at.date()
    found = items_of(case_of(desk, account=account, first=today, last=today))
    acts = [item for item in found if item.kind == "act"]
    assert [item.key for item in acts] == [f"accounts_act:{event.xid}"]
    assert (acts[0].by, acts[0].at) == ("L. Brandt", event.occurred_at)
    assert f"margin_callevent:{event.pk}" in {item.key for item in found}


def test_an_entry_of_two_people_shows_the_request_the_decision_and_both(book: Book) -> None:
    refund = book.post_approved("refund", ("residual", "100"), ("bob", "-100"))
    account = MarginAccount.objects.get(code="bob")
    case = open_case(
        book.desk.entity, account=account, first_day=NOON.date(), last_day=NOON.date(),
        subject="Refund", reason=WHY, actor=person(book.desk[Role.COMPLIANCE]),
    )  # fmt: skip
    found = [item for item in items_of(case) if "refund" in item.text or item.kind == "act"]
    steps = [(item.kind, item.text.split(" ")[0], item.by) for item in found]
    assert steps[:4] == [
        ("approval", "asked", "L. Brandt"), ("act", "Asks", "L. Brandt"),
        ("approval", "approved", "S. Iyer"), ("act", "Decides", "S. Iyer"),
    ]  # fmt: skip
    assert {item.at for item in found} == {NOON}
    assert any(item.address == reverse("ledger:entry", args=[refund]) for item in found)


def test_a_case_of_a_client_has_all_accounts_and_one_of_a_bucket_only_that(book: Book) -> None:
    book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    book.post("deposit", ("client_bank", "6"), ("alice/ISO", "-6"))
    asked = {
        "first_day": NOON.date(), "last_day": NOON.date(), "subject": "Deposits", "reason": WHY,
        "actor": person(book.desk[Role.COMPLIANCE]),
    }  # fmt: skip
    whole = open_case(book.desk.entity, client=book.clients["alice"], **asked)  # type: ignore[arg-type]
    part = open_case(book.desk.entity, bucket=book.buckets["alice/ISO"], **asked)  # type: ignore[arg-type]
    assert posted(whole) == ["alice FREE", "alice ISO"]
    assert posted(part) == ["alice ISO"]


def posted(case: Case) -> list[str]:
    """Where the case's timeline has postings."""
    return [item.where for item in items_of(case) if item.kind == "posting"]


# ---------------------------------------------------------------- who may, and what stays


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.AUDITOR])
def test_compliance_alone_opens_a_case(desk: Desk, role: Role) -> None:
    with pytest.raises(RefusedError) as refused:
        open_case(
            desk.entity, account=called(FIRST_DAY)[0], first_day=FIRST_DAY, last_day=FIRST_DAY,
            subject="Complaint", reason=WHY, actor=person(desk[role]),
        )  # fmt: skip
    assert refused.value.rule == "case_is_opened_by_compliance"
    assert not Case.objects.exists()


def test_a_case_of_another_firms_client_is_refused(desk: Desk) -> None:
    other = found_desk(code="EB-UK")
    with pytest.raises(RefusedError) as refused:
        open_case(
            other.entity, account=called(FIRST_DAY)[0], first_day=FIRST_DAY, last_day=FIRST_DAY,
            subject="Complaint", reason=WHY, actor=person(other[Role.COMPLIANCE]),
        )  # fmt: skip
    assert refused.value.rule == "case_is_of_its_legal_entity"
    assert not Case.objects.exists()


def test_notes_stay_and_a_closed_case_takes_no_more(desk: Desk) -> None:
    case = case_of(desk, account=called(FIRST_DAY)[0])
    note = write_note(case, "The call went out in time.", actor=compliance(desk))
    close_case(case, "Nothing to object to.", actor=compliance(desk))
    for write in (write_note, close_case):
        with pytest.raises(RefusedError) as refused:
            write(case, "One more thing.", actor=compliance(desk))
        assert refused.value.rule in ("case_is_open", "case_is_closed_once")
    with pytest.raises(RefusedError) as refused:
        write_note(case_of(desk, account=called(FIRST_DAY)[0]), " ", actor=compliance(desk))
    assert refused.value.rule == "case_note_says_something"
    assert list(case.notes.order_by("pk").values_list("kind", flat=True)) == ["note", "closed"]
    assert CaseNote.objects.get(pk=note.pk).text == "The call went out in time."


def test_a_hold_of_a_case_stops_erasure_until_two_people_lift_it(book: Book) -> None:
    desk = book.desk
    with acting(Actor.job("test"), reason="A client whom nobody owes anything"):
        client = found_client(desk.entity, "dora")
    case = case_of(desk, client=client)
    agreed(desk, request_case_hold(case, WHY, actor=compliance(desk)), Role.RISK)
    (hold,) = holds_of(case)
    assert hold.reason == f"{case.number}: {WHY}"
    with pytest.raises(RefusedError) as refused:
        erase(desk, client)
    assert refused.value.rule == "held_person_is_kept"
    assert not Erasure.objects.exists()
    lifting = request_case_lifting(case, hold, WHY, actor=person(desk[Role.OPERATIONS]))
    with pytest.raises(RefusedError):
        decide(lifting, verdict="approved", reason=WHY, actor=person(desk[Role.OPERATIONS]))
    assert LegalHold.objects.get(pk=hold.pk).lifted_xid is None
    agreed(desk, lifting, Role.COMPLIANCE)
    assert LegalHold.objects.get(pk=hold.pk).lifted_xid is not None
    erase(desk, client)
    assert Erasure.objects.get().client == client


def erase(desk: Desk, client: Client) -> None:
    """Two people erase a client, for a lawful reason."""
    asked = people.request_erasure(
        client=client, lawful_reason="A court ordered it last week", reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(desk, asked, Role.COMPLIANCE)


def agreed(desk: Desk, asked: object, by: Role) -> None:
    """A second person approves, and it takes effect."""
    approval = Approval.objects.get(pk=asked)
    decide(approval.pk, verdict="approved", reason=WHY, actor=person(desk[by]))
    if Approval.objects.get(pk=asked).used_xid is None:
        apply_approved(Approval.objects.get(pk=asked), actor=person(desk[by]))


def test_an_open_case_keeps_the_notices_of_its_accounts(desk: Desk) -> None:
    account = called(FIRST_DAY)[0]
    case = case_of(desk, account=account)
    assert accounts_in_cases() == {account.pk}
    close_case(case, "Nothing to object to.", actor=compliance(desk))
    assert accounts_in_cases() == set()


# ---------------------------------------------------------------- the file and the screens


def test_the_case_file_is_the_same_each_time_and_shows_every_change(desk: Desk) -> None:
    case = case_of(desk, account=called(FIRST_DAY)[0])
    write_note(case, "The call went out in time.", actor=compliance(desk))
    point = at_horizon(current_horizon("test"))
    one = case_file(case, point=point)
    write_note(case, "Written later.", actor=compliance(desk))
    assert case_file(case, point=point) == one
    assert faults(one, form=FORMAT, what="case file") == []
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("timeline.csv").decode())))
        notes = archive.read("notes.csv").decode()
    assert [row["row"] for row in rows] == [item.key for item in items_of(case)]
    assert "went out in time" in notes
    assert "Written later" not in notes
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    changed = zipped(files | {"notes.csv": files["notes.csv"].replace(b"in time", b"in vain")})
    assert faults(changed, form=FORMAT, what="case file") == ["notes.csv was changed."]


def test_the_screens_open_write_close_and_take_out(desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.COMPLIANCE])
    account = called(FIRST_DAY)[0]
    typed = {
        "account": account.code, "first_day": "2031-03-03", "last_day": "2031-03-05",
        "subject": "Complaint 17", "reason": WHY,
    }  # fmt: skip
    assert browser.post(reverse("brokerage:cases"), typed).status_code == 302
    case = Case.objects.get()
    page = browser.get(reverse("brokerage:case", args=[case.pk])).content.decode()
    assert page.count("<tr>") - 1 == min(200, len(items_of(case)))
    assert "Ask for a hold" in page
    taken = browser.post(reverse("brokerage:case-take-out", args=[case.pk]))
    kept = ReportFile.objects.get(name="case-file")
    assert (taken["X-Content-SHA256"], kept.manifest["case"]) == (kept.sha256, case.number)
    note = {"text": "All in order.", "what": "close"}
    assert browser.post(reverse("brokerage:case-note", args=[case.pk]), note).status_code == 302
    again = browser.post(reverse("brokerage:case-note", args=[case.pk]), note)
    assert (again.status_code, case.notes.count()) == (409, 1)
    assert "the case is closed" in again.content.decode()


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.PRINCIPAL])
def test_others_see_no_case(desk: Desk, role: Role) -> None:
    case = case_of(desk, account=called(FIRST_DAY)[0])
    browser = Browser()
    sign_in(browser, desk[role])
    before = Act.objects.count()
    assert browser.get(reverse("brokerage:cases")).status_code == 403
    assert browser.get(reverse("brokerage:case", args=[case.pk])).status_code == 403
    note = browser.post(reverse("brokerage:case-note", args=[case.pk]), {"text": "x"})
    assert (note.status_code, CaseNote.objects.count()) == (403, 0)
    assert Act.objects.count() == before


def test_an_auditor_reads_and_does_not_write(desk: Desk) -> None:
    case = case_of(desk, account=called(FIRST_DAY)[0])
    browser = Browser()
    sign_in(browser, desk[Role.AUDITOR])
    assert browser.get(reverse("brokerage:case", args=[case.pk])).status_code == 200
    note = browser.post(reverse("brokerage:case-note", args=[case.pk]), {"text": "x"})
    assert (note.status_code, CaseNote.objects.count()) == (403, 0)


def test_what_cannot_be_opened_is_said_and_what_was_typed_stays(desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.COMPLIANCE])
    typed = {
        "account": "nobody", "first_day": "2031-03-03", "last_day": "2031-03-05",
        "subject": "Complaint 17", "reason": WHY,
    }  # fmt: skip
    answer = browser.post(reverse("brokerage:cases"), typed)
    assert (answer.status_code, Case.objects.count()) == (422, 0)
    assert "there is no account nobody" in answer.content.decode()
    assert 'value="Complaint 17"' in answer.content.decode()
