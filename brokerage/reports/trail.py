"""The audit trail of a day: every act from its opening to the opening of the next."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Min, TextField
from django.db.models.functions import Cast

from accounts.models import Act, AuditRow
from accounts.trail import exact
from brokerage.models import BusinessDay
from brokerage.reports.report import DayReading, Report, Row
from ledger.horizons import STORES_A_HORIZON
from ledger.times import as_known, known

COLUMNS = (
    "recorded_at",
    "transaction",
    "actor",
    "channel",
    "request",
    "reason",
    "table",
    "operation",
    "row",
    "before",
    "after",
)


def audit_trail(reading: DayReading) -> Iterator[Row]:
    """Acts in order, each followed by the editable rows it changed, before and after.

    An act that only stores a horizon changes no business data and is not listed: writing a report
    does not change what the next one says.
    """
    business_day = reading.business_day
    acts = known(Act.objects.exclude(reason__startswith=STORES_A_HORIZON), reading.point)
    acts = acts.filter(recorded_at__gte=opening_of(business_day))
    next_day = BusinessDay.objects.filter(day__gt=business_day.day).order_by("day")[:1]
    for following in as_known(next_day, reading.point):
        acts = acts.filter(recorded_at__lt=opening_of(following))
    listed = list(acts.order_by("recorded_at", "xid"))
    changes: dict[int, list[Row]] = {act.xid: [] for act in listed}
    # As text: a number of the record keeps the digits it was written with.
    found = AuditRow.objects.annotate(
        was=Cast("before", TextField()), now=Cast("after", TextField())
    ).filter(xid__in=list(changes))
    for xid, table, operation, key, was, now in found.order_by("pk").values_list(
        "xid", "table_name", "operation", "row_key", "was", "now"
    ):
        before, after = (None if text is None else exact(text) for text in (was, now))
        changes[xid].append((table, operation, key, before, after))
    for act in listed:
        head = (act.recorded_at, act.xid, act.actor, act.channel, act.request_id, act.reason)
        rows = changes[act.xid]
        if not rows:
            yield (*head, "", "", "", None, None)
        for row in rows:
            yield (*head, *row)


def opening_of(business_day: BusinessDay) -> datetime:
    """When the act began that opened the day; the day's own row was written a moment later."""
    opened = AuditRow.objects.filter(
        table_name="brokerage_businessday", operation="insert", row_key=str(business_day.pk)
    ).values("xid")
    begun = Act.objects.filter(pk__in=opened).aggregate(at=Min("recorded_at"))["at"]
    return business_day.opened_at if begun is None else begun


AUDIT_TRAIL = Report(
    name="audit-trail",
    title="Audit trail",
    purpose="Who changed what, when and why, from the opening of the day to that of the next.",
    columns=COLUMNS,
    key=("transaction", "table", "operation", "row"),
    is_trail=True,
    rows=audit_trail,
)
