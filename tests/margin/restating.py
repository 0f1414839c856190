"""What tests of restatements share: wrong prices put right, and how two runs compare."""

from decimal import Decimal
from typing import Any

from accounts.models import Role
from margin.market.corrections import request_correction
from margin.models import MarginResult, MarginRun, Mark
from margin.restatement import Restated, restate
from tests.accounts.people import Desk, person
from tests.ledger.agreeing import agreed

D = Decimal
FELL_TO = D("0.7")
WHY = "The vendor sent prices of another day"
SOURCE = "Closing auction, file of the exchange"


def correct(desk: Desk, mark: Mark, price: Decimal) -> None:
    """Have two people correct a mark."""
    asked = request_correction(
        mark, price=price, source=SOURCE, legal_entity=desk.entity, reason=WHY,
        actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def prices_come_back(desk: Desk, run: MarginRun) -> None:
    """Correct every valid mark of a run as if prices had never fallen."""
    for mark in Mark.objects.standing().filter(as_of=run.as_of, state="VALID").order_by("pk"):
        correct(desk, mark, (mark.price / FELL_TO).quantize(D("0.0001")))


def restated(desk: Desk, number: str) -> Restated:
    """Have risk restate a run."""
    return restate(number, actor=person(desk[Role.RISK]), reason=WHY)


def rows_of(run: MarginRun) -> list[dict[str, Any]]:
    """Everything a run keeps of its scopes, in order."""
    return [dict(row) for row in MarginResult.objects.filter(run=run).order_by("pk").values()]
