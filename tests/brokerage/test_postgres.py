"""The server the program brings along: started when needed, never left behind, never unsafe."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from brokerage.postgres import SUPERUSER, Server, refuse_unsafe
from brokerage.server_user import ServerRefusedError
from tests.cluster import ROOT, remove

HOLD = """
import sys
from pathlib import Path
from brokerage.postgres import Server
Server(Path(sys.argv[1])).hold()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, in a directory no other user may enter."""
    session = Path(os.environ["BROKERAGE_VAR"])
    root = session.with_name(f"{session.name}-{os.getpid()}")
    root.mkdir(mode=0o700)
    server = Server(root / "var")
    yield server
    if server.root.exists():
        remove(server.root)
    root.rmdir()


def ask(server: Server, question: str) -> Any:
    with psycopg.connect(server.conninfo(user=SUPERUSER, dbname="postgres")) as connection:
        row = connection.execute(question).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]


def kill(pid: int) -> None:
    """Kill a process that is not our child and wait until it is gone."""
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)


def processes_in(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if Path(os.readlink(entry / "cwd")) == directory:
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_it_starts_answers_and_leaves_no_process(server: Server) -> None:
    server.start()
    assert ask(server, "SHOW data_checksums") == "on"
    assert ask(server, "SHOW listen_addresses") == ""
    assert server.postmaster() is not None
    server.stop()
    assert server.postmaster() is None
    assert processes_in(server.data) == []


def test_starting_twice_keeps_the_first(server: Server) -> None:
    server.start()
    first = server.postmaster()
    server.start()
    assert server.postmaster() == first


def test_what_was_committed_survives_kill_9(server: Server) -> None:
    server.start()
    with psycopg.connect(server.conninfo(user=SUPERUSER, dbname="postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    first = server.postmaster()
    assert first is not None
    kill(first)
    server.start()
    assert ask(server, "SELECT value FROM kept") == 7
    assert server.postmaster() != first


def test_a_pid_file_that_names_another_process_is_not_believed(server: Server) -> None:
    server.start()
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    assert server.postmaster() is None
    server.start()
    assert ask(server, "SELECT 1") == 1


def test_a_half_made_cluster_is_made_anew(server: Server) -> None:
    server.root.mkdir(mode=0o711)
    (server.root / "postgres.new").mkdir()
    (server.root / "postgres.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server, "SELECT 1") == 1


def test_a_long_path_gets_a_short_socket(server: Server) -> None:
    deep = Server(server.root / ("d" * 60) / ("e" * 60))
    deep.root.mkdir(parents=True)
    assert len(str(deep.socket_directory)) < 40
    try:
        deep.start()
        assert ask(deep, "SELECT 1") == 1
    finally:
        remove(deep.root)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_lose_commits_is_refused(server: Server, setting: str) -> None:
    server.start()
    with psycopg.connect(
        server.conninfo(user=SUPERUSER, dbname="postgres"), autocommit=True
    ) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
    server.stop()
    with pytest.raises(ServerRefusedError, match=f"PostgreSQL runs with {setting} off"):
        server.start()
    assert server.postmaster() is None


def test_a_role_for_which_commits_may_be_lost_is_refused(
    superuser: psycopg.Connection[Any], connect: Callable[[str], psycopg.Connection[Any]]
) -> None:
    refuse_unsafe(connect("runtime"))
    database = superuser.info.dbname
    superuser.execute(
        sql.SQL("ALTER ROLE bo_runtime IN DATABASE {} SET synchronous_commit = off").format(
            sql.Identifier(database)
        )
    )
    with pytest.raises(ServerRefusedError, match="synchronous_commit off"):
        refuse_unsafe(connect("runtime"))


def test_the_last_process_to_let_go_stops_it(server: Server) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(server.root)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    holders[0].communicate()
    assert server.postmaster() is not None
    holders[1].communicate()
    assert server.postmaster() is None
    assert processes_in(server.data) == []
