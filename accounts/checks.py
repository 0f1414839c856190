"""What a check of `verify` finds: nothing, or the first row that is wrong and why."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper


class Wrong(NamedTuple):
    """A row that is not what it must be.

    Attributes:
        table: where it stands.
        key: its primary key, columns joined by a slash.
        detail: what is wrong with it.
        block: the seal block that covers it, where a seal found it.
    """

    table: str
    key: str
    detail: str
    block: int | None = None


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: the rule, as a sentence with underscores.
        rows: how many rows were looked at.
        wrong: the first row that breaks it, or None.
        detail: what else there is to say.
    """

    name: str
    rows: int
    wrong: Wrong | None = None
    detail: str = ""

    @property
    def is_sound(self) -> bool:
        return self.wrong is None


# Reads in a transaction that sees one state of the database; may be one of several at a time.
CheckFunction = Callable[[CursorWrapper], list[Check]]


class Query(NamedTuple):
    """A rule as a query for what breaks it.

    Attributes:
        name: the rule.
        counted: the table, or `table WHERE condition`, whose rows were looked at.
        sql: gives `table, key, detail` of rows that break the rule.
        in_order: rows are added up in the order of an index, which is quicker here than by hash.
    """

    name: str
    counted: str
    sql: str
    in_order: bool = False

    def run(self, cursor: CursorWrapper, parameters: Mapping[str, Any] | None = None) -> Check:
        """Look for the first row that breaks the rule."""
        # Materialized, so that the planner prepares for the usual case: all rows, none broken.
        sql = f"WITH broken AS MATERIALIZED ({self.sql}) SELECT * FROM broken LIMIT 1"  # noqa: S608
        if self.in_order:
            cursor.execute("SET LOCAL enable_hashagg = off")
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
        if self.in_order:
            cursor.execute("SET LOCAL enable_hashagg = on")
        cursor.execute(f"SELECT count(*) FROM {self.counted}")  # noqa: S608 - both our own text
        (rows,) = cursor.fetchone()
        return Check(self.name, rows, None if row is None else Wrong(row[0], str(row[1]), row[2]))


NOTHING: Mapping[str, int] = {}


def run_each(
    cursor: CursorWrapper, queries: Iterable[Query], proven: Mapping[str, int] = NOTHING
) -> list[Check]:
    """Run queries, but for rules that were found to hold already.

    Args:
        cursor: where they are run.
        queries: what to run.
        proven: rows that were looked at, by name of each rule that holds.
    """
    return [
        Check(query.name, proven[query.name]) if query.name in proven else query.run(cursor, {})
        for query in queries
    ]
