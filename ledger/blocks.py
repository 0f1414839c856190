"""Blocks of what leaves: set by a person or a run, lifted after their time and a clean sweep."""

from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.approvals import Description, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting
from accounts.models import (
    AccountGroup,
    Approval,
    Client,
    GroupMember,
    LegalEntity,
    MarginAccount,
)
from ledger.models import BlockLift, BlockRule, BlockSweep, OutflowBlock

SET_RULE = "block.rule"


class Live(NamedTuple):
    """A block that covers an account now."""

    id: int
    cause: str
    lasts_until: datetime

    @property
    def words(self) -> str:
        return (
            f"{BlockRule.Cause(self.cause).label.lower()}, until {self.lasts_until:%d %b %H:%M:%S}"
            " UTC at least and until a sweep is clean"
        )


def blocks_on(account_id: int) -> list[Live]:
    """The blocks that cover an account now, the longest last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, cause, lasts_until FROM ledger.blocks_on(%s)", [account_id])
        return [Live(*row) for row in cursor.fetchall()]


def blocked_accounts() -> frozenset[str]:
    """Codes of the accounts that some block covers now."""
    covered: set[str] = set()
    for block in live_blocks():
        accounts = MarginAccount.objects.filter(legal_entity=block.legal_entity)
        if block.client is not None:
            accounts = accounts.filter(client=block.client)
        if block.group is not None:
            members = GroupMember.objects.filter(group=block.group, left_on__isnull=True)
            accounts = accounts.filter(pk__in=members.values("account_id"))
        covered.update(accounts.values_list("code", flat=True))
    return frozenset(covered)


def block_outflows(
    *,
    legal_entity: LegalEntity,
    cause: str,
    detail: str,
    group: AccountGroup | None = None,
    client: Client | None = None,
) -> OutflowBlock:
    """Block what leaves a group, a client or the whole legal entity; call inside an act.

    The block lasts as long as the rule of its cause says.

    Raises:
        RefusedError: it names both a group and a client, or says too little.
    """
    return OutflowBlock.objects.create(
        legal_entity=legal_entity,
        cause=cause,
        detail=detail,
        group=group,
        client=client,
        lasts_until=timezone.now(),
    )


def live_blocks() -> list[OutflowBlock]:
    """Blocks that are not lifted, the oldest first."""
    return list(
        OutflowBlock.objects.filter(lift__isnull=True)
        .select_related("legal_entity", "group", "client")
        .order_by("pk")
    )


def lift(block: OutflowBlock, *, actor: Actor, reason: str, request_id: str = "") -> None:
    """Lift a block on its newest sweep.

    Raises:
        RefusedError: `block_lasts_its_time` or `block_ends_with_a_clean_sweep`.
    """
    newest = BlockSweep.objects.filter(block=block).order_by("-pk").first()
    if newest is None:
        raise RefusedError(
            "block_ends_with_a_clean_sweep", "no run has looked at these accounts since the block"
        )
    with acting(actor, reason=reason, request_id=request_id):
        BlockLift.objects.create(block=block, sweep=newest)


# ---------------------------------------------------------------- rules


def is_automatic(legal_entity_id: int, cause: str, *, day: date) -> bool:
    """Whether a run that finds the cause sets a block by itself, on a day."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (ledger.block_rule_on(%s, %s, %s)).is_automatic", [legal_entity_id, cause, day]
        )
        return bool(cursor.fetchone()[0])


def request_rule(
    *,
    cause: str,
    lasts_for: timedelta,
    is_automatic: bool,
    effective_from: date,
    reason: str,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that blocks of a cause last longer or shorter, or be set by runs.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    minutes = int(lasts_for.total_seconds()) // 60
    who = "set by runs" if is_automatic else "set by people"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET_RULE,
            subject=f"{BlockRule.Cause(cause).label}: {minutes} minutes, {who}",
            payload={
                "cause": cause,
                "lasts_for": int(lasts_for.total_seconds()),
                "is_automatic": is_automatic,
                "effective_from": effective_from.isoformat(),
            },
            reason=reason,
        )


def describe_rule(approval: Approval) -> Description:
    """The rule as asked for."""
    asked = approval.payload
    return Description(
        headline=approval.subject,
        facts=(
            ("Cause", BlockRule.Cause(asked["cause"]).label),
            ("Lasts", f"{asked['lasts_for']} seconds at least"),
            ("Set by runs", "yes" if asked["is_automatic"] else "no"),
            ("From", asked["effective_from"]),
        ),
    )


def set_rule(approval: Approval) -> None:
    """Set the rule as agreed; call inside an act."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.set_block_rule(%s)", [approval.pk])


def register() -> None:
    """Say how requests about blocks are shown and applied."""
    register_action(SET_RULE, describe=describe_rule, apply=set_rule)
