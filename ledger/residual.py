"""What the firm may take of its residual interest in a client pool, and what it must keep.

It is taken after the statement of segregation of the business day before, down to the target that
the firm has set itself. Beyond a share of that statement, at once or in steps, a senior principal
approves, with a notice. The database keeps all of it (ledger/migrations/0009_four_eyes.sql); here
is what people see of it before they ask.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.approvals import Description, FieldChange, register_action, request_approval, spend
from accounts.audit import Actor, acting, refusals
from accounts.clock import shown_day
from accounts.figures import WIDE, grouped
from accounts.models import Approval, LegalEntity
from ledger.models import (
    Asset,
    ConductRule,
    Pool,
    ResidualNotice,
)
from ledger.posting import plain
from ledger.residual_standing import Standing, conduct_rule, residual_now, standing_of

WITHDRAWAL = "residual_withdrawal"
TARGET = "residual.target"
RULE = "conduct.rule"
REPRESENTATION = (
    "After this withdrawal the firm still holds the residual interest that the rules and its own"
    " target require, to the best of the signer's knowledge."
)
ZERO = Decimal(0)


def state_segregation(legal_entity_id: int, *, day: date) -> int:
    """State every client pool for a business day; call inside an act.

    Returns:
        How many pools and assets were stated now; those stated before stay as they are.

    Raises:
        RefusedError: a later day has been stated.
    """
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT ledger.state_segregation(%s, %s)", [legal_entity_id, day])
        (stated,) = cursor.fetchone()
    return int(stated)


# ---------------------------------------------------------------- the notice


def write_notice(
    approval_id: UUID, *, pool: Pool, asset: Asset, amount: Decimal, reasons: str, recipients: str
) -> None:
    """Write the notice that goes with a withdrawal; call inside the maker's act.

    A principal signs it by approving the request; it cannot be changed.

    Raises:
        RefusedError: one of its items is missing, or it does not say what is asked.
    """
    with refusals():
        ResidualNotice.objects.create(
            approval_id=approval_id,
            pool=pool,
            asset=asset,
            reasons=reasons,
            recipients=recipients,
            amount=amount,
            residual_interest=residual_now(pool, asset),
            representation=REPRESENTATION,
        )


def withdrawal_facts(approval: Approval) -> tuple[tuple[str, str], ...]:
    """How a withdrawal stands to the statement, the share and the target; for its checker."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.pool_id, t.asset_id, t.amount FROM accounts_approval a"
            " CROSS JOIN LATERAL ledger.residual_asked(a.payload) t WHERE a.id = %s",
            [approval.pk],
        )
        found = cursor.fetchall()
    lines: list[tuple[str, str]] = []
    for pool_id, asset_id, amount in found:
        pool, asset = Pool.objects.get(pk=pool_id), Asset.objects.get(pk=asset_id)
        standing = standing_of(pool, asset, day=effective_day(approval))
        lines += facts_of(standing, amount=amount, is_applied=approval.used_xid is not None)
    notice = ResidualNotice.objects.filter(approval=approval).first()
    if notice is not None:
        lines.append(("Notice", f"to {notice.recipients}; signed by approving"))
    return tuple(lines)


def effective_day(approval: Approval) -> date:
    """The day on which what was asked for is effective."""
    return datetime.fromisoformat(approval.payload["effective_at"]).astimezone(UTC).date()


def facts_of(standing: Standing, *, amount: Decimal, is_applied: bool) -> list[tuple[str, str]]:
    code, scale = standing.asset.code, standing.asset.scale

    def money(value: Decimal) -> str:
        return f"{grouped(value, decimals=scale)} {code}"

    target = money(standing.target) if standing.has_target else "none is set"
    if is_applied:
        return [("Target", target)]
    if standing.statement is None or not standing.is_stated:
        return [
            ("Statement", f"none of {shown_day(standing.due, form='short')}"),
            ("Target", target),
        ]
    series = WIDE.add(standing.taken, amount)
    beyond = standing.is_beyond(amount)
    return [
        (
            "Statement",
            f"{shown_day(standing.statement.business_day, form='short')}: residual interest"
            f" {money(standing.stated)}",
        ),
        (
            "Taken since, with this",
            f"{money(series)}; without a principal up to {money(standing.free_share)}",
        ),
        ("Decides", "a senior principal, with the notice" if beyond else "any second person"),
        ("Target", target),
    ]


# ---------------------------------------------------------------- targets and rules


def request_target(
    *,
    pool: Pool,
    asset: Asset,
    amount: Decimal,
    effective_from: date,
    analysis: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that the firm keep at least this much residual interest in a pool from a day on.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=analysis, request_id=request_id):
        return request_approval(
            legal_entity_id=pool.legal_entity_id,
            action=TARGET,
            subject=f"{grouped(amount, decimals=asset.scale)} {asset.code} in {pool.code}",
            payload={
                "pool_id": pool.pk,
                "asset_id": asset.pk,
                "effective_from": effective_from.isoformat(),
                "amount": plain(amount),
                "analysis": analysis,
            },
            reason=analysis,
            records=(f"ledger_pool:{pool.pk}",),
        )


def request_rule(
    *,
    legal_entity: LegalEntity,
    code: str,
    regime: str,
    value: Decimal,
    effective_from: date,
    source: str,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a rule of conduct have another value from a day on.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RULE,
            subject=f"{ConductRule.Code(code).label}: {plain(value)}",
            payload={
                "code": code,
                "regime": regime,
                "effective_from": effective_from.isoformat(),
                "value": plain(value),
                "source": source,
            },
            reason=reason,
            records=(f"ledger_conductrule:{code}",),
        )


def describe_target(approval: Approval) -> Description:
    """The target before and after."""
    said: Mapping[str, Any] = approval.payload
    pool, asset = Pool.objects.get(pk=said["pool_id"]), Asset.objects.get(pk=said["asset_id"])
    day = date.fromisoformat(said["effective_from"])
    standing = standing_of(pool, asset, day=day)
    before = grouped(standing.target, decimals=asset.scale) if standing.has_target else "none"
    after = grouped(Decimal(said["amount"]), decimals=asset.scale)
    return Description(
        headline=f"Keep {after} {asset.code} of residual interest in {pool.code}",
        facts=(
            ("From", shown_day(day, form="medium")),
            (
                "Residual interest now",
                f"{grouped(standing.now, decimals=asset.scale)} {asset.code}",
            ),
            ("Analysis", str(said["analysis"])),
        ),
        fields=(FieldChange(f"Target, {asset.code}", before, after),),
    )


def describe_rule(approval: Approval) -> Description:
    """The rule before and after."""
    said: Mapping[str, Any] = approval.payload
    day = date.fromisoformat(said["effective_from"])
    label = ConductRule.Code(said["code"]).label
    before = conduct_rule(said["code"], regime=said["regime"], day=day)
    return Description(
        headline=approval.subject,
        facts=(
            ("Regime", said["regime"] or "all without a rule of their own"),
            ("From", shown_day(day, form="medium")),
            ("Source", said["source"]),
        ),
        fields=(FieldChange(label, plain(before), str(said["value"])),),
    )


def set_target(approval: Approval) -> None:
    """Set the target; call inside an act."""
    spend("SELECT ledger.set_residual_target(%s)", approval)


def set_rule(approval: Approval) -> None:
    """Set the rule; call inside an act."""
    spend("SELECT ledger.set_conduct_rule(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(TARGET, describe=describe_target, apply=set_target)
    register_action(RULE, describe=describe_rule, apply=set_rule)
