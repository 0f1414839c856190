"""Ends what a session leaves running that is killed before it can clear away.

The session starts it beside itself as `python tests/watcher.py SESSION PLACE`. Whatever the
session started says in its environment whose it is; the servers of PostgreSQL, which get an
environment of their own, are known by the directory they work in.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "BROKERAGE_TEST_SESSION"
PATIENCE_SECONDS = 5


def watched() -> None:
    """Mark this process and all that it starts, and have it watched; Linux only."""
    place = os.environ["BROKERAGE_VAR"]
    os.environ[MARK] = place
    if hasattr(os, "pidfd_open"):
        subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(os.getpid()), place],
            cwd="/", env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def left_of(place: Path) -> Iterator[int]:
    """Processes of the session that worked in a place."""
    mark = f"{MARK}={place}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                is_marked = mark in (entry / "environ").read_bytes().split(b"\0")
                if is_marked or str((entry / "cwd").readlink()).startswith(str(place)):
                    yield int(entry.name)


def end_all(place: Path) -> None:
    """End them, first as one asks a program to, and delete what they worked on."""
    began = time.monotonic()
    while pids := list(left_of(place)):
        is_late = time.monotonic() > began + PATIENCE_SECONDS
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
        time.sleep(0.2)
    for folder in place.parent.glob(f"{place.name}*"):
        shutil.rmtree(folder, ignore_errors=True)


def main(session: int, place: Path) -> None:
    """Wait for the end of the session, however it comes; in order, there is nothing left to end."""
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(session)], [], [])
    end_all(place)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
