"""What a firm asks of its people at the door: changed, like a role, by two administrators."""

from collections.abc import Collection
from uuid import UUID

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.models import Approval, LegalEntity, Operator, Role, RoleGrant, SignInRule

RULE = "role.sign_in"
RESET = "role.factors"
PROOF_MINUTES = 15
PROOF_MINUTES_MAX = 60


def rule_of(legal_entity: LegalEntity) -> SignInRule:
    """What holds now; where nothing was agreed, nobody must have a second factor."""
    newest = SignInRule.objects.filter(legal_entity=legal_entity).order_by("-pk").first()
    return newest or SignInRule(
        legal_entity=legal_entity, second_factor_for=[], proof_minutes=PROOF_MINUTES
    )


def words_of(roles: Collection[str]) -> str:
    """The roles that must have a second factor, as a sentence says it."""
    if set(roles) >= set(Role.values):
        return "everybody"
    return ", ".join(Role(role).label.lower() for role in Role if role in roles) or "nobody"


def request_rule(
    *,
    legal_entity: LegalEntity,
    second_factor_for: Collection[str],
    proof_minutes: int,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that people sign in otherwise; a second administrator decides.

    Raises:
        AskRefusedError: a proof would be good for less than a minute or more than an hour.
        RefusedError: the maker is no administrator, or there is no second one.
    """
    if not 1 <= proof_minutes <= PROOF_MINUTES_MAX:
        raise AskRefusedError("proof_minutes", "A proof is good for 1 to 60 minutes.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RULE,
            subject=f"Second factor for {words_of(second_factor_for)}, "
            f"proofs for {proof_minutes} minutes",
            payload={
                "second_factor_for": [role for role in Role.values if role in second_factor_for],
                "proof_minutes": proof_minutes,
            },
            reason=reason,
        )


def request_reset(
    *,
    operator: Operator,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that somebody's second factors be taken away, who has lost them.

    Raises:
        AskRefusedError: this person never worked here.
        RefusedError: the maker is no administrator, or there is no second one.
    """
    if not RoleGrant.objects.filter(operator=operator, legal_entity=legal_entity).exists():
        raise AskRefusedError("", "This person holds no role here.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RESET,
            subject=f"Second factors of {operator.full_name}",
            payload={"operator": operator.pk},
            reason=reason,
        )


def describe_rule(approval: Approval) -> Description:
    """The rule before and after."""
    was, said = rule_of(approval.legal_entity), approval.payload
    return Description(
        headline=f"How people sign in at {approval.legal_entity.code}",
        fields=(
            FieldChange(
                "Second factor for",
                words_of(was.second_factor_for),
                words_of(said["second_factor_for"]),
            ),
            FieldChange("A proof is good for, minutes", str(was.proof_minutes),
                        str(said["proof_minutes"])),
        ),
        note="Whoever must have a second factor and has none opens no page but the one to set "
        "it up.",
    )  # fmt: skip


def describe_reset(approval: Approval) -> Description:
    """Whose second factors would go."""
    operator = Operator.objects.get(pk=approval.payload["operator"])
    count = operator.factors.filter(confirmed_at__isnull=False, removed_at__isnull=True).count()
    return Description(
        headline=approval.subject,
        facts=(("Person", f"{operator.full_name} ({operator.username})"),),
        fields=(FieldChange("Second factors", str(count), "0"),),
        note="Their sessions end too. Until they set up another, the password alone lets them in.",
    )


def change_rule(approval: Approval) -> None:
    """Set the rule; call inside an act."""
    spend("SELECT accounts.change_sign_in(%s)", approval)


def reset_factors(approval: Approval) -> None:
    """Take the factors away; call inside an act."""
    spend("SELECT accounts.reset_factors(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(RULE, describe=describe_rule, apply=change_rule)
    register_action(RESET, describe=describe_reset, apply=reset_factors)
