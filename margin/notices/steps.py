"""The steps of a delivery, and what they make of its call and of the people who look after it.

Which steps there are is data in the database, which refuses all others by name.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max

from accounts.audit import refusals
from accounts.bulk import copy_rows
from margin.calls import delivery as call_delivery
from margin.models import (
    CallEvent,
    Delivery,
    DeliveryEvent,
    MarginCall,
    NoticeKind,
    Task,
    TaskEvent,
)
from margin.worklist import OPERATIONS, Needed, open_tasks

ILLEGAL: Final = "delivery_transition_is_legal"
LETTER_DUE_AFTER: Final = timedelta(hours=4)
FAILURE_DUE_AFTER: Final = timedelta(hours=1)
State = Delivery.State
STATE_AFTER: Final = {
    "attempt": State.SENDING,
    "unknown": State.SENDING,
    "accepted": State.DELIVERED,
    "refused": State.WAITING,
    "gave_up": State.UNDELIVERED,
    "bounced": State.BOUNCED,
    "again": State.WAITING,
    "printed": State.PRINTED,
    "posted": State.DELIVERED,
    "dropped": State.DROPPED,
}
ATTEMPTS: Final = ("attempt", "unknown")


def step(
    delivery: Delivery, name: str, *, at: datetime, text: str = "", next_at: datetime | None = None
) -> Delivery:
    """Take a step on a delivery that is locked; call inside an act.

    Args:
        next_at: when something is due of it afterwards; None where nothing is.

    Raises:
        RefusedError: `delivery_transition_is_legal`; nothing was changed.
    """
    to_state = STATE_AFTER[name]
    last = DeliveryEvent.objects.filter(delivery=delivery).aggregate(last=Max("number"))["last"]
    changed: dict[str, Any] = {"state": to_state, "next_at": next_at}
    if name in ATTEMPTS:
        changed["attempts"] = delivery.attempts + 1
    with refusals():
        DeliveryEvent.objects.create(
            delivery=delivery, number=(last or 0) + 1, step=name, from_state=delivery.state,
            to_state=to_state, at=at, text=text,
        )  # fmt: skip
        Delivery.objects.filter(pk=delivery.pk).update(**changed)
    for key, value in changed.items():
        setattr(delivery, key, value)
    return delivery


# ---------------------------------------------------------------- what a step makes of the call


def reached(delivery: Delivery, *, at: datetime, words: str, text: str) -> None:
    """Somebody took the notice: its call is delivered, or goes on with a line in its life.

    Args:
        words: the way and the receipt, in one line.
        text: of the notice.
    """
    close_tasks_of(delivery, at=at, reason="The notice is delivered")
    call = MarginCall.objects.select_for_update().get(pk=delivery.call_id)
    said = f"{words}\n\n{text}"
    if delivery.kind == NoticeKind.ISSUED:
        after = call_delivery.delivered(call, at=at, text=said)
        if after.state != call.state:
            return
    _tell(call, "notified", at=at, text=said)


def missed(delivery: Delivery, *, at: datetime, words: str) -> None:
    """Nobody took the notice: somebody is asked, and a call that no way reached is undelivered."""
    call = MarginCall.objects.select_for_update().get(pk=delivery.call_id)
    ask_somebody(
        delivery, at=at, due_at=at + FAILURE_DUE_AFTER,
        subject=f"{call.number}: notice not delivered ({delivery.get_channel_display().lower()})",
        detail=words,
    )  # fmt: skip
    if delivery.kind != NoticeKind.ISSUED:
        return
    others = Delivery.objects.filter(call=call, kind=NoticeKind.ISSUED).exclude(pk=delivery.pk)
    if not others.filter(state__in=[*Delivery.PENDING, State.DELIVERED]).exists():
        call_delivery.undelivered(call, at=at, text=words)


def came_back(delivery: Delivery, *, at: datetime, words: str) -> None:
    """A notice that somebody took came back: somebody is asked, and the call's life says so."""
    call = MarginCall.objects.select_for_update().get(pk=delivery.call_id)
    ask_somebody(
        delivery, at=at, due_at=at + FAILURE_DUE_AFTER,
        subject=f"{call.number}: notice came back ({delivery.get_channel_display().lower()})",
        detail=words,
    )  # fmt: skip
    _tell(call, "bounced", at=at, text=words)


def _tell(call: MarginCall, event: str, *, at: datetime, text: str) -> None:
    with refusals():
        CallEvent.objects.create(
            call=call, event=event, from_state=call.state, to_state=call.state, occurred_at=at,
            amount_before=call.amount, amount_after=call.amount, text=text,
        )  # fmt: skip


# ---------------------------------------------------------------- tasks


def key_of(delivery: Delivery) -> str:
    """How a task names a delivery."""
    return f"notice:{delivery.pk}"


def ask_somebody(
    delivery: Delivery, *, at: datetime, due_at: datetime, subject: str, detail: str
) -> None:
    """Open a task about a delivery, in place of one that is open. Call inside an act."""
    close_tasks_of(delivery, at=at, reason="Something else is to be done about it")
    call = delivery.call
    needed = Needed(
        kind=Task.Kind.NOTICE, key=key_of(delivery), subject=subject[:200], detail=detail,
        due_at=due_at, owner_role=OPERATIONS, scope=call.scope,
    )  # fmt: skip
    open_tasks([needed], business_day=call.business_day, at=at)


def close_tasks_of(delivery: Delivery, *, at: datetime, reason: str) -> None:
    """Close what is open about a delivery. Call inside an act."""
    found = Task.objects.filter(kind=Task.Kind.NOTICE, key=key_of(delivery), closed_at__isnull=True)
    over: Sequence[Task] = list(found)
    found.update(closed_at=at, close_reason=reason)
    copy_rows([TaskEvent(task=task, event="closed", text=reason, occurred_at=at) for task in over])
