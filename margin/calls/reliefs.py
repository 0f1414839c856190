"""More time for a call, or letting it go: asked by one person, agreed to by another.

How far the desk may go is a matter of the call's terms and of the limits of roles; the database
refuses what is beyond, when it is asked for, when it is agreed to, and when it takes effect.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting
from accounts.clock import utc_stamp
from accounts.figures import grouped, plain
from accounts.models import Approval, LegalEntity
from margin.calls.acts import become
from margin.models import CallRelief, MarginCall

EXTEND: Final = "call.extend"
WAIVE: Final = "call.waive"
State = MarginCall.State


def request_relief(
    call: MarginCall,
    *,
    kind: str,
    until: datetime | None = None,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a call be due later, or that nothing be due.

    Args:
        kind: of `CallRelief.Kind`.
        until: when it is due from then on, of an extension.

    Raises:
        AskRefusedError: it is asked for already, or says no time.
        RefusedError: `relief_is_within_authority`, `limit_covers_the_amount`, or nobody else could
            decide; nothing was asked.
    """
    if (kind == CallRelief.Kind.EXTEND) != (until is not None):
        raise AskRefusedError("until", "Say until when.")
    record = f"margin_margincall:{call.pk}"
    waiting = Approval.objects.filter(
        action__in=(EXTEND, WAIVE), records__record=record, used_xid__isnull=True,
        expires_at__gt=timezone.now(),
    ).exclude(decision=Approval.Decision.REJECTED)  # fmt: skip
    if waiting.exists():
        raise AskRefusedError("", f"A relief of {call.number} waits for a second person already.")
    row = {
        "call_id": call.pk,
        "kind": str(kind),
        "amount": plain(call.amount),
        "until": None if until is None else utc_stamp(until),
        "reason": reason,
    }
    word = "more time" if until is not None else "nothing due"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=f"call.{kind}",
            subject=f"{call.number}: {word}, {plain(call.amount)} {call.currency}",
            payload={"row": row},
            reason=reason,
            records=(record,),
        )


def describe_relief(approval: Approval) -> Description:
    """The call, and what it would be."""
    row = approval.payload["row"]
    call = MarginCall.objects.select_related("scope__bucket__account").get(pk=row["call_id"])
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    is_waived = row["until"] is None
    fields = (
        FieldChange("The call is", call.get_state_display().lower(), "cancelled")
        if is_waived
        else FieldChange("Due", utc_stamp(call.due_at), row["until"])
    )
    return Description(
        headline=approval.subject,
        facts=(
            ("Account", f"{bucket.account.code} {bucket.code}"),
            ("Called", f"{grouped(call.amount, decimals=2)} {call.currency}"),
        ),
        fields=(fields,),
        note="The client owes nothing any more by this call."
        if is_waived
        else "Every part of the call that is due before then is due then.",
    )


def apply_relief(approval: Approval) -> None:
    """Give the relief; call inside an act.

    Raises:
        RefusedError: the call has another amount by now, or is not in a state for it; nothing
            changed.
    """
    row = approval.payload["row"]
    call = MarginCall.objects.select_for_update().get(pk=row["call_id"])
    if plain(call.amount) != row["amount"]:
        raise RefusedError("call_is_as_it_was_asked", f"{call.number} has changed since")
    given = CallRelief.objects.get(pk=spend("SELECT margin.give_relief(%s)", approval))
    now = timezone.now()
    if given.kind == CallRelief.Kind.EXTEND:
        become(call, State.EXTENDED, at=now, text=given.reason, due_at=given.until)
    else:
        become(
            call, State.CANCELLED, at=now, text=given.reason, event="waived", ended_at=now,
            end_reason="waived",
        )  # fmt: skip


def register() -> None:
    """Say how these requests are shown and applied."""
    for action in (EXTEND, WAIVE):
        register_action(action, describe=describe_relief, apply=apply_relief)
