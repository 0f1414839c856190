"""How two people change the terms of agreements, and which account is under which.

Which terms are in force on a day: `accounts.agreed_terms`. What other apps have to say of them
before anybody agrees, and again when they are applied: `accounts.agreement_checks`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Max

from accounts.agreed_terms import account_terms
from accounts.agreement_checks import looks_at, named_terms, refuse_signature, wrong_terms
from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting
from accounts.clock import shown_day
from accounts.models import (
    AccountAgreement,
    Agreement,
    AgreementVersion,
    Approval,
    LegalEntity,
    MarginAccount,
)

VERSION, SIGN, END = "agreement.version", "agreement.sign", "agreement.end"
TERMS = {
    "effective_from": "From",
    "model": "Model",
    "parameters": "Parameters",
    "call_level": "Call level",
    "liquidation_level": "Liquidation level",
    "minimum_transfer_amount": "Minimum transfer amount",
    "currency": "Currency",
    "call_due_for": "Call is due after",
    "eligible_collateral": "Eligible collateral",
    "segregation_regime": "Segregation regime",
    "jurisdiction": "Jurisdiction",
    "document_sha256": "Document sha256",
}


# ---------------------------------------------------------------- new terms, by two people


def request_version(
    *,
    legal_entity: LegalEntity,
    code: str,
    terms: Mapping[str, Any],
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an agreement have other terms from a day on; one of a new name begins with them.

    Args:
        legal_entity: the firm.
        code: the agreement's name.
        terms: by the names in `TERMS`, as JSON can hold them.
        reason: why.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: a code is not known, or the agreement has terms from that day already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    for sentence in wrong_terms(named_terms(terms, code=code, legal_entity_id=legal_entity.pk)):
        raise AskRefusedError("", sentence)
    versions = AgreementVersion.objects.filter(
        agreement__legal_entity=legal_entity, agreement__code=code
    )
    if versions.filter(effective_from=terms["effective_from"]).exists():
        raise AskRefusedError("effective_from", "It has other terms from that day already.")
    number = (versions.aggregate(newest=Max("version"))["newest"] or 0) + 1
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=VERSION,
            subject=f"{code}, version {number}",
            payload={
                "agreement": code,
                "row": {**{name: terms[name] for name in TERMS}, "version": number},
            },
            reason=reason,
            records=(record_of(legal_entity, code),),
        )


def record_of(legal_entity: LegalEntity, code: str) -> str:
    """How requests name an agreement, also one that is not there yet."""
    return f"accounts_agreement:{legal_entity.code}/{code}"


def request_signature(
    *,
    account: MarginAccount,
    agreement: Agreement,
    effective_from: date,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an account be under an agreement from a day on.

    Raises:
        AskRefusedError: the agreement is of another firm, or has no terms on that day.
        RefusedError: an app that knows what changes refuses it, the maker may not ask, or nobody
            else could decide.
    """
    if agreement.legal_entity_id != account.legal_entity_id:
        raise AskRefusedError("agreement", f"{agreement.code} is of another legal entity.")
    if not agreement.versions.filter(effective_from__lte=effective_from).exists():
        raise AskRefusedError("agreement", f"{agreement.code} has no terms on that day.")
    if account.agreements.filter(effective_from=effective_from).exists():
        raise AskRefusedError("effective_from", "The account signed one on that day already.")
    refuse_signature(account, agreement, day=effective_from)
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=account.legal_entity_id,
            action=SIGN,
            subject=f"{account.code} under {agreement.code}",
            payload={
                "account": account.pk,
                "agreement": agreement.pk,
                "effective_from": effective_from.isoformat(),
            },
            reason=reason,
            records=(f"accounts_marginaccount:{account.pk}",),
        )


def request_end(
    signed: AccountAgreement,
    *,
    effective_to: date,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an account's agreement end; from that day it has no terms.

    Raises:
        AskRefusedError: it would end before it begins.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if effective_to <= signed.effective_from:
        raise AskRefusedError("effective_to", "It ends after the day on which it began.")
    account = signed.account
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=account.legal_entity_id,
            action=END,
            subject=f"{account.code}: {signed.agreement.code} ends",
            payload={"signed": signed.pk, "effective_to": effective_to.isoformat()},
            reason=reason,
            records=(f"accounts_marginaccount:{account.pk}",),
        )


def shown(value: object) -> str:
    """A term as people read it."""
    if value is None or value in ("", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_version(approval: Approval) -> Description:
    """The terms before and after."""
    code, row = approval.payload["agreement"], approval.payload["row"]
    before = (
        AgreementVersion.objects.filter(
            agreement__legal_entity=approval.legal_entity,
            agreement__code=code,
            version__lt=row["version"],
        )
        .order_by("-version")
        .first()
    )
    accounts = AccountAgreement.objects.filter(
        agreement__legal_entity=approval.legal_entity, agreement__code=code
    )
    asked = named_terms(row, code=code, legal_entity_id=approval.legal_entity_id)
    wrong = wrong_terms(asked) if approval.used_xid is None else []
    return Description(
        headline=f"{code}, version {row['version']}",
        facts=(
            ("Accounts under it", str(accounts.values("account").distinct().count())),
            ("Codes", "; ".join(wrong) or "known to margin"),
        ),
        fields=tuple(
            FieldChange(
                label, "none" if before is None else shown(getattr(before, name)), shown(row[name])
            )
            for name, label in TERMS.items()
        ),
        note=" ".join(wrong),
    )


def describe_signature(approval: Approval) -> Description:
    """The agreement before and after."""
    account = MarginAccount.objects.get(pk=approval.payload["account"])
    agreement = Agreement.objects.get(pk=approval.payload["agreement"])
    day = date.fromisoformat(approval.payload["effective_from"])
    before = account_terms(account.pk, day=day)
    is_open = approval.used_xid is None
    looks = looks_at(account, agreement, day=day) if is_open else []
    return Description(
        headline=f"{account.code} under {agreement.code}",
        facts=(("From", shown_day(day, form="medium")),),
        fields=(
            FieldChange("Agreement", before.agreement.code if before else "none", agreement.code),
            *(field for look in looks for field in look.fields),
        ),
        note=" ".join(look.refusal[1] for look in looks if look.refusal is not None),
    )


def describe_end(approval: Approval) -> Description:
    """When it ends."""
    signed = AccountAgreement.objects.select_related("account", "agreement").get(
        pk=approval.payload["signed"]
    )
    was = "open" if signed.effective_to is None else shown_day(signed.effective_to, form="medium")
    day = date.fromisoformat(approval.payload["effective_to"])
    return Description(
        headline=f"{signed.account.code}: {signed.agreement.code} ends",
        fields=(FieldChange("Ends", was, shown_day(day, form="medium")),),
        note="From that day the account has no terms: it is an exception until it has some.",
    )


def add_version(approval: Approval) -> None:
    """Add the version; call inside an act.

    Raises:
        RefusedError: a code is not known any more, or a rule refused it.
    """
    asked = named_terms(
        approval.payload["row"],
        code=approval.payload["agreement"],
        legal_entity_id=approval.legal_entity_id,
    )
    for sentence in wrong_terms(asked):
        raise RefusedError("agreement_names_what_is_known", sentence.rstrip("."))
    spend("SELECT accounts.add_agreement_version(%s)", approval)


def sign(approval: Approval) -> None:
    """Put the account under the agreement; call inside an act.

    Raises:
        RefusedError: an app that knows what changes refuses it now, or a rule did.
    """
    asked = approval.payload
    account = MarginAccount.objects.get(pk=asked["account"])
    agreement = Agreement.objects.get(pk=asked["agreement"])
    refuse_signature(account, agreement, day=date.fromisoformat(asked["effective_from"]))
    spend("SELECT accounts.sign_agreement(%s)", approval)


def end(approval: Approval) -> None:
    """End the agreement of the account; call inside an act."""
    spend("SELECT accounts.end_agreement(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(VERSION, describe=describe_version, apply=add_version)
    register_action(SIGN, describe=describe_signature, apply=sign)
    register_action(END, describe=describe_end, apply=end)
