"""Keeps the day's processes alive together, and ends them together.

Web server, worker and scheduler are children in sessions of their own, so a Ctrl-C in the
terminal reaches only the supervisor, which then stops them in order. A child that dies is started
again. Should the supervisor itself be killed, a small keeper process ends the children's groups
and then the embedded database server.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

from brokerage.postgres import Server, adopting_orphans
from brokerage.server_user import ServerRefusedError

POLL_SECONDS = 0.25
# After each death in a row the pause doubles, up to the last; a child that lived long starts anew.
PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 30.0
HEALTHY_SECONDS = 60.0
STOP_SECONDS_MAX = 10.0
# A supervisor that was killed leaves its children a moment behind it, with the port still taken.
PREDECESSOR_SECONDS_MAX = 15.0

PR_SET_PDEATHSIG = 1


class StartRefusedError(Exception):
    """The day cannot be started; the message is one sentence for people."""


class ChildSpec(NamedTuple):
    """A process to keep alive."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}


@dataclass
class Child:
    """One kept process: running, or waiting to be started again."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_due: float = 0.0
    deaths: int = 0

    def start(self, *, now: float) -> int:
        """Start the process in a session of its own; returns its id, which is its group's too."""
        parent = os.getpid()
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.spec.command,
            env={**os.environ, **self.spec.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _end_with(parent),
        )
        self.started_at = now
        return self.process.pid

    def died(self, *, now: float) -> int | None:
        """The process's id if it ended since the last look; what it left of its group ends too."""
        if self.process is None or self.process.poll() is None:
            return None
        pid = self.process.pid
        _kill_group(pid)
        self.process = None
        if now - self.started_at > HEALTHY_SECONDS:
            self.deaths = 0
        self.start_due = now + min(PAUSE_SECONDS_FIRST * 2**self.deaths, PAUSE_SECONDS_MAX)
        self.deaths += 1
        return pid

    def tell(self, signal_number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal_number)

    def await_end(self, *, seconds: float) -> None:
        """Wait for the process, then end whatever of its group is left."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)
        _kill_group(self.process.pid)
        self.process.wait()
        self.process = None


class Stopping:
    """Whether somebody asked to stop.

    It is asked inside a handler of signals, which runs while the same thread waits. An event of
    `threading` takes a lock for both, and would wait for itself now and then; this takes none.
    """

    def __init__(self) -> None:
        self._is_asked = False

    def ask(self) -> None:
        """Say so; whoever waits sees it."""
        self._is_asked = True

    def wait(self, seconds: float) -> bool:
        """Wait so long, less where somebody asks; returns whether somebody has."""
        until = time.monotonic() + seconds
        while not self._is_asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self._is_asked


@dataclass
class Supervisor:
    """Starts the children, restarts the dead, stops all in the reverse order.

    Attributes:
        specs: what to keep alive, in starting order.
        server: the embedded database server, or None when another one is used.
        out: where people read what happens.
    """

    specs: Sequence[ChildSpec]
    server: Server | None
    out: TextIO
    stopping: Stopping = field(default_factory=Stopping)

    def run(self, *, when_up: Callable[[], None]) -> None:
        """Keep everything alive until somebody asks to stop.

        Args:
            when_up: called once, right after the children were started.
        """
        starter = _Starter.of_this_process()
        children = [Child(spec) for spec in self.specs]
        with (
            adopting_orphans(),
            _signals_ask_to_stop(self.stopping),
            self._database() as keeper,
        ):
            try:
                for child in children:
                    self._start(child, keeper)
                when_up()
                while not self.stopping.wait(POLL_SECONDS) and not starter.was_interrupted():
                    self._mind_server()
                    for child in children:
                        self._mind(child, keeper)
            finally:
                self._say("Stopping.")
                stop(children)
        _bury_orphans()
        self._say("Stopped.")

    def _start(self, child: Child, keeper: "_Keeper") -> None:
        keeper.tell("+", child.start(now=time.monotonic()))

    def _mind(self, child: Child, keeper: "_Keeper") -> None:
        now = time.monotonic()
        dead = child.died(now=now)
        if dead is not None:
            keeper.tell("-", dead)
            pause = child.start_due - now
            self._say(f"{child.spec.name} died and is started again in {pause:.1f} s.")
        elif child.process is None and now >= child.start_due:
            self._start(child, keeper)

    def _mind_server(self) -> None:
        if self.server is not None and self.server.postmaster() is None:
            self._say("The database server died and is started again.")
            try:
                self.server.start()
            except ServerRefusedError as refusal:
                self._say(str(refusal))

    @contextmanager
    def _database(self) -> Iterator["_Keeper"]:
        """Have the embedded server up, and somebody to stop it whatever happens to us."""
        if self.server is not None:
            self.server.hold()
        keeper = _Keeper.watching(self.server)
        try:
            yield keeper
        finally:
            keeper.dismiss()
            if self.server is not None:
                self.server.release()

    def _say(self, sentence: str) -> None:
        # The terminal may be gone (its window was closed), which must not keep us from stopping.
        with suppress(OSError):
            self.out.write(f"{sentence}\n")
            self.out.flush()


def stop(children: Sequence[Child]) -> None:
    """End all children, last started first; whoever does not listen is killed."""
    for child in reversed(children):
        child.tell(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    for child in reversed(children):
        child.await_end(seconds=max(0.1, deadline - time.monotonic()))


class _Starter(NamedTuple):
    """The `make` that started us, which keeps an interrupt sent to it alone to itself.

    It then only waits for us to end; what shows is that it no longer catches the signal.
    """

    pid: int
    is_make: bool

    @classmethod
    def of_this_process(cls) -> "_Starter":
        pid = os.getppid()
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return cls(pid, is_make=False)
        return cls(pid, is_make=name in ("make", "gmake") and _catches_interrupt(pid))

    def was_interrupted(self) -> bool:
        return self.is_make and os.getppid() == self.pid and not _catches_interrupt(self.pid)


def _catches_interrupt(pid: int) -> bool:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
    return False


class _Keeper(NamedTuple):
    """A process that outlives a killed supervisor just long enough to end what it started."""

    pid: int
    line: int

    @classmethod
    def watching(cls, server: Server | None) -> "_Keeper":
        ear, line = os.pipe()
        pid = os.fork()
        if pid:
            os.close(ear)
            return cls(pid, line)
        try:
            os.setsid()
            if server is not None:
                server.forget()
            # Above all the line itself and the lock of the run, which would outlive it.
            os.closerange(3, ear)
            os.closerange(ear + 1, os.sysconf("SC_OPEN_MAX"))
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            _keep_watch(ear, server)
        finally:
            os._exit(0)

    def tell(self, word: str, leader: int) -> None:
        """Say which process group was started (`+`) or has ended (`-`)."""
        os.write(self.line, f"{word}{leader}\n".encode())

    def dismiss(self) -> None:
        with suppress(BrokenPipeError):
            os.write(self.line, b".\n")
        os.close(self.line)
        os.waitpid(self.pid, 0)


def _keep_watch(ear: int, server: Server | None) -> None:
    """Listen until the supervisor says goodbye, or falls silent because it was killed."""
    leaders: set[int] = set()
    with os.fdopen(ear) as words:
        for word in words:
            if word.startswith("."):
                return
            leader = int(word[1:])
            (leaders.add if word[0] == "+" else leaders.discard)(leader)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    if sys.platform != "linux":  # there the kernel has told them already
        for leader in leaders:
            with suppress(ProcessLookupError):
                os.kill(leader, signal.SIGTERM)
    while any(map(group_lives, leaders)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for leader in leaders:
        _kill_group(leader)
    if server is not None:
        server.stop_if_unused()


@contextmanager
def sole_run(var: Path, *, port: int) -> Iterator[None]:
    """Be the only supervisor of a directory, with the port free, before anything starts.

    Raises:
        StartRefusedError: another one runs there, or the port is taken.
    """
    var.mkdir(parents=True, exist_ok=True)
    with (var / "run.lock").open("a+") as lock:
        lock.seek(0)
        predecessor = lock.read().strip()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartRefusedError(
                f"The back office is already running here (process {predecessor})."
            ) from None
        # A name still in the file: the predecessor was killed and its children may be ending.
        _await_port(port, seconds=PREDECESSOR_SECONDS_MAX if predecessor else 0.0)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        os.set_inheritable(lock.fileno(), False)
        yield
        lock.truncate(0)


def _await_port(port: int, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StartRefusedError(
                        f"Port {port} cannot be used ({error.strerror}); PORT=... chooses another."
                    ) from None
            else:
                return
        time.sleep(POLL_SECONDS)


@contextmanager
def _signals_ask_to_stop(stopping: Stopping) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda *_: stopping.ask())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bury_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_with(parent: int) -> None:
    """In a new child: be told to end when the parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _kill_group(leader: int) -> None:
    """End what is left of a group at once, and bury what of it is ours."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-leader, 0)


def group_lives(leader: int) -> bool:
    """Whether a member of the group still runs; one that waits for its burial does not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == leader and state != "Z":
                    return True
    return False
