"""First notices of calls as files in the outbox: of clients who named no way for them.

So no call is made without a notice, and nothing leaves this machine unless somebody asked for it.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import uuid4

from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from margin.models import (
    CallEvent,
    Channel,
    Delivery,
    DeliveryEvent,
    MarginCall,
    NoticeKind,
    NoticeTemplate,
)
from margin.models.calls import MarginCallQuerySet
from margin.notices.changes import Notice, deliver_text
from margin.notices.contents import keep
from margin.notices.plan import READ_WITH, plan_notices, text_book
from margin.notices.texts import (
    STANDARD_LANGUAGE,
    TextBook,
    filled,
    result_behind,
    values_of,
)

PLANNED_WAYS: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.LETTER)
ISSUED, DELIVERED = MarginCall.State.ISSUED, MarginCall.State.DELIVERED


class Filed(NamedTuple):
    """A notice that lies in the outbox."""

    event: CallEvent
    template: NoticeTemplate
    text: str
    notice: Notice


def deliver_notices(*, business_day: date | None = None, actor: Actor) -> int:
    """Deliver the notice of every call that was issued and of which none is on its way.

    Calls of clients who named a way are planned, and go when their job runs; all others are
    delivered here, in one act. The file is written first; writing it again writes the same.

    Args:
        business_day: of the calls; all days if None.

    Returns:
        How many calls were delivered as files.
    """
    plan_notices()
    filed = _filed(business_day)
    if not filed:
        return 0
    with acting(actor, reason=f"Deliver the notices of {business_day or 'all days'}"):
        still = set(
            _waiting(business_day)
            .select_for_update()
            .filter(pk__in=[each.event.call_id for each in filed])
            .values_list("pk", flat=True)
        )
        _write([each for each in filed if each.event.call_id in still], at=timezone.now())
    return len(still)


def _waiting(business_day: date | None) -> MarginCallQuerySet:
    planned = Delivery.objects.filter(
        call=OuterRef("pk"), kind=NoticeKind.ISSUED, channel__in=PLANNED_WAYS
    )
    found = MarginCall.objects.filter(state=ISSUED).exclude(Exists(planned))
    return found if business_day is None else found.filter(business_day=business_day)


def _filed(business_day: date | None) -> list[Filed]:
    issued = CallEvent.objects.filter(call__in=_waiting(business_day), event="issued")
    newest = {event.call_id: event for event in issued.select_related(*READ_WITH).order_by("pk")}
    events = sorted(newest.values(), key=lambda event: event.call.number)
    book = text_book(events)
    return [_file(event, book=book) for event in events]


def _file(event: CallEvent, *, book: TextBook) -> Filed:
    bucket = event.call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    template = book.of(bucket.account.legal_entity_id, NoticeKind.ISSUED, STANDARD_LANGUAGE)
    text = filled(template, values_of(event, result=result_behind(event))).body
    return Filed(event, template, text, deliver_text(event.call, text))


def _write(filed: Sequence[Filed], *, at: datetime) -> None:
    """Bring the calls to delivered, with the proof of what lies in the outbox; inside an act."""
    MarginCall.objects.filter(pk__in=[each.event.call_id for each in filed]).update(state=DELIVERED)
    copy_rows(
        CallEvent(
            call=each.event.call, event="delivered", from_state=ISSUED, to_state=DELIVERED,
            occurred_at=each.event.call.issued_at,
            text=f"{each.notice.channel}: {each.notice.name}\n\n{each.text}",
        )
        for each in filed
    )  # fmt: skip
    made = copy_rows(_delivery(each, at=at) for each in filed)
    copy_rows(
        DeliveryEvent(
            delivery=each, number=1, step="written", from_state="", to_state=each.state, at=at,
        )
        for each in made
    )  # fmt: skip


def _delivery(filed: Filed, *, at: datetime) -> Delivery:
    call = filed.event.call
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    client = bucket.account.client
    delivery = Delivery(
        id=uuid4(), call=call, event=filed.event, kind=NoticeKind.ISSUED, channel=Channel.OUTBOX,
        template=filed.template, person_key=None if client is None else client.person_key,
        made_at=at, state=Delivery.State.DELIVERED, attempts=1,
    )  # fmt: skip
    keep(
        delivery, to=f"margin-calls/{call.business_day}/{filed.notice.name}",
        content=filed.text.encode(),
    )  # fmt: skip
    return delivery
