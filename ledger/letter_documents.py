"""The letters of keepers as they are handed in: what kind of document, and kept byte for byte."""

from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from accounts.approvals import AskRefusedError
from accounts.audit import refusals
from ledger.models import LetterDocument

DOCUMENT_SIZE_MAX = 10_000_000
MEDIA_TYPES = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "text/plain": b"",
}


class LocationRefusedError(AskRefusedError):
    """A location cannot be asked for like this."""


@dataclass(frozen=True)
class LetterDraft:
    """A letter as it is handed in.

    Attributes:
        reference: what the keeper calls it.
        signed_on: the day of the keeper's signature.
        expires_on: its last day; None where it has none.
        name: the file's name.
        content: the file, byte for byte.
    """

    reference: str
    signed_on: date
    expires_on: date | None
    name: str
    content: bytes


def media_type(content: bytes) -> str:
    """What kind of document it is, by its first bytes.

    Raises:
        LocationRefusedError: it is empty, too long, or of no kind that can be shown.
    """
    if not content or len(content) > DOCUMENT_SIZE_MAX:
        raise LocationRefusedError("document", "A letter has between 1 byte and 10 MB.")
    for kind, begins in MEDIA_TYPES.items():
        if begins and content.startswith(begins):
            return kind
    if b"\0" not in content and is_text(content):
        return "text/plain"
    raise LocationRefusedError("document", "A letter is a PDF, a PNG, a JPEG or a text.")


def is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def store_letter(letter: LetterDraft) -> dict[str, Any]:
    """Keep the letter's bytes and return what an approval says of it; call inside an act.

    Raises:
        LocationRefusedError: the letter cannot be kept, or its dates do not fit.
    """
    kind = media_type(letter.content)
    if letter.expires_on is not None and letter.expires_on < letter.signed_on:
        raise LocationRefusedError("expires_on", "A letter expires after it is signed.")
    digest = sha256(letter.content).hexdigest()
    if not LetterDocument.objects.filter(pk=digest).exists():
        with refusals():
            LetterDocument.objects.create(
                sha256=digest, name=letter.name[:200], media_type=kind, content=letter.content
            )
    return {
        "reference": letter.reference,
        "signed_on": letter.signed_on.isoformat(),
        "expires_on": None if letter.expires_on is None else letter.expires_on.isoformat(),
        "document_id": digest,
    }
