"""Personal data, sealed under a key per person, so that one person can be forgotten.

What is sealed may stand in the audit trail and in seals for ever: without the key it says nothing.
"""

import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from accounts.models import PersonKey

KEY_BITS = 256
NONCE_BYTES = 12
ERASED = "erased"


class ErasedPersonError(Exception):
    """The person's key is destroyed; nothing can be sealed under it any more."""


def new_key() -> bytes:
    """A key for one person."""
    return AESGCM.generate_key(KEY_BITS)


def seal_text(person_key: "PersonKey", text: str) -> bytes:
    """Seal `text` for its person: nonce, then AES-256-GCM, bound to the id of the key.

    Raises:
        ErasedPersonError: the key is destroyed.
    """
    return seal_bytes(person_key, text.encode())


def seal_bytes(person_key: "PersonKey", content: bytes) -> bytes:
    """Seal bytes for their person, as `seal_text` does.

    Raises:
        ErasedPersonError: the key is destroyed.
    """
    if person_key.key is None:
        raise ErasedPersonError("the key of this person is destroyed")
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = AESGCM(bytes(person_key.key))
    return nonce + cipher.encrypt(nonce, content, person_key.id.bytes)


def open_text(person_key: "PersonKey", sealed: bytes | memoryview) -> str:
    """What was sealed, or "erased" once the key is destroyed.

    Raises:
        cryptography.exceptions.InvalidTag: sealed under another key, or changed since.
    """
    return ERASED if person_key.key is None else open_bytes(person_key, sealed).decode()


def open_bytes(person_key: "PersonKey", sealed: bytes | memoryview) -> bytes:
    """The bytes that were sealed.

    Raises:
        ErasedPersonError: the key is destroyed.
        cryptography.exceptions.InvalidTag: sealed under another key, or changed since.
    """
    if person_key.key is None:
        raise ErasedPersonError("the key of this person is destroyed")
    whole = bytes(sealed)
    cipher = AESGCM(bytes(person_key.key))
    return cipher.decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], person_key.id.bytes)
