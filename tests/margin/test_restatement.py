"""Runs restated: the original stays, the other knows better, and calls are judged by both."""

import json
from collections import Counter
from decimal import ROUND_CEILING, Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.approvals import AskRefusedError
from accounts.models import Approval, Role
from margin.calls.affected import Effect, affected_calls
from margin.market.corrections import request_correction
from margin.market.marks import newest_marks
from margin.models import MarginCall, MarginResult, MarginRun, Mark
from margin.restatement import differing_results
from margin.runs import replay
from margin.verify import check_margin
from tests.accounts.people import person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, refused, standing
from tests.margin.firm import SmallFirm
from tests.margin.kept import code_of, parts_of_run
from tests.margin.restating import SOURCE, WHY, correct, prices_come_back, restated, rows_of

D = Decimal


def original(firm: SmallFirm) -> MarginRun:
    return MarginRun.objects.get(number=firm.second_run)


def mark_of(run: MarginRun, code: str) -> Mark:
    return Mark.objects.standing().get(as_of=run.as_of, asset__code=code)


def held_most(run: MarginRun) -> str:
    """The security that most scopes of a run hold."""
    held = Counter(code_of(part) for part in parts_of_run(run, kinds=["security"]))
    return min(held, key=lambda code: (-held[code], code))


def by_hand(result: MarginResult | None, *, is_open: bool) -> Decimal | None:
    """What a result calls for, from its figures alone."""
    if result is None:
        return None
    if not is_open:
        called: Decimal = result.call_amount
        return called
    lacks: Decimal = max(result.initial_margin - result.equity, D(0))
    return lacks.quantize(D("0.01"), ROUND_CEILING)


def test_a_corrected_price_restates_a_run_and_leaves_the_original(firm: SmallFirm) -> None:
    run = original(firm)
    before = rows_of(run)
    mark = mark_of(run, held_most(run))
    better = mark.price + D("12.5")
    correct(firm.desk, mark, better)
    assert replay(run.number).is_same, "the original reads the mark that it knew"
    found = restated(firm.desk, run.number)
    assert found.is_new
    assert found.run is not None
    assert (found.run.restates_id, found.run.as_of) == (run.pk, run.as_of)
    assert found.run.purpose == "restatement"
    assert rows_of(run) == before
    assert replay(run.number).is_same
    assert replay(found.run.number).is_same
    held = {
        part.result.scope_id: D(part.terms["quantity"])
        for part in parts_of_run(run)
        if (part.total, code_of(part)) == ("equity", mark.asset.code)
    }
    assert len(held) > 2
    now = {row.scope_id: row for row in MarginResult.objects.filter(run=found.run)}
    for row in MarginResult.objects.filter(run=run):
        moved = held.get(row.scope_id, D(0)) * D("12.5")
        assert now[row.scope_id].equity - row.equity == moved
    assert {row.scope_id for row in differing_results(found.run)} == set(held)
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_a_restated_run_names_exactly_the_calls(firm: SmallFirm) -> None:
    run = original(firm)
    prices_come_back(firm.desk, run)
    found = restated(firm.desk, run.number).run
    assert found is not None
    earlier = set(
        MarginCall.objects.filter(first_result__run__lt=run).values_list("scope_id", flat=True)
    )
    was = {row.scope_id: row for row in MarginResult.objects.filter(run=run)}
    now = {row.scope_id: row for row in MarginResult.objects.filter(run=found)}
    expected = {}
    for scope_id in was.keys() | now.keys():
        is_open = scope_id in earlier
        called = by_hand(was.get(scope_id), is_open=is_open)
        should_be = by_hand(now.get(scope_id), is_open=is_open)
        if called != should_be:
            expected[scope_id] = (called, should_be)
    named = affected_calls(found)
    assert {each.scope.pk: (each.called, each.should_be) for each in named} == expected
    effects = [each.effect for each in named]
    assert effects.count(Effect.NOT_MADE) > 2
    calls = {call.scope_id: call for call in MarginCall.objects.filter(first_result__run=run)}
    for each in named:
        if each.effect == Effect.NOT_MADE:
            assert each.call == calls[each.scope.pk]


def test_a_price_that_was_too_high_names_calls_that_should_have_been_made(
    firm: SmallFirm,
) -> None:
    run = MarginRun.objects.get(number=firm.first_run)
    for mark in Mark.objects.standing().filter(as_of=run.as_of, state="VALID"):
        correct(firm.desk, mark, (mark.price * D("0.6")).quantize(D("0.0001")))
    found = restated(firm.desk, run.number).run
    assert found is not None
    missing = [each for each in affected_calls(found) if each.effect == Effect.MISSING]
    assert len(missing) > 3
    assert all(each.called == 0 and each.should_be for each in missing)
    assert replay(run.number).is_same
    assert replay(found.number).is_same


def test_restating_twice_makes_one_run(firm: SmallFirm) -> None:
    run = original(firm)
    assert restated(firm.desk, run.number).run is None, "nothing became known"
    assert MarginRun.objects.filter(restates__isnull=False).count() == 0
    correct(firm.desk, mark_of(run, held_most(run)), D("100"))
    first = restated(firm.desk, run.number)
    again = restated(firm.desk, run.number)
    assert first.run is not None
    by_itself = restated(firm.desk, first.run.number)
    assert (first.is_new, again.is_new, by_itself.is_new) == (True, False, False)
    assert first.run == again.run == by_itself.run
    correct(firm.desk, mark_of(run, held_most(run)), D("101"))
    second = restated(firm.desk, first.run.number).run
    assert second is not None
    assert (second != first.run, second.restates) == (True, run)
    assert all(replay(each.number).is_same for each in (run, first.run, second))


def test_a_correction_counts_from_then_on(firm: SmallFirm) -> None:
    run = original(firm)
    wrong = mark_of(run, held_most(run))
    correct(firm.desk, wrong, D("123.45"))
    tip = newest_marks(run.business_day.replace(day=30))[wrong.asset.code]
    assert (tip.price, tip.state, tip.revision, tip.note) == (D("123.45"), "VALID", 1, SOURCE)
    assert tip.corrects == wrong
    assert Mark.objects.composed().filter(as_of=run.as_of, asset=wrong.asset).get() == wrong


def test_a_mark_is_not_corrected_alone_or_into_no_price(firm: SmallFirm) -> None:
    mark = mark_of(original(firm), held_most(original(firm)))
    before = standing()
    shared: dict[str, Any] = {
        "source": SOURCE, "legal_entity": firm.desk.entity, "reason": WHY,
        "actor": person(firm.desk[Role.RISK]),
    }  # fmt: skip
    for price in (D(0), D(-1), D("NaN"), mark.price):
        with pytest.raises(AskRefusedError):
            request_correction(mark, price=price, **shared)
    with pytest.raises(AskRefusedError):
        request_correction(mark, price=D(1), **(shared | {"source": " "}))
    assert standing() == before
    asked = request_correction(mark, price=D(1), **shared)
    with refused("approval_is_not_ones_own"):
        agreed(asked, firm.desk[Role.RISK])
    assert not Mark.objects.filter(revision__gt=0).exists()
    other = request_correction(mark, price=D(2), **shared)
    agreed(asked, firm.desk[Role.COMPLIANCE])
    with refused("mark_is_corrected_once"):
        agreed(other, firm.desk[Role.COMPLIANCE])
    with pytest.raises(AskRefusedError):
        request_correction(mark, price=D(3), **shared)
    assert mark_of(original(firm), held_most(original(firm))).price == D(1)
    assert Approval.objects.filter(action="price.correct").count() == 2


def test_the_database_refuses_marks_that_nobody_corrected(firm: SmallFirm, owner: Any) -> None:
    columns = (
        "asset_id, as_of, business_day, price, state, used, dropped, revision, corrects_id, note"
    )
    insert = f"INSERT INTO margin_mark ({columns}) SELECT asset_id, as_of, business_day,"
    statements = {
        "mark_is_corrected_by_two": f"{insert} price + 1, 'VALID', '[]', '[]', 1, id, 'me'"
        " FROM margin_mark ORDER BY id DESC LIMIT 1",
        "corrected_mark_follows_its_mark": f"{insert} price + 1, 'VALID', '[]', '[]', 2, id, 'me'"
        " FROM margin_mark ORDER BY id DESC LIMIT 1",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before


def test_the_command_says_it_all(firm: SmallFirm) -> None:
    run = original(firm)
    assert said(run.number)["restated"] is None
    prices_come_back(firm.desk, run)
    first, again = said(run.number), said(run.number)
    assert (first["new"], again["new"]) == (True, False)
    assert first["restated"] == again["restated"] == "MR-310304-2"
    found = MarginRun.objects.get(number="MR-310304-2")
    assert len(first["calls"]) == len(affected_calls(found)) > 3
    assert first["scopes_differing"] == differing_results(found).count() > 3
    with pytest.raises(CommandError) as unknown:
        call_command("restate", "MR-310304-9")
    assert unknown.value.returncode == 2


def said(number: str) -> dict[str, Any]:
    out = StringIO()
    call_command("restate", number, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found
