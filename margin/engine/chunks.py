"""Scopes a stretch at a time, so that what is worked out for each of them fits into memory."""

from collections.abc import Iterator
from typing import Final

# 16 MB of floats: a few such arrays at once stay within the cache of a server and far from its
# memory, and a stretch is long enough that what numpy costs per call does not show.
CELLS_AT_ONCE: Final = 2_000_000


def row_chunks(count: int, *, width: int) -> Iterator[slice]:
    """Slices that cover the rows from 0, each of a bounded number of cells.

    Args:
        count: rows, from 0.
        width: cells that are worked out for a row, at least 1.
    """
    rows = max(CELLS_AT_ONCE // width, 1)
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))
