"""Sealing goes on: behind writers, in pieces, past crashes, and into copies that may fail."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections

from accounts.models import SealBlock, SealLeaf
from accounts.seals import seal_history, sealer
from accounts.seals.printed import seal_over
from accounts.seals.published import heads_file, read_published
from accounts.seals.sinks import states
from accounts.seals.state import seal_state
from brokerage.verify import verify
from ledger.horizons import store_horizon
from tests.conftest import ROOT
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, named

if TYPE_CHECKING:
    from tests.cluster import Cluster

Connect = Callable[[str], psycopg.Connection[Any]]


# ---------------------------------------------------------------- in pieces, alone, past crashes


def test_a_backlog_is_sealed_in_blocks_of_bounded_length(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(7):
        book.deposit("A-1", "1", key=f"more-{n}")
    monkeypatch.setattr(sealer, "BLOCK_TRANSACTIONS_MAX", 3)
    newest = seal()
    blocks = list(SealBlock.objects.filter(number__gt=2).order_by("number"))
    assert newest == blocks[-1]
    assert len(blocks) >= 3
    covered = [
        SealLeaf.objects.filter(block_id=b.number, source="accounts_act").count() for b in blocks
    ]
    assert max(covered) == 3
    assert SealLeaf.objects.filter(source="ledger_entry").count() == 5 + 7
    assert len(read_published().heads) == 2 + len(blocks)
    assert verify().is_sound


def test_sealers_at_once_make_one_chain(book: Book) -> None:
    book.deposit("A-1", "1", key="more")

    def run(_: int) -> None:
        try:
            seal_history()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(8)))
    seal()
    numbers = list(SealBlock.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    entries = SealLeaf.objects.filter(source="ledger_entry").values_list("row_key", flat=True)
    assert len(entries) == len(set(entries)) == 6
    assert verify().is_sound


def waiting_sealer(superuser: Superuser) -> int | None:
    row = superuser.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE '%accounts_sealblock%'"
    ).fetchone()
    return None if row is None else int(row[0])


@pytest.mark.parametrize("victim", ["the sealer", "its connection"])
def test_a_sealer_killed_between_leaves_and_block_leaves_a_good_chain(
    book: Book, superuser: Superuser, connect: Connect, cluster: "Cluster", database: str,
    victim: str,
) -> None:  # fmt: skip
    book.deposit("A-1", "1", key="more")
    connection.close()
    holder = connect("superuser")
    with holder.transaction():
        # Leaves can be written, their block cannot.
        holder.execute("LOCK TABLE accounts_sealblock IN SHARE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", "import django; django.setup()\n"
             "from accounts.seals import seal_history; seal_history()"],
            cwd=ROOT, stderr=subprocess.PIPE,
            env=os.environ | {
                "DATABASE_URL": cluster.conninfo("bo_runtime", database=database),
                "SEAL_HEADS": str(heads_file()),
            },
        )  # fmt: skip
        while (pid := waiting_sealer(superuser)) is None:
            assert process.poll() is None, process.communicate()[1]
        if victim == "the sealer":
            process.send_signal(signal.SIGKILL)
            superuser.execute(
                "SELECT pg_terminate_backend(%s)", [pid]
            )  # what the socket's end does
        else:
            superuser.execute("SELECT pg_terminate_backend(%s)", [pid])
        assert process.wait() != 0
    process.communicate()
    assert SealBlock.objects.count() == 2
    assert not SealLeaf.objects.filter(block_id=3).exists()
    block = seal()
    assert block is not None
    assert block.number == 3
    assert verify().is_sound


# ---------------------------------------------------------------- what holds it back


def test_what_waits_for_a_seal_and_who_holds_it_back_is_said(
    book: Book, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seal()
    assert seal_state().lag_seconds == 0
    assert seal_state().alarms() == []
    monkeypatch.setattr("accounts.seals.state.WRITER_SECONDS_MAX", -1)
    writer = connect("runtime")
    with writer.transaction():
        writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'open')")
        book.trade("A-2", "1", "10", key="waits")
        seal_history()
        state = seal_state()
        # The horizon is the server's, and other tests work beside this one.
        assert writer.info.backend_pid in [one.pid for one in state.writers]
        (alarm,) = state.alarms()
        assert alarm.startswith("A transaction has held back the seals for")
        assert any(f"process {one.pid}" in alarm for one in state.writers)
        assert "held back the seals" in caplog.text
        assert "held back the seals" in verify().as_json()["alarms"][0]
    monkeypatch.undo()
    seal()
    assert seal_state().alarms() == []
    assert verify().as_json()["seal_lag_seconds"] == 0


# ---------------------------------------------------------------- copies


def test_heads_go_into_another_folder_too(book: Book, settings: Any, tmp_path: Path) -> None:
    copy = tmp_path / heads_file().name
    settings.SEAL_SINKS = [f"folder:{tmp_path}"]
    assert seal_history() is None
    assert copy.read_text() == heads_file().read_text()
    book.deposit("A-1", "1", key="more")
    seal()
    assert copy.read_text() == heads_file().read_text()
    assert len(copy.read_text().splitlines()) == 3
    copy.write_text(copy.read_text()[:-30])  # a crash cut the last line off
    book.deposit("A-1", "1", key="yet more")
    seal()
    kept = [json.loads(line)["number"] for line in copy.read_text().splitlines()]
    assert kept == [1, 2, 4]
    assert verify().is_sound


def test_a_copy_tells_what_the_file_of_heads_no_longer_does(
    book: Book, superuser: Superuser, settings: Any, tmp_path: Path
) -> None:
    settings.SEAL_SINKS = [f"folder:{tmp_path}"]
    seal_history()
    copy = tmp_path / heads_file().name
    head = bytes(SealBlock.objects.get(number=1).head_hash).hex()
    copy.write_text(copy.read_text().replace(head, "00" * 32))
    assert named(verify()) == ("accounts_sealblock", "1", 1)


def test_a_sink_that_fails_raises_an_alarm_and_gets_everything_later(
    book: Book, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "not mounted"
    settings.SEAL_SINKS = [f"folder:{folder}"]
    book.deposit("A-1", "1", key="more")
    assert seal() is not None
    (state,) = states()
    assert state.is_failing
    assert state.delivered == 0
    (alarm,) = seal_state().alarms()
    assert alarm.startswith(f"Heads do not reach folder:{folder} since")
    assert "heads were not written to folder" in caplog.text
    since = state.failed_since
    book.deposit("A-1", "1", key="yet more")
    assert seal() is not None
    assert states()[0].failed_since == since
    assert verify().is_sound
    folder.mkdir()
    seal_history()
    assert (folder / heads_file().name).read_text() == heads_file().read_text()
    assert not states()[0].is_failing
    assert seal_state().alarms() == []


RECEIVED: list[list[str]] = []


def receive(lines: list[str]) -> None:
    """A sink of one's own."""
    if not lines[0].startswith('{"number": 1'):
        raise RuntimeError("the other side says no")
    RECEIVED.append(lines)


def test_heads_go_to_a_program_or_a_function_of_ones_own(
    book: Book, settings: Any, tmp_path: Path
) -> None:
    RECEIVED.clear()
    kept = tmp_path / "kept"
    program = tmp_path / "keep"
    program.write_text(f"#!/bin/sh\ncat >> {kept}\n[ ! -e {tmp_path}/full ] || exit 3\n")
    program.chmod(0o755)
    settings.SEAL_SINKS = [f"command:{program} --now", f"python:{__name__}.receive", "pigeon:home"]
    seal_history()
    assert kept.read_text() == heads_file().read_text()
    assert ["".join(lines) for lines in RECEIVED] == [heads_file().read_text()]
    assert [state.error for state in states()] == [
        "", "", "SinkFailedError: 'pigeon' is no kind of sink; there are folder, command, python",
    ]  # fmt: skip
    (tmp_path / "full").touch()
    book.deposit("A-1", "1", key="more")
    assert seal() is not None
    assert [state.error for state in states()][:2] == [
        "SinkFailedError: exit 3", "RuntimeError: the other side says no",
    ]  # fmt: skip


def test_a_file_of_heads_that_was_replaced_is_delivered_anew(
    book: Book, settings: Any, tmp_path: Path
) -> None:
    settings.SEAL_SINKS = [f"python:{__name__}.receive"]
    RECEIVED.clear()
    seal_history()
    heads_file().unlink()
    seal_history()
    assert len(RECEIVED) == 1, "the same lines were written again, which changes nothing"
    first = heads_file().read_text().splitlines(keepends=True)[0]
    heads_file().write_text(first)
    seal_history()
    assert heads_file().read_text() == "".join(RECEIVED[0])


# ---------------------------------------------------------------- printed on reports


def test_a_report_carries_the_first_head_that_covers_what_it_knows(book: Book) -> None:
    known = store_horizon("report").snapshot

    def printed() -> dict[str, Any]:
        with connection.cursor() as cursor:
            return seal_over(cursor, known).as_json()

    newest = SealBlock.objects.get(number=2)
    assert printed()["head"] == bytes(newest.head_hash).hex()
    assert printed()["head_covers_report"] is False
    book.deposit("A-1", "1", key="later")
    seal()
    covering = printed()
    assert (covering["sealed_to_block"], covering["head_covers_report"]) == (3, True)
    book.deposit("A-1", "1", key="later still")
    seal()
    assert printed() == covering
    assert covering["head_signature"] == bytes(SealBlock.objects.get(number=3).signature).hex()
