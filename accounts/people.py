"""Who holds which role: asked for by one administrator, decided by another."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from accounts.approvals import Description, FieldChange, register_action, request_approval, spend
from accounts.audit import Actor, acting
from accounts.erasure import check_reason, erase
from accounts.models import Approval, Client, LegalEntity, Operator, Role, RoleGrant

GRANT = "role.grant"
REVOKE = "role.revoke"
ERASE = "person.erase"


@dataclass(frozen=True)
class Person:
    """An operator with the roles held at one legal entity."""

    operator: Operator
    grants: tuple[RoleGrant, ...]


def people_at(legal_entity: LegalEntity) -> list[Person]:
    """Everybody who holds a role at the legal entity, by name."""
    found: dict[Operator, list[RoleGrant]] = defaultdict(list)
    grants = RoleGrant.objects.held().filter(legal_entity=legal_entity)
    for grant in grants.select_related("operator").order_by("operator__full_name", "role", "desk"):
        found[grant.operator].append(grant)
    return [Person(operator, tuple(held)) for operator, held in found.items()]


def role_words(role: str, desk: str = "") -> str:
    """A role as a sentence says it."""
    label = Role(role).label.lower()
    return f"{label} (desk {desk})" if desk else label


def request_grant(
    *,
    operator: Operator,
    role: Role,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    desk: str = "",
    request_id: str = "",
) -> UUID:
    """Ask that somebody be given a role; a second administrator decides.

    Raises:
        RefusedError: the maker is no administrator, there is no second one, or a role conflicts.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=GRANT,
            subject=f"{role_words(role, desk).capitalize()} for {operator.full_name}",
            payload={"operator": operator.pk, "role": role.value, "desk": desk},
            reason=reason,
        )


def request_revocation(
    *, grant: RoleGrant, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that a role be taken away; a second administrator decides.

    Raises:
        RefusedError: the maker is no administrator, or there is no second one.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=grant.legal_entity_id,
            action=REVOKE,
            subject=f"{role_words(grant.role, grant.desk).capitalize()} from "
            f"{grant.operator.full_name}",
            payload={"grant": grant.pk},
            reason=reason,
        )


def request_erasure(
    *, client: Client, reason: str, actor: Actor, request_id: str = "", lawful_reason: str = ""
) -> UUID:
    """Ask that a client's name be erased for ever; somebody of compliance decides.

    Args:
        lawful_reason: why before the name's time has come; it stays in the record.

    Raises:
        RefusedError: the maker may not ask, nobody else could decide, or a reason says the name.
    """
    check_reason(client, f"{reason} {lawful_reason}")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=client.legal_entity_id,
            action=ERASE,
            subject=f"Name of client {client.code}",
            payload={"client": client.pk}
            | ({"lawful_reason": lawful_reason} if lawful_reason else {}),
            reason=reason,
        )


def held_by(operator: Operator, legal_entity_id: int) -> list[RoleGrant]:
    """The roles somebody holds at a legal entity now."""
    grants = RoleGrant.objects.held().filter(operator=operator, legal_entity_id=legal_entity_id)
    return list(grants.order_by("role", "desk"))


def words(grants: list[str]) -> str:
    return ", ".join(sorted(grants)) or "no role"


def describe_grant(approval: Approval) -> Description:
    """Roles before and after the grant."""
    operator = Operator.objects.get(pk=approval.payload["operator"])
    before = [role_words(g.role, g.desk) for g in held_by(operator, approval.legal_entity_id)]
    added = role_words(approval.payload["role"], approval.payload.get("desk", ""))
    return Description(
        headline=approval.subject,
        facts=(("Person", f"{operator.full_name} ({operator.username})"),),
        fields=(FieldChange("Roles", words(before), words([*before, added])),),
    )


def describe_revocation(approval: Approval) -> Description:
    """Roles before and after the revocation."""
    grant = RoleGrant.objects.select_related("operator").get(pk=approval.payload["grant"])
    held = held_by(grant.operator, approval.legal_entity_id)
    before = [role_words(g.role, g.desk) for g in held]
    after = [role_words(g.role, g.desk) for g in held if g.pk != grant.pk]
    return Description(
        headline=approval.subject,
        facts=(("Person", f"{grant.operator.full_name} ({grant.operator.username})"),),
        fields=(FieldChange("Roles", words(before), words(after)),),
    )


def describe_erasure(approval: Approval) -> Description:
    """What is lost with the key."""
    client = Client.objects.named().get(pk=approval.payload["client"])
    return Description(
        headline=approval.subject,
        facts=(
            ("Client", client.code),
            ("Lawful reason", approval.payload.get("lawful_reason", "none named")),
        ),
        fields=(FieldChange("Name", client.name, "erased"),),
        note="The name cannot be read again, here or in the audit trail. Balances, calls and "
        "seals stay as they are.",
    )


def grant_role(approval: Approval) -> None:
    """Give the role; call inside an act."""
    spend("SELECT accounts.grant_role(%s)", approval)


def revoke_role(approval: Approval) -> None:
    """Take the role away; call inside an act."""
    spend("SELECT accounts.revoke_role(%s)", approval)


def erase_person(approval: Approval) -> None:
    """Destroy the key under which the client's name is sealed; call inside an act."""
    erase(approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(GRANT, describe=describe_grant, apply=grant_role)
    register_action(REVOKE, describe=describe_revocation, apply=revoke_role)
    register_action(ERASE, describe=describe_erasure, apply=erase_person)
