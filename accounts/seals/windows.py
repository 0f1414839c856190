"""Windows of sealed blocks held against the rows as they are now, piece by piece.

The pieces of a window are read by whichever connection is free; whoever reads the last one holds
all leaves against those that were stored. Where they are one and the same, and give the root that
the block has, the window is as it was sealed. Where they are not, or a piece could not be read,
the window is looked at once more by `check_window`, which names what is wrong.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from threading import Lock

import numpy as np
from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction
from accounts.packed import fetch_packed, in_order_of_pages
from accounts.seals.bulk import Made, Rows, Whole, cut, make_leaves, whole_columns
from accounts.seals.chain import SealedBlock, Window, read_blocks
from accounts.seals.leaves import LayoutError, SourceLayout, current_layouts, redacted_sources
from accounts.seals.recomputed import SEALED_ROWS, check_window, layout_runs
from accounts.seals.tree import joined_root
from accounts.table_classes import table_classes

# A source with more leaves than this in a window is read in pieces of about so many.
LEAVES_AT_ONCE = 25_000

STORED = """
    SELECT block_id::int8, source::text, string_agg(leaf, '' ORDER BY position),
           string_agg(textsend(row_key), '\\x0a' ORDER BY position),
           string_agg(marks, '' ORDER BY position)
    FROM accounts_sealleaf WHERE block_id BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
"""

# Leaves of one source in one block in the order of their keys: the hashes, then the keys.
Ordered = dict[tuple[int, str], tuple[bytes, bytes]]


def leaf_checks(cursor: CursorWrapper, windows: Sequence[Window]) -> list[CheckFunction]:
    """Checks of rows against leaves and leaves against roots, several per window."""
    current = current_layouts(cursor, table_classes())
    whole, redacted = whole_columns(cursor), redacted_sources(cursor)
    return [
        function
        for window in windows
        for function in _Pieces(window, current, whole).functions(cursor, redacted)
    ]


class _Pieces:
    """A window that is read piece by piece."""

    def __init__(self, window: Window, current: Mapping[str, SourceLayout], whole: Whole) -> None:
        self._window = window
        self._current = current
        self._whole = whole
        self._made: list[tuple[str, Made]] = []
        self._is_whole = True
        self._left = 0
        self._lock = Lock()

    def functions(self, cursor: CursorWrapper, redacted: frozenset[str]) -> list[CheckFunction]:
        """The functions that read the pieces; the last to run says what was found."""
        blocks = self._blocks(cursor)
        try:
            found = self._planned(cursor, blocks, redacted)
        except LayoutError:
            self._is_whole = False
            found = [[]]
        self._left = len(found)
        return [self._reading(piece) for piece in found]

    def _blocks(self, cursor: CursorWrapper) -> list[SealedBlock]:
        return read_blocks(cursor, first=self._window.first, last=self._window.last)

    def _planned(
        self, cursor: CursorWrapper, blocks: Sequence[SealedBlock], redacted: frozenset[str]
    ) -> list[list[Rows]]:
        """Pieces of one stretch of a long source each, and one piece of all short sources."""
        long, short = [], []
        is_long = sum(block.leaf_count for block in blocks) > LEAVES_AT_ONCE
        for source in sorted(set(self._current).union(*(block.layout for block in blocks))):
            for layout, run in layout_runs(blocks, source, self._current.get(source)):
                rows = Rows(layout, run, None, None, source in redacted)
                cuts = (
                    cut(cursor, rows, self._whole, at_once=LEAVES_AT_ONCE)
                    if is_long and any(source in block.layout for block in run)
                    else [rows]
                )
                if len(cuts) > 1:
                    long += [[each] for each in cuts]
                else:
                    short += cuts
        return [*long, short]

    def _reading(self, piece: list[Rows]) -> CheckFunction:
        def sealed_rows_are_as_they_were(cursor: CursorWrapper) -> list[Check]:
            self._read(cursor, piece)
            with self._lock:
                self._left -= 1
                is_last = self._left == 0
            return [self._found(cursor)] if is_last else []

        return sealed_rows_are_as_they_were

    def _read(self, cursor: CursorWrapper, piece: list[Rows]) -> None:
        if not self._is_whole:
            return
        cursor.execute("SAVEPOINT piece")
        try:
            with in_order_of_pages(cursor):
                made = [
                    (rows.layout.table, make_leaves(cursor, rows, self._whole)) for rows in piece
                ]
        except (DatabaseError, ArithmeticError, ValueError):
            self._is_whole = False
            cursor.execute("ROLLBACK TO SAVEPOINT piece")
            return
        with self._lock:
            self._made += made

    def _found(self, cursor: CursorWrapper) -> Check:
        blocks = self._blocks(cursor)
        made, self._made = self._made, []
        if self._is_whole and _are_as_sealed(cursor, blocks, _ordered(made)):
            return Check(SEALED_ROWS, sum(block.leaf_count for block in blocks))
        return check_window(cursor, blocks, self._current)


def _ordered(made: list[tuple[str, Made]]) -> Ordered:
    """Per block and source the leaves, put in order."""
    found: Ordered = {}
    for source in {source for source, _ in made}:
        pieces = [piece for of, piece in made if of == source and piece.keys]
        if not pieces:
            continue
        block = np.concatenate([piece.block for piece in pieces])
        leaves = np.concatenate([piece.leaves for piece in pieces])
        keys = [key for piece in pieces for key in piece.keys]
        order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
        order = order[np.argsort(block[order], kind="stable")]
        numbers, begins = np.unique(block[order], return_index=True)
        for number, places in zip(numbers.tolist(), np.split(order, begins[1:]), strict=True):
            in_order = b"\n".join([keys[place] for place in places.tolist()])
            found[number, source] = leaves[places].tobytes(), in_order
    return found


def _are_as_sealed(cursor: CursorWrapper, blocks: Sequence[SealedBlock], made: Ordered) -> bool:
    """Whether the leaves are those that were stored, give the roots, and have their marks."""
    stored: Ordered = {}
    marks: dict[tuple[int, str], str] = {}
    between = {"first": blocks[0].number, "last": blocks[-1].number}
    for number, source, leaves, keys, marked in fetch_packed(cursor, STORED, between):
        stored[number, source] = leaves, keys
        marks[number, source] = sha256(marked).hexdigest()
    if made != stored:
        return False
    for block in blocks:
        sources = sorted(source for number, source in stored if number == block.number)
        joined = b"".join(stored[block.number, source][0] for source in sources)
        if joined_root(joined) != block.root:
            return False
        said = {source: layout.get("marks") for source, layout in block.layout.items()}
        if said != {source: marks[block.number, source] for source in sources}:
            return False
    return True
