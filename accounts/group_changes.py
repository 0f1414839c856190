"""How two people open a margined group, and let accounts join and leave it.

What margin has to say of a change is registered by it, asked before and again when it counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

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
    AccountGroup,
    Agreement,
    Approval,
    Client,
    LegalEntity,
    MarginAccount,
    OwnerClass,
)

MAKE: Final = "group.make"
MEMBERS: Final = "group.member"
SHA256_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group as it is asked for.

    Attributes:
        client: whose accounts it links, and who is called; none of the firm's own.
        guarantee_reference, guarantee_dated_on, guarantee_sha256: of the document under which
            accounts of other clients may join; "" and None where there is none.
        desk: who sees it, beside all who see every desk.
    """

    legal_entity: LegalEntity
    code: str
    owner_class: str
    client: Client | None
    agreement: Agreement
    effective_from: date
    guarantee_reference: str = ""
    guarantee_dated_on: date | None = None
    guarantee_sha256: str = ""
    desk: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """Who joins and who leaves a group from a day on."""

    group: AccountGroup
    day: date
    join: tuple[MarginAccount, ...] = ()
    leave: tuple[MarginAccount, ...] = ()


class GroupLook(NamedTuple):
    """What an app sees in a change of members: rule and sentence where it must not, and changes."""

    refusal: tuple[str, str] | None
    fields: tuple[FieldChange, ...] = ()


LookAtGroup = Callable[[Membership], GroupLook]
_looks: list[LookAtGroup] = []


def register_group_look(look: LookAtGroup) -> None:
    """Have changes of members looked at, asked and applied, by the app that knows what they do."""
    _looks.append(look)


def refuse_change(change: Membership) -> None:
    """Refuse what one of the apps refuses.

    Raises:
        RefusedError: with the rule that it names.
    """
    for look in _looks:
        found = look(change)
        if found.refusal is not None:
            rule, sentence = found.refusal
            raise RefusedError(rule, sentence.rstrip("."))


# ---------------------------------------------------------------- a new group


def request_group(new: NewGroup, *, reason: str, actor: Actor, request_id: str = "") -> UUID:
    """Ask that a margined group be opened, without members.

    Raises:
        AskRefusedError: a field does not fit.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    _check_new(new)
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=new.legal_entity.pk,
            action=MAKE,
            subject=f"group {new.code}",
            payload={
                "code": new.code,
                "owner_class": new.owner_class,
                "client": None if new.client is None else new.client.pk,
                "agreement": new.agreement.pk,
                "effective_from": new.effective_from.isoformat(),
                "guarantee_reference": new.guarantee_reference,
                "guarantee_dated_on": new.guarantee_dated_on.isoformat()
                if new.guarantee_dated_on
                else None,
                "guarantee_sha256": new.guarantee_sha256,
                "desk": new.desk,
            },
            reason=reason,
        )


def _check_new(new: NewGroup) -> None:
    entity = new.legal_entity
    if not new.code:
        raise AskRefusedError("code", "It needs a name.")
    named = {"legal_entity": entity, "code": new.code}
    if (
        MarginAccount.objects.filter(**named).exists()
        or AccountGroup.objects.filter(**named).exists()
    ):
        raise AskRefusedError("code", f"There is an account or a group {new.code} already.")
    if (new.owner_class == OwnerClass.CLIENT) != (new.client is not None):
        raise AskRefusedError("client", "A group of client accounts has a client, no other has.")
    if new.client is not None and new.client.legal_entity_id != entity.pk:
        raise AskRefusedError("client", f"{new.client.code} is of another legal entity.")
    if new.agreement.legal_entity_id != entity.pk:
        raise AskRefusedError("agreement", f"{new.agreement.code} is of another legal entity.")
    if not new.agreement.versions.filter(effective_from__lte=new.effective_from).exists():
        raise AskRefusedError("agreement", f"{new.agreement.code} has no terms on that day.")
    if bool(new.guarantee_reference) != (new.guarantee_dated_on is not None):
        raise AskRefusedError("guarantee_dated_on", "A guarantee has a reference and a day.")
    if new.guarantee_sha256 and (
        len(new.guarantee_sha256) != SHA256_LENGTH
        or set(new.guarantee_sha256) - set("0123456789abcdef")
        or not new.guarantee_reference
    ):
        raise AskRefusedError("guarantee_sha256", "The sha256 of the guarantee, in 64 hex digits.")


def describe_group(approval: Approval) -> Description:
    """What is opened."""
    asked = approval.payload
    client = Client.objects.filter(pk=asked["client"]).first()
    agreement = Agreement.objects.get(pk=asked["agreement"])
    day = date.fromisoformat(asked["effective_from"])
    document = asked["guarantee_reference"]
    if document:
        dated = date.fromisoformat(asked["guarantee_dated_on"])
        document = f"{document} of {shown_day(dated, form='medium')}"
    return Description(
        headline=f"Group {asked['code']} under {agreement.code}",
        facts=(
            ("From", shown_day(day, form="medium")),
            ("Owner class", asked["owner_class"]),
            ("Client", "none" if client is None else client.code),
            ("Guarantee", document or "none: accounts of this client only"),
            ("Sha256 of the guarantee", asked["guarantee_sha256"] or "none"),
            ("Desk", asked["desk"] or "none"),
        ),
        note="It has no members yet; each joins with the agreement of a second person.",
    )


def make_group(approval: Approval) -> None:
    """Open the group; call inside an act."""
    spend("SELECT accounts.make_group(%s)", approval)


# ---------------------------------------------------------------- who is in it


def request_members(change: Membership, *, reason: str, actor: Actor, request_id: str = "") -> UUID:
    """Ask that accounts join or leave a group from a day on.

    Raises:
        AskRefusedError: nobody joins or leaves, or one is of another legal entity.
        RefusedError: margin refuses it, the maker may not ask, or nobody else could decide.
    """
    group = change.group
    if not (change.join or change.leave):
        raise AskRefusedError("", "Nobody joins and nobody leaves.")
    for account in (*change.join, *change.leave):
        if account.legal_entity_id != group.legal_entity_id:
            raise AskRefusedError("", f"{account.code} is of another legal entity.")
    refuse_change(change)
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=group.legal_entity_id,
            action=MEMBERS,
            subject=f"group {group.code}: {said(change)}",
            payload={
                "group": group.pk,
                "day": change.day.isoformat(),
                "join": sorted(account.pk for account in change.join),
                "leave": sorted(account.pk for account in change.leave),
            },
            reason=reason,
            records=(
                f"accounts_accountgroup:{group.pk}",
                *(
                    f"accounts_marginaccount:{account.pk}"
                    for account in (*change.join, *change.leave)
                ),
            ),
        )


def said(change: Membership) -> str:
    """Who joins and who leaves, in words."""
    words = []
    for accounts, verb in ((change.join, "joins"), (change.leave, "leaves")):
        if accounts:
            codes = ", ".join(account.code for account in accounts)
            words.append(f"{codes} {verb if len(accounts) == 1 else verb.rstrip('s')}")
    return "; ".join(words)


def change_of(approval: Approval) -> Membership:
    """The change that a request asks for."""
    asked = approval.payload

    def accounts(ids: Sequence[int]) -> tuple[MarginAccount, ...]:
        return tuple(MarginAccount.objects.filter(pk__in=ids).order_by("code"))

    return Membership(
        group=AccountGroup.objects.select_related("account").get(pk=asked["group"]),
        day=date.fromisoformat(asked["day"]),
        join=accounts(asked["join"]),
        leave=accounts(asked["leave"]),
    )


def describe_members(approval: Approval) -> Description:
    """Who joins and leaves, and what margin becomes of it."""
    change = change_of(approval)
    looks = [look(change) for look in _looks] if approval.used_xid is None else []
    return Description(
        headline=f"Group {change.group.code}: {said(change)}",
        facts=(("From", shown_day(change.day, form="medium")),),
        fields=tuple(field for look in looks for field in look.fields),
        note=" ".join(look.refusal[1] for look in looks if look.refusal is not None),
    )


def change_members(approval: Approval) -> None:
    """Let them join and leave; call inside an act.

    Raises:
        RefusedError: margin refuses it now, or a rule did.
    """
    refuse_change(change_of(approval))
    spend("SELECT accounts.change_group(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(MAKE, describe=describe_group, apply=make_group)
    register_action(MEMBERS, describe=describe_members, apply=change_members)
