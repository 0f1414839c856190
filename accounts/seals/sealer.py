"""Seals history in blocks, behind the writers, without making them wait.

Every row carries the id of its transaction. Below `pg_snapshot_xmin` every transaction has ended,
so no row can ever be added there: a block that ends at that horizon is complete for good.
"""

# Names in these queries come from the catalog.
# ruff: noqa: S608

from typing import Any, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.audit import Actor, acting
from accounts.models import SealBlock
from accounts.seals.heads import (
    GENESIS,
    Head,
    PublishedHead,
    SealRefusedError,
    newest_published,
    public_key,
    publish,
    signing_key,
)
from accounts.seals.leaves import STORED_SQL, current_layouts, set_canonical
from accounts.seals.tree import merkle_root, split
from accounts.table_classes import table_classes

FIRST_XID = 3  # PostgreSQL's first ordinary transaction id
# A block covers at most so many transactions, which bounds its memory; the next call goes on.
BLOCK_TRANSACTIONS_MAX = 20_000
SEALER = Actor.job("seal")
ADVISORY_LOCK = 0x5EA1


class _Range(NamedTuple):
    """What the next block covers, and what it goes on from."""

    number: int
    epoch: int
    previous_hash: bytes
    from_xid: int
    to_xid: int


def seal_history() -> SealBlock | None:
    """Seal the next stretch of history, if there is one, and publish its head.

    Returns:
        The new block; None where nothing but the last seal happened, or another sealer is at work.

    Raises:
        SealRefusedError: the signing key is gone, or transaction ids went back (a restored
            database), or the published heads are not this history's.
    """
    _publish_missing()
    if _next_range() is None:
        return None
    with acting(SEALER, reason="history below the horizon is sealed"):
        block = _seal_under_lock()
    if block is not None:
        publish([_as_published(block)])
    return block


def _seal_under_lock() -> SealBlock | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        (is_alone,) = cursor.fetchone()
        if not is_alone:
            return None
        found = _next_range()
        return None if found is None else _seal(cursor, found)


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
        epoch=1 if last is None else last.epoch,
        previous_hash=GENESIS if last is None else bytes(last.head_hash),
        from_xid=start,
        to_xid=horizon if last_xid is None else last_xid,
    )


def _seal(cursor: CursorWrapper, covered: _Range) -> SealBlock:
    key = signing_key(may_make=covered.number == 1)
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


def _as_published(block: SealBlock) -> PublishedHead:
    key = public_key()
    assert key is not None, "a block was just signed"
    return PublishedHead(
        number=block.number,
        head_hash=bytes(block.head_hash),
        root=bytes(block.root),
        to_xid=block.to_xid,
        signature=bytes(block.signature),
        public_key=key,
        sealed_at=block.sealed_at.isoformat(),
    )


def _publish_missing() -> None:
    """Publish heads that a crash kept back between the commit and the file.

    Raises:
        SealRefusedError: `heads_continue_this_history`: the file ends with another history.
    """
    newest = newest_published()
    if newest is not None:
        block = SealBlock.objects.filter(number=newest.number).first()
        if block is None or bytes(block.head_hash) != newest.head_hash:
            raise SealRefusedError(
                "heads_continue_this_history",
                f"block {newest.number} was published with another head than the database has",
            )
    last = 0 if newest is None else newest.number
    missing = SealBlock.objects.filter(number__gt=last).order_by("number")
    publish(_as_published(block) for block in missing)
