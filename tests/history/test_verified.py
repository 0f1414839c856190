"""A large history is read again from where it was found sound, and nothing is skipped unsaid."""

import json
from typing import Any

import pytest
from django.core.management import call_command

from accounts.seals import verified
from accounts.seals.verified import mark_file, read_mark
from brokerage.verify import verify
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, filled_in, named, tamper


@pytest.fixture
def read(book: Book, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book that counts as large, was read whole, and has gone on since."""
    settings.VERIFY_ALL_UP_TO = 0
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 0)
    monkeypatch.setattr("accounts.seals.chain.WINDOW_LEAVES_MAX", 1)
    assert verify(full=False).scope.since is None, "nothing was read before"
    book.trade("A-1", "-1", "14", key="t-3", realised="3")
    book.deposit("A-2", "9", key="d-4")
    seal()
    return book


def test_what_was_read_before_is_not_read_again_and_that_is_said(read: Book) -> None:
    report = verify(full=False)
    assert report.is_sound
    said = report.as_json()["scope"]
    assert (said["full"], said["verified_before_to_block"]) == (False, 2)
    assert said["not_read_again"].startswith("The rows of blocks 1 to 2 were counted and not read")
    rows = next(c.rows for c in report.checks if c.name == "sealed_rows_are_as_they_were")
    whole = verify().checks
    assert rows < next(c.rows for c in whole if c.name == "sealed_rows_are_as_they_were")


def test_a_small_history_is_read_whole_every_time(read: Book, settings: Any) -> None:
    settings.VERIFY_ALL_UP_TO = 1_000_000
    assert verify(full=False).as_json()["scope"] == {"full": True, "not_read_again": ""}


def test_older_blocks_are_read_again_in_turn(read: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 1)
    rounds = [verify(full=False).scope.read_again for _ in range(4)]
    assert [None if one is None else (one.first, one.last) for one in rounds] == [
        (1, 1), (2, 2), (3, 3), (1, 1),
    ]  # fmt: skip


def test_an_edit_of_an_old_row_is_found_when_its_turn_comes_and_by_a_full_run(
    read: Book, superuser: Superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify(full=False)
    tamper(superuser, "UPDATE ledger_entry SET narrative = 'x' WHERE reference = 'd-1'")
    assert verify(full=False).is_sound
    assert named(verify())[0] == "ledger_entry"
    monkeypatch.setattr(verified, "STRETCHES_READ_AGAIN", 1)
    assert named(verify(full=False))[0] == "ledger_entry"


FOUND_AT_ONCE = {
    "a row less": "DELETE FROM ledger_locationasset WHERE location_id IN"
    " (SELECT min(id) FROM ledger_location)",
    "a row more": "INSERT INTO ledger_horizon (snapshot, purpose, taken_at, xid)"
    " SELECT '3:3:', 'minute', now(), min(xid) FROM accounts_act",
    "a balance": "UPDATE ledger_balance SET amount = amount + 1 WHERE account_id = {bank}",
    "a movement": "UPDATE ledger_dailymovement SET debit = debit + 1 WHERE account_id = {bank}",
    "a younger posting": "UPDATE ledger_posting SET balance_after = balance_after + 1"
    " WHERE account_id = {bank} AND amount = 9",
    "a younger cost": "UPDATE ledger_posting SET average_after = 1"
    " WHERE entry_id = (SELECT max(entry_id) FROM ledger_posting WHERE price = 14)"
    " AND average_after IS NOT NULL",
    "an old seal": "UPDATE accounts_sealblock SET root = sha256('') WHERE number = 1",
    "a client": "UPDATE accounts_client SET code = 'C-9' WHERE code = 'C-1'",
}


@pytest.mark.parametrize("change", FOUND_AT_ONCE)
def test_what_can_be_told_cheaply_is_told_at_once(
    read: Book, superuser: Superuser, change: str
) -> None:
    assert verify(full=False).is_sound
    tamper(superuser, filled_in(FOUND_AT_ONCE[change], read, superuser))
    assert not verify(full=False).is_sound


def test_a_mark_that_nobody_signed_or_that_names_another_head_counts_for_nothing(
    read: Book,
) -> None:
    verify(full=False)
    kept = json.loads(mark_file().read_text())
    for change in (
        {"number": 99}, {"head": "00" * 32}, {"signature": "00" * 64}, {"extra": 1},
        {"to_xid": 10**9},
    ):  # fmt: skip
        mark_file().write_text(json.dumps(kept | change))
        assert read_mark() is None
        assert verify(full=False).scope.since is None
    mark_file().write_text("{")
    assert read_mark() is None


def test_an_unsound_book_moves_no_mark(read: Book, superuser: Superuser) -> None:
    before = mark_file().read_text()
    tamper(superuser, "UPDATE ledger_entry SET narrative = 'x' WHERE reference = 'd-4'")
    assert not verify(full=False).is_sound
    assert mark_file().read_text() == before


def test_the_command_reads_all_on_request(read: Book, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify", json=True)
    assert json.loads(capsys.readouterr().out)["scope"]["full"] is False
    call_command("verify")
    assert "were counted and not read again" in capsys.readouterr().out
    call_command("verify", json=True, full=True)
    assert json.loads(capsys.readouterr().out)["scope"]["full"] is True
