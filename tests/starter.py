"""Programs of the product, started for the price of a fork.

A program that a test starts spends a second or more on loading Django, numpy and the product
before it does anything. The starter is a process beside the tests that has loaded all of them and
opened nothing; it is forked for each program that is asked of it. What is forked reads its
settings anew from the environment it was given, and is a process like any other: it has an id to
be killed by, a session of its own if it shall have one, and ends as Python ends.

A test of the start itself, or of what it says of a setting that cannot be right, starts Python.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
REQUEST_SIZE_MAX = 256 * 1024  # most of it is the environment
# What programs load when they start, besides what setting up Django loads.
LOADED = (
    "brokerage.urls", "brokerage.tasks", "django.contrib.staticfiles.finders",
    "django.core.handlers.asgi", "django.core.management.commands.shell", "celery.beat",
    "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork", "celery.fixups.django",
    "celery.worker.components", "celery.worker.consumer", "granian.cli", "granian.server",
)  # fmt: skip
PACKAGES_LOADED = tuple(
    f"{app}.{part}"
    for app in ("accounts", "ledger", "margin", "brokerage")
    for part in ("management.commands", "migrations")
)
BEGIN = "import sys; from tests.starter import main; main(int(sys.argv[1]))"


# ---------------------------------------------------------------- what tests ask for


@dataclass
class Started:
    """A program that runs; what is asked of it has the names of `subprocess.Popen`."""

    args: Sequence[str]
    pid: int
    ending: socket.socket
    output: IO[Any]
    errors: IO[Any]
    returncode: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None:
            if not select.select([self.ending], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            said = self.ending.recv(64)
            assert said, "the starter ended before a program that it had started"
            self.returncode = int(said)
            self.ending.close()
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """What it has said and what it complained of, when it has ended."""
        self.wait()
        said = []
        for file in (self.output, self.errors):
            file.seek(0)
            said.append(file.read().decode())
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    *args: str,
    environment: Mapping[str, str],
    log: IO[Any] | None = None,
    start_new_session: bool = False,
) -> Started:
    """Start a program as `python ARGS` would at the top of the project.

    Args:
        args: `manage.py` or `-m` and a module, and what it is told.
        log: where it writes; kept for `communicate` where None.
    """
    output, errors = (log, log) if log else (TemporaryFile(), TemporaryFile())  # noqa: SIM115
    request = {"args": args, "environment": dict(environment), "leads": start_new_session}
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        descriptors = [there.fileno(), output.fileno(), errors.fileno()]
        socket.send_fds(_control(), [json.dumps(request).encode()], descriptors)
    said = here.recv(64)
    assert said, "the starter has ended"
    return Started(args, int(said), here, output, errors)


def run(*args: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    started = start(*args, environment=environment)
    output, errors = started.communicate()
    return subprocess.CompletedProcess(args, started.wait(), output, errors)


_controls: dict[int, socket.socket] = {}


def _control() -> socket.socket:
    """The socket to the starter of this process, which is begun when it is first needed.

    It ends by itself when nobody holds the socket any more.
    """
    if os.getpid() not in _controls:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            subprocess.Popen(
                [sys.executable, "-c", BEGIN, str(there.fileno())],
                cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()],
            )  # fmt: skip
        _controls[os.getpid()] = here
    return _controls[os.getpid()]


# ---------------------------------------------------------------- the starter


@dataclass(frozen=True)
class Program:
    """What a fork of the starter is to become."""

    args: list[str]
    environment: dict[str, str]
    leads: bool

    def become(self) -> None:
        """Run as the program, from the settings on; it ends as Python ends."""
        os.environ.clear()
        os.environ.update(self.environment)
        forget_settings()
        name, *words = self.args
        if name == "-m":
            sys.argv = words
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = self.args
            runpy.run_path(name, run_name="__main__")


def load() -> None:
    """Load what programs need, and open nothing."""
    import django

    django.setup()
    for name in LOADED:
        importlib.import_module(name)
    for name in PACKAGES_LOADED:
        with suppress(ModuleNotFoundError):
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                importlib.import_module(f"{name}.{module.name}")
    # What is loaded stays, and is not looked through, and so not copied, by what is forked.
    gc.collect()
    gc.freeze()


def forget_settings() -> None:
    """Have them read again by whoever asks for one; what was made from them is made again."""
    from asgiref.local import Local
    from django.conf import settings
    from django.db import connections
    from django.utils.functional import empty

    sys.modules.pop("brokerage.settings")
    settings._wrapped = empty
    connections._settings = None
    connections.__dict__.pop("settings", None)
    connections._connections = Local(connections.thread_critical)


def serve(control: socket.socket) -> Program | None:
    """Start what is asked for until nobody asks any more; in what is forked, return what it is."""
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with those who ask
    endings: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, woken], [], [])[0]
        if woken in ready:
            woken.recv(1024)
            tell_ends(endings)
        if control not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST_SIZE_MAX, 3)
        if not message:
            return None
        program = Program(**json.loads(message))
        ending, output, errors = descriptors
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(output, 1)
            os.dup2(errors, 2)
            for each in (control, woken, wakes, *endings.values()):
                each.close()
            for descriptor in (output, errors):
                os.close(descriptor)
            if program.leads:
                os.setsid()
            with socket.socket(fileno=ending) as told:
                told.send(str(os.getpid()).encode())
            return program
        endings[pid] = socket.socket(fileno=ending)
        os.close(output)
        os.close(errors)


def tell_ends(endings: dict[int, socket.socket]) -> None:
    """Say how programs ended that have."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            pid, status = ended
            with endings.pop(pid) as ending, suppress(OSError):
                ending.send(str(os.waitstatus_to_exitcode(status)).encode())


def main(descriptor: int) -> None:
    """Be the starter at a socket that the tests hold; what it forks goes on from here."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "brokerage.settings"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    load()
    program = serve(socket.socket(fileno=descriptor))
    if program is not None:
        program.become()
