"""The audit trail of a day: every act from its opening to the opening of the next."""

from collections.abc import Iterator

from accounts.models import Act, AuditRow
from brokerage.models import BusinessDay
from brokerage.reports.report import Report, Row

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


def audit_trail(business_day: BusinessDay) -> Iterator[Row]:
    """Acts in order, each followed by the editable rows it changed, before and after."""
    acts = Act.objects.filter(recorded_at__gte=business_day.opened_at)
    following = BusinessDay.objects.filter(day__gt=business_day.day).order_by("day").first()
    if following is not None:
        acts = acts.filter(recorded_at__lt=following.opened_at)
    listed = list(acts.order_by("recorded_at", "xid"))
    changes: dict[int, list[AuditRow]] = {act.xid: [] for act in listed}
    for row in AuditRow.objects.filter(xid__in=list(changes)).order_by("pk"):
        changes[row.xid].append(row)
    for act in listed:
        head = (act.recorded_at, act.xid, act.actor, act.channel, act.request_id, act.reason)
        rows = changes[act.xid]
        if not rows:
            yield (*head, "", "", "", None, None)
        for row in rows:
            yield (*head, row.table_name, row.operation, row.row_key, row.before, row.after)


AUDIT_TRAIL = Report(
    name="audit-trail",
    title="Audit trail",
    purpose="Who changed what, when and why, from the opening of the day to that of the next.",
    columns=COLUMNS,
    rows=audit_trail,
)
