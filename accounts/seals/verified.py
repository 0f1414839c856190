"""What was verified before, so that a large history need not be read again whole every time.

The mark is a file beside the heads, signed by the key of the place: nobody who can only write the
database can move it. It says up to which block everything was read and found sound, and how far
the round through the older blocks has come, of which every later run reads some again.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.backends.utils import CursorWrapper

from accounts.seals.chain import Chain, Window
from accounts.seals.heads import is_signed, own_public_key, signing_key
from accounts.seals.published import heads_file

MARK_PREFIX = b"verified\n"
# Of the older blocks, so many stretches (each of at most a quarter of a million leaves) per run.
STRETCHES_READ_AGAIN = 4


@dataclass(frozen=True)
class Mark:
    """How far history was read and found sound.

    Attributes:
        number, head: the last block that was.
        to_xid: where it ends.
        read_again_to: the last block of the older ones that was read again.
        at: when, in UTC.
    """

    number: int
    head: str
    to_xid: int
    read_again_to: int
    at: str

    def statement(self) -> bytes:
        """What is signed."""
        said = [self.number, self.head, self.to_xid, self.read_again_to, self.at]
        return MARK_PREFIX + json.dumps(said).encode()


class Scope(NamedTuple):
    """Which part of sealed history a run reads.

    Attributes:
        since: the mark it goes on from; None where everything is read.
        windows: stretches of blocks whose rows are hashed again.
        read_again: first and last of the older blocks among them, if there are any.
    """

    since: Mark | None
    windows: list[Window]
    read_again: Window | None = None

    def as_json(self) -> dict[str, object]:
        """The scope as `verify --json` prints it."""
        if self.since is None:
            return {"full": True, "not_read_again": ""}
        return {
            "full": False,
            "verified_before_to_block": self.since.number,
            "verified_before_at": self.since.at,
            "not_read_again": self.not_read_again(),
        }

    def not_read_again(self) -> str:
        """What a run that goes on from a mark left out, in a sentence; "" where nothing."""
        if self.since is None:
            return ""
        again = self.read_again
        besides = f", but for blocks {again.first} to {again.last}" if again else ""
        return (
            f"The rows of blocks 1 to {self.since.number}{besides} were counted and not read again;"
            f" all of them were sound on {self.since.at[:10]}. `manage.py verify --full` reads all."
        )


def choose_scope(cursor: CursorWrapper, chain: Chain, *, full: bool) -> Scope:
    """What a run reads: everything, unless history is large and a sound mark stands in it.

    Args:
        chain: as it was walked.
        full: whether everything shall be read whatever was read before.
    """
    mark = None if full or chain.leaves <= settings.VERIFY_ALL_UP_TO else read_mark()
    if mark is None or not chain.links.is_sound or not _stands(cursor, mark):
        return Scope(None, chain.windows)
    younger = [w for w in chain.windows if w.last > mark.number]
    older = [w for w in chain.windows if w.last <= mark.number]
    later = [w for w in older if w.first > mark.read_again_to] or older
    again = later[:STRETCHES_READ_AGAIN]
    read_again = Window(again[0].first, again[-1].last) if again else None
    return Scope(mark, [*again, *younger], read_again)


def _stands(cursor: CursorWrapper, mark: Mark) -> bool:
    cursor.execute(
        "SELECT FROM accounts_sealblock WHERE number = %s AND head_hash = %s AND to_xid = %s::xid8",
        [mark.number, bytes.fromhex(mark.head), str(mark.to_xid)],
    )
    return cursor.fetchone() is not None


def remember(chain: Chain, scope: Scope) -> None:
    """Write down how far history was just read and found sound; only where its key is at hand."""
    newest = chain.newest
    if newest is None or own_public_key() is None:
        return
    mark = Mark(
        number=newest.number,
        head=newest.head_hash.hex(),
        to_xid=newest.to_xid,
        read_again_to=scope.read_again.last if scope.read_again else 0,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    signature = signing_key(may_make=False).sign(mark.statement()).hex()
    path = mark_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(mark.__dict__ | {"signature": signature}) + "\n")
    draft.replace(path)


def read_mark() -> Mark | None:
    """The mark, if there is one and the key of this place signed it."""
    key = own_public_key()
    if key is None or not mark_file().exists():
        return None
    try:
        said = json.loads(mark_file().read_text())
        signature = bytes.fromhex(said.pop("signature"))
        mark = Mark(**said)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # whatever it is, it is no reason to read less
    return mark if is_signed(mark.statement(), signature, key) else None


def mark_file() -> Path:
    """Where the mark is kept."""
    return heads_file().with_suffix(".verified.json")
