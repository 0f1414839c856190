"""What people do about deliveries: print and post a letter, report what came back, send again."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting
from margin.models import CallEvent, Channel, Delivery, NoticeKind
from margin.notices.contacts import contact_of
from margin.notices.contents import bytes_of, is_erased, text_of
from margin.notices.deliveries import way_words
from margin.notices.plan import READ_WITH, planned, text_book, write_planned
from margin.notices.steps import (
    LETTER_DUE_AFTER,
    ask_somebody,
    came_back,
    close_tasks_of,
    missed,
    reached,
    step,
)
from margin.notices.texts import CONTROL

RIGHT: Final = "notice.deliver"
WORDS_LENGTH_MAX: Final = 500


def mark_printed(delivery_id: UUID, *, actor: Actor, request_id: str = "") -> Delivery:
    """A letter is printed; it may be printed again.

    Raises:
        RefusedError: `delivery_transition_is_legal`: it is no letter, or is posted already.
    """
    with acting(actor, reason="Printed a notice", request_id=request_id):
        return step(held_delivery(delivery_id), "printed", at=timezone.now())


def mark_posted(delivery_id: UUID, *, words: str, actor: Actor, request_id: str = "") -> Delivery:
    """A printed letter is posted: its call is delivered.

    Args:
        words: such as the number of the registered letter.

    Raises:
        RefusedError: `delivery_transition_is_legal`: it is not printed, or is posted already.
    """
    with acting(actor, reason=words or "Posted a notice", request_id=request_id):
        held, now = held_delivery(delivery_id), timezone.now()
        step(held, "posted", at=now, text=_one_line(words))
        text = "" if is_erased(held) else text_of(held.channel, bytes_of(held)).body
        reached(held, at=now, words=way_words(held), text=text)
        return held


def mark_not_posted(
    delivery_id: UUID, *, words: str, actor: Actor, request_id: str = ""
) -> Delivery:
    """A letter cannot be posted: somebody is asked, as where an e-mail is refused.

    Raises:
        RefusedError: `delivery_transition_is_legal`: it is no letter, or is posted already.
    """
    with acting(actor, reason=words, request_id=request_id):
        held, now = held_delivery(delivery_id), timezone.now()
        if held.channel != Channel.LETTER:
            raise RefusedError("delivery_transition_is_legal", "this is no letter")
        step(held, "gave_up", at=now, text=_one_line(words))
        missed(held, at=now, words=_one_line(words))
        return held


def mark_bounced(delivery_id: UUID, *, words: str, actor: Actor, request_id: str = "") -> Delivery:
    """A delivered notice came back: it is escalated to somebody with a clock.

    Raises:
        RefusedError: `delivery_transition_is_legal`: it is not delivered, or came back before.
    """
    with acting(actor, reason=words, request_id=request_id):
        held = held_delivery(delivery_id)
        take_back(held, words=words, at=timezone.now())
        return held


def take_back(held: Delivery, *, words: str, at: datetime) -> None:
    """The same inside an act, of a delivery that is locked."""
    step(held, "bounced", at=at, text=_one_line(words))
    came_back(held, at=at, words=_one_line(words))


def send_again(delivery_id: UUID, *, words: str, actor: Actor, request_id: str = "") -> Delivery:
    """Send what did not arrive again: the same bytes, or anew where its client has moved.

    Raises:
        RefusedError: `delivery_transition_is_legal`: it is on its way, or has arrived.
    """
    with acting(actor, reason=words, request_id=request_id):
        held, now = held_delivery(delivery_id), timezone.now()
        moved = _to_new_address(held)
        if moved is not None:
            return moved
        is_letter = held.channel == Channel.LETTER
        step(
            held, "again", at=now, text=_one_line(words), next_at=None if is_letter else now,
        )  # fmt: skip
        close_tasks_of(held, at=now, reason="It is sent again")
        if is_letter:
            ask_somebody(
                held, at=now, due_at=now + LETTER_DUE_AFTER, detail=_one_line(words),
                subject=f"{held.call.number}: letter to print and post again",
            )  # fmt: skip
        return held


def _to_new_address(held: Delivery) -> Delivery | None:
    """The same notice under the newest contacts, made anew; None where they are the same."""
    if held.contact is None or held.state not in (
        Delivery.State.UNDELIVERED, Delivery.State.BOUNCED,
    ):  # fmt: skip
        return None
    newest = contact_of(held.contact.client)
    if newest is None or newest.pk == held.contact_id:
        return None
    event = CallEvent.objects.select_related(*READ_WITH).get(pk=held.event_id)
    now = timezone.now()
    made = planned(event, NoticeKind(held.kind), newest, book=text_book([event]), at=now)
    there = set(
        Delivery.objects.filter(event=event, contact=newest).values_list("channel", flat=True)
    )
    fresh = [each for each in made if each.channel not in there]
    if not fresh:
        return None
    write_planned(fresh, at=now)
    close_tasks_of(held, at=now, reason="It goes to where its client is now")
    same_way = [each for each in fresh if each.channel == held.channel]
    return (same_way or fresh)[0]


def _one_line(words: str) -> str:
    return CONTROL.sub(" ", words).strip()[:WORDS_LENGTH_MAX]


def held_delivery(delivery_id: UUID) -> Delivery:
    """The delivery, locked until the act ends."""
    return (
        Delivery.objects.select_for_update(of=("self",))
        .select_related("call__scope", "person_key", "contact__client__person_key")
        .get(pk=delivery_id)
    )
