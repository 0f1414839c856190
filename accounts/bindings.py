"""Who is known to the firm's identity provider: bound, and taken away, by two administrators.

An identity is the pair of issuer and subject. Nobody is bound by a name or an e-mail address,
which a provider may give to somebody else one day, and nobody at a first sign-in.
"""

from uuid import UUID

from django.conf import settings
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
from accounts.models import Approval, LegalEntity, Operator, RoleGrant, SignInBinding

IDENTITY = "role.identity"
SUBJECT_LENGTH_MAX = 255


def operator_of(issuer: str, subject: str) -> Operator | None:
    """Whose identity this is, while they are active."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.operator_of(%s, %s)", [issuer, subject])
        (found,) = cursor.fetchone()
    return Operator.objects.filter(pk=found, is_active=True).first()


def bound_to(operator: Operator) -> list[SignInBinding]:
    """The identities by which a person signs in now."""
    newest = SignInBinding.objects.order_by("issuer", "subject", "-pk").distinct(
        "issuer", "subject"
    )
    return [each for each in newest if each.is_bound and each.operator_id == operator.pk]


def request_binding(
    *,
    operator: Operator,
    legal_entity: LegalEntity,
    subject: str,
    is_bound: bool,
    reason: str,
    actor: Actor,
    issuer: str | None = None,
    request_id: str = "",
) -> UUID:
    """Ask that an identity be somebody's, or no longer; a second administrator decides.

    Args:
        issuer: the provider; the configured one where nothing is said.

    Raises:
        AskRefusedError: no provider is configured, this person never worked here, the identity is
            somebody's already, or is not theirs to take away.
        RefusedError: the maker is no administrator, or there is no second one.
    """
    issuer = issuer or settings.OIDC_ISSUER
    if not issuer:
        raise AskRefusedError("subject", "No identity provider is configured (OIDC_ISSUER).")
    if not RoleGrant.objects.filter(operator=operator, legal_entity=legal_entity).exists():
        raise AskRefusedError("", "This person holds no role here.")
    now = operator_of(issuer, subject)
    if is_bound and now is not None:
        raise AskRefusedError("subject", f"This identity is bound to {now.full_name} already.")
    theirs = {(each.issuer, each.subject) for each in bound_to(operator)}
    if not is_bound and (issuer, subject) not in theirs:
        raise AskRefusedError("subject", "This identity is not bound to them.")
    verb = "of" if is_bound else "taken from"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=IDENTITY,
            subject=f"Identity {verb} {operator.full_name}",
            payload={
                "operator": operator.pk, "issuer": issuer, "subject": subject,
                "is_bound": is_bound,
            },
            reason=reason,
        )  # fmt: skip


def describe(approval: Approval) -> Description:
    """Whose identity it would be."""
    said = approval.payload
    operator = Operator.objects.get(pk=said["operator"])
    name = f"{operator.full_name} ({operator.username})"
    before, after = ("nobody", name) if said["is_bound"] else (name, "nobody")
    return Description(
        headline=approval.subject,
        facts=(("Provider", said["issuer"]), ("Subject", said["subject"])),
        fields=(FieldChange("Signs in as", before, after),),
        note="Whoever the provider knows by this subject signs in as this person."
        if said["is_bound"]
        else "Sessions that were opened by it end.",
    )


def change(approval: Approval) -> None:
    """Bind it, or take it away; call inside an act."""
    spend("SELECT accounts.bind_identity(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(IDENTITY, describe=describe, apply=change)
