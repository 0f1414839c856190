"""The day's processes: kept alive together, ended together, refused when they cannot start."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokerage.postgres import Server
from brokerage.supervisor import StartRefusedError, Stopping, group_lives, sole_run
from tests.cluster import ROOT

# Two children: the first has a child of its own, as a worker has its pool.
DAY = """
import os, sys
from brokerage.supervisor import ChildSpec, Supervisor
tell = "import os, subprocess, sys, time; said = sys.argv[1] + ' ' + str(os.getpid()) + chr(10);"
tell += "os.write(1, said.encode());"  # at once, since others write there too
sleep = [sys.executable, "-c", tell + "time.sleep(600)"]
pool = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
with_pool = [sys.executable, "-c", tell + pool + "time.sleep(600)"]
specs = [ChildSpec("web", [*sleep, "web"]), ChildSpec("worker", [*with_pool, "worker"])]
Supervisor(specs, None, sys.stdout).run(when_up=lambda: os.write(1, b"up\\n"))
"""


def heed_interrupts() -> None:
    """Undo what a shell does to a suite it started in the background: ignoring interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Day:
    """A supervisor in a process of its own, and what it and its children say."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAY], cwd=ROOT, stdout=subprocess.PIPE, text=True,
            preexec_fn=heed_interrupts,
        )  # fmt: skip
        self.pids: dict[str, int] = {}

    def await_line(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if rest.isdecimal():
                self.pids[word] = int(rest)
            if line.startswith(start):
                return line.strip()
        pytest.fail(f"the supervisor ended without saying {start!r}")

    def await_children(self) -> None:
        while len(self.pids) < 2:
            self.await_line("w")


@contextmanager
def running_day() -> Iterator[Day]:
    day = Day()
    try:
        day.await_children()
        yield day
    finally:
        day.process.terminate()
        day.process.wait()
        assert day.process.stdout is not None
        day.process.stdout.close()


def test_a_dead_child_is_started_again() -> None:
    with running_day() as day:
        first = day.pids.pop("web")
        os.kill(first, signal.SIGKILL)
        assert day.await_line("web died") == "web died and is started again in 0.5 s."
        day.await_children()
        assert day.pids["web"] != first


def test_what_a_dead_child_leaves_is_ended_before_it_is_started_again() -> None:
    with running_day() as day:
        first = day.pids.pop("worker")
        os.kill(first, signal.SIGKILL)
        day.await_line("worker died")
        day.await_children()
        assert not group_lives(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_leaves_no_process(number: signal.Signals) -> None:
    with running_day() as day:
        day.process.send_signal(number)
        day.await_line("Stopped.")
        assert day.process.wait() == 0
        assert not any(map(group_lives, day.pids.values()))


def test_an_interrupt_sent_to_make_alone_stops_the_day(tmp_path: Path) -> None:
    (tmp_path / "day.py").write_text(DAY)
    (tmp_path / "Makefile").write_text(f"day:\n\t@{sys.executable} day.py\n")
    make = subprocess.Popen(
        ["make", "day"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts,
    )  # fmt: skip
    assert make.stdout is not None
    for line in make.stdout:
        if line == "up\n":
            break
    make.send_signal(signal.SIGINT)
    assert "Stopped.\n" in make.communicate(timeout=60)[0]


def test_children_end_when_the_supervisor_is_killed() -> None:
    with running_day() as day:
        day.process.kill()
        # The output ends when the last descendant has closed it.
        day.process.communicate(timeout=60)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        expected = rf"^Port {port} cannot be used \(Address already in use\); PORT=... chooses"
        with pytest.raises(StartRefusedError, match=expected), sole_run(tmp_path, port=port):
            pytest.fail("it started")


def test_a_second_run_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    expected = rf"^The back office is already running here \(process {os.getpid()}\)\.$"
    with (
        sole_run(tmp_path, port=port),
        pytest.raises(StartRefusedError, match=expected),
        sole_run(tmp_path, port=port),
    ):
        pytest.fail("it started")


def test_after_a_run_another_may_follow(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(2):
        with sole_run(tmp_path, port=port):
            assert (tmp_path / "run.lock").read_text() == str(os.getpid())
        assert (tmp_path / "run.lock").read_text() == ""


def test_a_place_that_was_never_set_up_is_refused_in_a_sentence() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ["BROKERAGE_VAR"]) as place:
        Path(place).chmod(0o711)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "run"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | {"BROKERAGE_VAR": place, "PORT": str(port)},
        )  # fmt: skip
        assert Server(Path(place)).postmaster() is None
    assert done.returncode == 2
    assert re.fullmatch(
        r"CommandError: The database is not ready: run `make setup` first. PostgreSQL says: .+\.\n",
        done.stderr,
    )


def test_asking_while_waiting_takes_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler interrupts the very thread that waits; hundreds of times it must not hang."""
    monkeypatch.setattr("brokerage.supervisor.POLL_SECONDS", 0.001)
    stopping, asked = Stopping(), 0

    def ask(*_: object) -> None:
        nonlocal asked
        asked += 1
        stopping.ask()

    before = signal.signal(signal.SIGALRM, ask)
    try:
        for _ in range(300):
            stopping = Stopping()
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            assert stopping.wait(20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert asked >= 300
