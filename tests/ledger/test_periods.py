"""Closed periods: closed by their roles over days that are done, reopened with four eyes."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from accounts.approvals import apply_approved, decide, describe
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Role
from brokerage.models import BusinessDay
from ledger.back_dating import back_dated
from ledger.horizons import take_horizon
from ledger.models import DayClose, PeriodEvent
from ledger.periods import close_period, closed_through, history, request_reopening
from tests.accounts.people import person
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.raw import Raw, insert, refused_by_hand, run

DAY = timedelta(days=1)
WHY = "February is reconciled and signed off"
FEBRUARY_END = date(2026, 2, 28)
Connect = Callable[[str], psycopg.Connection[Any]]


def close(book: Book, through: date, *, role: Role = Role.TREASURY, reason: str = WHY) -> int:
    return close_period(
        book.desk.entity.pk, through=through, reason=reason, actor=person(book.desk[role])
    ).pk


def deposit(book: Book, on: date) -> int:
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    return book.post("deposit", ("client_bank", "10"), ("alice", "-10"), at=at)


def asked(book: Book, to: date | None) -> Approval:
    pk = request_reopening(
        book.desk.entity,
        reopens_to=to,
        reason="The auditor found a missing receipt",
        actor=person(book.desk[Role.TREASURY]),
    )
    return Approval.objects.get(pk=pk)


def agreed(book: Book, approval: Approval) -> Approval:
    checker = person(book.desk[Role.COMPLIANCE])
    return decide(approval.pk, verdict="approved", reason=WHY, actor=checker)


# ---------------------------------------------------------------- closing


def test_an_entry_of_a_closed_period_is_refused_and_one_after_it_is_not(book: Book) -> None:
    close(book, FEBRUARY_END)
    for day in (date(2026, 2, 5), FEBRUARY_END):
        with book.refused("period_is_open"):
            deposit(book, day)
    deposit(book, date(2026, 3, 1))


def test_a_closed_period_binds_entries_written_by_hand(book: Book, owner: Any) -> None:
    close(book, FEBRUARY_END)
    raw = Raw("deposit", (("client_bank", "10"), ("alice", "-10")))
    with refused_by_hand(book, "period_is_open"):
        raw.write(owner, book)


def test_a_closing_binds_the_books_of_its_own_firm_alone(book: Book) -> None:
    close(book, FEBRUARY_END)
    book.post("house_income", ("other_bank", "1"), ("other_equity", "-1"), at=NOON)
    with book.refused("period_is_open"):
        book.post("house_income", ("house_bank", "1"), ("house_equity", "-1"), at=NOON)


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.RISK, Role.AUDITOR, Role.ADMINISTRATOR])
def test_other_roles_do_not_close_periods(book: Book, role: Role) -> None:
    actor = person(book.desk[role])
    with book.refused("period_is_closed_by_its_roles"):
        close_period(book.desk.entity.pk, through=FEBRUARY_END, reason=WHY, actor=actor)


def test_a_closing_goes_forward(book: Book) -> None:
    close(book, FEBRUARY_END)
    actor = person(book.desk[Role.COMPLIANCE])
    for through in (FEBRUARY_END, FEBRUARY_END - DAY):
        with book.refused("period_closes_forward"):
            close_period(book.desk.entity.pk, through=through, reason=WHY, actor=actor)
    close(book, FEBRUARY_END + DAY)
    assert closed_through(book.desk.entity.pk) == FEBRUARY_END + DAY


def test_a_day_that_is_not_over_is_not_closed(book: Book) -> None:
    actor = person(book.desk[Role.TREASURY])
    today = datetime.now(tz=UTC).date()
    with book.refused("period_is_over"):
        close_period(book.desk.entity.pk, through=today, reason=WHY, actor=actor)


def test_an_unfinished_day_keeps_its_period_open(book: Book) -> None:
    day = business_day(book, date(2026, 2, 27))
    actor = person(book.desk[Role.TREASURY])
    with book.refused("period_closes_over_done_days"):
        close_period(book.desk.entity.pk, through=FEBRUARY_END, reason=WHY, actor=actor)
    close(book, date(2026, 2, 26))
    with acting(DESK, reason="The day is done"):
        BusinessDay.objects.filter(pk=day.pk).update(result={}, closed_at=NOON)
    close(book, FEBRUARY_END)


def test_a_closing_has_a_reason(book: Book) -> None:
    actor = person(book.desk[Role.TREASURY])
    with book.refused("period_has_a_reason"):
        close_period(book.desk.entity.pk, through=FEBRUARY_END, reason="done", actor=actor)


def business_day(book: Book, day: date) -> BusinessDay:
    with acting(DESK, reason="A test opens a day"):
        return BusinessDay.objects.create(
            legal_entity=book.desk.entity, day=day, as_of=NOON, content_sha256="0", folder="x"
        )


def test_a_day_closes_once_it_is_done(book: Book) -> None:
    business_day(book, date(2026, 2, 27))
    with book.refused("day_close_is_of_a_done_day"), acting(DESK, reason="Not done"):
        DayClose.objects.create(
            legal_entity=book.desk.entity, day=date(2026, 2, 27), horizon=take_horizon("test")
        )


def test_a_day_closes_once(book: Book) -> None:
    day = business_day(book, date(2026, 2, 27))
    with acting(DESK, reason="The day is done"):
        BusinessDay.objects.filter(pk=day.pk).update(result={}, closed_at=NOON)
        DayClose.objects.create(
            legal_entity=book.desk.entity, day=day.day, horizon=take_horizon("test")
        )
    with book.refused("day_closes_once"), acting(DESK, reason="Again"):
        DayClose.objects.create(
            legal_entity=book.desk.entity, day=day.day, horizon=take_horizon("test")
        )


def test_an_entry_of_a_day_that_is_closed_is_late(book: Book) -> None:
    day = business_day(book, date(2026, 2, 27))
    with acting(DESK, reason="The day is done"):
        BusinessDay.objects.filter(pk=day.pk).update(result={}, closed_at=NOON)
        DayClose.objects.create(
            legal_entity=book.desk.entity, day=day.day, horizon=take_horizon("test")
        )
    late = deposit(book, date(2026, 2, 27))
    on_time = deposit(book, date(2026, 2, 28))
    assert [row.pk for row in back_dated([book.desk.entity.pk])] == [late]
    assert late != on_time


def test_an_entry_that_is_being_posted_is_in_the_book_before_the_period_closes(
    book: Book, connect: Connect
) -> None:
    """The closing waits for whoever posts; who posts after it is refused."""
    writer = connect("runtime")
    writer.execute("BEGIN")
    writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'in flight')")
    post(writer, book, key="first")
    closing = threading.Thread(target=closed_in_a_thread, args=(book,))
    closing.start()
    wait_for_the_lock(connect)
    late = connect("runtime")
    refused: list[str] = []
    second = threading.Thread(target=post_alone, args=(late, book, refused))
    second.start()
    assert closed_through(book.desk.entity.pk) is None
    writer.execute("COMMIT")
    closing.join(timeout=60)
    second.join(timeout=60)
    assert closed_through(book.desk.entity.pk) == FEBRUARY_END
    assert refused == ["period_is_open"]


def closed_in_a_thread(book: Book) -> None:
    try:
        close(book, FEBRUARY_END)
    finally:
        connections.close_all()


def post(writer: psycopg.Connection[Any], book: Book, *, key: str) -> None:
    draft = book.draft("deposit", ("client_bank", "10"), ("alice", "-10"), key=key)
    writer.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps([draft.content()])])


def post_alone(writer: psycopg.Connection[Any], book: Book, refused: list[str]) -> None:
    try:
        with writer.transaction():
            writer.execute(
                "SELECT accounts.act('system:command:test', NULL, 'command', '', 'late')"
            )
            post(writer, book, key="second")
    except psycopg.Error as error:
        refused.append(error.diag.constraint_name or str(error))


def wait_for_the_lock(connect: Connect) -> None:
    """Until the closing waits for the table of entries; the thread has 60 s for it."""
    watcher = connect("superuser")
    waiting = 0
    while not waiting:
        row = watcher.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'"
            " AND relation = 'ledger_entry'::regclass"
        ).fetchone()
        waiting = row[0] if row else 0


def test_a_closing_does_not_wait_for_ever(
    book: Book, connect: Connect, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("ALTER FUNCTION ledger.period_waits_for_entries() SET lock_timeout = '20ms'")
    writer = connect("runtime")
    actor = person(book.desk[Role.TREASURY])
    with writer.transaction(force_rollback=True):
        writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'slow')")
        post(writer, book, key="slow")
        with book.refused("period_waits_for_entries"):
            close_period(book.desk.entity.pk, through=FEBRUARY_END, reason=WHY, actor=actor)


def test_an_old_view_of_the_book_posts_nothing(book: Book, owner: Any) -> None:
    owner.execute("SET default_transaction_isolation = 'repeatable read'")
    raw = Raw("deposit", (("client_bank", "10"), ("alice", "-10")))
    with refused_by_hand(book, "entry_sees_closed_periods"):
        raw.write(owner, book)


# ---------------------------------------------------------------- reopening


def test_a_period_is_reopened_by_two_people_dated_reasoned_and_listed(book: Book) -> None:
    close(book, FEBRUARY_END)
    asking = asked(book, date(2026, 2, 10))
    assert describe(asking).fields[0][1:] == ("2026-02-28", "2026-02-10")
    with book.refused("period_is_open"):
        deposit(book, date(2026, 2, 11))
    apply_approved(agreed(book, asking), actor=person(book.desk[Role.COMPLIANCE]))
    deposit(book, date(2026, 2, 11))
    with book.refused("period_is_open"):
        deposit(book, date(2026, 2, 10))
    newest, first = history(book.desk.entity.pk)
    assert (newest.event.event, newest.event.closed_through, newest.by) == (
        "reopened", date(2026, 2, 10), "J. Moreau",
    )  # fmt: skip
    assert newest.event.reason == "The auditor found a missing receipt"
    assert (first.event.event, first.by) == ("closed", "S. Iyer")
    close(book, FEBRUARY_END)
    with book.refused("period_is_open"):
        deposit(book, date(2026, 2, 11))


def test_everything_can_be_reopened(book: Book) -> None:
    close(book, FEBRUARY_END)
    apply_approved(agreed(book, asked(book, None)), actor=person(book.desk[Role.COMPLIANCE]))
    assert closed_through(book.desk.entity.pk) is None
    deposit(book, NOON.date())


def test_one_person_alone_reopens_nothing(book: Book) -> None:
    close(book, FEBRUARY_END)
    asking = asked(book, None)
    actor = person(book.desk[Role.TREASURY])
    with book.refused("approval_is_given"):
        apply_approved(asking, actor=actor)
    with book.refused("approval_is_not_ones_own"):
        decide(asking.pk, verdict="approved", reason=WHY, actor=actor)


def test_a_reopening_is_of_what_was_closed_when_it_was_asked_for(book: Book) -> None:
    close(book, FEBRUARY_END)
    approval = agreed(book, asked(book, None))
    close(book, FEBRUARY_END + DAY)
    assert "refused now" in describe(approval).note
    actor = person(book.desk[Role.COMPLIANCE])
    with book.refused("period_reopens_as_agreed"):
        apply_approved(approval, actor=actor)


def test_a_reopening_is_used_once(book: Book) -> None:
    close(book, FEBRUARY_END)
    approval = agreed(book, asked(book, None))
    actor = person(book.desk[Role.COMPLIANCE])
    apply_approved(approval, actor=actor)
    close(book, FEBRUARY_END)
    with book.refused("approval_is_used_once"):
        apply_approved(approval, actor=actor)


def test_a_reopening_goes_back(book: Book) -> None:
    close(book, FEBRUARY_END)
    approval = agreed(book, asked(book, FEBRUARY_END))
    actor = person(book.desk[Role.COMPLIANCE])
    with book.refused("period_reopens_back"):
        apply_approved(approval, actor=actor)


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("period_event_follows", {"number": 3}),
        ("period_event_has_its_place", {"number": 1}),
        ("period_reopens_as_agreed", {"event": "reopened", "closed_through": "2026-02-01"}),
        ("period_is_reopened_with_four_eyes", {"event": "reopened", "approval_id": None}),
    ],
)
def test_a_turn_written_by_hand_follows_the_rules(
    book: Book, owner: Any, rule: str, changes: dict[str, Any]
) -> None:
    close(book, FEBRUARY_END)
    approval = asked(book, None)
    row = {
        "legal_entity_id": book.desk.entity.pk, "number": 2, "event": "closed",
        "closed_through": "2026-03-01", "reason": WHY, "approval_id": None,
    }  # fmt: skip
    if changes.get("event") == "reopened":
        row["approval_id"] = approval.pk
    with refused_by_hand(book, rule):
        run(owner, insert("ledger_periodevent", {**row, **changes}))


def test_what_was_closed_and_reopened_is_never_edited(book: Book, owner: Any) -> None:
    pk = close(book, FEBRUARY_END)
    with refused_by_hand(book, "history_is_append_only"):
        run(owner, ("UPDATE ledger_periodevent SET closed_through = NULL WHERE id = %s", [pk]))
    with refused_by_hand(book, "history_is_append_only"):
        run(owner, ("DELETE FROM ledger_periodevent WHERE id = %s", [pk]))


# ---------------------------------------------------------------- the command


def test_the_command_closes_lists_and_refuses_in_one_sentence(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    code = book.desk.entity.code
    call_command("periods", "--entity", code, "--close", "2026-02-28", "--reason", WHY)
    assert "closed through 2026-02-28" in capsys.readouterr().out
    before = book.digest()
    with pytest.raises(SystemExit) as end:
        call_command("periods", "--entity", code, "--close", "2026-02-27", "--reason", WHY)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said == "everything through 2026-02-28 is closed already. Nothing was closed.\n"
    assert (book.digest(), PeriodEvent.objects.count()) == (before, 1)


def test_a_refusal_has_its_own_error(book: Book) -> None:
    with pytest.raises(RefusedError, match="at least 10 characters"):
        close(book, FEBRUARY_END, reason="x")
