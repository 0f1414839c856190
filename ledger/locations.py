"""Locations and the letters of their keepers: opened, changed and closed by two people.

A location of a client pool is opened with its keeper's letter; the letter's bytes are stored
before anybody decides, so whoever decides has read what is filed. The database keeps all of it
(ledger/migrations/0009_four_eyes_places.sql).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from accounts.approvals import (
    Description,
    FieldChange,
    register_action,
    request_approval,
)
from accounts.audit import Actor, acting, refusals
from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.models import Approval, Client, OwnerClass
from ledger.letter_documents import LetterDraft, LocationRefusedError, store_letter
from ledger.models import AccountClass, Asset, Balance, LetterDocument, Location, Pool

OPEN, CHANGE, CLOSE, LETTER = "location.open", "location.change", "location.close", "letter.file"
PARTICULARS = {
    "account_title": "Title of the account",
    "account_number": "Account number",
    "keeper": "Keeper",
    "keeper_address": "Keeper's address",
    "venue": "Venue",
    "chain": "Chain",
}


# ---------------------------------------------------------------- asking


def request_opening(
    *,
    pool: Pool,
    code: str,
    kind: str,
    carries: Sequence[Asset],
    particulars: dict[str, str],
    letter: LetterDraft | None,
    reason: str,
    actor: Actor,
    individual_client: Client | None = None,
    request_id: str = "",
) -> UUID:
    """Ask that a location be opened; one of a client pool with its letter.

    Raises:
        LocationRefusedError: something is missing or known already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    is_client = pool.owner_class == OwnerClass.CLIENT
    if Location.objects.filter(code=code).exists():
        raise LocationRefusedError("code", f"There is a location {code} already.")
    if is_client and letter is None:
        raise LocationRefusedError(
            "document", "A location of client assets is opened with its keeper's letter."
        )
    if not is_client and individual_client is not None:
        raise LocationRefusedError("individual_client", f"{pool.code} is not a client pool.")
    title = "own"
    if is_client:
        title = "omnibus" if individual_client is None else "individual"
    with acting(actor, reason=reason, request_id=request_id):
        said = store_letter(letter) if is_client and letter is not None else None
        row = {
            "code": code,
            "pool_id": pool.pk,
            "kind": kind,
            "title": title,
            "individual_client_id": individual_client.pk if individual_client else None,
            "letter_reference": said["reference"] if said else "",
            "letter_signed_on": said["signed_on"] if said else None,
            "letter_expires_on": said["expires_on"] if said else None,
            "closed_on": None,
            **{name: particulars.get(name, "") for name in PARTICULARS},
        }
        return request_approval(
            legal_entity_id=pool.legal_entity_id,
            action=OPEN,
            subject=f"{code} in {pool.code}",
            payload={"row": row, "carries": sorted(a.code for a in carries), "letter": said},
            reason=reason,
            records=(f"ledger_pool:{pool.pk}",),
        )


def request_change(
    location: Location,
    *,
    particulars: dict[str, str],
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a location be called otherwise, or be at another number.

    Raises:
        LocationRefusedError: nothing would change, or the location is closed.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    refuse_closed(location)
    now = {name: str(getattr(location, name)) for name in PARTICULARS}
    after = {**now, **particulars}
    if after == now:
        raise LocationRefusedError("", "Nothing would change.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=location.pool.legal_entity_id,
            action=CHANGE,
            subject=location.code,
            payload={"location": location.pk, "row": after},
            reason=reason,
            records=(record_of(location),),
        )


def request_closing(
    location: Location, *, closed_on: date, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that a location be closed from a day on; it must hold nothing.

    Raises:
        LocationRefusedError: it holds something, or is closed already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    refuse_closed(location)
    held = held_words(location)
    if held:
        raise LocationRefusedError("", f"{location.code} still holds {held}.")
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=location.pool.legal_entity_id,
            action=CLOSE,
            subject=location.code,
            payload={"location": location.pk, "closed_on": closed_on.isoformat()},
            reason=reason,
            records=(record_of(location),),
        )


def request_letter(
    location: Location, *, letter: LetterDraft, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that a letter be filed for a location of client assets.

    Raises:
        LocationRefusedError: the location needs none, or the letter cannot be kept.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    refuse_closed(location)
    if location.pool.owner_class != OwnerClass.CLIENT:
        raise LocationRefusedError("", f"{location.code} holds the firm's own assets.")
    with acting(actor, reason=reason, request_id=request_id):
        said = store_letter(letter)
        return request_approval(
            legal_entity_id=location.pool.legal_entity_id,
            action=LETTER,
            subject=f"{location.code}: {letter.reference}"[:200],
            payload={"location": location.pk, "letter": said},
            reason=reason,
            records=(record_of(location), f"ledger_letterdocument:{said['document_id']}"),
        )


def record_of(location: Location) -> str:
    """How requests name a location."""
    return f"ledger_location:{location.pk}"


def refuse_closed(location: Location) -> None:
    if location.closed_on is not None:
        raise LocationRefusedError("", f"{location.code} is closed.")


def held_words(location: Location) -> str:
    """What a location holds, in words; "" where it holds nothing."""
    rows = (
        Balance.objects.filter(
            account__account_class=AccountClass.CUSTODY, account__location=location
        )
        .exclude(amount=0)
        .values_list("account__asset__code", "account__asset__scale")
        .annotate(total=Sum("amount"))
        .order_by("account__asset__code")
    )
    return ", ".join(f"{grouped(total, decimals=scale)} {code}" for code, scale, total in rows)


# ---------------------------------------------------------------- deciding


def describe_opening(approval: Approval) -> Description:
    """The location as it will stand, with its letter."""
    row = approval.payload["row"]
    pool = Pool.objects.get(pk=row["pool_id"])
    client = Client.objects.filter(pk=row["individual_client_id"]).first()
    facts = [
        ("Pool", f"{pool.code} ({pool.get_owner_class_display().lower()})"),
        ("Kind", Location.Kind(row["kind"]).label),
        ("Title", Location.Title(row["title"]).label + (f" for {client.code}" if client else "")),
        ("Carries", ", ".join(approval.payload["carries"]) or "nothing yet"),
        *((label, row[name]) for name, label in PARTICULARS.items() if row[name]),
    ]
    return Description(
        headline=f"Open {row['code']} in {pool.code}",
        facts=tuple(facts),
        fields=letter_fields(approval.payload.get("letter"), before=None),
        note="Once opened it stays in its pool; another pool or title is another location.",
    )


def describe_change(approval: Approval) -> Description:
    """The location's particulars before and after."""
    location = Location.objects.select_related("pool").get(pk=approval.payload["location"])
    after = approval.payload["row"]
    voids = location.pool.owner_class == OwnerClass.CLIENT and approval.used_xid is None
    return Description(
        headline=f"Change {location.code}",
        fields=tuple(
            FieldChange(label, str(getattr(location, name)) or "none", after[name] or "none")
            for name, label in PARTICULARS.items()
        ),
        note="Its letter is void some days after this change unless a new one is filed."
        if voids
        else "",
    )


def describe_closing(approval: Approval) -> Description:
    """What is closed, from when."""
    location = Location.objects.get(pk=approval.payload["location"])
    held = held_words(location)
    day = shown_day(date.fromisoformat(approval.payload["closed_on"]), form="medium")
    before = "open" if location.closed_on is None else "closed"
    return Description(
        headline=f"Close {location.code}",
        facts=(("Holds", held or "nothing"),),
        fields=(FieldChange("State", before, f"closed from {day}"),),
        note=f"As it stands now the book refuses this: it holds {held}." if held else "",
    )


def describe_letter(approval: Approval) -> Description:
    """The letter beside the one before."""
    location = Location.objects.get(pk=approval.payload["location"])
    return Description(
        headline=f"File a letter for {location.code}",
        facts=(("Location", location.code),),
        fields=letter_fields(approval.payload["letter"], before=location),
        note="Read the document before you decide; it is kept as it came.",
    )


def letter_fields(
    letter: dict[str, Any] | None, *, before: Location | None
) -> tuple[FieldChange, ...]:
    """A letter's dates and document, beside the letter that stands."""
    if letter is None:
        return ()
    document = LetterDocument.objects.defer("content").get(pk=letter["document_id"])

    def day(value: str | date | None) -> str:
        if value is None:
            return "no date"
        return shown_day(date.fromisoformat(str(value)), form="medium")

    was = ("none", "none", "none")
    if before is not None and before.letter_reference:
        was = (
            before.letter_reference,
            day(before.letter_signed_on),
            day(before.letter_expires_on),
        )
    return (
        FieldChange("Letter", was[0], letter["reference"]),
        FieldChange("Signed on", was[1], day(letter["signed_on"])),
        FieldChange("Expires on", was[2], day(letter["expires_on"])),
        FieldChange("Document", "none", f"{document.name}, sha256 {document.sha256[:12]}…"),
    )


def spend(statement: str, approval: Approval) -> None:
    with refusals(), connection.cursor() as cursor:
        cursor.execute(statement, [approval.pk])


def open_location(approval: Approval) -> None:
    """Open it; call inside an act."""
    spend("SELECT ledger.open_location(%s)", approval)


def change_location(approval: Approval) -> None:
    """Change it; call inside an act."""
    spend("SELECT ledger.change_location(%s)", approval)


def close_location(approval: Approval) -> None:
    """Close it; call inside an act."""
    spend("SELECT ledger.close_location(%s)", approval)


def file_letter(approval: Approval) -> None:
    """File the letter; call inside an act."""
    spend("SELECT ledger.file_letter(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(OPEN, describe=describe_opening, apply=open_location)
    register_action(CHANGE, describe=describe_change, apply=change_location)
    register_action(CLOSE, describe=describe_closing, apply=close_location)
    register_action(LETTER, describe=describe_letter, apply=file_letter)
