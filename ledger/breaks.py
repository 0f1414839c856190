"""What people do about a break: take it, explain it, close it with evidence.

A break closes with a posting that brings the book to the statement, or with a statement line that
brings the statement to the book; both exactly, to the last digit. There is no other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.audit import Actor, acting
from ledger.models import (
    AccountClass,
    Break,
    BreakEvent,
    Posting,
    StatementLine,
    StatementMatch,
)

TEXT_LENGTH_MIN = 10
CANDIDATES_MAX = 20
RECEIPT = "unidentified_receipt"


class BreakActError(Exception):
    """The break has changed since it was read, or this act does not fit it; one sentence."""


@dataclass(frozen=True)
class Evidence:
    """What could close a break: postings of exactly the difference, lines of exactly its opposite.

    Attributes:
        moved: what a posting at the location must have moved.
        shown: what a statement line must show; None where any line of a later statement will do.
    """

    moved: Decimal | None
    shown: Decimal | None
    postings: Sequence[Posting] = ()
    lines: Sequence[StatementLine] = ()

    @property
    def is_there(self) -> bool:
        return bool(self.postings or self.lines)


def take_break(
    break_id: int, *, seen_owner_id: int | None, actor: Actor, request_id: str = ""
) -> Break:
    """Make the break one's own; an open one is then being investigated.

    Args:
        seen_owner_id: whose it was when the person decided, so that two do not take it at once.

    Raises:
        BreakActError: it is closed, or somebody else has taken it meanwhile.
    """
    with acting(actor, reason="Took a break", request_id=request_id) as operator_id:
        found = (
            Break.objects.select_for_update(of=("self",)).select_related("owner").get(pk=break_id)
        )
        refuse_closed(found)
        if found.owner_id != seen_owner_id:
            owner = found.owner.full_name if found.owner else "Nobody"
            raise BreakActError(f"{owner} has this break now. It was not taken.")
        if found.owner_id == operator_id:
            raise BreakActError("This break is yours already.")
        found.owner_id = operator_id
        if found.status == Break.Status.OPEN:
            found.status = Break.Status.INVESTIGATING
        found.save(update_fields=["owner", "status"])
        note(found, "taken")
    return found


def explain_break(break_id: int, *, text: str, actor: Actor, request_id: str = "") -> Break:
    """Say why the two sides differ; the break stays until there is evidence.

    Raises:
        BreakActError: it is closed, or the text says too little.
    """
    text = checked_text(text)
    with acting(actor, reason="Explained a break", request_id=request_id) as operator_id:
        found = Break.objects.select_for_update().get(pk=break_id)
        refuse_closed(found)
        found.status = Break.Status.EXPLAINED
        if found.owner_id is None:
            found.owner_id = operator_id
        found.save(update_fields=["owner", "status"])
        note(found, "explained", text)
    return found


def close_break(
    break_id: int,
    *,
    reason: str,
    actor: Actor,
    entry_id: int | None = None,
    line_id: int | None = None,
    request_id: str = "",
) -> Break:
    """Close the break with its evidence: one entry or one statement line.

    Raises:
        BreakActError: it is closed, the reason says too little, or what was named is no evidence.
    """
    reason = checked_text(reason)
    with acting(actor, reason="Closed a break", request_id=request_id):
        found = (
            Break.objects.select_for_update(of=("self",))
            .select_related("location__pool", "asset")
            .get(pk=break_id)
        )
        refuse_closed(found)
        evidence = evidence_for(found, limit=None)
        if (entry_id is None) == (line_id is None):
            raise BreakActError("Choose one posting or one line. Nothing was closed.")
        if entry_id is not None and not any(p.entry_id == entry_id for p in evidence.postings):
            raise BreakActError(f"Entry {entry_id} does not explain this difference.")
        if line_id is not None and not any(line.pk == line_id for line in evidence.lines):
            raise BreakActError("That line does not explain this difference.")
        found.status = Break.Status.CLOSED
        found.closing_entry_id, found.closing_line_id = entry_id, line_id
        found.closing_reason = reason
        found.closed_at = timezone.now()
        found.save(
            update_fields=[
                "status", "closing_entry", "closing_line", "closing_reason", "closed_at",
            ]
        )  # fmt: skip
        note(found, "closed", reason)
    return found


def effective_at_of(found: Break) -> datetime:
    """When an entry that answers a break is effective: noon of the day it was found on.

    That day is compared already, so the entry is not looked for on a later statement.
    """
    return datetime.combine(found.business_day, time(12), tzinfo=UTC)


# ---------------------------------------------------------------- evidence


def evidence_for(found: Break, *, limit: int | None = CANDIDATES_MAX) -> Evidence:
    """What could close the break now, the newest first; two queries."""
    difference = found.difference
    if difference is None:
        return Evidence(None, None, (), list(later_lines(found)[:limit]))
    if difference == 0:
        return Evidence(None, None)
    lines = free_lines(found).filter(amount=-difference)
    return Evidence(
        moved=difference,
        shown=-difference,
        postings=list(free_postings(found).filter(amount=difference)[:limit]),
        lines=list(lines[:limit]),
    )


def free_postings(found: Break) -> "QuerySet[Posting]":
    """Postings at the location that no line confirms and no break was closed with."""
    matched = StatementMatch.objects.filter(
        account=OuterRef("account_id"), account_seq=OuterRef("account_seq")
    )
    spent = Break.objects.filter(location=found.location_id, closing_entry=OuterRef("entry_id"))
    return (
        Posting.objects.filter(
            account__account_class=AccountClass.CUSTODY,
            account__location=found.location_id,
            account__asset=found.asset_id,
        )
        .exclude(entry__kind="opening")
        .filter(~Exists(matched), ~Exists(spent))
        .select_related("entry__kind", "asset")
        .order_by("-account_seq")
    )


def free_lines(found: Break) -> "QuerySet[StatementLine]":
    """Lines of the location that confirm no posting and that no break was closed with.

    The line that the break is about is no evidence for it.
    """
    matched = StatementMatch.objects.filter(line=OuterRef("pk"))
    spent = Break.objects.filter(closing_line=OuterRef("pk"))
    own = [found.line_id] if found.line_id is not None else []
    return (
        StatementLine.objects.filter(statement__location=found.location_id)
        .filter(~Q(pk__in=own), ~Exists(matched), ~Exists(spent))
        .select_related("statement__file")
        .order_by("-statement__business_day", "ordinal")
    )


def later_lines(found: Break) -> "QuerySet[StatementLine]":
    """The first line of every later statement that was accepted: it goes on from the lost day."""
    return (
        StatementLine.objects.filter(
            statement__location=found.location_id,
            statement__business_day__gt=found.business_day,
            ordinal=1,
        )
        .select_related("statement__file")
        .order_by("statement__business_day")
    )


# ---------------------------------------------------------------- in every act


def refuse_closed(found: Break) -> None:
    if found.status == Break.Status.CLOSED:
        raise BreakActError("This break is closed. Nothing was changed.")


def checked_text(text: str) -> str:
    text = text.strip()
    if len(text) < TEXT_LENGTH_MIN:
        raise BreakActError(
            f"Say it in at least {TEXT_LENGTH_MIN} characters; it is kept with your name."
        )
    return text


def note(found: Break, event: str, text: str = "") -> None:
    """Keep what happened, for good."""
    BreakEvent.objects.create(found=found, event=event, text=text)
