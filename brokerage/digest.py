"""One sha256 per business table, so that two databases can be compared by what they say."""

from hashlib import sha256
from typing import Any

import accounts.digest
import ledger.digest
import margin.digest
from accounts.digest import DigestedTable, Digester
from accounts.reading import one_state

TABLES = (
    DigestedTable("brokerage_firm", key=("legal_entity_id",)),
    DigestedTable(
        "brokerage_businessday",
        key=("legal_entity_id", "day"),
        left_out={"folder": "where the files lay", "closed_at": "recorded time"},
        said={"is_closed": "w.closed_at IS NOT NULL"},
    ),
    DigestedTable("brokerage_daystep", key=("business_day_id", "step")),
    DigestedTable(
        "brokerage_dayfile",
        key=("business_day_id", "name"),
        left_out={"content": "its sha256 stands for it"},
    ),
    DigestedTable(
        "brokerage_inboxevent",
        key=("business_day_id", "ordinal"),
        refers={"entry_id": "ledger_entry"},
    ),
    DigestedTable("brokerage_rejectedrow", key=("business_day_id", "file", "line", "field")),
)

LEFT_OUT = {
    "brokerage_case": "what compliance looks into; it is about the other tables",
    "brokerage_casenote": "what compliance wrote down of a case",
    "brokerage_job": "jobs",
    "brokerage_reportfile": "who wrote a report, and when; it is made of the other tables",
}

ALL_TABLES = (*accounts.digest.TABLES, *ledger.digest.TABLES, *margin.digest.TABLES, *TABLES)
ALL_LEFT_OUT = {
    **accounts.digest.LEFT_OUT, **ledger.digest.LEFT_OUT, **margin.digest.LEFT_OUT, **LEFT_OUT
}  # fmt: skip


def digest() -> dict[str, Any]:
    """Hash every business table in one state of the database.

    Returns:
        `digest`, the hash over all; `tables`, rows and sha256 by table; `left_out`, the tables
        and columns that do not enter, each with the reason.
    """
    digester = Digester(ALL_TABLES)
    tables = {}
    with one_state() as cursor:
        for table in sorted(digester.declared):
            found = digester.digest(cursor, table)
            tables[table] = {"rows": found.rows, "sha256": found.sha256}
    lines = "".join(f"{table} {found['sha256']}\n" for table, found in tables.items())
    columns = {table: digester.left_out(table) for table in sorted(digester.declared)}
    return {
        "digest": sha256(lines.encode()).hexdigest(),
        "tables": tables,
        "left_out": {
            "tables": dict(sorted(ALL_LEFT_OUT.items())),
            "columns": {table: out for table, out in columns.items() if out},
        },
    }
