"""Reports of this installation that carry their sha256 and its signature over that."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from accounts.seals.heads import is_signed, report_key

SIGNATURE: Final = frozenset({"sha256", "public_key", "signature"})


def signed(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said, with its sha256 and the signature of this installation over that."""
    digest, key = _digest(said), report_key()
    return {
        **said,
        "sha256": digest,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(bytes.fromhex(digest)).hex(),
    }


def what_is_wrong(said: Mapping[str, Any]) -> str:
    """Why something signed cannot be relied on: a sentence; empty where it can.

    Its own key says only that it was not changed since; whose key that is, the reader compares.
    """
    if not said.keys() >= SIGNATURE:
        return "It is not signed."
    rest = {name: value for name, value in said.items() if name not in SIGNATURE}
    if _digest(rest) != said["sha256"]:
        return "It is not what its sha256 says."
    try:
        signature, key = bytes.fromhex(said["signature"]), bytes.fromhex(said["public_key"])
    except (TypeError, ValueError):
        return "Its signature cannot be read."
    if not is_signed(bytes.fromhex(said["sha256"]), signature, key):
        return "Its signature is not of its key."
    return ""


def _digest(said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()
