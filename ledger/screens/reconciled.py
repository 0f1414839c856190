"""How the statements of a day compare with the book, bank by bank, as the rows say it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, QuerySet, Sum

from accounts.models import LegalEntity
from ledger.models import (
    AccountClass,
    Balance,
    Break,
    Holding,
    Location,
    LocationAsset,
    Posting,
    Statement,
    StatementLine,
    StatementMatch,
)

ZERO = Decimal(0)
# Why the gate rejects a statement whole, in words.
REJECTIONS = {
    "unreadable": "cannot be read",
    "wrong_account": "is of another account",
    "wrong_currency_or_date": "has another currency or day",
    "control_total": "its control totals do not hold",
    "sum": "opening + lines ≠ closing",
    "opening": "opening ≠ last closing",
}


@dataclass(frozen=True)
class BankLine:
    """One bank's statement of a day beside the book.

    Attributes:
        movements: of the book on that day, those of 0.00 included, which leave no posting.
        state: matched, unmatched, rejected or missing.
        word: the state in figures.
    """

    location: Location
    statement: Statement | None
    movements: int
    lines: int
    matched: int
    net: Decimal
    balance: Decimal
    unmatched: int

    @property
    def state(self) -> str:
        if self.statement is None:
            return "missing"
        if self.statement.rejection:
            return "rejected"
        return "unmatched" if self.unmatched else "matched"

    @property
    def word(self) -> str:
        """What the badge says; "" for the state's own word."""
        if self.state == "unmatched":
            return f"{self.unmatched:,} not closed"
        return "All matched or closed" if self.state == "matched" and self.differed else ""

    @property
    def differed(self) -> bool:
        """Whether a line or a movement had no other half when the day was compared."""
        return self.matched < max(self.lines, self.movements)

    @property
    def rejection_words(self) -> str:
        """Why the statement was rejected; "" if it was not."""
        code = "" if self.statement is None else self.statement.rejection
        return rejection_words(code) if code else ""


@dataclass(frozen=True)
class Reconciled:
    """A day's comparison of the whole legal entity.

    Attributes:
        found: breaks found that day.
        holdings, holdings_equal: balances outside banks, and how many the holders agree with.
    """

    day: date
    at: datetime | None
    banks: list[BankLine]
    found: int
    holdings: int
    holdings_equal: int


def rejection_words(code: str) -> str:
    """Why a statement was rejected, for people."""
    return REJECTIONS.get(code, code.replace("_", " "))


def newest_day(entity: LegalEntity) -> date | None:
    """The last day of which the entity has statements or holdings."""
    statements = Statement.objects.filter(location__pool__legal_entity=entity)
    holdings = Holding.objects.filter(location__pool__legal_entity=entity)
    days = [rows.aggregate(newest=Max("business_day"))["newest"] for rows in (statements, holdings)]
    return max((day for day in days if day is not None), default=None)


def reconciled(entity: LegalEntity, day: date) -> Reconciled:
    """The comparison of a day; the same number of queries for any number of banks and lines."""
    places = list(
        Location.objects.filter(pool__legal_entity=entity, kind=Location.Kind.BANK).order_by("code")
    )
    statements = {
        statement.location_id: statement
        for statement in Statement.objects.filter(
            location__in=places, business_day=day
        ).select_related("file")
    }
    moved = movements_of(places, day)
    lines = counted(StatementLine.objects.filter(statement__in=statements.values()))
    matches = StatementMatch.objects.filter(line__statement__in=statements.values())
    confirmed = counted(matches, "line__")
    breaks = list(
        Break.objects.filter(location__pool__legal_entity=entity, business_day=day).values_list(
            "location_id", "kind", "line_id", "status"
        )
    )
    differing = Counter(location for location, _, line, _ in breaks if line is not None)
    unmatched = Counter(
        location for location, _, _, status in breaks if status != Break.Status.CLOSED
    )
    balances = dict(
        Balance.objects.filter(
            account__account_class=AccountClass.CUSTODY, account__location__in=places
        )
        .values_list("account__location")
        .annotate(total=Sum("amount"))
    )
    quantities = sum(kind == Break.Kind.QUANTITY_DIFFERS for _, kind, _, _ in breaks)
    outside = LocationAsset.objects.filter(location__pool__legal_entity=entity).exclude(
        location__kind=Location.Kind.BANK
    )
    holdings = outside.count()
    return Reconciled(
        day=day,
        at=max((s.file.received_at for s in statements.values()), default=None),
        banks=[
            bank_line(
                place,
                statements.get(place.pk),
                moved=moved.get(place.pk, (0, ZERO)),
                lines=lines[place.pk],
                differing=differing[place.pk],
                confirmed=confirmed[place.pk],
                unmatched=unmatched[place.pk],
                balance=balances.get(place.pk, ZERO),
            )
            for place in places
        ],
        found=len(breaks),
        holdings=holdings,
        holdings_equal=holdings - quantities,
    )


def counted(rows: "QuerySet[Any]", prefix: str = "") -> Counter[int]:
    """How many rows per location; `prefix` leads from a row to its line."""
    counts = rows.values_list(f"{prefix}statement__location").annotate(n=Count("pk")).order_by()
    return Counter(dict(counts))


def movements_of(places: Iterable[Location], day: date) -> dict[int, tuple[int, Decimal]]:
    """How many movements the book has at each bank on a day, and their sum."""
    start = datetime.combine(day, time.min, tzinfo=UTC)
    rows = (
        Posting.objects.filter(
            account__account_class=AccountClass.CUSTODY,
            account__location__in=places,
            entry__effective_at__gte=start,
            entry__effective_at__lt=start + timedelta(days=1),
        )
        .exclude(entry__kind="opening")
        .values_list("account__location")
        .annotate(n=Count("account_seq"), net=Sum("amount"))
        .order_by()
    )
    return {place: (count, net) for place, count, net in rows}


def bank_line(
    place: Location,
    statement: Statement | None,
    *,
    moved: tuple[int, Decimal],
    lines: int,
    differing: int,
    confirmed: int,
    unmatched: int,
    balance: Decimal,
) -> BankLine:
    """One bank. A matched line without a posting confirms a movement of 0.00."""
    count, net = moved
    is_accepted = statement is not None and not statement.rejection
    matched = lines - differing if is_accepted else 0
    return BankLine(
        location=place,
        statement=statement,
        movements=count + (matched - confirmed if is_accepted else 0),
        lines=0 if statement is None else statement.lines_read,
        matched=matched,
        net=net,
        balance=balance,
        unmatched=unmatched,
    )
