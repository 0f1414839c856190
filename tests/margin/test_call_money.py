"""Calls and what comes in: by every door, exactly, with promises, disputes and more time."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError, acting
from accounts.limits import request_limit
from accounts.models import Role
from ledger.models import Asset, LedgerAccount, Location
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entry
from margin.calls.acts import carry_on
from margin.calls.disputes import (
    Claim,
    DisputeRefusedError,
    attach_evidence,
    open_dispute,
    open_dispute_of,
    read_components,
)
from margin.calls.increments import left_of
from margin.calls.promises import promise_payment
from margin.calls.reliefs import request_relief
from margin.calls.settling import settle_run
from margin.calls.watch import keep_clocks
from margin.models import (
    CallDisputePart,
    CallPromiseEnd,
    CallTerms,
    LevelEvent,
    MarginCall,
    MarginRun,
    Task,
)
from margin.verify import check_margin
from tests.accounts.people import person
from tests.accounts.raw import act as raw_act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, refused, standing
from tests.margin.living import (
    DESK,
    PAST,
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


@pytest.fixture
def life(firm: PastFirm) -> Life:
    return Life(firm)


def is_sound() -> bool:
    with connection.cursor() as cursor:
        return all(check.is_sound for check in check_margin(cursor))


def test_exactly_the_amount_meets_every_call_and_a_cent_less_leaves_a_cent(firm: PastFirm) -> None:
    calls = open_calls()
    assert len(calls) > 1
    for place, call in enumerate(calls):
        due, short = call.due_at, call.amount - CENT
        if place % 2:
            pay(call, short)
            call.refresh_from_db()
            assert (call.state, call.amount, call.due_at) == ("partially_met", CENT, due)
            pay(call, CENT)
        else:
            pay(call, call.amount)
        call.refresh_from_db()
        assert (call.state, call.end_reason) == ("met", "collateral_received"), call.number
    assert is_sound()


def test_an_entry_by_another_door_meets_the_call_too(firm: PastFirm) -> None:
    call = open_calls()[0]
    usd = Asset.objects.get(code="USD")
    place = Location.objects.get(code="bank:client-usd")
    claim = LedgerAccount.objects.filter(
        bucket=call.scope.bucket_id, asset=usd, account_class="claim"
    ).first()
    with acting(DESK, reason="By hand"):
        keys = [
            AccountKey(place.pool_id, usd.pk, "claim", call.scope.bucket_id),
            AccountKey(place.pool_id, usd.pk, "custody", None, place.pk),
        ]
        ids = open_accounts(keys)
        assert claim is None or ids[keys[0]] == claim.pk
        post_entry(
            Draft(
                key="HAND-1", kind="deposit", effective_at=timezone.now(), reference="HAND-1",
                legs=[Leg(ids[keys[1]], call.amount, reference="HAND-1"),
                      Leg(ids[keys[0]], -call.amount)],
            )
        )  # fmt: skip
    call.refresh_from_db()
    assert (call.state, call.end_reason) == ("met", "collateral_received")


def test_an_initial_call_is_met_by_what_is_paid_in_alone(life: Life) -> None:
    maintenance = open_calls()[0]
    call = life.draft(maintenance.scope)
    life.take(call, "issued")
    pay(call, D("4999.99"))
    call.refresh_from_db()
    assert (call.state, call.amount) == ("partially_met", CENT)
    with acting(DESK, reason="A run that knows of it"):
        settle_run(MarginRun.objects.order_by("-as_of")[0])
    call.refresh_from_db()
    assert call.state == "partially_met"
    pay(call, CENT)
    call.refresh_from_db()
    assert call.state == "met"
    assert is_sound()


def test_a_run_that_finds_more_missing_numbers_an_increment(firm: PastFirm, owner: Any) -> None:
    call = open_calls()[0]
    asked = call.amount
    pay(call, D("100.00"))
    call.refresh_from_db()
    assert call.amount == asked - 100
    run = MarginRun.objects.order_by("-as_of")[0]
    with acting(DESK, reason="The run does not know of the deposit"):
        settled = settle_run(run)
    assert settled.changed >= 1
    call.refresh_from_db()
    before = call.increments.count() - 1
    part = call.increments.order_by("number").last()
    assert part is not None
    assert (part.number, part.amount, call.amount) == (before + 1, D("100.00"), asked)
    assert call.state == "partially_met"
    assert part.due_at == run.as_of + call.first_result.agreement_version.call_due_for
    assert sum(each.amount for each in left_of(call)) == asked
    assert left_of(call)[-1] == (part.number, D("100.00"), part.due_at)
    with acting(DESK, reason="Again"):
        assert settle_run(run).changed == 0
    assert call.increments.count() == before + 1
    with raw_refused("call_increments_are_numbered_in_order"), raw_act(owner):
        owner.execute(
            "INSERT INTO margin_callincrement (call_id, number, amount, issued_at, due_at, run_id)"
            " SELECT call_id, number + 2, amount, issued_at, due_at, run_id"
            " FROM margin_callincrement WHERE id = %s",
            [part.pk],
        )


# ---------------------------------------------------------------- terms, by two people


def test_terms_of_calls_are_set_by_two(firm: PastFirm, owner: Any) -> None:
    agreement = agreement_of(open_calls()[0])
    with raw_refused("call_terms_are_set_by_two"), raw_act(owner):
        owner.execute(
            "INSERT INTO margin_callterms (agreement_id, version, effective_from, values)"
            " VALUES (%s, 1, %s, '{}')",
            [agreement.pk, PAST],
        )
    terms_for(firm, agreement, due_days=1)
    assert CallTerms.objects.get().values["due_days"] == 1
    with pytest.raises(AskRefusedError):
        terms_for(firm, agreement, famous="1")


def test_by_its_terms_a_call_expires_is_escalated_and_has_an_owner(firm: PastFirm) -> None:
    call = open_calls()[0]
    terms_for(firm, agreement_of(call), expires=True, escalation_hours="1")
    at = call.due_at
    first = keep_clocks(at)
    assert first["steps"] >= 1
    call.refresh_from_db()
    assert call.state == "expired"
    keep_clocks(at + timedelta(minutes=59))
    call.refresh_from_db()
    assert call.state == "expired"
    keep_clocks(at + timedelta(minutes=60))
    call.refresh_from_db()
    assert call.state == "escalated"
    task = Task.objects.get(key=f"call:{call.number}:escalated")
    assert task.owner is not None
    assert task.closed_at is None
    before = standing()
    assert keep_clocks(at + timedelta(minutes=60))["steps"] == 0
    assert standing() == before
    pay(call, call.amount)
    call.refresh_from_db()
    task.refresh_from_db()
    assert (call.state, task.close_reason) == ("met", "The call is met")
    assert is_sound()


def test_a_notice_that_reaches_nobody_is_escalated(firm: PastFirm, life: Life) -> None:
    like = open_calls()[0]
    terms_for(firm, agreement_of(like), expires=True, delivery_hours="2", escalation_hours="1")
    call = life.draft(like.scope)
    life.take(call, "issued")
    issued = call.events.order_by("-pk")[0].occurred_at
    keep_clocks(issued + timedelta(hours=1))
    call.refresh_from_db()
    assert call.state == "issued"
    keep_clocks(issued + timedelta(hours=2))
    call.refresh_from_db()
    assert call.state == "undelivered"
    assert Task.objects.get(key=f"call:{call.number}:undelivered").owner is not None
    keep_clocks(issued + timedelta(hours=3))
    call.refresh_from_db()
    assert call.state == "escalated"


# ---------------------------------------------------------------- more time


def test_more_time_takes_two_people_and_ends_within_authority(life: Life, firm: PastFirm) -> None:
    call = open_calls()[0]
    ask = {
        "kind": "extend", "legal_entity": firm.desk.entity, "reason": WHY,
        "actor": person(firm.desk[Role.RISK]),
    }  # fmt: skip
    before = standing()
    for until in (call.due_at, call.due_at + timedelta(days=5, seconds=1)):
        with pytest.raises(RefusedError) as beyond:
            request_relief(call, until=until, **ask)  # type: ignore[arg-type]
        assert beyond.value.rule == "relief_is_within_authority"
    assert standing() == before
    until = call.due_at + timedelta(days=5)
    asked = request_relief(call, until=until, **ask)  # type: ignore[arg-type]
    with refused("approval_is_not_ones_own"):
        agreed(asked, firm.desk[Role.RISK])
    agreed(asked, firm.desk[Role.COMPLIANCE])
    call.refresh_from_db()
    assert (call.state, call.due_at) == ("extended", until)
    with pytest.raises(RefusedError) as early:
        carry_on(call.number, "expire", actor=DESK, words=WHY, at=until - timedelta(seconds=1))
    assert early.value.rule == "call_expires_when_it_is_due"
    carry_on(call.number, "expire", actor=DESK, words=WHY, at=until)
    assert is_sound()


def test_what_is_beyond_the_limit_of_a_role_or_of_the_terms_is_not_waived(
    life: Life, firm: PastFirm
) -> None:
    call = open_calls()[0]
    terms_for(firm, agreement_of(call), waiver_amount_max=f"{call.amount - CENT:f}")
    before = standing()
    with pytest.raises(RefusedError) as beyond:
        life.relieve(call, "waive")
    assert beyond.value.rule == "relief_is_within_authority"
    assert standing() == before
    terms_for(firm, agreement_of(call), waiver_amount_max=f"{call.amount:f}")
    amounts = {"request_each": None, "request_day": None, "approve_each": None, "approve_day": None}
    asked = request_limit(
        legal_entity=firm.desk.entity, role=Role.RISK, asset=call.currency,
        effective_from=timezone.now().date(), reason=WHY,
        amounts=amounts | {"request_each": call.amount - CENT},
        actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, firm.desk[Role.COMPLIANCE])
    before = standing()
    with pytest.raises(RefusedError) as limited:
        life.relieve(call, "waive")
    assert limited.value.rule == "limit_covers_the_amount"
    assert standing() == before


# ---------------------------------------------------------------- what clients say


def test_a_transfer_that_comes_keeps_its_promise_and_one_that_does_not_has_an_owner(
    firm: PastFirm,
) -> None:
    one, other = open_calls()[:2]
    actor, now = person(firm.desk[Role.OPERATIONS]), timezone.now()
    by = now + timedelta(hours=2)
    made = [
        promise_payment(
            call.number, kind="transfer", amount=D("250.00"), pay_by=by, words=WHY,
            reference=f"WIRE-{call.number}", actor=actor,
        )
        for call in (one, other)
    ]  # fmt: skip
    with pytest.raises(RefusedError) as past:
        promise_payment(
            one.number, kind="promise", amount=D(1), pay_by=now, words=WHY, reference="",
            actor=actor,
        )  # fmt: skip
    assert past.value.rule == "promise_is_ahead"
    pay(one, D("250.00"), key=f"WIRE-{one.number}")
    assert CallPromiseEnd.objects.get().outcome == "kept"
    keep_clocks(by)
    assert CallPromiseEnd.objects.get(pk=made[1].pk).outcome == "broken"
    task = Task.objects.get(key=f"call:{other.number}:transfer")
    assert task.owner is not None
    assert not Task.objects.filter(key=f"call:{one.number}:transfer").exists()
    assert is_sound()


def test_a_dispute_keeps_the_undisputed_part_due_and_ends_on_an_agreed_amount(
    life: Life, firm: PastFirm
) -> None:
    call = open_calls()[0]
    terms_for(firm, agreement_of(call), dispute_tolerance="1.00")
    result, actor = call.last_result, person(firm.desk[Role.OPERATIONS])
    with pytest.raises(DisputeRefusedError) as small:
        open_dispute(call.number, Claim(call.amount - 1, "price", WHY), actor=actor)
    assert small.value.rule == "dispute_is_beyond_tolerance"
    theirs = result.equity + 150
    file = (
        f"total,component,amount\nequity,,{theirs:f}\ninitial_margin,,{result.initial_margin:f}\n"
    ).encode()
    owed = result.initial_margin - theirs
    with pytest.raises(DisputeRefusedError):
        open_dispute(call.number, Claim(owed - 5, "price", WHY, "n.csv", file), actor=actor)
    due = call.due_at
    made = open_dispute(call.number, Claim(owed, "price", WHY, "n.csv", file), actor=actor)
    call.refresh_from_db()
    assert (call.state, call.due_at) == ("disputed", due)
    (part,) = CallDisputePart.objects.filter(dispute=made)
    assert (part.total, part.component, part.ours, part.theirs) == (
        "equity", "", result.equity, theirs,
    )  # fmt: skip
    attach_evidence(made, name="quote.pdf", content=b"%PDF", actor=actor)
    with pytest.raises(RefusedError) as twice:
        attach_evidence(made, name="again.pdf", content=b"%PDF", actor=actor)
    assert twice.value.rule == "evidence_is_attached_once"
    keep_clocks(timezone.now())
    assert Task.objects.get(key=f"call:{call.number}:undisputed").owner is not None
    amount = call.amount - 100
    life.agree(call, amount)
    call.refresh_from_db()
    assert (call.state, call.amount) == ("agreed", amount)
    assert open_dispute_of(call) is None
    pay(call, amount - CENT)
    call.refresh_from_db()
    assert (call.state, call.amount) == ("partially_met", CENT)
    pay(call, CENT)
    call.refresh_from_db()
    assert call.state == "met"
    assert is_sound()


@pytest.mark.parametrize(
    "file",
    [
        b"", b"a,b\n", b"total,component,amount\n", b"total,component,amount\nequity,,1e3\n",
        b"total,component,amount\nequity,,NaN\n", b"total,component,amount\nfame,,1\n",
        b"total,component,amount\nequity,,1\nequity,,1\n", b"\xff\xfe",
        b"total,component,amount\nx",
    ],
)  # fmt: skip
def test_a_file_that_says_nothing_is_refused_whole(file: bytes) -> None:
    with pytest.raises(DisputeRefusedError):
        read_components(file)


# ---------------------------------------------------------------- the ladder


def test_each_level_of_the_ladder_fires_once_a_crossing(firm: PastFirm) -> None:
    agreement = agreement_of(open_calls()[0])
    terms_for(firm, agreement, notice_level="3", close_only_level="0.9", hysteresis="0.05")
    run = MarginRun.objects.order_by("-as_of")[0]
    with acting(DESK, reason="Levels"):
        settle_run(run)
    fired = LevelEvent.objects.count()
    assert fired > 0
    closing = LevelEvent.objects.filter(level="close_only", way="dropped")
    assert Task.objects.filter(kind="call", key__endswith=":close-only").count() == closing.count()
    with acting(DESK, reason="The same again"):
        settle_run(run)
    assert LevelEvent.objects.count() == fired
    event = LevelEvent.objects.order_by("pk")[0]
    with refused("level_is_crossed_once"), acting(DESK, reason="By hand"):
        LevelEvent.objects.create(
            scope=event.scope, run=MarginRun.objects.order_by("as_of")[0], level=event.level,
            way="dropped",
        )  # fmt: skip
    assert MarginCall.objects.open().exists()
