"""Margin calls: issued, changed and ended by runs; acknowledged by people.

A call's state changes by compare-and-set, and the database knows which changes are legal.
What carries a call on otherwise stands in `margin.calls.acts`.
Every change leaves an event with the amounts before and after.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import connection
from django.db.models import Max, Q, prefetch_related_objects
from django.db.models.functions import Length
from django.utils import timezone

from accounts.audit import Actor, acting, refusals
from accounts.bulk import copy_rows
from accounts.models import AgreementVersion, Scope
from ledger.models import Posting
from margin.calls.group_calls import end_of_members
from margin.calls.held_back import HeldBack
from margin.calls.increments import add_increments
from margin.calls.ladder import settle_levels
from margin.calls.nets import CALLED, Nets
from margin.calls.tasks import close_call_tasks
from margin.eligibility import FLAGS as INELIGIBLE
from margin.engine.call_terms import due_time
from margin.engine.exact import round_up
from margin.engine.house_rules import CALL_WAITS
from margin.models import (
    CallEvent,
    MarginCall,
    MarginResult,
    MarginRun,
    MarginState,
)
from margin.pools import Pools
from margin.run_tasks import settle_tasks, why
from margin.sweeps import block_negative_accounts

ZERO = Decimal(0)
CENTS = 2
State = MarginCall.State

# States of which a task names the scope.
NAMED = (MarginState.LIQUIDATE, MarginState.DEFICIT)
WRITE_CALLS = """
    UPDATE margin_margincall c
    SET state = n.state, amount = n.amount, last_result_id = n.last_result_id,
        ended_at = n.ended_at, end_reason = n.end_reason
    FROM unnest(%s::bigint[], %s::text[], %s::numeric[], %s::bigint[], %s::timestamptz[],
                %s::text[]) AS n(id, state, amount, last_result_id, ended_at, end_reason)
    WHERE c.id = n.id
"""


class StaleCallError(Exception):
    """The call has changed since it was read, or is not in a state for this act."""


@dataclass(slots=True)
class Settled:
    """What one run did to calls and tasks."""

    nets: Nets
    issued: int = 0
    changed: int = 0
    ended: int = 0
    below_minimum: int = 0
    held_back: int = 0
    tasks_opened: int = 0
    events: list[CallEvent] = field(default_factory=list)
    raised: list[tuple[MarginCall, MarginResult, Decimal]] = field(default_factory=list)
    unreached: list[int] = field(default_factory=list)


def settle_run(run: MarginRun, *, besides: Collection[int] = ()) -> Settled:
    """Make the open calls say what a run says; call inside an act, once per run.

    Args:
        besides: buckets in which something took effect that the run does not know of; their calls
            stay as that left them, until a run knows of it.
    """
    end_of_members(run)
    spoken_of = MarginResult.objects.filter(run=run).values("scope")
    calls = {
        call.scope_id: call
        for call in MarginCall.objects.open()
        .filter(scope__in=spoken_of, kind=MarginCall.Kind.MAINTENANCE)
        .select_for_update()
    }
    # Of a whole house most scopes are well and have no call: nothing is done about them.
    results = list(
        MarginResult.objects.filter(run=run)
        .filter(
            Q(scope__in=calls)
            | Q(call_amount__gt=0)
            | Q(equity__lt=0)
            | Q(state__in=CALLED)
            | Q(flags__overlap=["below_mta", *INELIGIBLE])
        )
        .order_by("scope__bucket__account__code", "scope__bucket__code")
    )
    _look_up(results)
    settled = Settled(nets=Nets.of(results, calls=calls, day=run.business_day))
    paid_in = _scopes_with_postings_since(
        calls[result.scope_id]
        for result in results
        if result.scope_id in calls and not settled.nets.open_call(calls[result.scope_id], result)
    )
    settled.below_minimum = sum("below_mta" in result.flags for result in results)
    held = HeldBack.of(results)
    fresh: list[MarginResult] = []
    carried: list[MarginCall] = []
    pools = Pools.newest()
    touched = {*besides, *(pools.groups[each] for each in besides if each in pools.groups)}
    waiting = set(Scope.objects.filter(bucket__in=touched).values_list("pk", flat=True))
    for result in results:
        if CALL_WAITS in result.flags or result.scope_id in waiting:
            continue  # neither made nor changed where price or knowledge do not permit it
        call = calls.get(result.scope_id)
        if call is not None and call.state == State.DRAFT:
            continue  # it waits for a person
        if call is not None:
            after = settled.nets.open_call(call, result)
            if after > call.amount and held.takes(result, after, call=call):
                continue
            _carry_on(call, result, after, run=run, paid_in=paid_in, settled=settled)
            carried.append(call)
        elif (amount := settled.nets.new_call(result)) > 0 and not held.takes(
            result, amount, call=None
        ):
            fresh.append(result)
    # A call that reached nobody ends by way of its escalation.
    MarginCall.objects.filter(pk__in=settled.unreached).update(state=State.ESCALATED)
    _write(carried)
    _issue(fresh, run=run, settled=settled)
    held.write(run)
    settled.held_back = len(held.rows)
    copy_rows(settled.events)
    add_increments(settled.raised, run=run, book=settled.nets.book)
    ended = [call.pk for call in carried if call.ended_at is not None]
    close_call_tasks(ended, at=run.as_of, reason=f"The call ended in run {run.number}")
    settle_levels(run)
    settled.tasks_opened = settle_tasks(run, results)
    block_negative_accounts(results, run=run)
    return settled


def _look_up(results: Sequence[MarginResult]) -> None:
    """Give results their terms, and those that a person may have to look at the names they need."""
    versions = AgreementVersion.objects.in_bulk({each.agreement_version_id for each in results})
    for each in results:
        each.agreement_version = versions[each.agreement_version_id]
    named = [
        each
        for each in results
        if each.state in NAMED or each.equity < 0 or not set(INELIGIBLE).isdisjoint(each.flags)
    ]
    prefetch_related_objects(named, "scope__bucket__account__client")


def _write(calls: Iterable[MarginCall]) -> None:
    """Bring the rows of calls to what they have become, in one statement."""
    rows = [
        (c.pk, str(c.state), c.amount, c.last_result_id, c.ended_at, c.end_reason) for c in calls
    ]
    if rows:
        with refusals(), connection.cursor() as cursor, connection.wrap_database_errors:
            cursor.execute(WRITE_CALLS, [list(column) for column in zip(*rows, strict=True)])


def _scopes_with_postings_since(calls: Iterable[MarginCall]) -> set[int]:
    """Scopes into or out of which anything moved since their call was issued."""
    issued = {call.scope_id: call.issued_at for call in calls}
    buckets = Scope.objects.filter(pk__in=issued, bucket__isnull=False)
    scope_of: dict[int, int] = dict(buckets.values_list("bucket_id", "pk"))
    for member, group in Pools.newest().groups.items():
        if group in scope_of:
            scope_of[member] = scope_of[group]
    newest = (
        Posting.objects.filter(account__bucket__in=scope_of)
        .values_list("account__bucket")
        .annotate(newest=Max("entry__effective_at"))
    )
    return {scope_of[bucket] for bucket, moved_at in newest if moved_at > issued[scope_of[bucket]]}


def _issue(results: Sequence[MarginResult], *, run: MarginRun, settled: Settled) -> None:
    """One call per scope, numbered within its business day."""
    prefix = f"MC-{run.business_day:%y%m%d}-"
    # From 10,000 on a number is longer, and greater than any that is shorter.
    numbers = MarginCall.objects.filter(number__startswith=prefix).order_by(
        Length("number").desc(), "-number"
    )
    last = numbers.values_list("number", flat=True).first()
    number = int(last.removeprefix(prefix)) if last else 0
    calls = [
        MarginCall(
            number=f"{prefix}{number + place:04d}",
            scope_id=result.scope_id,
            kind=MarginCall.Kind.MAINTENANCE,
            state=MarginCall.State.ISSUED,
            amount=settled.nets.new_call(result),
            currency=result.agreement_version.currency,
            business_day=run.business_day,
            issued_at=run.as_of,
            due_at=due_time(
                run.as_of,
                settled.nets.rules(result),
                otherwise=result.agreement_version.call_due_for,
            ),
            first_result=result,
            last_result=result,
        )
        for place, result in enumerate(results, start=1)
    ]
    copy_rows(calls)
    settled.issued = len(calls)
    settled.events += [
        CallEvent(
            call=call,
            event="issued",
            from_state="",
            to_state=call.state,
            occurred_at=run.as_of,
            amount_after=call.amount,
            text=why(call.last_result),
            run=run,
        )
        for call in calls
    ]


def _carry_on(
    call: MarginCall,
    result: MarginResult,
    after: Decimal,
    *,
    run: MarginRun,
    paid_in: set[int],
    settled: Settled,
) -> None:
    """Raise or lower an open call to what is missing now, or end it when nothing is."""
    before, state_before = call.amount, call.state
    call.last_result = result
    if not after:
        if state_before == State.UNDELIVERED:
            state_before = _escalate(call, run=run, settled=settled)
        event = _end(call, run=run, came_in=call.scope_id in paid_in)
        settled.ended += 1
    else:
        call.amount = after
        if after == before:
            return
        event = "raised" if after > before else "lowered"
        settled.changed += 1
        if after > before:
            settled.raised.append((call, result, after - before))
    settled.events.append(
        CallEvent(
            call=call,
            event=event,
            from_state=state_before,
            to_state=call.state,
            occurred_at=run.as_of,
            amount_before=before,
            amount_after=after,
            text=why(result),
            run=run,
        )
    )


def _escalate(call: MarginCall, *, run: MarginRun, settled: Settled) -> State:
    """Take the step that lies between a call that reached nobody and its end."""
    settled.unreached.append(call.pk)
    settled.events.append(
        CallEvent(
            call=call,
            event=State.ESCALATED,
            from_state=State.UNDELIVERED,
            to_state=State.ESCALATED,
            occurred_at=run.as_of,
            amount_before=call.amount,
            amount_after=call.amount,
            text="It ends without having reached the client.",
            run=run,
        )
    )
    return State.ESCALATED


def amount_called(result: MarginResult, *, is_open: bool) -> Decimal:
    """What a result calls for: an open call stands until initial margin is there again.

    Args:
        is_open: whether the scope has a call already.

    Returns:
        Up to the cent; 0 where nothing is called, or an open call ends.
    """
    if not is_open:
        called: Decimal = result.call_amount
        return called
    if result.equity >= result.initial_margin:
        return ZERO
    return round_up(result.initial_margin - result.equity, CENTS)


def _end(call: MarginCall, *, run: MarginRun, came_in: bool) -> str:
    """Met where something moved in the scope since the call; else the price came back by itself."""
    if call.state == MarginCall.State.LIQUIDATING:
        call.state, call.end_reason = MarginCall.State.MET, "liquidated"
    elif came_in:
        call.state, call.end_reason = MarginCall.State.MET, "collateral_received"
    else:
        call.state, call.end_reason = MarginCall.State.CANCELLED, "price_recovered"
    call.ended_at = run.as_of
    return str(call.state)


# ---------------------------------------------------------------- people


def acknowledge_call(number: str, *, actor: Actor, words: str, request_id: str = "") -> MarginCall:
    """Record that the client has been reached and has acknowledged the call, once.

    Raises:
        StaleCallError: the call was acknowledged before.
        RefusedError: `margin_call_transition_is_legal`: it is not delivered; or the session has
            ended.
    """
    with acting(actor, reason=words or "Acknowledged", request_id=request_id) as operator_id:
        call = MarginCall.objects.get(number=number)
        now = timezone.now()
        # The database refuses whatever is neither delivered nor acknowledged already.
        taken = (
            MarginCall.objects.filter(pk=call.pk)
            .exclude(state=State.ACKNOWLEDGED)
            .update(
                state=MarginCall.State.ACKNOWLEDGED,
                acknowledged_at=now,
                acknowledged_by_id=operator_id,
                owner_id=operator_id,
            )
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
