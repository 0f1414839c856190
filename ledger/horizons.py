"""Committed horizons: what was known at a time, stored so that it can be read again.

A clock does not say which transactions had committed; a snapshot does. `known_at T` means the
newest stored horizon at or before T.
"""

from datetime import datetime

from django.db import connection

from accounts.audit import Actor, acting
from accounts.models import Act
from ledger.models import Horizon

HORIZON_KEEPER = Actor.job("horizon")
STORES_A_HORIZON = "committed horizon: "

# Whether anything but the storing of a horizon was committed since it was taken. Whatever changes
# business data has a header.
NOTHING_SINCE = """
    SELECT NOT EXISTS (
        SELECT FROM accounts_act a
        WHERE a.xid >= pg_snapshot_xmin(h.snapshot) AND a.xid <> h.xid
          AND NOT pg_visible_in_snapshot(a.xid, h.snapshot))
    FROM ledger_horizon h WHERE h.id = %s
"""


def store_horizon(purpose: str, *, actor: Actor = HORIZON_KEEPER) -> Horizon:
    """Store which transactions have committed now; scheduled at least once a minute.

    Args:
        purpose: why it is stored: `minute`, or what will be read at it.
    """
    with acting(actor, reason=f"{STORES_A_HORIZON}{purpose}"):
        return take_horizon(purpose)


def take_horizon(purpose: str) -> Horizon:
    """Store the horizon inside an act that has begun; it does not know of that act."""
    horizon = Horizon(purpose=purpose)
    horizon.save(force_insert=True)
    horizon.refresh_from_db()
    return horizon


def current_horizon(purpose: str) -> Horizon:
    """A stored horizon that knows all that is known now: the newest one, or else a new one."""
    newest = Horizon.objects.order_by("-taken_at", "-id").first()
    if newest is not None and Act.objects.filter(
        xid=newest.xid, reason__startswith=STORES_A_HORIZON
    ):
        with connection.cursor() as cursor:
            cursor.execute(NOTHING_SINCE, [newest.pk])
            (is_current,) = cursor.fetchone()
        if is_current:
            return newest
    return store_horizon(purpose)


def newest_horizon(at: datetime) -> Horizon | None:
    """What was known at a time: the newest horizon taken then or before; None before the first."""
    return Horizon.objects.filter(taken_at__lte=at).order_by("-taken_at", "-id").first()
