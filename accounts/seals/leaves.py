"""Rows of sealed tables as leaves: which columns, in which order, hashed by the database.

A leaf is `sha256(0x00 || version || text)`. The text is the name of the table and the row as
PostgreSQL prints a record of its columns, followed by the rows that hang on it, each behind the
name of its table. Bytes enter in hexadecimal, long ones as their own sha256. The layout that a
block stores says which columns those were, so a column that is added later changes no old leaf.
"""

# Names in these queries come from the catalog or passed `SourceLayout.from_json`.
# ruff: noqa: S608

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.backends.utils import CursorWrapper

from accounts.table_classes import TableClasses

LEAF_PREFIX = r"'\x0001'::bytea"  # a leaf, of version 1
MARK_BYTES = 4
# Bytes up to this length enter as they are, longer ones as their hash.
SHORT_BYTES_MAX = 64

# Stored leaves of one source as one: their hashes, and what else stands beside them.
STORED_SQL = """
    SELECT block_id, source, string_agg(leaf, ''::bytea ORDER BY position),
           encode(sha256(convert_to(string_agg(row_key, E'\\n' ORDER BY position), 'UTF8')), 'hex'),
           encode(sha256(string_agg(marks, ''::bytea ORDER BY position)), 'hex')
    FROM accounts_sealleaf WHERE block_id BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
"""

# What a row's text depends on besides the row, and whose tables are read; set for one transaction.
CANONICAL_SETTINGS = (
    ("search_path", "public, pg_temp"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
)

NAME = re.compile(r"[a-z_][a-z0-9_]*")
OF_BYTES = re.compile(r"bytes\(([a-z_][a-z0-9_]*)\)")


class LayoutError(Exception):
    """A stored layout names something that cannot be a column; somebody changed it."""


@dataclass(frozen=True)
class PartLayout:
    """Rows sealed with the row they hang on.

    Attributes:
        table: where they stand.
        link: the column that holds the key of the row they hang on.
        key: the columns by which they are ordered.
        columns: what is hashed, in order.
    """

    table: str
    link: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class SourceLayout:
    """A table whose rows are leaves, with the parts sealed in them."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[PartLayout, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The layout as a block stores it."""
        parts = [
            {"table": p.table, "link": p.link, "key": list(p.key), "columns": list(p.columns)}
            for p in self.parts
        ]
        return {"key": list(self.key), "columns": list(self.columns), "parts": parts}

    @classmethod
    def from_json(cls, table: str, stored: Mapping[str, Any]) -> "SourceLayout":
        """The layout that a block stored.

        Raises:
            LayoutError: it names something that is no column.
        """
        try:
            parts = tuple(
                PartLayout(p["table"], p["link"], tuple(p["key"]), tuple(p["columns"]))
                for p in stored["parts"]
            )
            found = cls(table, tuple(stored["key"]), tuple(stored["columns"]), parts)
        except (KeyError, TypeError) as error:
            raise LayoutError(f"the layout of {table} cannot be read") from error
        names = [table, *found.key, *(n for p in parts for n in (p.table, p.link, *p.key))]
        columns = [*found.columns, *(column for part in parts for column in part.columns)]
        if not all(NAME.fullmatch(name) for name in names) or not all(
            NAME.fullmatch(column) or OF_BYTES.fullmatch(column) for column in columns
        ):
            raise LayoutError(f"the layout of {table} names something that is no column")
        return found

    # SQL

    def rows_sql(
        self, *, marks: bool = False, redacted: bool = False, at_once: bool = False
    ) -> str:
        """Query of `xid, key, leaf` (and `marks`) of rows with `from <= xid < to`.

        Parameters: `from` and `to`, transaction ids as text. With `redacted`, a row from which the
        name of an erased person was taken counts as the leaf it was sealed with. With `at_once`,
        rows that hang on others are read in one go, for a long stretch where loops are off.
        """
        if redacted:
            return (
                "SELECT n.xid, n.key, coalesce((SELECT d.leaf_sealed FROM accounts_redaction d"
                f" WHERE d.table_name = '{self.table}' AND d.row_key = n.key"
                " AND d.leaf_now = n.leaf ORDER BY d.id DESC LIMIT 1), n.leaf) AS leaf"
                f" FROM ({self.rows_sql(at_once=at_once)}) n"
            )
        texts = [row_text(self.table, "w", self.columns)]
        texts += [f"coalesce(p{n}.text, '')" for n in range(len(self.parts))]
        joins = "".join(
            f"\nLEFT JOIN ({_stretch_sql(part, self)}) p{n} ON p{n}.link = w.{self.key[0]}"
            if at_once
            else f"\nCROSS JOIN LATERAL ({_part_sql(part, self, marks=marks)}) p{n}"
            for n, part in enumerate(self.parts)
        )
        return (
            f"SELECT w.xid, {key_text('w', self.key)} AS key,\n"
            f"       sha256({LEAF_PREFIX} || convert_to({' || '.join(texts)}, 'UTF8')) AS leaf"
            f"{self._marks_sql(texts[0]) if marks else ''}\n"
            f"FROM public.{self.table} w{joins}\n"
            "WHERE w.xid >= %(from)s::xid8 AND w.xid < %(to)s::xid8"
        )

    def text_sql(self) -> str:
        """Query of `xid, text, leaf` of one row; parameters `key_0`, `key_1`, ... of its key."""
        texts = [row_text(self.table, "w", self.columns)]
        texts += [f"coalesce(p{n}.text, '')" for n in range(len(self.parts))]
        joins = "".join(
            f"\nCROSS JOIN LATERAL ({_part_sql(part, self, marks=False)}) p{n}"
            for n, part in enumerate(self.parts)
        )
        found = " AND ".join(f"w.{column} = %(key_{n})s" for n, column in enumerate(self.key))
        return (
            f"SELECT xid, text, sha256({LEAF_PREFIX} || convert_to(text, 'UTF8')) FROM"
            f" (SELECT w.xid::text::bigint AS xid, {' || '.join(texts)} AS text"
            f" FROM public.{self.table} w{joins} WHERE {found}) t"
        )

    def _marks_sql(self, text: str) -> str:
        if not self.parts:
            return ", ''::bytea AS marks"
        others = "".join(f" || coalesce(p{n}.marks, '')" for n in range(len(self.parts)))
        return f",\n       {_mark(text)}{others} AS marks"

    def sections_sql(self, *, key_parameter: str = "key") -> list[tuple[str, str]]:
        """Per table of the leaf, a query of `key, mark` of its rows in the order of the marks."""
        own = (
            f"SELECT {key_text('w', self.key)}, {_mark(row_text(self.table, 'w', self.columns))}"
            f" FROM public.{self.table} w"
            f" WHERE {key_text('w', self.key)} = %({key_parameter})s"
        )
        others = [
            (
                part.table,
                f"SELECT {key_text('x', part.key)},"
                f" {_mark(row_text(part.table, 'x', part.columns))}"
                f" FROM public.{part.table} x WHERE x.{part.link}::text = %({key_parameter})s"
                f" ORDER BY {_columns('x', part.key)}",
            )
            for part in self.parts
        ]
        return [(self.table, own), *others]


def _part_sql(part: PartLayout, whole: SourceLayout, *, marks: bool) -> str:
    """All rows of one whole as one text. Row by row through an index: right after a bulk load the
    planner's figures are stale, and any other plan may take hours."""
    text = row_text(part.table, "x", part.columns)
    order = _columns("x", part.key)
    marked = f", string_agg({_mark(text)}, ''::bytea ORDER BY {order}) AS marks" if marks else ""
    return (
        f"SELECT string_agg({text}, '' ORDER BY {order}) AS text{marked}"
        f" FROM public.{part.table} x WHERE x.{part.link} = w.{whole.key[0]}"
    )


def _stretch_sql(part: PartLayout, whole: SourceLayout) -> str:
    """For every whole of a stretch its rows as one text, found by the least and greatest key."""
    text = row_text(part.table, "x", part.columns)
    key, link = whole.key[0], f"x.{part.link}"
    ends = (
        f"(SELECT {end}(s.{key}) FROM (SELECT {key} FROM public.{whole.table}"
        " WHERE xid >= %(from)s::xid8 AND xid < %(to)s::xid8 OFFSET 0) s)"
        for end in ("min", "max")
    )
    return (
        f"SELECT {link} AS link, string_agg({text}, '' ORDER BY {_columns('x', part.key)}) AS text"
        f" FROM public.{part.table} x WHERE {link} BETWEEN {' AND '.join(ends)} GROUP BY 1"
    )


def row_text(table: str, alias: str, columns: Iterable[str]) -> str:
    """The text of one row in its leaf, as SQL over a table of that alias."""
    return f"'{table}' || ROW({', '.join(_value(alias, column) for column in columns)})::text"


def _value(alias: str, column: str) -> str:
    of_bytes = OF_BYTES.fullmatch(column)
    if of_bytes is None:
        return f"{alias}.{column}"
    value = f"{alias}.{of_bytes[1]}"
    return (
        f"CASE WHEN octet_length({value}) <= {SHORT_BYTES_MAX} THEN encode({value}, 'hex')"
        f" ELSE 'sha256 ' || encode(sha256({value}), 'hex') END"
    )


def _mark(text: str) -> str:
    return f"substr(sha256(convert_to({text}, 'UTF8')), 1, {MARK_BYTES})"


def _columns(alias: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{alias}.{column}" for column in columns)


def key_text(alias: str, key: Iterable[str]) -> str:
    """The key of a row as one text, as SQL over a table of that alias."""
    return " || '/' || ".join(f"{alias}.{column}::text" for column in key)


def current_layouts(cursor: CursorWrapper, classes: TableClasses) -> dict[str, SourceLayout]:
    """The layout of every sealed table as it is now, in order of their names."""
    cursor.execute(
        "SELECT c.relname,"
        " (SELECT array_agg(CASE a.atttypid WHEN 'bytea'::regtype"
        "    THEN 'bytes(' || a.attname || ')' ELSE a.attname END ORDER BY a.attnum)"
        "  FROM pg_attribute a"
        "  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),"
        " (SELECT array_agg(a.attname ORDER BY k.nth)"
        "  FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, nth)"
        "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum"
        "  WHERE i.indrelid = c.oid AND i.indisprimary)"
        " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
    )
    found = {table: (tuple(columns), tuple(key or ())) for table, columns, key in cursor.fetchall()}
    return {
        table: SourceLayout(
            table,
            key=found[table][1],
            columns=found[table][0],
            parts=tuple(
                PartLayout(part.table, part.link, found[part.table][1], found[part.table][0])
                for part in classes.parts
                if part.whole == table
            ),
        )
        for table in sorted(classes.sealed)
    }


def redacted_sources(cursor: CursorWrapper) -> frozenset[str]:
    """Sources from whose sealed rows the name of an erased person was taken."""
    cursor.execute("SELECT DISTINCT table_name FROM accounts_redaction WHERE leaf_now IS NOT NULL")
    return frozenset(name for (name,) in cursor.fetchall())


def set_canonical(cursor: CursorWrapper) -> None:
    """Make the rest of the transaction print rows in the one way that leaves are made of."""
    for name, value in CANONICAL_SETTINGS:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
