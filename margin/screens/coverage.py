"""Coverage: when every scope was last looked at, what was promised, and where nobody looked."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.approvals import pending_on
from accounts.clock import desk_zone, span
from accounts.roles import REQUEST, DeskRequest, may, require
from margin.coverage import Check, Coverage, Hole, checks_between, coverage, holes, unchecked_scopes
from margin.market.rules import CHECKS_NAME, RULE
from margin.screens.visible import entity_here, scopes_here

LOOKED_BACK = timedelta(hours=24)
SHOWN_MAX = 50


@dataclass(frozen=True)
class Hour:
    """The checks of one hour.

    Attributes:
        share: of the hour that had most.
    """

    begins: datetime
    count: int
    share: Decimal


@dataclass(frozen=True)
class HoleRow:
    """A hole, and how long it lasted in words."""

    hole: Hole
    words: str


@require_GET
@require("read")
def coverage_page(request: DeskRequest) -> HttpResponse:
    """The last day of checks; nothing is looked at again for it."""
    found = coverage()
    since = found.at - LOOKED_BACK
    checks = checks_between(since, found.at)
    missing = scopes_here(request, unchecked_scopes()).select_related("bucket__account")
    context = {
        "coverage": found,
        "waited": None if found.waited is None else span(found.waited.total_seconds()),
        "promised": found.promise and span(found.promise.rules.seconds_most),
        "checks": checks[: -SHOWN_MAX - 1 : -1],
        "count": len(checks),
        "hours": hours_of(checks),
        "holes": hole_rows(checks, found),
        "missing": missing.order_by("bucket__account__code", "bucket__code")[:SHOWN_MAX],
        "rule_name": CHECKS_NAME,
        "pending": pending_on(f"margin_marketrule:check/{CHECKS_NAME}", roles=request.roles),
        "can_set": may(request, f"{REQUEST}{RULE}", entity_here(request)),
    }
    return render(request, "margin/coverage.html", context)


def hole_rows(checks: list[Check], found: Coverage) -> list[HoleRow]:
    """Where checks of the last day were too far apart, in words."""
    if found.promise is None:
        return []
    since = found.at - LOOKED_BACK
    instants = [each.at for each in checks]
    rows = holes(instants, since=since, until=found.at, promise=found.promise)
    return [HoleRow(each, span(each.lasted.total_seconds())) for each in rows]


def hours_of(checks: list[Check]) -> list[Hour]:
    """Checks by hour of the desk's clock, the newest hour first; hours without one are left out."""
    zone = desk_zone()
    counts = Counter(
        each.at.astimezone(zone).replace(minute=0, second=0, microsecond=0) for each in checks
    )
    most = max(counts.values(), default=1)
    return [
        Hour(hour, count, Decimal(count) / most) for hour, count in sorted(counts.items())[::-1]
    ]
