"""Taking a backup while the product works.

The server's own programs copy its data with the log of what is written meanwhile, so the copy is
the book at the moment it ends. What lies outside the database goes with it: the key that signs
seals, the published heads, the outbox, the secret key.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from brokerage.backup.archive import BackupRefusedError, pack
from brokerage.postgres import SUPERUSER, Server, binaries, last_line

KEPT_IN = "backups"
WORK = "backup.unfinished"
# Below `var`, what is not the operators': the server's data and what only lives while it runs.
LEFT_OUT = ("postgres*", "run", "upgrade", "beat-schedule*", "*.lock", "*.log*", "*.pid",
            KEPT_IN, "*.unfinished")  # fmt: skip
OWN_SERVER = (
    "The book is on a server of your own (DATABASE_URL): back it up there, with pg_basebackup or "
    "whatever you use, and keep the published heads and the seal key with it."
)


class Backup(NamedTuple):
    """A backup that was taken."""

    file: Path
    size: int


def embedded_server() -> Server:
    """The server that comes with the product.

    Raises:
        BackupRefusedError: the book is on another.
    """
    server: Server | None = settings.EMBEDDED_SERVER
    if server is None:
        raise BackupRefusedError(OWN_SERVER)
    return server


def take_backup(file: Path | None = None) -> Backup:
    """Write the whole book into one file; people and jobs work on meanwhile.

    Args:
        file: where to; a name of its own under `var/backups` if not given.

    Raises:
        BackupRefusedError: there is no book here, the file is there already, or the copy failed.
    """
    server = embedded_server()
    if not server.data.exists():
        raise BackupRefusedError(f"There is no book in {server.root}; `make setup` makes one.")
    now = datetime.now(UTC)
    target = file or server.root / KEPT_IN / f"brokerage-{now:%Y%m%dT%H%M%S}Z.tar"
    if target.exists():
        raise BackupRefusedError(f"{target} is there already.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".unfinished",
                                     dir=target.parent))  # fmt: skip
    except OSError as error:
        raise BackupRefusedError(f"{target} cannot be written: {error.strerror}.") from error
    try:
        server.hold()
        # Heads first: whatever they name is in the copy of the database that follows.
        _copy(settings.SEAL_HEADS, work / "seal_heads")
        _copy_database(server, work / "database")
        _copy(settings.SEAL_KEY, work / "seal_key")
        for path in _outside(server.root):
            _copy(path, work / "var" / path.relative_to(server.root))
        about = {"made_at": now.isoformat(), "postgresql": str(server.version())}
        return Backup(target, pack(work, target, about=about))
    except OSError as error:
        raise BackupRefusedError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy_database(server: Server, folder: Path) -> None:
    address = server.conninfo(user=SUPERUSER, dbname="postgres")
    done = subprocess.run(  # noqa: S603 - a fixed program, our own paths
        [
            str(binaries() / "pg_basebackup"), f"--dbname={address}", f"--pgdata={folder}",
            "--format=tar", "--gzip", "--compress=1", "--wal-method=stream", "--checkpoint=fast",
            "--label=brokerage", "--no-password",
        ],
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BackupRefusedError(f"The database could not be copied: {last_line(done.stderr)}")


def _outside(root: Path) -> Iterator[Path]:
    """Files of the product that are not in the database."""
    seals = {Path(settings.SEAL_HEADS), Path(settings.SEAL_KEY)}
    for entry in sorted(root.iterdir()):
        if any(entry.match(pattern) for pattern in LEFT_OUT):
            continue
        for path in sorted(entry.rglob("*")) if entry.is_dir() else [entry]:
            is_ours = path.is_file() and not path.is_symlink() and path not in seals
            if is_ours and not any(path.match(pattern) for pattern in LEFT_OUT):
                yield path


def _copy(source: Path, target: Path) -> None:
    """Copy a file that may have been sent and gone by now, or may never have been made."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
