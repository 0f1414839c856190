"""What is said now is read once as long as nothing is added to it, and never from before."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from margin.book.closes import closes_until
from margin.book.now import PARTS_KEPT, TABLES, MarketNow, market_now
from margin.models import Mark
from tests.stage import booked_days

DESK = Actor.command("test")
NAMED = re.compile(r'(?:FROM|JOIN)\s+"?([a-z]+_[a-z]+)"?')


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path, accounts=12, seed=5, days=2, booked=2)


def newest() -> datetime:
    return Mark.objects.latest("as_of").as_of


def marked(price: int, *, days_back: int) -> None:
    of = Mark.objects.latest("as_of", "pk")
    back = timedelta(days=days_back)
    copy_rows(
        [
            Mark(
                asset=of.asset, as_of=of.as_of - back, business_day=of.business_day - back,
                price=price, state=Mark.State.VALID, used=[], dropped=[],
            )
        ]
    )  # fmt: skip


def parts(now: MarketNow) -> dict[str, Callable[[], object]]:
    """Every part, to be asked for."""
    as_of = newest()
    day = as_of.astimezone(UTC).date()
    return {
        "newest_as_of": now.newest_as_of,
        "marks": lambda: now.marks(as_of),
        "assets": now.assets,
        "assets_by_code": now.assets_by_code,
        "contracts": now.contracts,
        "terms": lambda: now.terms(day),
        "market": lambda: now.market(as_of, day=day),
        "closes": lambda: now.closes(as_of),
        "any_watched": lambda: now.any_watched(day),
        "parameters": lambda: now.parameters("delta", "STANDARD", day=day),
        "crowded": now.crowded,
        "moving_terms": lambda: now.moving_terms(day),
    }


def test_everything_is_read_of_tables_that_are_looked_at(days: list[Path]) -> None:
    now = MarketNow()
    asked = parts(now)
    assert asked.keys() == {name for name in vars(MarketNow) if not name.startswith("_")}
    with CaptureQueriesContext(connection) as queries:
        for part in asked.values():
            part()
    read = {name for query in queries.captured_queries for name in NAMED.findall(query["sql"])}
    tables = {table._meta.db_table for table in TABLES}
    read.remove("ledger_horizon")  # of the one that is asked for, which is none
    assert read <= tables
    # These come with rows of a kind that this firm does not have.
    assert tables - read <= {"margin_haircutschedule"}
    with CaptureQueriesContext(connection) as queries:
        for part in asked.values():
            part()
    assert len(queries) == 0


LOOKED_AT = """
    SELECT t.name,
           (SELECT column_default FROM information_schema.columns
            WHERE table_name = t.name AND column_name = 'xid' AND is_nullable = 'NO'),
           has_table_privilege(t.name, 'DELETE') OR has_table_privilege(t.name, 'TRUNCATE')
               OR has_any_column_privilege(t.name, 'UPDATE'),
           (SELECT tgenabled FROM pg_trigger WHERE tgrelid = t.name::regclass
            AND tgname = 'history_is_append_only'),
           (SELECT count(*) FROM pg_indexes WHERE tablename = t.name
            AND indexdef LIKE '%%btree (xid)')
    FROM unnest(%s::text[]) t (name)
"""


def test_tables_that_are_looked_at_are_only_added_to_and_say_by_whom(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(LOOKED_AT, [[table._meta.db_table for table in TABLES]])
        found = cursor.fetchall()
    assert len(found) == len(TABLES)
    for name, *rest in found:
        assert (name, rest) == (name, ["pg_current_xact_id()", False, "A", 1])


def test_it_is_read_once_and_again_after_a_mark(days: list[Path]) -> None:
    as_of = newest()
    first = market_now()
    assert list(first.closes(as_of)) == list(closes_until(as_of)) != []
    assert market_now() is first
    assert first.closes(as_of) is first.closes(as_of)
    with acting(DESK, reason="A close of before"):
        marked(7, days_back=400)
    second = market_now()
    assert second is not first
    assert len(second.closes(as_of)) == len(first.closes(as_of)) + 1
    assert list(second.closes(as_of)) == list(closes_until(as_of))
    assert market_now() is second


def given_up(as_of: datetime, *, lengths: list[int]) -> None:
    """Mark, read, and take it back."""
    with acting(DESK, reason="Not to be"):
        marked(7, days_back=400)
        lengths.append(len(market_now().closes(as_of)))
        raise ZeroDivisionError


def test_what_a_writer_reads_is_not_kept(days: list[Path]) -> None:
    as_of = newest()
    before = market_now()
    known = len(before.closes(as_of))
    lengths: list[int] = []
    with pytest.raises(ZeroDivisionError):
        given_up(as_of, lengths=lengths)
    assert lengths == [known + 1]
    assert market_now() is before
    assert len(before.closes(as_of)) == known


def test_who_sees_one_instant_is_told_of_that_instant(days: list[Path]) -> None:
    kept = market_now()
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        assert market_now() is not kept
    assert market_now() is kept


def test_no_more_parts_are_kept_than_said(days: list[Path]) -> None:
    now, as_of = MarketNow(), newest()
    day = as_of.astimezone(UTC).date()
    for back in range(2 * PARTS_KEPT):
        now.any_watched(day - timedelta(days=back))
    assert len(now._parts) <= PARTS_KEPT
    assert now.any_watched(day) is False
