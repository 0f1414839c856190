"""What the delivery of its notice makes of a call: it was reached, or it was not."""

from datetime import datetime
from typing import Final

from margin.calls.acts import ACTS, step
from margin.models import MarginCall

State = MarginCall.State
# From where each step may be taken; a call that has gone on is left where it is.
REACHED_FROM: Final = (State.ISSUED, State.UNDELIVERED)
MISSED_FROM: Final = (State.ISSUED,)


def delivered(call: MarginCall, *, at: datetime, text: str) -> MarginCall:
    """The notice has reached the client; call inside an act, with the call locked.

    Raises:
        RefusedError: the database refused the step.
    """
    if call.state not in REACHED_FROM:
        return call
    return step(call, ACTS["deliver"], at=at, text=text)


def undelivered(call: MarginCall, *, at: datetime, text: str) -> MarginCall:
    """The notice has not reached the client on any way; call inside an act, with the call locked.

    Raises:
        RefusedError: the database refused the step.
    """
    if call.state not in MISSED_FROM:
        return call
    return step(call, ACTS["fail"], at=at, text=text)
