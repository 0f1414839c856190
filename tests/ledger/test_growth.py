"""Reading the book costs the same however long its history is, and gives what adding up gives."""

import json
import random
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from ledger.account_statement import statement_page
from ledger.horizons import store_horizon
from ledger.times import at_horizon, reading_point
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


# ---------------------------------------------------------------- a statement, page by page


def test_a_statement_is_turned_over_page_by_page_without_a_gap(book: Book) -> None:
    for amount in range(1, 8):
        deposit(book, "alice", amount, 0)
    first = statement_page(book["alice"], size=3)
    assert [line.amount for line in first.lines] == [-7, -6, -5]
    assert (first.balance, first.newest) == (book.balance("alice"), 8)
    second = statement_page(book["alice"], before=first.before, size=3)
    assert [line.amount for line in second.lines] == [-4, -3, -2]
    last = statement_page(book["alice"], before=second.before, size=3)
    assert [line.amount for line in last.lines] == [-1, -1000]
    assert last.before is None


def test_a_statement_stays_as_it_was_known(book: Book) -> None:
    deposit(book, "alice", 5, 0)
    known = at_horizon(store_horizon("test"))
    deposit(book, "alice", 7, 0)
    page = statement_page(book["alice"], point=known)
    assert [line.amount for line in page.lines] == [-5, -1000]
    assert page.balance == -1005


def test_a_statement_of_a_date_has_what_came_late_for_it_and_nothing_later(book: Book) -> None:
    deposit(book, "alice", 5, 0)
    deposit(book, "alice", 7, 2)
    deposit(book, "alice", 9, 1)
    page = statement_page(book["alice"], point=reading_point(as_of=noon(1).date()))
    assert [line.amount for line in page.lines] == [-9, -5, -1000]
    assert page.balance == -1014


# ---------------------------------------------------------------- what a reading costs

READINGS_OF_AN_ACCOUNT = 10


def quiet_horizon() -> str:
    """A horizon below which nothing is open, in whichever database of the cluster."""
    for _ in range(600):
        known = store_horizon("test").snapshot
        with connection.cursor() as cursor:
            cursor.execute("SELECT xid::text::bigint FROM ledger_posting ORDER BY xid DESC LIMIT 1")
            (newest,) = cursor.fetchone()
        if newest < int(known.split(":")[0]):
            return known
        time.sleep(0.05)
    raise AssertionError("somebody's transaction stays open")


def test_a_reading_takes_a_few_postings_of_each_account_however_many_there_are(
    book: Book, owner: Connection
) -> None:
    early = quiet_horizon()
    for turn in range(3):
        book.post_drafts(
            *(
                book.draft("deposit", ("client_bank", "1"), ("alice", "-1"), at=noon(turn))
                for _ in range(250)
            )
        )
    middle = quiet_horizon()
    book.post_drafts(
        *(
            book.draft("deposit", ("client_bank", "1"), ("alice", "-1"), at=noon(3))
            for _ in range(250)
        )
    )
    for known in (early, middle, quiet_horizon()):
        for as_of in (None, noon(0).date(), noon(2).date()):
            taken = postings_taken(owner, READ, {"known": known, "as_of": as_of})
            assert 0 <= taken <= READINGS_OF_AN_ACCOUNT * len(book.ids), f"{known} {as_of}"
    everything = postings_taken(owner, ADDED_UP, {"known": middle, "as_of": None})
    assert everything > READINGS_OF_AN_ACCOUNT * len(book.ids), "the measure sees no reading"


def postings_taken(owner: Connection, question: str, asked: dict[str, Any]) -> int:
    """How many postings a statement looks at, where the table is too large to be read whole."""
    count = (
        "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index"
        " WHERE indrelid = 'ledger_posting'::regclass"
    )
    with owner.transaction():
        owner.execute("SET LOCAL enable_seqscan = off")
        owner.execute("SET LOCAL enable_bitmapscan = off")
        before = owner.execute(count).fetchall()
        owner.execute(question, asked)
        after = owner.execute(count).fetchall()
    return int(after[0][0]) - int(before[0][0])
