"""Limits of roles: each request, each day, at once; set by two people and never reaching back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import Client as Browser
from django.urls import reverse
from psycopg import IsolationLevel

from accounts.approvals import AskRefusedError, describe, request_approval
from accounts.audit import acting
from accounts.limits import AMOUNTS, limits_in_force, request_limit, utc_today
from accounts.models import Approval, ApprovalLimit, LimitUse, Role
from tests.accounts.people import person, session_of, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import WHY, agreed, refused
from tests.ledger.book import Book, found_book
from tests.ledger.raw import insert, refused_by_hand, run

Connect = Callable[[str], Any]
NONE: dict[str, Decimal | None] = dict.fromkeys(AMOUNTS)


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


def asked(book: Book, role: Role, asset: str = "USD", **amounts: str) -> UUID:
    said = NONE | {name: Decimal(amount) for name, amount in amounts.items()}
    return request_limit(
        legal_entity=book.desk.entity, role=role.value, asset=asset, effective_from=utc_today(),
        amounts=said, reason=WHY, actor=person(book.desk[Role.RISK]),
    )  # fmt: skip


def set_limit(book: Book, role: Role, asset: str = "USD", **amounts: str) -> None:
    agreed(asked(book, role, asset, **amounts), book.desk[Role.COMPLIANCE])


def journal(book: Book, amount: str) -> Any:
    """Firm money in, which needs two people."""
    return book.draft("manual_journal", ("house_savings", amount), ("house_equity", f"-{amount}"))


def test_every_role_begins_without_a_limit(book: Book) -> None:
    limits = limits_in_force(book.desk.entity, day=utc_today())
    assert {each.limit.role for each in limits} == {
        "operations", "risk", "treasury", "compliance", "principal",
    }  # fmt: skip
    assert all(each.is_default and each.limit.approve_day is None for each in limits)
    book.approve(journal(book, "1000000"))


def test_more_than_a_request_allows_is_not_asked_for(book: Book) -> None:
    set_limit(book, Role.OPERATIONS, request_each="100")
    book.request(journal(book, "100"))
    with refused("limit_covers_the_amount"):
        book.request(journal(book, "100.01"))
    book.request(journal(book, "100.01"), maker=Role.TREASURY)


def test_more_than_a_role_agrees_to_needs_a_role_with_a_higher_limit(book: Book) -> None:
    set_limit(book, Role.TREASURY, approve_each="100")
    request = book.request(journal(book, "100.01"))
    with refused("limit_covers_the_amount"):
        book.decide(request, checker=Role.TREASURY)
    assert Approval.objects.get(pk=request).decision == ""
    book.decide(request, checker=Role.RISK)
    (use,) = LimitUse.objects.filter(approval=request, side="approve")
    assert (use.role, use.asset, use.amount) == ("risk", "USD", Decimal("100.01"))


def test_a_limit_is_of_its_asset(book: Book) -> None:
    set_limit(book, Role.OPERATIONS, "BTC", request_each="1")
    book.request(journal(book, "5000"))
    set_limit(book, Role.OPERATIONS, "", request_each="10")
    with refused("limit_covers_the_amount"):
        book.request(journal(book, "10.01"))


def test_legs_that_are_split_are_one_amount(book: Book) -> None:
    set_limit(book, Role.OPERATIONS, request_each="100")
    split = book.draft(
        "manual_journal", ("house_savings", "60"), ("house_bank", "60"), ("house_equity", "-120")
    )
    with refused("limit_covers_the_amount"):
        book.request(split)


def test_the_day_counts_everybody_of_the_role(book: Book) -> None:
    set_limit(book, Role.TREASURY, approve_each="60", approve_day="100")
    for amount in ("60", "40"):
        book.approve(journal(book, amount))
    request = book.request(journal(book, "0.01"))
    with refused("limit_covers_the_amount"):
        book.decide(request, checker=Role.TREASURY)


def test_what_is_rejected_gives_the_day_back_to_who_asks(book: Book) -> None:
    set_limit(book, Role.OPERATIONS, request_each="100", request_day="100")
    first = book.request(journal(book, "100"))
    with refused("limit_covers_the_amount"):
        book.request(journal(book, "1"))
    book.decide(first, checker=Role.TREASURY, decision="rejected")
    book.request(journal(book, "100"))


def test_if_nobody_else_may_agree_to_as_much_it_is_not_asked_for(book: Book) -> None:
    for role in (Role.TREASURY, Role.RISK, Role.COMPLIANCE):
        set_limit(book, role, approve_each="100")
    book.request(journal(book, "100"))
    with refused("approval_needs_two_people"):
        book.request(journal(book, "100.01"))


def test_a_role_without_a_row_may_nothing(book: Book, superuser: Any) -> None:
    with superuser.transaction():
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("ALTER TABLE accounts_approvallimit DISABLE TRIGGER USER")
        superuser.execute("DELETE FROM accounts_approvallimit WHERE role = 'operations'")
        for trigger in ("history_is_append_only", "change_has_an_actor", "limit_is_changed_by_two"):
            superuser.execute(f"ALTER TABLE accounts_approvallimit ENABLE ALWAYS TRIGGER {trigger}")
    with refused("limit_covers_the_amount"):
        book.request(journal(book, "0.01"))
    book.request(journal(book, "0.01"), maker=Role.TREASURY)


def test_two_at_once_do_not_pass_a_days_limit_together(book: Book, connect: Connect) -> None:
    set_limit(book, Role.TREASURY, approve_each="60", approve_day="100")
    requests = [book.request(journal(book, "60")) for _ in range(8)]
    keys = [session_of(book.desk[Role.TREASURY]) for _ in requests]
    connections = [connect("runtime") for _ in requests]

    def decides(place: int) -> str:
        try:
            with connections[place].transaction():
                connections[place].execute(
                    "SELECT accounts.act(NULL, %s, 'test', '', 'decides')", [keys[place]]
                )
                connections[place].execute(
                    "SELECT accounts.decide_approval(%s, 'approved', %s)", [requests[place], WHY]
                )
        except Exception as error:
            return str(error.diag.constraint_name)  # type: ignore[attr-defined]
        return "approved"

    with ThreadPoolExecutor(8) as pool:
        said = sorted(pool.map(decides, range(len(requests))))
    assert said == ["approved", *["limit_covers_the_amount"] * 7]


# ---------------------------------------------------------------- who sets them


def test_a_limit_is_set_by_two_people_and_shown_before_and_after(book: Book) -> None:
    pk = asked(book, Role.TREASURY, approve_each="100", approve_day="500")
    fields = {f.label: (f.before, f.after) for f in describe(Approval.objects.get(pk=pk)).fields}
    assert fields["Agrees to, in one request"] == ("no limit", "100")
    with refused("approval_is_not_ones_own"):
        agreed(pk, book.desk[Role.RISK])
    agreed(pk, book.desk[Role.COMPLIANCE])
    row = ApprovalLimit.objects.get(legal_entity=book.desk.entity)
    assert (row.role, row.asset, row.approve_each) == ("treasury", "USD", Decimal(100))


def test_a_limit_is_not_set_by_hand_nor_for_yesterday(book: Book, owner: Any) -> None:
    row = {
        "legal_entity_id": book.desk.entity.pk, "role": "treasury", "asset": "USD",
        "effective_from": utc_today(), "approve_each": 10**9,
    }  # fmt: skip
    for changed in ({}, {"legal_entity_id": None}):
        with refused_by_hand(book, "limit_is_changed_by_two"):
            run(owner, insert("accounts_approvallimit", row | changed))
    with refused_by_hand(book, "limit_is_not_negative"):
        run(owner, insert("accounts_approvallimit", row | {"approve_each": -1}))
    with pytest.raises(AskRefusedError):
        request_limit(
            legal_entity=book.desk.entity, role="treasury", asset="", amounts=NONE, reason=WHY,
            effective_from=utc_today() - timedelta(days=1), actor=person(book.desk[Role.RISK]),
        )  # fmt: skip
    with pytest.raises(AskRefusedError):
        asked(book, Role.TREASURY, approve_each="100", approve_day="50")
    assert not Approval.objects.exists()


def test_a_limit_does_not_reach_back(book: Book) -> None:
    with acting(person(book.desk[Role.RISK]), reason=WHY):
        pk = request_approval(
            legal_entity_id=book.desk.entity.pk, action="limit.change", subject="yesterday",
            payload={"role": "risk", "asset": "", "effective_from": "2020-01-01", **NONE},
            reason=WHY,
        )  # fmt: skip
    with refused("limit_begins_today_or_later"):
        agreed(pk, book.desk[Role.COMPLIANCE])


def test_a_second_row_of_one_day_is_refused(book: Book) -> None:
    set_limit(book, Role.TREASURY, approve_each="100")
    pk = asked(book, Role.TREASURY, approve_each="200")
    with refused("limit_is_set_once_a_day"):
        agreed(pk, book.desk[Role.COMPLIANCE])


def test_nobody_counts_towards_a_limit_by_hand(book: Book, owner: Any) -> None:
    request = book.request(journal(book, "10"))
    row = {
        "approval_id": request, "side": "approve", "operator_id": book.desk[Role.RISK].pk,
        "legal_entity_id": book.desk.entity.pk, "role": "risk", "asset": "USD", "amount": 1,
        "on_day": datetime.now(tz=UTC).date(),
    }  # fmt: skip
    with refused_by_hand(book, "limit_use_counts_itself"):
        run(owner, insert("accounts_limituse", row))
    with refused_by_hand(book, "limit_is_used_once_a_side"):
        run(owner, insert("accounts_limituse", row | {"side": "request"}))


def test_a_record_is_named_by_who_asks(book: Book, owner: Any) -> None:
    request = book.request(journal(book, "10"))
    named = {"approval_id": request, "record": "ledger_entry:1"}
    with refused_by_hand(book, "session_is_live"):
        run(owner, insert("accounts_approvalrecord", named))
    key = session_of(book.desk[Role.RISK])
    before = owner.execute("SELECT count(*) FROM accounts_approvalrecord").fetchone()
    with raw_refused("record_is_named_by_the_maker"), act(owner, key=key):
        owner.execute(*insert("accounts_approvalrecord", named))
    assert owner.execute("SELECT count(*) FROM accounts_approvalrecord").fetchone() == before


def test_the_page_shows_limits_and_asks_for_others(book: Book) -> None:
    browser = Browser()
    sign_in(browser, book.desk[Role.RISK])
    assert b"no limit" in browser.get(reverse("accounts:limits")).content
    said = {
        "role": "treasury", "asset": "USD", "effective_from": utc_today().isoformat(),
        "approve_each": "100", "approve_day": "", "request_each": "", "request_day": "",
        "reason": WHY,
    }  # fmt: skip
    assert browser.post(reverse("accounts:limit-new"), said).status_code == 302
    page = browser.get(reverse("accounts:limits")).content.decode()
    assert "Waits for a second person" in page
    auditor = Browser()
    sign_in(auditor, book.desk[Role.AUDITOR])
    assert auditor.get(reverse("accounts:limits")).status_code == 200
    assert auditor.post(reverse("accounts:limit-new"), said).status_code == 403


def test_a_days_limit_is_counted_as_it_stands(book: Book, connect: Connect) -> None:
    set_limit(book, Role.TREASURY, approve_each="60", approve_day="100")
    request = book.request(journal(book, "60"))
    runtime, key = connect("runtime"), session_of(book.desk[Role.TREASURY])
    runtime.isolation_level = IsolationLevel.REPEATABLE_READ
    with raw_refused("limit_is_counted_as_it_stands"), act(runtime, key=key):
        runtime.execute("SELECT accounts.decide_approval(%s, 'approved', %s)", [request, WHY])
    assert Approval.objects.get(pk=request).decision == ""
