"""Breaking the glass: a role that somebody takes alone, for minutes, and that everybody sees.

What needs two people needs two people all the same. It ends by the clock, stands in the trail, and
is on the first pages of the firm until somebody else has looked at it; whose task that is stands
there from the first moment, with a clock.
"""

from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from accounts.audit import Actor, acting
from accounts.factors import called
from accounts.models import (
    EmergencyReview,
    EmergencyRule,
    EmergencyTask,
    LegalEntity,
    Operator,
    Role,
    RoleGrant,
)
from accounts.news import announce
from accounts.roles import Roles

REVIEWERS = frozenset({Role.COMPLIANCE, Role.PRINCIPAL})


class Choice(NamedTuple):
    """A role that somebody may take, and for how long at the most."""

    role: str
    label: str
    minutes_max: int


def choices_of(roles: Roles, legal_entity: LegalEntity) -> list[Choice]:
    """What a person may take at a legal entity, beyond what they hold."""
    held = roles.at(legal_entity.pk)
    whole = {h.role for h in roles.held if h.legal_entity_id == legal_entity.pk and not h.desk}
    longest: dict[str, int] = {}
    for rule in EmergencyRule.objects.filter(holder__in=whole).exclude(role__in=held):
        longest[rule.role] = max(longest.get(rule.role, 0), rule.minutes_max)
    return [Choice(role.value, role.label, longest[role.value]) for role in Role if role in longest]


def break_glass(
    *,
    legal_entity: LegalEntity,
    role: str,
    minutes: int,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> int:
    """Take a role alone, for some minutes; returns the grant.

    Raises:
        RefusedError: no rule permits it or not for so long (`emergency_is_within_its_rule`), the
            role conflicts with another (`roles_do_not_conflict`), the reason says too little
            (`emergency_has_a_reason`), or the last proof is too old (`proof_is_recent`).
    """
    said = f"Emergency: took {Role(role).label.lower()} for {minutes} minutes. {reason}"
    with acting(actor, reason=said, request_id=request_id):
        taken = called(
            "SELECT accounts.break_glass(%s, %s, %s, %s)", legal_entity.pk, role, reason, minutes
        )
        transaction.on_commit(partial(announce, "approvals"))
    assert isinstance(taken, int)
    return taken


def end_emergency(grant: RoleGrant, *, actor: Actor, request_id: str = "") -> None:
    """Give the role back before its end.

    Raises:
        RefusedError: it is over, or one is neither its holder nor may end it.
    """
    said = f"Emergency over: {grant.get_role_display().lower()} of {grant.operator.full_name}"
    with acting(actor, reason=said, request_id=request_id):
        called("SELECT accounts.end_emergency(%s)", grant.pk)


def review(grant: RoleGrant, *, words: str, actor: Actor, request_id: str = "") -> None:
    """Say that one has looked at what was done; the alarm goes with it.

    Raises:
        RefusedError: it is one's own, or the words say too little
            (`emergency_is_reviewed_by_another`).
    """
    said = f"Looked at the emergency of {grant.operator.full_name}"
    with acting(actor, reason=said, request_id=request_id) as operator_id:
        assert operator_id is not None, "a person looks at it"
        EmergencyReview.objects.create(grant=grant, operator_id=operator_id, words=words)


def alarms(legal_entity: LegalEntity) -> "QuerySet[RoleGrant]":
    """Emergencies that nobody else has looked at yet, newest first, over or not."""
    found = RoleGrant.objects.filter(
        legal_entity=legal_entity, expires_at__isnull=False, review__isnull=True
    )
    return found.select_related("operator", "task__owner").order_by("-pk")


def own_task(grant: RoleGrant, *, actor: Actor, request_id: str = "") -> None:
    """Become the one whose task it is to look at it.

    Raises:
        RefusedError: one is the person, or neither compliance nor a senior principal there
            (`emergency_task_is_anothers`), or it was looked at.
    """
    said = f"Took over to look at the emergency of {grant.operator.full_name}"
    with acting(actor, reason=said, request_id=request_id):
        called("SELECT accounts.take_emergency_task(%s)", grant.pk)


def open_tasks(legal_entity: LegalEntity | None = None) -> "QuerySet[EmergencyTask]":
    """Tasks to look at emergencies, first due first; of all legal entities if none is named."""
    found = EmergencyTask.objects.filter(closed_at__isnull=True)
    if legal_entity is not None:
        found = found.filter(grant__legal_entity=legal_entity)
    return found.select_related("grant__operator", "owner").order_by("due_at", "pk")


def reviewed(legal_entity: LegalEntity) -> "QuerySet[RoleGrant]":
    """Emergencies of before, newest first."""
    found = RoleGrant.objects.filter(legal_entity=legal_entity, review__isnull=False)
    return found.select_related("operator", "review__operator").order_by("-pk")


def may_review(grant: RoleGrant, operator: Operator, roles: Roles) -> bool:
    """Whether this person can look at it for the firm."""
    whole = {
        h.role for h in roles.held if h.legal_entity_id == grant.legal_entity_id and not h.desk
    }
    return grant.operator_id != operator.pk and bool(whole & REVIEWERS)
