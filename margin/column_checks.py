"""What `verify` looks at in runs in columns: their parts, added up again, are their results."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import numpy as np
from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Wrong
from margin.engine.column_ground import Ground, Levels, ground_of
from margin.engine.column_rules import Held, Scopes, evaluate_columns
from margin.engine.exact import exact
from margin.parts import GroundAsset, component_rows, ground_assets, unpacked

NAME = "parts_in_columns_add_up_to_their_results"
TOTALS = ("equity", "initial_margin", "maintenance_margin")
BLOCKS = """
    SELECT b.run_id, b.ordinal, b.content FROM margin_runblock b ORDER BY b.run_id, b.ordinal
"""
RESULTS = """
    SELECT scope_id, id, equity, initial_margin, maintenance_margin FROM margin_marginresult
    WHERE run_id = %s AND scope_id = ANY (%s)
"""
# A result of such a run of which no block knows, and the other way round.
APART = """
    SELECT u.id, u.scope_count, coalesce(sum(b.scope_count), 0) FROM margin_marginrun u
    LEFT JOIN margin_runblock b ON b.run_id = u.id WHERE u.layout = 'columns'
    GROUP BY u.id HAVING coalesce(sum(b.scope_count), 0) <> u.scope_count
"""


# Parts that no reader finds, because their run keeps them in the other way.
ASTRAY = """
    SELECT 'margin_resultcomponent', c.id FROM margin_marginrun u
    JOIN margin_marginresult r ON r.run_id = u.id
    JOIN margin_resultcomponent c ON c.result_id = r.id WHERE u.layout = 'columns'
    UNION ALL
    SELECT 'margin_runblock', b.id FROM margin_marginrun u
    JOIN margin_runblock b ON b.run_id = u.id WHERE u.layout <> 'columns'
    LIMIT 1
"""


def check_columns(cursor: CursorWrapper) -> list[Check]:
    """Every scope of every block, computed again from its parts, has the result that was stored."""
    cursor.execute(APART)
    for run, said, found in cursor.fetchall():
        detail = f"it says {said} scopes, its blocks hold {found}"
        return [Check(NAME, 0, Wrong("margin_marginrun", str(run), detail))]
    cursor.execute(ASTRAY)
    for table, key in cursor.fetchall():
        detail = "its run keeps parts in the other way"
        return [Check(NAME, 0, Wrong(table, str(key), detail))]
    count = 0
    for rows, wrong in _blocks(cursor):
        count += rows
        if wrong is not None:
            return [Check(NAME, count, wrong)]
    return [Check(NAME, count)]


def _blocks(cursor: CursorWrapper) -> Iterator[tuple[int, Wrong | None]]:
    assets: list[GroundAsset] = []
    ground: Ground | None = None
    # A cursor on the server, so that one block is in memory at a time.
    with cursor.db.chunked_cursor() as stream:
        stream.execute(BLOCKS)
        while batch := stream.fetchmany(1):
            ((run, ordinal, content),) = batch
            if ordinal == 0:
                assets = ground_assets(bytes(content))
                ground = ground_of([a.row for a in assets], scales=[a.scale for a in assets])
                continue
            assert ground is not None, "the ground of a run comes first"
            yield _block(cursor, run, bytes(content), ground, assets)


def _block(
    cursor: CursorWrapper, run: int, content: bytes, ground: Ground, assets: list[GroundAsset]
) -> tuple[int, Wrong | None]:
    scopes, head, added = _added_up(content, ground, assets)
    cursor.execute(RESULTS, [run, scopes])
    stored = {row[0]: row[1:] for row in cursor.fetchall()}
    for place, scope in enumerate(scopes):
        found = stored.get(scope)
        odd = head.get(str(scope))
        totals = (
            added[place]
            if odd is None
            else _of_parts((part["total"], Decimal(part["amount"])) for part in odd)
        )
        if found is None or tuple(found[1:]) != totals:
            says = "equity {}, initial {}, maintenance {}".format(*totals)
            key = "none" if found is None else str(found[0])
            wrong = Wrong("margin_marginresult", key, f"the parts of scope {scope} come to {says}")
            return len(scopes), wrong
    return len(scopes), None


def _added_up(
    content: bytes, ground: Ground, assets: list[GroundAsset]
) -> tuple[list[int], dict[str, list[dict[str, str]]], list[tuple[Decimal, ...]]]:
    """Scopes of a block, those that stand as text, and the totals of all others."""
    columns, head = unpacked(content)
    scopes = columns["scopes"].tolist()
    is_odd = np.array([str(scope) in head["odd"] for scope in scopes], dtype=bool)
    nothing = np.zeros(1, dtype=np.int64)
    wide = {name: column.astype(np.int64) for name, column in columns.items()}
    is_strange = np.repeat(is_odd, np.diff(wide["starts"]))
    said = evaluate_columns(
        ground,
        Held(
            starts=wide["starts"],
            assets=wide["assets"],
            units=np.where(is_strange, 0, wide["units"]),
            costs=np.where(is_strange, 0, wide["costs"]),
        ),
        scopes=Scopes(
            is_cash_account=columns["is_cash"].astype(bool),
            loans=np.where(is_odd, 0, wide["loans"]),
            agreements=np.zeros(len(scopes), dtype=np.intp),
            is_odd=is_odd,
        ),
        levels=Levels(nothing, nothing, nothing + 1, nothing, nothing.astype(bool)),
    )
    # A block may have been made when columns held more than they do now; its parts still add up.
    beyond = said.is_odd & ~is_odd
    totals = [
        _of_parts((row.total, row.amount) for row in component_rows(columns, assets, n))
        if beyond[n]
        else tuple(each.decimal(n) for each in (said.equity, said.initial, said.maintenance))
        for n in range(len(scopes))
    ]
    return scopes, head["odd"], totals


def _of_parts(parts: Iterable[tuple[str, Decimal]]) -> tuple[Decimal, ...]:
    """Totals of parts by what each is a part of."""
    found = dict.fromkeys(TOTALS, Decimal(0))
    with exact():
        for total, amount in parts:
            found[total] += amount
    return tuple(found.values())
