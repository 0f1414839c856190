"""Sealed rows that are hashed in bulk give the leaves that were sealed, in pieces of any size."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.checks import Check
from accounts.reading import one_state
from accounts.seals import bulk, windows
from accounts.seals.bulk import Rows, cut, make_leaves, whole_columns
from accounts.seals.chain import Window, read_blocks
from accounts.seals.leaves import current_layouts
from accounts.seals.recomputed import check_window
from accounts.seals.tree import joined_root, merkle_root
from accounts.seals.windows import leaf_checks
from accounts.table_classes import table_classes
from brokerage.verify import verify
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, filled_in, named, tamper


@given(many=st.integers(0, 70))
def test_the_root_over_one_piece_is_that_over_its_leaves(many: int) -> None:
    leaves = [sha256(bytes([n])).digest() for n in range(many)]
    assert joined_root(b"".join(leaves)) == merkle_root(leaves)


@pytest.fixture
def cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources with whole numbers for keys are cut behind every row."""
    monkeypatch.setattr(windows, "LEAVES_AT_ONCE", 1)
    monkeypatch.setattr(bulk, "SAMPLED_ONE_IN", 1)


@pytest.fixture
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Check:
        raise AssertionError("the window was looked at once more")

    monkeypatch.setattr(windows, "check_window", refused)


@pytest.mark.parametrize("source", ["ledger_entry", "ledger_ledgeraccount", "accounts_auditrow"])
def test_leaves_made_in_bulk_are_those_that_were_stored(book: Book, source: str) -> None:
    with one_state() as cursor:
        layout = current_layouts(cursor, table_classes())[source]
        blocks = read_blocks(cursor, first=1, last=2)
        rows = Rows(layout, blocks, None, None, is_redacted=False)
        whole = whole_columns(cursor)
        made = make_leaves(cursor, rows, whole)
        by_server = make_leaves(cursor, rows, frozenset())
        pieces = [
            make_leaves(cursor, piece, whole) for piece in cut(cursor, rows, whole, at_once=1)
        ]
        cursor.execute(
            "SELECT block_id, row_key, leaf FROM accounts_sealleaf WHERE source = %s", [source]
        )
        stored = sorted((block, key.encode(), bytes(leaf)) for block, key, leaf in cursor)
    assert stored
    for each in ([made], [by_server], pieces):
        found = [
            (int(block), key, leaf.tobytes())
            for one in each
            for block, key, leaf in zip(one.block, one.keys, one.leaves, strict=True)
        ]
        assert sorted(found) == stored


def test_a_long_source_is_cut_so_that_each_row_is_in_one_stretch(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SAMPLED_ONE_IN", 1)
    with one_state() as cursor:
        layout = current_layouts(cursor, table_classes())["ledger_entry"]
        rows = Rows(layout, read_blocks(cursor, first=1, last=2), None, None, is_redacted=False)
        pieces = cut(cursor, rows, whole_columns(cursor), at_once=2)
        found = [len(make_leaves(cursor, each, whole_columns(cursor)).keys) for each in pieces]
    assert found == [2, 2, 1]
    assert [piece.first for piece in pieces[1:]] == [piece.last + 1 for piece in pieces[:-1]]  # type: ignore[operator]


def test_rows_without_an_order_by_numbers_are_joined_by_the_server(book: Book) -> None:
    with one_state() as cursor:
        layout = current_layouts(cursor, table_classes())["ledger_entry"]
        rows = Rows(layout, read_blocks(cursor, first=1, last=2), None, None, is_redacted=False)
        whole = whole_columns(cursor)
        unordered = whole - {("ledger_posting", "account_seq")}
        by_server = make_leaves(cursor, rows, unordered)
        here = make_leaves(cursor, rows, whole)
    assert dict(zip(here.keys, here.leaves.tolist(), strict=True)) == dict(
        zip(by_server.keys, by_server.leaves.tolist(), strict=True)
    )


def test_a_sound_history_is_not_looked_at_twice(
    book: Book, cut_short: None, no_second_look: None
) -> None:
    with one_state() as cursor:
        assert len(leaf_checks(cursor, [Window(1, 2)])) > 20
    assert verify().is_sound


def test_blocks_in_windows_of_their_own_are_sound(
    book: Book, cut_short: None, no_second_look: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.seals.chain.WINDOW_LEAVES_MAX", 1)
    book.deposit("A-2", "1", key="d-4")
    seal()
    assert verify().is_sound


DAMAGE = {
    "an entry": "UPDATE ledger_entry SET narrative = 'x' WHERE id = {e}",
    "an entry that is gone": "DELETE FROM ledger_entry WHERE id = {e}",
    "a posting": "UPDATE ledger_posting SET reference = 'x' WHERE entry_id = {e}",
    "a posting that is gone": "DELETE FROM ledger_posting WHERE entry_id = {e} AND amount > 0",
    "a posting of another entry": "UPDATE ledger_posting SET entry_id = {e} WHERE entry_id ="
    " (SELECT entry_id FROM ledger_entrykey WHERE key = 't-1') AND amount > 0",
    "a key": "UPDATE ledger_entrykey SET digest = '\\x00' WHERE entry_id = {e}",
    "a key that is gone": "DELETE FROM ledger_entrykey WHERE entry_id = {e}",
    "a row that was put in": "INSERT INTO ledger_entry (id, kind_id, effective_at, reference,"
    " narrative, posting_count, xid) SELECT 900, kind_id, effective_at, 'x', '', 2, xid"
    " FROM ledger_entry WHERE id = {e}",
    "a row from before the first": "UPDATE ledger_entry SET xid = '2' WHERE id = {e}",
    "a leaf": "UPDATE accounts_sealleaf SET leaf = sha256('') WHERE source = 'ledger_entry'"
    " AND row_key = '{e}'",
    "a mark": "UPDATE accounts_sealleaf SET marks = '\\x00' WHERE source = 'ledger_entry'"
    " AND row_key = '{e}'",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("key", ["d-2", "d-3"])
def test_damage_at_either_end_of_a_piece_is_named_as_if_read_in_one(
    book: Book, superuser: Superuser, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    tamper(superuser, filled_in(DAMAGE[kind].replace("{e}", f"{{{key}}}"), book, superuser))
    monkeypatch.setattr(windows, "LEAVES_AT_ONCE", 2)
    monkeypatch.setattr(bulk, "SAMPLED_ONE_IN", 1)
    with one_state() as cursor:
        blocks = read_blocks(cursor, first=1, last=2)
        expected = check_window(cursor, blocks, current_layouts(cursor, table_classes()))
        (found,) = [each for read in leaf_checks(cursor, [Window(1, 2)]) for each in read(cursor)]
    assert expected.wrong is not None
    assert found == expected
    assert named(verify())[0] == expected.wrong.table
