"""What calls ask for and when they are due: pure functions of the terms."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.call_levels import crossings
from margin.engine.call_terms import (
    HOUSE,
    CallRules,
    Part,
    amount_to_call,
    due_time,
    initial_call,
    initial_due_time,
    loan_value,
    parts_left,
    read_rules,
    sale_to_cover,
    to_cover,
    written_rules,
)
from margin.engine.rejected import RejectedInputError

D = Decimal
CASES = Path(__file__).parents[3] / "shared" / "vectors" / "compliance" / "us_reg_t_calls.json"
NEW_YORK = CallRules(zone="America/New_York", holidays="nyse", due_days=2, due_at="12:00")
CENTS = st.integers(1, 10**9).map(lambda n: D(n) / 100)


def test_the_published_periods_of_initial_calls_are_kept() -> None:
    if not CASES.exists():
        pytest.skip("the published cases are not beside this clone")
    found = json.loads(CASES.read_text())
    for case in found["calendar"]:
        due = initial_due_time(date.fromisoformat(case["trade"]), NEW_YORK)
        assert due.date() == date.fromisoformat(case["due"])
    none, small, cover, sale, paid = found["cases"]
    assert initial_call(D(none["deficiency"]), HOUSE) == 0
    assert initial_call(D(small["deficiency"]), HOUSE) == D(small["deficiency"])
    lacks = D(cover["deficiency_on_liquidation_day"])
    assert to_cover(D(cover["call"]), lacks) == cover["liquidate_to_cover"]
    assert (
        sale_to_cover(D(sale["call"]), D(sale["reg_t_requirement"]))
        == (sale["shares_to_sell_value"])
    )
    assert (
        loan_value(D(1000), D(0), D("0.5")) == paid["call"] == loan_value(D(0), D(2000), D("0.5"))
    )


@pytest.mark.parametrize(
    ("issued", "due"),
    [
        ("2026-11-20T15:00", "2026-11-24T17:00"),  # a Friday: Monday, Tuesday, at noon
        ("2026-11-20T23:30", "2026-11-25T17:00"),  # after the cut-off: as made on Monday
        ("2026-11-24T15:00", "2026-11-27T17:00"),  # Thanksgiving is no business day
        ("2026-03-05T15:00", "2026-03-09T16:00"),  # clocks are put forward in between
        ("2026-11-21T15:00", "2026-11-25T17:00"),  # a Saturday counts as the Monday after
    ],
)
def test_calls_are_due_on_business_days_of_the_zone(issued: str, due: str) -> None:
    rules = CallRules(
        zone="America/New_York", holidays="nyse", due_days=2, due_at="12:00", cut_off="18:00"
    )
    at = datetime.fromisoformat(issued).replace(tzinfo=UTC)
    found = due_time(at, rules, otherwise=timedelta(hours=1))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_without_terms_the_period_of_the_agreement_counts() -> None:
    at = datetime(2026, 11, 20, 21, tzinfo=UTC)
    assert due_time(at, HOUSE, otherwise=timedelta(hours=24)) == at + timedelta(hours=24)


@pytest.mark.parametrize(
    ("missing", "rules", "called"),
    [
        ("1234.561", CallRules(), "1234.57"),
        ("499.999", CallRules(), "500.00"),
        ("499.99", CallRules(), "0"),
        ("1234.56", CallRules(rounding=D(100)), "1300"),
        ("401", CallRules(rounding=D(100)), "500"),
        ("1300", CallRules(rounding=D(100)), "1300"),
        ("1500", CallRules(counts_in_transit=True), "1200.00"),
        ("1500", CallRules(nets_pending=True), "800.00"),
        ("1500", CallRules(counts_in_transit=True, nets_pending=True), "500.00"),
        ("1499", CallRules(counts_in_transit=True, nets_pending=True), "0"),
        ("200", CallRules(counts_in_transit=True), "0"),
    ],
)
def test_what_is_called_is_netted_rounded_up_and_above_the_minimum(
    missing: str, rules: CallRules, called: str
) -> None:
    found = amount_to_call(D(missing), rules, minimum=D(500), in_transit=D(300), pending=D(700))
    assert found == D(called)


@given(CENTS, st.lists(CENTS, max_size=5), CENTS)
def test_what_is_left_is_divided_among_the_newest_parts(
    first: Decimal, more: list[Decimal], left: Decimal
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    parts = [Part(place, amount, at + timedelta(days=place))
             for place, amount in enumerate([first, *more])]  # fmt: skip
    found = parts_left(left, parts)
    assert sum(part.amount for part in found) == left
    assert all(part.amount > 0 for part in found)
    assert [part.number for part in found] == sorted(part.number for part in found)
    for part in found[1:]:
        assert part.amount == parts[part.number].amount


def test_what_came_in_pays_the_oldest_part() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    parts = [Part(0, D(100), at), Part(1, D(30), at + timedelta(days=1))]
    assert parts_left(D(130), parts) == parts
    assert parts_left(D(40), parts) == [parts[0]._replace(amount=D(10)), parts[1]]
    assert parts_left(D(30), parts) == [parts[1]]
    assert parts_left(D(0), parts) == []


def test_terms_are_read_as_they_were_written() -> None:
    assert read_rules({}) == HOUSE
    assert read_rules(written_rules(NEW_YORK)) == NEW_YORK
    for name, wrong in (
        ("zone", "Mars/Base"), ("holidays", "moon"), ("due_at", "25:00"), ("due_at", "9:00"),
        ("rounding", "0"), ("rounding", "NaN"), ("rounding", 1), ("due_days", -1),
        ("due_days", True), ("expires", "yes"), ("extension_days_max", 61), ("famous", "1"),
        ("hysteresis", "-0.1"),
    ):  # fmt: skip
        with pytest.raises(RejectedInputError):
            read_rules({name: wrong})


LADDER = {"notice": D("1.3"), "call": D("1.0"), "close_only": D("0.8"), "liquidate": D("0.5")}


def walk(path: list[str], band: str) -> list[tuple[str, str]]:
    """Levels crossed along a path of ratios, as one run after another sees them."""
    below: set[str] = set()
    seen: list[tuple[str, str]] = []
    for ratio in path:
        for level, way in crossings(
            D(ratio) * 100, D(100), levels=LADDER, below=below, band=D(band)
        ):
            seen.append((level, way))
            (below.add if way == "dropped" else below.remove)(level)
    return seen


def test_every_level_fires_once_down_and_once_up() -> None:
    down = [("notice", "dropped"), ("call", "dropped"), ("close_only", "dropped"),
            ("liquidate", "dropped")]  # fmt: skip
    up = [(level, "restored") for level, _ in reversed(down)]
    assert (
        walk(["1.4", "1.2", "0.9", "0.7", "0.4", "0.6", "0.9", "1.1", "1.4"], "0.05") == down + up
    )
    assert walk(["2", "0.1", "2"], "0.05") == down + up


def test_nothing_fires_inside_the_band() -> None:
    assert walk(["0.99", "1.04", "0.99", "1.0499", "0.98"], "0.05") == [
        ("notice", "dropped"), ("call", "dropped"),
    ]  # fmt: skip
    assert walk(["0.99", "1.05", "0.99"], "0.05")[2:] == [("call", "restored"), ("call", "dropped")]
    assert walk(["1.30", "1.2999"], "0") == [("notice", "dropped")]


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(0, 30))
def test_levels_are_crossed_one_way_and_then_the_other(path: list[int], band: int) -> None:
    seen = walk([str(D(ratio) / 100) for ratio in path], str(D(band) / 100))
    for level in LADDER:
        ways = [way for name, way in seen if name == level]
        assert ways == [("dropped", "restored")[place % 2] for place in range(len(ways))]


def test_a_scope_without_a_requirement_is_below_nothing() -> None:
    assert crossings(D(-5), D(0), levels=LADDER, below=set(), band=D(0)) == []
