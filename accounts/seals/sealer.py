"""Seals history in blocks, behind the writers, without making them wait.

Every row carries the id of its transaction. Below `pg_snapshot_xmin` every transaction has ended,
so no row can ever be added there: a block that ends at that horizon is complete for good.
"""

# Names in these queries come from the catalog.
# ruff: noqa: S608

import logging
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.audit import acting
from accounts.models import SealBlock, SealEpoch
from accounts.seals.heads import GENESIS, Head, SealRefusedError, signing_key
from accounts.seals.leaves import STORED_SQL, current_layouts, set_canonical
from accounts.seals.publication import publish_missing
from accounts.seals.published import newest_published
from accounts.seals.sinks import deliver_missing
from accounts.seals.state import SEALER, seal_state
from accounts.seals.tree import merkle_root, split
from accounts.table_classes import table_classes

logger = logging.getLogger(__name__)

FIRST_XID = 3  # PostgreSQL's first ordinary transaction id
# A block covers at most so many transactions, which bounds its memory; the next call goes on.
BLOCK_TRANSACTIONS_MAX = 20_000
ADVISORY_LOCK = 0x5EA1


class _Range(NamedTuple):
    """What the next block covers, what it goes on from, and whether more is left for another."""

    number: int
    epoch: int
    previous_hash: bytes
    from_xid: int
    to_xid: int
    leaves_more: bool


def seal_history() -> SealBlock | None:
    """Seal history up to the horizon, block by block, and publish each head.

    Returns:
        The newest of the new blocks; None where nothing but the last seal happened, or another
        sealer is at work.

    Raises:
        SealRefusedError: the signing key is gone, or transaction ids went back (a restored
            database), or the published heads are not this history's.
    """
    publish_missing()
    newest = None
    is_behind = _next_range() is not None
    while is_behind:
        with acting(SEALER, reason="history below the horizon is sealed"):
            covered, block = _seal_under_lock()
        newest = block or newest
        is_behind = covered is not None and covered.leaves_more and _next_range() is not None
        publish_missing()
    deliver_missing()
    held_back = seal_state().held_back
    if held_back:
        logger.warning("%s", held_back)
    return newest


def _seal_under_lock() -> tuple[_Range | None, SealBlock | None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        (is_alone,) = cursor.fetchone()
        found = _next_range() if is_alone else None
        return found, None if found is None else _seal(cursor, found)


def _next_range() -> _Range | None:
    """Where the next block begins and ends; None where only seals were written since the last."""
    last = SealBlock.objects.order_by("-number").first()
    start = FIRST_XID if last is None else last.to_xid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        (horizon,) = cursor.fetchone()
        if horizon < start:
            raise SealRefusedError(
                "history_goes_forward", f"transaction {start} is sealed, the server is at {horizon}"
            )
        cursor.execute(
            "SELECT EXISTS (SELECT FROM accounts_act WHERE xid >= %s::xid8 AND xid < %s::xid8"
            " AND actor <> %s),"
            " (SELECT xid::text::bigint FROM accounts_act WHERE xid >= %s::xid8"
            "  AND xid < %s::xid8 ORDER BY xid OFFSET %s LIMIT 1)",
            [
                str(start),
                str(horizon),
                SEALER.name,
                str(start),
                str(horizon),
                BLOCK_TRANSACTIONS_MAX,
            ],
        )
        is_worth_it, last_xid = cursor.fetchone()
    if not is_worth_it:
        return None
    return _Range(
        number=1 if last is None else last.number + 1,
        epoch=SealEpoch.objects.order_by("-number").values_list("number", flat=True)[0],
        previous_hash=GENESIS if last is None else bytes(last.head_hash),
        from_xid=start,
        to_xid=horizon if last_xid is None else last_xid,
        leaves_more=last_xid is not None,
    )


def _seal(cursor: CursorWrapper, covered: _Range) -> SealBlock:
    key = _key_of(covered.epoch, is_first=covered.number == 1)
    set_canonical(cursor)
    # A block is bounded by transactions, but one of them may have been a very large one.
    cursor.execute("SET LOCAL statement_timeout = 0")
    layout, leaves = _write_leaves(cursor, covered)
    head = Head(
        previous_hash=covered.previous_hash,
        root=merkle_root(leaves),
        number=covered.number,
        epoch=covered.epoch,
        from_xid=covered.from_xid,
        to_xid=covered.to_xid,
        leaf_count=len(leaves),
        layout=layout,
    )
    cursor.execute("SELECT clock_timestamp()")
    (sealed_at,) = cursor.fetchone()
    return SealBlock.objects.create(
        number=head.number,
        epoch=head.epoch,
        from_xid=head.from_xid,
        to_xid=head.to_xid,
        leaf_count=head.leaf_count,
        layout=head.layout,
        root=head.root,
        previous_hash=head.previous_hash,
        head_hash=head.hash(),
        signature=key.sign(head.hash()),
        sealed_at=sealed_at,
    )


def _key_of(epoch: int, *, is_first: bool) -> Ed25519PrivateKey:
    """The key that signed before; another one takes over with an epoch only."""
    key = signing_key(may_make=is_first and epoch == 1)
    said = SealEpoch.objects.values_list("public_key", flat=True).get(number=epoch)
    newest = newest_published()
    expected = bytes(said) or (b"" if newest is None else newest.public_key)
    if expected not in (b"", key.public_key().public_bytes_raw()):
        raise SealRefusedError(
            "seal_key_is_kept", f"epoch {epoch} is signed by another key than the one that is here"
        )
    return key


def _write_leaves(cursor: CursorWrapper, covered: _Range) -> tuple[dict[str, Any], list[bytes]]:
    """Write the leaves of all rows in the range; returns the block's layout and the leaves.

    The layout holds the hash of each source's marks too, so that nobody misleads by them.
    """
    layouts: dict[str, Any] = {}
    written = 0
    for source, layout in current_layouts(cursor, table_classes()).items():
        cursor.execute(
            "INSERT INTO accounts_sealleaf (block_id, position, source, row_key, leaf, marks)"
            ' SELECT %(block)s, %(before)s + row_number() OVER (ORDER BY key COLLATE "C") - 1,'
            f" %(source)s, key, leaf, marks FROM ({layout.rows_sql(marks=True)}) r",
            {
                "block": covered.number,
                "before": written,
                "source": source,
                "from": str(covered.from_xid),
                "to": str(covered.to_xid),
            },
        )
        if cursor.rowcount:
            layouts[source] = layout.as_json()
            written += cursor.rowcount
    cursor.execute(STORED_SQL, {"first": covered.number, "last": covered.number})
    leaves = []
    for _, source, joined, _, marks in sorted(cursor.fetchall(), key=lambda row: str(row[1])):
        leaves += split(bytes(joined))
        layouts[source]["marks"] = marks
    return layouts, leaves
