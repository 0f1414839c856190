"""Marks that proved wrong after runs had used them: the right price, set by two people.

The wrong mark stays, and runs that used it replay with it. Whatever is computed from now on, a
restated run of that instant included, uses the correction.
"""

from decimal import Decimal
from typing import Final
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
from accounts.clock import shown_instant
from accounts.figures import plain
from accounts.models import Approval, LegalEntity
from margin.models import MarginRun, Mark

CORRECT: Final = "price.correct"
NOTE_LENGTH_MAX: Final = 2_000


def request_correction(
    mark: Mark,
    *,
    price: Decimal,
    source: str,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a mark be corrected.

    Args:
        mark: the one that stands; a correction is corrected in its turn.
        price: the right one, above 0, in the base currency.
        source: where the right price is from.
        legal_entity: where it is asked and decided; a price holds for all.
        reason: why the mark was wrong.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: it is no price, the one it has, without a source, or corrected already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if not price.is_finite() or price <= 0:
        raise AskRefusedError("price", "A price is above 0.")
    if price == mark.price:
        raise AskRefusedError("price", "That is the mark as it stands.")
    note = source.strip()
    if not note or len(note) > NOTE_LENGTH_MAX:
        raise AskRefusedError("source", "Say where the right price is from.")
    if Mark.objects.filter(corrects=mark).exists():
        raise AskRefusedError("price", "It was corrected already; correct the correction.")
    row = {"corrects_id": mark.pk, "price": plain(price), "note": note}
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=CORRECT,
            subject=f"{mark.asset.code} of {mark.business_day}: {plain(price)}",
            payload={"row": row},
            reason=reason,
            records=(f"ledger_asset:{mark.asset_id}",),
        )


def describe_correction(approval: Approval) -> Description:
    """The mark and what it would be, and what rests on it."""
    row = approval.payload["row"]
    mark = Mark.objects.select_related("asset").get(pk=row["corrects_id"])
    runs = MarginRun.objects.filter(as_of=mark.as_of).order_by("pk")
    carried = Mark.objects.filter(carried_from=mark).order_by("as_of")
    days = ", ".join(f"{day}" for day in carried.values_list("business_day", flat=True))
    return Description(
        headline=approval.subject,
        facts=(
            ("As of", shown_instant(mark.as_of, form="full")),
            ("Source of the right price", row["note"]),
            ("Runs at that instant", ", ".join(runs.values_list("number", flat=True)) or "none"),
            ("Days that carried it on", days or "none"),
        ),
        fields=(
            FieldChange(
                f"Mark of {mark.asset.code}",
                f"{plain(mark.price)} ({mark.get_state_display()})",
                row["price"],
            ),
        ),
        note="The runs stay as they are. Restating one shows what this changes, and which calls.",
    )


def apply_correction(approval: Approval) -> None:
    """Let the corrected mark stand; call inside an act."""
    spend("SELECT margin.correct_mark(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(CORRECT, describe=describe_correction, apply=apply_correction)
