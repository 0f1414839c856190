"""How the queue of jobs stands: what waits, since when, and how old the oldest is."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

STANDS = """
    SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'running'),
           min(greatest(created_at, lease_until))
               FILTER (WHERE state = 'waiting' AND coalesce(lease_until <= %(now)s, true)),
           min(created_at)
    FROM brokerage_job WHERE state IN ('waiting', 'running')
"""


@dataclass(frozen=True, slots=True)
class QueueState:
    """Jobs that have not ended.

    Attributes:
        lag_seconds: how long one that could start has waited at most; one that pauses after an
            attempt that failed cannot start yet.
        oldest_seconds: since the oldest was asked for.
    """

    waiting: int
    running: int
    lag_seconds: float
    oldest_seconds: float


def queue_state(now: datetime) -> QueueState:
    """The queue as it stands; one query over what has not ended."""
    with connection.cursor() as cursor:
        cursor.execute(STANDS, {"now": now})
        waiting, running, since, oldest = cursor.fetchone()
    return QueueState(waiting, running, _age(since, now), _age(oldest, now))


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
