"""The seal that is printed on a report: whoever keeps the report keeps a head of the chain."""

from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.seals.published import place_key


class PrintedSeal(NamedTuple):
    """The head under which what a report says is sealed.

    Attributes:
        number, epoch: of the block; 0 and 0 where nothing is sealed.
        head, signature, public_key: in hexadecimal.
        covers_all: whether everything known at the report's horizon is sealed under it.
    """

    number: int
    epoch: int
    head: str
    signature: str
    public_key: str
    covers_all: bool

    def as_json(self) -> dict[str, Any]:
        """As a manifest carries it."""
        if self.number == 0:
            return {"sealed_to_block": None, "head": None, "head_covers_report": False}
        return {
            "sealed_to_block": self.number,
            "seal_epoch": self.epoch,
            "head": self.head,
            "head_signature": self.signature,
            "seal_public_key": self.public_key,
            "head_covers_report": self.covers_all,
        }


def seal_over(cursor: CursorWrapper, snapshot: str) -> PrintedSeal:
    """The first block by which all that a snapshot knows is sealed, or else the newest block.

    Args:
        snapshot: a committed horizon, as PostgreSQL prints it.
    """
    cursor.execute(
        "SELECT number, epoch, encode(head_hash, 'hex'), encode(signature, 'hex'),"
        " to_xid >= pg_snapshot_xmax(%(at)s::pg_snapshot) AS covers"
        " FROM accounts_sealblock"
        " ORDER BY covers DESC, CASE WHEN to_xid >= pg_snapshot_xmax(%(at)s::pg_snapshot)"
        " THEN number ELSE -number END LIMIT 1",
        {"at": snapshot},
    )
    row = cursor.fetchone()
    if row is None:
        return PrintedSeal(0, 0, "", "", "", covers_all=False)
    number, epoch, head, signature, covers = row
    key = place_key()
    return PrintedSeal(number, epoch, head, signature, key.hex() if key else "", covers)
