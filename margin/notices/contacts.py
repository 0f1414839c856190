"""Where the notices of a client go: by which ways, for which kinds, to which addresses.

Addresses and secrets are sealed under the client's key from the moment they are typed: requests,
the trail and seals hold only what is sealed, and with the key they are gone.
"""

import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.models import Approval, Client
from accounts.personal import ERASED, open_text, seal_text
from margin.models import CallEvent, Channel, NoticeContact, NoticeKind
from margin.notices.texts import CONTROL, LANGUAGE
from margin.notices.webhooks import AddressRefusedError, place_of

CONTACTS: Final = "notice.contacts"
WAYS: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.LETTER)
SECRET_BYTES: Final = 32
LINES_MAX, LINE_LENGTH_MAX = 8, 100
EMAIL_LENGTH_MAX: Final = 254
ASCII_ADDRESS: Final = re.compile(r"[\x21-\x7e]+")
Addresses = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ContactDraft:
    """Where notices shall go, as somebody typed it.

    Attributes:
        kinds: by way, the kinds of notices that go that way; ways without any are not used.
        email: an address; "" for none.
        webhook: a URL; "" for none.
        letter: the lines of a postal address.
        renews_secret: whether the webhook gets a new secret although its URL stays.
    """

    language: str
    kinds: Mapping[str, Collection[str]]
    email: str = ""
    webhook: str = ""
    letter: str = ""
    renews_secret: bool = False


@dataclass(frozen=True)
class AskedContacts:
    """A request, and the webhook's new secret, which nobody is shown again; "" if it is not new."""

    approval_id: UUID
    key_id: str = ""
    secret: str = ""


# ---------------------------------------------------------------- what holds


def contact_of(client: Client) -> NoticeContact | None:
    """The newest version of where a client's notices go."""
    found = NoticeContact.objects.filter(client=client).select_related("client__person_key")
    return found.order_by("-version").first()


def contact_then(contacts: Collection[NoticeContact], event: CallEvent) -> NoticeContact | None:
    """Of a client's versions the one that held when a step took place."""
    then = [each for each in contacts if each.after_event < event.pk]
    return max(then, key=lambda each: each.version, default=None)


def addresses_of(contact: NoticeContact) -> Addresses:
    """Addresses by way, with `key_id` and `secret` of a webhook; empty once the key is destroyed.

    The contact is read with its client's key.
    """
    said = open_text(contact.client.person_key, contact.addressed)
    if said == ERASED:
        return {}
    found: dict[str, dict[str, Any]] = json.loads(said)
    return found


def shown_addresses(addresses: Addresses) -> dict[str, str]:
    """Addresses as people read them; never a secret."""
    shown = {}
    for channel, each in addresses.items():
        if channel == Channel.EMAIL:
            shown[channel] = str(each["address"])
        elif channel == Channel.WEBHOOK:
            shown[channel] = f"{each['url']} (key {each['key_id']})"
        else:
            shown[channel] = "\n".join(each["lines"])
    return shown


# ---------------------------------------------------------------- asking for others


def request_contacts(
    client: Client, draft: ContactDraft, *, reason: str, actor: Actor, request_id: str = ""
) -> AskedContacts:
    """Ask that a client's notices go elsewhere from now on.

    Raises:
        AskRefusedError: an address is none, a kind is unknown, or a webhook's host is not allowed.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if client.person_key.key is None:
        raise AskRefusedError("", f"Client {client.code} is erased.")
    if not LANGUAGE.fullmatch(draft.language):
        raise AskRefusedError("language", "A language is two small letters, such as en, or en-US.")
    newest = contact_of(client)
    addresses = _addresses(draft, was={} if newest is None else addresses_of(newest))
    channels = {way: _kinds(draft, way) for way in addresses}
    sealed = seal_text(client.person_key, json.dumps(addresses, ensure_ascii=False))
    row = {
        "client_id": client.pk,
        "version": 1 if newest is None else newest.version + 1,
        "language": draft.language,
        "channels": channels,
        "kinds": sorted({kind for kinds in channels.values() for kind in kinds}),
        "addressed": f"\\x{sealed.hex()}",
    }
    with acting(actor, reason=reason, request_id=request_id):
        approval_id = request_approval(
            legal_entity_id=client.legal_entity_id,
            action=CONTACTS,
            subject=f"Notices of client {client.code}, version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=(record_of(client),),
        )
    hook = addresses.get(Channel.WEBHOOK, {})
    before = {} if newest is None else addresses_of(newest).get(Channel.WEBHOOK, {})
    if hook.get("key_id") == before.get("key_id"):
        return AskedContacts(approval_id)
    return AskedContacts(approval_id, hook["key_id"], hook["secret"])


def record_of(client: Client) -> str:
    """How requests name where a client's notices go."""
    return f"accounts_client:{client.pk}:notices"


def _kinds(draft: ContactDraft, way: str) -> list[str]:
    kinds = set(draft.kinds.get(way, ()))
    unknown = kinds - set(NoticeKind.values)
    if unknown:
        raise AskRefusedError(f"{way}_kinds", f"{sorted(unknown)[0]} is no kind of notice.")
    if not kinds:
        raise AskRefusedError(f"{way}_kinds", "Say which notices go this way.")
    return [kind for kind in NoticeKind.values if kind in kinds]


def _addresses(draft: ContactDraft, *, was: Addresses) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if draft.email:
        found[Channel.EMAIL] = {"address": checked_email(draft.email)}
    if draft.webhook:
        found[Channel.WEBHOOK] = _webhook(draft, was.get(Channel.WEBHOOK, {}))
    if draft.letter.strip():
        found[Channel.LETTER] = {"lines": checked_lines(draft.letter)}
    for way in WAYS:
        if draft.kinds.get(way) and way not in found:
            raise AskRefusedError(way, "Notices go this way, and there is no address.")
    return found


def checked_email(address: str) -> str:
    """The address, if it is one that a header can carry as it is.

    Raises:
        AskRefusedError: it is none, or would end its header.
    """
    is_plain = len(address) <= EMAIL_LENGTH_MAX and ASCII_ADDRESS.fullmatch(address)
    try:
        if not is_plain:
            raise ValidationError("not plain")
        validate_email(address)
    except ValidationError as wrong:
        raise AskRefusedError("email", "This is no e-mail address.") from wrong
    return address


def checked_lines(letter: str) -> list[str]:
    """The lines of a postal address.

    Raises:
        AskRefusedError: it is too long, or a line is no plain text.
    """
    lines = [line.strip() for line in letter.replace("\r\n", "\n").split("\n") if line.strip()]
    if len(lines) > LINES_MAX or any(
        len(line) > LINE_LENGTH_MAX or CONTROL.search(line) for line in lines
    ):
        raise AskRefusedError(
            "letter", f"At most {LINES_MAX} plain lines of {LINE_LENGTH_MAX} characters."
        )
    return lines


def _webhook(draft: ContactDraft, was: Mapping[str, Any]) -> dict[str, Any]:
    try:
        place_of(draft.webhook)
    except AddressRefusedError as refused:
        raise AskRefusedError("webhook", str(refused)) from refused
    if was.get("url") == draft.webhook and not draft.renews_secret:
        return dict(was)
    return {
        "url": draft.webhook,
        "key_id": f"whk_{secrets.token_hex(6)}",
        "secret": secrets.token_urlsafe(SECRET_BYTES),
    }


# ---------------------------------------------------------------- deciding


def describe_contacts(approval: Approval) -> Description:
    """Where notices go now, and where they would."""
    row = approval.payload["row"]
    client = Client.objects.named().get(pk=row["client_id"])
    held = contact_of(client)
    asked = NoticeContact(
        client=client, channels=row["channels"], addressed=bytes.fromhex(row["addressed"][2:])
    )
    before, after = ({} if each is None else _lines_of(each) for each in (held, asked))
    return Description(
        headline=approval.subject,
        facts=(("Client", client.code), ("Language", row["language"])),
        fields=tuple(
            FieldChange(Channel(way).label, before.get(way, "none"), after.get(way, "none"))
            for way in WAYS
            if way in before or way in after
        ),
        note="It holds for what happens to calls from then on.",
    )


def _lines_of(contact: NoticeContact) -> dict[str, str]:
    shown = shown_addresses(addresses_of(contact))
    return {
        way: f"{shown.get(way, ERASED)}: {', '.join(NoticeKind(kind).label for kind in kinds)}"
        for way, kinds in contact.channels.items()
    }


def apply_contacts(approval: Approval) -> None:
    """Let it hold; call inside an act."""
    spend("SELECT margin.change_contacts(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(CONTACTS, describe=describe_contacts, apply=apply_contacts)
