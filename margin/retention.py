"""Why a client cannot be erased now, as margin sees it."""

from accounts.erasure import register_obstacle
from accounts.models import Client
from margin.models import MarginCall


def open_call_of(client: Client) -> str:
    """The sentence about an open margin call; "" where there is none."""
    call = MarginCall.objects.open().filter(scope__bucket__account__client=client).first()
    return "" if call is None else f"margin call {call.number} of this client is open"


def register() -> None:
    """Have margin asked before a client is erased."""
    register_obstacle(open_call_of)
