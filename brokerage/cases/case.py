"""Opening a case, writing into it, closing it; and the holds that keep what it looks at."""

from datetime import date
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from accounts import retention
from accounts.audit import Actor, RefusedError, acting
from accounts.models import Bucket, Client, LegalEntity, LegalHold, MarginAccount
from brokerage.models import Case, CaseNote
from ledger.times import FIRST_DATE, LAST_DATE

REASON_MIN: Final = 10


def find_subject(
    entity: LegalEntity, *, client: str = "", account: str = "", bucket: str = ""
) -> tuple[Client | None, MarginAccount | None, Bucket | None]:
    """The one thing a case is about, by its codes; a bucket is named with its account.

    Raises:
        RefusedError: it is none, or more than one.
    """
    if bool(client) == bool(account):
        raise RefusedError("case_is_about_one_thing", "name a client or an account, not both")
    if client:
        if bucket:
            raise RefusedError("case_is_about_one_thing", "a bucket is one of an account")
        found = Client.objects.filter(legal_entity=entity, code=client).first()
        if found is None:
            raise RefusedError("case_is_about_one_thing", f"there is no client {client}")
        return found, None, None
    held = MarginAccount.objects.filter(legal_entity=entity, code=account).first()
    if held is None:
        raise RefusedError("case_is_about_one_thing", f"there is no account {account}")
    if not bucket:
        return None, held, None
    part = Bucket.objects.filter(account=held, code=bucket).first()
    if part is None:
        raise RefusedError("case_is_about_one_thing", f"account {account} has no bucket {bucket}")
    return None, None, part


def open_case(
    entity: LegalEntity,
    *,
    client: Client | None = None,
    account: MarginAccount | None = None,
    bucket: Bucket | None = None,
    first_day: date,
    last_day: date,
    subject: str,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> Case:
    """Open a case; compliance alone may.

    Raises:
        RefusedError: a rule of the database refused it.
    """
    if not FIRST_DATE < first_day <= last_day < LAST_DATE:
        raise RefusedError("case_period_goes_forward", "the last day comes before the first")
    with acting(actor, reason=f"Opened a case: {reason}", request_id=request_id):
        return Case.objects.create(
            legal_entity=entity, client=client, account=account, bucket=bucket,
            first_day=first_day, last_day=last_day, subject=subject, reason=reason,
        )  # fmt: skip


def write_note(case: Case, text: str, *, actor: Actor, request_id: str = "") -> CaseNote:
    """Write into a case; nothing that is written there is ever changed.

    Raises:
        RefusedError: the case is closed, the note says nothing, or the person may not.
    """
    return _write(case, CaseNote.Kind.NOTE, text, actor=actor, request_id=request_id)


def close_case(case: Case, text: str, *, actor: Actor, request_id: str = "") -> CaseNote:
    """Close a case with what was found; its holds stay until two people lift them.

    Raises:
        RefusedError: it is closed already, nothing is said, or the person may not.
    """
    return _write(case, CaseNote.Kind.CLOSED, text, actor=actor, request_id=request_id)


def _write(case: Case, kind: str, text: str, *, actor: Actor, request_id: str) -> CaseNote:
    if is_closed(case):
        raise RefusedError("case_is_open", "the case is closed")
    verb = "Closed" if kind == CaseNote.Kind.CLOSED else "Wrote into"
    with acting(actor, reason=f"{verb} {case.number}", request_id=request_id):
        return CaseNote.objects.create(case=case, kind=kind, text=text.strip())


def is_closed(case: Case) -> bool:
    """Whether somebody closed it."""
    return case.notes.filter(kind=CaseNote.Kind.CLOSED).exists()


# ---------------------------------------------------------------- holds


def request_case_hold(case: Case, reason: str, *, actor: Actor, request_id: str = "") -> UUID:
    """Ask that nothing of the case's client may go: no erasure, no purge; a second person decides.

    Raises:
        RefusedError: the case is about an account of the firm, or the maker may not ask.
    """
    client = case.whose
    if client is None:
        raise RefusedError(
            "hold_is_on_a_client", "the account is the firm's own; nobody of it can be erased"
        )
    if len(reason.strip()) < REASON_MIN:
        raise RefusedError("hold_has_a_reason", f"a reason has at least {REASON_MIN} characters")
    return retention.request_hold(
        client=client, reason=f"{case.number}: {reason.strip()}", actor=actor,
        request_id=request_id,
    )  # fmt: skip


def request_case_lifting(
    case: Case, hold: LegalHold, reason: str, *, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that a hold of the case be lifted; a second person decides.

    Raises:
        RefusedError: it is no hold of this case, or the maker may not ask.
    """
    if not holds_of(case).filter(pk=hold.pk).exists():
        raise RefusedError("hold_is_of_its_case", f"the hold is none of {case.number}")
    if len(reason.strip()) < REASON_MIN:
        raise RefusedError("hold_has_a_reason", f"a reason has at least {REASON_MIN} characters")
    return retention.request_lifting(
        hold=hold, reason=f"{case.number}: {reason.strip()}", actor=actor, request_id=request_id
    )


def holds_of(case: Case) -> "QuerySet[LegalHold]":
    """The holds that were placed for a case, lifted ones too; a hold stays as it was placed."""
    return LegalHold.objects.filter(
        client=case.whose, reason__startswith=f"{case.number}: "
    ).order_by("placed_xid")
