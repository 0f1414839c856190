"""Pools and locations: what each pool holds and owes, where it lies, who acknowledged it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import desk_zone
from accounts.listing import wants_rows
from accounts.models import OwnerClass
from accounts.roles import REQUEST, DeskRequest, may, require
from ledger.letters import LetterState, letter_states
from ledger.locations import OPEN
from ledger.models import (
    Balance,
    Break,
    Location,
    LocationAsset,
    Statement,
)
from ledger.models.pools import HELD_AT_PLACES
from ledger.screens.identity import IdentityLine, line_of
from ledger.screens.pools_then import pools_then
from ledger.screens.reconciled import rejection_words
from ledger.screens.times import Times, in_two_times
from ledger.screens.visible import (
    entity_here,
    locations_here,
    pools_here,
)
from ledger.segregation import pool_assets
from ledger.transfers import TRANSFERS, action_of


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
    letter: LetterState
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


def desk_today() -> date:
    return timezone.now().astimezone(desk_zone()).date()


@require_GET
@require("read")
@in_two_times()
def location_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Every pool with its identity, its locations, their letters and last statements."""
    if times.point is not None:
        return pools_then(request, times)
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
        "times": times,
        "pools": [
            PoolPanel(pool.code, pool.owner_class, pool.regime, lines[pool.code], places[pool.pk])
            for pool in pools
        ],
        "can_transfer": may_transfer(request),
        "can_open": may(request, f"{REQUEST}{OPEN}", entity),
    }
    template = "ledger/_pools.html" if wants_rows(request) else "ledger/locations.html"
    return render(request, template, context)


def may_transfer(request: DeskRequest) -> bool:
    """Whether the person may ask for a transfer between pools."""
    act = f"approval.request:{action_of(next(iter(TRANSFERS)))}"
    return may(request, act, entity_here(request))


def places_of(locations: "QuerySet[Location]") -> list[Place]:
    """Locations with what they hold, their letter and their last statement; eight queries."""
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
    letters = letter_states(found, today=desk_today())
    return [
        Place(
            location=location,
            held=held[location.pk],
            letter=letters[location.pk],
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
            account__account_class__in=HELD_AT_PLACES, account__location__in=list(locations)
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


def chosen_asset(request: DeskRequest, held: Sequence[Held]) -> Held:
    """The asset the address names, else the one with the greatest balance."""
    asked = request.GET.get("asset", "")
    named = [each for each in held if each.asset == asked]
    if named:
        return named[0]
    nothing = Held("", 0, Decimal(0))
    return max(held, key=lambda each: (each.amount.copy_abs(), each.asset), default=nothing)
