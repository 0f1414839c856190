"""Balances of the past are read from checkpoints, and are what adding up all postings gives."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokerage.verify import verify
from ledger.checkpoints import keep_checkpoints
from ledger.horizons import store_horizon
from ledger.models import Checkpoint
from tests.ledger.book import Book
from tests.ledger.checkpoints import begin, take_all, take_checkpoint
from tests.ledger.test_buckets import bucket_of_role
from tests.ledger.test_growth import (
    DAYS,
    READ,
    agree_everywhere,
    asked,
    deposit,
    noon,
    post,
    quiet_horizon,
    snapshot_seen,
)

Connection = psycopg.Connection[Any]
pytestmark = pytest.mark.django_db

WHOLE = """
    SELECT account_id, account_seq, amount, average_cost
    FROM ledger.balances_at(%(known)s::pg_snapshot, %(as_of)s::date) ORDER BY account_id
"""


def without_checkpoints(superuser: Connection, question: str, asked: dict[str, Any]) -> list[Any]:
    """What is read where there are none; they are there again afterwards."""
    with superuser.transaction(force_rollback=True):
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("ALTER TABLE ledger_checkpoint DISABLE TRIGGER ALL")
        superuser.execute("DELETE FROM ledger_checkpoint")
        return superuser.execute(question, asked).fetchall()


def looks_at_accounts(superuser: Connection, known: str) -> int:
    """How many postings a reading finds by their accounts, one after another."""
    count = "SELECT pg_stat_get_xact_tuples_returned('ledger_posting_pkey'::regclass)"
    with superuser.transaction():
        superuser.execute("SET LOCAL enable_seqscan = off")
        before = superuser.execute(count).fetchall()
        superuser.execute(READ, {"known": known, "as_of": None})
        after = superuser.execute(count).fetchall()
    return int(after[0][0]) - int(before[0][0])


# ---------------------------------------------------------------- what is read


def test_balances_with_checkpoints_are_what_their_postings_add_up_to(
    book: Book, owner: Connection, chance: random.Random
) -> None:
    known = [store_horizon("test").snapshot]
    for step in range(60):
        day = min(DAYS, max(-1, step * DAYS // 60 + chance.choice((0, 0, 0, 1, 3, -1, -2))))
        deposit(book, chance.choice(("alice", "bob", "alice/ISO")), chance.randint(1, 9), day)
        if step % 6 == 0:
            known.append(store_horizon("test").snapshot)
        if chance.random() < 0.2:
            take_checkpoint(owner, of_postings=chance.choice((1, 4, 12)))
    quiet_horizon()
    assert take_all(owner) > 0
    agree_everywhere(known)


def test_balances_are_read_right_with_checkpoints_taken_while_writers_are_in_flight(
    book: Book, connect: Callable[[str], Connection], owner: Connection
) -> None:
    deposit(book, "alice", 5, 0)
    writer = connect("runtime")
    known = []
    for turn in range(10):
        first, second = ("alice", "bob") if turn % 2 else ("bob", "alice")
        with connect("runtime") as early:
            early.execute("BEGIN")
            begin(early)
            with writer.transaction():
                begin(writer)
                post(writer, book, first, f"w{turn}")
                known.append(snapshot_seen())
            take_checkpoint(owner)
            post(early, book, second, f"e{turn}")
            post(early, book, first, f"f{turn}")
            known.append(snapshot_seen())
            early.execute("COMMIT")
        known.append(snapshot_seen())
        if turn % 3 == 2:
            take_all(owner)
    quiet_horizon()
    take_all(owner)
    agree_everywhere(known)


def test_accounts_opened_after_a_checkpoint_are_read_too(book: Book, owner: Connection) -> None:
    deposit(book, "alice", 5, 0)
    quiet_horizon()
    take_all(owner)
    before = store_horizon("test").snapshot
    opened = book[bucket_of_role(book, "FEES")]
    between = store_horizon("test").snapshot
    deposit(book, "bob", 3, 1)
    known = store_horizon("test").snapshot
    deposit(book, "bob", 4, 1)
    deposit(book, "alice", 4, 1)
    assert opened not in {row[0] for row in asked(READ, before, None)}
    assert (opened, 0, 0) in asked(READ, between, None)
    agree_everywhere([before, between, known])


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("deposit"),
            st.sampled_from(["alice", "bob", "alice/ISO"]),
            st.integers(1, 9),
            st.integers(-1, DAYS),
        ),
        st.tuples(st.just("trade"), st.integers(1, 3), st.integers(90, 110)),
        st.tuples(st.just("checkpoint"), st.integers(1, 12)),
        st.tuples(st.just("horizon")),
    ),
    max_size=14,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_reading_with_checkpoints_is_reading_without_them(
    book: Book, owner: Connection, superuser: Connection, steps: list[Any]
) -> None:
    known = [snapshot_seen()]
    for what, *how in steps:
        if what == "deposit":
            deposit(book, *how)
        elif what == "trade":
            quantity, price = how
            legs = book.contracts("bob", Decimal(quantity), str(price))
            book.post("derivative_trade", *legs, at=noon(0))
        elif what == "checkpoint":
            take_checkpoint(owner, of_postings=how[0])
        else:
            known.append(snapshot_seen())
    for horizon in known:
        for as_of in (None, noon(0).date(), noon(DAYS // 2).date()):
            question = {"known": horizon, "as_of": as_of}
            expected = without_checkpoints(superuser, WHOLE, question)
            assert asked(WHOLE, horizon, as_of) == expected


def test_a_past_horizon_is_read_without_a_look_at_each_account(
    book: Book, owner: Connection, superuser: Connection
) -> None:
    for turn in range(8):
        deposit(book, "alice", 1, 0)
        deposit(book, "bob", 1, turn % 3)
    known = quiet_horizon()
    for _ in range(8):
        deposit(book, "alice", 1, 4)
        deposit(book, "bob", 1, 4)
    assert looks_at_accounts(superuser, known) > 0, "the measure sees no reading"
    quiet_horizon()
    assert take_all(owner, of_postings=10) >= 2
    assert looks_at_accounts(superuser, known) == 0
    agree_everywhere([known])


# ---------------------------------------------------------------- what is in one, and who writes it


def test_a_checkpoint_holds_what_was_posted_below_its_end(book: Book, owner: Connection) -> None:
    deposit(book, "alice", 5, 0)
    quiet_horizon()
    take_all(owner)
    newest = Checkpoint.objects.order_by("below").last()
    assert newest is not None
    kept = dict(zip(newest.account_ids, newest.amounts, strict=True))
    assert kept[book["alice"]] == book.balance("alice") == Decimal(-1005)
    assert sum(newest.account_seqs) == newest.postings
    assert newest.newest_on == noon(0).date()
    assert verify().is_sound


def test_none_is_taken_before_it_is_due_nor_twice_of_the_same(
    book: Book, owner: Connection
) -> None:
    quiet_horizon()
    assert take_checkpoint(owner, of_postings=1_000_000) is None
    assert take_all(owner) > 0
    assert take_checkpoint(owner) is None


def test_a_transaction_that_is_open_holds_a_checkpoint_back(
    book: Book, owner: Connection, connect: Callable[[str], Connection]
) -> None:
    quiet_horizon()
    take_all(owner)
    with connect("runtime") as open_one:
        open_one.execute("BEGIN")
        begin(open_one)
        deposit(book, "alice", 5, 0)
        assert take_checkpoint(owner) is None
        open_one.execute("COMMIT")
    quiet_horizon()
    assert take_checkpoint(owner) is not None


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        (
            "checkpoint_is_of_the_past",
            "INSERT INTO ledger_checkpoint (below)"
            " VALUES ((pg_current_xact_id()::text::bigint + 1)::text::xid8)",
        ),
        ("checkpoint_follows", "INSERT INTO ledger_checkpoint (below) VALUES ('5')"),
        ("checkpoint_follows", "INSERT INTO ledger_checkpoint (below) VALUES (NULL)"),
        (
            "checkpoint_follows",
            "INSERT INTO ledger_checkpoint (below)"
            " SELECT (max(below)::text::bigint + 1)::text::xid8 FROM ledger_checkpoint",
        ),
        ("history_is_append_only", "UPDATE ledger_checkpoint SET postings = 0"),
        ("history_is_append_only", "DELETE FROM ledger_checkpoint"),
        ("history_is_append_only", "TRUNCATE ledger_checkpoint"),
    ],
)
def test_a_checkpoint_is_written_once_and_of_the_past(
    book: Book, owner: Connection, rule: str, statement: str
) -> None:
    quiet_horizon()
    take_all(owner)
    before = list(Checkpoint.objects.order_by("below").values())
    owner.execute("BEGIN")
    begin(owner)
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute(statement)
    owner.execute("ROLLBACK")
    assert refused.value.diag.constraint_name == rule
    assert list(Checkpoint.objects.order_by("below").values()) == before


def test_what_a_writer_says_is_in_a_checkpoint_counts_for_nothing(
    book: Book, owner: Connection
) -> None:
    deposit(book, "alice", 5, 0)
    below = quiet_horizon().split(":")[0]
    with owner.transaction():
        begin(owner)
        owner.execute(
            "INSERT INTO ledger_checkpoint VALUES"
            " (%s, '3', 7, '2020-01-01', 1, 1, '{1}', '{1}', '{1}')",
            [below],
        )
    (kept,) = Checkpoint.objects.all()
    assert dict(zip(kept.account_ids, kept.amounts, strict=True))[book["alice"]] == -1005
    assert verify().is_sound


def test_a_checkpoint_has_somebody_who_takes_it(book: Book, owner: Connection) -> None:
    quiet_horizon()
    with pytest.raises(psycopg.errors.CheckViolation, match="has not said who acts"):
        owner.execute("SELECT ledger.take_checkpoint(1)")
    assert not Checkpoint.objects.exists()


def test_the_program_takes_those_that_are_due_and_no_others(
    book: Book, superuser: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep_checkpoints() == 0
    superuser.execute(
        "CREATE OR REPLACE FUNCTION ledger.checkpoint_every() RETURNS bigint LANGUAGE sql STABLE"
        " SET search_path = public, pg_temp AS 'SELECT 4::bigint'"
    )
    deposit(book, "alice", 5, 0)
    deposit(book, "alice", 5, 0)
    quiet_horizon()
    call_command("checkpoints", json=True)
    assert '"postings": 0' not in capsys.readouterr().out
    assert Checkpoint.objects.exists()
    assert keep_checkpoints() == 0
    call_command("checkpoints")
    assert capsys.readouterr().out.startswith("0 taken now")


def test_the_program_may_ask_for_checkpoints_but_writes_none(book: Book) -> None:
    for statement in (
        "INSERT INTO ledger_checkpoint (below) VALUES ('5')",
        "SELECT ledger.take_checkpoint(1)",
        "SELECT * FROM ledger.posted_since('0', pg_current_snapshot())",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.cursor().execute(statement)
    assert not Checkpoint.objects.exists()
