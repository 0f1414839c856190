"""Delivery-status messages of mail servers (RFC 3464): which message, to whom, and what became."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.message import Message
from email.policy import compat32
from typing import Final

FAILED: Final = "failed"
WORDS_LENGTH_MAX: Final = 300
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of a message for one recipient.

    Attributes:
        action: failed, delayed, delivered, relayed or expanded.
        status: the enhanced code, such as 5.1.1; "" where it has none.
        recipients: as the report names them: final and original, in lower case.
        words: what the other server said.
    """

    action: str
    status: str
    recipients: frozenset[str]
    words: str


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """A report on one message.

    Attributes:
        message_id: of the message that is reported on; "" where it is not returned.
    """

    message_id: str
    recipients: tuple[RecipientStatus, ...]


def read_delivery_status(content: bytes) -> DeliveryStatus | None:
    """The report in a message; None where it is none."""
    # The older policy takes headers as they stand; the newer one fails on some that are malformed.
    message = message_from_bytes(content, policy=compat32)
    kind = message.get_param("report-type")
    if message.get_content_type() != "multipart/report" or str(kind).lower() != "delivery-status":
        return None
    status = _first(message, "message/delivery-status")
    if status is None:
        return None
    blocks = status.get_payload()
    # The first block is of the message, each other of one recipient.
    found = [
        _recipient(block)
        for block in (blocks if isinstance(blocks, list) else [])[1:]
        if isinstance(block, Message) and "Action" in block
    ]
    return DeliveryStatus(_original_id(message), tuple(found)) if found else None


def _first(message: Message, kind: str) -> Message | None:
    return next(_parts(message, kind), None)


def _parts(message: Message, kind: str) -> Iterator[Message]:
    payload = message.get_payload()
    for part in payload if isinstance(payload, list) else []:
        if isinstance(part, Message) and part.get_content_type() == kind:
            yield part


def _original_id(message: Message) -> str:
    """The Message-ID of what came back: whole, or its headers alone."""
    whole = _first(message, "message/rfc822")
    if whole is not None:
        payload = whole.get_payload()
        inner = payload[0] if isinstance(payload, list) and payload else None
        return _line(inner["Message-ID"]) if isinstance(inner, Message) else ""
    headers = _first(message, "text/rfc822-headers")
    if headers is None:
        return ""
    raw = headers.get_payload(decode=True)
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
    return _line(message_from_string(text)["Message-ID"])


def _recipient(block: Message) -> RecipientStatus:
    named = (_after_type(block[name]) for name in ("Final-Recipient", "Original-Recipient"))
    status = _STATUS.search(_line(block["Status"]))
    return RecipientStatus(
        action=_line(block["Action"]).lower(),
        status="" if status is None else status[0],
        recipients=frozenset(each.lower() for each in named if each),
        words=_after_type(block["Diagnostic-Code"])[:WORDS_LENGTH_MAX],
    )


def _after_type(value: object) -> str:
    """`rfc822; somebody@example.org` without what kind of address or answer it is."""
    said = _line(value)
    return said.partition(";")[2].strip() if ";" in said else said


def _line(value: object) -> str:
    return " ".join(str(value or "").split())
