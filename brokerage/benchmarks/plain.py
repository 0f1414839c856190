"""The baseline: tables with the columns and indexes of the book, and nothing that guards them."""

from typing import NamedTuple

from psycopg import sql

from brokerage.benchmarks.scratch import Connection, Scratch

TABLES = {"entry": "ledger_entry", "posting": "ledger_posting", "key": "ledger_entrykey"}
PLACES = {
    "entry": "id > %s", "posting": "entry_id > %s", "key": "entry_id > %s",
}  # fmt: skip


class Rows(NamedTuple):
    """Rows of the book as COPY wrote them out."""

    entries: int
    texts: dict[str, bytes]


def make_plain(scratch: Scratch) -> None:
    """Make the tables, empty; the product's own role writes to them."""
    with scratch.connect_superuser() as connection:
        connection.execute("CREATE SCHEMA plain")
        for table, source in TABLES.items():
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {0} (LIKE {1} INCLUDING DEFAULTS INCLUDING INDEXES"
                    " INCLUDING STORAGE INCLUDING COMPRESSION)"
                ).format(sql.Identifier("plain", table), sql.Identifier(source))
            )
        connection.execute("GRANT USAGE ON SCHEMA plain TO bo_runtime")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA plain TO bo_runtime")


def newest_entry(connection: Connection) -> int:
    """Id of the newest entry of the book; 0 if there is none."""
    row = connection.execute("SELECT coalesce(max(id), 0) FROM ledger_entry").fetchone()
    assert row is not None
    return int(str(row[0]))


def rows_after(connection: Connection, entry: int) -> Rows:
    """Entries, postings and keys that came after an entry, with every column, in their order."""
    texts = {}
    for table, source in TABLES.items():
        query = sql.SQL("COPY (SELECT * FROM {} WHERE {} ORDER BY xid, ctid) TO STDOUT").format(
            sql.Identifier(source), sql.SQL(PLACES[table].replace("%s", str(entry)))
        )
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            texts[table] = b"".join(bytes(part) for part in copy)
    return Rows(texts["entry"].count(b"\n"), texts)


def copy_in(connection: Connection, rows: Rows) -> None:
    """Write the same rows to the plain tables, in one transaction."""
    with connection.transaction(), connection.cursor() as cursor:
        for table, text in rows.texts.items():
            query = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier("plain", table))
            with cursor.copy(query) as copy:
                copy.write(text)
