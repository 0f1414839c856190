"""What becomes of a call when the run that made it was restated: kept, amended or cancelled.

A call that asks for less, for more or for nothing any more is changed by two people. Whoever had
been told of it is told of the change, once, by a notice like the first.
"""

from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import grouped, plain
from accounts.models import Approval, LegalEntity
from margin.calls.affected import AffectedCall, Effect, affected_calls
from margin.calls.settling import StaleCallError
from margin.models import CallDecision, CallEvent, CallNotice, MarginCall, MarginRun
from margin.notices.changes import deliver_change
from margin.restatement import newest_restatement

Verdict = CallDecision.Verdict
AMEND, CANCEL = "call.amend", "call.cancel"
NOTICES: Final = Actor.job("call-notices")
# What each effect of a restatement lets people decide.
MAY: Final = {
    Effect.NOT_MADE: (Verdict.KEEP, Verdict.CANCEL),
    Effect.SMALLER: (Verdict.KEEP, Verdict.AMEND),
    Effect.LARGER: (Verdict.KEEP, Verdict.AMEND),
    Effect.UNKNOWN: (Verdict.KEEP,),
    Effect.MISSING: (),
}


def affected(call: MarginCall, run: MarginRun) -> AffectedCall:
    """What a restated run says of an open call that nothing was decided of yet.

    Raises:
        StaleCallError: the run restates nothing or was restated again, the call has ended, was
            decided on, or stands as it would have.
    """
    if run.restates is None or newest_restatement(run.restates) != run:
        raise StaleCallError(f"{run.number} is not the newest restatement of a run.")
    found = next((each for each in affected_calls(run, call=call) if each.call == call), None)
    if found is None:
        raise StaleCallError(f"{call.number} stands as {run.number} would have it.")
    if found.decision is not None:
        word = found.decision.get_verdict_display().lower()
        raise StaleCallError(f"It was decided already: {word}.")
    if not found.is_open:
        raise StaleCallError(f"{call.number} is {call.get_state_display().lower()}.")
    return found


def may_decide(found: AffectedCall) -> tuple[Verdict, ...]:
    """What people may decide of it as it stands.

    A later run that spoke of the call says what is missing since; to amend it, restate that one.
    """
    if not found.is_open or found.decision is not None or found.call is None:
        return ()
    verdicts = MAY[found.effect]
    if found.call.amount == found.should_be or _spoke_later(found):
        verdicts = tuple(each for each in verdicts if each != Verdict.AMEND)
    if found.call.state == MarginCall.State.LIQUIDATING:
        verdicts = tuple(each for each in verdicts if each != Verdict.CANCEL)
    return verdicts


def _spoke_later(found: AffectedCall) -> bool:
    assert found.call is not None, "there is a call"
    return found.result is not None and found.call.last_result.run.as_of > found.result.run.as_of


def keep_call(
    call: MarginCall, *, run: MarginRun, reason: str, actor: Actor, request_id: str = ""
) -> CallDecision:
    """Record that a call stays as it is although the run was restated, and why.

    Raises:
        StaleCallError: nothing is to be decided of it.
        RefusedError: the session has ended.
    """
    with acting(actor, reason=reason, request_id=request_id):
        held = _held(call.pk)
        affected(held, run)
        with refusals():
            return CallDecision.objects.create(
                run=run, call=held, verdict=Verdict.KEEP, amount_before=held.amount,
                amount_after=held.amount, reason=reason,
            )  # fmt: skip


def request_decision(
    call: MarginCall,
    *,
    run: MarginRun,
    verdict: str,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a call be amended to what a restated run calls for, or cancelled.

    Raises:
        AskRefusedError: that does not follow from the restatement, or is asked for already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    try:
        found = affected(call, run)
    except StaleCallError as stale:
        raise AskRefusedError("", str(stale)) from stale
    if verdict == Verdict.KEEP or verdict not in may_decide(found):
        raise AskRefusedError("", f"{call.number}: {run.number} does not say so.")
    record = record_of(call)
    waiting = Approval.objects.filter(
        action__in=(AMEND, CANCEL), records__record=record, used_xid__isnull=True,
        expires_at__gt=timezone.now(),
    ).exclude(decision=Approval.Decision.REJECTED)  # fmt: skip
    if waiting.exists():
        raise AskRefusedError("", f"A change of {call.number} waits for a second person already.")
    after = Decimal(0) if verdict == Verdict.CANCEL else found.should_be
    assert after is not None, "what cannot be computed is not amended"
    row = {
        "run_id": run.pk,
        "call_id": call.pk,
        "verdict": str(verdict),
        "amount_before": plain(call.amount),
        "amount_after": plain(after),
        "reason": reason,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=f"call.{verdict}",
            subject=f"{call.number}: {plain(call.amount)} to {plain(after)}",
            payload={"row": row},
            reason=reason,
            records=(record,),
        )


def record_of(call: MarginCall) -> str:
    """How requests name the call."""
    return f"margin_margincall:{call.pk}"


def describe_decision(approval: Approval) -> Description:
    """The call before and after, and the two runs."""
    row = approval.payload["row"]
    call = MarginCall.objects.select_related("scope__bucket__account").get(pk=row["call_id"])
    run = MarginRun.objects.select_related("restates").get(pk=row["run_id"])
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    assert run.restates is not None, "the run restates another"
    shown = [grouped(Decimal(row[key]), decimals=2) for key in ("amount_before", "amount_after")]
    return Description(
        headline=approval.subject,
        facts=(
            ("Account", f"{bucket.account.code} {bucket.code}"),
            ("Run", f"{run.restates.number}, restated as {run.number}"),
            ("The call is", call.get_state_display().lower()),
        ),
        fields=(FieldChange(f"Called, {call.currency}", *shown),),
        note="Whoever was told of the call is told of the change.",
    )


def apply_decision(approval: Approval) -> None:
    """Change the call as agreed; call inside an act. The notice goes out once that is committed.

    Raises:
        RefusedError: the call or the restatement has changed since it was asked for.
    """
    row = approval.payload["row"]
    run = MarginRun.objects.select_related("restates").get(pk=row["run_id"])
    call = _held(row["call_id"])
    try:
        found = affected(call, run)
    except StaleCallError as stale:
        raise RefusedError("call_is_as_it_was_asked", str(stale)) from stale
    asked = Decimal(row["amount_before"]), Decimal(row["amount_after"])
    if (call.amount, found.should_be) != asked:
        raise RefusedError("call_is_as_it_was_asked", f"{call.number} has changed since")
    decision = CallDecision.objects.get(pk=spend("SELECT margin.decide_call(%s)", approval))
    with refusals():
        _change(call, decision, found=found)
    transaction.on_commit(send_notices, robust=True)


def _held(call_id: int) -> MarginCall:
    return MarginCall.objects.select_for_update().get(pk=call_id)


def _change(call: MarginCall, decision: CallDecision, *, found: AffectedCall) -> None:
    before, now = call.state, timezone.now()
    is_cancelled = decision.verdict == Verdict.CANCEL
    if is_cancelled:
        call.state, call.end_reason = MarginCall.State.CANCELLED, "restated"
        call.ended_at = now
    else:
        call.amount = decision.amount_after
    if found.result is not None and not _spoke_later(found):
        call.last_result = found.result
    call.save(update_fields=["state", "amount", "last_result", "ended_at", "end_reason"])
    CallEvent.objects.create(
        call=call,
        event="withdrawn" if is_cancelled else "amended",
        from_state=before,
        to_state=call.state,
        occurred_at=now,
        amount_before=decision.amount_before,
        amount_after=decision.amount_after,
        text=decision.reason,
        run_id=decision.run_id,
    )


# ---------------------------------------------------------------- telling whoever was called


def send_notices() -> int:
    """Send the notice of every decision that needs one and has none; how many were sent.

    A decision needs one where the call had been delivered. The notice is written before it is
    recorded: cut off in between, it is written again, the same file with the same text.
    """
    told = CallEvent.objects.filter(call=OuterRef("call"), event="delivered")
    unsent = (
        CallDecision.objects.filter(Exists(told), notice__isnull=True)
        .exclude(verdict=Verdict.KEEP)
        .order_by("pk")
    )
    return sum(_send(decision_id) for decision_id in unsent.values_list("pk", flat=True))


def _send(decision_id: int) -> bool:
    decision = CallDecision.objects.select_related(
        "run__restates", "call__scope__bucket__account"
    ).get(pk=decision_id)
    notice, text = deliver_change(decision)
    with acting(NOTICES, reason=f"Notice of {decision.call.number}"):
        call = _held(decision.call_id)
        if CallNotice.objects.filter(pk=decision_id).exists():
            return False
        CallNotice.objects.create(
            decision=decision, channel=notice.channel, name=notice.name, text=text,
            sha256=notice.sha256,
        )  # fmt: skip
        CallEvent.objects.create(
            call=call, event="notified", from_state=call.state, to_state=call.state,
            occurred_at=timezone.now(), text=f"{notice.channel}: {notice.name}\n\n{text}",
            run_id=decision.run_id,
        )  # fmt: skip
    return True


def register() -> None:
    """Say how these requests are shown and applied."""
    for action in (AMEND, CANCEL):
        register_action(action, describe=describe_decision, apply=apply_decision)
