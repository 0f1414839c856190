"""When every scope was last looked at, and where nobody looked: checks, holes, and who is missing.

A check is a run of everything, or one of what the newest prices touch: the latter looks at every
scope too, since those it leaves alone hold nothing whose mark has moved. What was promised is a
rule that two people set; a check that did not come in time opens a task, the next one closes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.groups import pooled_buckets
from accounts.models import Role, Scope
from margin.engine.check_rules import CheckRules
from margin.engine.trading_calendar import TradingCalendar
from margin.market.rules import CHECKS_NAME, InForce, calendars_in_force, rules_in_force
from margin.models import MarginRun, MarketRule, RunException, Task
from margin.standing_results import standing_results, standing_runs
from margin.worklist import Needed, close_tasks, open_tasks

WATCH: Final = Actor.job("check-coverage")
KEY: Final = "coverage"
CHECKED: Final = "Every scope was checked again"
DUE_FOR: Final = timedelta(minutes=15)

# Runs that say how scopes stand, and prices of which nothing was touched, by when they were kept.
CHECKS: Final = """
    SELECT r.finished_at, r.number, r.purpose, r.as_of, r.scope_count
    FROM margin_marginrun r
    WHERE r.restates_id IS NULL AND r.purpose IN ('end-of-day', 'intraday', 'incremental')
      AND r.finished_at > %(since)s AND r.finished_at <= %(until)s
    UNION ALL
    SELECT t.recorded_at, '', 'incremental', f.as_of, 0
    FROM margin_remargin m
    JOIN margin_pricefile f ON f.id = m.price_file_id
    JOIN accounts_act t ON t.xid = m.xid
    WHERE m.run_id IS NULL AND t.recorded_at > %(since)s AND t.recorded_at <= %(until)s
    ORDER BY 1
"""
LAST: Final = """
    SELECT max(at) FROM (
        SELECT max(r.finished_at) AS at FROM margin_marginrun r
        WHERE r.restates_id IS NULL AND r.purpose IN ('end-of-day', 'intraday', 'incremental')
          AND r.finished_at <= %(until)s
        UNION ALL
        SELECT t.recorded_at FROM margin_remargin m JOIN accounts_act t ON t.xid = m.xid
        WHERE m.id = (SELECT max(x.id) FROM margin_remargin x) AND t.recorded_at <= %(until)s) c
"""


class Check(NamedTuple):
    """One look at every scope.

    Attributes:
        at: when it was kept.
        number: of its run; "" where nothing had to be computed.
        as_of: the instant of its prices.
        scopes: how many were computed.
    """

    at: datetime
    number: str
    purpose: str
    as_of: datetime
    scopes: int


class Hole(NamedTuple):
    """A stretch without a check that is longer than was promised.

    Attributes:
        begins: the check before it, or the start of what is looked at.
        ends: the check after it; None where it goes on.
        lasted: of it, while the calendar was open.
    """

    begins: datetime
    ends: datetime | None
    lasted: timedelta


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised of checks."""

    rule: MarketRule
    rules: CheckRules
    calendar: TradingCalendar

    @property
    def longest(self) -> timedelta:
        return timedelta(seconds=self.rules.seconds_most)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How well the book is watched at an instant.

    Attributes:
        promise: None where nothing was promised.
        last: when every scope was last looked at; None before the first check.
        waited: since then, while the calendar was open; without a promise by the clock.
        unchecked: scopes that no standing run speaks of, neither as a result nor as an exception.
    """

    at: datetime
    promise: Promise | None
    last: datetime | None
    waited: timedelta | None
    unchecked: int

    @property
    def is_missed(self) -> bool:
        """A check is overdue."""
        if self.promise is None:
            return False
        return self.waited is None or self.waited > self.promise.longest


def coverage(at: datetime | None = None) -> Coverage:
    """How well the book is watched now, or was at an instant."""
    now = at or timezone.now()
    promise, last = promised(now), last_check(now)
    waited = None if last is None else _open_time(promise, last, now)
    return Coverage(now, promise, last, waited, unchecked_scopes().count())


def promised(at: datetime) -> Promise | None:
    """What is promised of checks on the day of an instant."""
    day = at.astimezone(UTC).date()
    found: InForce | None = rules_in_force(day, MarketRule.Kind.CHECK).get(CHECKS_NAME)
    if found is None:
        return None
    return Promise(found.row, found.rules, calendars_in_force(day)[found.rules.calendar])


def last_check(until: datetime) -> datetime | None:
    """When every scope was last looked at; two look-ups, however many runs there are."""
    with connection.cursor() as cursor:
        cursor.execute(LAST, {"until": until})
        (found,) = cursor.fetchone()
    last: datetime | None = found
    return last


def checks_between(since: datetime, until: datetime) -> list[Check]:
    """Checks kept after one instant and up to another, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(CHECKS, {"since": since, "until": until})
        return [Check(*row) for row in cursor.fetchall()]


def holes(
    checks: Sequence[datetime], *, since: datetime, until: datetime, promise: Promise
) -> list[Hole]:
    """Where checks of a stretch of time were further apart than was promised.

    Args:
        checks: instants after `since` and up to `until`, ascending.
        since, until: the stretch; the last hole has no end where no check came after it.
    """
    ends = [*checks, until]
    found = []
    for place, (begin, end) in enumerate(pairwise([since, *ends])):
        lasted = promise.calendar.open_time(begin, end=end)
        if lasted > promise.longest:
            found.append(Hole(begin, end if place < len(checks) else None, lasted))
    return found


def unchecked_scopes() -> "QuerySet[Scope]":
    """Scopes of which no standing run says anything: opened since, or forgotten.

    What a member of a group holds is in its group's.
    """
    whole = standing_runs().whole
    pooled = [] if whole is None else list(pooled_buckets(whole.business_day))
    exceptions = RunException.objects.filter(
        run=whole, account=OuterRef("bucket__account"), bucket_code=OuterRef("bucket__code")
    )
    said = standing_results().filter(scope=OuterRef("pk"))
    return Scope.objects.filter(
        ~Exists(said), ~Exists(exceptions), ~Q(bucket__in=pooled), bucket__isnull=False
    )


def _open_time(promise: Promise | None, begin: datetime, end: datetime) -> timedelta:
    if promise is None:
        return end - begin
    return promise.calendar.open_time(begin, end=end)


# ---------------------------------------------------------------- nobody is forgotten


def watch_coverage(now: datetime | None = None) -> bool:
    """Open a task where a check is overdue, and close it once one came; whether one is overdue.

    Writes nothing where nothing has changed.
    """
    found = coverage(now)
    is_asked = Task.objects.filter(kind=Task.Kind.CHECK, key=KEY, closed_at=None).exists()
    if found.is_missed == is_asked:
        return found.is_missed
    with acting(WATCH, reason="Margin is not checked in time" if found.is_missed else CHECKED):
        if found.is_missed:
            open_tasks([_needed(found)], business_day=_day_of(found.at), at=found.at)
        else:
            close_tasks(Task.Kind.CHECK, still_needed=set(), at=found.at, reason=CHECKED)
    return found.is_missed


def _needed(found: Coverage) -> Needed:
    assert found.promise is not None, "what is missed was promised"
    words = f"At least every {found.promise.rules.seconds_most:g} seconds was promised."
    since = "No scope was ever checked." if found.last is None else (
        f"The last check was at {found.last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    )  # fmt: skip
    return Needed(
        kind=Task.Kind.CHECK,
        key=KEY,
        subject="Margin is not checked in time",
        detail=f"{since} {words}",
        due_at=found.at + DUE_FOR,
        owner_role=Role.RISK.value,
    )


def _day_of(at: datetime) -> date:
    newest = MarginRun.objects.order_by("-business_day").values_list("business_day", flat=True)
    return newest.first() or at.astimezone(UTC).date()
