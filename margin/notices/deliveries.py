"""Deliver what is due: an attempt is written down before it is made, and its answer after it.

Cut off in between, nobody knows whether it arrived. It is then made again with the same bytes and
the same id, and the steps say so; a receiver who keeps ids sees the notice once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.audit import Actor, acting
from margin.models import CallEvent, Channel, Delivery, DeliveryEvent, MarginCall, NoticeKind
from margin.notices.contacts import addresses_of
from margin.notices.contents import bytes_of, is_erased, text_of
from margin.notices.plan import plan_notices
from margin.notices.senders import Outcome, Parcel, send
from margin.notices.steps import ATTEMPTS, missed, reached, step

DELIVER: Final = Actor.job("notices-deliver")
# After each attempt that failed; after the last one nobody tries any more.
PAUSES: Final = (
    timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1),
    timedelta(hours=3),
)  # fmt: skip
ATTEMPTS_MAX: Final = len(PAUSES) + 1
# How long an attempt may take before it counts as cut off; longer than any sender waits.
ATTEMPT_TAKES_MOST: Final = timedelta(minutes=2)
SENT_BY_PROGRAM: Final = (Channel.EMAIL, Channel.WEBHOOK)
AT_ONCE_MAX: Final = 200
# What asks for money, and is worth nothing once nothing is due.
DEMANDS: Final = (
    NoticeKind.ISSUED, NoticeKind.RAISED, NoticeKind.LOWERED, NoticeKind.PARTIALLY_MET,
    NoticeKind.EXTENDED, NoticeKind.EXPIRED,
)  # fmt: skip
State = Delivery.State
Send = Callable[..., Outcome]


class Delivered(NamedTuple):
    """What one round did."""

    planned: int
    sent: int
    failed: int
    dropped: int


def due_deliveries(now: datetime) -> "QuerySet[Delivery]":
    """What is to be sent at an instant; of a call on one way never a later notice first."""
    earlier = Delivery.objects.filter(
        call=OuterRef("call"), channel=OuterRef("channel"), event__lt=OuterRef("event"),
        state__in=[State.WAITING, State.SENDING],
    )  # fmt: skip
    found = Delivery.objects.filter(next_at__lte=now, channel__in=SENT_BY_PROGRAM)
    return found.exclude(Exists(earlier)).order_by("event_id", "channel")


def deliver_due(
    *,
    now: datetime | None = None,
    report: Callable[[int, int, str], None] | None = None,
    sender: Send = send,
) -> Delivered:
    """Plan what is to be told and attempt what is due, each attempt in acts of its own.

    Args:
        now: the instant; the clock's if None.
        report: told how far it is.
        sender: makes an attempt.
    """
    planned = plan_notices(now=now)
    done = {State.DELIVERED: 0, State.DROPPED: 0}
    failed = 0
    tried: set[UUID] = set()
    while len(tried) < AT_ONCE_MAX:
        at = now or timezone.now()
        waiting = due_deliveries(at).exclude(pk__in=tried).values_list("pk", flat=True)
        found = waiting.first()
        if found is None:
            break
        if report is not None:
            report(len(tried), len(tried) + 1, "Deliver notices")
        tried.add(found)
        state = deliver_one(found, now=now, sender=sender)
        if state in done:
            done[state] += 1
        else:
            failed += state is not None
    return Delivered(planned, done[State.DELIVERED], failed, done[State.DROPPED])


def deliver_one(
    delivery_id: UUID, *, now: datetime | None = None, sender: Send = send
) -> State | None:
    """Make one attempt and return what the delivery is then; None where another makes it."""
    parcel = _begin(delivery_id, at=now or timezone.now())
    if parcel is None or isinstance(parcel, State):
        return parcel
    outcome = sender(parcel, at=now or timezone.now())
    return _end(delivery_id, outcome, at=now or timezone.now())


def _begin(delivery_id: UUID, *, at: datetime) -> Parcel | State | None:
    """Write down that an attempt is made; what it sends, or the state where none is made."""
    with acting(DELIVER, reason=f"Deliver notice {delivery_id}"):
        held = _held(delivery_id, skip=True)
        if held is None or held.next_at is None or held.next_at > at:
            return None
        if why := _worthless(held):
            step(held, "dropped", at=at, text=why)
            return State.DROPPED
        tries = _tries(held)
        if held.state == State.SENDING and tries >= ATTEMPTS_MAX:
            return _give_up(held, "cut off, whether it arrived is unknown", tries=tries, at=at)
        was_cut_off = held.state == State.SENDING
        step(
            held, "unknown" if was_cut_off else "attempt", at=at,
            next_at=at + ATTEMPT_TAKES_MOST,
            text=f"Attempt {tries + 1}"
            + (", the same again: the one before was cut off and may have arrived"
               if was_cut_off else ""),
        )  # fmt: skip
        return _parcel(held)


def _parcel(held: Delivery) -> Parcel:
    assert held.contact is not None, "what a program sends goes to a contact"
    address = addresses_of(held.contact).get(held.channel, {})
    return Parcel(held.pk, held.channel, address, b"" if is_erased(held) else bytes_of(held))


def _end(delivery_id: UUID, outcome: Outcome, *, at: datetime) -> State | None:
    """Write down what came of it, unless somebody has taken it over and knows more."""
    with acting(DELIVER, reason=f"Answer to notice {delivery_id}"):
        held = _held(delivery_id)
        if held is None or held.state != State.SENDING:
            return None
        if outcome.is_accepted:
            step(held, "accepted", at=at, text=outcome.words)
            said = text_of(held.channel, _read(held)).body
            reached(held, at=at, words=way_words(held), text=said)
            return State.DELIVERED
        tries = _tries(held)
        if outcome.is_final or tries >= ATTEMPTS_MAX:
            return _give_up(held, outcome.words, tries=tries, at=at)
        step(held, "refused", at=at, text=outcome.words, next_at=at + PAUSES[tries - 1])
        return State.WAITING


def _read(held: Delivery) -> bytes:
    return b"erased" if is_erased(held) else bytes_of(held)


def _give_up(held: Delivery, words: str, *, tries: int, at: datetime) -> State:
    times = "1 attempt" if tries == 1 else f"{tries} attempts"
    step(held, "gave_up", at=at, text=f"{words} (after {times})")
    missed(held, at=at, words=f"Given up after {times}: {words}")
    return State.UNDELIVERED


def way_words(held: Delivery) -> str:
    """The way and the notice in a line, as the life of a call names them."""
    return f"{held.channel}: notice “{held.get_kind_display().lower()}”"


def _worthless(held: Delivery) -> str:
    """Why it is not worth sending any more; "" where it is."""
    if held.state != State.WAITING:
        return ""
    if held.kind in DEMANDS and held.call.state in MarginCall.ENDED:
        return f"the call is {held.call.state} by now"
    if held.kind == NoticeKind.ISSUED:
        return ""
    told = Delivery.objects.filter(call=held.call, kind=NoticeKind.ISSUED)
    was_told = (
        told.exclude(attempts=0, state__in=[State.WAITING, State.DROPPED]).exists()
        or CallEvent.objects.filter(call=held.call, event="delivered").exists()
    )
    return "" if was_told else "nobody was told of the call"


def _tries(held: Delivery) -> int:
    """Attempts since it was planned, or since a person had it tried again."""
    events: Any = DeliveryEvent.objects.filter(delivery=held)
    again = events.filter(step="again").order_by("-number").values_list("number", flat=True)
    return int(events.filter(step__in=ATTEMPTS, number__gt=again.first() or 0).count())


def _held(delivery_id: UUID, *, skip: bool = False) -> Delivery | None:
    return (
        Delivery.objects.select_for_update(of=("self",), skip_locked=skip)
        .select_related("call__scope", "person_key", "contact__client__person_key")
        .filter(pk=delivery_id)
        .first()
    )
