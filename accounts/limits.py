"""How much each role may ask for and agree to, in each asset: rows with a first day.

A role without a row may ask for and agree to nothing. The day's sum is of everybody who holds the
role together, by UTC days. The database counts (accounts/migrations/0005_four_eyes.sql); here is
what people see of it, and how it is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
)
from accounts.audit import Actor, acting, refusals
from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.models import Approval, ApprovalLimit, LegalEntity, LimitUse, Role

CHANGE = "limit.change"
AMOUNTS = {
    "request_each": "Asks for, in one request",
    "request_day": "Asks for, in a day",
    "approve_each": "Agrees to, in one request",
    "approve_day": "Agrees to, in a day",
}
LIMITED = (Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.COMPLIANCE, Role.PRINCIPAL)


@dataclass(frozen=True)
class LimitInForce:
    """One row in force, with what has been spent of it today where it names an asset."""

    limit: ApprovalLimit
    requested: Decimal | None
    approved: Decimal | None

    @property
    def is_default(self) -> bool:
        """Whether it came with the product and nobody at this firm has set another."""
        return self.limit.legal_entity_id is None


def utc_today() -> date:
    """The day by which limits count."""
    return timezone.now().astimezone(UTC).date()


def limits_in_force(legal_entity: LegalEntity, *, day: date) -> list[LimitInForce]:
    """Every row that holds at a firm on a day, by role and asset."""
    newest: dict[tuple[str, str], ApprovalLimit] = {}
    rows = ApprovalLimit.objects.filter(effective_from__lte=day).order_by("effective_from", "pk")
    for of_firm in (None, legal_entity.pk):
        for row in rows:
            if row.legal_entity_id == of_firm:
                newest[row.role, row.asset] = row
    spent = spent_on(legal_entity, day=day)
    order = {role.value: place for place, role in enumerate(Role)}
    return [
        LimitInForce(
            limit=row,
            requested=spent.get((role, asset, LimitUse.Side.REQUEST)) if asset else None,
            approved=spent.get((role, asset, LimitUse.Side.APPROVE)) if asset else None,
        )
        for (role, asset), row in sorted(
            newest.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    ]


def spent_on(legal_entity: LegalEntity, *, day: date) -> dict[tuple[str, str, str], Decimal]:
    """What each role has asked for and agreed to on a day, by role, asset and side."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.role, s.asset, s.side, accounts.limit_spent(%s, s.role, s.side, s.asset, %s)"
            " FROM (SELECT DISTINCT role, asset, side FROM accounts_limituse"
            "       WHERE legal_entity_id = %s AND on_day = %s) s",
            [legal_entity.pk, day, legal_entity.pk, day],
        )
        return {(role, asset, side): amount for role, asset, side, amount in cursor.fetchall()}


def limit_of(
    legal_entity: LegalEntity, *, role: str, asset: str, day: date
) -> ApprovalLimit | None:
    """The row that holds for a role and an asset on a day; None: it may nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (accounts.limit_in_force(%s, %s, %s, %s)).id",
            [legal_entity.pk, role, asset, day],
        )
        (found,) = cursor.fetchone()
    return None if found is None else ApprovalLimit.objects.get(pk=found)


def words_of(amount: Decimal | None) -> str:
    """An amount of a limit as people say it."""
    return "no limit" if amount is None else grouped(amount)


def request_limit(
    *,
    legal_entity: LegalEntity,
    role: str,
    asset: str,
    effective_from: date,
    amounts: Mapping[str, Decimal | None],
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a role have other limits from a day on.

    Args:
        legal_entity: where.
        role: whose.
        asset: in which asset; "" for all that have no row of their own.
        effective_from: today or later, by UTC.
        amounts: by the names in `AMOUNTS`; None is no limit.
        reason: why.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: the day has passed, or one request may be more than a day.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if effective_from < utc_today():
        raise AskRefusedError("effective_from", "A limit begins today or later.")
    for side in ("request", "approve"):
        each, day = amounts[f"{side}_each"], amounts[f"{side}_day"]
        if day is not None and (each is None or each > day):
            raise AskRefusedError(f"{side}_each", "One request is no more than what a day allows.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=CHANGE,
            subject=f"{Role(role).label}, {asset or 'every asset'}",
            payload={
                "role": role,
                "asset": asset,
                "effective_from": effective_from.isoformat(),
                **{
                    name: None if amounts[name] is None else format(amounts[name], "f")
                    for name in AMOUNTS
                },
            },
            reason=reason,
            records=(f"accounts_approvallimit:{role}",),
        )


def describe(approval: Approval) -> Description:
    """The limits before and after."""
    said: Mapping[str, Any] = approval.payload
    day = date.fromisoformat(said["effective_from"])
    asset = said["asset"]
    before = limit_of(approval.legal_entity, role=said["role"], asset=asset, day=day)
    fields = []
    for name, label in AMOUNTS.items():
        was = "nothing" if before is None else words_of(getattr(before, name))
        now = None if said[name] is None else Decimal(said[name])
        fields.append(FieldChange(label, was, words_of(now)))
    return Description(
        headline=f"Limits of {Role(said['role']).label.lower()} in {asset or 'every asset'}",
        facts=(("From", shown_day(day, form="medium")),),
        fields=tuple(fields),
        note="The day's amounts are for everybody who holds the role together.",
    )


def change_limit(approval: Approval) -> None:
    """Set the limits; call inside an act."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT accounts.change_limit(%s)", [approval.pk])


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(CHANGE, describe=describe, apply=change_limit)
