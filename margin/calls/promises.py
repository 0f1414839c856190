"""Promises to pay and transfers on their way: kept by the deposit that brings them, or broken.

A transfer is announced with the reference by which the money will come. Where the terms of the
agreement count it, a run does not call again for what is on its way.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum
from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import grouped
from margin.calls.tasks import close_call_tasks
from margin.models import CallEvent, CallPromise, CallPromiseEnd, MarginCall

Outcome = CallPromiseEnd.Outcome


def promise_payment(
    number: str,
    *,
    kind: str,
    amount: Decimal,
    pay_by: datetime,
    reference: str,
    words: str,
    actor: Actor,
    request_id: str = "",
) -> CallPromise:
    """Record that the client will pay, or that a transfer is on its way; the call stays due.

    Args:
        kind: of `CallPromise.Kind`; a transfer has a reference.
        pay_by: later than now.

    Raises:
        RefusedError: `promise_is_of_something`, `promise_is_of_an_open_call`, `promise_is_ahead`,
            or the session has ended; nothing was recorded.
    """
    now = timezone.now()
    with acting(actor, reason=words, request_id=request_id), refusals():
        call = MarginCall.objects.select_for_update().get(number=number)
        if call.state in (*MarginCall.ENDED, MarginCall.State.DRAFT):
            raise RefusedError(
                "promise_is_of_an_open_call", f"{number} is {call.get_state_display().lower()}"
            )
        if pay_by <= now:
            raise RefusedError("promise_is_ahead", "the time to pay by has passed")
        made = CallPromise.objects.create(
            call=call, kind=kind, amount=amount, reference=reference.strip(), pay_by=pay_by,
            words=words,
        )  # fmt: skip
        _note(call, "promised", made, at=now, text=words)
    return made


def keep_promises(calls: Collection[int], *, reference: str, entry_id: int, at: datetime) -> int:
    """End the promises that a deposit with this reference keeps; inside the act that posts it."""
    if not calls or not reference:
        return 0
    found = open_promises().filter(call__in=calls, reference=reference)
    for promise in found.select_related("call"):
        _end(promise, Outcome.KEPT, at=at, entry_id=entry_id, text=f"Came as entry {entry_id}")
    return len(found)


def break_promise(promise: CallPromise, *, at: datetime, text: str) -> None:
    """End a promise that was not kept, or a transfer that failed; call inside an act."""
    _end(promise, Outcome.BROKEN, at=at, entry_id=None, text=text)


def open_promises() -> "QuerySet[CallPromise]":
    """Promises that have not ended."""
    return CallPromise.objects.filter(end__isnull=True)


def in_transit(scopes: Collection[int], *, at: datetime) -> dict[int, Decimal]:
    """What is announced and on its way at an instant, by scope."""
    rows = (
        CallPromise.objects.filter(
            call__scope__in=scopes, kind=CallPromise.Kind.TRANSFER, end__isnull=True, pay_by__gt=at
        )
        .values_list("call__scope")
        .annotate(amount=Sum("amount"))
    )
    return dict(rows)


def _end(
    promise: CallPromise, outcome: str, *, at: datetime, entry_id: int | None, text: str
) -> None:
    with refusals():
        CallPromiseEnd.objects.create(
            promise=promise, outcome=outcome, entry_id=entry_id, at=at, text=text
        )
        event = "promise_kept" if outcome == Outcome.KEPT else "promise_broken"
        _note(promise.call, event, promise, at=at, text=text)
    if outcome == Outcome.KEPT:
        close_call_tasks([promise.call_id], at=at, reason="The transfer came", what="transfer")


def _note(call: MarginCall, event: str, promise: CallPromise, *, at: datetime, text: str) -> None:
    amount = f"{grouped(promise.amount, decimals=2)} {call.currency}"
    CallEvent.objects.create(
        call=call, event=event, from_state=call.state, to_state=call.state, occurred_at=at,
        amount_before=call.amount, amount_after=call.amount,
        text=f"{promise.get_kind_display()}: {amount}"
        f"{f', {promise.reference}' if promise.reference else ''}. {text}",
    )  # fmt: skip
