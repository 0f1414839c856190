"""Restoring a backup into an empty place, and taking the chain of seals up there."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from accounts.audit import Actor
from accounts.erasure import destroyed_keys, erase_again
from accounts.seals import SealRefusedError, seal_history
from accounts.seals.epochs import begin_epoch
from brokerage import server_user
from brokerage.backup.archive import BackupRefusedError, unpack
from brokerage.backup.taking import KEPT_IN, embedded_server
from brokerage.digest import digest
from brokerage.postgres import Server, last_line
from brokerage.verify import verify

# What may lie in an empty place: the secret that every start makes, and backups themselves.
HARMLESS = {"secret_key", KEPT_IN}


class Restored(NamedTuple):
    """A book that was restored.

    Attributes:
        made_at: when its backup was taken.
        digest: of its business tables, before the new epoch began.
        is_sound: whether it proves itself; no epoch began where it does not.
        epoch: the epoch of seals that goes on here.
        detail: the first thing that is wrong, if it is not sound.
    """

    made_at: str
    digest: str
    is_sound: bool
    epoch: int
    detail: str


def restore_backup(file: Path) -> Restored:
    """Make the book of a backup here, prove it, and go on with its seals in a new epoch.

    Raises:
        BackupRefusedError: the place is not empty, or the file is damaged; nothing was written.
    """
    server = embedded_server()
    _refuse_occupied(server)
    root = server.root
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="restore.", suffix=".unfinished", dir=root))
    try:
        said = unpack(file, work)
        heads = work / "seal_heads"
        heads_then = heads.read_bytes() if heads.exists() else b""
        data = _unpack_database(server, work)
        _place_outside(work, root)
        data.rename(server.data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _bring_up_to_date()
    return _go_on(said, file, heads_then)


def _refuse_occupied(server: Server) -> None:
    found = sorted(path.name for path in server.root.glob("*")) if server.root.exists() else []
    occupied = [name for name in found if name not in HARMLESS]
    if occupied:
        raise BackupRefusedError(
            f"{server.root} is not empty ({occupied[0]} is there): a backup is restored into an "
            "empty place, which BROKERAGE_VAR names."
        )


# ---------------------------------------------------------------- files


def _unpack_database(server: Server, work: Path) -> Path:
    """The server's data as it was, in the place where it waits to be moved."""
    copied, data = work / "database", work / "postgres"
    for name, folder in (("base.tar.gz", data), ("pg_wal.tar.gz", data / "pg_wal")):
        try:
            with tarfile.open(copied / name) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError, EOFError) as error:
            raise BackupRefusedError(f"The backup's {name} cannot be unpacked: {error}.") from error
    for path in [data, *data.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    _give_to_the_server(server, work, data)
    return data


def _give_to_the_server(server: Server, work: Path, data: Path) -> None:
    """Under root the server is another user, who must be let in and own its data."""
    user = server_user.of(server.data)
    if user is None:
        return
    for place in (server.root, work):
        place.chmod(0o711)
    for path in [data, *data.rglob("*")]:
        os.chown(path, user.uid, user.gid)


def _place_outside(work: Path, root: Path) -> None:
    """Put what lay outside the database where this installation looks for it.

    Heads and a key that were kept elsewhere and are still there are newer than the backup: they
    stay, and the new epoch names what the backup lacks of them.
    """
    for name, place in (("seal_heads", settings.SEAL_HEADS), ("seal_key", settings.SEAL_KEY)):
        if (work / name).exists() and not Path(place).exists():
            _move(work / name, Path(place))
    for path in (work / "var").rglob("*"):
        if path.is_file():
            _move(path, root / path.relative_to(work / "var"))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(source, target)


# ---------------------------------------------------------------- the book


def _bring_up_to_date() -> None:
    """Roles, schema and guards of this version; a backup may be of an earlier one."""
    environment = {name: value for name, value in os.environ.items() if name != "BROKERAGE_DB_ROLE"}
    done = subprocess.run(
        [sys.executable, "manage.py", "setup"], cwd=settings.ROOT, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BackupRefusedError(
            f"The files are restored, but the database does not come up: {last_line(done.stderr)}"
        )


def _go_on(said: dict[str, Any], file: Path, heads_then: bytes) -> Restored:
    """Prove the book before anything is written to it, then seal on in a new epoch.

    It is held against the heads that came with it: those kept elsewhere may be newer, and know of
    blocks that the epoch is about to give up by name.
    """
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(heads_then)
        copy.flush()
        report = verify(Path(copy.name) if heads_then else None)
    content = str(digest()["digest"])
    if not report.is_sound:
        first = next(check for check in report.checks if check.wrong is not None)
        assert first.wrong is not None
        detail = f"{first.name}: {first.wrong.table} {first.wrong.key}: {first.wrong.detail}"
        return Restored(said["made_at"], content, False, 0, detail)
    try:
        epoch = begin_epoch(f"Restored the backup {file.name} of {said['made_at']}")
    except SealRefusedError as refused:
        return Restored(said["made_at"], content, False, 0, str(refused))
    erase_again(destroyed_keys(), actor=Actor.command("restore"))
    seal_history()
    return Restored(said["made_at"], content, True, epoch.number, "")
