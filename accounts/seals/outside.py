"""The chain held against what has left the database: a file of heads, and copies of it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db.backends.utils import CursorWrapper

from accounts.checks import Wrong
from accounts.seals.heads import SealRefusedError, is_signed
from accounts.seals.published import (
    Published,
    PublishedEpoch,
    PublishedHead,
    given_up_of,
    heads_file,
    place_key,
    read_published,
)

if TYPE_CHECKING:
    from accounts.seals.chain import SealedBlock


def read_epochs(cursor: CursorWrapper) -> list[PublishedEpoch]:
    """Stored epochs in their order; one that says nothing readable counts as not signed."""
    cursor.execute(
        "SELECT number, cause, began_at, after_number, after_head, highest_xid::text::bigint,"
        " given_up::text, server, public_key, signature FROM accounts_sealepoch ORDER BY number"
    )
    return [_read_epoch(row) for row in cursor.fetchall()]


def _read_epoch(row: tuple[Any, ...]) -> PublishedEpoch:
    number, cause, began_at, after_number, after_head, highest_xid, given_up, server, *key = row
    public_key, signature = map(bytes, key)
    try:
        read = given_up_of(json.loads(given_up))
    except SealRefusedError:
        read, signature = (), b""
    return PublishedEpoch(
        number=number,
        cause=cause,
        began_at=began_at.isoformat(),
        after_number=after_number,
        after_head=bytes(after_head),
        highest_xid=highest_xid,
        given_up=read,
        server=server,
        public_key=public_key,
        signature=signature,
    )


class Outside:
    """One file of published lines, held against the blocks as they are read.

    Args:
        path: the file; None for the place's own.
        epochs: as the database stores them.
        is_whole: whether the file must have every block but the newest; a copy may lag behind.
    """

    def __init__(self, path: Path | None, epochs: list[PublishedEpoch], *, is_whole: bool) -> None:
        self._name = "" if path is None else str(path)
        self._epochs = epochs
        self._is_whole = is_whole
        self._kept_back: SealedBlock | None = None
        self._key = trusted_key()
        self.wrong: Wrong | None = None
        try:
            self._published = read_published(path)
        except (SealRefusedError, OSError, ValueError) as refusal:
            self._published = Published({}, {})
            self.wrong = Wrong("heads", self._name or str(heads_file()), str(refusal))
        self.heads = len(self._published.heads)

    def add(self, block: "SealedBlock") -> None:
        """Hold the next block against its line."""
        said = self._published.heads.pop((block.epoch, block.number), None)
        if self.wrong is None:
            self.wrong = self._missed(block) if said is None else self._differs(block, said)

    def _missed(self, block: "SealedBlock") -> Wrong | None:
        """A block without a line; the newest may wait for the next seal to publish it."""
        before, self._kept_back = self._kept_back, block
        if before is None or not self._is_whole or not self.heads:
            return None
        return wrong_block(before.number, f"block {before.number} was never published")

    def _differs(self, block: "SealedBlock", said: PublishedHead) -> Wrong | None:
        if block.head_hash != said.head_hash:
            detail = f"{_since(block.number)} has another head than published"
            return wrong_block(block.number, detail)
        if (block.signature, block.sealed_at) != (said.signature, said.sealed_at):
            detail = f"block {block.number} was published with another signature or time"
            return wrong_block(block.number, detail)
        if (block.root, block.to_xid) != (said.root, said.to_xid):
            detail = f"the published line of block {block.number} was changed: root or end"
            return wrong_block(block.number, detail)
        if said.public_key != self._key_of(block.epoch, said):
            detail = f"block {block.number} was published under another key"
            return wrong_block(block.number, detail)
        if self._is_whole and self._kept_back is not None:
            number = self._kept_back.number
            return wrong_block(number, f"block {number} was never published")
        return None

    def _key_of(self, epoch: int, said: PublishedHead) -> bytes | None:
        """The key that signs in an epoch. Of the first nothing is known once another has begun."""
        if not self._epochs or epoch == self._epochs[-1].number:
            return self._key
        stored = next((one.public_key for one in self._epochs if one.number == epoch), b"")
        return stored or said.public_key

    def finish(self) -> Wrong | None:
        """What is wrong after the last block: lines of blocks that the database does not have."""
        if self.wrong is None:
            self.wrong = self._unexplained()
        return self.wrong

    def _unexplained(self) -> Wrong | None:
        newest = self._epochs[-1] if self._epochs else None
        is_announced = newest is not None and self._published.epochs.get(newest.number) == newest
        for (epoch, number), head in sorted(self._published.heads.items()):
            if newest is None or not is_announced or not newest.gives_up(head):
                detail = f"{_since(number)} is gone; it was published in epoch {epoch}"
                return wrong_block(number, detail)
        for number, said in self._published.epochs.items():
            stored = next((one for one in self._epochs if one.number == number), None)
            if stored is None and (newest is None or number > newest.number):
                return wrong_epoch(number, f"epoch {number} was published and is gone")
            if stored is not None and stored != said:
                return wrong_epoch(number, f"epoch {number} was published otherwise")
        return None

    def given_up(self) -> int:
        """How many published blocks a restore gave up; call it last."""
        return len(self._published.heads) if self.wrong is None else 0


def trusted_key() -> bytes | None:
    """The public key of this place; None where it cannot be read."""
    try:
        return place_key()
    except (SealRefusedError, OSError, ValueError):
        return None


def epoch_flaw(epochs: list[PublishedEpoch]) -> Wrong | None:
    """The first epoch that nobody with its key began, or that does not go on from the last."""
    if not epochs or epochs[0].number != 1:
        return wrong_epoch(1, "the first epoch is gone")
    for before, epoch in pairwise(epochs):
        if not is_signed(epoch.statement(), epoch.signature, epoch.public_key):
            return wrong_epoch(epoch.number, f"epoch {epoch.number} is not signed by its key")
        if epoch.after_number < before.after_number:
            return wrong_epoch(epoch.number, f"epoch {epoch.number} begins before the one before")
    key = trusted_key()
    if len(epochs) > 1 and key is not None and epochs[-1].public_key != key:
        return wrong_epoch(
            epochs[-1].number, f"epoch {epochs[-1].number} was begun with another key than ours"
        )
    return None


def _since(number: int) -> str:
    """The block, and since when history is not as it was."""
    since = f"block {number - 1}" if number > 1 else "the beginning"
    return f"history since {since} is not as it was: block {number}"


def wrong_block(number: int, detail: str) -> Wrong:
    """A block that is not what it must be."""
    return Wrong("accounts_sealblock", str(number), detail, number)


def wrong_epoch(number: int, detail: str) -> Wrong:
    """An epoch that is not what it must be."""
    return Wrong("accounts_sealepoch", str(number), detail)
