"""The same step for many calls, in one act where that goes; what is refused stays, each by itself.

The calls are locked in the order of their keys, so that two people with the same selection wait
for each other, and the second is told which calls have moved on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting
from margin.calls.acts import ACTS, carry_on, step
from margin.models import CallTransition, MarginCall

# A step's name where the life of a call has it under another.
LISTED = {"withdraw": "cancel"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call; `refusal` says why it stays as it is, "" if it went on."""

    number: str
    refusal: str = ""


def can_be_carried(act: str) -> frozenset[str]:
    """The states from which a step may be taken."""
    wanted = ACTS[act]
    steps = CallTransition.objects.filter(act=LISTED.get(act, act), to_state=wanted.to_state)
    return frozenset(steps.values_list("from_state", flat=True))


def carry_many(
    numbers: Iterable[str], act: str, *, actor: Actor, words: str, request_id: str = ""
) -> list[Outcome]:
    """Take one step of the lives of many calls.

    All go in one act. Where a rule that looks at the whole act refuses it, nothing of it stands,
    and each call is tried in an act of its own.

    Args:
        numbers: of the calls, each once.
        act: a key of `margin.calls.acts.ACTS`.

    Returns:
        The outcome of each call, in the order of the keys.
    """
    wanted = list(dict.fromkeys(numbers))
    try:
        return _together(wanted, act, actor=actor, words=words, request_id=request_id)
    except RefusedError:
        return [
            _alone(number, act, actor=actor, words=words, request_id=request_id)
            for number in wanted
        ]


def _together(
    numbers: Sequence[str], act: str, *, actor: Actor, words: str, request_id: str
) -> list[Outcome]:
    reason = f"{ACTS[act].title} {len(numbers)} calls: {words}"
    with acting(actor, reason=reason, request_id=request_id) as operator_id:
        now, outcomes = timezone.now(), []
        calls = MarginCall.objects.filter(number__in=numbers).select_for_update().order_by("pk")
        for call in calls:
            try:
                with transaction.atomic():
                    step(call, ACTS[act], at=now, text=words, operator_id=operator_id)
            except RefusedError as refused:
                outcomes.append(Outcome(call.number, refused.detail))
            else:
                outcomes.append(Outcome(call.number))
    return outcomes


def _alone(number: str, act: str, *, actor: Actor, words: str, request_id: str) -> Outcome:
    try:
        carry_on(number, act, actor=actor, words=words, request_id=request_id)
    except RefusedError as refused:
        return Outcome(number, refused.detail)
    return Outcome(number)
