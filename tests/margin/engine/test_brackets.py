"""Brackets: deductions, floors, and a requirement without a jump."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.brackets import (
    BracketError,
    RateSchedule,
    bracket_requirement,
    one_bracket_requirement,
    rate_schedule,
)
from margin.engine.exact import column, exact

D = Decimal
INITIAL = rate_schedule(
    floors=[D(0), D(50_000), D(250_000)], rates=[D("0.10"), D("0.20"), D("0.50")]
)


def required(notional: str) -> tuple[Decimal, int]:
    answer = bracket_requirement(column([D(notional)]), INITIAL)
    return answer.amount[0], int(answer.bracket[0])


def test_worked_example() -> None:
    assert INITIAL.deductions == (D(0), D(5_000), D(80_000))
    assert required("6902.745") == (D("690.2745"), 0)
    assert required("100000") == (D(15_000), 1)
    assert required("300000") == (D(70_000), 2)


@pytest.mark.parametrize(
    ("notional", "amount", "bracket"),
    [
        ("0", "0", 0),
        ("49999.99", "4999.999", 0),
        ("50000", "5000", 1),
        ("50000.01", "5000.002", 1),
        ("249999.99", "44999.998", 1),
        ("250000", "45000", 2),
        ("250000.01", "45000.005", 2),
    ],
)
def test_a_bracket_begins_exactly_at_its_floor(notional: str, amount: str, bracket: int) -> None:
    assert required(notional) == (D(amount), bracket)


def test_published_deductions(shared_dir: Path) -> None:
    """Binance's published tiers: the cap of a tier is the floor of the next."""
    table = json.loads(
        (shared_dir / "vectors/margin/tier_deductions.json").read_text(), parse_float=D
    )
    caps = [D(case["inputs"]["cap"]) for case in table["cases"]]
    schedule = rate_schedule(
        floors=[D(0), *caps[:-1]], rates=[D(case["inputs"]["mmr"]) for case in table["cases"]]
    )
    expected = [D(case["expected"]["maint_amount"]) for case in table["cases"]]
    assert list(schedule.deductions) == expected


@pytest.mark.parametrize(
    ("rule", "floors", "rates"),
    [
        ("brackets_ascend_from_zero", [], []),
        ("brackets_ascend_from_zero", ["1"], ["0.1"]),
        ("brackets_ascend_from_zero", ["0", "10", "10"], ["0.1", "0.2", "0.3"]),
        ("brackets_ascend_from_zero", ["0", "10", "5"], ["0.1", "0.2", "0.3"]),
        ("brackets_ascend_from_zero", ["0", "10"], ["0.1"]),
        ("rate_is_not_negative", ["0", "10"], ["0.1", "-0.1"]),
    ],
)
def test_what_is_no_schedule_is_refused(rule: str, floors: list[str], rates: list[str]) -> None:
    assert rate_schedule(floors=[D(0)], rates=[D("0.1")]).deductions == (D(0),)
    with pytest.raises(BracketError) as refused:
        rate_schedule(floors=[D(f) for f in floors], rates=[D(r) for r in rates])
    assert refused.value.rule == rule


@st.composite
def schedules(draw: st.DrawFn) -> RateSchedule:
    steps = draw(st.lists(st.integers(1, 10**6), max_size=5))
    floors = [D(sum(steps[:k])) for k in range(len(steps) + 1)]
    rates = [draw(st.decimals("0", "1", places=4)) for _ in floors]
    return rate_schedule(floors=floors, rates=rates)


notionals = st.decimals("0", "10000000", places=6)


@given(schedules())
def test_both_brackets_charge_the_same_at_a_floor(schedule: RateSchedule) -> None:
    with exact():
        for k in range(1, len(schedule.floors)):
            below = schedule.floors[k] * schedule.rates[k - 1] - schedule.deductions[k - 1]
            assert below == one_bracket_requirement(schedule.floors[k], schedule)


@given(schedules(), notionals)
def test_the_requirement_is_the_sum_of_its_slices(
    schedule: RateSchedule, notional: Decimal
) -> None:
    ceilings = [*schedule.floors[1:], notional]
    slices = [
        (min(notional, ceiling) - floor) * rate
        for floor, ceiling, rate in zip(schedule.floors, ceilings, schedule.rates, strict=True)
        if notional > floor
    ]
    with exact():
        assert one_bracket_requirement(notional, schedule) == sum(slices, D(0))


@given(schedules(), st.lists(notionals, max_size=6))
def test_one_at_a_time_is_the_same_as_all_at_once(
    schedule: RateSchedule, drawn: list[Decimal]
) -> None:
    answer = bracket_requirement(column(drawn), schedule)
    with exact():
        one_by_one = [one_bracket_requirement(notional, schedule) for notional in drawn]
    assert answer.amount.tolist() == one_by_one
    for notional, bracket in zip(drawn, answer.bracket, strict=True):
        assert schedule.floors[bracket] <= notional
        assert bracket + 1 == len(schedule.floors) or notional < schedule.floors[bracket + 1]
