"""Every table is in one class, and has what its class needs."""

from collections import Counter
from typing import Any

from django.db import connection

from accounts.table_classes import (
    missing_triggers,
    table_classes,
    tables_in_database,
    upward_references,
)


def test_every_table_is_in_one_class(db: None) -> None:
    with connection.cursor() as cursor:
        tables = tables_in_database(cursor)
    counted = Counter(table_classes().every())
    assert [name for name, times in counted.items() if times > 1] == []
    assert sorted(set(tables) - set(counted)) == [], "tables in no class"
    assert sorted(set(counted) - set(tables)) == [], "classes that name no table"


def test_every_table_has_the_triggers_of_its_class_always_on(db: None) -> None:
    with connection.cursor() as cursor:
        assert missing_triggers(cursor, table_classes()) == []


def test_a_trigger_that_can_be_skipped_is_missed(db: None, superuser: Any) -> None:
    superuser.execute("ALTER TABLE ledger_pool ENABLE TRIGGER change_has_an_actor")
    with connection.cursor() as cursor:
        missing = missing_triggers(cursor, table_classes())
    assert missing == ["ledger_pool.change_has_an_actor"]


def test_no_foreign_key_points_upward(db: None) -> None:
    with connection.cursor() as cursor:
        assert upward_references(cursor) == []


def test_a_foreign_key_that_points_upward_is_seen(db: None, superuser: Any) -> None:
    superuser.execute(
        "ALTER TABLE accounts_scope ADD COLUMN call_id bigint"
        " CONSTRAINT call_of_scope REFERENCES margin_margincall"
    )
    with connection.cursor() as cursor:
        assert upward_references(cursor) == ["accounts_scope.call_of_scope"]
