"""Rates: published by two people, on a line, from a day that is not accrued yet."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.approvals import apply_approved, decide, describe
from accounts.audit import RefusedError, acting
from accounts.models import Approval, Role
from ledger.models import RateVersion
from ledger.rates import Point, Rates, RatesRefusedError, percent, rate_on, request_rates
from tests.accounts.people import person
from tests.conftest import Connection
from tests.ledger.book import Book
from tests.ledger.interest import WHY, flat, line, publish, run

D = Decimal
START = date(2026, 2, 5)
KINKED = line(("0", "0.02"), ("0.8", "0.10"), ("1", "0.60"))


def rates(**others: object) -> Rates:
    given: dict[str, object] = {
        "asset": "USD", "side": "borrow", "effective_from": START, "day_count": "ACT/360",
        "points": KINKED,
    }  # fmt: skip
    return Rates(**{**given, **others})  # type: ignore[arg-type]


def asked(book: Book, **others: object) -> Approval:
    pk = request_rates(
        rates(**others), legal_entity=book.desk.entity, reason=WHY,
        actor=person(book.desk[Role.TREASURY]),
    )  # fmt: skip
    return Approval.objects.get(pk=pk)


# ---------------------------------------------------------------- the line


@pytest.mark.parametrize(
    ("x", "rate"),
    [("0", "0.02"), ("0.4", "0.06"), ("0.8", "0.10"), ("0.9", "0.35"), ("1", "0.60"),
     ("0.333333333333", "0.0533333333333")],
)  # fmt: skip
def test_a_rate_lies_on_the_line_through_its_points(x: str, rate: str) -> None:
    assert rate_on(KINKED, D(x)) == D(rate).quantize(D("1.000000000000"))


def test_beyond_its_points_the_line_is_flat() -> None:
    points = line(("0.2", "0.05"), ("0.6", "-0.01"))
    assert (rate_on(points, D(0)), rate_on(points, D(1))) == (D("0.05"), D("-0.01"))
    assert rate_on((), D("0.5")) == 0


LAW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
shares = st.decimals(min_value=0, max_value=1, places=6, allow_nan=False)
yearly = st.decimals(min_value=-2, max_value=2, places=8, allow_nan=False)
curves = st.lists(st.tuples(shares, yearly), min_size=1, max_size=6, unique_by=lambda p: p[0])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(points=curves, x=shares)
def test_the_database_reads_the_same_rate(
    db: None, points: list[tuple[Decimal, Decimal]], x: Decimal
) -> None:
    corners = tuple(Point(*pair) for pair in sorted(points))
    said = json.dumps([[str(p.x), str(p.y)] for p in corners])
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.on_curve(%s::jsonb, %s)", [said, x])
        assert cursor.fetchone()[0] == rate_on(corners, x)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6),
    scale=st.integers(0, 8),
)
def test_the_database_rounds_to_the_nearest_and_ties_to_even(
    db: None, value: Fraction, scale: int
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger.signed_ratio(%s, %s, %s)", [value.numerator, value.denominator, scale]
        )
        assert cursor.fetchone()[0] == Decimal(round(value * 10**scale)).scaleb(-scale)


def test_rates_are_said_in_percent() -> None:
    assert [percent(D(rate)) for rate in ("0.0525", "-0.001", "0")] == ["5.25 %", "-0.1 %", "0 %"]


# ---------------------------------------------------------------- two people


def test_rates_are_published_by_two_people(book: Book) -> None:
    publish(book, rates(floor=D("-0.01"), cap=D("0.5"), tenor=line(("0", "0"), ("30", "0.01"))))
    version = RateVersion.objects.get()
    assert (version.version, version.effective_from, version.cap) == (1, START, D("0.5"))
    publish(book, rates(effective_from=date(2026, 3, 1), points=flat("0.03")))
    assert list(RateVersion.objects.order_by("version").values_list("version", flat=True)) == [1, 2]


def test_who_decides_sees_what_changes(book: Book) -> None:
    publish(book, rates())
    shown = describe(asked(book, effective_from=date(2026, 3, 1), points=flat("0.03")))
    assert [(c.label, c.before, c.after) for c in shown.fields] == [
        ("Rate by use of the lending pool", "2 % at 0 %, 10 % at 80 %, 60 % at 100 %", "3 % at 0 %")
    ]


def test_one_person_publishes_nothing(book: Book) -> None:
    approval = asked(book)
    alone = person(book.desk[Role.RISK])
    with (
        book.refused("approval_is_given"),
        acting(alone, reason="alone"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT ledger.publish_rates(%s)", [approval.pk])


def test_operations_may_not_ask_for_rates(book: Book) -> None:
    maker = person(book.desk[Role.OPERATIONS])
    with book.refused("maker_holds_the_role"):
        request_rates(rates(), legal_entity=book.desk.entity, reason=WHY, actor=maker)


def test_rates_do_not_reach_back_to_a_day_that_is_accrued(book: Book) -> None:
    publish(book, rates())
    waiting = asked(book, effective_from=date(2026, 2, 6), points=flat("0.03"))
    run(book, date(2026, 2, 7))
    with pytest.raises(RatesRefusedError, match="accrued to 2026-02-07"):
        asked(book, effective_from=date(2026, 2, 7))
    checker = person(book.desk[Role.RISK])
    decided = decide(waiting.pk, verdict="approved", reason=WHY, actor=checker)
    with pytest.raises(RefusedError) as refusal:
        apply_approved(decided, actor=checker)
    assert refusal.value.rule == "rates_come_before_their_day"
    assert RateVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("points", {"points": ()}),
        ("points", {"points": line(("0.5", "0.1"), ("0.5", "0.2"))}),
        ("points", {"points": line(("0", "0.1"), ("1.1", "0.2"))}),
        ("points", {"points": flat("0.0000000000001")}),
        ("tenor", {"tenor": line(("-1", "0"))}),
        ("cap", {"floor": D("0.1"), "cap": D("0.05")}),
        ("floor", {"floor": D(11)}),
        ("asset", {"asset": "SPY"}),
        ("asset", {"asset": "EUR"}),
        ("side", {"side": "both"}),
        ("utilisation_cap", {"utilisation_cap": D("1.2")}),
    ],
)
def test_rates_that_cannot_be_are_refused_with_their_field(
    book: Book, field: str, wrong: dict[str, object]
) -> None:
    with pytest.raises(RatesRefusedError) as refused:
        asked(book, **wrong)
    assert refused.value.field == field
    assert Approval.objects.count() == 0


def test_the_owner_cannot_write_rates(book: Book, owner: Connection) -> None:
    publish(book, rates())
    version = RateVersion.objects.get()
    with pytest.raises(psycopg.errors.CheckViolation, match="approval of a second person"):
        forge(owner, version)


def forge(owner: Connection, version: RateVersion) -> None:
    with owner.transaction():
        owner.execute("SELECT accounts.act('system:job:forger', NULL, 'job', '', 'forges')")
        owner.execute(
            "INSERT INTO ledger_rateversion SELECT (jsonb_populate_record(v, jsonb_build_object("
            "'id', gen_random_uuid(), 'version', 2, 'effective_from', '2027-01-01',"
            " 'xid', pg_current_xact_id()::text))).* FROM ledger_rateversion v WHERE id = %s",
            [version.pk],
        )
