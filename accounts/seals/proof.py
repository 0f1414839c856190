"""A proof that one row stands in sealed history, for somebody who has no access to the database.

The proof holds what the leaf was made of, the path from the leaf to the root of its block, and the
headers of the blocks from there to a head that is signed. `docs/offline/verify_proof.py` checks it
with nothing but the standard library.
"""

# Names in these queries come from the catalog or passed `SourceLayout.from_json`.
# ruff: noqa: S608

from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from accounts.reading import one_state
from accounts.seals.chain import SealedBlock, read_blocks
from accounts.seals.leaves import SourceLayout, current_layouts
from accounts.seals.published import place_key
from accounts.seals.tree import merkle_path
from accounts.table_classes import table_classes

FORMAT = "sealed entry 1"
ENTRIES = "ledger_entry"


class ProofRefusedError(Exception):
    """There is no proof of this; the message is one sentence."""


class _Row(NamedTuple):
    """The row that is asked for: whose leaf it is in, and the leaf's key."""

    table: str
    key: str


def prove(asked: str, *, up_to: int | None = None) -> dict[str, Any]:
    """The proof of a sealed row.

    Args:
        asked: an entry's id or key, or `table/key` of any sealed row; a posting or an entry's key
            stands in the leaf of its entry.
        up_to: number of the block whose head the proof shall end in; the row's own, if not said.

    Raises:
        ProofRefusedError: there is no such row, it is not sealed yet, or it was changed since.
    """
    with one_state() as cursor:
        layouts = current_layouts(cursor, table_classes())
        row = _named(cursor, asked, layouts)
        xid = _transaction_of(cursor, row, layouts[row.table])
        block = _block_over(cursor, row, xid)
        layout = SourceLayout.from_json(row.table, block.layout[row.table])
        _, text, leaf = _leaf_of(cursor, row, layout)
        leaves, position = _place_of(cursor, row, block)
        if leaves[position] != leaf:
            raise ProofRefusedError(f"{row.table} {row.key} is not as it was sealed.")
        last = block.number if up_to is None else up_to
        chain = read_blocks(cursor, first=block.number, last=last)
        if not chain or chain[-1].number != last:
            raise ProofRefusedError(f"There is no block {last} after block {block.number}.")
        key = place_key()
        return {
            "format": FORMAT,
            "table": row.table,
            "key": row.key,
            "text": text,
            "position": position,
            "path": [step.hex() for step in merkle_path(leaves, position)],
            "blocks": [_header(one) for one in chain],
            "head": chain[-1].head_hash.hex(),
            "signature": chain[-1].signature.hex(),
            "public_key": "" if key is None else key.hex(),
        }


def _header(block: SealedBlock) -> dict[str, Any]:
    return {
        "number": block.number,
        "epoch": block.epoch,
        "from_xid": block.from_xid,
        "to_xid": block.to_xid,
        "leaf_count": block.leaf_count,
        "root": block.root.hex(),
        "previous_hash": block.previous_hash.hex(),
        "layout": block.layout,
    }


def _named(cursor: CursorWrapper, asked: str, layouts: dict[str, SourceLayout]) -> _Row:
    table, _, key = asked.partition("/")
    if table in layouts and key:
        return _Row(table, key)
    for part in table_classes().parts:
        if part.table == table and key:
            return _Row(part.whole, _whole_of(cursor, part.table, part.link, key))
    if ENTRIES in layouts and not asked.isdecimal():
        link = next(p.link for p in table_classes().parts if p.table == f"{ENTRIES}key")
        return _Row(ENTRIES, _whole_of(cursor, f"{ENTRIES}key", link, asked))
    return _Row(ENTRIES, asked)


def _whole_of(cursor: CursorWrapper, part: str, link: str, key: str) -> str:
    """The key of the row on which a part's row hangs."""
    cursor.execute(
        "SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY"
        " AS k(attnum, nth) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        " WHERE i.indrelid = to_regclass(%s) AND i.indisprimary ORDER BY k.nth",
        [f"public.{part}"],
    )
    columns = [name for (name,) in cursor.fetchall()]
    values = key.split("/", len(columns) - 1)
    found = " AND ".join(f"{column} = %s" for column in columns)
    row = None
    if len(values) == len(columns):
        row = _looked_up(cursor, f"SELECT {link}::text FROM public.{part} WHERE {found}", values)
    if row is None:
        raise ProofRefusedError(f"There is no {part} {key}.")
    return str(row[0])


def _transaction_of(cursor: CursorWrapper, row: _Row, layout: SourceLayout) -> int:
    xid, _, _ = _leaf_of(cursor, row, layout)
    return xid


def _leaf_of(cursor: CursorWrapper, row: _Row, layout: SourceLayout) -> tuple[int, str, bytes]:
    """Transaction, text and leaf of a row, by a layout."""
    values = row.key.split("/", len(layout.key) - 1)
    found = None
    if len(values) == len(layout.key):
        parameters = {f"key_{n}": value for n, value in enumerate(values)}
        found = _looked_up(cursor, layout.text_sql(), parameters)
    if found is None:
        raise ProofRefusedError(f"There is no {row.table} {row.key}.")
    xid, text, leaf = found
    return xid, text, bytes(leaf)


def _looked_up(
    cursor: CursorWrapper, sql: str, parameters: list[str] | dict[str, str]
) -> tuple[Any, ...] | None:
    """The one row; None also where the key is of another kind than the column."""
    cursor.execute("SAVEPOINT looked_up")
    try:
        cursor.execute(sql, parameters)
    except DatabaseError:
        cursor.execute("ROLLBACK TO SAVEPOINT looked_up")
        return None
    row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _block_over(cursor: CursorWrapper, row: _Row, xid: int) -> SealedBlock:
    cursor.execute(
        "SELECT number FROM accounts_sealblock WHERE from_xid <= %s::xid8 AND to_xid > %s::xid8",
        [str(xid), str(xid)],
    )
    found = cursor.fetchone()
    if found is None:
        raise ProofRefusedError(f"{row.table} {row.key} is not sealed yet.")
    (block,) = read_blocks(cursor, first=found[0], last=found[0])
    if row.table not in block.layout:
        raise ProofRefusedError(f"{row.table} {row.key} is not as it was sealed.")
    return block


def _place_of(cursor: CursorWrapper, row: _Row, block: SealedBlock) -> tuple[list[bytes], int]:
    """All leaves of the block, and which is the row's."""
    cursor.execute(
        "SELECT leaf, source = %s AND row_key = %s FROM accounts_sealleaf WHERE block_id = %s"
        " ORDER BY position",
        [row.table, row.key, block.number],
    )
    leaves, places = [], []
    for nth, (leaf, is_here) in enumerate(cursor.fetchall()):
        leaves.append(bytes(leaf))
        places += [nth] if is_here else []
    if len(places) != 1:
        raise ProofRefusedError(f"{row.table} {row.key} is not as it was sealed.")
    return leaves, places[0]
