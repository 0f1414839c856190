"""Seals made again from the rows and compared with those that were stored.

Every row below the sealed horizon is hashed again and put beside the leaf that was kept of it;
the leaves are put under a root again. What differs first is named: the row where its leaf is still
there to tell, the block where leaves were rebuilt too.
"""

# Names in these queries come from the catalog or passed `SourceLayout.from_json`.
# ruff: noqa: S608

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Wrong
from accounts.seals.chain import SealedBlock
from accounts.seals.leaves import (
    MARK_BYTES,
    STORED_SQL,
    LayoutError,
    SourceLayout,
    current_layouts,
    redacted_sources,
)
from accounts.seals.tree import merkle_root, split
from accounts.table_classes import table_classes

SEALED_ROWS = "sealed_rows_are_as_they_were"
NO_ROWS = "SELECT NULL::text AS key, NULL::bytea AS leaf WHERE %(from)s IS NULL"


# ---------------------------------------------------------------- rows and leaves


class Leaves(NamedTuple):
    """The leaves of one source in one block, in their order.

    Attributes:
        hashes: behind one another.
        keys: hash of the keys of their rows.
    """

    hashes: bytes
    keys: str


def check_window(
    cursor: CursorWrapper, window: Sequence[SealedBlock], current: Mapping[str, SourceLayout]
) -> Check:
    """The first block of the window whose rows, leaves and root are not one and the same."""
    name = SEALED_ROWS
    rows = sum(block.leaf_count for block in window)
    try:
        recomputed, layouts = _recomputed_leaves(cursor, window, current)
    except LayoutError as error:
        number = window[0].number
        return Check(name, rows, Wrong("accounts_sealblock", str(number), str(error), number))
    stored, marks = _stored_leaves(cursor, window)
    for number, made in recomputed.items():
        if number < window[0].number:
            source = min(made)
            return Check(name, rows, _first_before(cursor, source, layouts[source], window[0]))
    for block in window:
        made, kept = recomputed.get(block.number, {}), stored.get(block.number, {})
        if made != kept or _root(kept) != block.root:
            return Check(name, rows, _wrong_in(cursor, block, made, kept, layouts))
        for source, said in block.layout.items():
            if said.get("marks") != marks[block.number, source]:
                return Check(name, rows, _wrong_mark(cursor, source, layouts[source], block))
    return Check(name, rows)


def _root(leaves: Mapping[str, Leaves]) -> bytes:
    return merkle_root([leaf for source in sorted(leaves) for leaf in split(leaves[source].hashes)])


def _recomputed_leaves(
    cursor: CursorWrapper, window: Sequence[SealedBlock], current: Mapping[str, SourceLayout]
) -> tuple[dict[int, dict[str, Leaves]], dict[str, SourceLayout]]:
    """Per block and source the leaves of the rows as they are now, in the order of their keys.

    Rows from before the first block come under the number before the window's.
    """
    found: dict[int, dict[str, Leaves]] = {}
    newest: dict[str, SourceLayout] = {}
    sources = sorted(set(current).union(*(block.layout for block in window)))
    redacted = redacted_sources(cursor)
    # Right after a bulk load the planner's figures are stale; a join by loops could take hours.
    cursor.execute("SET LOCAL enable_nestloop = off")
    for source in sources:
        for layout, blocks in layout_runs(window, source, current.get(source)):
            newest[source] = layout
            start = 0 if blocks[0].number == 1 else blocks[0].from_xid
            rows = layout.rows_sql(redacted=source in redacted, at_once=True)
            cursor.execute(
                "SELECT width_bucket(xid, %(starts)s::xid8[]),"
                " string_agg(leaf, ''::bytea ORDER BY key COLLATE \"C\"),"
                " encode(sha256(convert_to(string_agg(key, E'\\n' ORDER BY key COLLATE \"C\"),"
                " 'UTF8')), 'hex')"
                f" FROM ({rows}) r GROUP BY 1",
                {
                    "starts": "{" + ",".join(str(block.from_xid) for block in blocks) + "}",
                    "from": str(start),
                    "to": str(blocks[-1].to_xid),
                },
            )
            for nth, joined, keys in cursor.fetchall():
                number = blocks[nth - 1].number if nth else blocks[0].number - 1
                found.setdefault(number, {})[source] = Leaves(bytes(joined), keys)
    cursor.execute("SET LOCAL enable_nestloop = on")
    return found, newest


def layout_runs(
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
) -> tuple[dict[int, dict[str, Leaves]], dict[tuple[int, str], str]]:
    """Per block and source the leaves that were kept, and the hash of their marks."""
    cursor.execute(STORED_SQL, {"first": window[0].number, "last": window[-1].number})
    found: dict[int, dict[str, Leaves]] = {}
    marked: dict[tuple[int, str], str] = {}
    for number, source, joined, keys, marks in cursor.fetchall():
        found.setdefault(number, {})[source] = Leaves(bytes(joined), keys)
        marked[number, source] = marks
    return found, marked


# ---------------------------------------------------------------- naming what is wrong


def _wrong_in(
    cursor: CursorWrapper,
    block: SealedBlock,
    made: Mapping[str, Leaves],
    kept: Mapping[str, Leaves],
    layouts: Mapping[str, SourceLayout],
) -> Wrong:
    """The row, the leaf or, where both were rebuilt, the block."""
    differing = [s for s in sorted(set(made) | set(kept)) if made.get(s) != kept.get(s)]
    if _root(made) == block.root and differing:
        return _wrong_leaf(cursor, differing, layouts, block)
    for source in differing:
        if source in layouts:
            return _wrong_row(cursor, source, layouts[source], block)
    detail = (
        f"the leaves of block {block.number} were rebuilt over changed rows: they do not give its "
        "root; its rows are not as they were"
    )
    return Wrong("accounts_sealblock", str(block.number), detail, block.number)


def _wrong_leaf(
    cursor: CursorWrapper,
    sources: Sequence[str],
    layouts: Mapping[str, SourceLayout],
    block: SealedBlock,
) -> Wrong:
    """The first stored leaf of these sources that is not that of its row; the rows are sound."""
    redacted = redacted_sources(cursor)
    for source in sources:
        known = layouts.get(source)
        rows = known.rows_sql(redacted=source in redacted) if known else NO_ROWS
        cursor.execute(
            "SELECT l.position FROM accounts_sealleaf l"
            f" LEFT JOIN ({rows}) r ON r.key = l.row_key AND r.leaf = l.leaf"
            " WHERE l.block_id = %(block)s AND l.source = %(source)s AND r.key IS NULL"
            " ORDER BY 1 LIMIT 1",
            _of(block, source),
        )
        row = cursor.fetchone()
        if row is not None:
            detail = "the row is sealed and sound, but its leaf was changed"
            return Wrong("accounts_sealleaf", f"{block.number}/{row[0]}", detail, block.number)
    detail = f"a leaf of block {block.number} is gone, or they stand in another order"
    return Wrong("accounts_sealleaf", str(block.number), detail, block.number)


def _wrong_mark(
    cursor: CursorWrapper, source: str, layout: SourceLayout, block: SealedBlock
) -> Wrong:
    """The first leaf whose marks are not those of its rows, which are sound."""
    cursor.execute(
        "SELECT l.position FROM accounts_sealleaf l"
        f" JOIN ({layout.rows_sql(marks=True)}) r ON r.key = l.row_key AND r.marks <> l.marks"
        " WHERE l.block_id = %(block)s AND l.source = %(source)s ORDER BY 1 LIMIT 1",
        _of(block, source),
    )
    row = cursor.fetchone()
    key = str(block.number) if row is None else f"{block.number}/{row[0]}"
    return Wrong("accounts_sealleaf", key, "the marks of a leaf were changed", block.number)


def _of(block: SealedBlock, source: str) -> dict[str, str | int]:
    """Parameters of queries about one source in one block."""
    return {
        "block": block.number,
        "source": source,
        "from": str(block.from_xid),
        "to": str(block.to_xid),
    }


def _wrong_row(
    cursor: CursorWrapper, source: str, layout: SourceLayout, block: SealedBlock
) -> Wrong:
    """The first row of a block that differs from its leaf, is gone, or was put in."""
    cursor.execute(
        "SELECT coalesce(r.key, l.row_key), r.key IS NULL, l.row_key IS NULL, l.marks"
        f" FROM ({layout.rows_sql(redacted=source in redacted_sources(cursor))}) r FULL JOIN"
        " (SELECT * FROM accounts_sealleaf WHERE block_id = %(block)s AND source = %(source)s) l"
        " ON l.row_key = r.key WHERE r.leaf IS DISTINCT FROM l.leaf"
        ' ORDER BY coalesce(r.key, l.row_key) COLLATE "C" LIMIT 1',
        _of(block, source),
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


def check_unsealed(cursor: CursorWrapper, newest: SealedBlock | None) -> tuple[Check, int]:
    """Rows above the last block, of which none may name a transaction that is still to come."""
    classes = table_classes()
    since = "0" if newest is None else str(newest.to_xid)
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
