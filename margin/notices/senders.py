"""How kept bytes leave: one attempt by e-mail or webhook, and what came back of it.

Nothing here writes to the database or decides what follows; an attempt may be made twice.
"""

import smtplib
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core import mail

from margin.models import Channel
from margin.notices import webhooks
from margin.notices.contents import read_message
from margin.notices.texts import CONTROL

WORDS_LENGTH_MAX: Final = 500
PERMANENT: Final = 500
HIDDEN: Final = "(recipient)"


class Parcel(NamedTuple):
    """What one attempt sends.

    Attributes:
        address: of the channel, as the contact says it: `address`, or `url`, `key_id`, `secret`.
        content: the kept bytes.
    """

    delivery_id: UUID
    channel: str
    address: Mapping[str, Any]
    content: bytes


class Outcome(NamedTuple):
    """What came of an attempt.

    Attributes:
        is_accepted: somebody took it.
        is_final: it was refused for good.
        words: the answer, without the recipient's address.
    """

    is_accepted: bool
    is_final: bool
    words: str


def send(parcel: Parcel, *, at: datetime) -> Outcome:
    """Make one attempt.

    Args:
        at: when it is made; a webhook's signature says it.
    """
    if not parcel.address:
        return Outcome(False, True, "there is no address any more")
    made = _by_email(parcel) if parcel.channel == Channel.EMAIL else _by_webhook(parcel, at=at)
    return made._replace(words=cleaned(made.words, parcel.address))


def cleaned(words: str, address: Mapping[str, Any]) -> str:
    """An answer in one short line, in which no address or secret is repeated."""
    for name in ("address", "url", "secret"):
        if told := address.get(name):
            words = words.replace(str(told), HIDDEN)
    return CONTROL.sub(" ", words).strip()[:WORDS_LENGTH_MAX]


class KeptMessage(mail.EmailMessage):
    """A message whose bytes were made before."""

    def __init__(self, content: bytes, *, to: str) -> None:
        super().__init__(from_email=settings.NOTICE_FROM, to=[to])
        self._content = content

    def message(self, **_: object) -> EmailMessage:
        """The message; as bytes it is what was kept."""
        kept = self._content
        message = read_message(kept)
        message.as_bytes = lambda *_, **__: kept  # type: ignore[method-assign]
        return message


def _by_email(parcel: Parcel) -> Outcome:
    message = KeptMessage(parcel.content, to=parcel.address["address"])
    try:
        count = mail.get_connection().send_messages([message])
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = next(iter(refused.recipients.values()))
        return _refused(code, words)
    except smtplib.SMTPDataError as refused:
        return _refused(refused.smtp_code, refused.smtp_error)
    except smtplib.SMTPResponseException as refused:
        # The server refuses us, not the recipient: somebody will set that right.
        return _refused(refused.smtp_code, refused.smtp_error)._replace(is_final=False)
    except (OSError, smtplib.SMTPException) as broken:
        return Outcome(False, False, f"no answer, whether it arrived is unknown: {broken}")
    if count != 1:
        return Outcome(False, False, "nothing was sent")
    if settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        return Outcome(True, False, f"taken by {settings.EMAIL_HOST}:{settings.EMAIL_PORT}")
    return Outcome(True, False, "written to a file; no SMTP server is configured")


def _refused(code: int, words: bytes | str) -> Outcome:
    said = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return Outcome(False, code >= PERMANENT, f"{code} {said}")


def _by_webhook(parcel: Parcel, *, at: datetime) -> Outcome:
    moment = int(at.timestamp())
    headers = {
        webhooks.DELIVERY: str(parcel.delivery_id),
        webhooks.SIGNATURE: webhooks.signature_header(
            parcel.content, key_id=parcel.address["key_id"], secret=parcel.address["secret"],
            at=moment,
        ),
    }  # fmt: skip
    try:
        answer = webhooks.post(parcel.address["url"], parcel.content, headers=headers)
    except webhooks.AddressRefusedError as refused:
        return Outcome(False, False, f"not sent: {refused}")
    except OSError as broken:
        return Outcome(False, False, f"no answer, whether it arrived is unknown: {broken}")
    except ValueError as wrong:
        return Outcome(False, True, f"not sent: {wrong}")
    signed = f"{webhooks.SIGNATURE}: {headers[webhooks.SIGNATURE]}"
    return Outcome(answer.is_accepted, False, f"{signed}; {answer.words}")
