"""Pools and locations: what each pool holds and owes, where it lies, who acknowledged it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import desk_zone
from accounts.columns import Column
from accounts.filters import Choice, Choices, Day, Option, Text
from accounts.listing import Listing, wants_rows
from accounts.models import OwnerClass
from accounts.roles import DeskRequest, may, require
from ledger.models import (
    AccountClass,
    Balance,
    Break,
    EntryKind,
    Location,
    LocationAsset,
    Posting,
    Statement,
    StatementMatch,
)
from ledger.screens.identity import IdentityLine, line_of
from ledger.screens.reconciled import rejection_words
from ledger.screens.visible import (
    entity_here,
    location_or_404,
    locations_here,
    pools_here,
    visible_entries,
)
from ledger.segregation import pool_assets
from ledger.transfers import TRANSFERS, action_of

# A letter is looked at again so long before it expires.
LETTER_WARNS_FOR = timedelta(days=30)
# What the first reading of the reference data writes where there is no letter's own reference.
DECLARED = "reference.yaml"
STATEMENTS_SHOWN = 10


@dataclass(frozen=True)
class Letter:
    """How the acknowledgement of a location stands.

    Attributes:
        tone: ok, watch, liq; "" where none is needed.
        word: the verdict in words.
    """

    tone: str
    word: str

    @property
    def icon(self) -> str:
        return {"ok": "check", "watch": "clock", "liq": "x"}.get(self.tone, "minus")


@dataclass(frozen=True)
class Held:
    """One asset at a location."""

    asset: str
    scale: int
    amount: Decimal


@dataclass(frozen=True)
class Place:
    """A location as its line shows it."""

    location: Location
    held: list[Held]
    letter: Letter
    statement: Statement | None
    breaks: int

    @property
    def state(self) -> str:
        """How its last statement compared; "" for a place that sends none."""
        if self.statement is not None and self.statement.rejection:
            return "rejected"
        if self.breaks:
            return "unmatched"
        if self.statement is None and self.location.kind == Location.Kind.BANK:
            return "missing"
        return "matched"

    @property
    def word(self) -> str:
        """What the badge says; "" for the state's own word."""
        if self.state == "unmatched":
            return f"{self.breaks:,} not closed"
        if self.statement is not None and self.statement.rejection:
            return f"Rejected: {rejection_words(self.statement.rejection)}"
        return "Agrees" if self.statement is None and self.state == "matched" else ""


@dataclass(frozen=True)
class PoolPanel:
    """One pool with its identity and its places."""

    code: str
    owner_class: str
    regime: str
    lines: list[IdentityLine]
    places: list[Place]

    @property
    def verdict(self) -> str:
        """The worst verdict of its assets; an empty fund is said beside its line."""
        verdicts = {line.verdict for line in self.lines}
        return next((v for v in ("differs", "shortfall") if v in verdicts), "held")


def letter_of(location: Location, *, owner_class: str, today: date) -> Letter:
    """Whether whoever holds client assets has acknowledged whose they are."""
    if owner_class != OwnerClass.CLIENT:
        return Letter("", "not needed")
    if not location.letter_reference:
        return Letter("liq", "missing")
    expires = location.letter_expires_on
    if expires is not None and expires < today:
        return Letter("liq", f"expired {(today - expires).days:,} d ago")
    if expires is not None and expires <= today + LETTER_WARNS_FOR:
        return Letter("watch", f"expires in {(expires - today).days:,} d")
    if DECLARED in location.letter_reference:
        return Letter("watch", "declared, letter not on file")
    if location.letter_signed_on is None:
        return Letter("watch", "no date of signature")
    return Letter("ok", "acknowledged")


def desk_today() -> date:
    return timezone.now().astimezone(desk_zone()).date()


@require_GET
@require("read")
def location_list(request: DeskRequest) -> HttpResponse:
    """Every pool with its identity, its locations, their letters and last statements."""
    entity = entity_here(request)
    lines: dict[str, list[IdentityLine]] = defaultdict(list)
    for row in pool_assets(kinds=("money", "security", "derivative"), entities=[entity.pk]):
        lines[row.pool].append(line_of(row))
    places: dict[int, list[Place]] = defaultdict(list)
    for place in places_of(locations_here(request)):
        places[place.location.pool_id].append(place)
    order = list(OwnerClass)
    pools = sorted(
        pools_here(request), key=lambda pool: (order.index(OwnerClass(pool.owner_class)), pool.code)
    )
    context = {
        "pools": [
            PoolPanel(pool.code, pool.owner_class, pool.regime, lines[pool.code], places[pool.pk])
            for pool in pools
        ],
        "can_transfer": may_transfer(request),
    }
    template = "ledger/_pools.html" if wants_rows(request) else "ledger/locations.html"
    return render(request, template, context)


def may_transfer(request: DeskRequest) -> bool:
    """Whether the person may ask for a transfer between pools."""
    act = f"approval.request:{action_of(next(iter(TRANSFERS)))}"
    return may(request, act, entity_here(request))


def places_of(locations: "QuerySet[Location]") -> list[Place]:
    """Locations with what they hold, their letter and their last statement; five queries."""
    found = list(locations.select_related("pool", "individual_client").order_by("code"))
    held = held_at(found)
    newest = {
        statement.location_id: statement
        for statement in Statement.objects.filter(location__in=found)
        .order_by("location_id", "-business_day")
        .distinct("location_id")
    }
    breaks: dict[int, int] = defaultdict(int)
    for location_id in (
        Break.objects.unresolved().filter(location__in=found).values_list("location_id", flat=True)
    ):
        breaks[location_id] += 1
    today = desk_today()
    return [
        Place(
            location=location,
            held=held[location.pk],
            letter=letter_of(location, owner_class=location.pool.owner_class, today=today),
            statement=newest.get(location.pk),
            breaks=breaks[location.pk],
        )
        for location in found
    ]


def held_at(locations: Iterable[Location]) -> dict[int, list[Held]]:
    """What the book says each location holds, assets it carries without holding any included."""
    amounts = {
        (location, asset): amount
        for location, asset, amount in Balance.objects.filter(
            account__account_class=AccountClass.CUSTODY, account__location__in=list(locations)
        )
        .values_list("account__location_id", "account__asset_id")
        .annotate(total=Sum("amount"))
        .values_list("account__location_id", "account__asset_id", "total")
    }
    held: dict[int, list[Held]] = defaultdict(list)
    for location, asset, code, scale in (
        LocationAsset.objects.filter(location__in=list(locations))
        .order_by("asset__code")
        .values_list("location_id", "asset_id", "asset__code", "asset__scale")
    ):
        held[location].append(Held(code, scale, amounts.get((location, asset), Decimal(0))))
    return held


# ---------------------------------------------------------------- one location

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
def location_page(request: DeskRequest, code: str) -> HttpResponse:
    """One location: its facts, what it holds, its statements, and every movement of an asset."""
    location = location_or_404(request, code)
    held = held_at([location])[location.pk]
    chosen = chosen_asset(request, held)
    listing = movement_listing(request, location, chosen)
    if listing.format:
        return listing.export()
    statements = statements_of(location)
    context = {
        "location": location,
        "letter": letter_of(location, owner_class=location.pool.owner_class, today=desk_today()),
        "held": held,
        "chosen": chosen,
        "listing": listing,
        "movements": [movement(posting) for posting in listing.page],
        "statements": statements,
        "breaks": Break.objects.unresolved().filter(location=location).count(),
    }
    template = "ledger/_movements.html" if wants_rows(request) else "ledger/location.html"
    return render(request, template, context)


def chosen_asset(request: DeskRequest, held: Sequence[Held]) -> Held:
    """The asset the address names, else the one with the greatest balance."""
    asked = request.GET.get("asset", "")
    named = [each for each in held if each.asset == asked]
    if named:
        return named[0]
    nothing = Held("", 0, Decimal(0))
    return max(held, key=lambda each: (each.amount.copy_abs(), each.asset), default=nothing)


@dataclass(frozen=True)
class MovementLine:
    """A posting as a row shows it: what came in or what went out, both without a sign."""

    posting: Any
    came_in: Decimal | None
    went_out: Decimal | None


def movement(posting: Any) -> MovementLine:  # noqa: ANN401 - annotated row
    amount: Decimal = posting.amount
    return MovementLine(
        posting,
        came_in=amount if amount > 0 else None,
        went_out=amount.copy_abs() if amount < 0 else None,
    )


def movement_listing(request: DeskRequest, location: Location, held: Held) -> Listing[Posting]:
    """Every posting of one asset at a location, the newest first."""
    confirmed = StatementMatch.objects.filter(
        account=OuterRef("account_id"), account_seq=OuterRef("account_seq")
    )
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
        rows,
        name=f"movements-{location.code.replace(':', '-')}-{held.asset}",
        columns=COLUMNS,
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
