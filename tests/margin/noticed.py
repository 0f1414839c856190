"""Notices for tests: clients who named ways, and calls of theirs that were just made."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from accounts.audit import Actor, acting
from accounts.models import Client, Role
from margin.models import CallEvent, Delivery, MarginCall, NoticeKind
from margin.notices.contacts import ContactDraft, request_contacts
from tests.accounts.people import Desk, person
from tests.ledger.agreeing import agreed

WHY = "Asked for by the client in writing"
EVERY = tuple(NoticeKind.values)
STEPS = Actor.command("test")


def name_ways(
    desk: Desk, client: Client, *, kinds: Iterable[str] = EVERY, language: str = "en", **ways: str
) -> tuple[str, str]:
    """Have two people agree to where a client's notices go; key and secret of a new webhook."""
    draft = ContactDraft(language, {way: tuple(kinds) for way in ways}, **ways)
    asked = request_contacts(client, draft, reason=WHY, actor=person(desk[Role.OPERATIONS]))
    agreed(asked.approval_id, desk[Role.COMPLIANCE])
    return asked.key_id, asked.secret


def client_of(call: MarginCall) -> Client:
    """Whose call it is, with the key."""
    bucket: Any = call.scope.bucket
    return Client.objects.named().get(pk=bucket.account.client_id)


def called_again(call: MarginCall) -> MarginCall:
    """A second call like one that has ended, made now and told to nobody."""
    with acting(STEPS, reason="A call for a test"):
        if call.state not in MarginCall.ENDED:
            MarginCall.objects.filter(pk=call.pk).update(
                state="cancelled", end_reason="price_recovered", ended_at=call.due_at
            )
            happens(call, "cancelled", to_state="cancelled")
        count = MarginCall.objects.filter(number__startswith="MC-TEST-").count()
        fresh = MarginCall.objects.create(
            number=f"MC-TEST-{count + 1:04d}", scope=call.scope, kind=call.kind, state="issued",
            amount=call.amount, currency=call.currency, business_day=call.business_day,
            issued_at=call.issued_at, due_at=call.due_at + timedelta(days=1),
            first_result=call.first_result, last_result=call.last_result,
        )  # fmt: skip
        CallEvent.objects.create(
            call=fresh, event="issued", to_state="issued", occurred_at=fresh.issued_at,
            amount_after=fresh.amount, run=fresh.first_result.run, text="Below the call level",
        )  # fmt: skip
    return fresh


def happens(call: MarginCall, event: str, *, to_state: str = "", **said: Any) -> CallEvent:
    """A step in the life of a call; call inside an act."""
    values = {"occurred_at": call.due_at, "amount_before": call.amount,
              "amount_after": call.amount} | said  # fmt: skip
    return CallEvent.objects.create(
        call=call, event=event, from_state=call.state, to_state=to_state or call.state, **values
    )


def ends(call: MarginCall, *, state: str = "met") -> None:
    """The call is met, or cancelled because the price came back."""
    reason = "collateral_received" if state == "met" else "price_recovered"
    with acting(STEPS, reason="The call ends in a test"):
        now = MarginCall.objects.get(pk=call.pk)
        MarginCall.objects.filter(pk=call.pk).update(
            state=state, end_reason=reason, ended_at=call.due_at
        )
        happens(now, state, to_state=state)


def steps_of(delivery: Delivery) -> list[str]:
    """The steps that a delivery took."""
    return list(delivery.events.order_by("number").values_list("step", flat=True))
