"""Entries that come after their date: listed, and agreed to where an earlier day forbids them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.approvals import apply_approved, decide
from accounts.audit import RefusedError
from accounts.models import Approval, Role
from ledger.back_dating import back_dated, request_back_dating
from ledger.models import BackDatedEntry, DailyMovement
from ledger.posting import Draft
from tests.accounts.people import person
from tests.ledger.book import NOON, Book
from tests.ledger.raw import Raw, insert, refused_by_hand, run

DAY = timedelta(days=1)
WHY = "The bank told us of it only today"
RULE = "back_dated_entry_has_its_approval"


def deposit(book: Book, who: str, amount: str, *, days: int) -> Draft:
    return book.draft("deposit", ("client_bank", amount), (who, f"-{amount}"), at=NOON + days * DAY)


def withdrawal(book: Book, who: str, amount: str, *, days: int) -> Draft:
    return book.draft(
        "withdrawal", (who, amount), ("client_bank", f"-{amount}"), at=NOON + days * DAY
    )


def asked(book: Book, draft: Draft) -> Approval:
    pk = request_back_dating(
        draft,
        legal_entity=book.desk.entity,
        reason=WHY,
        actor=person(book.desk[Role.OPERATIONS]),
    )
    return Approval.objects.get(pk=pk)


def agreed(book: Book, draft: Draft, *, verdict: str = "approved") -> Approval:
    checker = person(book.desk[Role.RISK])
    return decide(asked(book, draft).pk, verdict=verdict, reason=WHY, actor=checker)


def closing(book: Book, name: str, *, days: int) -> Decimal:
    """The balance at the end of a business date, debit positive."""
    moved = DailyMovement.objects.filter(
        account=book[name], effective_on__lte=(NOON + days * DAY).date()
    )
    return sum((row.debit - row.credit for row in moved), Decimal(0))


def listed() -> list[tuple[int, str]]:
    return list(BackDatedEntry.objects.order_by("entry").values_list("entry_id", "broken_rule"))


# ---------------------------------------------------------------- what is back-dated


def test_entries_of_one_business_day_are_not_back_dated_in_whatever_order(book: Book) -> None:
    book.post_drafts(deposit(book, "alice", "10", days=1))
    early = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), at=NOON + DAY * 0.6)
    book.post_drafts(early)
    assert listed() == []


def test_an_entry_before_a_later_movement_of_its_account_is_listed(book: Book) -> None:
    book.post_drafts(deposit(book, "alice", "10", days=5))
    (late,) = book.post_drafts(deposit(book, "alice", "7", days=2))
    row = BackDatedEntry.objects.get()
    assert (row.entry_id, row.effective_on, row.overtaken_on) == (
        late, (NOON + 2 * DAY).date(), (NOON + 5 * DAY).date(),
    )  # fmt: skip
    assert (row.broken_rule, row.approval_id) == ("", None)
    assert [each.entry_id for each in back_dated([book.desk.entity.pk])] == [late]
    assert list(back_dated([book.pools["OTHER"].legal_entity_id])) == []


def test_an_entry_whose_accounts_did_not_move_later_is_not_listed(book: Book) -> None:
    book.post("house_income", ("house_bank", "1"), ("house_equity", "-1"), at=NOON + 9 * DAY)
    book.post_drafts(deposit(book, "alice", "7", days=2))
    assert listed() == []


# ---------------------------------------------------------------- a floor on its own date


def test_a_withdrawal_before_the_money_came_needs_a_second_person(book: Book) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    with book.refused(RULE):
        book.post_drafts(withdrawal(book, "alice", "200", days=3))
    book.post_drafts(withdrawal(book, "alice", "200", days=5))


def test_what_an_earlier_day_allows_needs_nobody(book: Book) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    (late,) = book.post_drafts(withdrawal(book, "alice", "100", days=3))
    assert closing(book, "alice", days=3) == 0
    assert listed() == [(late, "")]


def test_a_floor_that_breaks_only_on_a_later_day_counts_too(book: Book) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "950", days=4), deposit(book, "alice", "500", days=6)
    )
    assert closing(book, "alice", days=2) == -1000
    with book.refused(RULE):
        book.post_drafts(withdrawal(book, "alice", "51", days=2))
    book.post_drafts(withdrawal(book, "alice", "50", days=2))


def test_the_bank_of_a_pool_has_a_floor_on_every_day_as_well(book: Book) -> None:
    assert closing(book, "client_bank", days=0) == 2600
    book.post_drafts(
        book.draft("custody_move", ("venue", "2600"), ("client_bank", "-2600"), at=NOON + DAY),
        book.draft("custody_move", ("client_bank", "600"), ("venue", "-600"), at=NOON + 5 * DAY),
    )
    with book.refused(RULE):
        book.post_drafts(withdrawal(book, "alice", "100", days=3))


def test_a_batch_cannot_hide_the_day_on_which_it_overdraws(book: Book) -> None:
    with book.refused(RULE):
        book.post_drafts(
            deposit(book, "alice", "500", days=5), withdrawal(book, "alice", "1200", days=2)
        )


def test_two_entries_of_a_batch_that_carry_each_other_pass(book: Book) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=9)
    )
    ids = book.post_drafts(
        deposit(book, "alice", "150", days=3), withdrawal(book, "alice", "200", days=3)
    )
    assert listed() == [(pk, "") for pk in ids]


def test_an_entry_that_lessens_an_old_breach_is_not_stopped(book: Book) -> None:
    overdrawn = agreed_breach(book)
    (late,) = book.post_drafts(deposit(book, "alice", "30", days=2))
    assert closing(book, "alice", days=3) == 70
    assert listed()[-1] == (late, "")
    with book.refused(RULE):
        book.post_drafts(withdrawal(book, "alice", "1", days=2))
    assert overdrawn == listed()[0][0]


def agreed_breach(book: Book) -> int:
    """Alice stands 100 below zero at the end of the third day, as two people agreed."""
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    draft = withdrawal(book, "alice", "200", days=3)
    checker = person(book.desk[Role.RISK])
    apply_approved(agreed(book, draft), actor=checker)
    return BackDatedEntry.objects.get().entry_id


# ---------------------------------------------------------------- the agreement


def test_what_two_people_agreed_to_is_posted_listed_and_spends_the_agreement(book: Book) -> None:
    entry_id = agreed_breach(book)
    row = BackDatedEntry.objects.get()
    assert (row.entry_id, row.broken_rule, row.account_id, row.balance) == (
        entry_id, "claim_not_below_zero", book["alice"], Decimal(100),
    )  # fmt: skip
    assert row.broken_on == (NOON + 3 * DAY).date()
    given_leave = row.approval
    assert given_leave is not None
    assert (given_leave.action_id, given_leave.used_xid) == ("entry.back_dated", row.xid)


def test_the_same_draft_goes_through_any_door_once_it_is_agreed_to(book: Book) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    draft = withdrawal(book, "alice", "200", days=3)
    with book.refused(RULE):
        book.post_drafts(draft)
    agreed(book, draft)
    (entry_id,) = book.post_drafts(draft)
    assert BackDatedEntry.objects.get().entry_id == entry_id


@pytest.mark.parametrize("flaw", ["undecided", "rejected", "amount", "day", "key", "used"])
def test_an_agreement_counts_for_exactly_what_was_agreed_and_once(book: Book, flaw: str) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    draft = withdrawal(book, "alice", "200", days=3)
    said: dict[str, Any] = vars(draft)
    if flaw == "undecided":
        asked(book, draft)
    elif flaw == "rejected":
        agreed(book, draft, verdict="rejected")
    else:
        agreed(book, draft)
    if flaw == "used":
        book.post_drafts(draft)
    others: dict[str, dict[str, Any]] = {
        "amount": {"legs": withdrawal(book, "alice", "201", days=3).legs},
        "day": {"effective_at": NOON + 4 * DAY},
        "key": {"key": "another"},
        "used": {"key": "again"},
    }
    with book.refused(RULE):
        book.post_drafts(Draft(**{**said, **others.get(flaw, {})}))


def test_the_maker_cannot_agree_to_their_own(book: Book) -> None:
    draft = withdrawal(book, "alice", "200", days=3)
    approval = request_back_dating(
        draft, legal_entity=book.desk.entity, reason=WHY, actor=person(book.desk[Role.TREASURY])
    )
    maker = person(book.desk[Role.TREASURY])
    with book.refused("approval_is_not_ones_own"):
        decide(approval, verdict="approved", reason=WHY, actor=maker)


def test_a_kind_that_needs_two_people_needs_the_leave_for_its_date_besides(book: Book) -> None:
    book.post_approved("refund", ("residual", "90"), ("alice", "-90"), at=NOON + DAY)
    book.post("fee", ("alice", "60"), ("residual", "-60"), at=NOON + 5 * DAY)
    draft = book.draft("refund", ("residual", "50"), ("alice", "-50"), at=NOON + 3 * DAY)
    leave = agreed(book, draft)
    checker = person(book.desk[Role.RISK])
    with book.refused("approval_is_given"):
        apply_approved(leave, actor=checker)
    kind = book.approve(draft)
    apply_approved(leave, actor=checker)
    assert set(
        Approval.objects.filter(pk__in=[leave.pk, kind], used_xid__isnull=False).values_list("pk")
    ) == {(leave.pk,), (kind,)}


def test_the_kinds_own_agreement_does_not_stand_for_the_date(book: Book) -> None:
    book.post_approved("refund", ("residual", "90"), ("alice", "-90"), at=NOON + DAY)
    book.post("fee", ("alice", "60"), ("residual", "-60"), at=NOON + 5 * DAY)
    draft = book.draft("refund", ("residual", "50"), ("alice", "-50"), at=NOON + 3 * DAY)
    approved = book.approved(draft)
    with book.refused(RULE):
        book.post_drafts(approved)


# ---------------------------------------------------------------- by hand


def test_an_entry_written_by_hand_meets_the_same_guard(book: Book, owner: Any) -> None:
    book.post_drafts(
        withdrawal(book, "alice", "900", days=1), deposit(book, "alice", "500", days=5)
    )
    raw = Raw(
        "withdrawal", (("alice", "200"), ("client_bank", "-200")),
        entry={"effective_at": NOON + 3 * DAY},
    )  # fmt: skip
    with refused_by_hand(book, RULE):
        raw.write(owner, book)


def test_the_list_is_written_by_the_guard_alone(book: Book, owner: Any) -> None:
    """It comes before `broken_floor_has_its_approval`, which holds for the guard itself."""
    entry = book.post_drafts(deposit(book, "alice", "1", days=1))[0]
    with refused_by_hand(book, "back_dated_entries_come_from_postings"):
        run(
            owner,
            insert(
                "ledger_backdatedentry",
                {
                    "entry_id": entry,
                    "effective_on": "2026-01-01",
                    "overtaken_on": "2026-02-01",
                    "broken_rule": "",
                },
            ),
        )


# ---------------------------------------------------------------- a law


moves = st.lists(
    st.tuples(st.integers(-400, 400).filter(bool), st.integers(0, 6)), min_size=1, max_size=9
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves=moves)
def test_no_day_ever_ends_below_a_floor_without_a_second_person(
    book: Book, moves: list[tuple[int, int]]
) -> None:
    rules: set[str] = set()
    for amount, days in moves:
        make = deposit if amount > 0 else withdrawal
        try:
            book.post_drafts(make(book, "alice", str(abs(amount)), days=days))
        except RefusedError as refused:
            rules.add(refused.rule)
    assert rules <= {RULE, "claim_not_below_zero", "custody_not_below_zero"}
    dates = DailyMovement.objects.filter(account=book["alice"]).values_list(
        "effective_on", flat=True
    )
    for day in dates:
        assert closing(book, "alice", days=(day - NOON.date()).days) <= 0
