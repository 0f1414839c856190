"""Seals made again from the rows and compared with those that were stored and published.

Every row below the sealed horizon is hashed again and put beside the leaf that was kept of it;
the leaves are put under a root again, the roots into the chain, and the chain beside the heads
outside the database. What differs first is named: the row where its leaf is still there to tell,
the block where leaves were rebuilt too.
"""

# Names in these queries come from the catalog or passed `SourceLayout.from_json`.
# ruff: noqa: S608

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction, Wrong
from accounts.seals.heads import GENESIS, Head, is_signed, public_key, published_heads
from accounts.seals.leaves import MARK_BYTES, LayoutError, SourceLayout, current_layouts
from accounts.seals.tree import HASH_BYTES, merkle_root, split
from accounts.table_classes import table_classes

# So many leaves are looked at in one go, which bounds the memory.
WINDOW_LEAVES_MAX = 250_000

Layouts = dict[str, SourceLayout]


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


def read_blocks(cursor: CursorWrapper) -> list[SealedBlock]:
    """All blocks in their order."""
    cursor.execute(
        "SELECT number, epoch, from_xid::text::bigint, to_xid::text::bigint, leaf_count,"
        " layout::text, root, previous_hash, head_hash, signature"
        " FROM accounts_sealblock ORDER BY number"
    )
    blocks = []
    for number, epoch, from_xid, to_xid, leaf_count, layout, *hashes in cursor.fetchall():
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
            )
        )
    return blocks


# ---------------------------------------------------------------- the chain


def check_chain(blocks: Sequence[SealedBlock]) -> Check:
    """Every block goes on where the one before ended, and its head is the hash of what it says."""
    wrong = None
    before = SealedBlock(0, 1, 0, 3, 0, {}, b"", b"", GENESIS, b"")
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
    published = published_heads(heads_file)
    by_number = {block.number: block for block in blocks}
    wrong = None
    for number in sorted(published):
        block = by_number.get(number)
        if block is None or block.head_hash != published[number].head_hash:
            what = "is gone" if block is None else "has another head than was published"
            since = f"block {number - 1}" if number > 1 else "the beginning"
            detail = f"block {number} {what}; history since {since} is not as it was"
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


# ---------------------------------------------------------------- rows and leaves


def leaf_checks(cursor: CursorWrapper, blocks: Sequence[SealedBlock]) -> list[CheckFunction]:
    """Checks of rows against leaves and leaves against roots, one per stretch of blocks."""
    current = current_layouts(cursor, table_classes())
    return [_window_check(window, current) for window in _windows(blocks)]


def _windows(blocks: Sequence[SealedBlock]) -> Iterator[list[SealedBlock]]:
    window: list[SealedBlock] = []
    leaves = 0
    for block in blocks:
        if window and leaves + block.leaf_count > WINDOW_LEAVES_MAX:
            yield window
            window, leaves = [], 0
        window.append(block)
        leaves += block.leaf_count
    if window:
        yield window


def _window_check(window: Sequence[SealedBlock], current: Layouts) -> CheckFunction:
    def sealed_rows_are_as_they_were(cursor: CursorWrapper) -> list[Check]:
        return [_check_window(cursor, window, current)]

    return sealed_rows_are_as_they_were


def _check_window(cursor: CursorWrapper, window: Sequence[SealedBlock], current: Layouts) -> Check:
    """The first block of the window whose rows, leaves and root are not one and the same."""
    name = "sealed_rows_are_as_they_were"
    rows = sum(block.leaf_count for block in window)
    try:
        recomputed, layouts = _recomputed_leaves(cursor, window, current)
    except LayoutError as error:
        number = window[0].number
        return Check(name, rows, Wrong("accounts_sealblock", str(number), str(error), number))
    stored = _stored_leaves(cursor, window)
    for number, made in recomputed.items():
        if number < window[0].number:
            source = min(made)
            return Check(name, rows, _first_before(cursor, source, layouts[source], window[0]))
    for block in window:
        made, kept = recomputed.get(block.number, {}), stored.get(block.number, {})
        is_rooted = _root(kept) == block.root
        if made == kept and is_rooted:
            continue
        return Check(name, rows, _wrong_in(cursor, block, made, kept, layouts))
    return Check(name, rows)


def _root(leaves: Mapping[str, bytes]) -> bytes:
    return merkle_root([leaf for source in sorted(leaves) for leaf in split(leaves[source])])


def _recomputed_leaves(
    cursor: CursorWrapper, window: Sequence[SealedBlock], current: Layouts
) -> tuple[dict[int, dict[str, bytes]], dict[str, SourceLayout]]:
    """Per block and source the leaves of the rows as they are now, in the order of their keys.

    Rows from before the first block come under the number before the window's.
    """
    found: dict[int, dict[str, bytes]] = {}
    newest: dict[str, SourceLayout] = {}
    sources = sorted(set(current).union(*(block.layout for block in window)))
    for source in sources:
        for layout, blocks in _runs(window, source, current.get(source)):
            newest[source] = layout
            start = 0 if blocks[0].number == 1 else blocks[0].from_xid
            cursor.execute(
                "SELECT width_bucket(xid, %(starts)s::xid8[]),"
                " string_agg(leaf, ''::bytea ORDER BY key COLLATE \"C\")"
                f" FROM ({layout.rows_sql()}) r GROUP BY 1",
                {
                    "starts": "{" + ",".join(str(block.from_xid) for block in blocks) + "}",
                    "from": str(start),
                    "to": str(blocks[-1].to_xid),
                },
            )
            for nth, joined in cursor.fetchall():
                number = blocks[nth - 1].number if nth else blocks[0].number - 1
                found.setdefault(number, {})[source] = bytes(joined)
    return found, newest


def _runs(
    window: Sequence[SealedBlock], source: str, current: SourceLayout | None
) -> Iterator[tuple[SourceLayout, list[SealedBlock]]]:
    """Stretches of blocks in which a source has the same layout.

    A block without rows of the source takes the layout of a block beside it, so that a row that
    was slipped into it is seen.
    """
    known = [
        SourceLayout.from_json(source, block.layout[source]) if source in block.layout else None
        for block in window
    ]
    last = next((layout for layout in known if layout is not None), current)
    filled = []
    for layout in known:
        last = layout if layout is not None else last
        filled.append(last)
    for layout, run in groupby(zip(filled, window, strict=True), key=lambda pair: pair[0]):
        if layout is not None:
            yield layout, [block for _, block in run]


def _stored_leaves(
    cursor: CursorWrapper, window: Sequence[SealedBlock]
) -> dict[int, dict[str, bytes]]:
    cursor.execute(
        "SELECT block_id, source, string_agg(leaf, ''::bytea ORDER BY position)"
        " FROM accounts_sealleaf WHERE block_id BETWEEN %s AND %s GROUP BY 1, 2",
        [window[0].number, window[-1].number],
    )
    found: dict[int, dict[str, bytes]] = {}
    for number, source, joined in cursor.fetchall():
        found.setdefault(number, {})[source] = bytes(joined)
    return found


# ---------------------------------------------------------------- naming what is wrong


def _wrong_in(
    cursor: CursorWrapper,
    block: SealedBlock,
    made: Mapping[str, bytes],
    kept: Mapping[str, bytes],
    layouts: Mapping[str, SourceLayout],
) -> Wrong:
    """The row, the leaf or, where both were rebuilt, the block."""
    if _root(made) == block.root:
        nth = _first_difference(b"".join(made[s] for s in sorted(made)),
                                b"".join(kept[s] for s in sorted(kept)))  # fmt: skip
        detail = f"the row is sealed and sound, but its leaf {nth} was changed"
        return Wrong("accounts_sealleaf", f"{block.number}/{nth}", detail, block.number)
    for source in sorted(set(made) | set(kept)):
        if made.get(source) != kept.get(source):
            return _wrong_row(cursor, source, layouts[source], block)
    detail = (
        f"the leaves of block {block.number} were rebuilt over changed rows: they do not give its "
        "root; its rows are not as they were"
    )
    return Wrong("accounts_sealblock", str(block.number), detail, block.number)


def _first_difference(one: bytes, other: bytes) -> int:
    pairs = zip(split(one), split(other), strict=False)
    differing = (nth for nth, (left, right) in enumerate(pairs) if left != right)
    return next(differing, min(len(one), len(other)) // HASH_BYTES)


def _wrong_row(
    cursor: CursorWrapper, source: str, layout: SourceLayout, block: SealedBlock
) -> Wrong:
    """The first row of a block that differs from its leaf, is gone, or was put in."""
    cursor.execute(
        "SELECT coalesce(r.key, l.row_key), r.key IS NULL, l.row_key IS NULL, l.marks"
        f" FROM ({layout.rows_sql()}) r FULL JOIN"
        " (SELECT * FROM accounts_sealleaf WHERE block_id = %(block)s AND source = %(source)s) l"
        " ON l.row_key = r.key WHERE r.leaf IS DISTINCT FROM l.leaf"
        ' ORDER BY coalesce(r.key, l.row_key) COLLATE "C" LIMIT 1',
        {
            "block": block.number,
            "source": source,
            "from": str(block.from_xid),
            "to": str(block.to_xid),
        },
    )
    row = cursor.fetchone()
    if row is None:
        detail = f"the leaves of {source} in block {block.number} stand in another order"
        return Wrong("accounts_sealleaf", str(block.number), detail, block.number)
    key, is_gone, is_new, marks = row
    if is_gone:
        return Wrong(source, key, "the row is gone, or names another transaction", block.number)
    if is_new:
        return Wrong(source, key, "the row was put in after the block was sealed", block.number)
    return _wrong_part(cursor, source, layout, key, bytes(marks), block.number)


def _wrong_part(
    cursor: CursorWrapper, source: str, layout: SourceLayout, key: str, marks: bytes, block: int
) -> Wrong:
    """Which of the rows that share a leaf was changed, as far as their marks tell."""
    sealed = [marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)]
    found: list[tuple[str, str, bytes]] = []
    for table, sql in layout.sections_sql():
        cursor.execute(sql, {"key": key})
        found += [(table, row_key, bytes(mark)) for row_key, mark in cursor.fetchall()]
    if not layout.parts:
        return Wrong(source, key, "the row was changed", block)
    if len(found) != len(sealed):
        what = "fewer" if len(found) < len(sealed) else "more"
        extra = [row for row in found if row[2] not in sealed]
        table, row_key = (extra[0][0], extra[0][1]) if extra else (source, key)
        detail = f"{source} {key} has {what} rows than were sealed with it"
        return Wrong(table, row_key, detail, block)
    for (table, row_key, mark), was in zip(found, sealed, strict=True):
        if mark != was:
            return Wrong(table, row_key, f"the row of {source} {key} was changed", block)
    return Wrong(source, key, "the row, or one sealed with it, was changed", block)


def _first_before(
    cursor: CursorWrapper, source: str, layout: SourceLayout, first: SealedBlock
) -> Wrong:
    cursor.execute(
        f'SELECT key FROM ({layout.rows_sql()}) r ORDER BY key COLLATE "C" LIMIT 1',
        {"from": "0", "to": str(first.from_xid)},
    )
    (key,) = cursor.fetchone()
    return Wrong(source, key, "the row names a transaction from before the first", None)


# ---------------------------------------------------------------- what is not sealed yet


def check_unsealed(cursor: CursorWrapper, blocks: Sequence[SealedBlock]) -> tuple[Check, int]:
    """Rows above the last block, of which none may name a transaction that is still to come."""
    classes = table_classes()
    since = str(blocks[-1].to_xid if blocks else 0)
    count = 0
    wrong = None
    for table, layout in current_layouts(cursor, classes).items():
        key = " || '/' || ".join(f"{column}::text" for column in layout.key)
        cursor.execute(
            "SELECT count(*),"
            f" min({key}) FILTER (WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))"
            f" FROM public.{table} WHERE xid >= %s::xid8",
            [since],
        )
        rows, ahead = cursor.fetchone()
        count += rows
        if ahead is not None and wrong is None:
            wrong = Wrong(table, ahead, "the row names a transaction that has not happened")
    return Check("unsealed_rows_are_of_the_past", count, wrong), count
