"""The head of the chain: what it hashes, and the key that signs it."""

import json
import os
from collections.abc import Mapping
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


def report_key() -> Ed25519PrivateKey:
    """The key that signs reports of this installation; apart from that of history."""
    return signing_key(may_make=True, path=Path(settings.SEAL_KEY).with_name("reports.pem"))


def signing_key(*, may_make: bool, path: Path | None = None) -> Ed25519PrivateKey:
    """The key that signs heads, made on first use and readable by its owner alone.

    Args:
        path: of another key.

    Raises:
        SealRefusedError: `seal_key_is_kept`: sealed history has a key and it is not there.
    """
    path = path or Path(settings.SEAL_KEY)
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


def own_public_key() -> bytes | None:
    """The public half of the key of this place; None where the key is not there."""
    if not Path(settings.SEAL_KEY).exists():
        return None
    return signing_key(may_make=False).public_key().public_bytes_raw()


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether the signature of a message, such as a head, is the key's."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):  # a key of another length is no key
        return False
    return True
