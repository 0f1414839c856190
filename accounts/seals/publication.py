"""Brings what is sealed out of the database: to the file of heads, and from there to its copies."""

from collections.abc import Iterator
from heapq import merge
from operator import itemgetter

from accounts.models import SealBlock, SealEpoch
from accounts.seals.heads import GENESIS, SealRefusedError, is_signed, own_public_key
from accounts.seals.published import (
    Line,
    PublishedEpoch,
    PublishedHead,
    append_lines,
    given_up_of,
)

BLOCKS_READ_AT_ONCE = 1_000


def publish_missing() -> int:
    """Add the lines of what was sealed since the last, and of what a crash kept back.

    Returns:
        How many lines were added.

    Raises:
        SealRefusedError: `heads_continue_this_history`: the file ends with another history, and
            no epoch says why; `epoch_is_signed`: an epoch was not begun by who holds its key.
    """
    return append_lines(_lines_after)


def _lines_after(newest: Line | None) -> Iterator[Line]:
    """What the book holds after the last line, block by block, each epoch before its blocks."""
    known = 1 if newest is None else _epoch_of(newest)
    epochs = [
        published_epoch(epoch)
        for epoch in SealEpoch.objects.filter(number__gt=known).order_by("number")
    ]
    for epoch in epochs:
        if not is_signed(epoch.statement(), epoch.signature, epoch.public_key):
            raise SealRefusedError("epoch_is_signed", f"epoch {epoch.number} is not signed")
    heads = _heads_after(_goes_on_after(newest, epochs))
    lines: Iterator[tuple[tuple[int, int], Line]] = merge(
        (((head.number, 0), head) for head in heads),
        (((epoch.after_number, epoch.number), epoch) for epoch in epochs),
        key=itemgetter(0),
    )
    return (line for _, line in lines)


def _epoch_of(line: Line) -> int:
    return line.epoch if isinstance(line, PublishedHead) else line.number


def _goes_on_after(newest: Line | None, epochs: list[PublishedEpoch]) -> int:
    """The block after which the book goes on where the file ends."""
    if newest is None:
        return 0
    if isinstance(newest, PublishedHead):
        number, head_hash = newest.number, newest.head_hash
        takers = [epoch for epoch in epochs if epoch.gives_up(newest)]
    else:
        number, head_hash = newest.after_number, newest.after_head
        takers = epochs  # what the file ends with has no block yet that could be missed
    if _head_of(number) == head_hash:
        return number
    if takers:
        return takers[0].after_number
    raise SealRefusedError(
        "heads_continue_this_history",
        f"block {number} was published with another head than the database has",
    )


def _head_of(number: int) -> bytes | None:
    if number == 0:
        return GENESIS
    block = SealBlock.objects.filter(number=number).first()
    return None if block is None else bytes(block.head_hash)


def _heads_after(number: int) -> Iterator[PublishedHead]:
    keys = {epoch.number: bytes(epoch.public_key) for epoch in SealEpoch.objects.all()}
    first = own_public_key() or b""
    blocks = SealBlock.objects.filter(number__gt=number).order_by("number")
    for block in blocks.iterator(BLOCKS_READ_AT_ONCE):
        yield published_head(block, public_key=keys.get(block.epoch) or first)


def published_head(block: SealBlock, *, public_key: bytes) -> PublishedHead:
    """The head of a stored block as it leaves."""
    return PublishedHead(
        number=block.number,
        epoch=block.epoch,
        head_hash=bytes(block.head_hash),
        root=bytes(block.root),
        to_xid=block.to_xid,
        signature=bytes(block.signature),
        public_key=public_key,
        sealed_at=block.sealed_at.isoformat(),
    )


def published_epoch(epoch: SealEpoch) -> PublishedEpoch:
    """A stored epoch as it leaves."""
    return PublishedEpoch(
        number=epoch.number,
        cause=epoch.cause,
        began_at=epoch.began_at.isoformat(),
        after_number=epoch.after_number,
        after_head=bytes(epoch.after_head),
        highest_xid=epoch.highest_xid,
        given_up=given_up_of(epoch.given_up),
        server=epoch.server,
        public_key=bytes(epoch.public_key),
        signature=bytes(epoch.signature),
    )
