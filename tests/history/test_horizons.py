"""Committed horizons: what was known is what had committed, not what the clock says."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
from django.db import connection

from ledger.horizons import newest_horizon, store_horizon
from ledger.models import Horizon
from tests.history.book import small_book

Connect = Callable[[str], psycopg.Connection[Any]]


def is_known(horizon: Horizon, xid: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_visible_in_snapshot(%s::xid8, snapshot) FROM ledger_horizon WHERE id = %s",
            [xid, horizon.pk],
        )
        (known,) = cursor.fetchone()
    return bool(known)


def test_a_transaction_that_is_still_open_is_not_known(db: None, connect: Connect) -> None:
    small_book()
    writer = connect("runtime")
    with writer.transaction():
        writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'open')")
        row = writer.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        early = store_horizon("minute")
    late = store_horizon("minute")
    assert not is_known(early, row[0])
    assert is_known(late, row[0])


def test_the_newest_horizon_is_the_last_one_taken_then_or_before(db: None) -> None:
    one = store_horizon("minute")
    two = store_horizon("minute")
    assert newest_horizon(two.taken_at) == two
    assert newest_horizon(two.taken_at - timedelta(microseconds=1)) == one
    assert newest_horizon(one.taken_at - timedelta(microseconds=1)) is None
