"""Calls under terms that net: nobody is called twice for one deficit, and nothing is lost."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.audit import acting
from accounts.models import Role
from margin.calls.promises import promise_payment
from margin.calls.settling import settle_run
from margin.models import MarginCall, MarginRun
from tests.accounts.people import person
from tests.margin.living import (
    DESK,
    WHY,
    Life,
    PastFirm,
    agreement_of,
    open_calls,
    past_firm,
    pay,
    terms_for,
)

D = Decimal
CENT = D("0.01")


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PastFirm:
    return past_firm(tmp_path / "firm")


def settle_again() -> None:
    """The newest run settles its calls once more."""
    with acting(DESK, reason="The run again"):
        settle_run(MarginRun.objects.order_by("-as_of", "-pk")[0])


def test_an_open_initial_call_is_not_called_again_and_pays_first(firm: PastFirm) -> None:
    call, life = open_calls()[0], Life(firm)
    asked = call.amount
    terms_for(firm, agreement_of(call), nets_pending=True)
    life.bring(call, "cancelled")  # so that the run makes a new one, under the terms
    initial = life.bring(life.draft(call.scope), "issued")
    settle_again()
    (new,) = MarginCall.objects.open().filter(scope=call.scope_id, kind="maintenance")
    assert new.amount == asked - initial.amount
    settle_again()
    new.refresh_from_db()
    assert new.amount == asked - initial.amount
    pay(new, initial.amount)
    initial.refresh_from_db()
    new.refresh_from_db()
    assert (initial.state, new.state, new.amount) == ("met", "issued", asked - 5000)
    pay(new, new.amount - CENT, key="SHORT")
    new.refresh_from_db()
    assert (new.state, new.amount) == ("partially_met", CENT)
    pay(new, CENT, key="REST")
    new.refresh_from_db()
    assert new.state == "met"


def test_what_is_on_its_way_is_not_called_again(firm: PastFirm) -> None:
    call, life = open_calls()[0], Life(firm)
    asked = call.amount
    terms_for(firm, agreement_of(call), counts_in_transit=True)
    promise_payment(
        call.number, kind="transfer", amount=D("300.00"), words=WHY, reference="WIRE-1",
        pay_by=timezone.now() + timedelta(hours=4), actor=person(firm.desk[Role.OPERATIONS]),
    )  # fmt: skip
    life.bring(call, "cancelled")
    settle_again()
    (new,) = MarginCall.objects.open().filter(scope=call.scope_id, kind="maintenance")
    assert new.amount == asked - 300
    pay(new, new.amount - CENT, key="SHORT")
    new.refresh_from_db()
    assert (new.state, new.amount) == ("partially_met", CENT)
    pay(new, CENT, key="REST")
    new.refresh_from_db()
    assert new.state == "met"


def test_calls_are_multiples_of_the_rounding(firm: PastFirm) -> None:
    call, life = open_calls()[0], Life(firm)
    asked = call.amount
    terms_for(firm, agreement_of(call), rounding="1000", due_days=2)
    life.bring(call, "cancelled")
    settle_again()
    (new,) = MarginCall.objects.open().filter(scope=call.scope_id, kind="maintenance")
    assert new.amount % 1000 == 0
    assert 0 <= new.amount - asked < 1000
    settle_again()
    new.refresh_from_db()
    assert (new.amount, new.increments.count()) == ((asked // 1000 + 1) * 1000, 0)
    assert f"{new.due_at:%Y-%m-%d %H:%M}" == "2024-03-07 17:00"
    pay(new, new.amount)
    new.refresh_from_db()
    assert new.state == "met"
