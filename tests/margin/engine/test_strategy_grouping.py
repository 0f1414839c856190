"""The cheapest grouping of options: equal to every way tried one by one, and its laws."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.rejected import RejectedInputError
from margin.engine.strategies import Account, Book, strategy_requirement, strategy_requirements
from margin.engine.strategy_grouping import Grouping, is_legal
from tests.margin.engine.option_books import SPOT, Leg, book, fair, margin, options


def one_by_one(positions: Book, *, lots: int = 0) -> float:
    """The least over every way to part the contracts, one contract at a time, in plain Python."""
    legs = positions.options
    units = [
        Leg(
            int(np.sign(legs.contracts[row])),
            "call" if legs.is_call[row] else "put",
            float(legs.strike[row]),
            float(legs.premium[row]),
            int(legs.expires_in_days[row]),
        )
        for row in range(len(legs.strike))
        for _ in range(abs(int(legs.contracts[row])))
    ]
    return 100 * least_of_parts(tuple(units), lots)


def least_of_parts(units: tuple[Leg, ...], lots: int) -> float:
    if not units:
        return 0.0
    first, rest = units[0], units[1:]
    least = math.inf
    if first.contracts < 0 and first.right == "call" and lots:
        least = least_of_parts(rest, lots - 1)
    for size in range(len(rest) + 1):
        for others in combinations(range(len(rest)), size):
            together = part_cost([first, *(rest[other] for other in others)])
            if together < math.inf:
                left = tuple(unit for row, unit in enumerate(rest) if row not in others)
                least = min(least, together + least_of_parts(left, lots))
    return least


def part_cost(part: list[Leg]) -> float:
    """What contracts require when they are carried as one; infinite where they may not be."""
    shorts = [unit for unit in part if unit.contracts < 0]
    longs = [unit for unit in part if unit.contracts > 0]
    if len(part) == 1:
        return alone_cost(part[0])
    if not longs and len(shorts) == 2 and {unit.right for unit in shorts} == {"call", "put"}:
        (low_cost, low), (high_cost, high) = sorted((alone_cost(unit), unit) for unit in shorts)
        other = max(low.premium, high.premium) if low_cost == high_cost else low.premium
        return high_cost + other
    balance = Counter[str]()
    for unit in part:
        balance[unit.right] += unit.contracts
    if any(balance.values()) or max(u.days for u in shorts) > min(u.days for u in longs):
        return math.inf
    prices = [0.0, *(unit.strike for unit in part), 1_000.0]
    worst = min(sum(unit.contracts * exercised(unit, price) for unit in part) for price in prices)
    return max(0.0, max(0.0, -worst) + sum(unit.contracts * unit.premium for unit in part))


def alone_cost(unit: Leg) -> float:
    if unit.contracts > 0:
        return unit.premium * (0.75 if unit.days > 276 else 1.0)
    against = SPOT if unit.right == "call" else unit.strike
    away = max(0.0, unit.strike - SPOT if unit.right == "call" else SPOT - unit.strike)
    return unit.premium + max(0.2 * SPOT - away, 0.1 * against)


def exercised(unit: Leg, price: float) -> float:
    return max(0.0, price - unit.strike if unit.right == "call" else unit.strike - price)


RIGHTS = st.sampled_from(["call", "put"])
STRIKES = st.sampled_from([80.0, 90.0, 95.0, 100.0, 105.0, 110.0, 125.0])
DAYS = st.sampled_from([0, 30, 90, 400])
COUNTS = st.integers(-3, 3).filter(bool)
FAIR_LEGS = st.builds(fair, COUNTS, RIGHTS, STRIKES, DAYS)
FAIR_BOOKS = st.lists(FAIR_LEGS, max_size=7)
SHARE_LOTS = st.sampled_from([(), ((100.0, 98.0),), ((250.0, 101.0),), ((-200.0, 99.0),)])


def any_leg(contracts: int, right: str, strike: float, days: int, quarters: int) -> Leg:
    return Leg(contracts, right, strike, quarters / 4, days)


FEW_UNITS = st.lists(
    st.builds(any_leg, st.sampled_from([-2, -1, -1, 1, 1, 2]), RIGHTS, STRIKES, DAYS,
              st.integers(0, 90)),
    max_size=6,
    unique_by=lambda leg: leg[1:3] + leg[4:],
).filter(lambda legs: sum(abs(leg.contracts) for leg in legs) <= 7)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(FEW_UNITS, st.integers(0, 2))
def test_the_least_cost_is_that_of_every_way_tried_one_by_one(legs: list[Leg], lots: int) -> None:
    shares = [(100.0 * lots, SPOT)] if lots else []
    answer = margin(book(*legs, shares=shares)).amount - lots * 5_000
    assert answer == pytest.approx(one_by_one(book(*legs), lots=lots), abs=1e-6)


def test_the_least_cost_holds_for_many_books_with_any_premiums() -> None:
    """Drawn evenly, where the search above prefers small and round: close calls are in here."""
    draw = np.random.default_rng(20)
    for _ in range(400):
        legs = {
            (right, strike, days): Leg(
                int(draw.choice([-2, -1, -1, 1])), right, strike, float(draw.uniform(0, 25)), days
            )
            for right, strike, days in zip(
                draw.choice(["call", "put"], 4).tolist(),
                draw.choice([80.0, 90.0, 95.0, 100.0, 110.0], 4).tolist(),
                draw.choice([0, 30, 400], 4).tolist(),
                strict=True,
            )
        }
        positions = book(*legs.values())
        assert margin(positions).amount == pytest.approx(one_by_one(positions), abs=1e-6), legs


def test_the_search_does_not_stop_near_the_least() -> None:
    """A book for which a grouping 250 above the least is found first."""
    legs = [
        fair(4, "put", 107.5, 90),
        fair(5, "call", 105, 90),
        fair(-7, "put", 92.5, 90),
        fair(5, "call", 95, 90),
        fair(3, "call", 85, 30),
        fair(1, "put", 85, 30),
        fair(-1, "put", 112.5, 30),
        fair(-1, "call", 110, 90),
        fair(5, "put", 120, 7),
        fair(-3, "call", 85, 7),
        fair(-2, "put", 102.5, 90),
        fair(2, "call", 105, 30),
    ]
    assert margin(book(*legs)).amount == pytest.approx(25_509.26948, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(FAIR_BOOKS, SHARE_LOTS, st.randoms(use_true_random=False))
def test_the_order_of_legs_changes_nothing(
    legs: list[Leg], shares: Sequence[tuple[float, float]], shuffle: Any
) -> None:
    moved = list(legs)
    shuffle.shuffle(moved)
    for account in Account:
        answers = [strategy_requirement(book(*order, shares=shares), account=account)
                   for order in (legs, moved)]  # fmt: skip
        assert answers[0] == answers[1]


@settings(max_examples=60, deadline=None)
@given(FAIR_BOOKS, SHARE_LOTS)
def test_groups_carry_every_contract_once_and_add_up(
    legs: list[Leg], shares: Sequence[tuple[float, float]]
) -> None:
    held = Counter[tuple[str, float, int]]()
    for leg in legs:
        held[leg.right, leg.strike, leg.days] += leg.contracts
    answer = margin(book(*legs, shares=shares))
    grouped = Counter[tuple[str, float, int]]()
    for group in answer.groups:
        assert group.requirement >= 0
        for part in group.legs:
            grouped[part.right, part.strike, part.expires_in_days] += part.contracts
    assert {key: count for key, count in held.items() if count} == {
        key: count for key, count in grouped.items() if count
    }
    assert sum(group.shares for group in answer.groups) == sum(count for count, _ in shares)
    assert math.fsum(group.requirement for group in answer.groups) == answer.amount


@settings(max_examples=60, deadline=None)
@given(FAIR_BOOKS, SHARE_LOTS, RIGHTS, STRIKES, DAYS)
def test_a_long_option_never_raises_the_requirement_beyond_its_premium(
    legs: list[Leg], shares: Sequence[tuple[float, float]], right: str, strike: float, days: int
) -> None:
    bought = fair(1, right, strike, days)
    before = margin(book(*legs, shares=shares)).amount
    after = margin(book(*legs, bought, shares=shares)).amount
    assert after <= before + 100 * bought.premium + 1e-6


@settings(max_examples=40, deadline=None)
@given(FAIR_BOOKS, st.integers(2, 50))
def test_many_times_a_book_never_requires_more_than_many_times_its_requirement(
    legs: list[Leg], times: int
) -> None:
    many = [leg._replace(contracts=times * leg.contracts) for leg in legs]
    assert margin(book(*many)).amount <= times * margin(book(*legs)).amount * (1 + 1e-9) + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.lists(FAIR_BOOKS, max_size=4))
def test_a_batch_is_the_books_one_by_one(books: list[list[Leg]]) -> None:
    positions = [book(*legs) for legs in books]
    for account in Account:
        assert strategy_requirements(positions, account=account) == [
            strategy_requirement(each, account=account) for each in positions
        ]


@settings(max_examples=40, deadline=None)
@given(FAIR_BOOKS, FAIR_BOOKS)
def test_two_books_together_never_require_more_than_apart(
    legs: list[Leg], drawn: list[Leg]
) -> None:
    """Of other series: a series held by both would be netted, and what is closed covers nothing."""
    mine = {leg[1:] for leg in legs}
    others = [leg for leg in drawn if leg[1:] not in mine]
    apart = margin(book(*legs)).amount + margin(book(*others)).amount
    assert margin(book(*legs, *others)).amount <= apart + 1e-6


def grouping_of(alone: list[int], spread: list[list[int]]) -> Grouping:
    size = len(alone)
    none = np.zeros(size, dtype=np.int64)
    pairs = np.zeros((size, size), dtype=np.int64)
    return Grouping(
        np.array(alone, dtype=np.int64),
        none,
        pairs,
        np.array(spread, dtype=np.int64).reshape(-1, size),
    )


def test_a_grouping_is_legal_when_each_contract_is_carried_once_and_no_short_outlives() -> None:
    legs = options([Leg(2, "call", 100, 4, 30), Leg(-2, "call", 105, 2, 30)])
    assert is_legal(legs, grouping_of([0, 0], [[2, 2]]))
    assert is_legal(legs, grouping_of([1, 1], [[1, 1]]))
    assert is_legal(legs, grouping_of([2, 2], []))
    assert not is_legal(legs, grouping_of([1, 0], [[2, 2]]))
    assert not is_legal(legs, grouping_of([1, 0], [[1, 2]]))
    later = options([Leg(2, "call", 100, 4, 30), Leg(-2, "call", 105, 2, 31)])
    assert not is_legal(later, grouping_of([0, 0], [[2, 2]]))
    mixed = options([Leg(2, "call", 100, 4, 30), Leg(-2, "put", 105, 7, 30)])
    assert not is_legal(mixed, grouping_of([0, 0], [[2, 2]]))


def test_a_search_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rights = ("call", "put")
    legs = [
        fair((-1) ** (row // 2) * (3 + row % 5), rights[row % 2], 80.0 + 1.5 * row, 30 + row % 4)
        for row in range(24)
    ]
    assert margin(book(*legs)).amount > 0
    monkeypatch.setattr("margin.engine.strategy_grouping.BRANCHES_MAX", 0)
    with pytest.raises(RejectedInputError, match="least requirement"):
        margin(book(*legs))
