"""Reading one file that somebody else wrote, within a limit."""

import errno
import os
import stat
from pathlib import Path

from brokerage.inbox.refusal import FolderRefusedError


def read_file(path: Path, *, name: str, size_limit: int) -> bytes:
    """The bytes of an ordinary file; a link, a directory or a pipe in its place is refused.

    Args:
        path: where the file is.
        name: what the sender calls it; refusals speak of it by this name.
        size_limit: largest size accepted, in bytes.

    Raises:
        FolderRefusedError: missing, not an ordinary file, not readable, or above the limit.
    """
    try:
        # O_NONBLOCK: opening a pipe would otherwise wait for a writer that never comes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = _read(descriptor, name=name, size_limit=size_limit)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FolderRefusedError(_unreadable(error), file=name) from error
    if len(data) > size_limit:
        raise FolderRefusedError(f"the file grew beyond {size_limit:,} bytes", file=name)
    return data


def _read(descriptor: int, *, name: str, size_limit: int) -> bytes:
    """Up to one byte more than allowed, which shows a file that grew after it was measured."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise FolderRefusedError("this is not an ordinary file", file=name)
    if found.st_size > size_limit:
        what = f"the file has {found.st_size:,} bytes; the limit is {size_limit:,}"
        raise FolderRefusedError(what, file=name)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(size_limit + 1)


def decode_utf8(data: bytes, *, name: str) -> str:
    """The text of a UTF-8 file.

    Raises:
        FolderRefusedError: some bytes are not UTF-8; the line is the one that holds them.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise FolderRefusedError(what, file=name, line=line) from error


def _unreadable(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "the file is missing"
    if error.errno == errno.ELOOP:
        return "this is a link, not an ordinary file"
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"the file cannot be read ({reason})"
