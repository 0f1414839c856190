"""What the tables of rates and accruals cannot be made to hold, whoever writes them."""

from datetime import date
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg.types.json import Json

from accounts.audit import RefusedError, acting
from accounts.checks import Check
from ledger.models import AccrualRun, RateVersion
from ledger.verify.interest import ACCRUALS, check_interest
from tests.conftest import Connection
from tests.ledger.book import DESK, Book
from tests.ledger.interest import line, publish, run
from tests.ledger.test_accrual import START, lend, rates

ACT = "SELECT accounts.act('system:job:forger', NULL, 'job', '', 'forges')"
VERSION = """
    INSERT INTO ledger_rateversion SELECT (jsonb_populate_record(v, %s::jsonb || jsonb_build_object(
        'id', gen_random_uuid(), 'xid', pg_current_xact_id()::text))).* FROM ledger_rateversion v
"""
NEXT = {"version": 2, "effective_from": "2027-01-01"}


def refused(owner: Connection, *statements: tuple[str, list[Any]]) -> str:
    """The rule that refuses what the owner writes in an act of its own."""
    with pytest.raises(psycopg.errors.IntegrityError) as refusal:
        write(owner, statements)
    return str(refusal.value.diag.constraint_name)


def write(owner: Connection, statements: tuple[tuple[str, list[Any]], ...]) -> None:
    with owner.transaction():
        owner.execute(ACT)
        for statement, values in statements:
            owner.execute(statement, values)
        owner.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture
def lent(book: Book) -> Book:
    """A book with a loan and a curve, nothing accrued."""
    publish(book, rates("borrow", "0.10"))
    lend(book, "carol", "1000")
    return book


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({}, "rates_are_published_by_two"),
        ({"version": 1}, "rate_version_is_unique"),
        ({"effective_from": START.isoformat()}, "curve_has_one_version_a_day"),
        ({"day_count": "ACT/364"}, "rate_version_is_of_a_known_form"),
        ({"floor": "0.2", "cap": "0.1"}, "rate_floor_is_below_its_cap"),
        ({"pool_cap": "-1"}, "borrow_caps_are_amounts"),
        ({"utilisation_cap": "1.1"}, "borrow_caps_are_amounts"),
    ],
)
def test_a_version_by_hand_is_refused(
    lent: Book, owner: Connection, change: dict[str, object], rule: str
) -> None:
    said = Json({**NEXT, **change})
    assert refused(owner, (VERSION, [said])) == rule


@pytest.mark.parametrize(
    "points",
    [
        (),
        line(("0.5", "0.1"), ("0.2", "0.1")),
        line(("0", "0.1"), ("1.5", "0.1")),
        line(("0", "11")),
        line(("0", "0.0000000000001")),
    ],
)
def test_points_that_are_no_line_are_refused_after_two_people_agreed(
    book: Book, monkeypatch: pytest.MonkeyPatch, points: Any
) -> None:
    monkeypatch.setattr("ledger.rates.check_rates", lambda *_, **__: None)
    with pytest.raises(RefusedError) as refusal:
        publish(book, rates("borrow", points=points))
    assert refusal.value.rule == "rates_are_a_line"
    assert not RateVersion.objects.exists()


def test_a_curve_is_there_once_and_has_a_side(lent: Book, owner: Connection) -> None:
    add = "INSERT INTO ledger_ratecurve (legal_entity_id, asset_id, side) VALUES (%s, %s, %s)"
    entity, usd = lent.desk.entity.pk, lent.assets["USD"].pk
    assert refused(owner, (add, [entity, usd, "borrow"])) == "asset_has_one_curve_a_side"
    assert refused(owner, (add, [entity, usd, "both"])) == "curve_has_a_side"


def test_a_day_waits_for_the_interest_of_the_day_before(lent: Book) -> None:
    accrue_only(lent, START)
    with lent.refused("accruals_are_paid_in_order"):
        accrue_only(lent, date(2026, 2, 6))


def accrue_only(book: Book, day: date) -> None:
    with acting(DESK, reason="accrues"), connection.cursor() as cursor:
        cursor.execute("SELECT ledger.accrue_day(%s, %s)", [book.desk.entity.pk, day])


def test_a_day_is_accrued_once(lent: Book, owner: Connection) -> None:
    run(lent, START)
    assert refused(owner, (RUN, [lent.desk.entity.pk, START])) == "accruals_follow_one_another"


RUN = "INSERT INTO ledger_accrualrun (legal_entity_id, day) VALUES (%s, %s)"
OF_RUN = "FROM (SELECT * FROM ledger_accrualrun ORDER BY id DESC LIMIT 1) r,"


@pytest.mark.parametrize("wrong", ["rate", "lent", "lendable", "utilisation"])
def test_a_rate_by_hand_is_refused(lent: Book, owner: Connection, wrong: str) -> None:
    columns = "curve_id, version_id, lent, lendable, utilisation, rate"
    values = columns.replace(f" {wrong}", f" {wrong} + 1")
    forged = (
        f"INSERT INTO ledger_dailyrate (run_id, {columns}) SELECT r.id, {values} {OF_RUN}"
        " ledger.rates_of(r.legal_entity_id, r.day)"
    )
    of_day = (RUN, [lent.desk.entity.pk, START])
    assert refused(owner, of_day, (forged, [])) == "rate_follows_its_curve"
    assert not AccrualRun.objects.exists()


@pytest.mark.parametrize("wrong", ["due", "cumulative", "rate", "base", "numerator", "closing"])
def test_an_accrual_by_hand_is_refused(lent: Book, owner: Connection, wrong: str) -> None:
    columns = (
        "account_id, curve_id, closing, since, withheld, base, rate, days, year, numerator,"
        " corrected, cumulative, paid_before, due"
    )
    values = columns.replace(f" {wrong}", f" {wrong} + 1")
    forged = (
        f"INSERT INTO ledger_accrual (run_id, {columns}) SELECT r.id, {values} {OF_RUN}"
        " ledger.accruals_of(r.legal_entity_id, r.day, r.id)"
    )
    of_day = (RUN, [lent.desk.entity.pk, START])
    assert refused(owner, of_day, (forged, [])) == "accrual_follows_its_rate"
    assert not AccrualRun.objects.exists()


def test_a_correction_without_a_late_entry_is_refused(lent: Book, owner: Connection) -> None:
    run(lent, START)
    forged = (
        "INSERT INTO ledger_accrualcorrection (run_id, account_id, day, closing, base, rate, days,"
        f" year, numerator) SELECT r.id, x.account_id, '2026-02-05', 1, 1, 1, 1, 365, 4392 {OF_RUN}"
        " ledger_accrual x"
    )
    of_day = (RUN, [lent.desk.entity.pk, date(2026, 2, 6)])
    assert refused(owner, of_day, (forged, [])) == "correction_follows_its_entry"


def test_verify_works_interest_out_again(lent: Book, superuser: Connection) -> None:
    run(lent, date(2026, 2, 7))
    names = {check.name: check.wrong for check in interest_checks()}
    assert names == dict.fromkeys(names)
    for change in ("due = due + 1", "cumulative = cumulative + 1", "base = base + 1"):
        with superuser.transaction(force_rollback=True):
            superuser.execute("SET LOCAL session_replication_role = replica")
            superuser.execute("ALTER TABLE ledger_accrual DISABLE TRIGGER ALL")
            superuser.execute(f"UPDATE ledger_accrual SET {change}")
            assert wrong_as(superuser), change


def interest_checks() -> list[Check]:
    with connection.cursor() as cursor:
        return check_interest(cursor)


def wrong_as(superuser: Connection) -> bool:
    return bool(superuser.execute(ACCRUALS.sql.encode()).fetchall())
