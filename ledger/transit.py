"""Money on its way: how old each lot is, and which are older than the rule of the day allows."""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.approvals import Description, FieldChange, register_action, request_approval
from accounts.audit import Actor, acting
from accounts.models import Approval, LegalEntity
from ledger.models import Entry
from ledger.times import ReadingPoint, known

SET_RULE = "transit.rule"


class Lot(NamedTuple):
    """Money that left and has not arrived; what arrives is taken from the oldest lot first.

    Attributes:
        age: business days since it left, Monday to Friday.
        alarms_after: business days after which somebody is asked.
    """

    pool: str
    asset: str
    scale: int
    entry_id: int
    left_on: date
    reference: str
    sent: Decimal
    open: Decimal
    age: int
    alarms_after: int

    @property
    def is_late(self) -> bool:
        return self.age > self.alarms_after


LOTS = """
    SELECT p.code, t.code, t.scale, l.entry_id, l.left_on, l.reference, l.sent, l.open, l.age,
           l.alarms_after
    FROM ledger.transit_lots(%s, %s::pg_snapshot) l
    JOIN ledger_pool p ON p.id = l.pool_id AND p.legal_entity_id = ANY (%s)
    JOIN ledger_asset t ON t.id = l.asset_id
    ORDER BY l.left_on, l.entry_id, t.code
"""


def transit_lots(
    day: date, *, entities: Collection[int], point: ReadingPoint | None = None
) -> list[Lot]:
    """What is on its way at the end of a day, the oldest first.

    Args:
        point: at whose horizon the book and its rule are read; as known now if None.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOTS, [day, None if point is None else point.snapshot, list(entities)])
        return [Lot(*row) for row in cursor.fetchall()]


def book_day(point: ReadingPoint | None = None) -> date:
    """The day at which lots are aged: as asked for, or today, or the book's newest if later."""
    if point is not None and point.as_of is not None:
        return point.as_of
    entries = Entry.objects.all() if point is None else known(Entry.objects.all(), point)
    newest = entries.order_by("-effective_at").values_list("effective_at", flat=True).first()
    today = (point.known_at if point and point.known_at else timezone.now()).date()
    return today if newest is None else max(today, newest.date())


def late_lots(day: date, *, entities: Collection[int]) -> list[Lot]:
    """Those that somebody must ask the bank about."""
    return [lot for lot in transit_lots(day, entities=entities) if lot.is_late]


def alarm_days(legal_entity: LegalEntity, day: date, *, point: ReadingPoint | None = None) -> int:
    """After how many business days money in transit alarms, on a day; as known at a point."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ledger.transit_days(%s, %s, %s::pg_snapshot)",
            [legal_entity.pk, day, None if point is None else point.snapshot],
        )
        return int(cursor.fetchone()[0])


def business_days_between(earlier: date, later: date) -> int:
    """Mondays to Fridays after one day, up to and with another."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.business_days_between(%s, %s)", [earlier, later])
        return int(cursor.fetchone()[0])


def request_rule(
    *,
    business_days: int,
    effective_from: date,
    reason: str,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that money in transit alarm after another number of business days.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET_RULE,
            subject=f"Money in transit alarms after {business_days} business days",
            payload={"business_days": business_days, "effective_from": effective_from.isoformat()},
            reason=reason,
        )


def describe_rule(approval: Approval) -> Description:
    """The rule now and as asked for."""
    begins = date.fromisoformat(approval.payload["effective_from"])
    now = alarm_days(approval.legal_entity, begins)
    asked = approval.payload["business_days"]
    return Description(
        headline=approval.subject,
        facts=(("From", begins.isoformat()),),
        fields=(FieldChange("Business days until the alarm", str(now), str(asked)),),
    )


def set_rule(approval: Approval) -> None:
    """Set the rule as agreed; call inside an act."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.set_transit_rule(%s)", [approval.pk])


def register() -> None:
    """Say how requests about transit are shown and applied."""
    register_action(SET_RULE, describe=describe_rule, apply=set_rule)
