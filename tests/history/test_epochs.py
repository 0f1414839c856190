"""The chain is taken up on another copy of the book, says so, and never otherwise."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.models import Act, SealBlock, SealEpoch
from accounts.seals import SealRefusedError, seal_history
from accounts.seals.epochs import begin_epoch, highest_transaction
from accounts.seals.heads import signing_key
from accounts.seals.published import read_published
from brokerage.verify import verify
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, named, tamper

Owner = psycopg.Connection[Any]


def back_up(superuser: Superuser) -> None:
    superuser.execute("CREATE SCHEMA backup")
    for name in tables(superuser):
        superuser.execute(f"CREATE TABLE backup.{name} AS TABLE public.{name}")


def restore(superuser: Superuser) -> None:
    """The book as the backup has it; the server's transaction ids go on, as they must."""
    connection.close()
    statements = [
        statement
        for name in tables(superuser)
        for statement in (
            f"DELETE FROM public.{name}",
            f"INSERT INTO public.{name} SELECT * FROM backup.{name}",
        )
    ]
    tamper(superuser, *statements, must_move=False)


def tables(superuser: Superuser) -> list[str]:
    found = superuser.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace AND relname <> 'django_migrations'"
    ).fetchall()
    return [name for (name,) in found]


def lose_a_block(book: Book, superuser: Superuser) -> None:
    """Three blocks are published, and the copy at hand holds two."""
    back_up(superuser)
    book.deposit("A-1", "5", key="lost")
    assert seal() is not None
    restore(superuser)
    assert SealBlock.objects.count() == 2
    assert sorted(read_published().heads) == [(1, 1), (1, 2), (1, 3)]


def test_the_first_epoch_begins_with_the_book(book: Book) -> None:
    epoch = SealEpoch.objects.get()
    assert (epoch.number, epoch.cause, epoch.after_number) == (1, "first", 0)
    assert set(SealBlock.objects.values_list("epoch", flat=True)) == {1}
    assert read_published().epochs == {}


def test_a_restored_book_is_not_sealed_on_until_somebody_says_so(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    assert named(verify()) == ("accounts_sealblock", "3", 3)
    with pytest.raises(SealRefusedError) as refused:
        seal_history()
    assert refused.value.rule == "heads_continue_this_history"
    assert SealBlock.objects.count() == 2


def test_an_epoch_takes_the_chain_up_and_names_what_was_lost(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    lost = read_published().heads[1, 3].head_hash
    before = SealBlock.objects.get(number=2)
    epoch = begin_epoch("restored from Friday's backup")
    assert (epoch.number, epoch.cause, epoch.after_number) == (2, "restore", 2)
    assert bytes(epoch.after_head) == bytes(before.head_hash)
    assert epoch.given_up == [{"epoch": 1, "after": 2, "number": 3, "head": lost.hex()}]
    assert Act.objects.get(xid=epoch.xid).reason == "restored from Friday's backup"
    assert verify().is_sound

    book.deposit("A-2", "6", key="after")
    block = seal()
    assert block is not None
    assert (block.number, block.epoch, block.from_xid) == (3, 2, before.to_xid)
    assert bytes(block.previous_hash) == bytes(before.head_hash)
    assert sorted(read_published().heads) == [(1, 1), (1, 2), (1, 3), (2, 3)]
    report = verify()
    assert report.is_sound
    heads = next(c for c in report.checks if c.name == "heads_are_signed_and_published")
    assert "1 published blocks were given up by the restore that began epoch 2" in heads.detail


def test_the_command_begins_an_epoch_or_says_why_not(
    book: Book, superuser: Superuser, capsys: pytest.CaptureFixture[str]
) -> None:
    lose_a_block(book, superuser)
    call_command("epoch", reason="copied by hand")
    assert capsys.readouterr().out == (
        "Epoch 2 goes on from block 2; 1 published blocks are given up.\n"
    )
    assert verify().is_sound
    path = Path(settings.SEAL_HEADS)
    head = SealBlock.objects.get(number=2).head_hash
    path.write_text(path.read_text().replace(bytes(head).hex(), "00" * 32))
    with pytest.raises(CommandError, match="was published with another head"):
        call_command("epoch", reason="copied by hand")
    assert SealEpoch.objects.count() == 2


def test_a_copy_of_the_heads_from_before_the_restore_tells_what_it_took(
    book: Book, superuser: Superuser, tmp_path: Path
) -> None:
    lose_a_block(book, superuser)
    copy = tmp_path / "heads.ndjson"
    copy.write_text(Path(settings.SEAL_HEADS).read_text())
    begin_epoch("restored")
    report = verify(copy)
    assert named(report) == ("accounts_sealblock", "3", 3)
    assert "is gone; it was published in epoch 1" in report.as_json()["first_wrong"]["detail"]


def test_a_second_restore_from_the_same_backup_gives_up_both_branches(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    begin_epoch("restored")
    book.deposit("A-1", "6", key="lost again")
    seal()
    restore(superuser)
    epoch = begin_epoch("restored again")
    assert epoch.number == 3
    assert [(one["epoch"], one["after"], one["number"]) for one in epoch.given_up] == [
        (1, 2, 3),
        (2, 0, 3),
    ]
    book.deposit("A-2", "7", key="after")
    block = seal()
    assert block is not None
    assert (block.number, block.epoch) == (3, 3)
    assert verify().is_sound


def test_what_was_sealed_elsewhere_after_the_restore_is_not_excused(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    begin_epoch("restored")
    path = Path(settings.SEAL_HEADS)
    lines = path.read_text().splitlines(keepends=True)
    went_on = json.loads(lines[2]) | {"number": 4, "head": "ab" * 32}
    path.write_text("".join([*lines[:3], json.dumps(went_on) + "\n", *lines[3:]]))
    assert named(verify()) == ("accounts_sealblock", "4", 4)


def test_an_epoch_is_published_by_the_next_seal_where_a_crash_kept_it_back(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    path = Path(settings.SEAL_HEADS)
    before = path.read_text()
    begin_epoch("restored")
    whole = path.read_text()
    path.write_text(before)
    assert seal() is not None
    assert path.read_text().startswith(whole)
    assert verify().is_sound


def test_another_book_is_not_taken_for_an_older_copy(book: Book) -> None:
    path = Path(settings.SEAL_HEADS)
    head = SealBlock.objects.get(number=2).head_hash
    path.write_text(path.read_text().replace(bytes(head).hex(), "00" * 32))
    with pytest.raises(SealRefusedError) as refused:
        begin_epoch("restored")
    assert refused.value.rule == "epoch_continues_this_history"
    assert SealEpoch.objects.count() == 1


def test_a_server_that_would_give_out_known_transactions_is_refused(
    book: Book, superuser: Superuser
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        (coming,) = cursor.fetchone()
        assert highest_transaction(cursor) < coming
        begin_epoch("restored")
        tamper(
            superuser,
            "INSERT INTO ledger_horizon (snapshot, purpose, taken_at, xid)"
            f" SELECT '{coming + 900}:{coming + 900}:', 'minute', now(), max(xid)"
            " FROM accounts_act",
        )
        assert highest_transaction(cursor) == coming + 899
    with pytest.raises(SealRefusedError) as refused:
        begin_epoch("restored by hand")
    assert refused.value.rule == "transactions_go_forward"
    assert f"the book has transaction {coming + 899}" in str(refused.value)
    assert SealEpoch.objects.count() == 2


def test_a_lost_key_is_replaced_with_an_epoch_only(
    book: Book, settings: Any, tmp_path: Path
) -> None:
    settings.SEAL_KEY = tmp_path / "new"
    with pytest.raises(SealRefusedError) as refused:
        begin_epoch("the key was lost with the server")
    assert refused.value.rule == "seal_key_is_kept"
    assert SealEpoch.objects.count() == 1
    begin_epoch("the key was lost with the server", may_make_key=True)
    book.deposit("A-1", "1", key="after")
    assert seal() is not None
    assert verify().is_sound


def test_another_key_that_lies_in_the_place_of_ours_signs_nothing(
    book: Book, settings: Any, tmp_path: Path
) -> None:
    book.deposit("A-1", "1", key="more")
    stranger = tmp_path / "stranger"
    settings.SEAL_KEY, kept = stranger, settings.SEAL_KEY
    signing_key(may_make=True)
    with pytest.raises(SealRefusedError) as refused:
        seal()
    assert refused.value.rule == "seal_key_is_kept"
    settings.SEAL_KEY = kept
    assert SealBlock.objects.count() == 2


CHANGES = (
    "cause = 'upgrade'",
    "began_at = began_at + interval '1 us'",
    "highest_xid = '4'",
    "given_up = '[]'",
    "given_up = '{}'",
    "server = ''",
    "public_key = ''",
    "signature = ''",
    "number = 7",
    "after_number = 1",
    "after_head = sha256('')",
)


def test_a_changed_epoch_is_named(book: Book, superuser: Superuser) -> None:
    lose_a_block(book, superuser)
    begin_epoch("restored")
    superuser.execute("CREATE TEMPORARY TABLE kept AS TABLE accounts_sealepoch")
    for change in CHANGES:
        tamper(superuser, f"UPDATE accounts_sealepoch SET {change} WHERE number = 2")
        wrong = verify().as_json()["first_wrong"]
        assert wrong is not None, change
        assert wrong["table"] in ("accounts_sealepoch", "accounts_sealblock"), change
        assert wrong["check"] in ("seals_form_one_chain", "heads_are_signed_and_published"), change
        tamper(
            superuser,
            "DELETE FROM accounts_sealepoch",
            "INSERT INTO accounts_sealepoch SELECT * FROM pg_temp.kept",
        )
    assert verify().is_sound


def test_an_epoch_that_somebody_without_the_key_wrote_excuses_nothing(
    book: Book, superuser: Superuser
) -> None:
    lose_a_block(book, superuser)
    tamper(
        superuser,
        "INSERT INTO accounts_sealepoch (number, cause, began_at, after_number, after_head,"
        " highest_xid, given_up, server, public_key, signature, xid)"
        " SELECT 2, 'restore', now(), 2, b.head_hash, b.to_xid,"
        """ '[{"epoch": 1, "after": 2, "number": 3, "head": "00"}]', '', '', '', b.xid"""
        " FROM accounts_sealblock b WHERE number = 2",
    )
    assert named(verify())[:2] == ("accounts_sealepoch", "2")
    with pytest.raises(SealRefusedError) as refused:
        seal_history()
    assert refused.value.rule == "epoch_is_signed"


# ---------------------------------------------------------------- what the database refuses

ACT = "SELECT accounts.act('system:command:test', NULL, 'command', '', 'by hand')"
NEXT = (
    "INSERT INTO accounts_sealblock (number, epoch, from_xid, to_xid, leaf_count, layout, root,"
    " previous_hash, head_hash, signature, sealed_at)"
    " SELECT number + 1, {epoch}, {start}, {end}, {leaves}, '{{}}', root, {before}, root, '', now()"
    " FROM accounts_sealblock ORDER BY number DESC LIMIT 1"
)
NEXT_EPOCH = (
    "INSERT INTO accounts_sealepoch (number, cause, began_at, after_number, after_head,"
    " highest_xid, given_up, server, public_key, signature)"
    " SELECT {number}, 'restore', now(), {after}, {head}, {highest}, '[]', '', '', ''"
    " FROM accounts_sealblock ORDER BY number DESC LIMIT 1"
)
BLOCK = {
    "epoch": "1", "start": "to_xid", "end": "pg_snapshot_xmin(pg_current_snapshot())",
    "leaves": "0", "before": "head_hash",
}  # fmt: skip
EPOCH = {
    "number": "2", "after": "number", "head": "head_hash",
    "highest": "(SELECT max(xid) FROM accounts_act WHERE xid < pg_current_xact_id())",
}  # fmt: skip


def by_hand(owner: Owner, statement: str) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute(ACT)
        owner.execute(statement)


FORBIDDEN = [
    ("block_follows_the_chain", NEXT.format(**BLOCK | {"epoch": "2"})),
    ("block_follows_the_chain", NEXT.format(**BLOCK | {"start": "from_xid"})),
    ("block_follows_the_chain", NEXT.format(**BLOCK | {"before": "previous_hash"})),
    (
        "block_ends_below_the_horizon",
        NEXT.format(**BLOCK | {"end": "(pg_current_xact_id()::text::bigint + 1)::text::xid8"}),
    ),
    ("block_has_its_leaves", NEXT.format(**BLOCK | {"leaves": "1"})),
    (
        "leaf_is_of_the_next_block",
        "INSERT INTO accounts_sealleaf (block_id, position, source, row_key, leaf, marks)"
        " VALUES (2, 900, 'ledger_pool', '1', '', '')",
    ),
    ("epoch_follows_the_chain", NEXT_EPOCH.format(**EPOCH | {"number": "1"})),
    ("epoch_follows_the_chain", NEXT_EPOCH.format(**EPOCH | {"after": "number - 1"})),
    ("epoch_follows_the_chain", NEXT_EPOCH.format(**EPOCH | {"head": "previous_hash"})),
    ("epoch_follows_the_chain", NEXT_EPOCH.format(**EPOCH | {"highest": "'5'"})),
    (
        "epoch_follows_the_chain",
        NEXT_EPOCH.format(**EPOCH | {"highest": "pg_current_xact_id()"}),
    ),
]


def test_seals_that_do_not_follow_are_refused_even_to_the_owner(book: Book, owner: Owner) -> None:
    for rule, statement in FORBIDDEN:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            by_hand(owner, statement)
        assert refused.value.diag.constraint_name == rule, statement
        assert (SealBlock.objects.count(), SealEpoch.objects.count()) == (2, 1)
    for permitted in (NEXT.format(**BLOCK), NEXT_EPOCH.format(**EPOCH)):
        by_hand(owner, permitted)


def test_nobody_begins_an_epoch_without_saying_who(book: Book, connect: Any) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        connect("runtime").execute(NEXT_EPOCH.format(**EPOCH))
    assert refused.value.diag.constraint_name == "change_has_an_actor"
    assert SealEpoch.objects.count() == 1
