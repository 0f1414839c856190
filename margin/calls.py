"""Margin calls: issued, changed and ended by runs; acknowledged by people.

A call's state changes by compare-and-set, and the database knows which changes are legal.
Every change leaves an event with the amounts before and after.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal

from django.db.models import Max
from django.utils import timezone

from accounts.audit import Actor, acting
from ledger.models import Posting
from margin.models import (
    CallEvent,
    MarginCall,
    MarginResult,
    MarginRun,
    MarginState,
    Mark,
    Task,
)
from margin.notices import Notice, deliver, notice_text
from margin.worklist import OPERATIONS, RISK, Needed, close_tasks, open_tasks

ZERO = Decimal(0)
CENT = Decimal("0.01")
CALLED = (MarginState.CALL, MarginState.LIQUIDATE, MarginState.DEFICIT)
TASK_DUE_FOR = timedelta(hours=1)


class StaleCallError(Exception):
    """The call has changed since it was read, or is not in a state for this act."""


@dataclass(slots=True)
class Settled:
    """What one run did to calls and tasks."""

    issued: int = 0
    changed: int = 0
    ended: int = 0
    below_minimum: int = 0
    tasks_opened: int = 0
    events: list[CallEvent] = field(default_factory=list)


def settle_run(run: MarginRun) -> Settled:
    """Make the open calls say what a run says; call inside an act, once per run."""
    results = list(
        MarginResult.objects.filter(run=run)
        .select_related("scope__bucket__account__client", "agreement_version")
        .order_by("scope__bucket__account__code", "scope__bucket__code")
    )
    calls = {call.scope_id: call for call in MarginCall.objects.open().select_for_update()}
    settled = Settled()
    settled.below_minimum = sum("below_mta" in result.flags for result in results)
    fresh: list[MarginResult] = []
    for result in results:
        call = calls.get(result.scope_id)
        if call is not None:
            _carry_on(call, result, run=run, settled=settled)
        elif result.call_amount > 0:
            fresh.append(result)
    _issue(fresh, run=run, settled=settled)
    CallEvent.objects.bulk_create(settled.events, batch_size=2_000)
    settled.tasks_opened = _settle_tasks(run, results)
    return settled


def _issue(results: Sequence[MarginResult], *, run: MarginRun, settled: Settled) -> None:
    """One call per scope, numbered within its business day."""
    prefix = f"MC-{run.business_day:%y%m%d}-"
    last = MarginCall.objects.filter(number__startswith=prefix).aggregate(n=Max("number"))["n"]
    number = int(last.removeprefix(prefix)) if last else 0
    calls = [
        MarginCall(
            number=f"{prefix}{number + place:04d}",
            scope=result.scope,
            kind=MarginCall.Kind.MAINTENANCE,
            state=MarginCall.State.ISSUED,
            amount=result.call_amount,
            currency=result.agreement_version.currency,
            business_day=run.business_day,
            issued_at=run.as_of,
            due_at=run.as_of + result.agreement_version.call_due_for,
            first_result=result,
            last_result=result,
        )
        for place, result in enumerate(results, start=1)
    ]
    MarginCall.objects.bulk_create(calls, batch_size=2_000)
    settled.issued = len(calls)
    settled.events += [
        CallEvent(
            call=call,
            event="issued",
            from_state="",
            to_state=call.state,
            occurred_at=run.as_of,
            amount_after=call.amount,
            text=_why(call.last_result),
            run=run,
        )
        for call in calls
    ]


def _carry_on(call: MarginCall, result: MarginResult, *, run: MarginRun, settled: Settled) -> None:
    """Raise or lower an open call to what is missing now, or end it when nothing is."""
    if result.equity >= result.initial_margin:
        _end(call, result, run=run, settled=settled)
        return
    amount = (result.initial_margin - result.equity).quantize(CENT, ROUND_CEILING)
    changed = MarginCall.objects.filter(pk=call.pk, state=call.state).update(
        amount=amount, last_result=result
    )
    assert changed == 1, "the open calls are locked"
    if amount != call.amount:
        settled.changed += 1
        settled.events.append(
            CallEvent(
                call=call,
                event="raised" if amount > call.amount else "lowered",
                from_state=call.state,
                to_state=call.state,
                occurred_at=run.as_of,
                amount_before=call.amount,
                amount_after=amount,
                text=_why(result),
                run=run,
            )
        )


def _end(call: MarginCall, result: MarginResult, *, run: MarginRun, settled: Settled) -> None:
    """Met where collateral came in since the call; otherwise the price came back by itself."""
    came_in = _collateral_since(call, result)
    state, reason = (
        (MarginCall.State.MET, "collateral_received")
        if came_in
        else (MarginCall.State.CANCELLED, "price_recovered")
    )
    if call.state == MarginCall.State.LIQUIDATING:
        state, reason = MarginCall.State.MET, "liquidated"
    MarginCall.objects.filter(pk=call.pk, state=call.state).update(
        state=state, last_result=result, ended_at=run.as_of, end_reason=reason
    )
    settled.ended += 1
    settled.events.append(
        CallEvent(
            call=call,
            event=str(state),
            from_state=call.state,
            to_state=state,
            occurred_at=run.as_of,
            amount_before=call.amount,
            amount_after=ZERO,
            text=_why(result),
            run=run,
        )
    )


def _collateral_since(call: MarginCall, result: MarginResult) -> bool:
    """Whether anything was paid into the scope, or a position reduced, since the call."""
    return Posting.objects.filter(
        account__bucket__scope=call.scope_id, entry__effective_at__gt=call.issued_at
    ).exists()


def _why(result: MarginResult) -> str:
    """The figures behind a step, in one sentence."""
    return (
        f"{MarginState(result.state).label}: equity {result.equity:,.2f},"
        f" initial margin {result.initial_margin:,.2f},"
        f" maintenance margin {result.maintenance_margin:,.2f}"
    )


# ---------------------------------------------------------------- tasks


def _settle_tasks(run: MarginRun, results: Iterable[MarginResult]) -> int:
    """Open a task, with an owner, for whatever a person must look at; close what is over."""
    needed = [*_scope_tasks(run, results), *_price_tasks(run), *_exception_tasks(run)]
    at = run.as_of
    for kind in (
        Task.Kind.LIQUIDATE,
        Task.Kind.DEFICIT,
        Task.Kind.PRICE,
        Task.Kind.UNPRICED,
        Task.Kind.NO_AGREEMENT,
    ):
        keys = {each.key for each in needed if each.kind == kind}
        close_tasks(kind, still_needed=keys, at=at, reason=f"No longer so in run {run.number}")
    return open_tasks(needed, business_day=run.business_day, at=at)


def _scope_tasks(run: MarginRun, results: Iterable[MarginResult]) -> Iterable[Needed]:
    kinds = {
        MarginState.LIQUIDATE: Task.Kind.LIQUIDATE,
        MarginState.DEFICIT: Task.Kind.DEFICIT,
    }
    for result in results:
        kind = kinds.get(MarginState(result.state))
        bucket = result.scope.bucket
        if kind is None or bucket is None:
            continue
        yield Needed(
            kind=kind,
            key=f"scope:{bucket.account.code}:{bucket.code}",
            subject=f"{bucket.account.code} {bucket.code} is at"
            f" {MarginState(result.state).label.lower()}",
            detail=_why(result),
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=RISK,
            scope=result.scope,
        )


def _price_tasks(run: MarginRun) -> Iterable[Needed]:
    for mark in Mark.objects.filter(as_of=run.as_of).exclude(state="VALID").select_related("asset"):
        dropped = "; ".join(f"{each['source']}: {each['reason']}" for each in mark.dropped)
        yield Needed(
            kind=Task.Kind.PRICE,
            key=f"price:{mark.asset.code}",
            subject=f"{mark.asset.code} has no valid price",
            detail=f"Mark {mark.price.normalize():f} stays. {dropped or 'No price came.'}",
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=RISK,
        )


def _exception_tasks(run: MarginRun) -> Iterable[Needed]:
    for each in run.exceptions.select_related("account"):
        yield Needed(
            kind=Task.Kind.NO_AGREEMENT
            if each.reason == "no_agreement"
            else Task.Kind.UNPRICED,
            key=f"scope:{each.account.code}:{each.bucket_code}",
            subject=f"{each.account.code} {each.bucket_code} could not be margined",
            detail=each.detail,
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=OPERATIONS,
        )


# ---------------------------------------------------------------- delivery and people


def deliver_notices(*, business_day: date, actor: Actor) -> int:
    """Deliver the notice of every call that was issued and is not delivered; one act for all.

    The notice is a file in the outbox; delivering it again writes the same file.
    """
    calls = list(
        MarginCall.objects.filter(state=MarginCall.State.ISSUED, business_day=business_day)
        .select_related("scope__bucket__account__client__person_key", "last_result")
        .order_by("number")
    )
    if not calls:
        return 0
    sent: list[tuple[MarginCall, Notice]] = [(call, deliver(call)) for call in calls]
    with acting(actor, reason=f"Deliver the notices of {business_day}"):
        delivered = set(
            MarginCall.objects.select_for_update()
            .filter(pk__in=[call.pk for call in calls], state=MarginCall.State.ISSUED)
            .values_list("pk", flat=True)
        )
        MarginCall.objects.filter(pk__in=delivered).update(state=MarginCall.State.DELIVERED)
        CallEvent.objects.bulk_create(
            [
                CallEvent(
                    call=call,
                    event="delivered",
                    from_state=MarginCall.State.ISSUED,
                    to_state=MarginCall.State.DELIVERED,
                    occurred_at=call.issued_at,
                    text=f"{notice.channel}: {notice.name}\n\n{notice_text(call)}",
                )
                for call, notice in sent
                if call.pk in delivered
            ],
            batch_size=2_000,
        )
    return len(delivered)


def acknowledge_call(
    number: str, *, actor: Actor, words: str, request_id: str = ""
) -> MarginCall:
    """Record that the client has been reached and has acknowledged the call, once.

    Raises:
        StaleCallError: the call is not delivered, or was acknowledged before.
        RefusedError: the session has ended.
    """
    with acting(actor, reason=words or "Acknowledged", request_id=request_id) as operator_id:
        call = MarginCall.objects.get(number=number)
        now = timezone.now()
        taken = MarginCall.objects.filter(pk=call.pk, state=MarginCall.State.DELIVERED).update(
            state=MarginCall.State.ACKNOWLEDGED,
            acknowledged_at=now,
            acknowledged_by_id=operator_id,
            owner_id=operator_id,
        )
        if not taken:
            raise StaleCallError(
                f"{number} is {call.get_state_display().lower()}; only a delivered call"
                " can be acknowledged."
            )
        CallEvent.objects.create(
            call=call,
            event="acknowledged",
            from_state=MarginCall.State.DELIVERED,
            to_state=MarginCall.State.ACKNOWLEDGED,
            occurred_at=now,
            amount_before=call.amount,
            amount_after=call.amount,
            text=words,
        )
    return MarginCall.objects.get(pk=call.pk)
