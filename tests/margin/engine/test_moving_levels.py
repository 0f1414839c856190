"""Levels that follow a session and a volatility: how far they move, and what fires meanwhile."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.call_levels import crossings
from margin.engine.call_terms import CallRules, read_rules, written_rules
from margin.engine.moving_levels import is_in_session, session_addition, volatility_step
from margin.engine.rejected import RejectedInputError
from margin.engine.trading_calendar import STANDARD_CALENDARS, calendar_of

D = Decimal
MOVING: dict[str, Any] = {
    "session_calendar": "NYSE", "session_addition": "0.25", "volatility_asset": "BTC",
    "volatility_days": 3, "volatility_normal": "0.02", "volatility_factor": "10",
    "volatility_cap": "0.6", "volatility_step": "0.1",
}  # fmt: skip
RULES = read_rules(MOVING)
LADDER = {"notice": D("1.3"), "call": D("1.0"), "close_only": D("0.8"), "liquidate": D("0.5")}
CALM = [D(100), D(101), D(100), D(101)]
WILD = [D(100), D(110), D(95), D(108)]
PRICES = st.integers(1, 10**6).map(D)


@pytest.mark.parametrize(
    ("calendar", "at", "is_open"),
    [
        ("NYSE", "2031-03-03T14:29:59Z", False),
        ("NYSE", "2031-03-03T14:30:00Z", True),
        ("NYSE", "2031-03-03T20:59:59Z", True),
        ("NYSE", "2031-03-03T21:00:00Z", False),  # the close is the first instant of the night
        ("NYSE", "2031-03-10T20:00:00Z", False),  # clocks were put forward the day before
        ("NYSE", "2031-03-08T16:00:00Z", False),  # a Saturday
        ("NYSE", "2030-11-28T16:00:00Z", False),  # Thanksgiving
        ("NYSE", "2030-11-29T17:59:00Z", True),
        ("NYSE", "2030-11-29T18:00:00Z", False),  # closes at one
        ("FX", "2031-03-04T22:00:00Z", True),  # one session ends and the next begins
        ("FX", "2031-03-07T22:00:00Z", False),
        ("ALWAYS", "2031-03-08T00:00:00Z", True),
    ],
)
def test_a_session_is_on_from_its_open_until_its_close(
    calendar: str, at: str, is_open: bool
) -> None:
    hours = calendar_of(STANDARD_CALENDARS[calendar])
    assert is_in_session(hours, datetime.fromisoformat(at)) is is_open
    assert session_addition(RULES, is_open=is_open) == (0 if is_open else D("0.25"))


def test_what_is_above_normal_is_added_a_step_a_day_up_to_the_cap() -> None:
    # Returns of ln 1.1, ln (95/110) and ln (108/95): 0.0953, -0.1466 and 0.1283: sigma is 0.150086.
    first = volatility_step(WILD, rules=RULES, before=D(0))
    assert first.sigma is not None
    assert round(first.sigma, 6) == D("0.150086")
    assert (first.target, first.addition) == (D("0.6"), D("0.1"))
    milder = read_rules(MOVING | {"volatility_factor": "1"})
    assert volatility_step(WILD, rules=milder, before=D("0.1")).target == D("0.1301")  # rounded up
    assert volatility_step(WILD, rules=milder, before=D("0.1")).addition == D("0.1301")
    assert volatility_step(CALM, rules=RULES, before=D("0.25")) == (
        volatility_step(CALM, rules=RULES, before=D(0)).sigma, 0, D("0.15"),
    )  # fmt: skip


@pytest.mark.parametrize("closes", [[], WILD[1:], [*WILD[:3], D(0)]], ids=len)
def test_without_a_volatility_the_addition_stays(closes: Sequence[Decimal]) -> None:
    assert volatility_step(closes, rules=RULES, before=D("0.3")) == (None, None, D("0.3"))


@given(st.lists(PRICES, min_size=4, max_size=30), st.integers(0, 100), st.integers(1, 30))
def test_from_day_to_day_it_moves_no_further_than_its_step(
    closes: list[Decimal], start: int, step: int
) -> None:
    rules = read_rules(MOVING | {"volatility_step": str(D(step) / 100)})
    before = D(start) / 100
    for day in range(4, len(closes) + 1):
        found = volatility_step(closes[:day], rules=rules, before=before)
        assert found.target is not None
        assert abs(found.addition - before) <= rules.volatility_step
        assert 0 <= found.addition <= max(before, rules.volatility_cap)
        assert abs(found.addition - found.target) <= abs(before - found.target)
        before = found.addition


def below_after(path: Sequence[tuple[int, int]], band: int) -> list[tuple[int, str, str]]:
    """What fires along a path of ratios, and of how far levels have moved, in hundredths."""
    below: set[str] = set()
    seen: list[tuple[int, str, str]] = []
    for place, (ratio, moved) in enumerate(path):
        levels = {name: level + D(moved) / 100 for name, level in LADDER.items()}
        found = crossings(
            D(ratio), D(100), levels=levels, below=frozenset(below), band=D(band) / 100
        )
        for level, way in found:
            seen.append((place, level, way))
            (below.add if way == "dropped" else below.remove)(level)
    return seen


@given(
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 60)), max_size=40), st.integers(0, 30)
)
def test_levels_that_move_fire_once_a_crossing_and_never_inside_the_band(
    path: list[tuple[int, int]], band: int
) -> None:
    seen = below_after(path, band)
    for level, start in LADDER.items():
        of_level = [(place, way) for place, name, way in seen if name == level]
        ways = [way for _, way in of_level]
        assert ways == [("dropped", "restored")[place % 2] for place in range(len(ways))]
        for place, way in of_level:
            ratio, moved = path[place]
            above = ratio - (start * 100 + moved)
            assert above < 0 if way == "dropped" else above >= band
    # The same moment again fires nothing, and levels that stay are the ladder as it always was.
    assert below_after([each for each in path for _ in (1, 2)], band) == [
        (place * 2, level, way) for place, level, way in seen
    ]


def test_a_night_is_one_crossing_and_its_morning_another() -> None:
    night, day = (110, 25), (110, 0)
    assert below_after([day, night, night, day, day, night], 5) == [
        (0, "notice", "dropped"), (1, "call", "dropped"), (3, "call", "restored"),
        (5, "call", "dropped"),
    ]  # fmt: skip


def test_what_moves_levels_is_said_whole() -> None:
    assert read_rules(written_rules(RULES)) == RULES
    assert RULES.moves_levels
    assert not CallRules().moves_levels
    for left_out in (
        "session_addition", "session_calendar", "volatility_asset", "volatility_factor",
        "volatility_cap", "volatility_step",
    ):  # fmt: skip
        with pytest.raises(RejectedInputError):
            read_rules({name: value for name, value in MOVING.items() if name != left_out})
    for name, wrong in (
        ("session_addition", "10.01"), ("volatility_cap", "11"), ("volatility_days", 1),
        ("volatility_days", "3"), ("volatility_step", "-0.1"), ("session_calendar", 1),
    ):  # fmt: skip
        with pytest.raises(RejectedInputError):
            read_rules(MOVING | {name: wrong})
