"""Rows that are not history themselves are held against the history that says how they must be."""

import pytest

from accounts.audit import acting
from accounts.models import AuditRow
from brokerage.models import BusinessDay
from brokerage.verify import verify
from tests.history.book import DESK, NOON, Book
from tests.history.tampering import Superuser, filled_in, named, tamper

# Rows that are not history themselves: what else says how they must be, names them.
REPEATED = {
    "a balance": (
        "UPDATE ledger_balance SET amount = amount + 1 WHERE account_id = {bank}",
        "balances_are_the_sum_of_their_postings",
        "ledger_balance",
    ),
    "a balance's cost": (
        "UPDATE ledger_balance SET average_cost = 1 WHERE average_cost IS NOT NULL",
        "balances_are_the_sum_of_their_postings",
        "ledger_balance",
    ),
    "a movement": (
        "UPDATE ledger_dailymovement SET debit = debit + 1, credit = credit + 1"
        " WHERE account_id = {bank}",
        "daily_movements_are_their_postings",
        "ledger_dailymovement",
    ),
    "a client's name": (
        "UPDATE accounts_client SET code = 'C-9' WHERE code = 'C-1'",
        "editable_rows_are_as_the_trail_left_them",
        "accounts_client",
    ),
    "a bucket more": (
        "INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)"
        " SELECT account_id, 'HOLD', 'HOLD', '', false FROM accounts_bucket LIMIT 1",
        "editable_rows_are_as_the_trail_left_them",
        "accounts_bucket",
    ),
    "a permitted leg less": (
        "DELETE FROM ledger_kindleg WHERE kind_id = 'fee'",
        "editable_rows_are_as_the_trail_left_them",
        "ledger_kindleg",
    ),
    "the key of a person's data": (
        "UPDATE accounts_personkey SET key = sha256('') WHERE destroyed_at IS NULL",
        "editable_rows_are_as_the_trail_left_them",
        "accounts_personkey",
    ),
    "what needs two people": (
        "UPDATE accounts_approvalaction SET checker_roles = '{{operations}}'"
        " WHERE code = 'role.grant'",
        "editable_rows_are_as_the_trail_left_them",
        "accounts_approvalaction",
    ),
}


@pytest.mark.parametrize("change", REPEATED)
def test_a_row_that_differs_from_what_history_says_is_named(
    book: Book, superuser: Superuser, change: str
) -> None:
    statement, check, table = REPEATED[change]
    tamper(superuser, filled_in(statement, book, superuser))
    wrong = verify().as_json()["first_wrong"]
    assert (wrong["check"], wrong["table"]) == (check, table)


def test_a_guard_that_is_off_makes_the_database_unsound(book: Book, superuser: Superuser) -> None:
    superuser.execute("ALTER TABLE ledger_posting DISABLE TRIGGER posting_1_is_sound")
    wrong = verify().as_json()["first_wrong"]
    assert wrong["check"] == "guards_are_as_pinned"
    assert wrong["key"] == "trigger posting_1_is_sound of table public.ledger_posting was changed"


def test_the_result_of_a_day_is_too_long_for_the_trail_and_still_watched(
    book: Book, superuser: Superuser
) -> None:
    with acting(DESK, reason="a day is opened"):
        day = BusinessDay.objects.create(
            legal_entity=book.entity,
            day=NOON.date(),
            as_of=NOON,
            content_sha256="",
            folder="",
        )
    with acting(DESK, reason="the day is closed"):
        BusinessDay.objects.update(closed_at=NOON, result={"margin": ["1.00"]})
    after = AuditRow.objects.filter(table_name="brokerage_businessday").latest("id").after
    assert after is not None
    assert after["result"].startswith("sha256 ")
    assert verify().is_sound
    tamper(superuser, """UPDATE brokerage_businessday SET result = '{"margin": ["2.00"]}'""")
    assert named(verify()) == ("brokerage_businessday", str(day.pk), None)
