"""Many rows as a few long values: each column joined by the server, none of it parsed row by row.

A column of numbers comes as fixed-width fields behind one another, a column of texts with a zero
byte between two, which no text of PostgreSQL can hold. All columns of one query are in one order.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# How a column is sent, by the SQL function that writes it.
WIDTHS = {
    "int8send": ">i8", "xid8send": ">i8", "int4send": ">i4", "boolsend": "?",
    "timestamptz_send": ">i8", "date_send": ">i4",
}  # fmt: skip


def fetch_packed(
    cursor: CursorWrapper, sql: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Rows of a query in the transaction of `cursor`, sent in binary: `bytea` is `bytes`."""
    with cursor.db.wrap_database_errors, psycopg.Cursor(cursor.db.connection) as own:
        own.execute(sql, parameters, binary=True, prepare=False)
        return own.fetchall()


@contextmanager
def in_order_of_pages(cursor: CursorWrapper) -> Iterator[None]:
    """Have stretches of an index read page by page: rows need not come in its order.

    The server reckons that an index and its table have one order where they have in the large;
    row by row they may not, and each row would then be looked up by itself.
    """
    cursor.execute("SET LOCAL enable_indexscan = off")
    yield
    cursor.execute("SET LOCAL enable_indexscan = on")


def joined_numbers(function: str, value: str) -> str:
    """The aggregate that joins a column of numbers, for `as_numbers`; rows of null are left out."""
    return f"coalesce(string_agg({function}({value}), ''), '')"


def joined_texts(value: str) -> str:
    """The aggregate that joins a column of texts, for `as_texts`; rows of null are left out."""
    return f"string_agg(textsend({value}), '\\x00')"


def as_numbers(function: str, joined: bytes) -> Ints:
    """A column that `joined_numbers` made of the same function."""
    return np.frombuffer(joined, WIDTHS[function]).astype(np.int64)


def as_texts(joined: bytes | None) -> list[bytes]:
    """A column that `joined_texts` made; None is what it makes of no rows."""
    return [] if joined is None else joined.split(b"\0")
