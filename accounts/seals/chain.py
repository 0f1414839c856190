"""The chain of blocks, held against its own hashes and against the heads outside the database."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Wrong
from accounts.seals.heads import (
    GENESIS,
    Head,
    SealRefusedError,
    is_signed,
    public_key,
    published_heads,
)


class SealedBlock(NamedTuple):
    """A stored block."""

    number: int
    epoch: int
    from_xid: int
    to_xid: int
    leaf_count: int
    layout: dict[str, Any]
    root: bytes
    previous_hash: bytes
    head_hash: bytes
    signature: bytes
    sealed_at: str


def read_blocks(cursor: CursorWrapper) -> list[SealedBlock]:
    """All blocks in their order."""
    cursor.execute(
        "SELECT number, epoch, from_xid::text::bigint, to_xid::text::bigint, leaf_count,"
        " layout::text, sealed_at, root, previous_hash, head_hash, signature"
        " FROM accounts_sealblock ORDER BY number"
    )
    blocks = []
    for number, epoch, from_xid, to_xid, leaf_count, layout, sealed_at, *hashes in cursor:
        root, previous_hash, head_hash, signature = map(bytes, hashes)
        blocks.append(
            SealedBlock(
                number=number,
                epoch=epoch,
                from_xid=from_xid,
                to_xid=to_xid,
                leaf_count=leaf_count,
                layout=json.loads(layout),
                root=root,
                previous_hash=previous_hash,
                head_hash=head_hash,
                signature=signature,
                sealed_at=sealed_at.isoformat(),
            )
        )
    return blocks


def check_chain(blocks: Sequence[SealedBlock]) -> Check:
    """Every block goes on where the one before ended, and its head is the hash of what it says."""
    wrong = None
    before = SealedBlock(0, 1, 0, 3, 0, {}, b"", b"", GENESIS, b"", "")
    for block in blocks:
        flaw = _flaw(block, before)
        if flaw:
            wrong = Wrong("accounts_sealblock", str(block.number), flaw, block.number)
            break
        before = block
    return Check("seals_form_one_chain", len(blocks), wrong)


def _flaw(block: SealedBlock, before: SealedBlock) -> str:
    if block.number != before.number + 1:
        return f"block {before.number + 1} is missing"
    if block.from_xid != before.to_xid:
        return f"block {block.number} does not begin where block {before.number} ended"
    if block.previous_hash != before.head_hash:
        return f"block {block.number} does not follow from block {before.number}"
    head = Head(
        block.previous_hash, block.root, block.number, block.epoch, block.from_xid, block.to_xid,
        block.leaf_count, block.layout,
    )  # fmt: skip
    if head.hash() != block.head_hash:
        return f"the head of block {block.number} is not the hash of what the block says"
    return ""


def check_heads(blocks: Sequence[SealedBlock], heads_file: Path | None) -> Check:
    """The chain ends in what was signed and published outside the database.

    The newest signature covers all blocks, and each older one is in a leaf of a later block.
    """
    try:
        published = published_heads(heads_file)
    except SealRefusedError as refusal:
        unreadable = Wrong("heads", str(heads_file or ""), str(refusal))
        return Check("heads_are_signed_and_published", 0, unreadable)
    by_number = {block.number: block for block in blocks}
    wrong = None
    for number in sorted(published):
        block = by_number.get(number)
        said = published[number]
        if block is None or block.head_hash != said.head_hash:
            what = "is gone" if block is None else "has another head than was published"
            since = f"block {number - 1}" if number > 1 else "the beginning"
            detail = f"block {number} {what}; history since {since} is not as it was"
            wrong = Wrong("accounts_sealblock", str(number), detail, number)
            break
        if (block.signature, block.sealed_at) != (said.signature, said.sealed_at):
            detail = f"block {number} was published with another signature or time"
            wrong = Wrong("accounts_sealblock", str(number), detail, number)
            break
    if wrong is None and blocks:
        wrong = _unsigned(blocks[-1])
    newest = max(published, default=0)
    detail = f"published up to block {newest}"
    if wrong is None and blocks and newest == 0:
        detail = "no head was published outside the database"
        wrong = Wrong("accounts_sealblock", str(blocks[-1].number), detail, blocks[-1].number)
    return Check("heads_are_signed_and_published", len(published), wrong, detail)


def _unsigned(last: SealedBlock) -> Wrong | None:
    key = public_key()
    if key is None:
        detail = "the key that signed the blocks is not there"
    elif not is_signed(last.head_hash, last.signature, key):
        detail = f"block {last.number} is not signed by the key of this place"
    else:
        return None
    return Wrong("accounts_sealblock", str(last.number), detail, last.number)
