"""Leaves of many rows at once: the server prints the rows, this process puts them together.

The text of a leaf is the one that `SourceLayout.rows_sql` has the server hash; here the server
only prints it, without joins and without an order, and the hashing is done where it is quicker.
"""

# Names in these queries come from the catalog or passed `SourceLayout.from_json`.
# ruff: noqa: S608

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

from accounts.packed import Ints, as_numbers, as_texts, fetch_packed, joined_numbers, joined_texts
from accounts.seals.chain import SealedBlock
from accounts.seals.leaves import PartLayout, SourceLayout, key_text, row_text
from accounts.seals.tree import HASH_BYTES

LEAF_PREFIX = b"\x00\x01"
LEAST, GREATEST = -(2**63), 2**63 - 1
# Of so many rows the key of about one is looked at, to cut a long source into stretches.
SAMPLED_ONE_IN = 256

Whole = frozenset[tuple[str, str]]
Hashes = NDArray[np.uint8]


class UnorderedError(Exception):
    """Rows that hang on one row have no order by whole numbers; the server must order them."""


class Rows(NamedTuple):
    """Rows of one source, or a stretch of them by its key.

    Attributes:
        layout: of the rows.
        blocks: those in which they may be sealed; they follow one another.
        first, last: the stretch, both ends in it; None where it is all of them.
        is_redacted: whether names of erased people were taken out of some.
    """

    layout: SourceLayout
    blocks: Sequence[SealedBlock]
    first: int | None
    last: int | None
    is_redacted: bool

    @property
    def of_xids(self) -> dict[str, object]:
        """Parameters of queries over these rows."""
        start = 0 if self.blocks[0].number == 1 else self.blocks[0].from_xid
        return {
            "starts": "{" + ",".join(str(block.from_xid) for block in self.blocks) + "}",
            "from": str(start),
            "to": str(self.blocks[-1].to_xid),
            "first": self.first,
            "last": self.last,
        }

    @property
    def condition(self) -> str:
        found = "w.xid >= %(from)s::xid8 AND w.xid < %(to)s::xid8"
        if self.first is None:
            return found
        return f"{found} AND w.{self.layout.key[0]} BETWEEN %(first)s AND %(last)s"


class Made(NamedTuple):
    """Leaves as the rows are now, in any order.

    Attributes:
        block: per row the number of the block whose transactions it names.
        keys: of the rows.
        leaves: a row of `HASH_BYTES` per leaf.
    """

    block: Ints
    keys: list[bytes]
    leaves: Hashes


def whole_columns(cursor: CursorWrapper) -> Whole:
    """Columns that hold whole numbers of 64 bits or fewer, as `table, column`."""
    cursor.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)"
    )
    return frozenset(cursor.fetchall())


def cut(cursor: CursorWrapper, rows: Rows, whole: Whole, *, at_once: int) -> list[Rows]:
    """The same rows in stretches of about so many each, where their key lets them be cut."""
    layout = rows.layout
    if len(layout.key) != 1 or (layout.table, layout.key[0]) not in whole:
        return [rows]
    key = f"w.{layout.key[0]}"
    ((joined,),) = fetch_packed(
        cursor,
        f"SELECT {joined_numbers('int8send', key)} FROM public.{layout.table} w"
        f" WHERE {rows.condition} AND hashint8({key}) %% {SAMPLED_ONE_IN} = 0",
        rows.of_xids,
    )
    every = max(at_once // SAMPLED_ONE_IN, 1)
    ends = np.sort(as_numbers("int8send", joined))[every - 1 :: every].tolist()
    bounds = [LEAST - 1, *ends, GREATEST]
    return [
        rows._replace(first=before + 1, last=end) for before, end in pairwise(bounds)
    ] if ends else [rows]  # fmt: skip


def make_leaves(cursor: CursorWrapper, rows: Rows, whole: Whole) -> Made:
    """The leaves of these rows as they are now."""
    layout = rows.layout
    needed = {(part.table, part.link) for part in layout.parts}
    needed |= {(layout.table, layout.key[0])} if layout.parts else set()
    if rows.is_redacted or not needed <= whole:
        return _made_by_the_server(cursor, rows)
    try:
        return _made_here(cursor, rows, whole)
    except UnorderedError:
        return _made_by_the_server(cursor, rows)


def _made_by_the_server(cursor: CursorWrapper, rows: Rows) -> Made:
    """With leaves that the server hashes, and rows that hang on others joined there."""
    sql = rows.layout.rows_sql(redacted=rows.is_redacted, at_once=True)
    cursor.execute("SET LOCAL enable_nestloop = off")
    ((joined, keys, buckets),) = fetch_packed(
        cursor,
        f"SELECT coalesce(string_agg(r.leaf, ''), ''), {joined_texts('r.key')}, {_bucket('r')}"
        f" FROM ({sql}) r{_stretch(rows)}",
        rows.of_xids,
    )
    cursor.execute("SET LOCAL enable_nestloop = on")
    return _made(rows, keys, buckets, np.frombuffer(joined, np.uint8))


def _stretch(rows: Rows) -> str:
    return "" if rows.first is None else " WHERE r.key::bigint BETWEEN %(first)s AND %(last)s"


def _made_here(cursor: CursorWrapper, rows: Rows, whole: Whole) -> Made:
    layout = rows.layout
    own = joined_numbers("int8send", f"w.{layout.key[0]}") if layout.parts else "''::bytea"
    ((joined, joined_ids, keys, buckets),) = fetch_packed(
        cursor,
        f"SELECT {joined_texts(row_text(layout.table, 'w', layout.columns))}, {own},"
        f" {joined_texts(key_text('w', layout.key))}, {_bucket('w')}"
        f" FROM public.{layout.table} w WHERE {rows.condition}",
        rows.of_xids,
    )
    texts, ids = as_texts(joined), as_numbers("int8send", joined_ids)
    sections = [texts]
    for part in layout.parts if texts else ():
        sections += _hanging(cursor, part, whole, ids)
    prefixes = repeat(LEAF_PREFIX, len(texts))
    hashes = b"".join(
        [sha256(b"".join(each)).digest() for each in zip(prefixes, *sections, strict=True)]
    )
    return _made(rows, keys, buckets, np.frombuffer(hashes, np.uint8))


def _bucket(alias: str) -> str:
    return joined_numbers("int4send", f"width_bucket({alias}.xid, %(starts)s::xid8[])")


def _made(rows: Rows, keys: bytes | None, buckets: bytes, hashes: Hashes) -> Made:
    block = as_numbers("int4send", buckets) + (rows.blocks[0].number - 1)
    made = Made(block, as_texts(keys), hashes.reshape(-1, HASH_BYTES))
    if not len(made.block) == len(made.keys) == len(made.leaves):
        raise ValueError(f"rows of {rows.layout.table} cannot be told apart")
    return made


def _hanging(cursor: CursorWrapper, part: PartLayout, whole: Whole, ids: Ints) -> list[list[bytes]]:
    """The texts of all that hangs on rows with these ids, in lists with a text per row each.

    The first of each row stands in the first list, and so on.

    Raises:
        UnorderedError: several hang on one row, and their key is not of whole numbers.
    """
    by = [column for column in part.key if (part.table, column) in whole]
    numbers = [joined_numbers("int8send", f"x.{column}") for column in (part.link, *by)]
    ((joined, *columns),) = fetch_packed(
        cursor,
        f"SELECT {joined_texts(row_text(part.table, 'x', part.columns))}, {', '.join(numbers)}"
        f" FROM public.{part.table} x WHERE x.{part.link} BETWEEN %(first)s AND %(last)s",
        {"first": int(ids.min()), "last": int(ids.max())},
    )
    link, *key = (as_numbers("int8send", column) for column in columns)
    unordered = as_texts(joined)
    if any(len(column) != len(unordered) for column in (link, *key)):
        raise UnorderedError
    order = np.lexsort([*reversed(key), link]) if len(by) == len(part.key) else np.argsort(link)
    link = link[order]
    if len(by) < len(part.key) and (link[1:] == link[:-1]).any():
        raise UnorderedError
    texts = [unordered[nth] for nth in order.tolist()]
    many = len(texts) // len(ids)
    if many and np.array_equal(link, np.repeat(ids, many)):
        return [texts[nth::many] for nth in range(many)]
    begins, ends = (np.searchsorted(link, ids, side=side).tolist() for side in ("left", "right"))
    return [[b"".join(texts[begin:end]) for begin, end in zip(begins, ends, strict=True)]]
