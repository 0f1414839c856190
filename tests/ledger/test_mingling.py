"""The search for client funds that meet the house's: empty on a sound book, and it does find."""

from typing import Any

import psycopg
from django.db import connection

from ledger.mingling import Mingled, mingled
from tests.ledger.book import Book
from tests.ledger.test_debts import pledge, registered


def found(book: Book) -> list[Mingled]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        (snapshot,) = cursor.fetchone()
    return list(mingled(legal_entity_id=book.desk.entity.pk, snapshot=snapshot, ends_at=None))


def test_a_sound_book_mingles_nothing(book: Book) -> None:
    book.post(
        "borrow",
        ("client_bank", "50"), ("bob", "-50"), ("house_bank", "-50"), ("loan/bob", "50"),
    )  # fmt: skip
    registered(book, pledge(book, "alice", "100"))
    assert found(book) == []


def test_what_the_guards_would_refuse_is_found(
    book: Book, superuser: psycopg.Connection[Any]
) -> None:
    entry = book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    registered(book, pledge(book, "alice", "100"))
    prop = book.buckets["prop"]
    usd = book.assets["USD"].pk
    house = book.pools["HOUSE"].pk
    for statement in (
        "ALTER TABLE ledger_location DISABLE TRIGGER USER",
        "UPDATE ledger_location SET account_number = 'DE01' "
        "WHERE code IN ('client_bank', 'house_bank')",
        "ALTER TABLE ledger_obligation DISABLE TRIGGER USER",
        f"UPDATE ledger_obligation SET secures_account_id = {prop.account_id}",
        "ALTER TABLE ledger_posting DISABLE TRIGGER USER",
        f"INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,"
        f" balance_after) VALUES ({book['prop']}, 99, {entry}, {house}, {usd}, 1, 1)",
        "ALTER TABLE ledger_ledgeraccount DISABLE TRIGGER USER",
        f"UPDATE ledger_ledgeraccount SET margin_account_id = {prop.account_id}"
        f" WHERE id = {book['carol']}",
    ):
        superuser.execute(statement)
    assert [(row.kind, row.name) for row in found(book)] == [
        ("account", str(book["carol"])),
        ("entry", str(entry)),
        ("location", "client_bank, house_bank"),
        ("obligation", "P-alice-100"),
    ]
