"""Switches of an incident: two people each way, and nothing of what they stop happens."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.approvals import AskRefusedError, apply_approved
from accounts.audit import RefusedError
from accounts.models import Approval, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.inbox.price_watch import ask_for_newest
from brokerage.metrics import lines
from ledger.models import Payment, PaymentFile
from ledger.payment_files import write_files
from margin.calls.acts import carry_on
from margin.calls.held_back import held_calls
from margin.collateral import Payment as Wire
from margin.collateral import WithdrawalRefusedError, withdraw
from margin.market.marks import known_marks
from margin.models import CallEvent, HeldCall, MarginCall, Switch, Task
from margin.switches import positions, request_switch, watch_switches
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.brokerage.intraday import after, moved, run_here
from tests.ledger.agreeing import agreed, standing
from tests.margin.firm import PERPETUAL, crash
from tests.margin.living import PAST, Life, PastFirm, open_calls, past_firm, pay
from tests.margin.paying import DAY, WHY, PayingFirm, again, paying_firm
from tests.stage import booked_days

D = Decimal
# A request that nobody has agreed to.
OTHER = "(SELECT id FROM accounts_approval WHERE used_xid IS NULL LIMIT 1)"


def asked(desk: Desk, what: str, *, stop: bool = True, hours: float = 2) -> Any:
    until = timezone.now() + timedelta(hours=hours) if stop else None
    return request_switch(
        desk.entity, what, until=until, reason=WHY, actor=person(desk[Role.OPERATIONS])
    )


def set_switch(desk: Desk, what: str, *, stop: bool = True) -> Switch:
    """Have two people stop something, or start it again."""
    agreed(asked(desk, what, stop=stop), desk[Role.RISK])
    return Switch.objects.filter(what=what).latest("version")


@pytest.fixture
def paying(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


@pytest.fixture
def past(db: None, tmp_path: Path) -> PastFirm:
    return past_firm(tmp_path / "firm")


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


# ---------------------------------------------------------------- setting them


def test_a_switch_is_set_by_two_each_way_and_keeps_its_versions(past: PastFirm) -> None:
    desk = past.desk
    request = asked(desk, "calls")
    assert not Switch.objects.exists()
    with pytest.raises(RefusedError):
        agreed(request, desk[Role.OPERATIONS])
    with pytest.raises(AskRefusedError):
        asked(desk, "calls")  # it waits for somebody already
    agreed(request, desk[Role.RISK])
    (first,) = Switch.objects.all()
    approval = Approval.objects.get(pk=request)
    assert (first.version, first.is_stopped, first.reason) == (1, True, WHY)
    assert (first.approval.maker, first.approval.checker) == (
        desk[Role.OPERATIONS], desk[Role.RISK],
    )  # fmt: skip
    assert approval.used_xid == first.xid
    longer = set_switch(desk, "calls")
    assert (longer.version, longer.is_stopped) == (2, True)
    over = set_switch(desk, "calls", stop=False)
    assert (over.version, over.is_stopped, over.until) == (3, False, None)
    with pytest.raises(AskRefusedError):
        asked(desk, "calls", stop=False)
    with pytest.raises(AskRefusedError):
        asked(desk, "calls", hours=73)
    stood = {each.what: each.is_stopped for each in positions(desk.entity)}
    assert stood == {"calls": False, "withdrawals": False, "liquidation": False}


def test_the_database_takes_no_switch_that_nobody_agreed_to(past: PastFirm, owner: Any) -> None:
    set_switch(past.desk, "liquidation")
    asked(past.desk, "withdrawals")
    before = standing()
    for said in (
        f"SELECT legal_entity_id, what, 2, false, NULL, reason, {OTHER}",
        f"SELECT legal_entity_id, 'calls', 1, true, now() + interval '1 hour', reason, {OTHER}",
    ):
        with raw_refused("switch_is_set_by_two"), act(owner):
            owner.execute(
                "INSERT INTO margin_switch (legal_entity_id, what, version, is_stopped, until,"
                f" reason, approval_id) {said} FROM margin_switch"
            )
    with raw_refused("history_is_append_only"), act(owner):
        owner.execute("UPDATE margin_switch SET is_stopped = false")
    assert standing() == before


# ---------------------------------------------------------------- automatic calls


def test_runs_hold_calls_back_and_the_first_after_the_stop_issues_them(days: list[Path]) -> None:
    desk = found_desk(entity=LegalEntity.objects.get())
    set_switch(desk, "calls")
    there = dict(MarginCall.objects.values_list("number", "amount"))
    crash(days[1] / "prices.csv")
    run_day(days[1])
    assert not MarginCall.objects.exclude(number__in=there).exists()
    assert not CallEvent.objects.filter(event="raised").exists()
    held = {each.result.scope_id: each.amount for each in held_calls().select_related("result")}
    assert len(held) > 1
    task = Task.objects.get(
        kind="switch", key=f"held-back:{desk.entity.code}:calls", closed_at=None
    )
    assert task.owner_role == "risk"
    assert f"held back {len(held)}, of" in task.detail
    # Once started again, the newest prices are run once more, of everything.
    moved(after(5))
    run_here()
    assert HeldCall.objects.count() > len(held)
    held = {each.result.scope_id: each.amount for each in held_calls().select_related("result")}
    assert ask_for_newest() is None
    set_switch(desk, "calls", stop=False)
    assert ask_for_newest() is not None
    done = run_here()
    assert done.settled is not None
    assert done.settled.held_back == 0
    issued = {
        call.scope_id: call.amount
        for call in MarginCall.objects.open().exclude(number__in=there).filter(kind="maintenance")
    }
    raised = {each.call.scope_id for each in CallEvent.objects.filter(event="raised")}
    assert {scope: amount for scope, amount in held.items() if scope not in raised} == issued
    assert not held_calls().exists()
    assert not Task.objects.filter(kind="switch", closed_at=None).exists()
    assert not run_here().is_new


def test_calls_are_paid_and_prices_end_them_while_calls_are_stopped(past: PastFirm) -> None:
    set_switch(past.desk, "calls")
    first, *_ = open_calls()
    pay(first, first.amount)
    first.refresh_from_db()
    assert first.state == "met"
    before = MarginCall.objects.open().count()
    names = [code.replace("-", "_") for code in known_marks() if code != PERPETUAL]
    moved(after(5), **dict.fromkeys(names, "4"))
    run_here()
    assert MarginCall.objects.open().count() < before


def test_no_door_issues_a_call_while_calls_are_stopped(past: PastFirm, owner: Any) -> None:
    set_switch(past.desk, "calls")
    before = standing()
    columns = (
        "scope_id, kind, currency, business_day, issued_at, due_at, first_result_id, last_result_id"
    )
    issue = (
        f"INSERT INTO margin_margincall (number, state, amount, end_reason, {columns})"
        " SELECT 'MC-X', 'issued', 5, '', s.id, 'maintenance', 'USD', c.business_day, c.issued_at,"
        " c.due_at, c.first_result_id, c.last_result_id FROM margin_margincall c, accounts_scope s"
        " WHERE NOT EXISTS (SELECT FROM margin_margincall o WHERE o.scope_id = s.id) LIMIT 1"
    )
    for statement in (
        issue,
        "UPDATE margin_margincall SET amount = amount + 1 WHERE id = (SELECT min(id) FROM"
        " margin_margincall WHERE ended_at IS NULL)",
    ):
        with raw_refused("automatic_calls_are_stopped"), act(owner):
            owner.execute(statement)
    assert standing() == before


# ---------------------------------------------------------------- liquidation


def test_nobody_liquidates_while_liquidation_is_stopped(past: PastFirm) -> None:
    life, (call, *_) = Life(past), open_calls()
    life.bring(call, "escalated")
    set_switch(past.desk, "liquidation")
    for actor in (person(past.desk[Role.RISK]), past_job()):
        before = standing()
        with pytest.raises(RefusedError) as refused:
            carry_on(call.number, "liquidate", actor=actor, words=WHY)
        assert refused.value.rule == "liquidation_is_stopped"
        assert standing() == before
    set_switch(past.desk, "liquidation", stop=False)
    assert (
        carry_on(call.number, "liquidate", actor=person(past.desk[Role.RISK]), words=WHY).state
        == "liquidating"
    )


def past_job() -> Any:
    from accounts.audit import Actor

    return Actor.job("liquidator")


# ---------------------------------------------------------------- withdrawals


def test_no_step_of_a_withdrawal_is_taken_while_withdrawals_are_stopped(
    paying: PayingFirm,
) -> None:
    agreed_to, waiting = paying.asked("100.00"), paying.asked("50.00")
    paying.agree(agreed_to.approval_id)  # type: ignore[arg-type]
    set_switch(paying.desk, "withdrawals")
    book = (paying.claim(), paying.held(), paying.at_bank())
    # A new request is refused with its term and kept so.
    new = paying.asked("10.00")
    assert (new.state, new.binding_term) == ("refused", "withdrawals_are_stopped")
    with pytest.raises(RefusedError) as refused:
        paying.agree(waiting.approval_id)  # type: ignore[arg-type]
    assert refused.value.rule == "withdrawals_are_stopped"
    with pytest.raises(RefusedError) as refused:
        write_files(
            legal_entity_id=paying.entity.pk, until=DAY, format="pain.001",
            actor=paying.actor(Role.TREASURY), reason="Files of the day",
        )  # fmt: skip
    assert refused.value.rule == "withdrawals_are_stopped"
    wire = Wire("W-1", paying.bucket, paying.usd, D("1.00"), paying.bank, "W-1", timezone.now())
    with pytest.raises(WithdrawalRefusedError) as gate:
        withdraw(wire, actor=paying.actor(Role.TREASURY), reason=WHY)
    assert gate.value.term == "withdrawals_are_stopped"
    assert not PaymentFile.objects.exists()
    assert [again(each).state for each in (agreed_to, waiting)] == ["approved", "released"]
    assert (paying.claim(), paying.held(), paying.at_bank()) == book
    assert Payment.objects.count() == 3
    set_switch(paying.desk, "withdrawals", stop=False)
    approval = Approval.objects.get(pk=waiting.approval_id)
    apply_approved(approval, actor=paying.actor(Role.TREASURY))
    assert again(waiting).state == "approved"


def test_what_the_bank_has_paid_is_booked_while_withdrawals_are_stopped(
    paying: PayingFirm,
) -> None:
    from accounts.audit import acting
    from margin.payments.outcomes import settle_lines
    from tests.margin.paying import AT, JOB

    (payment,) = paying.in_file("100.00")
    set_switch(paying.desk, "withdrawals")
    paying.lines((payment.end_to_end_id, "-100.00", ""))
    with acting(JOB, reason="Lines of a test"):
        assert settle_lines(DAY, at=AT)["confirmed"] == 1
    assert again(payment).state == "confirmed"


# ---------------------------------------------------------------- nobody forgets one


def test_a_stop_past_its_time_is_somebodys_task_and_a_metric(past: PastFirm) -> None:
    switch = set_switch(past.desk, "withdrawals")
    assert watch_switches() == 0
    late = switch.until + timedelta(minutes=7)  # type: ignore[operator]
    assert watch_switches(late) == 1
    assert watch_switches(late) == 1
    (task,) = Task.objects.filter(kind="switch", closed_at=None)
    assert task.owner is not None
    assert task.owner_role == "risk"
    labels = f'{{legal_entity="{past.desk.entity.code}",switch="withdrawals"}}'
    assert f"brokerage_switch_stopped{labels} 1" in list(lines())
    set_switch(past.desk, "withdrawals", stop=False)
    assert not Task.objects.filter(kind="switch", closed_at=None).exists()
    assert f"brokerage_switch_stopped{labels} 0" in list(lines())
    assert PAST.year == 2024
