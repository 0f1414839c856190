"""What tests of a call's life share: a firm of the past, whose calls are due, and every step."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from accounts.audit import Actor
from accounts.models import Agreement, LegalEntity, Role, Scope
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from ledger.models import Asset, Location
from margin.calls.acts import carry_on
from margin.calls.disputes import Claim, open_dispute, request_agreement
from margin.calls.initial import draft_initial_call
from margin.calls.reliefs import request_relief
from margin.calls.terms import request_call_terms
from margin.collateral import Payment, deposit
from margin.models import CallTransition, MarginCall
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed
from tests.margin.firm import crash
from tests.stage import staged

D = Decimal
PAST = date(2024, 3, 4)  # a Monday
DESK = Actor.job("test")
WHY = "Agreed with the client by telephone"


@dataclass(frozen=True)
class PastFirm:
    """A firm whose days were years ago, so that its calls are due."""

    desk: Desk


def past_firm(folder: Path) -> PastFirm:
    """Run two days, the second a crash with many calls, and found the desk."""
    days = write_firm(folder, accounts=40, seed=5, first_day=PAST, days=2, profile=DEMO)
    crash(days[1] / "prices.csv")

    def book() -> PastFirm:
        for day in days:
            run_day(day)
        return PastFirm(found_desk(entity=LegalEntity.objects.get()))

    return staged("a crash of 40 accounts of the past", book)


def open_calls() -> list[MarginCall]:
    """Open maintenance calls into whose scope can be paid, by number."""
    return list(
        MarginCall.objects.open()
        .filter(kind="maintenance", scope__bucket__code="FREE")
        .filter(scope__bucket__account__owner_class="CLIENT")
        .select_related("scope__bucket__account", "first_result__agreement_version", "last_result")
        .order_by("number")
    )


def client_scopes() -> list[Scope]:
    """Scopes of clients into which money can be paid, by account."""
    found = Scope.objects.filter(
        bucket__code="FREE", bucket__account__mode="cross", bucket__account__owner_class="CLIENT"
    )
    return list(found.order_by("bucket__account__code"))


def pay(call: MarginCall, amount: Decimal, *, key: str = "") -> None:
    """Pay money into the scope of a call."""
    bucket = call.scope.bucket
    assert bucket is not None
    deposit(
        Payment(
            key=key or f"PAY-{call.number}-{amount}",
            bucket=bucket,
            asset=Asset.objects.get(code="USD"),
            amount=amount,
            location=Location.objects.get(code="bank:client-usd"),
            reference=key or f"PAY-{call.number}-{amount}",
            effective_at=datetime.combine(PAST + timedelta(days=30), datetime.min.time(), UTC),
        ),
        actor=DESK,
        reason="Wire",
    )


def terms_for(firm: PastFirm, agreement: Agreement, **values: Any) -> None:
    """Have two people set terms of calls from the first day on."""
    asked = request_call_terms(
        legal_entity=firm.desk.entity, agreement=agreement, effective_from=PAST, values=values,
        reason=WHY, actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, firm.desk[Role.COMPLIANCE])


def agreement_of(call: MarginCall) -> Agreement:
    return call.first_result.agreement_version.agreement


class Life:
    """Takes a call from state to state with the product's own functions."""

    def __init__(self, firm: PastFirm) -> None:
        self.firm = firm

    def take(self, call: MarginCall, to_state: str) -> None:
        """One step that the call has, by whoever takes it."""
        how: dict[str, Callable[[], object]] = {
            "partially_met": lambda: pay(call, call.amount - D("0.01")),
            "met": lambda: pay(call, call.amount),
            "extended": lambda: self.relieve(call, "extend"),
            "cancelled": lambda: self.relieve(call, "waive"),
            "disputed": lambda: self.dispute(call),
            "agreed": lambda: self.agree(call, call.amount - D("0.50")),
        }
        if call.state == "draft" and to_state == "cancelled":
            carry_on(call.number, "withdraw", actor=DESK, words=WHY)
        elif to_state in how:
            how[to_state]()
        else:
            act = CallTransition.objects.get(from_state=call.state, to_state=to_state).act
            actor = person(self.firm.desk[Role.OPERATIONS])
            carry_on(call.number, act, actor=actor, words=WHY)
        call.refresh_from_db()

    def relieve(self, call: MarginCall, kind: str) -> None:
        until = call.due_at + timedelta(days=1) if kind == "extend" else None
        asked = request_relief(
            call, kind=kind, until=until, legal_entity=self.firm.desk.entity, reason=WHY,
            actor=person(self.firm.desk[Role.RISK]),
        )  # fmt: skip
        agreed(asked, self.firm.desk[Role.COMPLIANCE])

    def dispute(self, call: MarginCall) -> None:
        claim = Claim(undisputed=call.amount / 2, why="price", reason=WHY)
        open_dispute(call.number, claim, actor=person(self.firm.desk[Role.OPERATIONS]))

    def agree(self, call: MarginCall, amount: Decimal) -> None:
        asked = request_agreement(
            call, agreed=amount, legal_entity=self.firm.desk.entity, reason=WHY,
            actor=person(self.firm.desk[Role.RISK]),
        )  # fmt: skip
        agreed(asked, self.firm.desk[Role.COMPLIANCE])

    def bring(self, call: MarginCall, state: str) -> MarginCall:
        """Walk a call to a state on the shortest way that steps by people allow."""
        for to_state in way_to(call.state, state):
            self.take(call, to_state)
        assert call.state == state
        return call

    def draft(self, scope: Scope) -> MarginCall:
        """A drafted initial call on a scope."""
        return draft_initial_call(
            scope, deficiency=D("5000"), trade_day=PAST, reason=WHY,
            actor=person(self.firm.desk[Role.OPERATIONS]),
        )  # fmt: skip

    def draft_anew(self, scope: Scope) -> MarginCall:
        """A draft on a scope, whose initial call of before is met first."""
        for there in MarginCall.objects.open().filter(scope=scope, kind="initial"):
            self.bring(there, "met")
        return self.draft(scope)


def way_to(start: str, goal: str) -> list[str]:
    """The shortest way from state to state, as the transitions say."""
    steps: dict[str, list[str]] = {}
    for before, after in CallTransition.objects.order_by("pk").values_list(
        "from_state", "to_state"
    ):
        steps.setdefault(before, []).append(after)
    ways = {start: list[str]()}
    queue = [start]
    while queue:
        here = queue.pop(0)
        for after in steps.get(here, []):
            if after not in ways:
                ways[after] = [*ways[here], after]
                queue.append(after)
    return ways[goal]
