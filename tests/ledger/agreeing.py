"""Two people who agree: a request of one, decided and applied by another."""

from datetime import date
from hashlib import sha256
from uuid import UUID

from accounts.approvals import apply_approved, decide
from accounts.models import Approval, Operator, Role
from ledger.locations import LetterDraft, request_letter
from ledger.models import Location
from tests.accounts.people import Desk, person

WHY = "Agreed at the meeting of Monday"
PDF = b"%PDF-1.4 the keeper acknowledges"


def agreed(approval_id: UUID, checker: Operator) -> Approval:
    """Have somebody approve a request and apply it."""
    actor = person(checker)
    decided = decide(approval_id, verdict="approved", reason=WHY, actor=actor)
    apply_approved(decided, actor=actor)
    return Approval.objects.get(pk=approval_id)


def letter(
    signed_on: date, expires_on: date | None = None, *, reference: str = "L-2", content: bytes = PDF
) -> LetterDraft:
    """A letter as somebody hands it in."""
    return LetterDraft(reference, signed_on, expires_on, "letter.pdf", content)


def file_letter(
    desk: Desk, location: Location, signed_on: date, expires_on: date | None = None
) -> Approval:
    """Have a letter filed for a location by two people."""
    asked = request_letter(
        location,
        letter=letter(signed_on, expires_on),
        reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )
    return agreed(asked, desk[Role.COMPLIANCE])


def hash_of(content: bytes) -> str:
    """The name under which a document is kept."""
    return sha256(content).hexdigest()
