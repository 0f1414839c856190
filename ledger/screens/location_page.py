"""One location: what is known of it, what it says it holds, and every movement there."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.approvals import pending_on
from accounts.columns import Column
from accounts.filters import Choice, Choices, Day, Option, Text
from accounts.listing import Listing, wants_rows
from accounts.models import OwnerClass
from accounts.roles import REQUEST, DeskRequest, may, require
from ledger.letters import letter_state
from ledger.locations import CHANGE, CLOSE, LETTER, record_of
from ledger.models import (
    AccountClass,
    Break,
    EntryKind,
    Holding,
    Location,
    Posting,
    Statement,
    StatementMatch,
)
from ledger.screens.location_then import location_then, movement_lines, standing_accounts
from ledger.screens.locations import Held, chosen_asset, desk_today, held_at
from ledger.screens.reconciled import rejection_words
from ledger.screens.times import Times, columns_at, in_two_times
from ledger.screens.visible import location_or_404, visible_entries
from ledger.times import ReadingPoint, known, postings_at

STATEMENTS_SHOWN = 10
CHANGES_SHOWN = 5

COLUMNS = (
    Column("entry", "Entry", value="entry.reference", sort=("entry__reference", "account_seq")),
    Column("effective", "Effective", value="entry.effective_at", sort=("account_seq",)),
    Column("kind", "Kind", value="entry.kind.title", sort=("entry__kind__title", "account_seq")),
    Column("reference", "Bank reference", is_shown=False),
    Column(
        "debit", "In", value=lambda posting: max(posting.amount, Decimal(0)), sort=("amount",),
        numeric=True,
    ),
    Column(
        "credit", "Out", value=lambda posting: max(-posting.amount, Decimal(0)),
        sort=("-amount",), numeric=True,
    ),
    Column("balance", "Balance after", value="balance_after", numeric=True),
    Column("confirmed", "Statement", value="confirmed_by"),
)  # fmt: skip


@require_GET
@require("read")
@in_two_times()
def location_page(request: DeskRequest, code: str, *, times: Times) -> HttpResponse:
    """One location: its facts, what it holds, its statements, and every movement of an asset."""
    location = location_or_404(request, code)
    if times.point is not None:
        return location_then(request, location, times, movements=movement_listing)
    held = held_at([location])[location.pk]
    chosen = chosen_asset(request, held)
    listing = movement_listing(request, location, chosen)
    if listing.format:
        return listing.export()
    statements = statements_of(location)
    reported_on, reported = reported_at(location, held)
    context = {
        "location": location,
        "times": times,
        "standing": standing_accounts(location, None),
        "letter": letter_state(location, today=desk_today()),
        "pending": pending_on(record_of(location), roles=request.roles),
        "changes": location.changes.order_by("-changed_on", "-pk")[:CHANGES_SHOWN],
        "acts": acts_on(request, location),
        "held": held,
        "chosen": chosen,
        "listing": listing,
        "movements": movement_lines(listing.page),
        "statements": statements,
        "reported_on": reported_on,
        "reported": reported,
        "breaks": Break.objects.unresolved().filter(location=location).count(),
    }
    template = "ledger/_movements.html" if wants_rows(request) else "ledger/location.html"
    return render(request, template, context)


def acts_on(request: DeskRequest, location: Location) -> list[tuple[str, str]]:
    """What the person may ask for here: label and the name of its page."""
    if location.closed_on is not None:
        return []
    asked = [("Change it", CHANGE, "ledger:location-change")]
    if location.pool.owner_class == OwnerClass.CLIENT:
        asked.append(("File a letter", LETTER, "ledger:letter-new"))
    asked.append(("Close it", CLOSE, "ledger:location-close"))
    entity = location.pool.legal_entity
    return [
        (label, page) for label, action, page in asked if may(request, f"{REQUEST}{action}", entity)
    ]


def movement_listing(
    request: DeskRequest, location: Location, held: Held, *, point: ReadingPoint | None = None
) -> Listing[Posting]:
    """Every posting of one asset at a location that counts at a point, the newest first."""
    confirmed = StatementMatch.objects.filter(
        account=OuterRef("account_id"), account_seq=OuterRef("account_seq")
    )
    if point is not None:
        confirmed = known(confirmed, point)
    rows: QuerySet[Any] = (
        Posting.objects.filter(
            account__account_class=AccountClass.CUSTODY,
            account__location=location,
            account__asset__code=held.asset,
        )
        .annotate(
            confirmed_by=confirmed.values("line__ordinal")[:1],
            is_readable=Exists(visible_entries(request).filter(pk=OuterRef("entry_id"))),
        )
        .select_related("entry__kind", "asset")
    )
    return Listing(
        request,
        rows if point is None else postings_at(rows, point),
        name=f"movements-{location.code.replace(':', '-')}-{held.asset}",
        columns=columns_at(COLUMNS, point),
        filters=[
            Choice("kind", "Kind", "entry__kind", kinds),
            Confirmed(),
            Day("from", "From", "entry__effective_at__date", "gte"),
            Day("to", "To", "entry__effective_at__date", "lte"),
            Text("q", "Reference", ("entry__reference", "reference")),
        ],
        default_sort="-effective",
    )


@dataclass(frozen=True)
class Confirmed:
    """Movements that a statement line confirms, or does not."""

    key: str = "confirmed"
    label: str = "Statement"
    control: str = "select"

    def options(self) -> list[Option]:
        """What the menu offers."""
        return [Option("yes", "Confirmed"), Option("no", "Not confirmed")]

    def condition(self, values: Sequence[str]) -> Q:
        """Anything but "yes" asks for the unconfirmed."""
        return Q(confirmed_by__isnull=values[-1] != "yes")

    def words(self, values: Sequence[str]) -> str:
        return "confirmed" if values[-1] == "yes" else "not confirmed"


def kinds() -> Choices:
    """Kinds of entries that can touch custody."""
    rows = EntryKind.objects.filter(legs__account_class=AccountClass.CUSTODY).distinct()
    return list(rows.order_by("title").values_list("code", "title"))


@dataclass(frozen=True)
class DayStatement:
    """A day's statement and how many breaks of that day are left."""

    statement: Statement
    found: int
    left: int

    @property
    def file_name(self) -> str:
        """The file without the folder it came in."""
        return self.statement.file.name.rpartition("/")[2]

    @property
    def state(self) -> str:
        if self.statement.rejection:
            return "rejected"
        return "unmatched" if self.left else "matched"

    @property
    def word(self) -> str:
        """What the badge says; "" for the state's own word."""
        if self.statement.rejection:
            return f"Rejected: {rejection_words(self.statement.rejection)}"
        if self.left:
            return f"{self.left:,} not closed"
        if self.statement.opening is None:
            return "Opening balance"
        return "All matched or closed" if self.found else ""


@dataclass(frozen=True)
class Reported:
    """What the place itself said of an asset on a day, and the break where the book differs."""

    asset: str
    scale: int
    quantity: Decimal | None
    found: Break | None


def reported_at(location: Location, held: Sequence[Held]) -> tuple[date | None, list[Reported]]:
    """The newest holdings of a place that sends no statements, with its day; three queries."""
    rows = Holding.objects.filter(location=location)
    day = rows.aggregate(newest=Max("business_day"))["newest"]
    if day is None:
        return None, []
    sums = rows.filter(business_day=day).values_list("asset__code").annotate(total=Sum("quantity"))
    quantities = dict(sums.order_by())
    differing = {
        found.asset.code: found
        for found in Break.objects.filter(
            location=location, business_day=day, kind=Break.Kind.QUANTITY_DIFFERS
        ).select_related("asset")
        if found.asset is not None
    }
    lines = [
        Reported(each.asset, each.scale, quantities.get(each.asset), differing.get(each.asset))
        for each in held
    ]
    return day, lines


def statements_of(location: Location) -> list[DayStatement]:
    """The newest statements with what became of each; two queries."""
    statements = list(
        Statement.objects.filter(location=location)
        .select_related("file")
        .defer("file__content")
        .order_by("-business_day")[:STATEMENTS_SHOWN]
    )
    found: dict[date, int] = defaultdict(int)
    left: dict[date, int] = defaultdict(int)
    for day, status in Break.objects.filter(
        location=location, business_day__in=[s.business_day for s in statements]
    ).values_list("business_day", "status"):
        found[day] += 1
        left[day] += status != Break.Status.CLOSED
    return [DayStatement(s, found[s.business_day], left[s.business_day]) for s in statements]
