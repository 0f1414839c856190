"""Which terms an account is under on a day, and how two people change them.

Where no agreement is in force there are no terms. Agreements hold codes of what other apps know,
so whoever knows them says whether they are right before anybody agrees, and again when they are
applied.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Max

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

# Says what is wrong with the codes of some terms, one sentence each; nothing if all are known.
CheckTerms = Callable[[Mapping[str, Any]], list[str]]
_checks: list[CheckTerms] = []
# The same of an account that comes under an agreement from a day on.
CheckSignature = Callable[[MarginAccount, Agreement, date], list[str]]
_signature_checks: list[CheckSignature] = []


def register_terms_check(check: CheckTerms) -> None:
    """Have the codes of new terms looked at by the app that knows them; from `AppConfig.ready`."""
    _checks.append(check)


def register_signature_check(check: CheckSignature) -> None:
    """Have signatures looked at by the app that knows who may be under which terms."""
    _signature_checks.append(check)


def wrong_signature(account: MarginAccount, agreement: Agreement, day: date) -> list[str]:
    """Why an account may not come under an agreement on a day; nothing if it may."""
    return [sentence for check in _signature_checks for sentence in check(account, agreement, day)]


def named_terms(terms: Mapping[str, Any], *, code: str, legal_entity_id: int) -> dict[str, Any]:
    """Terms with the agreement that they are of, as checks are asked about them."""
    return {**terms, "agreement": code, "legal_entity": legal_entity_id}


class SignatureLook(NamedTuple):
    """What an app sees in an account coming under an agreement.

    Attributes:
        refusal: rule and sentence where it must not.
        fields: what would change, before and after.
    """

    refusal: tuple[str, str] | None
    fields: tuple[FieldChange, ...] = ()


LookAtSignature = Callable[[MarginAccount, Agreement, date], SignatureLook]
_looks: list[LookAtSignature] = []


def register_signature_look(look: LookAtSignature) -> None:
    """Have signatures looked at, asked and applied, by the app that knows what they change."""
    _looks.append(look)


def looks_at(account: MarginAccount, agreement: Agreement, *, day: date) -> list[SignatureLook]:
    """What the apps see in an account coming under an agreement on a day."""
    return [look(account, agreement, day) for look in _looks]


def wrong_terms(row: Mapping[str, Any]) -> list[str]:
    """What the apps that know the codes find wrong."""
    return [sentence for check in _checks for sentence in check(row)]


# The newest agreement of the account that began by that day, if it has not ended; of that one the
# newest version that began by then. An agreement without a version in force gives no terms: the
# one before it has been replaced, so falling back to it would be a default. At a horizon only rows
# count that it knew, and a signature ends as the trail says it did then.
IN_FORCE = """
    SELECT version.*, signed.account_id, agreement.code AS agreement_code,
           agreement.legal_entity_id AS agreement_entity_id
    FROM (
        SELECT DISTINCT ON (account_id) id, account_id, agreement_id, effective_to
        FROM accounts_accountagreement
        WHERE effective_from <= %(day)s
          AND (%(accounts)s::bigint[] IS NULL OR account_id = ANY (%(accounts)s::bigint[]))
          AND (%(known)s::text IS NULL
               OR pg_visible_in_snapshot(xid, %(known)s::text::pg_snapshot))
        ORDER BY account_id, effective_from DESC
    ) signed
    LEFT JOIN LATERAL (
        SELECT true AS is_later, (r.before ->> 'effective_to')::date AS stood
        FROM accounts_auditrow r
        WHERE %(known)s::text IS NOT NULL AND signed.effective_to IS NOT NULL
          AND r.table_name = 'accounts_accountagreement' AND r.row_key = signed.id::text
          AND r.operation = 'update'
          AND NOT pg_visible_in_snapshot(r.xid, %(known)s::text::pg_snapshot)
        ORDER BY r.id LIMIT 1
    ) later ON true
    JOIN accounts_agreement agreement ON agreement.id = signed.agreement_id
    JOIN LATERAL (
        SELECT * FROM accounts_agreementversion v
        WHERE v.agreement_id = signed.agreement_id AND v.effective_from <= %(day)s
          AND (%(known)s::text IS NULL
               OR pg_visible_in_snapshot(v.xid, %(known)s::text::pg_snapshot))
        ORDER BY v.effective_from DESC LIMIT 1
    ) version ON true
    WHERE (CASE WHEN later.is_later THEN later.stood ELSE signed.effective_to END
           > %(day)s) IS NOT FALSE
    ORDER BY signed.account_id
"""

# The same by ids alone, for all accounts at once, as a horizon knew it.
IN_FORCE_IDS = """
    SELECT signed.account_id, version.id
    FROM (
        SELECT DISTINCT ON (account_id) id, account_id, agreement_id, effective_to
        FROM accounts_accountagreement
        WHERE effective_from <= %(day)s
          AND pg_visible_in_snapshot(xid, %(known)s::text::pg_snapshot)
        ORDER BY account_id, effective_from DESC
    ) signed
    LEFT JOIN LATERAL (
        SELECT true AS is_later, (r.before ->> 'effective_to')::date AS stood
        FROM accounts_auditrow r
        WHERE signed.effective_to IS NOT NULL
          AND r.table_name = 'accounts_accountagreement' AND r.row_key = signed.id::text
          AND r.operation = 'update'
          AND NOT pg_visible_in_snapshot(r.xid, %(known)s::text::pg_snapshot)
        ORDER BY r.id LIMIT 1
    ) later ON signed.effective_to IS NOT NULL
    JOIN (
        SELECT DISTINCT ON (agreement_id) agreement_id, id
        FROM accounts_agreementversion
        WHERE effective_from <= %(day)s
          AND pg_visible_in_snapshot(xid, %(known)s::text::pg_snapshot)
        ORDER BY agreement_id, effective_from DESC
    ) version ON version.agreement_id = signed.agreement_id
    WHERE (CASE WHEN later.is_later THEN later.stood ELSE signed.effective_to END
           > %(day)s) IS NOT FALSE
"""


def terms_in_force(
    day: date, *, account_ids: Sequence[int] | None = None, known: str | None = None
) -> dict[int, AgreementVersion]:
    """Terms by account id on `day`; an account without terms is absent. One query.

    Accounts under the same version share one object, whose `agreement` is read already.

    Args:
        day: the business day.
        account_ids: only these accounts; all if None.
        known: the snapshot of a committed horizon, which counts what it knew; now if None.
    """
    asked = {
        "day": day,
        "accounts": None if account_ids is None else list(account_ids),
        "known": known,
    }
    shared: dict[int, AgreementVersion] = {}
    terms: dict[int, AgreementVersion] = {}
    rows: Iterable[Any] = AgreementVersion.objects.raw(IN_FORCE, asked)
    for row in rows:
        if row.pk not in shared:
            row.agreement = Agreement(
                pk=row.agreement_id,
                code=row.agreement_code,
                legal_entity_id=row.agreement_entity_id,
            )
            shared[row.pk] = row
        terms[row.account_id] = shared[row.pk]
    return terms


def account_terms(account_id: int, *, day: date) -> AgreementVersion | None:
    """The terms of one account on `day`, or None."""
    return terms_in_force(day, account_ids=[account_id]).get(account_id)


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
    for sentence in wrong_signature(account, agreement, effective_from):
        raise AskRefusedError("agreement", sentence)
    _refuse_signature(account, agreement, day=effective_from)
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
        RefusedError: it may not be under the agreement's terms any more, an app that knows what
            changes refuses it now, or a rule did.
    """
    asked = approval.payload
    account = MarginAccount.objects.get(pk=asked["account"])
    agreement = Agreement.objects.get(pk=asked["agreement"])
    day = date.fromisoformat(asked["effective_from"])
    for sentence in wrong_signature(account, agreement, day):
        raise RefusedError("account_is_eligible", sentence.rstrip("."))
    _refuse_signature(account, agreement, day=day)
    spend("SELECT accounts.sign_agreement(%s)", approval)


def _refuse_signature(account: MarginAccount, agreement: Agreement, *, day: date) -> None:
    for look in looks_at(account, agreement, day=day):
        if look.refusal is not None:
            rule, sentence = look.refusal
            raise RefusedError(rule, sentence.rstrip("."))


def end(approval: Approval) -> None:
    """End the agreement of the account; call inside an act."""
    spend("SELECT accounts.end_agreement(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(VERSION, describe=describe_version, apply=add_version)
    register_action(SIGN, describe=describe_signature, apply=sign)
    register_action(END, describe=describe_end, apply=end)
