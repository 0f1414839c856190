"""States of prices in runs: what each permits, what it adds, who is told, and who set the rules."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from math import exp
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.approvals import AskRefusedError, describe
from accounts.audit import RefusedError
from accounts.models import Approval, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.contracts import request_contract
from margin.engine.parameters import written_parameters
from margin.engine.price_rules import STANDARD_RULES, AddOn
from margin.explanation import explain_result, find_result, stored_parts
from margin.holding import bad_price, balances_of
from margin.market.rows import HEADER, load_market
from margin.market.rules import request_rule, rules_in_force
from margin.models import (
    MarginResult,
    MarginRun,
    Mark,
    MarketRule,
    ResultComponent,
    Task,
)
from margin.runs import replay
from margin.verify import check_margin
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.kept import parts_of_results, parts_of_run
from tests.margin.test_bad_prices import (
    CRASH,
    IN_TIME,
    LIQUIDATED,
    SECOND_DAY,
    SOURCES,
    TOO_OLD,
    Pattern,
    Rows,
    crash,
    everywhere,
    one_dislocated,
    run_with,
    touched,
    write_prices,
)
from tests.stage import booked_days

D = Decimal
DAY = date(2031, 3, 4)
WHY = "What the risk committee agreed on Monday"
PERPETUAL = "BTC-PERP"


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=40, seed=5, days=2, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def asked(desk: Desk, name: str = PERPETUAL, *, kind: str = "price", **changes: Any) -> Any:
    values = written_parameters(replace(STANDARD_RULES, **changes)) if kind == "price" else changes
    return request_rule(
        kind=kind, name=name, values=values, effective_from=DAY, legal_entity=desk.entity,
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip


def ruled(desk: Desk, name: str = PERPETUAL, **changes: Any) -> None:
    agreed(asked(desk, name, **changes), desk[Role.COMPLIANCE])


def run_of(second: Path, pattern: Pattern) -> MarginRun:
    write_prices(second, pattern)
    run_day(second)
    return MarginRun.objects.get(business_day=SECOND_DAY)


def mark_of(code: str = PERPETUAL) -> Mark:
    return Mark.objects.get(business_day=SECOND_DAY, asset__code=code)


def tasks(kind: str) -> list[Task]:
    return list(Task.objects.filter(kind=kind, closed_at=None).order_by("key"))


def old_crash(price: Decimal) -> Rows:
    yield from ((source, TOO_OLD, f"{price * CRASH:.2f}") for source in SOURCES)


def doubts(run: MarginRun) -> list[ResultComponent]:
    return [part for part in parts_of_run(run) if "doubt" in part.kind]


def assert_sound(run: MarginRun) -> None:
    """It replays bit for bit, every result is explained by its parts, and the book verifies."""
    assert replay(run.number).is_same
    for result in touched(run):
        bucket: Any = result.scope.bucket
        found = find_result(run.number, f"{bucket.account.code}/{bucket.code}")
        explain_result(found, stored_parts(found))
    with connection.cursor() as cursor:
        assert [check.name for check in check_margin(cursor) if check.wrong] == []


def test_one_venue_at_two_thirds_moves_nothing_and_opens_an_incident(
    db: None, tmp_path: Path
) -> None:
    run = run_with(tmp_path / "firm", one_dislocated)
    assert not any(result.state in LIQUIDATED for result in touched(run))
    found = tasks("dislocation")
    assert [task.key for task in found] == ["dislocation:BTC", "dislocation:BTC-PERP"]
    for task in found:
        assert task.owner_role == Role.RISK
        assert "primary at " in task.detail
    assert tasks("price") == []


def test_a_dislocated_price_carries_no_call_and_no_withdrawal(days: list[Path], desk: Desk) -> None:
    for code in ("BTC", PERPETUAL):
        ruled(desk, code, dislocated_beyond=0.1)
    before = {mark.asset_id: mark.price for mark in Mark.objects.all()}
    run = run_of(days[1], one_dislocated)
    mark = mark_of()
    assert mark.state == "DISLOCATED"
    assert abs(mark.price / before[mark.asset_id] - 1) <= D("0.003")
    found = touched(run)
    assert len(found) > 5
    for result in found:
        assert result.state not in LIQUIDATED
        assert result.call_amount == 0
        assert {"dislocated_mark", "insufficient_mark"} <= set(result.flags)
        assert ("call_waits" in result.flags) <= (result.state == "CALL")
        bucket: Any = result.scope.bucket
        assert bad_price(balances_of(bucket)) in {("BTC", "dislocated"), (PERPETUAL, "dislocated")}
    assert [task.key for task in tasks("price")] == ["price:BTC", "price:BTC-PERP"]
    assert_sound(run)


def test_old_prices_value_with_an_add_on_and_liquidate_nobody(days: list[Path], desk: Desk) -> None:
    for code in ("BTC", PERPETUAL):
        ruled(desk, code, add_ons=(AddOn("STALE", 0.05),))
    run = run_of(days[1], old_crash)
    mark = mark_of()
    assert (mark.state, mark.carried_from, mark.contingency) == ("STALE", None, D("0.05"))
    assert len(mark.used) == 3
    held = [result.state for result in touched(run)]
    assert "CALL" in held
    assert not LIQUIDATED.intersection(held)
    assert all("stale_mark" in result.flags for result in touched(run))
    (_, task) = tasks("price")
    assert task.subject == "BTC-PERP has only prices that are too old"
    parts = doubts(run)
    assert {part.kind for part in parts} == {
        "im_doubt", "mm_doubt", "im_doubt_money", "mm_doubt_money"
    }  # fmt: skip
    for part in parts:
        assert part.mark is not None
        size = abs(D(part.terms["quantity"]))
        assert part.amount == size * part.mark.price * D("0.05")
    assert_sound(run)


def stated(confidence: str) -> bytes:
    row = f"confidence,primary,{IN_TIME},{PERPETUAL},,,,{confidence},,"
    return f"{','.join(HEADER)}\n{row}\n".encode()


@pytest.mark.parametrize(("confidence", "share"), [("0.8", "0.05"), ("1.0", None)])
def test_a_confidence_of_four_fifths_adds_exactly_its_line(
    days: list[Path], desk: Desk, confidence: str, share: str | None
) -> None:
    ruled(desk, confidence=replace(STANDARD_RULES.confidence, rate=0.25))
    load_market(stated(confidence), actor=person(desk[Role.OPERATIONS]))
    run = run_of(days[1], everywhere)
    mark, parts = mark_of(), doubts(run)
    assert (mark.state, mark.confidence) == ("VALID", D(confidence))
    if share is None:
        assert parts == []
        assert not any("doubted_mark" in result.flags for result in touched(run))
        return
    assert len(parts) > 4
    for part in parts:
        assert part.amount == abs(D(part.terms["quantity"])) * mark.price * D(share)
        assert "doubted_mark" in part.result.flags
    for result in {part.result for part in parts}:
        without = sum(
            each.amount
            for each in parts_of_results([result])
            if each.total == "initial_margin" and each.kind != "im_doubt"
        )
        added = sum(part.amount for part in parts
                    if part.result == result and part.total == "initial_margin")  # fmt: skip
        assert result.initial_margin == without + added
    assert_sound(run)


def test_a_crash_that_no_volume_bears_out_liquidates_nobody(days: list[Path], desk: Desk) -> None:
    for code in ("BTC", PERPETUAL):
        ruled(desk, code, move=replace(STANDARD_RULES.move, limit=0.5))
    run = run_of(days[1], crash)
    assert mark_of().state == "TOO_VOLATILE"
    assert len(mark_of().used) == 3
    assert not any(result.state in LIQUIDATED for result in touched(run))
    assert all("too_volatile_mark" in result.flags for result in touched(run))


def nothing_left(price: Decimal) -> Rows:
    for source, text in zip(SOURCES, ("0", "-1", "0"), strict=True):
        yield source, IN_TIME, text


def test_a_price_of_zero_is_a_price(days: list[Path], desk: Desk) -> None:
    for code in ("BTC", PERPETUAL):
        ruled(desk, code, may_be_non_positive=True)
    run = run_of(days[1], nothing_left)
    assert (mark_of().price, mark_of().state) == (D(0), "NON_POSITIVE")
    assert not any(result.state in LIQUIDATED for result in touched(run))
    assert_sound(run)


@pytest.mark.parametrize("rate", [None, "0.06", "0.07"])
def test_a_future_is_marked_by_its_index_carried_by_the_curve(
    days: list[Path], desk: Desk, rate: str | None
) -> None:
    due = datetime(2031, 9, 1, 21, tzinfo=UTC)
    agreed(
        request_contract(
            asset=Asset.objects.get(code=PERPETUAL), form="future",
            underlying=Asset.objects.get(code="BTC"), multiplier=D(1), expires_at=due,
            legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
        ),
        desk[Role.COMPLIANCE],
    )  # fmt: skip
    held_close = replace(STANDARD_RULES.index, underlying="BTC", basis_most=1e-6)
    ruled(desk, index=held_close)
    if rate is not None:
        rows = f"{','.join(HEADER)}\nrate,bank,{IN_TIME},USD,,,180,{rate},,\n"
        load_market(rows.encode(), actor=person(desk[Role.OPERATIONS]))
    run = run_of(days[1], everywhere)
    years = (due - run.as_of).total_seconds() / (365 * 86_400)
    carried = float(mark_of("BTC").price) * exp(float(rate or 0) * years)
    assert float(mark_of().price) == pytest.approx(carried, rel=2e-6)
    assert mark_of().state == "VALID"
    assert mark_of().basis is not None
    assert_sound(run)


def test_a_closed_market_is_no_alarm(days: list[Path], desk: Desk) -> None:
    always_closed = {
        "zone": "UTC", "opens": "09:00", "closes": "20:00", "weekdays": [0, 1, 2, 3, 4],
        "holidays": "none", "closed": [], "short": [],
    }  # fmt: skip
    ruled(desk, "EARLY", kind="calendar", **always_closed)
    ruled(desk, calendar="EARLY")
    run_of(days[1], everywhere)
    assert mark_of().state == "MARKET_CLOSED"
    assert mark_of("BTC").state == "VALID"
    assert tasks("price") == []


def test_a_feed_that_is_late_or_silent_is_an_incident(days: list[Path], desk: Desk) -> None:
    for name in ("primary", "ghost"):
        ruled(desk, name, kind="feed", seconds_most=0.0 if name == "primary" else 60.0,
              is_expected=True)  # fmt: skip
    run_of(days[1], everywhere)
    assert [(task.key, task.owner_role) for task in tasks("feed")] == [
        ("feed:ghost", Role.OPERATIONS)
    ]


def test_rules_need_a_second_person_and_say_what_they_change(days: list[Path], desk: Desk) -> None:
    approval = asked(desk, dislocated_beyond=0.1)
    said = describe(Approval.objects.get(pk=approval))
    assert ("dislocated_beyond", "none", "0.1") in [
        (field.label, field.before, field.after) for field in said.fields
    ]
    with pytest.raises(RefusedError):
        agreed(approval, desk[Role.RISK])
    assert rules_in_force(DAY, "price") == {}
    run_of(days[1], one_dislocated)
    assert mark_of().state == "VALID"
    assert mark_of().rule is None


@pytest.mark.parametrize(
    ("name", "kind", "changes"),
    [
        ("USD", "price", {}),
        ("NOTHING", "price", {}),
        ("BTC", "price", {"calendar": "MOON"}),
        ("BTC", "price", {"index": replace(STANDARD_RULES.index, underlying="BTC")}),
        ("x" * 61, "feed", {"seconds_most": 1.0, "is_expected": True}),
        ("primary", "feed", {"seconds_most": -1.0, "is_expected": True}),
        ("primary", "tea", {}),
    ],
)
def test_rules_that_cannot_be_are_refused_before_anybody_is_asked(
    days: list[Path], desk: Desk, name: str, kind: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(AskRefusedError):
        asked(desk, name, kind=kind, **changes)
    assert not Approval.objects.filter(action="market.rule").exists()


def test_the_database_refuses_rules_and_doubts_that_nobody_agreed_to(
    days: list[Path], desk: Desk, owner: Any
) -> None:
    statements = {
        "market_rule_is_set_by_two": "INSERT INTO margin_marketrule (kind, name, version,"
        " effective_from, values, sha256) VALUES ('price', 'BTC', 1, '2031-03-04', '{}', '')",
        "doubted_mark_has_its_rule": "INSERT INTO margin_mark (asset_id, as_of, business_day,"
        " price, state, used, dropped, contingency, confidence) SELECT asset_id,"
        " as_of + interval '1 hour', business_day, price, 'VALID', '[]', '[]', 0.5, 0.5"
        " FROM margin_mark LIMIT 1",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before
    assert not MarketRule.objects.exists()
    assert MarginResult.objects.filter(components__kind__contains="doubt").count() == 0
