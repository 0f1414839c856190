"""What the delivery of its notice makes of a call: it was reached, or it was not."""

from datetime import datetime
from typing import Final

from accounts.audit import refusals
from margin.models import CallEvent, MarginCall

State = MarginCall.State
# From where each step may be taken; a call that has gone on is left where it is.
REACHED_FROM: Final = (State.ISSUED, State.UNDELIVERED)
MISSED_FROM: Final = (State.ISSUED,)


def delivered(call: MarginCall, *, at: datetime, text: str) -> MarginCall:
    """The notice has reached the client; call inside an act, with the call locked.

    Raises:
        RefusedError: the database refused the step.
    """
    return _step(call, State.DELIVERED, at=at, text=text) if call.state in REACHED_FROM else call


def undelivered(call: MarginCall, *, at: datetime, text: str) -> MarginCall:
    """The notice has not reached the client on any way; call inside an act, with the call locked.

    Raises:
        RefusedError: the database refused the step.
    """
    return _step(call, State.UNDELIVERED, at=at, text=text) if call.state in MISSED_FROM else call


def _step(call: MarginCall, state: str, *, at: datetime, text: str) -> MarginCall:
    with refusals():
        MarginCall.objects.filter(pk=call.pk).update(state=state)
        CallEvent.objects.create(
            call=call, event=state, from_state=call.state, to_state=state, occurred_at=at,
            amount_before=call.amount, amount_after=call.amount, text=text,
        )  # fmt: skip
    return MarginCall.objects.get(pk=call.pk)
