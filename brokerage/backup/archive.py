"""One file that holds a backup: its parts, and a list of what each of them must be.

The list is written last, so a file that was cut off has none, and it names every part with its
size and sha256, so a part that was changed, lost or added is found before anything is unpacked
where it would count.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

FORMAT = "brokerage-backup/1"
MANIFEST = "manifest.json"


class BackupRefusedError(Exception):
    """A backup cannot be taken or restored; the message is one sentence for people."""


def pack(folder: Path, file: Path, *, about: Mapping[str, str]) -> int:
    """Put every file below a folder into one new file; returns its size.

    Args:
        about: what the list says besides: when, of which version.

    Raises:
        BackupRefusedError: the file is there already.
    """
    parts = {
        path.relative_to(folder).as_posix(): described(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, **about, "files": parts}))
    unfinished = file.with_name(f"{file.name}.unfinished")
    with _private(unfinished) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name in [*parts, MANIFEST]:
            archive.add(folder / name, arcname=name, recursive=False)
    try:
        os.link(unfinished, file)  # never over a backup that is there
    except FileExistsError:
        raise BackupRefusedError(f"{file} is there already.") from None
    finally:
        unfinished.unlink()
    _sync(file.parent)
    return file.stat().st_size


def unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup and hold every part against the list; returns what the list says.

    Raises:
        BackupRefusedError: it is no backup, or a part is not as it was written.
    """
    try:
        with tarfile.open(file, mode="r:") as archive:
            archive.extractall(folder, filter="data")
    except FileNotFoundError:
        raise BackupRefusedError(f"There is no file {file}.") from None
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BackupRefusedError(f"{file} is damaged or no backup: {error}.") from error
    said = _manifest(file, folder / MANIFEST)
    found = {
        path.relative_to(folder).as_posix(): described(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    for name in sorted(found.keys() | said["files"].keys()):
        if found.get(name) != said["files"].get(name):
            raise BackupRefusedError(f"{file} is damaged: {name} is not as it was written.")
    return said


def _manifest(file: Path, listed: Path) -> dict[str, Any]:
    try:
        said = json.loads(listed.read_text())
        is_ours = said["format"] == FORMAT and isinstance(said["files"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupRefusedError(f"{file} is damaged or no backup: it has no list.") from None
    if not is_ours:
        raise BackupRefusedError(f"{file} is a backup of another form than {FORMAT}.")
    listed_parts: dict[str, Any] = said
    return listed_parts


def described(path: Path) -> dict[str, Any]:
    """What the list says of one part."""
    with path.open("rb") as stream:
        return {
            "bytes": path.stat().st_size,
            "sha256": file_digest(stream, "sha256").hexdigest(),
        }


@contextmanager
def _private(path: Path) -> Iterator[Any]:
    """A file that only we may read, and that the disk has when we are done."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
