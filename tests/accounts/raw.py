"""Plain SQL as one of the database's roles, with the header a transaction needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege

Connection = psycopg.Connection[Any]


@contextmanager
def act(
    connection: Connection, *, key: str | None = None, actor: str = "system:command:test"
) -> Iterator[Connection]:
    """A transaction in which a machine acts, or the person behind a session's key."""
    with connection.transaction():
        connection.execute(
            "SELECT accounts.act(%s, %s, 'test', '', 'a statement by hand')",
            [None if key else actor, key],
        )
        yield connection


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """The statement inside is refused by this rule and no other."""
    with pytest.raises(CheckViolation) as refusal:
        yield
    assert refusal.value.diag.constraint_name == rule


@contextmanager
def not_permitted() -> Iterator[None]:
    """The role inside lacks the privilege."""
    with pytest.raises(InsufficientPrivilege):
        yield


def one(connection: Connection, query: str, *values: object) -> Any:
    """The only value of the only row."""
    found = connection.execute(query, values).fetchall()
    assert len(found) == 1
    assert len(found[0]) == 1
    return found[0][0]


def rows_of(connection: Connection, *tables: str) -> dict[str, list[Any]]:
    """Everything that stands in the tables, for proving that nothing moved."""
    return {
        table: connection.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1").fetchall()
        for table in tables
    }
