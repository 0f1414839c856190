"""Entries that take effect before what is in the book already.

Each is listed. One that would leave a balance on the wrong side at the end of an earlier day
needs the agreement of a second person to exactly that entry; posting it then spends the
agreement. The guard of the postings decides this, whoever posts and by whichever door.
"""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from accounts.approvals import Description, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting
from accounts.models import Approval, LegalEntity
from ledger.entry_approvals import describe as describe_entry
from ledger.models import BackDatedEntry, EntryKind, LedgerAccount, Posting
from ledger.posting import Draft, post_entry

ACTION = "entry.back_dated"


def register() -> None:
    """Say how requests for entries before their date are shown and applied."""
    register_action(ACTION, describe=describe, apply=apply)


def request_back_dating(
    draft: Draft,
    *,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask a second person to agree to an entry that a balance of an earlier day did not allow.

    An entry of a kind that needs two people anyway needs that approval besides, of the same
    content; whichever is applied last posts it.

    Raises:
        RefusedError: nobody may ask or decide this, or there is no reason.
    """
    subject = f"{draft.kind} {draft.reference}, effective {draft.effective_at:%Y-%m-%d}"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=ACTION,
            subject=subject[:200],
            payload=draft.content(),
            reason=reason,
        )


def apply(approval: Approval) -> None:
    """Post the entry as it was agreed; call inside an act. The guard spends the agreement.

    Raises:
        RefusedError: a rule of the book refuses it now, or it touches another firm's pools.
    """
    draft = Draft.from_content(approval.payload)
    pools = LedgerAccount.objects.filter(pk__in=[leg.account_id for leg in draft.legs])
    if pools.exclude(pool__legal_entity=approval.legal_entity_id).exists():
        raise RefusedError(
            "approval_is_for_its_legal_entity", "the entry touches pools of another legal entity"
        )
    if EntryKind.objects.get(pk=draft.kind).needs_approval:
        draft = replace(draft, approval_id=_approval_of_kind(draft, approval))
    post_entry(draft)


def _approval_of_kind(draft: Draft, agreed: Approval) -> UUID | None:
    """The usable approval that the entry's kind needs besides, of the same content."""
    given = Approval.objects.filter(
        action_id=f"entry.{draft.kind}",
        decision=Approval.Decision.APPROVED,
        payload_sha256=bytes(agreed.payload_sha256),
        used_xid__isnull=True,
    )
    return given.order_by("number").values_list("pk", flat=True).first()


def describe(approval: Approval) -> Description:
    """The entry, and that a balance at the end of an earlier day does not allow it."""
    entry = describe_entry(approval)
    draft = Draft.from_content(approval.payload)
    day = f"{draft.effective_at:%Y-%m-%d}"
    note = (
        f"It takes effect on {day}, before what is in the book, and a balance at the end of that"
        " day or a later one would have been on the wrong side. It is listed with that balance."
    )
    return replace(entry, note=" ".join(filter(None, [note, entry.note])))


def back_dated(legal_entities: Iterable[int]) -> "QuerySet[BackDatedEntry]":
    """Entries that came after their date into the pools of some firms, newest first."""
    legs = Posting.objects.filter(
        entry=OuterRef("entry_id"), pool__legal_entity__in=list(legal_entities)
    )
    return (
        BackDatedEntry.objects.filter(Exists(legs))
        .select_related("entry__kind", "account__asset", "approval")
        .order_by("-entry_id")
    )
