"""Checkpoints say what the postings say, and `verify` finds each that says something else."""

from typing import Any

import psycopg
import pytest

from accounts.seals import verified
from brokerage.verify import verify
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, named, tamper
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


@pytest.mark.parametrize("kind", CHANGED)
@pytest.mark.parametrize("which", [FIRST, LAST], ids=["first", "last"])
def test_a_checkpoint_that_says_something_else_is_found(
    kept: Book, superuser: Superuser, kind: str, which: str
) -> None:
    tamper(superuser, f"UPDATE ledger_checkpoint SET {CHANGED[kind]} WHERE below = {which}")
    assert named(verify())[0] == "ledger_checkpoint"


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


@pytest.mark.parametrize("change", ["amounts[1] = amounts[1] + 1", "postings = postings + 1"])
def test_a_younger_checkpoint_is_read_without_the_history(
    kept: Book,
    owner: psycopg.Connection[Any],
    superuser: Superuser,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    settings.VERIFY_ALL_UP_TO = 0
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 0)
    monkeypatch.setattr("accounts.seals.chain.WINDOW_LEAVES_MAX", 1)
    verify(full=False)
    kept.deposit("A-2", "9", key="d-4")
    seal()
    assert take_all(owner) == 1
    report = verify(full=False)
    assert report.is_sound
    assert report.scope.since is not None
    read = {check.name: check.rows for check in report.checks}
    assert read["checkpoints_are_the_postings"] == 1
    tamper(superuser, f"UPDATE ledger_checkpoint SET {change} WHERE below = {LAST}")
    assert named(verify(full=False))[0] == "ledger_checkpoint"


def test_the_newest_checkpoint_is_held_against_the_balances_every_time(
    kept: Book, superuser: Superuser, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VERIFY_ALL_UP_TO = 0
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 0)
    monkeypatch.setattr("accounts.seals.chain.WINDOW_LEAVES_MAX", 1)
    verify(full=False)
    kept.deposit("A-2", "9", key="d-4")
    seal()
    assert verify(full=False).is_sound
    tamper(superuser, f"UPDATE ledger_checkpoint SET amounts[1] = 0 WHERE below = {LAST}")
    assert named(verify(full=False))[0] == "ledger_balance"
