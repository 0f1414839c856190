"""What a lock file holds: packages, each at one version, with the hashes of all its files."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED, DEVELOPMENT = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([^\s;]+)(?: ; (.+))?")
HASH = re.compile(r"sha256:([0-9a-f]{64})")


class LockError(Exception):
    """A line is anything but a pin with its hashes; the message names it."""


@dataclass(frozen=True)
class Locked:
    """One package.

    Attributes:
        marker: where it is installed; "" for everywhere.
        hashes: sha256 of each file that may be installed.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def locked(text: str) -> dict[str, Locked]:
    """The packages of a lock, by name.

    Raises:
        LockError: a line is no pin, has no hash, or names a package again.
    """
    found: dict[str, Locked] = {}
    for line in text.replace("\\\n", " ").splitlines():
        said = line.partition(" #")[0].strip()
        if not said or said.startswith("#"):
            continue
        pin, *hashes = re.split(r"\s+--hash=", said)
        parts, digests = PIN.fullmatch(pin.strip()), [HASH.fullmatch(each) for each in hashes]
        if parts is None or not digests or None in digests or parts[1] in found:
            raise LockError(f"{said[:80]!r} is no pin with its hashes")
        known = tuple(each[1] for each in digests if each is not None)
        found[parts[1]] = Locked(parts[1], parts[2], parts[3] or "", known)
    return found
