"""Rows below a mark, counted: as many as were sealed, without reading them again."""

# Names in these queries come from the catalog.
# ruff: noqa: S608

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction, Wrong
from accounts.seals.leaves import current_layouts
from accounts.seals.verified import Mark
from accounts.table_classes import table_classes


def count_check(mark: Mark) -> CheckFunction:
    """A check that each table still has as many rows below the mark as it has leaves."""

    def rows_are_as_many_as_were_sealed(cursor: CursorWrapper) -> list[Check]:
        cursor.execute(
            "SELECT source, count(*) FROM accounts_sealleaf WHERE block_id <= %s GROUP BY 1",
            [mark.number],
        )
        sealed = dict(cursor.fetchall())
        wrong = None
        for table in current_layouts(cursor, table_classes()):
            cursor.execute(
                f"SELECT count(*) FROM public.{table} WHERE xid < %s::xid8", [str(mark.to_xid)]
            )
            (rows,) = cursor.fetchone()
            if rows != sealed.get(table, 0) and wrong is None:
                detail = (
                    f"{sealed.get(table, 0)} rows were sealed up to block {mark.number}, there are"
                    f" {rows}; `manage.py verify --full` names them"
                )
                wrong = Wrong(table, "", detail, None)
        return [Check("rows_are_as_many_as_were_sealed", sum(sealed.values()), wrong)]

    return rows_are_as_many_as_were_sealed
