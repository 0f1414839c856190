"""The head of the chain: what it hashes, who signs it, and where it is kept outside the database.

A head that has left the database cannot be taken back: whoever rewrites history and every seal
after it ends at another head than the one that was published.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings

GENESIS = bytes(32)
TAIL_BYTES = 4096


class SealRefusedError(Exception):
    """History cannot be sealed; `rule` says which condition does not hold."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


@dataclass(frozen=True)
class Head:
    """What a block's head binds: the block before it and everything it covers.

    Attributes:
        previous_hash: head of the block before, or zeros.
        root: Merkle root over the leaves.
        number, epoch: place in the chain; an epoch ends when transaction ids begin anew.
        from_xid, to_xid: the block covers `from_xid <= xid < to_xid`.
        leaf_count: how many rows it covers.
        layout: which columns of which tables, as the block stores it.
    """

    previous_hash: bytes
    root: bytes
    number: int
    epoch: int
    from_xid: int
    to_xid: int
    leaf_count: int
    layout: Mapping[str, Any]

    def hash(self) -> bytes:
        """The one hash that stands for all history up to here."""
        numbers = (self.number, self.epoch, self.from_xid, self.to_xid, self.leaf_count)
        return sha256(
            self.previous_hash
            + self.root
            + b"".join(number.to_bytes(8, "big") for number in numbers)
            + json.dumps(self.layout, sort_keys=True, separators=(",", ":")).encode()
        ).digest()


# ---------------------------------------------------------------- the key


def signing_key(*, may_make: bool) -> Ed25519PrivateKey:
    """The key that signs heads, made on first use and readable by its owner alone.

    Raises:
        SealRefusedError: `seal_key_is_kept`: sealed history has a key and it is not there.
    """
    path = Path(settings.SEAL_KEY)
    if not path.exists():
        if not may_make:
            raise SealRefusedError(
                "seal_key_is_kept", f"history was sealed before with a key that is not at {path}"
            )
        _make_key(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey), f"{path} holds no Ed25519 key"
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # whoever comes first wins; nobody sees half a key
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def public_key() -> bytes | None:
    """The public half of the key, from the key itself or from the newest published head."""
    if Path(settings.SEAL_KEY).exists():
        return signing_key(may_make=False).public_key().public_bytes_raw()
    newest = newest_published()
    return None if newest is None else newest.public_key


def is_signed(head_hash: bytes, signature: bytes, key: bytes) -> bool:
    """Whether the signature of a head is the key's."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, head_hash)
    except InvalidSignature:
        return False
    return True


# ---------------------------------------------------------------- publication


@dataclass(frozen=True)
class PublishedHead:
    """One line of the file outside the database."""

    number: int
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
            "head": self.head_hash.hex(),
            "root": self.root.hex(),
            "to_xid": self.to_xid,
            "signature": self.signature.hex(),
            "public_key": self.public_key.hex(),
            "sealed_at": self.sealed_at,
        }
        return json.dumps(said) + "\n"


def published_heads(path: Path | None = None) -> dict[int, PublishedHead]:
    """All published heads by block number; a last line that was cut off does not count."""
    file = Path(settings.SEAL_HEADS) if path is None else path
    if not file.exists():
        return {}
    heads = {}
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            head = _parsed(line)
            heads[head.number] = head
    return heads


def _parsed(line: str) -> PublishedHead:
    try:
        said = json.loads(line)
        return PublishedHead(
            number=said["number"],
            head_hash=bytes.fromhex(said["head"]),
            root=bytes.fromhex(said["root"]),
            to_xid=said["to_xid"],
            signature=bytes.fromhex(said["signature"]),
            public_key=bytes.fromhex(said["public_key"]),
            sealed_at=said["sealed_at"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SealRefusedError(
            "heads_are_readable", f"a line of the published heads cannot be read: {line[:60]!r}"
        ) from error


def newest_published() -> PublishedHead | None:
    """The last head in the file, found from its end."""
    path = Path(settings.SEAL_HEADS)
    if not path.exists():
        return None
    lines = _tail(path).splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return _parsed(whole[-1]) if whole else None


def publish(heads: Iterable[PublishedHead]) -> None:
    """Append the heads that are not in the file yet, and wait until the disk has them."""
    path = Path(settings.SEAL_HEADS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        newest = newest_published()
        text = "".join(
            head.line() for head in heads if newest is None or head.number > newest.number
        )
        if not text:
            return
        with path.open("a+") as file:
            # A line without its end was cut off by a crash; it is written again, whole.
            file.truncate(path.stat().st_size - len(_tail(path).rpartition("\n")[2]))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _tail(path: Path) -> str:
    """The end of the file: more than the longest line, and no part of a line before it."""
    with path.open("rb") as file:
        file.seek(-min(TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        end = file.read().decode()
    return end if len(end) < TAIL_BYTES else end.partition("\n")[2]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
