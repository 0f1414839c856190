"""What people do with tasks: take one over, say that one is done."""

from django.utils import timezone

from accounts.audit import Actor, acting
from margin.models import Task, TaskEvent

# What no run closes when its cause is gone, so a person says that it is done.
CLOSED_BY_PEOPLE = frozenset(
    {Task.Kind.UNCOVERED, Task.Kind.JOB, Task.Kind.NOTICE, Task.Kind.EXTERNAL}
)


class StaleTaskError(Exception):
    """The task has changed since it was read, or is not one for this act."""


def take_task(task_id: int, *, seen_owner: int | None, actor: Actor, request_id: str = "") -> Task:
    """Make whoever acts the owner of an open task, unless somebody else became it meanwhile.

    Args:
        seen_owner: whom the person saw as its owner; None for nobody.

    Raises:
        StaleTaskError: it is closed, or has another owner by now.
        RefusedError: the session has ended.
    """
    with acting(actor, reason="Took over a task", request_id=request_id) as operator_id:
        task = Task.objects.select_for_update(of=("self",)).get(pk=task_id)
        if task.closed_at is not None:
            raise StaleTaskError(f"“{task.subject}” is closed: {task.close_reason}.")
        if task.owner_id != seen_owner:
            raise StaleTaskError(f"“{task.subject}” has another owner by now.")
        Task.objects.filter(pk=task_id).update(owner_id=operator_id)
        TaskEvent.objects.create(task=task, event="taken", occurred_at=timezone.now())
    return Task.objects.get(pk=task_id)


def close_task(task_id: int, *, reason: str, actor: Actor, request_id: str = "") -> Task:
    """Close a task that only a person can call done, with the reason.

    Raises:
        StaleTaskError: it is closed already, or a run closes it when its cause is gone.
        RefusedError: the session has ended.
    """
    with acting(actor, reason=reason, request_id=request_id):
        task = Task.objects.select_for_update(of=("self",)).get(pk=task_id)
        if task.closed_at is not None:
            raise StaleTaskError(f"“{task.subject}” is closed: {task.close_reason}.")
        if task.kind not in CLOSED_BY_PEOPLE:
            raise StaleTaskError(f"“{task.subject}” closes by itself when it is no longer so.")
        now = timezone.now()
        Task.objects.filter(pk=task_id).update(closed_at=now, close_reason=reason[:200])
        TaskEvent.objects.create(task=task, event="closed", text=reason, occurred_at=now)
    return Task.objects.get(pk=task_id)
