"""Disputes of calls: the client's numbers beside ours, and the amount on which two people agree.

What the client's own numbers come to stays due at the call's time; what is above it waits. A
dispute ends on an agreed amount; the call is met then when no more is missing than was given up.
"""

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.bulk import copy_rows
from accounts.figures import grouped, plain
from accounts.models import Approval, LegalEntity
from margin.calls.acts import become
from margin.calls.terms import rules_of
from margin.engine.exact import ZERO, exact
from margin.external import ComponentKey, our_components
from margin.models import (
    CallDispute,
    CallDisputePart,
    CallEvent,
    CallEvidence,
    MarginCall,
    MarginResult,
)

AGREE: Final = "call.agree"
HEAD: Final = ("total", "component", "amount")
TOTALS: Final = ("equity", "initial_margin")
WHOLE: Final = ""
BYTES_MOST: Final = 1_000_000
ROWS_MOST: Final = 5_000
DIGITS_MOST: Final = 30
State = MarginCall.State


class DisputeRefusedError(ValueError):
    """A dispute that is not taken; the message is one sentence, `rule` says which."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Claim:
    """What the client says of a call.

    Attributes:
        undisputed: what is due by the client's own numbers.
        why: of `CallDispute.Why`.
        content: the file with the client's components; empty without one.
    """

    undisputed: Decimal
    why: str
    reason: str
    file_name: str = ""
    content: bytes = b""


# ---------------------------------------------------------------- their numbers


def read_components(content: bytes) -> dict[ComponentKey, Decimal]:
    """Components out of a CSV table `total,component,amount`, whole file or nothing.

    A row without a component is the whole of its total.

    Raises:
        DisputeRefusedError: naming the line and the column.
    """
    if len(content) > BYTES_MOST:
        raise DisputeRefusedError("file_is_small", f"A file has at most {BYTES_MOST:,} bytes.")
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DisputeRefusedError("file_is_a_table", "The file is no CSV in UTF-8.") from error
    if not rows or tuple(rows[0]) != HEAD:
        raise DisputeRefusedError("file_has_its_head", f"The first line is {','.join(HEAD)}.")
    if len(rows) > ROWS_MOST:
        raise DisputeRefusedError("file_is_small", f"A file has at most {ROWS_MOST:,} lines.")
    found: dict[ComponentKey, Decimal] = {}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(HEAD) or row[0] not in TOTALS or len(row[1]) > 120:
            raise DisputeRefusedError(
                "row_is_a_component", f"Line {line}: a total ({', '.join(TOTALS)}), a component"
                " and an amount are needed.",
            )  # fmt: skip
        key = row[0], row[1]
        if key in found:
            raise DisputeRefusedError("row_is_a_component", f"Line {line}: {key} comes twice.")
        found[key] = _amount(row[2], line)
    if not found:
        raise DisputeRefusedError("file_has_components", "The file has no components.")
    return found


def _amount(text: str, line: int) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or len(amount.as_tuple().digits) > DIGITS_MOST or "e" in text.lower():
        raise DisputeRefusedError("amount_is_a_number", f"Line {line}: {text[:40]!r} is no amount.")
    return amount


def owed_by(components: Mapping[ComponentKey, Decimal]) -> Decimal | None:
    """What is missing by the client's own totals; None where the file does not say both."""
    said = [components.get((total, WHOLE)) for total in TOTALS]
    equity, initial = said
    if equity is None or initial is None:
        return None
    with exact():
        return max(initial - equity, ZERO)


def compared(
    result: MarginResult, theirs: Mapping[ComponentKey, Decimal], *, tolerance: Decimal
) -> list[tuple[ComponentKey, Decimal | None, Decimal | None]]:
    """Components that differ by more than the tolerance; of ours only those of totals they say."""
    ours = {key: amount for key, amount in our_components(result).items() if key[0] in TOTALS}
    ours |= {("equity", WHOLE): result.equity, ("initial_margin", WHOLE): result.initial_margin}
    said = {total for total, component in theirs if component}
    found = []
    for key in sorted({*theirs, *(key for key in ours if key[1] and key[0] in said)}):
        one, other = ours.get(key), theirs.get(key)
        with exact():
            differs = abs((one or ZERO) - (other or ZERO)) > tolerance
        if differs or (one is None) != (other is None):
            found.append((key, one, other))
    return found


# ---------------------------------------------------------------- opening one


def open_dispute(number: str, claim: Claim, *, actor: Actor, request_id: str = "") -> CallDispute:
    """Take the client's dispute of a call; what the client's numbers come to stays due.

    Raises:
        DisputeRefusedError: the difference is within the tolerance of the terms, or the file is
            not readable or says another amount.
        RefusedError: the call has no such step, or the session has ended; nothing was written.
    """
    theirs = read_components(claim.content) if claim.content else {}
    owed = owed_by(theirs)
    if owed is not None and owed != claim.undisputed:
        raise DisputeRefusedError(
            "undisputed_is_what_the_file_says",
            f"By the file {grouped(owed)} is missing, not {grouped(claim.undisputed)}.",
        )
    with acting(actor, reason=claim.reason, request_id=request_id), refusals():
        call = MarginCall.objects.select_for_update().get(number=number)
        tolerance = rules_of(call).dispute_tolerance
        with exact():
            difference = call.amount - claim.undisputed
        if claim.undisputed < 0 or difference <= tolerance:
            raise DisputeRefusedError(
                "dispute_is_beyond_tolerance",
                f"{grouped(difference)} {call.currency} is within the tolerance of"
                f" {grouped(tolerance)}; the call stays.",
            )
        made = _kept(call, claim, theirs, tolerance=tolerance)
        become(
            call, State.DISPUTED, at=timezone.now(),
            text=f"{claim.reason} Undisputed and due: {grouped(claim.undisputed, decimals=2)}"
            f" {call.currency}.",
        )  # fmt: skip
    return made


def _kept(
    call: MarginCall,
    claim: Claim,
    theirs: Mapping[ComponentKey, Decimal],
    *,
    tolerance: Decimal,
) -> CallDispute:
    made = CallDispute.objects.create(
        call=call, why=claim.why, reason=claim.reason, called=call.amount,
        undisputed=claim.undisputed, file_name=claim.file_name, content=claim.content,
        sha256=sha256(claim.content).hexdigest() if claim.content else "",
    )  # fmt: skip
    copy_rows(
        CallDisputePart(dispute=made, total=total, component=component, ours=ours, theirs=other)
        for (total, component), ours, other in (
            compared(call.last_result, theirs, tolerance=tolerance) if theirs else ()
        )
    )
    return made


def attach_evidence(
    dispute: CallDispute, *, name: str, content: bytes, actor: Actor, request_id: str = ""
) -> CallEvidence:
    """Keep a file with a dispute, once.

    Raises:
        DisputeRefusedError: it is empty or too large.
        RefusedError: `evidence_is_attached_once`, or the session has ended.
    """
    if not content or len(content) > BYTES_MOST:
        raise DisputeRefusedError("file_is_small", f"A file has 1 to {BYTES_MOST:,} bytes.")
    with acting(actor, reason=f"Attached {name[:100]}", request_id=request_id), refusals():
        return CallEvidence.objects.create(
            dispute=dispute, name=name[:200], content=content, sha256=sha256(content).hexdigest()
        )


def open_dispute_of(call: MarginCall) -> CallDispute | None:
    """The newest dispute of a call that has not ended."""
    return CallDispute.objects.filter(call=call, end__isnull=True).order_by("-pk").first()


# ---------------------------------------------------------------- ending one


def request_agreement(
    call: MarginCall,
    *,
    agreed: Decimal,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a disputed call come to an amount.

    Args:
        agreed: above 0 and no more than the call asks for.

    Raises:
        AskRefusedError: the call has no open dispute, or the amount is none of that.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    dispute = open_dispute_of(call)
    if dispute is None:
        raise AskRefusedError("", f"{call.number} has no open dispute.")
    if not agreed.is_finite() or not ZERO < agreed <= call.amount:
        raise AskRefusedError("agreed", f"Above 0 and at most {grouped(call.amount, decimals=2)}.")
    row = {"dispute_id": dispute.pk, "agreed": plain(agreed), "reason": reason}
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=AGREE,
            subject=f"{call.number}: {plain(call.amount)} to {plain(agreed)} {call.currency}",
            payload={"row": row, "called": plain(call.amount)},
            reason=reason,
            records=(f"margin_margincall:{call.pk}",),
        )


def describe_agreement(approval: Approval) -> Description:
    """What the call asks for, and what it would."""
    row = approval.payload["row"]
    dispute = CallDispute.objects.select_related("call__scope__bucket__account").get(
        pk=row["dispute_id"]
    )
    call = dispute.call
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    return Description(
        headline=approval.subject,
        facts=(
            ("Account", f"{bucket.account.code} {bucket.code}"),
            ("Disputed because of", dispute.get_why_display().lower()),
            ("Undisputed", grouped(dispute.undisputed, decimals=2)),
        ),
        fields=(
            FieldChange(
                f"Called, {call.currency}", grouped(call.amount, decimals=2),
                grouped(Decimal(row["agreed"]), decimals=2),
            ),
        ),
        note="What is given up is not called again by this call.",
    )  # fmt: skip


def apply_agreement(approval: Approval) -> None:
    """End the dispute as agreed; call inside an act.

    Raises:
        RefusedError: the call has changed since it was asked for, or has no such step.
    """
    row = approval.payload["row"]
    call_id = CallDispute.objects.values_list("call", flat=True).get(pk=row["dispute_id"])
    call = MarginCall.objects.select_for_update().get(pk=call_id)
    if plain(call.amount) != approval.payload["called"]:
        raise RefusedError("call_is_as_it_was_asked", f"{call.number} has changed since")
    spend("SELECT margin.agree_dispute(%s)", approval)
    become(call, State.AGREED, at=timezone.now(), text=row["reason"], amount=Decimal(row["agreed"]))


def given_up(calls: Collection[int]) -> dict[int, Decimal]:
    """What was given up of calls by agreement, by call."""
    if not calls:
        return {}
    steps = CallEvent.objects.filter(call__in=calls, event=State.AGREED)
    found: dict[int, Decimal] = {}
    for call_id, before, after in steps.values_list("call", "amount_before", "amount_after"):
        if before is not None and after is not None:
            found[call_id] = found.get(call_id, ZERO) + before - after
    return found


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(AGREE, describe=describe_agreement, apply=apply_agreement)
