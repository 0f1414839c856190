"""Closed periods: which business dates the book takes nothing more for, and who decided that.

The database refuses an entry of a closed period from whoever writes it (`period_is_open`).
Reopening takes two people (`period.reopen`).
"""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from accounts.approvals import Description, FieldChange, register_action, request_approval
from accounts.audit import Actor, acting, refusals
from accounts.models import Act, Approval, LegalEntity
from ledger.models import PeriodEvent
from ledger.naming import actor_words

REOPEN = "period.reopen"
CLOSE = "period.close"


class Turn(NamedTuple):
    """A closing or reopening, with who did it."""

    event: PeriodEvent
    by: str


def closed_through(legal_entity_id: int) -> date | None:
    """The last closed business date of a firm; None if nothing is closed."""
    newest = PeriodEvent.objects.filter(legal_entity=legal_entity_id).order_by("-number").first()
    return None if newest is None else newest.closed_through


def history(legal_entity_id: int) -> list[Turn]:
    """Every closing and reopening of a firm, newest first."""
    events = list(
        PeriodEvent.objects.filter(legal_entity=legal_entity_id)
        .select_related("approval__maker", "approval__checker")
        .order_by("-number")
    )
    acts = {
        act.pk: act
        for act in Act.objects.filter(pk__in=[event.xid for event in events]).select_related(
            "operator"
        )
    }
    return [Turn(event, actor_words(acts.get(event.xid))) for event in events]


def close_period(
    legal_entity_id: int, *, through: date, reason: str, actor: Actor, request_id: str = ""
) -> PeriodEvent:
    """Close everything through a business date; what is being posted is waited for.

    Raises:
        RefusedError: the person's role may not, the days are not done, or that much is closed
            already.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return _added("SELECT ledger.close_period(%s, %s, %s)", legal_entity_id, through, reason)


def request_reopening(
    legal_entity: LegalEntity,
    *,
    reopens_to: date | None,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that the days after `reopens_to` be opened again (None: all); a second person decides.

    Raises:
        RefusedError: nobody may ask or decide this, or there is no reason.
    """
    payload = {
        "closed_through": _text(closed_through(legal_entity.pk)),
        "reopens_to": _text(reopens_to),
    }
    subject = f"{legal_entity.code}: days after {reopens_to or 'the first'}"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=REOPEN,
            subject=subject,
            payload=payload,
            reason=reason,
        )


def reopen_period(approval: Approval) -> PeriodEvent:
    """Open the days again as two people agreed; call inside an act.

    Raises:
        RefusedError: what is closed is not what they looked at, or the approval is not usable.
    """
    return _added("SELECT ledger.reopen_period(%s)", approval.pk)


def register() -> None:
    """Say how requests to reopen a period are shown and applied."""
    register_action(REOPEN, describe=describe_reopening, apply=reopen_period)


def describe_reopening(approval: Approval) -> Description:
    """What is closed now, and what would stay closed."""
    closed = closed_through(approval.legal_entity_id)
    asked, stays = approval.payload["closed_through"], approval.payload["reopens_to"]
    note = f"Entries effective after {stays or 'the first day'} are taken again until it is closed."
    if asked != _text(closed):
        note = "The period was closed or reopened since this was asked for, so it is refused now."
    return Description(
        headline=f"Reopen the days after {stays or 'the first'}",
        fields=(FieldChange("Closed through", _text(closed) or "nothing", stays or "nothing"),),
        note=note,
    )


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _added(statement: str, *arguments: int | date | str | UUID) -> PeriodEvent:
    with refusals(), connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        (added,) = cursor.fetchone()
    return PeriodEvent.objects.get(pk=added)
