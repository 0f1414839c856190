"""The chain of blocks, held against its own hashes and against the heads outside the database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Wrong
from accounts.seals.heads import (
    GENESIS,
    Head,
    PublishedHead,
    SealRefusedError,
    is_signed,
    public_key,
    published_heads,
)

BLOCKS_AT_ONCE = 2_000
# Rows are held against so many leaves in one go, which bounds the memory.
WINDOW_LEAVES_MAX = 250_000


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


class Window(NamedTuple):
    """A stretch of blocks that follow one another, by their numbers."""

    first: int
    last: int


class Chain(NamedTuple):
    """What the chain came to.

    Attributes:
        checks: of the links, and of the heads outside.
        windows: the linked blocks in stretches; behind a break no block says which rows are its
            own.
        newest: the last block, if there is any.
    """

    checks: list[Check]
    windows: list[Window]
    newest: SealedBlock | None


def read_blocks(cursor: CursorWrapper, *, first: int, last: int) -> list[SealedBlock]:
    """Stored blocks in their order."""
    cursor.execute(
        "SELECT number, epoch, from_xid::text::bigint, to_xid::text::bigint, leaf_count,"
        " layout::text, sealed_at, root, previous_hash, head_hash, signature"
        " FROM accounts_sealblock WHERE number BETWEEN %s AND %s ORDER BY number",
        [first, last],
    )
    blocks = []
    for (
        number,
        epoch,
        from_xid,
        to_xid,
        leaf_count,
        layout,
        sealed_at,
        *hashes,
    ) in cursor.fetchall():
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


def _every_block(cursor: CursorWrapper) -> Iterator[SealedBlock]:
    cursor.execute("SELECT min(number), max(number) FROM accounts_sealblock")
    least, greatest = cursor.fetchone()
    if least is not None:
        for first in range(least, greatest + 1, BLOCKS_AT_ONCE):
            yield from read_blocks(cursor, first=first, last=first + BLOCKS_AT_ONCE - 1)


def read_chain(cursor: CursorWrapper, heads_file: Path | None = None) -> Chain:
    """Walk the chain from its beginning.

    Every block goes on where the one before ended, its head is the hash of what it says, and the
    chain ends in what was signed and published outside the database. The newest signature covers
    all blocks, and each older one is in a leaf of a later block.
    """
    published, unread = _published(heads_file)
    heads = len(published)
    links = _Links()
    wrong_head = unread
    newest = None
    for block in _every_block(cursor):
        newest = block
        links.add(block)
        said = published.pop(block.number, None)
        if said is not None and wrong_head is None:
            wrong_head = _differs(block, said)
    if wrong_head is None and published:
        wrong_head = _wrong_block(min(published), f"{_block(min(published))} is gone")
    if wrong_head is None and newest is not None:
        wrong_head = _unsigned(newest, heads)
    found = [
        Check("seals_form_one_chain", links.count, links.wrong),
        Check("heads_are_signed_and_published", heads, wrong_head),
    ]
    return Chain(found, links.windows(), newest)


class _Links:
    """The links of the chain as they are read, one block after another."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: Wrong | None = None
        self._before = SealedBlock(0, 1, 0, 3, 0, {}, b"", b"", GENESIS, b"", "")
        self._closed: list[Window] = []
        self._first = 1
        self._leaves = 0

    def add(self, block: SealedBlock) -> None:
        self.count += 1
        if self.wrong is not None:
            return
        flaw = _flaw(block, self._before)
        if flaw:
            self.wrong = _wrong_block(block.number, flaw)
            return
        if self._leaves and self._leaves + block.leaf_count > WINDOW_LEAVES_MAX:
            self._closed.append(Window(self._first, block.number - 1))
            self._first, self._leaves = block.number, 0
        self._leaves += block.leaf_count
        self._before = block

    def windows(self) -> list[Window]:
        last = self._before.number
        return [*self._closed, Window(self._first, last)] if last else []


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


def _published(heads_file: Path | None) -> tuple[dict[int, PublishedHead], Wrong | None]:
    try:
        return published_heads(heads_file), None
    except SealRefusedError as refusal:
        return {}, Wrong("heads", str(heads_file or ""), str(refusal))


def _differs(block: SealedBlock, said: PublishedHead) -> Wrong | None:
    if block.head_hash != said.head_hash:
        return _wrong_block(block.number, f"{_block(block.number)} has another head than published")
    if (block.signature, block.sealed_at) != (said.signature, said.sealed_at):
        detail = f"block {block.number} was published with another signature or time"
        return _wrong_block(block.number, detail)
    return None


def _unsigned(newest: SealedBlock, heads: int) -> Wrong | None:
    key = public_key()
    if heads == 0:
        detail = "no head was published outside the database"
    elif key is None:
        detail = "the key that signed the blocks is not there"
    elif not is_signed(newest.head_hash, newest.signature, key):
        detail = f"block {newest.number} is not signed by the key of this place"
    else:
        return None
    return _wrong_block(newest.number, detail)


def _block(number: int) -> str:
    """The block, and since when history is not as it was."""
    since = f"block {number - 1}" if number > 1 else "the beginning"
    return f"history since {since} is not as it was: block {number}"


def _wrong_block(number: int, detail: str) -> Wrong:
    return Wrong("accounts_sealblock", str(number), detail, number)
