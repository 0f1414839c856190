"""What the clock does to calls: they expire and are escalated, and nobody is forgotten.

`due_steps` is the preview and `keep_clocks` takes exactly what it names, one act per call; done
twice, the second time finds nothing left. A call expires by itself only where the terms of its
agreement say so; under the rules of the house somebody is asked instead.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from django.db.models import Max
from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting
from accounts.clock import utc_text
from accounts.figures import grouped
from margin.calls.acts import ACTS, step
from margin.calls.increments import due_now
from margin.calls.promises import break_promise, open_promises
from margin.calls.tasks import close_call_tasks, key_of, needs_somebody
from margin.calls.terms import CallTermsBook
from margin.engine.call_terms import CallRules
from margin.models import CallPromise, CallPromiseEnd, MarginCall, MarginResult, Task
from margin.run_rows import whole_runs

State = MarginCall.State
WATCH: Final = Actor.job("call-clocks")
ASKED_WITHIN: Final = timedelta(hours=1)
NEVER: Final = datetime.min.replace(tzinfo=UTC)
FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
EXPIRES: Final = (
    State.DELIVERED, State.ACKNOWLEDGED, State.PARTIALLY_MET, State.AGREED, State.EXTENDED,
)  # fmt: skip


class Due(NamedTuple):
    """Something that the clock asks for.

    Attributes:
        act: a key of `ACTS`; "" where only somebody is asked.
        task: what is wrong, a key of `call_tasks.OWNERS`; "" where only a step is taken.
        why: one sentence.
        promise: that was not kept, or the transfer that failed.
    """

    call: MarginCall
    act: str
    task: str
    why: str
    promise: CallPromise | None = None


def due_steps(now: datetime | None = None) -> list[Due]:
    """What the clock asks for at an instant, by call number; nothing is changed."""
    at = now or timezone.now()
    calls = (
        MarginCall.objects.open()
        .exclude(state__in=[State.DRAFT, State.LIQUIDATING])
        .select_related("first_result__agreement_version", "scope__bucket__account")
        .annotate(changed_at=Max("events__occurred_at"))
        .order_by("number")
    )
    book, asked = CallTermsBook(), _asked()
    unchecked = _unchecked()
    return [*_broken(at)] + [
        due
        for call in calls
        for due in _of_call(call, book.of_call(call), at=at, is_unchecked=call.pk in unchecked)
        if due.act or asked.get(key_of(call, due.task), NEVER) < _since(call)
    ]


def keep_clocks(now: datetime | None = None, *, actor: Actor = WATCH) -> dict[str, int]:
    """Take every step that is due and ask whoever is needed; how many of each.

    Each in an act of its own: one that is refused because the call changed meanwhile leaves the
    others alone.
    """
    at = now or timezone.now()
    done = {"steps": 0, "tasks": 0, "refused": 0}
    for due in due_steps(at):
        try:
            done["steps" if due.act else "tasks"] += _do(due, at=at, actor=actor)
        except RefusedError:
            done["refused"] += 1
    return done


def _do(due: Due, *, at: datetime, actor: Actor) -> bool:
    with acting(actor, reason=due.why):
        call = MarginCall.objects.select_for_update().get(pk=due.call.pk)
        if call.state != due.call.state:
            return False
        if due.promise is not None:
            if CallPromiseEnd.objects.filter(pk=due.promise.pk).exists():
                return False
            break_promise(due.promise, at=at, text=due.why)
        if due.act:
            step(call, ACTS[due.act], at=at, text=due.why)
        if due.task:
            needs_somebody(
                call, due.task, at=at, due_at=at + ASKED_WITHIN, detail=due.why,
                subject=f"{call.number}: {due.why[0].lower()}{due.why[1:].rstrip('.')}"[:200],
            )  # fmt: skip
    return True


def _of_call(
    call: MarginCall, rules: CallRules, *, at: datetime, is_unchecked: bool
) -> Iterator[Due]:
    amount = f"{grouped(call.amount, decimals=2)} {call.currency}"
    if is_unchecked:
        yield Due(call, "", "unchecked", "The newest run says nothing of the scope.")
    since = at - _since(call)
    if call.state == State.ISSUED and since >= _hours(rules.delivery_hours) and rules.expires:
        yield Due(call, "fail", "undelivered", "The notice was not delivered in time.")
        return
    if call.state == State.DELIVERED and since >= _hours(rules.answer_hours) and rules.expires:
        yield Due(call, "", "unanswered", "The client has not answered.")
    if call.state in (State.EXPIRED, State.UNDELIVERED):
        if rules.expires and since >= _hours(rules.escalation_hours):
            word = "has not been paid" if call.state == State.EXPIRED else "reached nobody"
            yield Due(call, "escalate", "", f"It {word}: {amount}.")
        return
    due = due_now(call)
    if due > at:
        return
    if rules.expires and call.state in EXPIRES:
        yield Due(call, "expire", "", f"Due {utc_text(due)} and not paid: {amount}.")
    elif call.state != State.ESCALATED:
        what = "undisputed" if call.state == State.DISPUTED else "overdue"
        yield Due(call, "", what, f"Due {utc_text(due)} and not paid: {amount}.")


def _broken(at: datetime) -> Iterator[Due]:
    """Promises whose time has passed; of a call that is still open somebody is asked."""
    late = open_promises().filter(pay_by__lte=at).order_by("call__number", "pk")
    for promise in late.select_related("call__scope__bucket__account"):
        word = "Transfer failed" if promise.kind == CallPromise.Kind.TRANSFER else "Promise broken"
        amount = f"{grouped(promise.amount, decimals=2)} {promise.call.currency}"
        is_open = promise.call.state not in MarginCall.ENDED
        why = f"{word}: {amount} did not come by {utc_text(promise.pay_by)}."
        yield Due(promise.call, "", "transfer" if is_open else "", why, promise)


def _since(call: MarginCall) -> datetime:
    """When the newest step of the call took place."""
    found: datetime | None = getattr(call, "changed_at", None)
    return found or call.issued_at


def _hours(count: Decimal) -> timedelta:
    return timedelta(hours=float(count))


def _asked() -> dict[str, datetime]:
    """When somebody was last asked, by task key; for ever where the task is open.

    What a person closed is asked again only after the call has changed.
    """
    found: dict[str, datetime] = {}
    for task in Task.objects.filter(kind=Task.Kind.CALL).order_by("opened_at", "pk"):
        found[task.key] = FOR_EVER if task.closed_at is None else task.closed_at
    return found


def _unchecked() -> set[int]:
    """Open calls of whose scope the newest run of everything says nothing."""
    newest = whole_runs().order_by("-as_of", "-pk").first()
    if newest is None:
        return set()
    spoken_of = MarginResult.objects.filter(run=newest).values("scope")
    missing = MarginCall.objects.open().exclude(scope__in=spoken_of)
    return set(missing.filter(issued_at__lt=newest.as_of).values_list("pk", flat=True))


def close_what_is_over(now: datetime | None = None, *, actor: Actor = WATCH) -> int:
    """Close tasks about calls that have ended; how many."""
    at = now or timezone.now()
    there = Task.objects.filter(kind=Task.Kind.CALL, closed_at__isnull=True)
    keys = [key.split(":")[1] for key in there.values_list("key", flat=True)]
    ended = list(
        MarginCall.objects.filter(number__in=keys, state__in=MarginCall.ENDED).values_list(
            "pk", flat=True
        )
    )
    if not ended:
        return 0
    with acting(actor, reason="Calls that have ended"):
        return close_call_tasks(ended, at=at, reason="The call has ended")
