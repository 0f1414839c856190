"""The chain of blocks, held against its own hashes and against the heads outside the database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Wrong
from accounts.seals.heads import GENESIS, Head, is_signed
from accounts.seals.outside import Outside, epoch_flaw, read_epochs, trusted_key, wrong_block
from accounts.seals.published import PublishedEpoch
from accounts.seals.sinks import copies_kept
from accounts.seals.state import SEALER

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
        links: whether the blocks follow from one another.
        leaves_stand: whether each leaf stands in its place in a block.
        published: whether the heads are those outside.
        windows: the linked blocks in stretches; behind a break no block says which rows are its
            own.
        newest: the last block, if there is any.
        leaves: how many the linked blocks have.
    """

    links: Check
    leaves_stand: Check
    published: Check
    windows: list[Window]
    newest: SealedBlock | None
    leaves: int


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


def unreadable_chain(error: Exception) -> Chain:
    """What there is to say of a chain that the database could not even give out."""
    detail = f"the chain cannot be read: {str(error).splitlines()[0]}"
    links = Check("seals_form_one_chain", 0, Wrong("accounts_sealblock", "", detail))
    unseen = "not looked at, since the chain cannot be read"
    return Chain(
        links,
        Check("leaves_stand_in_their_blocks", 0, None, unseen),
        Check("heads_are_signed_and_published", 0, None, unseen),
        windows=[],
        newest=None,
        leaves=0,
    )


def read_chain(cursor: CursorWrapper, heads_file: Path | None = None) -> Chain:
    """Walk the chain from its beginning.

    Every block goes on where the one before ended, its head is the hash of what it says, and the
    chain ends in what was signed and published outside the database. The newest signature covers
    all blocks, and each older one is in a leaf of a later block.
    """
    epochs = read_epochs(cursor)
    own = Outside(heads_file, epochs, is_whole=heads_file is None)
    copies = [] if heads_file else [Outside(one, epochs, is_whole=False) for one in copies_kept()]
    links = _Links(epochs)
    newest = None
    for block in _every_block(cursor):
        newest = block
        links.add(block)
        for outside in (own, *copies):
            outside.add(block)
    wrong = next(filter(None, (outside.finish() for outside in (own, *copies))), None)
    if wrong is None and newest is not None:
        wrong = _unsigned(newest, own.heads)
    return Chain(
        links=Check("seals_form_one_chain", links.count, epoch_flaw(epochs) or links.wrong),
        leaves_stand=_leaves_in_their_blocks(cursor),
        published=Check("heads_are_signed_and_published", own.heads, wrong, _given_up(own, epochs)),
        windows=links.windows(),
        newest=newest,
        leaves=links.leaves,
    )


def _leaves_in_their_blocks(cursor: CursorWrapper) -> Check:
    """Every leaf belongs to a block and has a place in it, and every block was made by a sealer."""
    cursor.execute(
        "WITH kept AS (SELECT block_id, count(*) AS leaves, min(position) AS least,"
        "   max(position) AS greatest FROM accounts_sealleaf GROUP BY 1)"
        " SELECT coalesce(b.number, k.block_id), b.number IS NULL, a.xid IS NULL,"
        "   (SELECT sum(leaves)::bigint FROM kept)"
        " FROM accounts_sealblock b FULL JOIN kept k ON k.block_id = b.number"
        " LEFT JOIN accounts_act a ON a.xid = b.xid AND a.xid >= b.to_xid AND a.actor = %s"
        " WHERE b.number IS NULL OR a.xid IS NULL OR coalesce(k.leaves, 0) <> b.leaf_count"
        "    OR k.least <> 0 OR k.greatest <> k.leaves - 1 ORDER BY 1 LIMIT 1",
        [SEALER.name],
    )
    row = cursor.fetchone()
    name = "leaves_stand_in_their_blocks"
    if row is None:
        cursor.execute("SELECT coalesce(sum(leaf_count), 0)::bigint FROM accounts_sealblock")
        (leaves,) = cursor.fetchone()
        return Check(name, leaves)
    number, is_stray, is_nobodys, leaves = row
    if is_stray:
        detail = f"leaves stand in block {number}, which is not there"
        return Check(name, leaves or 0, Wrong("accounts_sealleaf", f"{number}/0", detail, None))
    detail = f"the leaves of block {number} are not as many as it counts, or not in their places"
    if is_nobodys:
        detail = f"block {number} names a transaction in which nothing was sealed"
    return Check(name, leaves or 0, wrong_block(number, detail))


def _given_up(outside: Outside, epochs: list[PublishedEpoch]) -> str:
    blocks = outside.given_up()
    if not blocks:
        return ""
    newest = epochs[-1]
    return (
        f"{blocks} published blocks were given up by the {newest.cause} that began epoch"
        f" {newest.number} on {newest.began_at[:10]}"
    )


class _Links:
    """The links of the chain as they are read, one block after another."""

    def __init__(self, epochs: list[PublishedEpoch]) -> None:
        self.count = 0
        self.leaves = 0
        self.wrong: Wrong | None = None
        self._epochs = epochs
        self._before = SealedBlock(0, 1, 0, 3, 0, {}, b"", b"", GENESIS, b"", "")
        self._closed: list[Window] = []
        self._first = 1
        self._leaves = 0

    def add(self, block: SealedBlock) -> None:
        self.count += 1
        if self.wrong is not None:
            return
        flaw = _flaw(block, self._before) or self._off_its_epoch(block)
        if flaw:
            self.wrong = wrong_block(block.number, flaw)
            return
        self.leaves += block.leaf_count
        if self._leaves and self._leaves + block.leaf_count > WINDOW_LEAVES_MAX:
            self._closed.append(Window(self._first, block.number - 1))
            self._first, self._leaves = block.number, 0
        self._leaves += block.leaf_count
        self._before = block

    def _off_its_epoch(self, block: SealedBlock) -> str:
        """An epoch begins behind the block that it names, and ends where the next begins."""
        begun = [epoch for epoch in self._epochs if epoch.after_number < block.number]
        if not begun or block.epoch != begun[-1].number:
            return f"block {block.number} names another epoch than it was made in"
        follows = begun[-1].after_number == block.number - 1
        if follows and begun[-1].after_head != block.previous_hash:
            return f"epoch {block.epoch} does not follow from block {block.number - 1}"
        return ""

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
    try:
        hashed = head.hash()
    except OverflowError:
        return f"block {block.number} says numbers that no block has"
    if hashed != block.head_hash:
        return f"the head of block {block.number} is not the hash of what the block says"
    return ""


def _unsigned(newest: SealedBlock, heads: int) -> Wrong | None:
    key = trusted_key()
    if heads == 0:
        detail = "no head was published outside the database"
    elif key is None:
        detail = "the key that signed the blocks is not there"
    elif not is_signed(newest.head_hash, newest.signature, key):
        detail = f"block {newest.number} is not signed by the key of this place"
    else:
        return None
    return wrong_block(newest.number, detail)
