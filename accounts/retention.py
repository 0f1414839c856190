"""How long records are kept, who is held, and what may or must go now."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.approvals import Description, FieldChange, register_action, request_approval, spend
from accounts.audit import Actor, acting
from accounts.erasure import check_reason
from accounts.models import Approval, Client, LegalEntity, LegalHold, RetentionClass, RetentionRule

SET = "retention.set"
PLACE = "hold.place"
LIFT = "hold.lift"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Standing:
    """How a client stands: whether the name may go, must go, or must stay, and why.

    Attributes:
        ended_on: when the last account was closed; None while one is open, or before the first.
        kept_until: first day on which the name may go; None where it must stay for now.
        gone_by: the day by which it must be gone.
        verdict: "erased", "held", "must_stay", "may_go" or "must_go".
    """

    client: Client
    ended_on: date | None
    kept_until: date | None
    gone_by: date | None
    verdict: str
    why: str


def rule_of(record: str, *, on: date) -> RetentionRule:
    """The rule of a class on a day."""
    found = RetentionRule.objects.filter(record=record, effective_from__lte=on)
    return found.order_by("-effective_from")[0]


def rules_on(day: date) -> list[RetentionRule]:
    """The rule of every class on a day."""
    found = RetentionRule.objects.filter(effective_from__lte=day).select_related("record")
    return list(found.order_by("record_id", "-effective_from").distinct("record_id"))


def standings(legal_entity: LegalEntity, *, on: date) -> list[Standing]:
    """Every client of a legal entity, by code; four queries."""
    rule = rule_of("client_identity", on=on)
    held = set(
        LegalHold.objects.filter(
            lifted_xid__isnull=True, client__legal_entity=legal_entity
        ).values_list("client_id", flat=True)
    )
    clients = Client.objects.named().filter(legal_entity=legal_entity)
    clients = clients.select_related("person_key", "legal_entity")
    return [
        _standing(client, rule=rule, is_held=client.pk in held, on=on)
        for client in clients.prefetch_related("accounts").order_by("code")
    ]


def _standing(client: Client, *, rule: RetentionRule, is_held: bool, on: date) -> Standing:
    closings = [account.closed_on for account in client.accounts.all()]
    ended = max((day for day in closings if day), default=None) if all(closings) else None
    kept_until = ended + rule.keep_for if ended else None
    gone_by = ended + rule.gone_after if ended and rule.gone_after is not None else None
    if client.person_key.key is None:
        verdict, why = "erased", "the key is destroyed"
    elif is_held:
        verdict, why = "held", "a legal hold is on the client"
    elif not closings:
        verdict, why = "may_go", "the client never had an account"
    elif ended is None or kept_until is None:
        verdict, why = "must_stay", "the client still has an account"
    elif on < kept_until:
        verdict, why = "must_stay", f"kept until {kept_until}"
    elif gone_by is not None and on >= gone_by:
        verdict, why = "must_go", f"had to be gone by {gone_by}"
    else:
        verdict, why = "may_go", f"kept until {kept_until}"
    return Standing(client, ended, kept_until, gone_by, verdict, why)


def report(*, on: date | None = None) -> dict[str, Any]:
    """What may go, what must go and what must stay, by legal entity, and the rules behind it."""
    today = on or timezone.now().astimezone(UTC).date()
    firms = []
    for firm in LegalEntity.objects.order_by("code"):
        lines = standings(firm, on=today)
        firms.append(
            {
                "legal_entity": firm.code,
                "clients": [
                    {
                        "client": line.client.code,
                        "verdict": line.verdict,
                        "why": line.why,
                        "relationship_ended": _iso(line.ended_on),
                        "kept_until": _iso(line.kept_until),
                        "gone_by": _iso(line.gone_by),
                    }
                    for line in lines
                ],
                "counts": {
                    verdict: sum(line.verdict == verdict for line in lines)
                    for verdict in ("must_stay", "held", "may_go", "must_go", "erased")
                },
            }
        )
    return {
        "on": today.isoformat(),
        "classes": [
            {
                "record": rule.record_id,
                "title": rule.record.title,
                "clock": rule.record.clock,
                "keep_days": rule.keep_for.days,
                "gone_days": None if rule.gone_after is None else rule.gone_after.days,
                "basis": rule.basis,
                "from": rule.effective_from.isoformat(),
            }
            for rule in rules_on(today)
        ],
        "legal_entities": firms,
    }


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def cut_off(record: str, *, now: datetime) -> datetime | None:
    """What is older than this must be gone; None where a class has no latest date."""
    rule = rule_of(record, on=now.astimezone(UTC).date())
    return None if rule.gone_after is None else now - rule.gone_after


# ---------------------------------------------------------------- asking


def request_hold(*, client: Client, reason: str, actor: Actor, request_id: str = "") -> UUID:
    """Ask that nothing of a client may go.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    return _ask(
        PLACE,
        client,
        payload={"client": client.pk, "reason": reason},
        reason=reason,
        actor=actor,
        request_id=request_id,
    )


def request_lifting(*, hold: LegalHold, reason: str, actor: Actor, request_id: str = "") -> UUID:
    """Ask that a hold be lifted.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    payload = {"hold": str(hold.pk), "client": hold.client_id, "reason": reason}
    return _ask(
        LIFT, hold.client, payload=payload, reason=reason, actor=actor, request_id=request_id
    )


def _ask(
    action: str,
    client: Client,
    *,
    payload: dict[str, Any],
    reason: str,
    actor: Actor,
    request_id: str,
) -> UUID:
    check_reason(client, reason)
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=client.legal_entity_id,
            action=action,
            subject=f"Client {client.code}",
            payload=payload,
            reason=reason,
        )


def request_retention(
    *,
    record: RetentionClass,
    effective_from: date,
    keep_days: int,
    gone_days: int | None,
    basis: str,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that records of a class be kept for another time from a day on.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET,
            subject=f"{record.title} from {effective_from}",
            payload={
                "record": record.pk,
                "effective_from": effective_from.isoformat(),
                "keep_days": keep_days,
                "gone_days": gone_days,
                "basis": basis,
            },
            reason=reason,
        )


# ---------------------------------------------------------------- deciding


def describe_hold(approval: Approval) -> Description:
    """Who is held, or no longer."""
    client = Client.objects.get(pk=approval.payload["client"])
    is_placed = approval.action_id == PLACE
    words = ("not held", "held") if is_placed else ("held", "not held")
    return Description(
        headline=f"{approval.action.title}: client {client.code}",
        facts=(("Client", client.code), ("Reason", approval.payload["reason"])),
        fields=(FieldChange("Hold", *words),),
        note="While held, the client cannot be erased and nothing of them is purged."
        if is_placed
        else "Retention goes on where it stood.",
    )


def describe_retention(approval: Approval) -> Description:
    """How long before and after."""
    said = approval.payload
    standing = rule_of(said["record"], on=date.fromisoformat(said["effective_from"]))
    gone = None if standing.gone_after is None else standing.gone_after.days
    return Description(
        headline=approval.subject,
        facts=(("First day", said["effective_from"]), ("Basis", said["basis"])),
        fields=(
            FieldChange("Kept for, days", str(standing.keep_for.days), str(said["keep_days"])),
            FieldChange("Gone after, days", _days(gone), _days(said["gone_days"])),
        ),
    )


def _days(days: int | None) -> str:
    return "never" if days is None else str(days)


def place_hold(approval: Approval) -> None:
    """Place the hold; call inside an act."""
    spend("SELECT accounts.place_hold(%s)", approval)


def lift_hold(approval: Approval) -> None:
    """Lift the hold; call inside an act."""
    spend("SELECT accounts.lift_hold(%s)", approval)


def set_retention(approval: Approval) -> None:
    """Set how long records are kept; call inside an act."""
    spend("SELECT accounts.set_retention(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(PLACE, describe=describe_hold, apply=place_hold)
    register_action(LIFT, describe=describe_hold, apply=lift_hold)
    register_action(SET, describe=describe_retention, apply=set_retention)
