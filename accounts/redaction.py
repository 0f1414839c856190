"""Taking the name of an erased person out of every text: rows of the database, files we wrote.

A name is covered letter by letter, so every text keeps its length. Of a sealed row the leaf that
was sealed and the leaf it has now are recorded, so that seals still prove all other rows and that
nothing but words changed in this one.
"""

# Names in these queries come from the catalog.
# ruff: noqa: S608

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.models import Redaction
from accounts.seals.leaves import SourceLayout, current_layouts, set_canonical
from accounts.table_classes import TableClasses, table_classes

COVER = "X"
UTF16 = ("utf-16-le", "utf-16-be")
# What one cannot take a name out of: its own record, and what seals are made of.
LEFT_ALONE = frozenset({"accounts_redaction", "accounts_sealblock", "accounts_sealleaf"})


def spellings(name: str) -> tuple[str, ...]:
    """How files write a name: composed or not, escaped for JSON, YAML or XML."""
    found: dict[str, None] = {}
    for form in ("NFC", "NFD"):
        plain = unicodedata.normalize(form, name)
        for said in (plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]):
            found[said] = None
            found[escape(said)] = None
            found[escape(said, {'"': "&quot;", "'": "&apos;"})] = None
    return tuple(sorted(found, key=len, reverse=True))


@dataclass(frozen=True)
class Name:
    """A name to be covered wherever it stands as a word of its own, in any case."""

    name: str

    def in_text(self) -> "re.Pattern[str]":
        said = "|".join(re.escape(one) for one in spellings(self.name))
        return re.compile(rf"(?<!\w)(?:{said})(?!\w)", re.IGNORECASE)

    def cover(self, text: str) -> str:
        """The text with the name covered."""
        return self.in_text().sub(lambda found: COVER * len(found[0]), text)

    def cover_bytes(self, content: bytes) -> bytes:
        """The same for a file, whatever it is encoded in."""
        for pattern, cover in self._in_bytes():
            content = pattern.sub(partial(_covered, cover), content)
        return content

    def _in_bytes(self) -> Iterator[tuple["re.Pattern[bytes]", bytes]]:
        for encoding in ("utf-8", "latin-1", *UTF16):
            said: list[bytes] = []
            for one in spellings(self.name):
                for cased in (one, one.upper(), one.lower(), one.title()):
                    try:
                        said.append(re.escape(cased.encode(encoding)))
                    except UnicodeEncodeError:
                        continue
            if not said:
                continue
            longest_first: list[bytes] = sorted(said, key=len, reverse=True)
            joined = b"|".join(longest_first)
            if encoding in UTF16:
                yield re.compile(joined), COVER.encode(encoding)
            else:
                whole = rb"(?<![A-Za-z0-9])(?:" + joined + rb")(?![A-Za-z0-9])"
                yield re.compile(whole, re.IGNORECASE), COVER.encode()


def _covered(cover: bytes, found: "re.Match[bytes]") -> bytes:
    return cover * (len(found[0]) // len(cover))


# ---------------------------------------------------------------- rows


@dataclass(frozen=True)
class WordyTable:
    """A table with columns that hold words."""

    table: str
    texts: tuple[str, ...]
    files: tuple[str, ...]
    key: tuple[str, ...]


def wordy_tables(cursor: CursorWrapper) -> list[WordyTable]:
    """Every table of the schema whose rows may hold a name."""
    cursor.execute(
        "SELECT c.relname,"
        " array_agg(a.attname::text) FILTER (WHERE a.atttypid <> 'bytea'::regtype),"
        " array_agg(a.attname::text) FILTER (WHERE a.atttypid = 'bytea'::regtype),"
        " (SELECT array_agg(k.attname::text ORDER BY n.nth) FROM pg_index i"
        "  CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS n(attnum, nth)"
        "  JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = n.attnum"
        "  WHERE i.indrelid = c.oid AND i.indisprimary)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        "  AND NOT a.attisdropped AND a.attname = ANY (accounts.words())"
        "  AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'jsonb'::regtype,"
        "                     'bytea'::regtype)"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        " GROUP BY c.oid, c.relname ORDER BY c.relname = 'accounts_auditrow', c.relname"
    )
    return [
        WordyTable(table, tuple(texts or ()), tuple(files or ()), tuple(key or ()))
        for table, texts, files, key in cursor.fetchall()
        if table not in LEFT_ALONE
    ]


def take_out(name: str, *, erasure_id: int) -> dict[str, int]:
    """Take a name out of every row that says it; call inside the act of its erasure.

    Returns:
        How many rows of which table said it. The trail comes last: it saw the others change.
    """
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        set_canonical(cursor)
        classes = table_classes()
        layouts = current_layouts(cursor, classes)
        for table in wordy_tables(cursor):
            rows = list(_rows_that_say(cursor, table, Name(name)))
            for place, key, words in rows:
                _cover_row(
                    cursor, table, place=place, key=key, words=words,
                    erasure_id=erasure_id, classes=classes, layouts=layouts,
                )  # fmt: skip
            if rows:
                found[table.table] = len(rows)
    return found


def _rows_that_say(
    cursor: CursorWrapper, table: WordyTable, name: Name
) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Place, key and new words of each row; the database narrows, the pattern decides."""
    likes = ["%" + re.sub(r"([\\%_])", r"\\\1", said) + "%" for said in spellings(name.name)]
    conditions = [f"t.{column}::text ILIKE ANY (%(likes)s)" for column in table.texts]
    conditions += [f"t.{column} IS NOT NULL" for column in table.files]
    columns = [*table.texts, *table.files]
    said = ", ".join(
        [f"t.{column}::text" for column in table.texts] + [f"t.{c}" for c in table.files]
    )
    keys = ", ".join(f"t.{column}::text" for column in table.key)
    cursor.execute(
        f"SELECT t.ctid::text, ARRAY[{keys}], {said} FROM public.{table.table} t"
        f" WHERE {' OR '.join(conditions)}",
        {"likes": likes},
    )
    for place, key, *values in cursor.fetchall():
        words = {}
        for column, value in zip(columns, values, strict=True):
            if value is None:
                continue
            if column in table.files:
                covered = name.cover_bytes(bytes(value))
                if covered != bytes(value):
                    words[column] = "\\x" + covered.hex()
            elif (text := name.cover(value)) != value:
                words[column] = text
        if words:
            yield place, key, words


def _cover_row(
    cursor: CursorWrapper,
    table: WordyTable,
    *,
    place: str,
    key: Sequence[str],
    words: Mapping[str, str],
    erasure_id: int,
    classes: TableClasses,
    layouts: Mapping[str, SourceLayout],
) -> None:
    """Write one row without the name, and record what that makes of its leaf."""
    whole = next((part for part in classes.parts if part.table == table.table), None)
    source, row_key = table.table, "/".join(key)
    if whole is not None:
        source = whole.whole
        cursor.execute(
            f"SELECT {whole.link}::text FROM public.{table.table} WHERE ctid = %s::tid", [place]
        )
        (row_key,) = cursor.fetchone()
    sealed = _sealed_leaf(cursor, source, row_key) if source in layouts else None
    cursor.execute(
        "SELECT accounts.redact(%s, %s::tid, jsonb_object_agg(w.key, CASE"
        " WHEN (SELECT a.atttypid = 'jsonb'::regtype FROM pg_attribute a"
        "       WHERE a.attrelid = %s::regclass AND a.attname = w.key)"
        " THEN w.value::jsonb ELSE to_jsonb(w.value) END)) FROM jsonb_each_text(%s::jsonb) w",
        [table.table, place, f"public.{table.table}", json.dumps(dict(words))],
    )
    now = None if sealed is None else _leaf_now(cursor, sealed[1], row_key)
    Redaction.objects.create(
        erasure_id=erasure_id,
        table_name=source,
        row_key=row_key,
        columns=sorted(words),
        leaf_sealed=None if sealed is None else sealed[0],
        leaf_now=now,
    )


def _sealed_leaf(
    cursor: CursorWrapper, source: str, row_key: str
) -> tuple[bytes, SourceLayout] | None:
    """The leaf that was kept of a row, and the layout it was made with."""
    cursor.execute(
        "SELECT l.leaf, b.layout -> l.source FROM accounts_sealleaf l"
        " JOIN accounts_sealblock b ON b.number = l.block_id"
        " WHERE l.source = %s AND l.row_key = %s ORDER BY b.number DESC LIMIT 1",
        [source, row_key],
    )
    row = cursor.fetchone()
    if row is None:
        return None
    layout = json.loads(row[1]) if isinstance(row[1], str) else row[1]
    return bytes(row[0]), SourceLayout.from_json(source, layout)


def _leaf_now(cursor: CursorWrapper, layout: SourceLayout, row_key: str) -> bytes:
    parts = row_key.split("/") if len(layout.key) > 1 else [row_key]
    cursor.execute(layout.text_sql(), {f"key_{n}": part for n, part in enumerate(parts)})
    return bytes(cursor.fetchone()[2])


# ---------------------------------------------------------------- files


def _files_below(folders: Sequence[Path], besides: Sequence[Path]) -> Iterator[Path]:
    """Nobody goes into the folders left alone, where files come and go meanwhile."""
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = [name for name in below if Path(place, name) not in besides]
            yield from (Path(place, name) for name in names)


def take_out_of_files(name: str, *, folders: Sequence[Path], besides: Sequence[Path]) -> list[Path]:
    """Cover a name in files we wrote and in their names; returns the files that said it.

    Args:
        folders: looked through with everything below.
        besides: folders left alone, such as the database's own.
    """
    covered = []
    pattern = Name(name)
    for path in sorted(set(_files_below(folders, besides))):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        clean = pattern.cover_bytes(content)
        if clean != content:
            path.write_bytes(clean)
            covered.append(path)
        plain = pattern.cover(path.name)
        if plain != path.name:
            path = path.rename(path.with_name(plain))
            covered.append(path)
    return covered
