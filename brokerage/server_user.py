"""Who PostgreSQL runs as: ourselves, or an ordinary user when we are root (which it refuses)."""

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NOBODY = "nobody"

CANNOT_ENTER = (
    "PostgreSQL does not run as root, and the user it runs as cannot enter this directory: "
    "move the checkout, or run this as an ordinary user."
)


class ServerRefusedError(Exception):
    """PostgreSQL cannot be started, reached or trusted; the message is one sentence for people."""


class User(NamedTuple):
    uid: int
    gid: int


def of(data: Path) -> User | None:
    """Whom the server of a data directory runs as; None when that is us."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        found = data.stat()
        return User(found.st_uid, found.st_gid)
    nobody = pwd.getpwnam(NOBODY)
    return User(nobody.pw_uid, nobody.pw_gid)


def become(user: User | None, *, needed: Sequence[Path]) -> list[str]:
    """Command prefix that turns root into that user, or nothing when there is nobody to become.

    When a directory on the way is closed to the user (a checkout below /root), it gets the one
    capability it needs to pass, and no other.

    Args:
        needed: paths the user must be able to enter or execute.

    Raises:
        ServerRefusedError: no way to become the user, or to let it pass.
    """
    if user is None:
        return []
    program = shutil.which("setpriv")
    if program is None:
        raise ServerRefusedError(
            "PostgreSQL does not run as root and setpriv (util-linux) is missing: "
            "run this as an ordinary user."
        )
    prefix = [program, f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    questions = " && ".join(f"test -x {shlex.quote(str(path))}" for path in needed)
    if _succeeds([*prefix, "--", "sh", "-c", questions]):
        return [*prefix, "--"]
    capability = _passing_capability()
    prefix += [
        f"--inh-caps=+{capability}",
        f"--ambient-caps=+{capability}",
        # Otherwise access(2), with which initdb looks for its siblings, ignores capabilities.
        "--securebits=+no_setuid_fixup",
        "--",
    ]
    if not _succeeds([*prefix, "true"]):
        raise ServerRefusedError(CANNOT_ENTER)
    return prefix


def _succeeds(command: list[str]) -> bool:
    done = subprocess.run(  # noqa: S603 - our own words and paths, quoted
        command, cwd="/", stderr=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0


def _passing_capability() -> str:
    """The weakest capability we may hand on that lets a process pass closed directories."""
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    may = int(fields["CapBnd"], 16) & int(fields["CapPrm"], 16)
    for name, bit in (("dac_read_search", 2), ("dac_override", 1)):
        if may & (1 << bit):
            return name
    raise ServerRefusedError(CANNOT_ENTER)
