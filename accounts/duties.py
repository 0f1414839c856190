"""What each person may do, right by right, and which rights nobody holds together.

The database refuses a role that would join two rights of a conflict (`roles_do_not_conflict`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.models import Approval, ApprovalAction, LegalEntity, Operator, Role, RoleGrant
from accounts.people import people_at
from accounts.roles import RIGHTS

CONFLICT = "duty.conflict"
REPORT_KEYS = (
    "username", "name", "active", "right", "kind", "words", "by_role", "desk", "until",
)  # fmt: skip


class Right(NamedTuple):
    """One thing that a person may do, and by which role."""

    username: str
    full_name: str
    is_active: bool
    right: str
    kind: str
    words: str
    role: str
    desk: str
    until: datetime | None


@dataclass(frozen=True)
class Conflict:
    """Two rights that nobody holds together."""

    first: str
    second: str
    reason: str

    @property
    def words(self) -> str:
        """As a sentence says it."""
        return f"{duty_words(self.first)} and {duty_words(self.second)}"


def duty_words(duty: str) -> str:
    """A right of a conflict as people call it."""
    kind, _, code = duty.partition(":")
    if kind == "role":
        return Role(code).label.lower() if code in Role.values else code
    title = ApprovalAction.objects.filter(code=code).values_list("title", flat=True).first()
    return f"{'ask for' if kind == 'ask' else 'decide'} “{title or code}”"


def effective_rights(legal_entity: LegalEntity) -> list[Right]:
    """Every right of everybody who holds a role there now, by person, right and role."""
    actions = list(ApprovalAction.objects.order_by("code"))
    return [
        right
        for person in people_at(legal_entity)
        for grant in person.grants
        for right in rights_by(grant, person.operator, actions)
    ]


def rights_by(grant: RoleGrant, operator: Operator, actions: list[ApprovalAction]) -> list[Right]:
    """What one role gives one person; a role limited to a desk asks for and decides nothing."""
    who = (operator.username, operator.full_name, operator.is_active)
    how = (grant.role, grant.desk, grant.expires_at)
    found = [
        Right(*who, act, "act", title, *how)
        for act, (title, allowed) in sorted(RIGHTS.items())
        if grant.role in allowed
    ]
    if grant.desk:
        return found
    for action in actions:
        if grant.role in action.maker_roles:
            found.append(Right(*who, action.code, "ask", action.title, *how))
        if grant.role in action.checker_roles:
            found.append(Right(*who, action.code, "decide", action.title, *how))
    return found


def conflicts_in_force(legal_entity: LegalEntity) -> list[Conflict]:
    """Pairs of rights that nobody holds together at a legal entity."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT first, second, reason FROM accounts.conflicts_in_force(%s) ORDER BY 1, 2",
            [legal_entity.pk],
        )
        return [Conflict(*row) for row in cursor.fetchall()]


def every_duty() -> list[str]:
    """All that a conflict can name."""
    codes = list(ApprovalAction.objects.order_by("code").values_list("code", flat=True))
    return [
        *(f"role:{role}" for role in Role.values),
        *(f"ask:{code}" for code in codes),
        *(f"decide:{code}" for code in codes),
    ]


def request_conflict(
    *,
    legal_entity: LegalEntity,
    first: str,
    second: str,
    is_forbidden: bool,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that nobody hold two rights together, or that they may again.

    Raises:
        AskRefusedError: the two are the same right.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if first == second:
        raise AskRefusedError("second", "A conflict is between two rights.")
    first, second = sorted((first, second))
    verb = "Nobody holds both" if is_forbidden else "May be held together again"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=CONFLICT,
            subject=f"{verb}: {first} and {second}"[:200],
            payload={
                "first": first, "second": second, "is_forbidden": is_forbidden,
                "why": reason[:200],
            },
            reason=reason,
        )  # fmt: skip


def describe(approval: Approval) -> Description:
    """The pair, and what becomes of it."""
    said = approval.payload
    now = "nobody" if said["is_forbidden"] else "anybody"
    pair = Conflict(said["first"], said["second"], "")
    known = {(c.first, c.second) for c in conflicts_in_force(approval.legal_entity)}
    was = "nobody" if (pair.first, pair.second) in known else "anybody"
    return Description(
        headline=approval.subject,
        facts=(("Rights", pair.words),),
        fields=(FieldChange("Who may hold both", was, now),),
        note="It is refused while somebody holds both.",
    )


def change_conflict(approval: Approval) -> None:
    """Set the conflict; call inside an act."""
    spend("SELECT accounts.change_conflict(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(CONFLICT, describe=describe, apply=change_conflict)
