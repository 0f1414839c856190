"""A task for each scope and day of which somebody else computes another margin, until it agrees."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final

from django.utils import timezone

from margin.models import ExternalBreak, ExternalMargin, MarginResult, Task
from margin.worklist import RISK, Needed, close_tasks, open_tasks

DUE_FOR: Final = timedelta(days=1)


def settle_external_task(
    statement: ExternalMargin, result: MarginResult, breaks: Sequence[ExternalBreak]
) -> None:
    """Open a task where a statement differs; close it where a corrected one does not. In an act.

    A person closes it with a reason where both sides agree on what stands.
    """
    now, key = timezone.now(), key_of(statement)
    if not breaks:
        others = Task.objects.filter(kind=Task.Kind.EXTERNAL, closed_at__isnull=True)
        still = set(others.exclude(key=key).values_list("key", flat=True))
        reason = f"A corrected statement agrees with run {result.run.number}"
        close_tasks(Task.Kind.EXTERNAL, still_needed=still, at=now, reason=reason)
        return
    bucket = result.scope.bucket
    assert bucket is not None, "results are of buckets"
    worst = max(breaks, key=lambda each: abs(each.difference))
    needed = Needed(
        kind=Task.Kind.EXTERNAL,
        key=key,
        subject=f"{statement.source} differs on {bucket.account.code} {bucket.code}"[:200],
        detail=f"{len(breaks)} components of {statement.business_day} differ from run"
        f" {result.run.number}, {worst.component} by {worst.difference:,.2f}"
        f" {statement.currency}. It ends with a corrected statement, or with the reason why both"
        " sides agree on what stands.",
        due_at=now + DUE_FOR,
        owner_role=RISK,
        scope=result.scope,
    )
    open_tasks([needed], business_day=statement.business_day, at=now)


def key_of(statement: ExternalMargin) -> str:
    """One task for a source, a scope and a day, whatever statements come about them."""
    bucket = statement.scope.bucket
    assert bucket is not None, "statements are about buckets"
    said = f"{statement.source}\n{bucket.account.code}\n{bucket.code}\n{statement.business_day}"
    return f"external:{sha256(said.encode()).hexdigest()[:40]}"
