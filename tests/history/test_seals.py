"""Seals: what is below the horizon is covered once, in order, under a signed head."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction

from accounts.models import SealBlock, SealLeaf
from accounts.seals import SealRefusedError, seal_history
from accounts.seals.heads import GENESIS, Head, is_signed
from accounts.seals.leaves import LayoutError, PartLayout, SourceLayout, set_canonical
from accounts.seals.published import place_key, read_published
from accounts.seals.tree import merkle_root
from tests.history.book import seal, small_book

GOLDEN_LEAF = "0716eef6a112217eb5129b3df124817fd44fdacafa79456994e4fc913fd6f386"
GOLDEN_ROOT = "c45d90b74ca394e9fe751c90c24e442f3ecd6f1d6e6c53e0e405f876043851c7"

Connect = Callable[[str], psycopg.Connection[Any]]


def sealed_entries() -> list[str]:
    leaves = SealLeaf.objects.filter(source="ledger_entry").order_by("block_id", "position")
    return [leaf.row_key for leaf in leaves]


def test_a_row_is_sealed_once_and_the_next_block_goes_on_where_the_last_ended(db: None) -> None:
    book = small_book()
    first = book.deposit("A-1", "100", key="d-1")
    one = seal()
    second = book.deposit("A-2", "50", key="d-2")
    two = seal()
    assert one is not None
    assert two is not None
    assert (one.number, two.number) == (1, 2)
    assert two.from_xid == one.to_xid
    assert bytes(two.previous_hash) == bytes(one.head_hash)
    assert sealed_entries() == [str(first), str(second)]


def test_the_last_seal_alone_makes_no_block(db: None) -> None:
    small_book()
    assert seal() is not None
    assert seal() is None
    assert SealBlock.objects.count() == 1


def test_the_rows_of_a_seal_are_in_the_next_block(db: None) -> None:
    book = small_book()
    seal()
    book.deposit("A-1", "100", key="d-1")
    seal()
    sources = SealLeaf.objects.filter(block_id=2).values_list("source", "row_key")
    assert ("accounts_sealblock", "1") in sources
    assert not SealLeaf.objects.filter(source="accounts_sealleaf").exists()


def test_a_commit_that_comes_late_is_sealed_once_and_holds_back_only_what_began_after_it(
    db: None, connect: Connect
) -> None:
    book = small_book()
    assert seal() is not None
    early = connect("runtime")
    with early.transaction():
        early.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'early')")
        batch = json.dumps([book.deposit_draft("A-1", "1", key="early").content()])
        row = early.execute(
            "SELECT entry_id FROM ledger.post_entries(%s::jsonb)", [batch]
        ).fetchone()
        assert row is not None
        # A-2 and another bank account, since the bank's balance is held by the early writer.
        late = book.trade("A-2", "1", "10", key="late")
        seal_history()
        assert sealed_entries() == []
    seal()
    assert sorted(sealed_entries()) == sorted([str(row[0]), str(late)])
    assert seal() is None


def test_an_open_transaction_that_began_later_does_not_hold_back_what_was_before_it(
    db: None, connect: Connect
) -> None:
    book = small_book()
    entry = book.deposit("A-1", "1", key="before")
    writer = connect("runtime")
    with writer.transaction():
        writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'open')")
        seal()
        assert sealed_entries() == [str(entry)]


def test_the_head_binds_all_it_says_and_is_signed_and_published(db: None) -> None:
    small_book()
    block = seal()
    assert block is not None
    leaves = SealLeaf.objects.filter(block_id=1).order_by("position")
    head = Head(
        previous_hash=GENESIS,
        root=merkle_root([bytes(leaf.leaf) for leaf in leaves]),
        number=1,
        epoch=1,
        from_xid=3,
        to_xid=block.to_xid,
        leaf_count=len(leaves),
        layout=SealBlock.objects.get(number=1).layout,
    )
    assert head.hash() == bytes(block.head_hash)
    key = place_key()
    assert key is not None
    assert is_signed(head.hash(), bytes(block.signature), key)
    assert not is_signed(sha256(head.hash()).digest(), bytes(block.signature), key)
    published = read_published().heads[1, 1]
    assert (published.head_hash, published.public_key) == (head.hash(), key)
    assert Path(settings.SEAL_KEY).stat().st_mode & 0o777 == 0o600


def test_a_head_kept_back_by_a_crash_is_published_by_the_next_seal(db: None) -> None:
    book = small_book()
    seal()
    book.deposit("A-1", "1", key="d-1")
    seal()
    path = Path(settings.SEAL_HEADS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:40])
    assert seal() is None
    assert path.read_text() == "".join(lines)


def test_a_history_other_than_the_published_one_is_not_sealed(db: None) -> None:
    small_book()
    path = Path(settings.SEAL_HEADS)
    path.parent.mkdir(exist_ok=True)
    said = {
        "number": 1, "head": "00" * 32, "root": "00" * 32, "to_xid": 9,
        "signature": "00" * 64, "public_key": "00" * 32, "sealed_at": "2026-02-05T12:00:00+00:00",
    }  # fmt: skip
    path.write_text(json.dumps(said) + "\n")
    with pytest.raises(SealRefusedError) as refused:
        seal_history()
    assert refused.value.rule == "heads_continue_this_history"
    assert not SealBlock.objects.exists()


def test_a_lost_key_is_not_replaced_by_a_new_one(db: None, settings: Any, tmp_path: Path) -> None:
    book = small_book()
    seal()
    book.deposit("A-1", "1", key="d-1")
    settings.SEAL_KEY = tmp_path / "elsewhere"
    with pytest.raises(SealRefusedError) as refused:
        seal()
    assert refused.value.rule == "seal_key_is_kept"
    assert SealBlock.objects.count() == 1
    assert not (tmp_path / "elsewhere").exists()


def test_two_sealers_make_one_block(db: None, connect: Connect) -> None:
    small_book()
    other = connect("runtime")
    with other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x5EA1])
        assert seal() is None
    assert seal() is not None


def test_the_tree_is_the_one_of_rfc_6962() -> None:
    # Leaves and roots of the reference test vectors of Certificate Transparency.
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
              "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
    leaves = [sha256(b"\x00" + bytes.fromhex(text)).digest() for text in inputs]
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    assert {n: merkle_root(leaves[:n]).hex() for n in roots} == roots


def test_a_leaf_of_fixed_rows_is_as_it_always_was(db: None, superuser: Any) -> None:
    superuser.execute("""
        CREATE TABLE golden (id bigint PRIMARY KEY, name text, amount numeric, at timestamptz,
                             lives_for interval, said jsonb, content bytea, xid xid8);
        CREATE TABLE golden_part (id bigint PRIMARY KEY, golden_id bigint, text text);
        INSERT INTO golden VALUES
            (1, 'A "quoted", name', 100.50, '2026-02-05 12:00:00.25+00', '1 day 02:03:04',
             '{"b": [1, 2], "a": null}', decode(repeat('00ff', 40), 'hex'), '7'),
            (2, '', -0.10, '2026-07-05 23:59:59+00', NULL, NULL, '\\x00ff', '8');
        INSERT INTO golden_part VALUES (12, 1, 'second'), (11, 1, 'first');
        GRANT SELECT ON golden, golden_part TO bo_runtime""")
    layout = SourceLayout(
        "golden",
        key=("id",),
        columns=("id", "name", "amount", "at", "lives_for", "said", "bytes(content)", "xid"),
        parts=(PartLayout("golden_part", "golden_id", ("id",), ("id", "golden_id", "text")),),
    )
    text = (
        """golden(1,"A ""quoted"", name",100.50,"2026-02-05 12:00:00.25+00","1 day 02:03:04","""
        """"{""a"": null, ""b"": [1, 2]}","""
        '"sha256 eb21b0335cdedbe791a35654e7acfae0176f7fee5bb8fecf9c8392fd4cb5dabd",7)'
        "golden_part(11,1,first)golden_part(12,1,second)"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
        cursor.execute("SET LOCAL DateStyle = 'SQL, DMY'")
        set_canonical(cursor)
        cursor.execute(layout.rows_sql() + " ORDER BY key", {"from": "7", "to": "9"})
        leaves = {key: bytes(leaf) for _, key, leaf in cursor.fetchall()}
    assert leaves["1"] == sha256(b"\x00\x01" + text.encode()).digest()
    assert leaves["1"].hex() == GOLDEN_LEAF
    assert merkle_root([leaves["1"], leaves["2"]]).hex() == GOLDEN_ROOT


def test_a_stored_layout_cannot_smuggle_in_a_query() -> None:
    stored = {"key": ["id"], "columns": ["id", "pg_sleep(9)"], "parts": []}
    with pytest.raises(LayoutError):
        SourceLayout.from_json("ledger_pool", stored)
