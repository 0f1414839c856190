"""Which notices are to go, and how: for each step of a call and each way one delivery is made.

A step is told the ways that held when it took place. A client who has named none for its first
notice gets it as a file in the outbox, so that no call is made without a notice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from margin.models import (
    CallEvent,
    Channel,
    Delivery,
    DeliveryEvent,
    NoticeContact,
    NoticeKind,
    NoticeTemplate,
)
from margin.notices.contacts import Addresses, addresses_of, contact_then
from margin.notices.contents import email_bytes, keep, letter_bytes, webhook_bytes
from margin.notices.steps import LETTER_DUE_AFTER, ask_somebody
from margin.notices.texts import (
    AMENDED,
    KIND_OF_EVENT,
    NoticeText,
    TextBook,
    filled,
    kind_of,
    result_behind,
    values_of,
)

PLANNER: Final = Actor.job("notices-plan")
READ_WITH: Final = (
    "call__scope__bucket__account__client__person_key",
    "call__scope__bucket__account__legal_entity",
    "call__first_result__run",
    "call__last_result__run",
)


def plan_notices(*, actor: Actor = PLANNER, now: datetime | None = None) -> int:
    """Make a delivery of every step that is to be told and has none; returns how many.

    Done twice, or by two at once, the second finds nothing left.
    """
    at = now or timezone.now()
    if not untold().exists():
        return 0
    with acting(actor, reason="Plan notices"):
        with connection.cursor() as cursor:
            # One at a time: a second planner waits here and then finds nothing.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('plan notices', 0))")
        events = list(untold().select_related(*READ_WITH).order_by("pk"))
        return len(_plan(events, at=at))


def untold() -> "QuerySet[CallEvent]":
    """Steps of which somebody asked to be told, and has not been."""
    newer = NoticeContact.objects.filter(
        client=OuterRef("client"), version__gt=OuterRef("version"),
        after_event__lt=OuterRef(OuterRef("pk")),
    )  # fmt: skip
    wanted = Q(pk__in=[])
    for kind in NoticeKind:
        asked = NoticeContact.objects.filter(
            client=OuterRef("call__scope__bucket__account__client"),
            kinds__contains=[kind.value], after_event__lt=OuterRef("pk"),
            client__person_key__key__isnull=False,
        ).exclude(Exists(newer))  # fmt: skip
        wanted |= _tells(kind) & Q(Exists(asked))
    told = Delivery.objects.filter(event=OuterRef("pk"))
    first = NoticeContact.objects.order_by("after_event").values("after_event")[:1]
    return CallEvent.objects.filter(wanted, pk__gt=Subquery(first)).exclude(Exists(told))


def _tells(kind: NoticeKind) -> Q:
    """Steps that a notice of this kind tells of, as `kind_of` says of one."""
    found = Q(event__in=[event for event, of in KIND_OF_EVENT.items() if of == kind])
    if kind == NoticeKind.RAISED:
        found |= Q(event=AMENDED, amount_after__gt=F("amount_before"))
    elif kind == NoticeKind.LOWERED:
        found |= Q(event=AMENDED, amount_after__lte=F("amount_before"))
    return found


def _plan(events: Sequence[CallEvent], *, at: datetime) -> list[Delivery]:
    clients = {client for event in events if (client := _client_id(event)) is not None}
    versions: dict[int, list[NoticeContact]] = defaultdict(list)
    for each in NoticeContact.objects.filter(client__in=clients).select_related(
        "client__person_key"
    ):
        versions[each.client_id].append(each)
    book = text_book(events)
    made = []
    for event in events:
        kind, client = kind_of(event), _client_id(event)
        contact = None if client is None else contact_then(versions[client], event)
        if kind is None or contact is None:
            continue
        made += planned(event, kind, contact, book=book, at=at)
    write_planned(made, at=at)
    return made


def _client_id(event: CallEvent) -> int | None:
    found: int | None = _account(event).client_id
    return found


def _account(event: CallEvent) -> Any:  # noqa: ANN401 - a MarginAccount
    bucket = event.call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    return bucket.account


def text_book(events: Iterable[CallEvent]) -> TextBook:
    """The texts of the legal entities of some events."""
    return TextBook({_account(event).legal_entity_id for event in events})


def planned(
    event: CallEvent, kind: NoticeKind, contact: NoticeContact, *, book: TextBook, at: datetime
) -> list[Delivery]:
    """The deliveries of a step on the ways of a contact, not yet written."""
    ways = [way for way, kinds in contact.channels.items() if kind in kinds]
    addresses = addresses_of(contact) if ways else {}
    template = book.of(_account(event).legal_entity_id, kind, contact.language)
    text = filled(template, values_of(event, result=result_behind(event)))
    return [
        _delivery(
            event, kind, way, template=template, contact=contact, text=text, addresses=addresses,
            at=at,
        )
        for way in ways
        if way in addresses
    ]  # fmt: skip


def _delivery(
    event: CallEvent,
    kind: NoticeKind,
    way: str,
    *,
    template: NoticeTemplate,
    contact: NoticeContact,
    text: NoticeText,
    addresses: Addresses,
    at: datetime,
) -> Delivery:
    delivery = Delivery(
        id=uuid4(), call=event.call, event=event, kind=kind, channel=way, template=template,
        contact=contact, person_key=contact.client.person_key, made_at=at,
        state=Delivery.State.WAITING, attempts=0, next_at=None if way == Channel.LETTER else at,
    )  # fmt: skip
    address = addresses[way]
    if way == Channel.EMAIL:
        to = str(address["address"])
        content = email_bytes(text, to=to, delivery_id=delivery.pk, at=at)
    elif way == Channel.WEBHOOK:
        to = str(address["url"])
        content = webhook_bytes(
            text, event, kind=kind, delivery_id=delivery.pk, language=template.language
        )
    else:
        to = "\n".join(address["lines"])
        content = letter_bytes(text, lines=list(address["lines"]), at=at)
    keep(delivery, to=to, content=content)
    return delivery


def write_planned(made: Sequence[Delivery], *, at: datetime) -> None:
    """Write deliveries with their first step; whoever prints letters is asked. Inside an act."""
    copy_rows(made)
    copy_rows(
        DeliveryEvent(
            delivery=each, number=1, step="planned", from_state="", to_state=each.state, at=at,
        )
        for each in made
    )  # fmt: skip
    for each in made:
        if each.channel == Channel.LETTER:
            ask_somebody(
                each, at=at, due_at=at + LETTER_DUE_AFTER,
                subject=f"{each.call.number}: letter to print and post",
                detail=f"Notice “{NoticeKind(each.kind).label}”. Say there that it is posted.",
            )  # fmt: skip
