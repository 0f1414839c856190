"""Scopes that may only close: what adds risk is refused, what takes risk away passes.

Under house rules a trade takes risk away where the position is smaller after it and on the same
side, or none; under a portfolio model where initial margin is not higher after it, which the caller
asks of the model. A trade that a venue's file reports has happened: it is booked, and somebody gets
it as a task.
"""

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from accounts.models import Bucket, Scope
from margin.engine.exact import ZERO
from margin.models import LevelEvent, Task
from margin.worklist import RISK, Needed, open_tasks

RULE: Final = "scope_may_only_close"
DUE_FOR: Final = timedelta(hours=1)


class Booked(NamedTuple):
    """A trade of a file that adds to a position of a scope that may only close."""

    trade_id: str
    bucket_id: int
    instrument: str


def reduces(before: Decimal, after: Decimal) -> bool:
    """Whether a position is smaller afterwards, and not turned round."""
    return abs(after) < abs(before) and before * after >= ZERO


def buckets_that_may_only_close(among: Collection[int] | None = None) -> frozenset[int]:
    """Buckets whose scope fell below its close-only level and was not restored since.

    Args:
        among: ids of buckets that are asked about; all where None.
    """
    events = LevelEvent.objects.filter(level=LevelEvent.Level.CLOSE_ONLY)
    if among is not None:
        events = events.filter(scope__bucket__in=among)
    newest = events.order_by("scope_id", "-pk").distinct("scope_id")
    fallen = LevelEvent.objects.filter(pk__in=newest.values("pk"), way=LevelEvent.Way.DROPPED)
    found = fallen.values_list("scope__bucket", flat=True)
    return frozenset(pk for pk in found if pk is not None)


def ask_about(trades: Iterable[Booked], *, business_day: date, at: datetime) -> int:
    """Open a task for each trade of a file that added risk to a scope that may only close; inside
    an act.
    """
    booked = list(trades)
    buckets = Bucket.objects.select_related("account").in_bulk([each.bucket_id for each in booked])
    scopes = {scope.bucket_id: scope for scope in Scope.objects.filter(bucket__in=buckets)}
    return open_tasks(
        [
            Needed(
                kind=Task.Kind.CALL,
                key=f"call:{each.trade_id[:80].replace(':', '-')}:traded-while-close-only",
                subject=f"{buckets[each.bucket_id].account.code} traded while close-only"[:200],
                detail=f"Trade {each.trade_id} in {each.instrument} added to the position of"
                f" {buckets[each.bucket_id].account.code} {buckets[each.bucket_id].code}, which may"
                " only close. The venue reports it, so it is booked.",
                due_at=at + DUE_FOR,
                owner_role=RISK,
                scope=scopes.get(each.bucket_id),
            )
            for each in booked
        ],
        business_day=business_day,
        at=at,
    )
