"""Whatever column of whatever row below the head a superuser edits, `verify` finds it."""

import random
from typing import NamedTuple

import psycopg
import pytest

from accounts.models import SealBlock
from accounts.table_classes import table_classes
from brokerage.verify import verify
from tests.history.tampering import Superuser, triggers_off

# What another value of a type is, where there is one, and where there was none.
OTHER = {
    "bigint": "{c} + 1",
    "integer": "{c} + 1",
    "smallint": "{c} + 1",
    "numeric": "{c} + 0.01",
    "boolean": "NOT {c}",
    "text": "{c} || 'x'",
    "date": "{c} + 1",
    "timestamp with time zone": "{c} + interval '1 microsecond'",
    "time without time zone": "{c} + interval '1 second'",
    "interval": "{c} + interval '1 second'",
    "jsonb": "CASE jsonb_typeof({c}) WHEN 'object' THEN {c} || '{{\"x\": 1}}' ELSE '\"x\"' END",
    "bytea": "{c} || '\\x00'",
    "uuid": "gen_random_uuid()",
    "xid8": "({c}::text::bigint - 1)::text::xid8",
    "pg_snapshot": "'3:3:'",
}
# What breaks whoever reckons with it.
EXTREME = {
    "bigint": "-1", "integer": "-1", "smallint": "-1", "numeric": "'NaN'", "text": "''",
    "date": "'infinity'", "timestamp with time zone": "'infinity'", "jsonb": "'[]'",
    "bytea": "''", "xid8": "'18446744073709551615'",
}  # fmt: skip
FIRST = {
    "bigint": "1", "integer": "1", "smallint": "1", "numeric": "1", "boolean": "true",
    "text": "'x'", "date": "'2026-01-01'", "timestamp with time zone": "'2026-01-01'",
    "interval": "'1 day'", "time without time zone": "'12:00'", "jsonb": "'{}'",
    "bytea": "'x'", "uuid": "gen_random_uuid()", "xid8": "'3'", "pg_snapshot": "'3:3:'",
}  # fmt: skip


# A changed row is found by what it says, not by triggers that were off meanwhile.
GUARDS = "guards_are_as_pinned"


class Cell(NamedTuple):
    """A column of a table, with its type and the length of its text."""

    table: str
    column: str
    type: str
    length: int


def cells(superuser: Superuser) -> list[Cell]:
    """Every column of every table whose rows must stay as they are."""
    classes = table_classes()
    kept = {*classes.sealed, *(p.table for p in classes.parts), *classes.editable, *classes.derived}
    found = superuser.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.atttypmod - 4"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " AND NOT a.attisdropped WHERE c.relnamespace = 'public'::regnamespace"
        " AND c.relname = ANY (%s) ORDER BY 1, 2",
        [sorted(kept)],
    ).fetchall()
    return [Cell(*row) for row in found]


def other_value(cell: Cell, *, extreme: bool) -> str:
    kind = "text" if cell.type in ("character varying", "name") else cell.type
    column = f"t.{cell.column}"
    if kind.endswith("[]"):
        return f"array_append({column}, NULL)"
    if extreme and kind in EXTREME:
        return f"{EXTREME[kind]}::{cell.type}"
    changed = OTHER[kind].format(c=column)
    if kind == "text" and cell.length > 0:
        changed = f"left('x' || {column}, {cell.length})"
    return f"coalesce({changed}, {FIRST[kind]})::{cell.type}"


def edit(superuser: Superuser, cell: Cell, row: str, *, extreme: bool) -> str | None:
    """Edit one cell; returns where the row stands now, or None where the database refuses even
    this (a key that is taken, a column that must have a value of its own)."""
    try:
        with triggers_off(superuser, cell.table):
            found = superuser.execute(
                f"UPDATE {cell.table} t SET {cell.column} = {other_value(cell, extreme=extreme)}"
                f" WHERE ctid = '{row}' RETURNING ctid::text"
            ).fetchone()
    except psycopg.errors.IntegrityError:
        return None
    assert found is not None
    return str(found[0])


def below_the_head(superuser: Superuser, table: str) -> list[str]:
    """Rows that a seal, the trail or a recomputation covers."""
    has_xid = superuser.execute(
        "SELECT true FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'xid'", [table]
    ).fetchone()
    newest = SealBlock.objects.latest("number")
    where = f"WHERE xid < '{newest.to_xid}'" if has_xid else ""
    found = superuser.execute(f"SELECT ctid::text FROM {table} {where} ORDER BY 1").fetchall()
    return [ctid for (ctid,) in found]


def unfound(superuser: Superuser, chosen: list[Cell], chance: random.Random) -> list[str]:
    """Edit one row per cell, one after another, each put back; what was not found."""
    missed = []
    for cell in chosen:
        rows = below_the_head(superuser, cell.table)
        if not rows:
            continue
        row = chance.choice(rows)
        superuser.execute("DROP TABLE IF EXISTS kept")
        superuser.execute(
            f"CREATE TEMPORARY TABLE kept AS SELECT * FROM {cell.table} WHERE ctid = '{row}'"
        )
        now = edit(superuser, cell, row, extreme=chance.random() < 0.3)
        is_other = now is not None and superuser.execute(
            f"SELECT (SELECT {cell.column} FROM kept)::text IS DISTINCT FROM"
            f" (SELECT {cell.column} FROM {cell.table} WHERE ctid = '{now}')::text"
        ).fetchone() == (True,)
        if now is None:
            continue
        wrong = [c.name for c in verify().checks if not c.is_sound and c.name != GUARDS]
        if not wrong and is_other:
            now_there = f"SELECT t::text FROM {cell.table} t WHERE ctid = '{now}'"
            missed.append(f"{cell}: {superuser.execute(now_there).fetchone()}")
        with triggers_off(superuser, cell.table):
            superuser.execute(
                f"UPDATE {cell.table} t SET {cell.column} = k.{cell.column} FROM kept k"
                f" WHERE t.ctid = '{now}'"
            )
    return missed


def test_an_edit_of_some_columns_is_found(
    firm: None, superuser: Superuser, chance: random.Random
) -> None:
    chosen = chance.sample(cells(superuser), 16)
    assert unfound(superuser, chosen, chance) == []
    assert verify().is_sound


@pytest.mark.soak
def test_an_edit_of_any_column_is_found(
    firm: None, superuser: Superuser, chance: random.Random
) -> None:
    assert unfound(superuser, cells(superuser), chance) == []
    assert verify().is_sound
