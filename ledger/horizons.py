"""Committed horizons: what was known at a time, stored so that it can be read again.

A clock does not say which transactions had committed; a snapshot does. `known_at T` means the
newest stored horizon at or before T.
"""

from datetime import datetime

from accounts.audit import Actor, acting
from ledger.models import Horizon

HORIZON_KEEPER = Actor.job("horizon")


def store_horizon(purpose: str) -> Horizon:
    """Store which transactions have committed now; scheduled at least once a minute.

    Args:
        purpose: why it is stored: `minute`, or what will be read at it.
    """
    with acting(HORIZON_KEEPER, reason=f"committed horizon: {purpose}"):
        return take_horizon(purpose)


def take_horizon(purpose: str) -> Horizon:
    """Store the horizon inside an act that has begun, such as a margin run's."""
    horizon = Horizon(purpose=purpose)
    horizon.save(force_insert=True)
    horizon.refresh_from_db()
    return horizon


def newest_horizon(at: datetime) -> Horizon | None:
    """What was known at a time: the newest horizon taken then or before; None before the first."""
    return Horizon.objects.filter(taken_at__lte=at).order_by("-taken_at", "-id").first()
