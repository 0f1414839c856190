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
from margin.book import now
from margin.book.closes import closes_until
from margin.book.now import TABLES, MarketNow, Parts, market_now
from margin.models import Mark, MarketRow
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


def parts(of: MarketNow) -> dict[str, Callable[[], object]]:
    """Every part, to be asked for."""
    as_of = newest()
    day = as_of.astimezone(UTC).date()
    return {
        "newest_as_of": of.newest_as_of,
        "marks": lambda: of.marks(as_of),
        "assets": of.assets,
        "assets_by_code": of.assets_by_code,
        "contracts": of.contracts,
        "terms": lambda: of.terms(day),
        "market": lambda: of.market(as_of, day=day),
        "closes": lambda: of.closes(as_of),
        "any_watched": lambda: of.any_watched(day),
        "parameters": lambda: of.parameters("delta", "STANDARD", day=day),
        "crowded": of.crowded,
        "moving_terms": lambda: of.moving_terms(day),
    }


def test_everything_is_read_of_tables_that_are_looked_at(days: list[Path]) -> None:
    asked = parts(MarketNow())
    named = {name for name in vars(MarketNow) if not name.startswith("_")}
    assert asked.keys() == named - {"besides_closes"}
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
    assert len(queries) == 1  # for parameters that there are not, which are not kept


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


def test_what_is_said_beside_marks_leaves_closes_as_they_were(days: list[Path]) -> None:
    as_of = newest()
    day = as_of.astimezone(UTC).date()
    first = market_now()
    closes, terms = first.closes(as_of), first.terms(day)
    with acting(DESK, reason="A volatility comes"):
        copy_rows([market_row(as_of)])
    second = market_now()
    assert second is not first
    assert second.closes(as_of) is closes
    assert second.terms(day) is not terms
    assert second.terms(day) == terms


def market_row(as_of: datetime) -> MarketRow:
    return MarketRow(
        kind="volume", asset=Mark.objects.latest("pk").asset, source="EX1", observed_at=as_of,
        received_at=as_of, value=5, file_sha256="0" * 64, line=1,
    )  # fmt: skip


def test_a_server_that_was_put_back_is_asked_anew(
    days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = market_now()
    kept = now._kept
    assert kept is not None
    far = int(kept.snapshot.split(":")[1]) + 1_000
    later = kept._replace(snapshot=f"{far}:{far}:")
    monkeypatch.setattr(now, "_kept", later)  # seen before the server lost what came last
    second = market_now()
    assert second is not first
    monkeypatch.setattr(now, "_kept", kept._replace(place=f"{kept.place} of another start"))
    assert market_now() not in (first, second)


def test_no_more_parts_are_kept_than_said() -> None:
    parts, read = Parts(3), list[int]()

    def reading(number: int) -> int:
        read.append(number)
        return number

    for number in (1, 2, 3, 1, 4, 1):
        assert parts.once(number, lambda number=number: reading(number)) == number
        assert len(parts) <= 3
    assert read == [1, 2, 3, 4, 1]
    assert parts.once("nothing", lambda: None) is None
    assert len(parts) == 3
