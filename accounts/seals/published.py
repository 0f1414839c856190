"""What has left the database: one line of JSON per head and per epoch, in a file and in copies.

A head that has left cannot be taken back: whoever rewrites history and every seal after it ends
at another head than the one that was published.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from accounts.seals.heads import SealRefusedError, own_public_key

# Set before what is signed of an epoch, so that no epoch can pass for a head.
EPOCH_PREFIX = b"epoch\n"
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class PublishedHead:
    """The head of a block, as it left."""

    number: int
    epoch: int
    head_hash: bytes
    root: bytes
    to_xid: int
    signature: bytes
    public_key: bytes
    sealed_at: str

    def line(self) -> str:
        """The head as a line of JSON."""
        said = {
            "number": self.number,
            "epoch": self.epoch,
            "head": self.head_hash.hex(),
            "root": self.root.hex(),
            "to_xid": self.to_xid,
            "signature": self.signature.hex(),
            "public_key": self.public_key.hex(),
            "sealed_at": self.sealed_at,
        }
        return json.dumps(said) + "\n"

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> "PublishedHead":
        """The head of a line; those of the first version name no epoch."""
        return cls(
            number=said["number"],
            epoch=said.get("epoch", 1),
            head_hash=bytes.fromhex(said["head"]),
            root=bytes.fromhex(said["root"]),
            to_xid=said["to_xid"],
            signature=bytes.fromhex(said["signature"]),
            public_key=bytes.fromhex(said["public_key"]),
            sealed_at=said["sealed_at"],
        )


@dataclass(frozen=True)
class GivenUp:
    """Blocks of an epoch that were published and that the copy which went on does not hold.

    Attributes:
        epoch: whose they are.
        after: the last block of the epoch that the copy holds, 0 where it holds none.
        number, head_hash: the newest of them.
    """

    epoch: int
    after: int
    number: int
    head_hash: bytes

    def as_json(self) -> dict[str, Any]:
        """As the epoch's row and line store it."""
        head = self.head_hash.hex()
        return {"epoch": self.epoch, "after": self.after, "number": self.number, "head": head}


@dataclass(frozen=True)
class PublishedEpoch:
    """The beginning of an epoch, as it left.

    Attributes:
        number, cause, began_at: which, why and when.
        after_number, after_head: the block it goes on from; 0 and zeros where there was none.
        highest_xid: no transaction before the epoch has a greater id.
        given_up: blocks that had been published and that it does not hold.
        server: version of the server.
        public_key, signature: of who began it.
    """

    number: int
    cause: str
    began_at: str
    after_number: int
    after_head: bytes
    highest_xid: int
    given_up: tuple[GivenUp, ...]
    server: str
    public_key: bytes
    signature: bytes = b""

    def statement(self) -> bytes:
        """What is signed."""
        return (
            EPOCH_PREFIX + json.dumps(self._said(), sort_keys=True, separators=(",", ":")).encode()
        )

    def line(self) -> str:
        """The epoch as a line of JSON."""
        return json.dumps(self._said() | {"signature": self.signature.hex()}) + "\n"

    def gives_up(self, head: PublishedHead) -> bool:
        """Whether a published block is one of those that were given up."""
        return any(
            one.epoch == head.epoch
            and one.after < head.number <= one.number
            and (head.number < one.number or head.head_hash == one.head_hash)
            for one in self.given_up
        )

    def _said(self) -> dict[str, Any]:
        return {
            "epoch": self.number,
            "cause": self.cause,
            "began_at": self.began_at,
            "after_number": self.after_number,
            "after_head": self.after_head.hex(),
            "highest_xid": self.highest_xid,
            "given_up": [one.as_json() for one in self.given_up],
            "server": self.server,
            "public_key": self.public_key.hex(),
        }

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> "PublishedEpoch":
        """The epoch of a line."""
        return cls(
            number=said["epoch"],
            cause=said["cause"],
            began_at=said["began_at"],
            after_number=said["after_number"],
            after_head=bytes.fromhex(said["after_head"]),
            highest_xid=said["highest_xid"],
            given_up=given_up_of(said["given_up"]),
            server=said["server"],
            public_key=bytes.fromhex(said["public_key"]),
            signature=bytes.fromhex(said["signature"]),
        )


Line = PublishedHead | PublishedEpoch


class Published(NamedTuple):
    """All that left.

    Attributes:
        heads: by epoch and number.
        epochs: by number.
    """

    heads: dict[tuple[int, int], PublishedHead]
    epochs: dict[int, PublishedEpoch]


def given_up_of(stored: Iterable[Mapping[str, Any]]) -> tuple[GivenUp, ...]:
    """What an epoch gives up, as its row and its line store it.

    Raises:
        SealRefusedError: `epochs_are_readable`: somebody wrote something else there.
    """
    try:
        return tuple(
            GivenUp(one["epoch"], one["after"], one["number"], bytes.fromhex(one["head"]))
            for one in stored
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SealRefusedError("epochs_are_readable", "an epoch cannot be read") from error


# ---------------------------------------------------------------- reading


def read_published(path: Path | None = None) -> Published:
    """All lines of the file, or of a copy; a last line that was cut off does not count.

    Raises:
        SealRefusedError: `heads_are_readable`, or `heads_say_one_thing`: a block has two heads.
    """
    found = Published({}, {})
    file = heads_file() if path is None else path
    if not file.exists():
        return found
    with file.open(newline="") as lines:
        for text in lines:
            if not text.endswith("\n"):
                break
            line = _parsed(text)
            if isinstance(line, PublishedEpoch):
                found.epochs[line.number] = line
                continue
            place = (line.epoch, line.number)
            if found.heads.get(place, line).head_hash != line.head_hash:
                raise SealRefusedError(
                    "heads_say_one_thing", f"block {line.number} was published with two heads"
                )
            found.heads[place] = line
    return found


def newest_published() -> Line | None:
    """The last whole line of the file, found from its end."""
    path = heads_file()
    if not path.exists():
        return None
    whole = [text for text in _tail(path).splitlines(keepends=True) if text.endswith("\n")]
    return _parsed(whole[-1]) if whole else None


def place_key() -> bytes | None:
    """The public key of this place: its own key's, or the one that was published last."""
    own = own_public_key()
    if own is not None:
        return own
    newest = newest_published()
    return None if newest is None else newest.public_key


def _parsed(text: str) -> Line:
    try:
        said = json.loads(text)
        return PublishedEpoch.parse(said) if "cause" in said else PublishedHead.parse(said)
    except (ValueError, KeyError, TypeError) as error:
        raise SealRefusedError(
            "heads_are_readable", f"a line of the published heads cannot be read: {text[:60]!r}"
        ) from error


# ---------------------------------------------------------------- writing


def append_lines(lines_after: Callable[[Line | None], Iterable[Line]]) -> int:
    """Append what follows the last line, and wait until the disk has it.

    Args:
        lines_after: given the last line, those to be added; nobody else adds any meanwhile.

    Returns:
        How many were added.
    """
    path = heads_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path):
        texts = [line.line() for line in lines_after(newest_published())]
        if texts:
            with path.open("a+") as file:
                # A line without its end was cut off by a crash; it is written again, whole.
                file.truncate(path.stat().st_size - len(_tail(path).rpartition("\n")[2].encode()))
                file.write("".join(texts))
                file.flush()
                os.fsync(file.fileno())
    return len(texts)


def heads_file() -> Path:
    """The file outside the database to which every head is added."""
    return Path(settings.SEAL_HEADS)


def _tail(path: Path) -> str:
    """The end of the file: more than the longest line, and no part of a line before it."""
    with path.open("rb") as file:
        file.seek(-min(TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        end = file.read().decode()
    return end if len(end) < TAIL_BYTES else end.partition("\n")[2]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold everybody else off a file until the block ends."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
