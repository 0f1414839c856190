"""What is sent, byte for byte: a message, a webhook's body, a letter, a file.

It is made once, when the delivery is planned, and every attempt sends exactly that.
"""

import json
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from accounts.figures import plain
from accounts.personal import ERASED, open_bytes, seal_bytes
from margin.models import CallEvent, Channel, Delivery, NoticeKind
from margin.notices.texts import NoticeText

SHOWN_HEADERS: Final = ("From", "To", "Subject", "Date", "Message-ID")


def message_id_of(delivery_id: UUID) -> str:
    """The Message-ID of an e-mail: the same however often it is sent."""
    return f"<{delivery_id}@{settings.NOTICE_FROM.rpartition('@')[2]}>"


def email_bytes(text: NoticeText, *, to: str, delivery_id: UUID, at: datetime) -> bytes:
    """A message as SMTP carries it, with CRLF.

    Raises:
        ValueError: a header would not stay one line.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.NOTICE_FROM
    message["To"] = to
    message["Subject"] = text.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id_of(delivery_id)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.body, charset="utf-8")
    return message.as_bytes()


def webhook_bytes(
    text: NoticeText, event: CallEvent, *, kind: NoticeKind, delivery_id: UUID, language: str
) -> bytes:
    """The body of a webhook: JSON with its names in order, amounts as texts."""
    call = event.call
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    is_then = kind != NoticeKind.ISSUED and event.amount_after is not None
    amount = event.amount_after if is_then else call.amount
    said: dict[str, Any] = {
        "delivery": str(delivery_id),
        "notice": str(kind),
        "call": call.number,
        "account": bucket.account.code,
        "bucket": bucket.code,
        "amount": plain(call.amount if amount is None else amount),
        "currency": call.currency,
        "issued_at": call.issued_at.isoformat(),
        "due_at": call.due_at.isoformat(),
        "language": language,
        "subject": text.subject,
        "text": text.body,
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def letter_bytes(text: NoticeText, *, lines: list[str], at: datetime) -> bytes:
    """A letter as plain text: the address, the day, the subject, the text."""
    return "\n".join([*lines, "", f"{at:%Y-%m-%d}", "", text.subject, "", text.body]).encode()


# ---------------------------------------------------------------- kept and shown


def keep(delivery: Delivery, *, to: str, content: bytes) -> None:
    """Put recipient and bytes into an unsaved delivery, sealed where there is a key of a person."""
    key = delivery.person_key
    delivery.sha256 = sha256(content).hexdigest()
    delivery.sent_to = to.encode() if key is None else seal_bytes(key, to.encode())
    delivery.sent_bytes = content if key is None else seal_bytes(key, content)


def recipient_of(delivery: Delivery) -> str:
    """To whom it goes; "erased" once the key is destroyed. The delivery is read with its key."""
    return _opened(delivery, delivery.sent_to).decode()


def bytes_of(delivery: Delivery) -> bytes:
    """The exact bytes; b"erased" once the key is destroyed. The delivery is read with its key."""
    return _opened(delivery, delivery.sent_bytes)


def is_erased(delivery: Delivery) -> bool:
    """Whether nobody can read it any more."""
    return delivery.person_key is not None and delivery.person_key.key is None


def _opened(delivery: Delivery, sealed: bytes | memoryview) -> bytes:
    key = delivery.person_key
    if key is None:
        return bytes(sealed)
    return ERASED.encode() if key.key is None else open_bytes(key, sealed)


def is_as_hashed(delivery: Delivery) -> bool:
    """Whether the bytes are those of the hash; true of what is erased, which says nothing."""
    return is_erased(delivery) or sha256(bytes_of(delivery)).hexdigest() == delivery.sha256


def text_of(channel: str, content: bytes) -> NoticeText:
    """The notice in what was sent, without the address that stands above it."""
    if content == ERASED.encode():
        return NoticeText("", ERASED)
    if channel == Channel.EMAIL:
        message = read_message(content)
        return NoticeText(str(message["Subject"]), message.get_content().replace("\r\n", "\n"))
    if channel == Channel.WEBHOOK:
        said = json.loads(content)
        return NoticeText(said["subject"], said["text"])
    if channel == Channel.LETTER:
        _, _, subject, body = content.decode().split("\n\n", 3)
        return NoticeText(subject, body)
    return NoticeText("", content.decode())


def read_message(content: bytes) -> EmailMessage:
    """A message as it was kept."""
    message = message_from_bytes(content, policy=SMTP)
    assert isinstance(message, EmailMessage), "the policy makes these"
    return message
