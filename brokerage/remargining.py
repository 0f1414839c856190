"""The job that margins again what the newest prices touch.

Its worker keeps the book between jobs, one in each process.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from accounts.audit import Actor
from accounts.news import announce
from brokerage.models import BusinessDay
from margin.day_runs import Memory, Remargined, remargin
from margin.models import PriceFile
from margin.notices.outbox import deliver_notices

REMARGIN: Final = "margin.remargin"
# One book in each worker process.
MEMORY: Final = Memory()


class Progress(Protocol):
    """Where a long step says how far it is."""

    def report(self, done: int, total: int, step: str) -> None:
        """`done` of `total` parts of `step` are finished."""


class DayIsSettlingError(Exception):
    """A day's run is kept and its calls are not settled yet; prices are run after it."""


def run_remargin(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Run what the newest prices touch and settle it; what was done before is found done.

    Pages hear of it as soon as it is committed; notices go out afterwards.

    Raises:
        DayIsSettlingError: a day is between its run and its calls.
    """
    progress.report(0, 2, "Run what the prices touch")
    _require_settled_days()
    done = remargin(MEMORY, actor=Actor.job(REMARGIN))
    announce("day", "margin", "prices")
    progress.report(1, 2, "Deliver notices")
    if done.file is not None:
        deliver_notices(business_day=done.file.business_day, actor=Actor.job(REMARGIN))
    progress.report(2, 2, "Done")
    return outcome_of(done)


def run_after_day(progress: Progress) -> None:
    """Prices of an instant behind the newest day are run on what that day left."""
    day = BusinessDay.objects.order_by("-day").first()
    if day is not None and PriceFile.objects.filter(as_of__gt=day.as_of).exists():
        run_remargin({}, progress)


def outcome_of(done: Remargined) -> dict[str, Any]:
    """What the job says of itself."""
    settled = done.settled
    return {
        "as_of": None if done.file is None else done.file.as_of.isoformat(),
        "run": None if done.run is None else done.run.number,
        "purpose": None if done.run is None else done.run.purpose,
        "scopes": 0 if done.run is None else done.run.scope_count,
        "new": done.is_new,
        "issued": 0 if settled is None else settled.issued,
        "changed": 0 if settled is None else settled.changed,
        "ended": 0 if settled is None else settled.ended,
    }


def _require_settled_days() -> None:
    half = BusinessDay.objects.filter(closed_at__isnull=True, steps__step="margin")
    if half.exclude(steps__step="calls").exists():
        raise DayIsSettlingError("A day's calls are being settled; prices are run after that.")
