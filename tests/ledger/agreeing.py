"""Two people who agree: a request of one, decided and applied by another."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from uuid import UUID

import pytest
from django.db import connection

from accounts.approvals import apply_approved, decide
from accounts.audit import RefusedError
from accounts.models import Approval, Operator, Role
from ledger.letter_documents import LetterDraft
from ledger.locations import request_letter
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


# What asking, deciding and signing in write; everything else stays where a rule refuses.
ASKING = {
    "accounts_act", "accounts_approval", "accounts_approvalrecord", "accounts_auditrow",
    "accounts_limituse", "accounts_operatorsession",
}  # fmt: skip


def standing() -> str:
    """Every row of every table, but for what asking and deciding write, and what was used."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace AND relname <> ALL (%s) ORDER BY 1",
            [sorted(ASKING)],
        )
        parts = []
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), ''))"
                f" FROM public.{table} t"
            )
            parts.append(f"{table} {cursor.fetchone()[0]}")
        cursor.execute("SELECT count(*) FROM accounts_approval WHERE used_xid IS NOT NULL")
        parts.append(f"used {cursor.fetchone()[0]}")
    return "\n".join(parts)


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """What is asked, decided or applied inside is refused by this rule, and nothing moved."""
    before = standing()
    with pytest.raises(RefusedError) as refusal:
        yield
    assert refusal.value.rule == rule, f"{refusal.value.rule}: {refusal.value.detail}"
    assert standing() == before, "a refusal moved something"
