"""Rule-based option margin: strategies by hand, what is refused, and published cases."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from margin.engine.rejected import RejectedInputError
from margin.engine.strategies import (
    Account,
    Book,
    Breadth,
    StrategyRequirement,
    Underlying,
    short_option_requirement,
    strategy_requirement,
)
from margin.engine.strategy_names import group_lines
from margin.published.strategies import strategy_margin
from tests.margin.engine.option_books import SPOT, Leg, book, margin, names, options


def test_an_empty_book_requires_nothing() -> None:
    assert margin(book()) == StrategyRequirement(0.0, ())
    assert strategy_requirement(book(), account=Account.CASH) == StrategyRequirement(0.0, ())


@pytest.mark.parametrize(
    ("underlying", "leg", "expected"),
    [
        (Underlying(100), Leg(-1, "call", 110, 1.5), 11.5),  # 20 - 10 = 10 = the least
        (Underlying(100), Leg(-1, "call", 105, 2), 17),  # 20 - 5
        (Underlying(100), Leg(-1, "put", 70, 0.5), 7.5),  # the least: 10 % of the strike
        (Underlying(100), Leg(-1, "put", 120, 21), 41),  # in the money: all of 20 %
        (Underlying(100, Breadth.NARROW), Leg(-1, "put", 95, 1), 16),
        (Underlying(100, Breadth.VOLATILITY), Leg(-1, "put", 95, 1), 16),
        (Underlying(100, Breadth.BROAD), Leg(-1, "put", 95, 1), 11),  # 15 - 5
        (Underlying(100, Breadth.BROAD, 3), Leg(-1, "put", 95, 1), 41),  # 45 - 5
        (Underlying(100, Breadth.SINGLE, -2), Leg(-1, "call", 130, 1), 21),  # twice the least
        (Underlying(100, Breadth.SINGLE, 0.5), Leg(-1, "call", 100, 1), 21),  # never less than 1
    ],
)
def test_a_short_option_by_itself(underlying: Underlying, leg: Leg, expected: float) -> None:
    alone = short_option_requirement(options([leg]), underlying=underlying)
    assert alone.tolist() == pytest.approx([expected])
    assert margin(book(leg, underlying=underlying)).amount == pytest.approx(100 * expected)


def test_a_long_option_is_paid_in_full_until_it_is_long_dated() -> None:
    assert margin(book(Leg(2, "put", 95, 3, 276))).amount == 600
    assert margin(book(Leg(2, "put", 95, 3, 277))).amount == 450


@pytest.mark.parametrize(
    ("legs", "strategy", "expected"),
    [
        # Debit: 4 - 1.5. Credit: 5 wide - (3 - 1).
        ([Leg(1, "call", 100, 4), Leg(-1, "call", 105, 1.5)], "vertical spread", 250),
        ([Leg(-1, "put", 95, 3), Leg(1, "put", 90, 1)], "vertical spread", 300),
        ([Leg(-1, "call", 100, 4), Leg(1, "call", 100, 6, 90)], "calendar", 200),
        ([Leg(-1, "call", 95, 7), Leg(1, "call", 100, 6, 90)], "diagonal spread", 400),
        (
            [Leg(1, "call", 95, 7), Leg(-2, "call", 100, 4), Leg(1, "call", 105, 2)],
            "long butterfly",
            100,
        ),
        (
            [Leg(-1, "call", 95, 7), Leg(2, "call", 100, 4), Leg(-1, "call", 105, 2)],
            "short butterfly",
            400,
        ),
        (
            [
                Leg(2, "put", 85, 1),
                Leg(-2, "put", 90, 2),
                Leg(-2, "put", 95, 3.5),
                Leg(2, "put", 100, 6),
            ],
            "long condor",
            300,
        ),
        # The worse side, once: 10 - 4 of credit.
        (
            [
                Leg(1, "put", 85, 1),
                Leg(-1, "put", 95, 3),
                Leg(-1, "call", 105, 3),
                Leg(1, "call", 110, 1),
            ],
            "iron condor",
            600,
        ),
        (
            [
                Leg(1, "put", 90, 1),
                Leg(-1, "put", 100, 4),
                Leg(-1, "call", 100, 4),
                Leg(1, "call", 105, 2),
            ],
            "iron butterfly",
            500,
        ),
        # Two sides with wings of another day: one spread all the same, 10 + 4 - 6.
        (
            [
                Leg(1, "put", 85, 2, 90),
                Leg(-1, "put", 95, 3),
                Leg(-1, "call", 105, 3),
                Leg(1, "call", 110, 2, 90),
            ],
            "spread",
            800,
        ),
        (
            [
                Leg(-1, "put", 90, 1),
                Leg(1, "put", 100, 4),
                Leg(1, "call", 100, 4),
                Leg(-1, "call", 110, 1),
            ],
            "long iron butterfly",
            600,
        ),
        # 10 wide; bought for 9.5 and sold for 9.5.
        (
            [
                Leg(1, "call", 95, 7),
                Leg(-1, "call", 105, 2),
                Leg(-1, "put", 95, 2),
                Leg(1, "put", 105, 6.5),
            ],
            "long box",
            950,
        ),
        (
            [
                Leg(-1, "call", 95, 7),
                Leg(1, "call", 105, 2),
                Leg(1, "put", 95, 2),
                Leg(-1, "put", 105, 6.5),
            ],
            "short box",
            50,
        ),
        # Call 4 + 20, put 3 + 15: the call and the premium of the put.
        ([Leg(-1, "call", 100, 4), Leg(-1, "put", 95, 3)], "short strangle", 2_700),
        ([Leg(-3, "call", 100, 4), Leg(-3, "put", 100, 3)], "short straddle", 8_100),
        # Equal requirements of 24: the greater premium of the two.
        ([Leg(-1, "call", 105, 9), Leg(-1, "put", 100, 4)], "short strangle", 3_300),
    ],
)
def test_strategies_by_hand(legs: list[Leg], strategy: str, expected: float) -> None:
    answer = margin(book(*legs))
    assert [group.strategy for group in answer.groups] == [strategy]
    assert answer.amount == pytest.approx(expected)


def test_a_short_that_outlives_the_long_is_not_covered() -> None:
    legs = [Leg(1, "call", 100, 4, 30), Leg(-1, "call", 100, 6, 90)]
    assert names(book(*legs)) == ["long call", "short call"]
    assert margin(book(*legs)).amount == 400 + 2_600


def test_a_spread_that_requires_more_than_its_short_is_given_up() -> None:
    """50 wide less 0.9 is more than the least of 10 % of 150, its premium and the hedge."""
    far = Underlying(300.0)
    legs = [Leg(-1, "put", 150, 1), Leg(1, "put", 100, 0.1)]
    assert margin(book(*legs, underlying=far)).amount == pytest.approx(1_500 + 100 + 10)
    near = [Leg(-1, "put", 150, 1), Leg(1, "put", 140, 0.1)]
    assert margin(book(*near, underlying=far)).amount == pytest.approx(1_000 - 90)


def test_a_ratio_spread_is_a_spread_and_what_is_left() -> None:
    positions = book(Leg(1, "call", 100, 4), Leg(-3, "call", 105, 2))
    assert names(positions) == ["vertical spread", "short call"]
    assert margin(positions).amount == 200 + 2 * 1_700


@pytest.mark.parametrize(
    ("legs", "shares", "strategies", "expected"),
    [
        ([], [(150, 90)], ["long shares"], 6_750),
        ([], [(-100, 90)], ["short shares"], 13_500),
        ([Leg(-1, "call", 90, 12)], [(100, 90)], ["covered call"], 4_500),
        ([Leg(-1, "put", 110, 12)], [(-100, 90)], ["covered put"], 13_500),
        ([Leg(1, "put", 95, 2)], [(100, 90)], ["protective put"], 4_700),
        ([Leg(1, "call", 95, 8)], [(-100, 90)], ["protective call"], 14_300),
        ([Leg(-1, "call", 105, 2), Leg(1, "put", 95, 2)], [(100, 90)], ["collar"], 4_700),
        ([Leg(-1, "call", 95, 8), Leg(1, "put", 95, 2)], [(100, 90)], ["conversion"], 4_700),
        (
            [Leg(-1, "put", 95, 2), Leg(1, "call", 95, 8)],
            [(-100, 90)],
            ["reverse conversion"],
            14_300,
        ),
        # No collar: the put is of another day, or above the call.
        (
            [Leg(-1, "call", 105, 2), Leg(1, "put", 95, 2, 60)],
            [(100, 90)],
            ["covered call", "long put"],
            4_700,
        ),
        (
            [Leg(-1, "call", 95, 8), Leg(1, "put", 105, 7)],
            [(100, 90)],
            ["covered call", "long put"],
            5_200,
        ),
        # 250 shares cover two calls; the third is 2 + 20 - 5.
        (
            [Leg(-3, "call", 105, 2)],
            [(150, 90), (100, 80)],
            ["covered call", "long shares", "short call"],
            10_750 + 1_700,
        ),
        # Calls are not covered by shares sold, nor puts by shares held.
        ([Leg(-1, "call", 105, 2)], [(-100, 90)], ["short shares", "short call"], 15_200),
        ([Leg(-1, "put", 95, 2)], [(100, 90)], ["long shares", "short put"], 6_200),
    ],
)
def test_shares_and_options_by_hand(
    legs: list[Leg], shares: list[tuple[float, float]], strategies: list[str], expected: float
) -> None:
    positions = book(*legs, shares=shares)
    assert names(positions) == strategies
    assert margin(positions).amount == pytest.approx(expected)


@pytest.mark.parametrize(
    ("leverage", "quantity", "expected"),
    [(1, 100, 5_000), (2, 100, 5_000), (3, 100, 7_500), (5, 100, 10_000), (-3, 100, 7_500),
     (1, -100, 15_000), (2, -100, 16_000), (3, -100, 19_000), (4, -100, 20_000)],
)  # fmt: skip
def test_shares_of_a_fund_with_leverage(leverage: float, quantity: int, expected: float) -> None:
    fund = Underlying(SPOT, Breadth.NARROW, leverage)
    positions = book(shares=[(quantity, 100)], underlying=fund)
    assert margin(positions).amount == pytest.approx(expected)


def test_a_cash_account_holds_what_exercise_takes() -> None:
    def deposit(*legs: Leg, breadth: Breadth = Breadth.SINGLE) -> float:
        positions = book(*legs, underlying=Underlying(SPOT, breadth))
        answer = strategy_requirement(positions, account=Account.CASH)
        assert answer is not None
        return answer.amount

    assert deposit(Leg(-2, "put", 95, 3)) == 2 * 9_200
    assert deposit(Leg(-1, "call", 105, 3)) == 9_700
    assert deposit(Leg(-1, "call", 105, 3), breadth=Breadth.BROAD) == 10_200
    assert deposit(Leg(-1, "call", 105, 3), Leg(-1, "put", 95, 3)) == 9_700 + 9_200
    assert deposit(Leg(-1, "put", 95, 3), Leg(1, "put", 90, 1)) == 300
    assert deposit(Leg(1, "put", 90, 1, 400)) == 100


def test_a_cash_account_carries_paid_shares_and_none_sold_short() -> None:
    covered = book(Leg(-1, "call", 90, 12), shares=[(100, 90)])
    answer = strategy_requirement(covered, account=Account.CASH)
    assert answer is not None
    assert answer.amount == 9_000
    short = book(Leg(-1, "put", 90, 12), shares=[(-100, 90)])
    assert strategy_requirement(short, account=Account.CASH) is None
    assert margin(short).amount == 13_500


def test_lots_of_one_series_are_one_position() -> None:
    positions = book(
        Leg(2, "call", 100, 4),
        Leg(-1, "call", 100, 5),
        Leg(1, "call", 100, 6),
        shares=[(100, 90), (-100, 95)],
    )
    answer = margin(positions)
    assert answer.amount == pytest.approx(2 * 14 / 3 * 100)
    assert group_lines(answer.groups) == ("long call: +2 call 100 in 30 d: 933.33",)
    assert margin(book(Leg(1, "put", 90, 2), Leg(-1, "put", 90, 3))).groups == ()


def test_the_explanation_says_what_was_formed_and_what_it_costs() -> None:
    positions = book(
        Leg(-1, "call", 105, 2), Leg(-1, "put", 95, 3), Leg(1, "put", 90, 1), shares=[(100, 90)]
    )
    assert group_lines(margin(positions).groups) == (
        "covered call: -1 call 105 in 30 d, +100 shares: 4500.00",
        "vertical spread: +1 put 90 in 30 d, -1 put 95 in 30 d: 300.00",
    )


@pytest.mark.parametrize(
    ("field", "positions"),
    [
        ("underlying price", book(underlying=Underlying(0.0))),
        ("underlying price", book(underlying=Underlying(math.nan))),
        ("leverage", book(underlying=Underlying(SPOT, Breadth.SINGLE, 0.0))),
        ("strike", book(Leg(1, "call", 0, 1))),
        ("premium", book(Leg(1, "call", 100, -1))),
        ("premium", book(Leg(1, "call", 100, math.inf))),
        ("contracts", book(Leg(0, "call", 100, 1))),
        ("contracts", book(Leg(10_000_000, "call", 100, 1))),
        ("expires_in_days", book(Leg(1, "call", 100, 1, -1))),
        ("shares", book(shares=[(0, 100)])),
        ("share price", book(shares=[(100, -1)])),
        ("multiplier", Book(Underlying(SPOT), options([]), book().shares, multiplier=0)),
        ("legs", book(*[Leg(1, "call", 1 + row, 1) for row in range(101)])),
    ],
)
def test_what_cannot_be_is_refused(field: str, positions: Book) -> None:
    with pytest.raises(RejectedInputError, match=field):
        strategy_requirement(positions, account=Account.MARGIN)


CASE = {
    "underlying": {"price": 100.0, "etf_type": None, "leverage_factor": 1},
    "legs": [
        {"price": 3.0, "quantity": -1, "strike": 95.0, "type": "PUT", "expires_in_days": 0},
        {"shares": True, "price": 90.0, "quantity": 100},
    ],
}


def test_a_published_case_is_read() -> None:
    assert strategy_margin(CASE) == {
        "margin_requirement": pytest.approx(4_500 + 1_800),
        "cash_requirement": pytest.approx(9_000 + 9_200),
    }
    nothing: dict[str, Any] = {**CASE, "legs": []}
    assert strategy_margin(nothing) == {"margin_requirement": 0.0, "cash_requirement": 0.0}


@pytest.mark.parametrize(
    ("leg", "change"),
    [
        (0, {"type": "SWAP"}),
        (0, {"quantity": 0.5}),
        (0, {"quantity": math.nan}),
        (0, {"strike": None}),
        (0, {"price": "dear"}),
        (1, {"quantity": 0}),
    ],
)
def test_a_published_leg_that_cannot_be_is_refused(leg: int, change: dict[str, Any]) -> None:
    legs: list[dict[str, Any]] = [dict(each) for each in CASE["legs"]]  # type: ignore[call-overload]
    legs[leg] |= change
    with pytest.raises(RejectedInputError):
        strategy_margin({**CASE, "legs": legs})


def test_a_published_underlying_that_cannot_be_is_refused() -> None:
    with pytest.raises(RejectedInputError):
        strategy_margin({**CASE, "underlying": {"price": 100.0, "etf_type": "ROUND"}})
    with pytest.raises(RejectedInputError):
        strategy_margin({"legs": []})


def test_published_cases(shared_dir: Path) -> None:
    table = json.loads((shared_dir / "vectors/margin/strategy_margin.json").read_text())
    assert table["cases"]
    for case in table["cases"]:
        answer = strategy_margin(case["inputs"])
        for name, expected in case["expected"].items():
            assert answer[name] == pytest.approx(expected, rel=0, **table["tolerance"]), case["id"]
