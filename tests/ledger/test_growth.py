"""Reading the book costs the same however long its history is, and gives what adding up gives."""

import json
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from ledger.horizons import store_horizon
from tests.ledger.book import NOON, Book

Connection = psycopg.Connection[Any]
pytestmark = pytest.mark.django_db

# What adding up all postings gives, for accounts in the order of their ids.
ADDED_UP = """
    SELECT a.id, coalesce(max(p.account_seq), 0), coalesce(sum(p.amount), 0)
    FROM ledger_ledgeraccount a
    LEFT JOIN (ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
               AND pg_visible_in_snapshot(e.xid, %(known)s::pg_snapshot)
               AND (%(as_of)s::date IS NULL
                    OR (e.effective_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date))
        ON p.account_id = a.id
    WHERE pg_visible_in_snapshot(a.xid, %(known)s::pg_snapshot) GROUP BY a.id ORDER BY a.id
"""
READ = """
    SELECT account_id, account_seq, amount
    FROM ledger.balances_at(%(known)s::pg_snapshot, %(as_of)s::date) ORDER BY account_id
"""
READ_ONE = """
    SELECT n.account_id, n.account_seq, n.amount FROM ledger_ledgeraccount a
    CROSS JOIN LATERAL ledger.balance_of(a.id, %(known)s::pg_snapshot, %(as_of)s::date) n
    ORDER BY n.account_id
"""
DAYS = 6


def asked(sql: str, known: str, as_of: date | None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"known": known, "as_of": as_of})
        return cursor.fetchall()


def noon(day: int) -> datetime:
    return NOON + timedelta(days=day)


def deposit(book: Book, who: str, amount: int, day: int) -> None:
    book.post("deposit", ("client_bank", str(amount)), (who, str(-amount)), at=noon(day))


def agree_everywhere(known: list[str]) -> None:
    """At every horizon and date, reading gives what adding up gives, all at once and one by one."""
    dates = [None, *(noon(day).date() for day in range(-2, DAYS + 2))]
    for horizon in known:
        for as_of in dates:
            added_up = asked(ADDED_UP, horizon, as_of)
            assert asked(READ, horizon, as_of) == added_up, f"{horizon} {as_of}"
            assert asked(READ_ONE, horizon, as_of) == added_up, f"{horizon} {as_of}"


def test_balances_at_any_two_times_are_what_their_postings_add_up_to(
    book: Book, chance: random.Random
) -> None:
    known = [store_horizon("test").snapshot]
    for step in range(60):
        # Time goes forward, and now and then something comes late or ahead of its time.
        day = min(DAYS, max(-1, step * DAYS // 60 + chance.choice((0, 0, 0, 1, 3, -1, -2))))
        deposit(book, chance.choice(("alice", "bob", "alice/ISO")), chance.randint(1, 9), day)
        if step % 6 == 0:
            known.append(store_horizon("test").snapshot)
    agree_everywhere([*known, known[-1]])


def test_balances_are_read_right_while_writers_are_in_flight(
    book: Book, connect: Callable[[str], Connection]
) -> None:
    deposit(book, "alice", 5, 0)
    writer = connect("runtime")
    known = []
    for turn in range(12):
        # Of two that are open the one that began first writes last.
        first, second = ("alice", "bob") if turn % 2 else ("bob", "alice")
        with connect("runtime") as early:
            early.execute("BEGIN")
            begin(early)
            with writer.transaction():
                begin(writer)
                post(writer, book, first, f"w{turn}")
                known.append(snapshot_seen())
            post(early, book, second, f"e{turn}")
            post(early, book, first, f"f{turn}")
            known.append(snapshot_seen())
            early.execute("COMMIT")
        known.append(snapshot_seen())
    agree_everywhere(known)


def begin(writer: Connection) -> None:
    writer.execute("SELECT accounts.act('system:job:test', NULL, 'job', '', 'A test posts')")


def post(writer: Connection, book: Book, who: str, key: str) -> None:
    draft = book.draft("deposit", ("client_bank", "1"), (who, "-1"), key=key)
    content = json.dumps([draft.content()])
    writer.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [content])


def snapshot_seen() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        return str(cursor.fetchone()[0])
