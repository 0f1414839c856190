"""What carries a call on: each act is one step of its life, taken once, by a person or the clock.

The database knows which steps there are (`margin_calltransition`) and refuses all others by name;
nothing here looks at the state beforehand. What takes two people stands in `margin.calls.reliefs`
and `margin.calls.disputes`, what money does in `margin.collateral`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import grouped
from margin.calls.increments import due_now
from margin.calls.tasks import close_call_tasks, needs_somebody
from margin.models import CallEvent, MarginCall

State = MarginCall.State
ILLEGAL: Final = "margin_call_transition_is_legal"
CARRY_ON: Final = "call.carry"
ESCALATION_DUE_FOR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CallAct:
    """One way to carry a call on.

    Attributes:
        to_state: what the call becomes.
        title: of the act, as its button says it.
        purpose: what it means, in one sentence.
        right: who may.
        needs_words: whether it is refused without a reason.
    """

    code: str
    to_state: str
    title: str
    purpose: str
    right: str = CARRY_ON
    needs_words: bool = True


ACTS: Final[Mapping[str, CallAct]] = {
    act.code: act
    for act in (
        CallAct("issue", State.ISSUED, "Issue", "From now on the client owes it."),
        CallAct("withdraw", State.CANCELLED, "Withdraw", "The draft is dropped; nobody is told."),
        CallAct("deliver", State.DELIVERED, "Mark delivered", "The notice has reached the client."),
        CallAct(
            "fail", State.UNDELIVERED, "Mark undelivered", "The notice has not reached the client."
        ),
        CallAct(
            "acknowledge", State.ACKNOWLEDGED, "Acknowledge",
            "The client has been reached and knows of the call.", right="call.acknowledge",
            needs_words=False,
        ),
        CallAct("expire", State.EXPIRED, "Expire", "It was due and has not been paid."),
        CallAct(
            "escalate", State.ESCALATED, "Escalate",
            "Somebody of risk gets it as a task: the client has not paid, or was not reached.",
        ),
        CallAct(
            "liquidate", State.LIQUIDATING, "Begin liquidation",
            "What the scope holds is sold or closed until the call is met.",
        ),
        CallAct(
            "close", State.CLOSED, "Close",
            "Liquidation is over and the call is not met by it; what is left is pursued elsewhere.",
        ),
    )
}  # fmt: skip


def carry_on(
    number: str,
    act: str,
    *,
    actor: Actor,
    words: str,
    at: datetime | None = None,
    request_id: str = "",
) -> MarginCall:
    """Take one step of a call's life, in an act of its own.

    Args:
        number: of the call.
        act: a key of `ACTS`.
        actor: who takes it.
        words: why; kept with the step.
        at: when it took place; now if None.
        request_id: of the web request.

    Raises:
        RefusedError: `margin_call_transition_is_legal`: the call is not in a state for it, or took
            the step before; `call_expires_when_it_is_due`; the session has ended. Nothing changed.
    """
    with acting(actor, reason=words or f"{ACTS[act].title} {number}", request_id=request_id) as who:
        call = MarginCall.objects.select_for_update().get(number=number)
        return step(call, ACTS[act], at=at or timezone.now(), text=words, operator_id=who)


def step(
    call: MarginCall, act: CallAct, *, at: datetime, text: str, operator_id: int | None = None
) -> MarginCall:
    """Take the step on a call that is locked; call inside an act.

    Raises:
        RefusedError: the database refused it.
    """
    changed: dict[str, Any] = {}
    if act.to_state == State.ACKNOWLEDGED:
        changed = {
            "acknowledged_at": at, "acknowledged_by_id": operator_id, "owner_id": operator_id,
        }  # fmt: skip
    elif act.to_state in MarginCall.ENDED:
        reason = "withdrawn" if act.code == "withdraw" else "liquidation_over"
        changed = {"ended_at": at, "end_reason": reason}
    due = due_now(call) if act.code == "expire" else None
    found = become(call, act.to_state, at=at, text=text, **changed)
    if due is not None and at < due:
        # Of a call that was raised the increment may be due later than the call itself.
        raise RefusedError("call_expires_when_it_is_due", f"{call.number} is not due yet")
    return found


def become(
    call: MarginCall,
    state: str,
    *,
    at: datetime,
    text: str,
    event: str = "",
    after: Decimal | None = None,
    **changed: Any,  # noqa: ANN401 - columns of a call
) -> MarginCall:
    """Bring a locked call into a state and write the step down; call inside an act.

    Args:
        event: what the step is called; the state itself if "".
        after: what is called after it, where the step says otherwise than the call, which keeps
            the amount that it ended with.
        changed: further columns of the call, with their new values.

    Raises:
        RefusedError: the database refused the step.
    """
    before, amount = call.state, call.amount
    with refusals():
        MarginCall.objects.filter(pk=call.pk).update(state=state, **changed)
        CallEvent.objects.create(
            call=call, event=event or state, from_state=before, to_state=state, occurred_at=at,
            amount_before=amount, text=text,
            amount_after=changed.get("amount", amount) if after is None else after,
        )  # fmt: skip
    found = MarginCall.objects.get(pk=call.pk)
    if state == State.ESCALATED:
        _ask_somebody(found, at=at, text=text)
    elif state in MarginCall.ENDED:
        close_call_tasks([found.pk], at=at, reason=f"The call is {state}")
    return found


def _ask_somebody(call: MarginCall, *, at: datetime, text: str) -> None:
    """Until a call is liquidated somebody owns it as a task."""
    amount = f"{grouped(call.amount, decimals=2)} {call.currency}"
    needs_somebody(
        call, "escalated", at=at, due_at=at + ESCALATION_DUE_FOR,
        subject=f"{call.number} is escalated: {amount} not paid",
        detail=text or "Decide with the client, extend, or begin liquidation.",
    )  # fmt: skip
