"""Whatever a superuser changes below the last published head is found, and the row is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import SealBlock
from accounts.seals import seal_history
from accounts.seals.leaves import SourceLayout
from brokerage.verify import verify
from tests.history.book import Book
from tests.history.tampering import Superuser, entry_of, filled_in, named, tamper


def test_a_sound_book_is_sound(book: Book) -> None:
    report = verify()
    assert [check for check in report.checks if check.wrong is not None] == []
    assert (report.sealed_to_block, report.unsealed_rows) == (2, 2)


# Every change: the statement, and the row that must be named; {keys} are entries.
EDITS: dict[str, tuple[str, Callable[[Book, Superuser], tuple[str, str, int]]]] = {
    "an amount": (
        "UPDATE ledger_posting SET amount = 150 WHERE account_id = {bank} AND account_seq = 1",
        lambda b, s: ("ledger_posting", f"{b.accounts['bank', 'USD']}/1", 1),
    ),
    "a word": (
        "UPDATE ledger_posting SET reference = 'x' WHERE account_id = {bank} AND account_seq = 3",
        lambda b, s: ("ledger_posting", f"{b.accounts['bank', 'USD']}/3", 2),
    ),
    "digits that are worth the same": (
        "UPDATE ledger_posting SET price = 13.00 WHERE price = 13",
        lambda b, s: ("ledger_posting", f"{b.accounts['A-1', 'PERP']}/2", 2),
    ),
    "when an entry took effect": (
        "UPDATE ledger_entry SET effective_at = effective_at + interval '1 us' WHERE id = {t-2}",
        lambda b, s: ("ledger_entry", str(entry_of(s, "t-2")), 2),
    ),
    "an entry's key": (
        "UPDATE ledger_entrykey SET digest = '' WHERE key = 'd-2'",
        lambda b, s: ("ledger_entrykey", "d-2", 1),
    ),
    "who acted": (
        "UPDATE accounts_act SET actor = 'system:nobody' WHERE xid ="
        " (SELECT xid FROM ledger_entry WHERE id = {d-1})",
        lambda b, s: ("accounts_act", xid_of(s, "d-1"), 1),
    ),
    "what the trail saw": (
        "UPDATE accounts_auditrow SET after = jsonb_set(after, '{{code}}', '\"C-9\"')"
        " WHERE table_name = 'accounts_client' AND after ->> 'code' = 'C-2'",
        lambda b, s: ("accounts_auditrow", audit_row(s, "C-9"), 1),
    ),
    "a seal": (
        "UPDATE accounts_sealblock SET signature = '' WHERE number = 1",
        lambda b, s: ("accounts_sealblock", "1", 2),
    ),
    "a leaf": (
        "UPDATE accounts_sealleaf SET leaf = sha256('') WHERE block_id = 1 AND position = 3",
        lambda b, s: ("accounts_sealleaf", "1/3", 1),
    ),
    "the name of a leaf": (
        "UPDATE accounts_sealleaf SET row_key = 'x' WHERE block_id = 1 AND position = 3",
        lambda b, s: ("accounts_sealleaf", "1/3", 1),
    ),
    "the table of a leaf": (
        "UPDATE accounts_sealleaf SET source = 'ledger_pool' WHERE block_id = 1 AND position = 3",
        lambda b, s: ("accounts_sealleaf", "1/3", 1),
    ),
    "what tells rows of a leaf apart": (
        "UPDATE accounts_sealleaf SET marks = ''"
        " WHERE source = 'ledger_entry' AND row_key = '{d-3}'",
        lambda b, s: ("accounts_sealleaf", leaf_of(s, "d-3"), 2),
    ),
    "when the newest block was sealed": (
        "UPDATE accounts_sealblock SET sealed_at = sealed_at + interval '1 s' WHERE number = 2",
        lambda b, s: ("accounts_sealblock", "2", 2),
    ),
}


def xid_of(superuser: Superuser, key: str) -> str:
    row = superuser.execute(
        "SELECT xid::text FROM ledger_entrykey WHERE key = %s", [key]
    ).fetchone()
    assert row is not None
    return str(row[0])


def leaf_of(superuser: Superuser, key: str) -> str:
    row = superuser.execute(
        "SELECT block_id || '/' || position FROM accounts_sealleaf"
        " WHERE source = 'ledger_entry' AND row_key = %s",
        [str(entry_of(superuser, key))],
    ).fetchone()
    assert row is not None
    return str(row[0])


def audit_row(superuser: Superuser, code: str) -> str:
    row = superuser.execute(
        "SELECT id FROM accounts_auditrow WHERE after ->> 'code' = %s", [code]
    ).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_row_is_named(book: Book, superuser: Superuser, edit: str) -> None:
    statement, expected = EDITS[edit]
    tamper(superuser, filled_in(statement, book, superuser))
    assert named(verify()) == expected(book, superuser)


def erase(superuser: Superuser, key: str) -> int:
    """Take an entry out of history without a trace in the book: balances and movements too."""
    entry = entry_of(superuser, key)
    tamper(
        superuser,
        f"UPDATE ledger_balance b SET amount = b.amount - p.amount, seq = b.seq - 1"
        f" FROM ledger_posting p WHERE p.account_id = b.account_id AND p.entry_id = {entry}",
        f"UPDATE ledger_dailymovement m SET debit = m.debit - greatest(p.amount, 0),"
        f" credit = m.credit - greatest(-p.amount, 0) FROM ledger_posting p"
        f" WHERE p.account_id = m.account_id AND p.entry_id = {entry}",
        f"DELETE FROM ledger_posting WHERE entry_id = {entry}",
        f"DELETE FROM ledger_entrykey WHERE entry_id = {entry}",
        f"DELETE FROM ledger_entry WHERE id = {entry}",
    )
    return entry


def test_a_deleted_tail_is_named(book: Book, superuser: Superuser) -> None:
    entry = erase(superuser, "d-3")
    assert named(verify()) == ("ledger_entry", str(entry), 2)


def test_a_deleted_middle_is_named(book: Book, superuser: Superuser) -> None:
    entry = erase(superuser, "d-2")
    assert named(verify()) == ("ledger_entry", str(entry), 1)


def test_a_row_put_in_later_is_named(book: Book, superuser: Superuser) -> None:
    source = entry_of(superuser, "d-1")
    tamper(
        superuser,
        "INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, posting_count,"
        " recorded_at, xid) SELECT 900, kind_id, effective_at, 'd-9', '', 2, recorded_at, xid"
        f" FROM ledger_entry WHERE id = {source}",
    )
    assert named(verify()) == ("ledger_entry", "900", 1)


def test_a_leg_put_into_an_entry_is_named(book: Book, superuser: Superuser) -> None:
    source = entry_of(superuser, "d-1")
    bank = book.accounts["bank", "USD"]
    tamper(
        superuser,
        "INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,"
        " balance_after, xid) SELECT account_id, 4, entry_id, pool_id, asset_id, 1, 158.5, xid"
        f" FROM ledger_posting WHERE entry_id = {source} AND account_id = {bank}",
    )
    assert named(verify()) == ("ledger_posting", f"{bank}/4", 1)


def test_a_row_slipped_into_a_table_that_a_block_did_not_have_is_named(
    book: Book, superuser: Superuser
) -> None:
    xid = xid_of(superuser, "d-3")
    tamper(
        superuser,
        "INSERT INTO ledger_horizon (snapshot, purpose, taken_at, xid)"
        f" VALUES ('1:1:', 'minute', now(), '{xid}')",
    )
    row = superuser.execute("SELECT id::text FROM ledger_horizon").fetchone()
    assert row is not None
    assert named(verify()) == ("ledger_horizon", row[0], 2)


def test_a_row_from_before_the_first_transaction_is_named(book: Book, superuser: Superuser) -> None:
    tamper(
        superuser,
        "INSERT INTO ledger_horizon (snapshot, purpose, taken_at, xid)"
        " VALUES ('1:1:', 'minute', now(), '2')",
    )
    table, _, block = named(verify())
    assert (table, block) == ("ledger_horizon", None)


def test_a_row_from_a_transaction_to_come_is_named(book: Book, superuser: Superuser) -> None:
    tamper(
        superuser,
        "INSERT INTO ledger_horizon (snapshot, purpose, taken_at, xid)"
        " VALUES ('1:1:', 'minute', now(), '999999999')",
    )
    table, _, block = named(verify())
    assert (table, block) == ("ledger_horizon", None)


def test_swapped_rows_are_named(book: Book, superuser: Superuser) -> None:
    one, other = entry_of(superuser, "d-1"), entry_of(superuser, "d-2")
    tamper(
        superuser,
        f"UPDATE ledger_entry SET reference = CASE id WHEN {one} THEN 'd-2' ELSE 'd-1' END"
        f" WHERE id IN ({one}, {other})",
    )
    assert named(verify()) == ("ledger_entry", str(one), 1)


def test_a_row_moved_to_another_transaction_is_named(book: Book, superuser: Superuser) -> None:
    one, other = entry_of(superuser, "d-1"), entry_of(superuser, "d-3")
    tamper(
        superuser,
        f"UPDATE ledger_entry SET xid = (SELECT xid FROM ledger_entry WHERE id = {other})"
        f" WHERE id = {one}",
    )
    assert named(verify()) == ("ledger_entry", str(one), 1)


def rehash(superuser: Superuser, key: str) -> None:
    """Make the leaf of an entry fit its row again."""
    entry = entry_of(superuser, key)
    block = superuser.execute(
        "SELECT block_id FROM accounts_sealleaf WHERE source = 'ledger_entry' AND row_key = %s",
        [str(entry)],
    ).fetchone()
    assert block is not None
    stored = SealBlock.objects.get(number=block[0]).layout["ledger_entry"]
    rows = SourceLayout.from_json("ledger_entry", stored).rows_sql()
    leaf = superuser.execute(
        f"SELECT encode(leaf, 'hex') FROM ({rows}) r WHERE key = %(key)s",
        {"from": "0", "to": "9999999999", "key": str(entry)},
    ).fetchone()
    assert leaf is not None
    tamper(
        superuser,
        f"UPDATE accounts_sealleaf SET leaf = decode('{leaf[0]}', 'hex')"
        f" WHERE source = 'ledger_entry' AND row_key = '{entry}'",
    )


def test_where_the_leaf_was_made_anew_the_block_is_named(book: Book, superuser: Superuser) -> None:
    tamper(
        superuser,
        f"UPDATE ledger_entry SET reference = 'x' WHERE id = {entry_of(superuser, 'd-2')}",
    )
    rehash(superuser, "d-2")
    report = verify()
    assert named(report) == ("accounts_sealblock", "1", 1)
    assert "leaves of block 1 were rebuilt" in report.as_json()["first_wrong"]["detail"]


def test_where_all_seals_were_made_anew_the_published_heads_tell(
    book: Book, superuser: Superuser, settings: Any, tmp_path: Path
) -> None:
    published = settings.SEAL_HEADS
    tamper(
        superuser,
        f"UPDATE ledger_entry SET reference = 'x' WHERE id = {entry_of(superuser, 't-1')}",
    )
    # The worst case: who did it holds the signing key too, but not the file of heads.
    blocks = superuser.execute("SELECT number, to_xid::text FROM accounts_sealblock").fetchall()
    assert len(blocks) == 2
    tamper(superuser, "DELETE FROM accounts_sealleaf", "DELETE FROM accounts_sealblock")
    settings.SEAL_HEADS = tmp_path / "heads.ndjson"
    assert seal_history() is not None
    assert verify().is_sound
    settings.SEAL_HEADS = published
    report = verify()
    assert named(report) == ("accounts_sealblock", "1", 1)
    assert "another head than published" in report.as_json()["first_wrong"]["detail"]


def test_blocks_without_the_key_are_not_signed(
    book: Book, superuser: Superuser, settings: Any, tmp_path: Path
) -> None:
    tamper(superuser, "DELETE FROM accounts_sealleaf", "DELETE FROM accounts_sealblock")
    kept = settings.SEAL_KEY
    settings.SEAL_KEY = tmp_path / "forged"
    settings.SEAL_HEADS = tmp_path / "heads.ndjson"
    assert seal_history() is not None
    settings.SEAL_KEY = kept
    report = verify()
    assert named(report) == ("accounts_sealblock", "1", 1)
    assert "under another key" in report.as_json()["first_wrong"]["detail"]


def test_a_block_that_is_gone_is_missed(book: Book, superuser: Superuser) -> None:
    tamper(
        superuser,
        "DELETE FROM accounts_sealleaf WHERE block_id = 2",
        "DELETE FROM accounts_sealblock WHERE number = 2",
    )
    report = verify()
    assert named(report) == ("accounts_sealblock", "2", 2)
    assert "block 2 is gone" in report.as_json()["first_wrong"]["detail"]


def test_a_block_taken_from_the_middle_is_missed(book: Book, superuser: Superuser) -> None:
    tamper(superuser, "DELETE FROM accounts_sealblock WHERE number = 1")
    assert "block 1 is missing" in verify().as_json()["first_wrong"]["detail"]


def test_the_command_exits_1_and_names_the_row(
    book: Book, superuser: Superuser, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify", json=True)
    assert '"sound": true' in capsys.readouterr().out
    tamper(superuser, "UPDATE ledger_entry SET narrative = 'x' WHERE reference = 'd-1'")
    with pytest.raises(SystemExit) as ended:
        call_command("verify", json=True)
    assert ended.value.code == 1
    assert '"table": "ledger_entry"' in capsys.readouterr().out


def test_heads_that_cannot_be_read_are_not_sound(book: Book, settings: Any) -> None:
    path = Path(settings.SEAL_HEADS)
    path.write_text(path.read_text().replace('"head"', '"tail"', 1))
    wrong = verify().as_json()["first_wrong"]
    assert wrong["check"] == "heads_are_signed_and_published"
    assert "cannot be read" in wrong["detail"]


def test_a_copy_of_the_heads_kept_elsewhere_is_held_against_the_chain(
    book: Book, settings: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.ndjson"
    copy.write_text(Path(settings.SEAL_HEADS).read_text())
    assert verify(copy).is_sound
    copy.write_text(
        copy.read_text().replace(SealBlock.objects.get(number=2).head_hash.hex(), "0" * 64)
    )
    assert named(verify(copy)) == ("accounts_sealblock", "2", 2)
