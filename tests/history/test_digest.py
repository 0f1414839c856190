"""The digest says what happened, not when, nor under which ids."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
from django.core.management import call_command
from django.db import connection

from accounts.audit import acting
from accounts.models import LegalEntity
from accounts.table_classes import table_classes, tables_in_database
from brokerage.digest import ALL_LEFT_OUT, ALL_TABLES, digest
from ledger.horizons import store_horizon
from ledger.models import Posting
from tests.history.book import DESK, seal, small_book

if TYPE_CHECKING:
    from tests.cluster import Cluster


def fill() -> None:
    book = small_book()
    book.deposit("A-1", "100", key="d-1")
    book.trade("A-1", "2", "10.25", key="t-1")
    book.trade("A-1", "-1", "11.75", key="t-2", realised="1.50")


@contextmanager
def another_database(cluster: "Cluster") -> Iterator[psycopg.Connection[Any]]:
    """Django in a further clone, with a superuser's connection to it."""
    name, before = cluster.clone(), connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        with psycopg.connect(cluster.conninfo("postgres", database=name), autocommit=True) as other:
            yield other
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        cluster.drop(name)


def test_the_same_things_under_other_ids_give_the_same_digest(db: None, cluster: "Cluster") -> None:
    fill()
    here = digest()
    entry_ids = set(Posting.objects.values_list("entry_id", flat=True))
    with another_database(cluster) as other:
        names = other.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S'"
            " AND relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        for nth, (name,) in enumerate(names):
            other.execute("SELECT setval(%s, %s)", [name, 1000 + 7 * nth])
        fill()
        there = digest()
        assert not entry_ids & set(Posting.objects.values_list("entry_id", flat=True))
    assert here == there


def test_a_word_more_changes_its_table_and_those_that_name_it(db: None) -> None:
    fill()
    before = digest()["tables"]
    with acting(DESK, reason="the firm has another name"):
        LegalEntity.objects.update(name="Another name")
    after = digest()["tables"]
    assert {table for table in after if after[table] != before[table]} == {"accounts_legalentity"}


def test_reading_sealing_and_horizons_change_nothing(db: None) -> None:
    fill()
    before = digest()
    store_horizon("minute")
    assert seal() is not None
    assert digest() == before


def test_every_table_is_digested_or_said_to_be_left_out() -> None:
    digested = [declared.table for declared in ALL_TABLES]
    assert sorted([*digested, *ALL_LEFT_OUT]) == sorted(table_classes().every())


def test_every_table_of_the_database_is_accounted_for(db: None) -> None:
    with connection.cursor() as cursor:
        tables = set(tables_in_database(cursor))
    assert tables == set(digest()["tables"]) | set(ALL_LEFT_OUT)


def test_no_id_time_or_transaction_enters(db: None) -> None:
    out = digest()["left_out"]["columns"]
    assert out["ledger_posting"] == {"xid": "transaction id"}
    assert out["ledger_entry"] == {
        "id": "an entry's key stands for it",
        "recorded_at": "recorded time",
        "xid": "transaction id",
    }


def test_the_command_prints_one_object(db: None) -> None:
    out = StringIO()
    call_command("digest", json=True, stdout=out)
    assert json.loads(out.getvalue()) == digest()


def test_every_column_that_is_named_exists(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c"
            " ON c.oid = attrelid AND c.relnamespace = 'public'::regnamespace WHERE attnum > 0"
        )
        columns = set(cursor.fetchall())
    named = {
        (declared.table, column)
        for declared in ALL_TABLES
        for column in (*declared.key, *declared.left_out, *declared.refers)
    }
    assert sorted(named - columns) == []
