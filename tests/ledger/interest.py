"""Interest in tests: publishing rates, accruing days, and the closed form worked out apart."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

from django.db import connection

from accounts.approvals import apply_approved, decide
from accounts.audit import Actor
from accounts.models import Role
from ledger.accrual import Accrued, accrue
from ledger.models import Accrual, Entry, Posting
from ledger.rates import Point, Rates, request_rates
from tests.accounts.people import person
from tests.ledger.book import Book

JOB = Actor.job("interest")
WHY = "Agreed by treasury on Monday"
ONE_DAY = timedelta(days=1)


def line(*pairs: tuple[str, str]) -> tuple[Point, ...]:
    """Points of a curve."""
    return tuple(Point(Decimal(x), Decimal(y)) for x, y in pairs)


def flat(rate: str) -> tuple[Point, ...]:
    """A curve of one rate."""
    return line(("0", rate))


def publish(book: Book, rates: Rates) -> None:
    """Have treasury ask for rates and risk agree."""
    asked = request_rates(
        rates,
        legal_entity=book.desk.entity,
        reason=WHY,
        actor=person(book.desk[Role.TREASURY]),
    )
    checker = person(book.desk[Role.RISK])
    apply_approved(decide(asked, verdict="approved", reason=WHY, actor=checker), actor=checker)


def run(book: Book, on: date) -> Accrued:
    """Accrue up to a day."""
    return accrue(book.desk.entity, on=on, actor=JOB)


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=UTC)


def interest_on(book: Book, name: str) -> Decimal:
    """What entries of interest moved on an account: positive is a debit."""
    rows = Posting.objects.filter(
        account_id=book[name], entry__kind__in=["borrow_interest", "credit_interest"]
    )
    return sum(rows.values_list("amount", flat=True), Decimal(0))


def cumulative(book: Book, name: str) -> Fraction:
    """What has accrued on an account, exact."""
    newest = Accrual.objects.filter(account_id=book[name]).order_by("-run_id").first()
    return Fraction(0) if newest is None else Fraction(newest.cumulative) / 1_603_080


def year_length(day: date) -> int:
    return (date(day.year + 1, 1, 1) - date(day.year, 1, 1)).days


def rounded(exact: Fraction, scale: int) -> Decimal:
    """To the nearest unit, ties to even."""
    return Decimal(round(exact * 10**scale)).scaleb(-scale)


def entries_of_interest() -> int:
    return Entry.objects.filter(kind__in=["borrow_interest", "credit_interest"]).count()


def half_even_of_database(value: Fraction, scale: int) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger.signed_ratio(%s, %s, %s)", [value.numerator, value.denominator, scale]
        )
        return Decimal(cursor.fetchone()[0])
