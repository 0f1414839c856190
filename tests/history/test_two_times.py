"""Two times: what had taken effect by a date, as known at a committed horizon."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.audit import acting, refusals
from accounts.models import Act, Operator, Role
from ledger.horizons import current_horizon, store_horizon, take_horizon
from ledger.models import Asset, Entry, Location, LocationAsset, Posting
from ledger.posting import AccountKey, open_accounts
from ledger.segregation import pool_assets
from ledger.standing import book_standing
from ledger.times import (
    ReadingPoint,
    TimeRefusedError,
    as_known,
    asked,
    at_horizon,
    known,
    one_snapshot,
    point_of,
    reading_point,
)
from tests.ledger.book import DESK, NOON, Book, found_book
from tests.ledger.raw import run

Connect = Callable[[str], psycopg.Connection[Any]]
DAY = timedelta(days=1)


@pytest.fixture
def book(db: None) -> Book:
    return found_book(db)


def deposit(book: Book, amount: str, *, days: int = 0, who: str = "alice") -> int:
    at = NOON + days * DAY
    return book.post("deposit", ("client_bank", amount), (who, f"-{amount}"), at=at)


def amount(book: Book, name: str, point: ReadingPoint) -> Decimal | None:
    """What a ledger account held at a point; None where it was not known."""
    stood = book_standing(point).stood.get(book[name])
    return None if stood is None else stood.amount


# ---------------------------------------------------------------- known


def test_a_later_entry_is_not_known_at_an_earlier_horizon(book: Book) -> None:
    horizon = store_horizon("test")
    deposit(book, "10")
    assert amount(book, "alice", at_horizon(horizon)) == -1000
    assert amount(book, "alice", reading_point()) == -1010


def test_a_writer_in_flight_is_not_known_though_it_commits_and_is_older(
    book: Book, connect: Connect
) -> None:
    writer = connect("runtime")
    writer.execute("BEGIN")
    writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'in flight')")
    draft = book.draft("deposit", ("client_bank", "25"), ("bob", "-25"))
    writer.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps([draft.content()])])
    idle = connect("runtime")
    idle.execute("BEGIN")
    idle.execute("SELECT 1")
    earlier = store_horizon("test")
    writer.execute("COMMIT")
    idle.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'began before')")
    draft = book.draft("deposit", ("client_bank", "5"), ("carol", "-5"))
    idle.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps([draft.content()])])
    idle.execute("COMMIT")
    later = store_horizon("test")
    recorded = Entry.objects.filter(recorded_at__lt=earlier.taken_at).order_by("-pk")[0]
    assert not known(Entry.objects.filter(pk=recorded.pk), at_horizon(earlier)).exists()
    for name, then, now in (("bob", -2000, -2025), ("carol", -300, -305)):
        assert amount(book, name, at_horizon(earlier)) == then
        assert amount(book, name, at_horizon(later)) == now


def test_known_at_is_the_newest_horizon_then_or_before(book: Book) -> None:
    one = store_horizon("test")
    deposit(book, "10")
    two = store_horizon("test")
    assert reading_point(known_at=two.taken_at).horizon == two
    before = reading_point(known_at=two.taken_at - timedelta(microseconds=1))
    assert before.horizon == one
    assert amount(book, "alice", before) == -1000


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"as_of": "soon"}, "'soon' is no date"),
        ({"as_of": "2026-02-30"}, "'2026-02-30' is no date"),
        ({"as_of": "1969-12-31"}, "keeps no entries of 1969-12-31"),
        ({"known_at": "yesterday"}, "'yesterday' is no time"),
        ({"known_at": "2026-02-05"}, "'2026-02-05' is no time"),
        ({"known_at": "2019-01-01T00:00:00Z"}, "before the first stored horizon"),
        ({"known_at": "2199-01-01T00:00:00Z"}, "has not come yet"),
        ({"known_at": "0001-01-01T00:00:00+14:00"}, "is no time"),
    ],
)
def test_a_time_that_cannot_be_read_at_is_refused_with_a_sentence(
    book: Book, times: dict[str, str], words: str
) -> None:
    store_horizon("test")
    with pytest.raises(TimeRefusedError, match=words):
        point_of(**times)


def test_before_any_horizon_nothing_is_known(book: Book) -> None:
    with pytest.raises(TimeRefusedError, match="none is stored yet"):
        reading_point(known_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert asked({}) is None


def test_an_address_may_name_any_zone(book: Book) -> None:
    horizon = store_horizon("test")
    there = horizon.taken_at.astimezone().isoformat()
    assert point_of(known_at=there).horizon == horizon
    assert point_of(known_at=there.replace("+", " ")).horizon == horizon


# ---------------------------------------------------------------- as of


def test_a_date_counts_up_to_its_last_moment(book: Book) -> None:
    last = datetime(2026, 2, 6, 23, 59, 59, 999999, tzinfo=UTC)
    book.post("deposit", ("client_bank", "10"), ("alice", "-10"), at=last)
    first = last + timedelta(microseconds=1)
    book.post("deposit", ("client_bank", "1"), ("alice", "-1"), at=first)
    found = {
        day: amount(book, "alice", reading_point(as_of=date(2026, 2, day))) for day in (5, 6, 7)
    }
    assert found == {5: -1000, 6: -1010, 7: -1011}


def test_a_late_entry_counts_on_its_date_once_it_is_known(book: Book) -> None:
    deposit(book, "10", days=5)
    horizon = store_horizon("test")
    deposit(book, "7", days=2)
    day = (NOON + 3 * DAY).date()
    assert amount(book, "alice", at_horizon(horizon, as_of=day)) == -1000
    assert amount(book, "alice", reading_point(as_of=day)) == -1007


def test_an_average_cost_is_that_of_the_newest_trade_that_counts(book: Book) -> None:
    for days, price in ((1, "100"), (3, "130")):
        at = NOON + days * DAY
        book.post("derivative_trade", *book.contracts("alice", Decimal(2), price), at=at)
    for days, average in ((1, 100), (2, 100), (3, 115)):
        point = reading_point(as_of=(NOON + days * DAY).date())
        assert book_standing(point).stood[book["alice:BTC-PERP"]].average_cost == average


# ---------------------------------------------------------------- what was not there then


def test_accounts_and_places_that_did_not_exist_then_do_not_show(db: None) -> None:
    horizon = store_horizon("test")
    book = found_book(db)
    then, now = at_horizon(horizon), reading_point()
    assert (pool_assets(point=then), book_standing(then).stood) == ([], {})
    assert as_known(Location.objects.all(), then) == []
    assert len(as_known(Location.objects.all(), now)) == len(book.locations)


def test_an_asset_that_a_place_came_to_carry_later_does_not_show(book: Book) -> None:
    horizon = store_horizon("test")
    place = book.locations["house_bank"]
    with acting(DESK, reason="A new currency"):
        yen = Asset.objects.create(code="JPY", kind="money", scale=0)
        LocationAsset.objects.create(location=place, asset=yen)
        key = AccountKey(place.pool_id, yen.pk, "custody", location_id=place.pk)
        account = open_accounts([key])[key]
    then, now = at_horizon(horizon), reading_point()
    assert account not in book_standing(then).stood
    assert account in book_standing(now).stood
    assert "JPY" not in {row.asset for row in pool_assets(point=then)}
    assert "JPY" in {row.asset for row in pool_assets(point=now)}


def test_an_editable_row_reads_as_it_stood(book: Book, owner: Any) -> None:
    who = book.desk[Role.TREASURY]
    horizon = store_horizon("test")
    run(owner, ("UPDATE accounts_operator SET full_name = 'S. Rao' WHERE id = %s", [who.pk]))
    (then,) = as_known(Operator.objects.filter(pk=who.pk), at_horizon(horizon))
    (now,) = as_known(Operator.objects.filter(pk=who.pk), reading_point())
    assert (then.full_name, now.full_name) == ("S. Iyer", "S. Rao")


def test_the_pools_then_are_whole_as_they_are_now(book: Book) -> None:
    horizon = store_horizon("test")
    deposit(book, "10", days=1)
    then = pool_assets(point=at_horizon(horizon), kinds=("money", "security", "derivative"))
    assert all(row.is_whole for row in then if row.is_client)
    assert pool_assets(point=reading_point()) == pool_assets()
    assert pool_assets(point=reading_point()) == book_standing(reading_point()).pool_assets()


# ---------------------------------------------------------------- one state, on its own connection


def test_a_reading_sees_one_state_and_cannot_write(book: Book) -> None:
    before = Entry.objects.count()
    with one_snapshot():
        assert Entry.objects.count() == before
        outside = psycopg_in_between(book)
        assert Entry.objects.count() == before
        with pytest.raises(Exception, match="read-only"), connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE t (n int)")
    assert Entry.objects.filter(pk=outside).exists()


def psycopg_in_between(book: Book) -> int:
    """Post from another thread's connection while the snapshot is open."""
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    def posted() -> int:
        try:
            return deposit(book, "3")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(posted).result()


# ---------------------------------------------------------------- horizons to read at


def test_a_horizon_that_knows_all_is_used_again(book: Book) -> None:
    one = current_horizon("report")
    assert current_horizon("report") == one
    deposit(book, "1")
    two = current_horizon("report")
    assert two != one
    assert current_horizon("report") == two


def test_a_horizon_taken_inside_another_act_does_not_know_that_act(book: Book) -> None:
    with acting(DESK, reason="Something besides"):
        Asset.objects.create(code="JPY", kind="money", scale=0)
        inside = take_horizon("test")
    assert current_horizon("report") != inside


# ---------------------------------------------------------------- by SQL


def test_sql_reads_the_same_as_the_program(book: Book) -> None:
    deposit(book, "10", days=5)
    horizon = store_horizon("test")
    deposit(book, "7", days=2)
    day = (NOON + 3 * DAY).date()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger_account, amount FROM ledger.book_at(%s, %s)", [day, horizon.taken_at]
        )
        said = dict(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM ledger.entries_at(known_at => %s)", [horizon.taken_at])
        (entries,) = cursor.fetchone()
    point = at_horizon(horizon, as_of=day)
    assert said == {pk: stood.amount for pk, stood in book_standing(point).stood.items()}
    assert entries == known(Entry.objects.all(), point).count()


def test_sql_refuses_a_time_before_the_first_horizon(book: Book) -> None:
    early = "SELECT * FROM ledger.book_at(known_at => '2019-01-01Z')"
    with book.refused("time_has_a_horizon"), refusals(), connection.cursor() as cursor:
        cursor.execute(early)


# ---------------------------------------------------------------- a law


steps = st.lists(
    st.tuples(st.sampled_from(["alice", "bob", "carol"]), st.integers(1, 50), st.integers(0, 4)),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_every_balance_is_the_sum_of_the_postings_that_count(
    book: Book, steps: list[tuple[str, int, int]]
) -> None:
    horizons = []
    for who, figure, days in steps:
        deposit(book, str(figure), days=days, who=who)
        horizons.append(store_horizon("test"))
    for horizon in horizons[-2:]:
        for days in (0, 2, 4):
            point = at_horizon(horizon, as_of=(NOON + days * DAY).date())
            assert {pk: s.amount for pk, s in book_standing(point).stood.items()} == summed(point)


def summed(point: ReadingPoint) -> dict[int, Decimal]:
    """The same by adding up every posting, from acts that had committed."""
    known_acts = {
        xid for xid in Act.objects.values_list("xid", flat=True) if is_in(point.snapshot, xid)
    }
    sums = dict.fromkeys(book_standing(point).facts, Decimal(0))
    for account, figure, xid, at in Posting.objects.values_list(
        "account_id", "amount", "xid", "entry__effective_at"
    ):
        if xid in known_acts and point.ends_at is not None and at < point.ends_at:
            sums[account] += figure
    return sums


def is_in(snapshot: str, xid: int) -> bool:
    """Whether a snapshot, as it is printed, sees a transaction."""
    low, high, open_ones = snapshot.split(":")
    in_flight = {int(each) for each in open_ones.split(",") if each}
    return xid < int(low) or (xid < int(high) and xid not in in_flight)
