"""Calls of a restated run: kept by one person, changed by two, and told of once."""

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError, apply_approved, decide
from accounts.audit import RefusedError
from accounts.models import Approval, Role
from margin.calls.affected import AffectedCall, Effect, affected_calls
from margin.calls.decisions import keep_call, request_decision, send_notices
from margin.calls.settling import StaleCallError
from margin.models import CallDecision, CallEvent, CallNotice, MarginCall, MarginRun, Mark
from margin.verify import check_margin
from tests.accounts.people import person, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, refused, standing
from tests.margin.firm import SmallFirm
from tests.margin.restating import WHY, correct, prices_come_back, restated

D = Decimal
WHY_CALL = "It rested on prices of another day"


@pytest.fixture
def run(firm: SmallFirm) -> MarginRun:
    """The restatement of the crash that was none."""
    original = MarginRun.objects.get(number=firm.second_run)
    prices_come_back(firm.desk, original)
    found = restated(firm.desk, original.number).run
    assert found is not None
    return found


def named(run: MarginRun, effect: Effect) -> list[AffectedCall]:
    return [each for each in affected_calls(run) if each.effect == effect and each.call]


def ask_to(firm: SmallFirm, run: MarginRun, call: MarginCall | None, verdict: str) -> UUID:
    assert call is not None
    return request_decision(
        call, run=run, verdict=verdict, legal_entity=firm.desk.entity, reason=WHY_CALL,
        actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip


def test_a_call_that_should_not_have_been_made_is_cancelled_and_told_once(
    firm: SmallFirm, run: MarginRun
) -> None:
    found = named(run, Effect.NOT_MADE)[0]
    call: Any = found.call
    assert call.state == "delivered"
    asked = ask_to(firm, run, call, "cancel")
    with pytest.raises(AskRefusedError):
        ask_to(firm, run, call, "cancel")
    with refused("approval_is_not_ones_own"):
        agreed(asked, firm.desk[Role.RISK])
    agreed(asked, firm.desk[Role.COMPLIANCE])
    call.refresh_from_db()
    assert (call.state, call.end_reason) == ("cancelled", "restated")
    assert call.ended_at is not None
    steps = list(call.events.order_by("pk").values_list("event", "from_state", "to_state"))
    assert steps[-2:] == [
        ("withdrawn", "delivered", "cancelled"), ("notified", "cancelled", "cancelled"),
    ]  # fmt: skip
    notice = CallNotice.objects.get()
    file = Path(settings.OUTBOX) / "margin-calls" / f"{call.business_day}" / notice.name
    assert file.read_text() == notice.text
    assert "The call is cancelled" in notice.text
    assert call.number in notice.text
    before = standing()
    assert send_notices() == 0
    with pytest.raises(RefusedError):
        apply_approved(Approval.objects.get(pk=asked), actor=person(firm.desk[Role.COMPLIANCE]))
    with pytest.raises(AskRefusedError):
        ask_to(firm, run, call, "cancel")
    assert standing() == before
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_a_notice_that_was_cut_off_is_sent_later(
    firm: SmallFirm, run: MarginRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = named(run, Effect.NOT_MADE)[0].call

    def no_disk(*_: object) -> None:
        raise OSError("no space left on the device")

    asked = ask_to(firm, run, call, "cancel")
    with monkeypatch.context() as patched:
        patched.setattr("margin.calls.decisions.deliver_change", no_disk)
        agreed(asked, firm.desk[Role.COMPLIANCE])
    assert CallDecision.objects.count() == 1
    assert not CallNotice.objects.exists()
    assert (send_notices(), send_notices()) == (1, 0)
    assert CallEvent.objects.filter(event="notified").count() == 1


def test_a_call_of_another_amount_is_amended_by_two(firm: SmallFirm) -> None:
    original = MarginRun.objects.get(number=firm.second_run)
    marks = Mark.objects.standing().filter(as_of=original.as_of, state="VALID").order_by("pk")
    for mark in marks:
        correct(firm.desk, mark, (mark.price * D("1.02")).quantize(D("0.0001")))
    run = restated(firm.desk, original.number).run
    assert run is not None
    found = named(run, Effect.SMALLER)[0]
    call: Any = found.call
    for wrong in ("cancel", "keep", "famous"):
        with pytest.raises(AskRefusedError):
            ask_to(firm, run, call, wrong)
    assert not Approval.objects.filter(action__in=("call.amend", "call.cancel")).exists()
    agreed(ask_to(firm, run, call, "amend"), firm.desk[Role.COMPLIANCE])
    call.refresh_from_db()
    assert (call.amount, call.state) == (found.should_be, "delivered")
    assert call.last_result.run == run
    step = call.events.get(event="amended")
    assert (step.amount_before, step.amount_after) == (found.called, found.should_be)
    assert f"{call.amount:,.2f}" in CallNotice.objects.get().text
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_a_call_is_kept_once_with_a_reason(firm: SmallFirm, run: MarginRun) -> None:
    call: Any = named(run, Effect.NOT_MADE)[0].call
    before = MarginCall.objects.filter(pk=call.pk).values().get()
    kept = keep_call(call, run=run, reason=WHY_CALL, actor=person(firm.desk[Role.RISK]))
    assert (kept.verdict, kept.reason, kept.amount_after) == ("keep", WHY_CALL, call.amount)
    with pytest.raises(StaleCallError):
        keep_call(call, run=run, reason=WHY_CALL, actor=person(firm.desk[Role.RISK]))
    assert MarginCall.objects.filter(pk=call.pk).values().get() == before
    assert (CallDecision.objects.count(), send_notices()) == (1, 0)


def test_nothing_is_decided_on_what_has_changed_since(firm: SmallFirm, run: MarginRun) -> None:
    first, second, *_ = (each.call for each in named(run, Effect.NOT_MADE))
    assert first is not None
    assert second is not None
    asked = ask_to(firm, run, first, "cancel")
    decided = decide(
        asked, verdict="approved", reason=WHY, actor=person(firm.desk[Role.COMPLIANCE])
    )
    keep_call(first, run=run, reason=WHY_CALL, actor=person(firm.desk[Role.RISK]))
    with refused("call_is_as_it_was_asked"):
        apply_approved(decided, actor=person(firm.desk[Role.COMPLIANCE]))
    original = run.restates
    assert original is not None
    mark = Mark.objects.standing().filter(as_of=original.as_of, revision=1).order_by("pk")[0]
    correct(firm.desk, mark, mark.price + 1)
    assert restated(firm.desk, run.number).is_new
    before = standing()
    with pytest.raises(AskRefusedError):
        ask_to(firm, run, second, "cancel")
    with pytest.raises(StaleCallError):
        keep_call(second, run=run, reason=WHY_CALL, actor=person(firm.desk[Role.RISK]))
    with pytest.raises(StaleCallError):
        keep_call(second, run=original, reason=WHY_CALL, actor=person(firm.desk[Role.RISK]))
    assert standing() == before


def test_the_database_refuses_what_two_did_not_decide(
    firm: SmallFirm, run: MarginRun, owner: Any
) -> None:
    call = named(run, Effect.NOT_MADE)[0].call
    assert call is not None
    decision = (
        "INSERT INTO margin_calldecision (run_id, call_id, verdict, amount_before, amount_after,"
        f" reason) SELECT {{run}}, {call.pk}, '{{verdict}}', amount, {{after}}, 'me' FROM"
        f" margin_margincall WHERE id = {call.pk}"
    )
    statements = {
        "call_is_changed_by_two": decision.format(run=run.pk, verdict="cancel", after=0),
        "decision_follows_from_a_restated_run": decision.format(
            run=run.restates_id, verdict="keep", after="amount"
        ),
        "session_is_live": decision.format(run=run.pk, verdict="keep", after="amount"),
        "call_ends_as_decided": "UPDATE margin_margincall SET state = 'cancelled',"
        f" ended_at = now(), end_reason = 'restated' WHERE id = {call.pk}",
        "call_step_has_its_decision": "INSERT INTO margin_callevent (call_id, event, from_state,"
        f" to_state, occurred_at, text) VALUES ({call.pk}, 'amended', 'delivered', 'delivered',"
        " now(), '')",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before


def test_the_run_page_shows_both_runs_and_leads_to_decisions(
    firm: SmallFirm, run: MarginRun
) -> None:
    risk, auditor = Browser(), Browser()
    sign_in(risk, firm.desk[Role.RISK])
    sign_in(auditor, firm.desk[Role.AUDITOR])
    address = reverse("margin:run", args=[run.number])
    page = risk.get(address).content.decode()
    call: Any = named(run, Effect.NOT_MADE)[0].call
    cancel = reverse("margin:call-decision", args=[run.number, call.number, "cancel"])
    keep = reverse("margin:call-decision", args=[run.number, call.number, "keep"])
    assert call.number in page
    assert cancel in page
    assert run.restates is not None
    assert run.restates.number in page
    seen = auditor.get(address).content.decode()
    assert call.number in seen
    assert cancel not in seen
    assert auditor.get(cancel).status_code == 403
    assert risk.get(cancel).status_code == 200
    assert risk.post(keep, {"reason": "short"}).status_code == 422
    assert risk.post(cancel, {"reason": WHY_CALL}).status_code == 302
    assert Approval.objects.filter(action="call.cancel").count() == 1
    assert risk.post(keep, {"reason": WHY_CALL}).status_code == 302
    assert risk.post(keep, {"reason": WHY_CALL}).status_code == 302
    assert CallDecision.objects.count() == 1
    export = risk.get(address, {"format": "csv"}).content.decode()
    assert export.splitlines()[0].startswith("scope,was_equity,equity")
    listed = risk.get(reverse("margin:runs")).content.decode()
    assert run.number in listed
    assert risk.get(reverse("margin:run", args=["MR-1"])).status_code == 404
    mark = Mark.objects.standing().filter(as_of=run.as_of).order_by("pk")[0]
    form = reverse("margin:mark-correct", args=[mark.pk])
    typed = {"price": "1.25", "source": "Exchange", "reason": WHY_CALL}
    assert auditor.post(form, typed).status_code == 403
    assert risk.post(form, typed).status_code == 302
    assert Approval.objects.filter(action="price.correct", used_xid=None).count() == 1
