"""Tasks about calls: whatever goes wrong with one has an owner and a clock until it is over."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from accounts.bulk import copy_rows
from margin.models import MarginCall, Task, TaskEvent
from margin.worklist import OPERATIONS, RISK, Needed, open_tasks

# What is wrong, and whose task it is.
OWNERS: Final = {
    "escalated": RISK,
    "undelivered": OPERATIONS,
    "unanswered": OPERATIONS,
    "overdue": OPERATIONS,
    "unchecked": RISK,
    "transfer": OPERATIONS,
    "undisputed": RISK,
}


def key_of(call: MarginCall, what: str) -> str:
    """How a task names a call and what is wrong with it."""
    return f"call:{call.number}:{what}"


def needs_somebody(
    call: MarginCall, what: str, *, at: datetime, due_at: datetime, subject: str, detail: str
) -> bool:
    """Open the task, unless it is open; whether it is new. Call inside an act.

    Args:
        what: a key of `OWNERS`.
    """
    needed = Needed(
        kind=Task.Kind.CALL, key=key_of(call, what), subject=subject, detail=detail,
        due_at=due_at, owner_role=OWNERS[what], scope=call.scope,
    )  # fmt: skip
    return bool(open_tasks([needed], business_day=call.business_day, at=at))


def close_call_tasks(
    calls: Collection[int], *, at: datetime, reason: str, what: str | None = None
) -> int:
    """Close the open tasks about calls; how many. Call inside an act.

    Args:
        what: only those about this; all if None.
    """
    there = Task.objects.filter(kind=Task.Kind.CALL, closed_at__isnull=True)
    if not calls or not there.exists():
        return 0
    ended = MarginCall.objects.filter(pk__in=calls)
    numbers = set(ended.values_list("number", flat=True))
    over = []
    for task in there.filter(scope__in=ended.values("scope")):
        _, number, about = task.key.split(":")
        if number in numbers and what in (None, about):
            over.append(task)
    Task.objects.filter(pk__in=[task.pk for task in over]).update(closed_at=at, close_reason=reason)
    copy_rows([TaskEvent(task=task, event="closed", text=reason, occurred_at=at) for task in over])
    return len(over)
