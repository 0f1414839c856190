"""The Merkle tree over the leaves of a block.

Source: RFC 6962, "Certificate Transparency", section 2.1: a leaf is hashed behind a zero byte and
an interior node behind a one byte, so that no node can pass for a leaf. A lone last node of a
level moves up as it is, which gives the same tree as the RFC's split at a power of two.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

HASH_BYTES = 32


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes in their order; of no leaves at all, the hash of nothing."""
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def joined_root(joined: bytes) -> bytes:
    """Root over leaf hashes that stand behind one another in one piece; as `merkle_root`."""
    level = joined
    if not level:
        return merkle_root([])
    while len(level) > HASH_BYTES:
        pairs = len(level) // (2 * HASH_BYTES)
        inner = np.full((pairs, 2 * HASH_BYTES + 1), 1, np.uint8)
        paired = np.frombuffer(level, np.uint8, pairs * 2 * HASH_BYTES)
        inner[:, 1:] = paired.reshape(pairs, -1)
        rest = level[pairs * 2 * HASH_BYTES :]
        level = b"".join([sha256(node).digest() for node in _cut(inner.tobytes(), inner.shape[1])])
        level += rest
    return level


def merkle_path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """What must be hashed with a leaf, in this order, to come to the root (RFC 9162, 2.1.3).

    Which of them stand to the left follows from the place and the number of leaves.
    """
    path = []
    level = list(leaves)
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            path.append(level[beside])
        level, place = _level_above(level), place // 2
    return path


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return above + ([level[-1]] if len(level) % 2 else [])


def split(joined: bytes) -> list[bytes]:
    """Leaf hashes that stand behind one another in one piece."""
    return _cut(joined, HASH_BYTES)


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]
