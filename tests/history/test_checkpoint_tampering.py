"""Checkpoints say what the postings say, and `verify` finds each that says something else."""

from typing import Any

import psycopg
import pytest

from accounts.reading import one_state
from accounts.seals import verified
from brokerage.verify import verify
from ledger.verify.checkpoints import check_checkpoints
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, named, tamper
from tests.history.test_book_as_columns import by_columns, by_queries, past_the_guards
from tests.ledger.checkpoints import take_all

LAST = "(SELECT max(below) FROM ledger_checkpoint)"
FIRST = "(SELECT min(below) FROM ledger_checkpoint)"
CHANGED = {
    "an amount": "amounts[1] = amounts[1] + 1",
    "an amount that is none": "amounts[1] = NULL",
    "two amounts": "amounts[1] = amounts[2], amounts[2] = amounts[1]",
    "a place": "account_seqs[1] = account_seqs[1] - 1",
    "whose it is": "account_ids[1] = account_ids[2], account_ids[2] = account_ids[1]",
    "an account of nobody": "account_ids[1] = 987654",
    "an account more": "account_ids = account_ids || 987654::bigint,"
    " account_seqs = account_seqs || 0::bigint, amounts = amounts || 0::numeric",
    "an account twice": "account_ids = account_ids || account_ids[1],"
    " account_seqs = account_seqs || account_seqs[1], amounts = amounts || amounts[1]",
    "an account less": "account_ids = account_ids[2:], account_seqs = account_seqs[2:],"
    " amounts = amounts[2:]",
    "an amount less": "amounts = amounts[1:1]",
    "nothing": "account_ids = '{}', account_seqs = '{}', amounts = '{}'",
    "how many postings": "postings = postings + 1",
    "the newest date": "newest_on = newest_on - 1",
    "a first entry": "first_entry = first_entry + 1",
    "a last entry": "last_entry = last_entry - 1",
    "where it goes on from": "since = '1'",
    "where it ends": "below = (below::text::bigint - 1)::text::xid8",
}


@pytest.fixture
def kept(book: Book, owner: psycopg.Connection[Any]) -> Book:
    """The book with a checkpoint after every transaction that posted, all of them sound."""
    assert take_all(owner) == 5
    assert verify().is_sound
    return book


def test_a_checkpoint_that_says_something_else_is_found(kept: Book, superuser: Superuser) -> None:
    for change in CHANGED:
        # The one before the last may end just there, and two cannot end at one place.
        for which in (FIRST,) if change == "where it ends" else (FIRST, LAST):
            with past_the_guards(superuser) as cursor:
                cursor.execute(
                    f"UPDATE ledger_checkpoint SET {CHANGED[change]} WHERE below = {which}"
                )
                assert cursor.rowcount == 1
                rows, found = by_columns(cursor)
                (check,) = check_checkpoints(cursor)
            assert check.wrong is not None, f"{change} in {which}"
            assert check.wrong.table == "ledger_checkpoint"
            assert "checkpoints_are_the_postings" not in rows
            assert check in found


def test_verify_names_the_checkpoint(kept: Book, superuser: Superuser) -> None:
    tamper(superuser, f"UPDATE ledger_checkpoint SET postings = 0 WHERE below = {LAST}")
    (below,) = superuser.execute(f"SELECT {LAST}::text").fetchall()[0]
    assert named(verify())[:2] == ("ledger_checkpoint", below)


def test_checkpoints_are_proven_by_the_columns_of_the_book_without_their_query(
    kept: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.verify.proven.ENTRIES_AT_ONCE", 2)
    with one_state() as cursor:
        rows, found = by_columns(cursor)
        expected = by_queries(cursor)
    assert rows["checkpoints_are_the_postings"] == 5
    assert found == expected


def test_a_checkpoint_taken_out_of_their_chain_is_found(kept: Book, superuser: Superuser) -> None:
    tamper(superuser, f"DELETE FROM ledger_checkpoint WHERE below = {FIRST}")
    assert named(verify())[0] == "ledger_checkpoint"


def test_a_checkpoint_put_in_is_found(kept: Book, superuser: Superuser) -> None:
    tamper(
        superuser,
        "INSERT INTO ledger_checkpoint SELECT (below::text::bigint + 1)::text::xid8, below,"
        " postings, newest_on, first_entry, last_entry, account_ids, account_seqs, amounts"
        f" FROM ledger_checkpoint WHERE below = {LAST}",
    )
    assert named(verify())[0] == "ledger_checkpoint"


def test_without_any_checkpoint_the_book_is_as_sound(kept: Book, superuser: Superuser) -> None:
    tamper(superuser, "DELETE FROM ledger_checkpoint")
    assert verify().is_sound


@pytest.fixture
def gone_on(
    kept: Book, owner: psycopg.Connection[Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Book:
    """A book that counts as large, was read whole, and has a checkpoint more since."""
    settings.VERIFY_ALL_UP_TO = 0
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 0)
    monkeypatch.setattr("accounts.seals.chain.WINDOW_LEAVES_MAX", 1)
    verify(full=False)
    kept.deposit("A-2", "9", key="d-4")
    seal()
    assert take_all(owner) == 1
    return kept


def test_a_younger_checkpoint_is_read_without_the_history(gone_on: Book) -> None:
    report = verify(full=False)
    assert report.is_sound
    assert report.scope.since is not None
    read = {check.name: check.rows for check in report.checks}
    assert read["checkpoints_are_the_postings"] == 1


@pytest.mark.parametrize("kind", ["an amount", "how many postings", "an account less"])
def test_a_younger_checkpoint_that_says_something_else_is_found(
    gone_on: Book, superuser: Superuser, kind: str
) -> None:
    tamper(superuser, f"UPDATE ledger_checkpoint SET {CHANGED[kind]} WHERE below = {LAST}")
    assert named(verify(full=False))[0] == "ledger_checkpoint"


def test_the_newest_checkpoint_is_held_against_the_balances_every_time(
    gone_on: Book, superuser: Superuser
) -> None:
    assert verify(full=False).is_sound
    tamper(superuser, f"UPDATE ledger_checkpoint SET amounts[1] = 0 WHERE below = {LAST}")
    assert named(verify(full=False))[0] == "ledger_balance"
