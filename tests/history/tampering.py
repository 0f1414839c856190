"""A superuser who changes rows past every trigger, and what `verify` says of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from brokerage.verify import Report
from tests.history.book import Book

Superuser = psycopg.Connection[Any]


def tamper(superuser: Superuser, *statements: str, must_move: bool = True) -> None:
    """Change rows with all triggers off, and switch them on again as if nothing had been."""
    found = superuser.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgenabled = 'A'"
    ).fetchall()
    with superuser.transaction():
        for table in {table for table, _ in found}:
            superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            assert superuser.execute(statement).rowcount > 0 or not must_move, statement
        for table in {table for table, _ in found}:
            superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
        for table, name in found:
            superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


@contextmanager
def triggers_off(superuser: Superuser, table: str) -> Iterator[None]:
    """As a superuser would: off, and on again as if nothing had been."""
    names = superuser.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'A'", [table]
    ).fetchall()
    with superuser.transaction():
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        yield
        superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
        for (name,) in names:
            superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def entry_of(superuser: Superuser, key: str) -> int:
    row = superuser.execute("SELECT entry_id FROM ledger_entrykey WHERE key = %s", [key]).fetchone()
    assert row is not None
    return int(row[0])


def named(report: Report) -> tuple[str, str, int | None]:
    wrong = report.as_json()["first_wrong"]
    assert not report.is_sound
    return wrong["table"], wrong["key"], wrong["block"]


def filled_in(statement: str, book: Book, superuser: Superuser) -> str:
    names = {key: entry_of(superuser, key) for key in ("d-1", "d-2", "d-3", "t-1", "t-2")}
    return statement.format(bank=book.accounts["bank", "USD"], **names)
