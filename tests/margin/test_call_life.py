"""Every step of a call's life, legal and illegal, through functions, screen, API and the clock."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from accounts.audit import RefusedError
from accounts.models import Role
from margin.calls.acts import ACTS, ILLEGAL, carry_on
from margin.calls.watch import keep_clocks
from margin.models import CallEvent, CallTransition, MarginCall
from margin.verify import check_margin
from tests.accounts.people import found_desk, sign_in
from tests.accounts.raw import act as raw_act
from tests.accounts.raw import not_permitted
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import standing
from tests.margin.living import (
    DESK,
    WHY,
    Life,
    PastFirm,
    client_scopes,
    open_calls,
    past_firm,
    way_to,
)

# As the issue of the product lists them, written out once more by hand.
ON = ("issued", "delivered", "acknowledged", "disputed", "agreed", "extended", "expired",
      "escalated")  # fmt: skip
LEGAL = {
    *(("draft", to) for to in ("issued", "cancelled")),
    *(("issued", to) for to in ("delivered", "undelivered")),
    *(("undelivered", to) for to in ("delivered", "escalated")),
    ("delivered", "acknowledged"),
    *((state, to) for state in ON for to in ("partially_met", "met", "cancelled")),
    *(
        (state, to)
        for state in ("delivered", "acknowledged", "partially_met")
        for to in ("disputed", "extended", "expired")
    ),
    *(("partially_met", to) for to in ("met", "cancelled")),
    ("disputed", "agreed"),
    *(("agreed", to) for to in ("extended", "expired")),
    ("extended", "expired"), ("expired", "escalated"), ("escalated", "liquidating"),
    *(("liquidating", to) for to in ("met", "closed")),
}  # fmt: skip
STATES = list(MarginCall.State.values)


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PastFirm:
    return past_firm(tmp_path / "firm")


@pytest.fixture
def life(firm: PastFirm) -> Life:
    return Life(firm)


def in_state(life: Life, state: str) -> MarginCall:
    """A call that was brought into a state."""
    call = open_calls()[0]
    if state in ("draft", "issued", "undelivered"):
        call = life.draft(call.scope)
    return life.bring(call, state)


def stands(call: MarginCall) -> object:
    """The call and the number of steps there are."""
    row = MarginCall.objects.filter(pk=call.pk).values().get()
    return row, CallEvent.objects.count()


COPIED = """
    INSERT INTO margin_margincall (number, scope_id, legal_entity_id, kind, state, amount, currency,
        business_day, issued_at, due_at, first_result_id, last_result_id, end_reason)
    SELECT 'MC-COPY', scope_id, %s, 'initial', 'draft', amount, currency, business_day, issued_at,
        due_at, first_result_id, last_result_id, '' FROM margin_margincall WHERE id = %s
    RETURNING legal_entity_id
"""


def test_a_call_is_of_the_legal_entity_of_its_account(
    life: Life, connect: Callable[[str], Any]
) -> None:
    call = open_calls()[0]
    of_account = MarginCall.objects.values_list(
        "legal_entity", "scope__bucket__account__legal_entity"
    )
    assert of_account
    assert all(said == known for said, known in of_account)
    before, left = standing(), stands(call)
    for writer in (connect("owner"), connect("runtime")):
        # Whatever a new call claims, it is of the account; it stays there.
        with raw_refused("call_step_is_written_down"), raw_act(writer):
            claimed = writer.execute(COPIED, [call.legal_entity_id + 1, call.pk])
            assert claimed.fetchall() == [(call.legal_entity_id,)]
    owner, runtime = connect("owner"), connect("runtime")
    with raw_refused("margin_call_stays_itself"), raw_act(owner):
        owner.execute("UPDATE margin_margincall SET legal_entity_id = legal_entity_id + 1")
    with not_permitted(), raw_act(runtime):
        runtime.execute("UPDATE margin_margincall SET legal_entity_id = legal_entity_id + 1")
    assert (standing(), stands(call)) == (before, left)


def test_a_call_that_was_moved_to_another_firm_is_found_out(life: Life, superuser: Any) -> None:
    call, other = open_calls()[0], found_desk(code="EB-UK").entity
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))
    superuser.execute("ALTER TABLE margin_margincall DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE margin_margincall SET legal_entity_id = %s WHERE id = %s", [other.pk, call.pk]
    )
    with connection.cursor() as cursor:
        wrong = [check for check in check_margin(cursor) if not check.is_sound]
    (found,) = wrong
    assert found.name == "calls_are_of_the_legal_entity_of_their_account"
    assert str(call.pk) in str(found)


def test_the_rows_are_the_steps_and_no_others(db: None) -> None:
    rows = set(CallTransition.objects.values_list("from_state", "to_state"))
    assert rows == LEGAL
    assert len(LEGAL) == CallTransition.objects.count() == 50


@pytest.mark.parametrize("state", STATES)
def test_a_step_that_there_is_not_is_refused_to_whoever_takes_it(
    life: Life, firm: PastFirm, state: str, connect: Callable[[str], Any]
) -> None:
    call = in_state(life, state)
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    before, left = standing(), stands(call)
    for writer in (connect("owner"), connect("runtime")):
        for to_state in STATES:
            if to_state == state or (state, to_state) in LEGAL:
                continue
            with raw_refused(ILLEGAL), raw_act(writer):
                writer.execute(
                    "UPDATE margin_margincall SET state = %s, ended_at = now(),"
                    " end_reason = 'by hand' WHERE id = %s",
                    [to_state, call.pk],
                )
    for each in ACTS.values():
        if (state, each.to_state) in LEGAL and not (each.code == "withdraw" and state != "draft"):
            continue
        rule = ILLEGAL
        if each.code == "withdraw" and (state, "cancelled") in LEGAL:
            rule = "call_is_cancelled_for_a_known_reason"
        with pytest.raises(RefusedError) as refused:
            carry_on(call.number, each.code, actor=DESK, words=WHY)
        assert refused.value.rule == rule, each.code
        screen = reverse("margin:call-carry", args=[call.number, each.code])
        answer = browser.post(screen, {"words": WHY})
        assert answer.status_code == 409
        assert rule in answer.content.decode()
        assert WHY in answer.content.decode()
        api = f"/api/margin-calls/{call.number}/acts/{each.code}/"
        said = browser.post(api, json.dumps({"words": WHY}), content_type="application/json")
        assert (said.status_code, said.json()["rule"]) == (409, rule)
        assert stands(call) == left, each.code
    assert standing() == before


@pytest.mark.parametrize("door", ["screen", "api"])
def test_every_act_that_there_is_is_taken_once(life: Life, firm: PastFirm, door: str) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    pairs = [
        (before, act)
        for before, after in sorted(LEGAL)
        for act in ACTS.values()
        if act.to_state == after and (act.code != "withdraw" or before == "draft")
    ]
    scopes = client_scopes()
    for place, (state, act) in enumerate(pairs):
        call = life.bring(life.draft_anew(scopes[place % len(scopes)]), state)
        if door == "screen":
            address = reverse("margin:call-carry", args=[call.number, act.code])
            assert act.title in browser.get(address).content.decode()
            statuses = [browser.post(address, {"words": WHY}).status_code for _ in range(2)]
            assert statuses == [302, 409], (state, act.code)
        else:
            address = f"/api/margin-calls/{call.number}/acts/{act.code}/"
            body = json.dumps({"words": WHY})
            sent = [browser.post(address, body, content_type="application/json") for _ in range(2)]
            assert [each.status_code for each in sent] == [200, 409], (state, act.code)
            assert sent[1].json()["rule"] == ILLEGAL
        call.refresh_from_db()
        assert call.state == act.to_state
        (step,) = CallEvent.objects.filter(call=call, from_state=state, to_state=call.state)
        assert step.text == WHY
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_every_step_is_taken_by_what_takes_it_and_is_written_down(life: Life) -> None:
    scopes = client_scopes()
    for place, (state, to_state) in enumerate(sorted(LEGAL)):
        call = life.bring(life.draft_anew(scopes[place % len(scopes)]), state)
        life.take(call, to_state)
        assert call.state == to_state
        last = call.events.order_by("pk").last()
        assert last is not None
        assert (last.from_state, last.to_state) == (state, to_state)
        assert last.text
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_a_step_that_is_not_written_down_is_no_step(life: Life, owner: Any) -> None:
    call = in_state(life, "delivered")
    before = standing()
    with raw_refused("call_step_is_written_down"), raw_act(owner):
        owner.execute("UPDATE margin_margincall SET state = 'expired' WHERE id = %s", [call.pk])
    with raw_refused("due_time_moves_by_extension"), raw_act(owner):
        owner.execute(
            "UPDATE margin_margincall SET due_at = due_at + interval '1 day' WHERE id = %s",
            [call.pk],
        )
    with raw_refused("call_relief_is_given_by_two"), raw_act(owner):
        owner.execute(
            "UPDATE margin_margincall SET state = 'extended', due_at = due_at + interval '1 day'"
            " WHERE id = %s",
            [call.pk],
        )
    with raw_refused("call_relief_is_given_by_two"), raw_act(owner):
        owner.execute(
            "UPDATE margin_margincall SET state = 'cancelled', ended_at = now(),"
            " end_reason = 'waived' WHERE id = %s",
            [call.pk],
        )
    with raw_refused("call_transitions_come_with_the_product"), raw_act(owner):
        owner.execute(
            "INSERT INTO margin_calltransition (from_state, to_state, act)"
            " VALUES ('met', 'issued', 'issue')"
        )
    assert standing() == before


def test_a_recovered_price_never_cancels_an_initial_call(life: Life, owner: Any) -> None:
    call = life.draft(open_calls()[0].scope)
    life.take(call, "issued")
    before = standing()
    with raw_refused("initial_call_outlives_recovery"), raw_act(owner):
        owner.execute(
            "UPDATE margin_margincall SET state = 'cancelled', ended_at = now(),"
            " end_reason = 'price_recovered' WHERE id = %s",
            [call.pk],
        )
    assert standing() == before


def test_one_call_is_open_per_scope_and_kind(life: Life) -> None:
    call = open_calls()[0]
    first = life.draft(call.scope)
    before = standing()
    with pytest.raises(RefusedError) as refused:
        life.draft(call.scope)
    assert refused.value.rule == "margin_call_one_open_per_scope"
    assert standing() == before
    life.take(first, "cancelled")
    assert life.draft(call.scope).state == "draft"


def test_a_call_that_is_not_due_does_not_expire(life: Life) -> None:
    call = in_state(life, "acknowledged")
    before = standing()
    with pytest.raises(RefusedError) as refused:
        carry_on(call.number, "expire", actor=DESK, words=WHY, at=call.issued_at)
    assert refused.value.rule == "call_expires_when_it_is_due"
    assert standing() == before
    assert way_to("acknowledged", "expired") == ["expired"]


def test_under_the_rules_of_the_house_the_clock_takes_no_step_and_asks_once(life: Life) -> None:
    states = list(MarginCall.objects.order_by("pk").values_list("pk", "state"))
    first = keep_clocks()
    assert first["steps"] == 0
    assert first["tasks"] == MarginCall.objects.open().count() > 1
    assert keep_clocks() == {"steps": 0, "tasks": 0, "refused": 0}
    assert list(MarginCall.objects.order_by("pk").values_list("pk", "state")) == states


def test_nobody_without_the_right_carries_a_call_on(firm: PastFirm, life: Life) -> None:
    call = in_state(life, "delivered")
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    before = standing()
    for each in ACTS:
        address = reverse("margin:call-carry", args=[call.number, each])
        assert browser.get(address).status_code == 403
        assert browser.post(address, {"words": WHY}).status_code == 403
        api = f"/api/margin-calls/{call.number}/acts/{each}/"
        body = json.dumps({"words": WHY})
        assert browser.post(api, body, content_type="application/json").status_code == 403
    assert standing() == before
