"""What every page rests on, and what waits for a person: the strip and the rail's counts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.clock import ZONES, city, desk_zone, shown_zone
from accounts.models import Approval, LegalEntity, Role
from accounts.roles import roles_in
from accounts.seals.state import seal_state
from brokerage.models import BusinessDay
from ledger.models import Break
from margin.models import MarginCall, Mark
from margin.run_rows import day_runs

# Where a request keeps its context.
KEPT: Final = "desk_context"
# The rail says "999+" beyond this.
COUNTED_MOST: Final = 999
PRICE_TO_RELY_ON = (Mark.State.VALID, Mark.State.OVERRIDDEN, Mark.State.MARKET_CLOSED)


@dataclass(frozen=True)
class Strip:
    """What a page rests on.

    Attributes:
        stands_at: the instant deadlines are measured from: the wall clock on the desk's own day;
            on a past day its as-of, or every deadline of that day would read years over.
        seal_alarm: what is the matter with the seals, in a few words; "" where nothing is.
    """

    drawn_at: datetime
    stands_at: datetime
    sealed_to: int | None
    seal_alarm: str = ""
    day: date | None = None
    as_of: datetime | None = None
    is_closed: bool = False
    run: str = ""
    price_count: int = 0
    valid_count: int = 0


@dataclass(frozen=True)
class Waiting:
    """How much waits for a person, as the rail counts it."""

    calls: int
    breaks: int
    approvals: int
    prices: int


def strip(request: HttpRequest) -> dict[str, object]:
    """Context of every page, the same for all that is rendered for one request.

    A page whose region is rendered by itself reads it once.
    """
    kept: dict[str, object] | None = getattr(request, KEPT, None)
    if kept is None:
        kept = context_of(request)
        setattr(request, KEPT, kept)
    return kept


def context_of(request: HttpRequest) -> dict[str, object]:
    """Nothing is read until a template shows it."""
    entity = cast(LegalEntity | None, getattr(request, "legal_entity", None))
    shown = lazily(lambda: strip_of(newest_day(entity)))
    return {
        "firm": entity,
        "city": city(shown_zone().key),
        "desk_city": city(desk_zone().key),
        "zones": ZONES,
        "desk_roles": lazily(lambda: desk_roles(request, entity)),
        "strip": shown,
        "rail": lazily(lambda: waiting(request, entity, cast(Strip, shown))),
    }


def lazily(read: Callable[[], object]) -> object:
    return SimpleLazyObject(read)


def newest_day(entity: LegalEntity | None) -> BusinessDay | None:
    """The business day a page shows unless it is asked for another."""
    if entity is None:
        return None
    return BusinessDay.objects.filter(legal_entity=entity).order_by("-day").first()


def strip_of(day: BusinessDay | None) -> Strip:
    """What pages about one business day rest on."""
    now = timezone.now()
    seals = seal_state()
    sealed_to = seals.sealed_to or None
    alarm = seals.word if sealed_to else ""
    if day is None:
        return Strip(drawn_at=now, stands_at=now, sealed_to=sealed_to, seal_alarm=alarm)
    runs = day_runs().filter(business_day=day.day).order_by("-pk")
    states = list(Mark.objects.standing().filter(as_of=day.as_of).values_list("state", flat=True))
    is_past = day.day < now.astimezone(desk_zone()).date()
    return Strip(
        drawn_at=now,
        stands_at=day.as_of if is_past else now,
        sealed_to=sealed_to,
        seal_alarm=alarm,
        day=day.day,
        as_of=day.as_of,
        is_closed=day.closed_at is not None,
        run=runs.values_list("number", flat=True).first() or "",
        price_count=len(states),
        valid_count=sum(state in PRICE_TO_RELY_ON for state in states),
    )


def waiting(request: HttpRequest, entity: LegalEntity | None, strip: Strip) -> Waiting:
    """What waits at the legal entity the operator works at, with the prices of the strip."""
    if entity is None:
        return Waiting(0, 0, 0, 0)
    approvals = Approval.objects.filter(
        legal_entity=entity,
        decision="",
        expires_at__gt=timezone.now(),
        action__checker_roles__overlap=sorted(roles_in(request).at(entity.pk)),
    )
    return Waiting(
        calls=counted(MarginCall.objects.open().filter(legal_entity=entity)),
        breaks=counted(Break.objects.unresolved().filter(location__pool__legal_entity=entity)),
        approvals=approvals.exclude(maker=request.user.pk).count(),
        prices=strip.price_count - strip.valid_count,
    )


def counted(rows: "QuerySet[Any]") -> int:
    """How many rows there are, up to one more than the rail says: it costs the same for any number.

    Ten thousand calls wait no more urgently than one thousand.
    """
    return rows.order_by().values("pk")[: COUNTED_MOST + 1].count()


def desk_roles(request: HttpRequest, entity: LegalEntity | None) -> str:
    """The operator's roles in words."""
    held = roles_in(request).at(entity.pk) if entity else frozenset()
    return ", ".join(role.label for role in Role if role in held)
