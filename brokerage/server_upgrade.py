"""Bringing the embedded server's data to the PostgreSQL of this version.

The data is copied by `pg_upgrade`, which keeps transaction ids, so sealed history and stored
horizons stay true; the old directory stays beside the new one until somebody deletes it.
"""

import os
import re
import shutil
from pathlib import Path

from brokerage.postgres import SUPERUSER, Server, binaries, last_line, locked
from brokerage.server_user import ServerRefusedError

CHECKSUMS = re.compile(r"^Data page checksum version:\s+(\d+)", re.MULTILINE)


def bring_forward(server: Server) -> int | None:
    """Upgrade the data if an older PostgreSQL made it; nothing may be running on it.

    Returns:
        The version the data was of, or None where there was nothing to do.

    Raises:
        ServerRefusedError: the old version is not at hand, is running, or the copy failed; the
            data is as it was.
    """
    if not server.root.exists():
        return None
    with locked(server.root / "starting.lock"):
        if not server.data.exists() and upgraded(server).exists():
            upgraded(server).rename(server.data)  # cut off between the last two renames
            return None
        if not server.data.exists() or server.is_current():
            return None
        if server.postmaster() is not None:
            raise ServerRefusedError("The old PostgreSQL is running on this data; stop it first.")
        version = server.version()
        server.make_directories()
        _copy(server, version)
        server.data.rename(server.root / f"postgres.{version}")
        upgraded(server).rename(server.data)
    return version


def upgraded(server: Server) -> Path:
    """Where the copy waits until it is whole."""
    return server.root / "postgres.upgraded"


def binaries_of(version: int) -> Path:
    """Programs of an older PostgreSQL in the installed wheel.

    Raises:
        ServerRefusedError: the wheel has none of that version.
    """
    newest = binaries().parent
    for directory in sorted(newest.parent.glob("pginstall*")):
        control = directory / "share" / "postgresql" / "postgres.bki"
        for found in (control, directory / "share" / "postgres.bki"):
            if found.exists() and found.open().readline().split()[-1] == str(version):
                return directory / "bin"
    raise ServerRefusedError(
        f"The data was made by PostgreSQL {version}, and the installed package has no programs "
        "of that version to read it with."
    )


def _copy(server: Server, version: int) -> None:
    """Make the new cluster beside the old one, whole or not at all."""
    old = binaries_of(version)
    work = server.root / "postgres.work"
    for left in (work, upgraded(server)):
        shutil.rmtree(left, ignore_errors=True)
    had_checksums = _has_checksums(server, old)
    server.initialise(work, checksums=had_checksums)
    notes = server.root / "upgrade"
    shutil.rmtree(notes, ignore_errors=True)
    server.own(notes)
    done = server.run(
        "pg_upgrade",
        f"--old-bindir={old}",
        f"--new-bindir={binaries()}",
        f"--old-datadir={server.data}",
        f"--new-datadir={work}",
        f"--username={SUPERUSER}",
        f"--socketdir={server.socket_directory}",
        f"--jobs={os.cpu_count() or 1}",
        directory=notes,
    )
    if done.returncode != 0:
        raise ServerRefusedError(
            f"PostgreSQL {version} could not be upgraded: {last_line(done.stdout)}; "
            f"its data is as it was, what was said lies in {notes}."
        )
    if not had_checksums:
        done = server.run("pg_checksums", "--enable", f"--pgdata={work}")
        if done.returncode != 0:
            raise ServerRefusedError(f"Checksums could not be added: {last_line(done.stdout)}")
    shutil.rmtree(notes)
    work.rename(upgraded(server))


def _has_checksums(server: Server, old: Path) -> bool:
    done = server.run(str(old / "pg_controldata"), f"--pgdata={server.data}")
    found = CHECKSUMS.search(done.stdout)
    if done.returncode != 0 or found is None:
        raise ServerRefusedError(f"The data cannot be read: {last_line(done.stdout)}")
    return found[1] != "0"
