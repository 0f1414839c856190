"""House rules over columns: what the evaluation in decimals says, to the last digit, or nothing."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from margin.engine import column_ground
from margin.engine.column_ground import ground_of, is_known_rule, levels_of
from margin.engine.column_rules import (
    ColumnResult,
    Held,
    Scopes,
    evaluate_columns,
    exact_column,
)
from margin.engine.exact import exact
from margin.engine.house_rules import evaluate
from margin.engine.inputs import (
    AssetRow,
    Bracket,
    ClaimRow,
    MoneyTerms,
    PositionRow,
    SecurityTerms,
    house_rules_input,
    perpetual_terms,
)
from margin.engine.wide import Wide, decimal_of, product, scaled, sums, units_of, wide_of
from tests.margin.engine.firm import ASSETS, PERP, SPY, USD, rows, scope

D = Decimal


def decimals_of(values: list[Decimal]) -> int:
    return max([0, *(-int(v.normalize().as_tuple().exponent) for v in values if v)])


def by_columns(drawn: dict[str, Any]) -> ColumnResult:
    """A firm through the columns; every asset has the decimals of its longest amount."""
    assets: list[AssetRow] = list(drawn["assets"])
    place = {row.name: n for n, row in enumerate(assets)}
    held: list[tuple[int, int, Decimal, Decimal]] = []
    names = [row.name for row in drawn["scopes"]]
    held += [(names.index(c.scope), place[c.asset], c.amount, D(0)) for c in drawn["claims"]]
    held += [
        (names.index(p.scope), place[p.asset], p.quantity, p.average_cost)
        for p in drawn["positions"]
    ]
    held.sort(key=lambda row: row[0])
    scales = [decimals_of([row[2] for row in held if row[1] == n]) for n in range(len(assets))]
    units = [units_of(row[2], scales[row[1]]) or 0 for row in held]
    costs = [units_of(row[3], 8) for row in held]
    loans = [units_of(row.loan, 2) for row in drawn["scopes"]]
    counts = (
        np.bincount([row[0] for row in held], minlength=len(names)) if held else [0] * len(names)
    )
    large = [abs(n) >= 10**18 for n in units]
    is_odd = np.array([loan is None for loan in loans], dtype=bool)
    for row, cost, beyond in zip(held, costs, large, strict=True):
        is_odd[row[0]] |= cost is None or beyond
    return evaluate_columns(
        ground_of(assets, scales=scales),
        Held(
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.intp),
            assets=np.array([row[1] for row in held], dtype=np.intp),
            units=np.array([0 if b else n for n, b in zip(units, large, strict=True)], np.int64),
            costs=np.array([c or 0 for c in costs], dtype=np.int64),
        ),
        scopes=Scopes(
            is_cash_account=np.array([row.is_cash_account for row in drawn["scopes"]], dtype=bool),
            loans=np.array([loan or 0 for loan in loans], dtype=np.int64),
            agreements=np.arange(len(names)),
            is_odd=is_odd,
        ),
        levels=levels_of(
            call=[row.call_level for row in drawn["scopes"]],
            liquidation=[row.liquidation_level for row in drawn["scopes"]],
            minimum=[row.minimum_transfer_amount for row in drawn["scopes"]],
        ),
    )


def assert_same(drawn: dict[str, Any]) -> int:
    """Compare every scope that the columns speak of; how many they leave out."""
    slow, fast = evaluate(house_rules_input(**drawn)), by_columns(drawn)
    spoken = np.flatnonzero(~fast.is_odd)
    for name, wide in (
        ("equity", fast.equity),
        ("initial_margin", fast.initial),
        ("maintenance_margin", fast.maintenance),
    ):
        assert (exact_column(wide)[spoken] == getattr(slow, name)[spoken]).all(), name
    assert (fast.states == slow.states)[spoken].all()
    with exact():
        called = [units_of(amount, 2) for amount in slow.call_amount]
    assert (fast.call_cents[spoken] == np.array(called, dtype=object)[spoken]).all()
    for name in ("below_mta", "overridden_mark", "insufficient_mark"):
        mine = getattr(fast, name.removesuffix("_mark"))
        assert (mine == getattr(slow, name))[spoken].all(), name
    return int(fast.is_odd.sum())


@given(rows())
def test_columns_say_what_decimals_say(drawn: dict[str, Any]) -> None:
    assert_same(drawn)


WIDE_NUMBERS = st.decimals("-1e16", "1e16", places=None, allow_nan=False).map(
    lambda value: round(value, 8)
)
MARKS = st.one_of(
    st.decimals("0.00000001", "100000", places=8), st.decimals("0.01", "9999999", places=2)
)
RATES = st.decimals("0.0001", "1", places=4)


@st.composite
def strange_firms(draw: Any) -> dict[str, Any]:
    """Sizes, prices and levels from the smallest to far beyond what whole numbers hold."""
    floors = sorted(draw(st.sets(st.decimals("0.01", "1e12", places=2), max_size=3)))
    brackets = [Bracket(floor, draw(RATES), draw(RATES)) for floor in (D(0), *floors)]
    assets = [
        USD,
        AssetRow("BTC", MoneyTerms(draw(st.decimals(0, 1, places=4))), draw(MARKS)),
        AssetRow("SPY", SecurityTerms(draw(RATES), draw(RATES)), draw(MARKS), draw(st.booleans())),
        AssetRow("PERP", perpetual_terms(brackets), draw(MARKS), overridden=draw(st.booleans())),
    ]
    levels = st.decimals("0", "50", places=3)
    scopes = [
        scope(
            f"S{n}",
            is_cash_account=draw(st.booleans()),
            loan=draw(st.one_of(st.just(D(0)), st.decimals(0, "1e15", places=2))),
            call_level=draw(levels),
            liquidation_level=draw(levels),
            minimum_transfer_amount=draw(st.decimals(0, 1000, places=3)),
        )
        for n in range(draw(st.integers(1, 4)))
    ]
    near = st.one_of(WIDE_NUMBERS, st.decimals("-1000", "1000", places=3))
    claims = [
        ClaimRow(row.name, asset, draw(near))
        for row in scopes for asset in ("USD", "BTC") if draw(st.booleans())
    ]  # fmt: skip
    positions = [
        PositionRow(row.name, asset, draw(near), draw(MARKS))
        for row in scopes for asset in ("SPY", "PERP") if draw(st.booleans())
    ]  # fmt: skip
    return {"assets": assets, "scopes": scopes, "claims": claims, "positions": positions}


@given(strange_firms())
def test_columns_say_what_decimals_say_of_strange_numbers_too(drawn: dict[str, Any]) -> None:
    try:
        house_rules_input(**drawn)
    except ValueError:
        return
    assert_same(drawn)


def firm_of(**changes: Any) -> dict[str, Any]:
    base = {
        "assets": ASSETS,
        "scopes": [scope("A"), scope("B", loan=D("25.10"))],
        "claims": [ClaimRow("A", "USD", D("1000.10")), ClaimRow("B", "BTC", D("0.5"))],
        "positions": [
            PositionRow("A", "SPY", D(10), D(1)),
            PositionRow("A", "BTC-PERP", D("-2"), D("9500.00000001")),
            PositionRow("B", "BTC-PERP", D("27.778"), D("9000.5")),
        ],
    }
    return base | changes


def test_an_ordinary_firm_leaves_nothing_to_the_slow_way() -> None:
    assert assert_same(firm_of()) == 0


@pytest.mark.parametrize("size", ["5.555", "5.556", "27.777", "27.778", "-5.556", "5.5555555"])
def test_brackets_begin_exactly_at_their_floors(size: str) -> None:
    held = [PositionRow("A", "BTC-PERP", D(size), D(9000))]
    assert assert_same(firm_of(positions=held)) == 0
    assert by_columns(firm_of(positions=held)).brackets.max() == {True: 1, False: 0}[
        abs(D(size)) * 9000 >= 50_000
    ] + (abs(D(size)) * 9000 >= 250_000)


@pytest.mark.parametrize(
    "row",
    [
        PositionRow("A", "SPY", D(10) ** 16, D(1)),
        PositionRow("A", "SPY", D("1E-12"), D(1)),
        PositionRow("A", "SPY", D(-1), D("0.000000001")),
        PositionRow("A", "BTC-PERP", D(1), D(10) ** 9),
    ],
)
def test_what_does_not_fit_is_left_to_decimals_and_nothing_else_is(row: PositionRow) -> None:
    drawn = firm_of(positions=[row])
    assert by_columns(drawn).is_odd.tolist() == [True, False]
    assert assert_same(drawn) == 1


def test_terms_that_are_not_known_are_left_to_decimals() -> None:
    class Tiered(SecurityTerms):
        """A security with something more to say."""

    strange = SPY._replace(terms=Tiered(D("0.5"), D("0.25")))
    ground = ground_of([USD, strange, PERP], scales=[2, 0, 3])
    assert ground.is_odd.tolist() == [False, True, False]


def test_an_evaluation_that_is_made_from_more_is_not_known(monkeypatch: Any) -> None:
    assert is_known_rule()
    monkeypatch.setitem(column_ground.KNOWN, MoneyTerms, ())
    assert not is_known_rule()


def test_a_scope_with_nothing_stands_at_zero() -> None:
    drawn = firm_of(claims=[], positions=[], scopes=[scope("A"), scope("B"), scope("C")])
    assert assert_same(drawn) == 0
    assert by_columns(drawn).equity.high.tolist() == [0, 0, 0]


# ---------------------------------------------------------------- numbers

NATURAL = st.integers(0, 10**18 - 1)
PAIRS = st.integers(-(10**33), 10**33)


def ints(wide: Wide) -> list[int]:
    return [int(h) * 10**18 + int(low) for h, low in zip(wide.high, wide.low, strict=True)]


@given(st.lists(st.tuples(NATURAL, NATURAL), min_size=1))
@example([(10**18 - 1, 10**18 - 1)])
def test_products_are_exact(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    assert ints(product(one, other)) == [a * b for a, b in pairs]


@given(st.lists(st.lists(PAIRS, max_size=12), min_size=1))
def test_sums_are_exact_also_of_nothing(runs: list[list[int]]) -> None:
    parts = wide_of([each for run in runs for each in run])
    starts = np.concatenate([[0], np.cumsum([len(run) for run in runs])]).astype(np.intp)
    found = sums(parts, starts=starts)
    assert ints(found) == [sum(run) for run in runs]
    assert ((found.low >= 0) & (found.low < 10**18)).all()


@given(PAIRS, st.integers(0, 1000))
def test_multiples_and_order_are_exact(value: int, factor: int) -> None:
    assert ints(scaled(wide_of([value]), np.array([factor]))) == [value * factor]
    one, other = wide_of([value]), wide_of([value - factor])
    assert one.at_least(other).all()
    assert ints(one.minus(other)) == [factor]
    assert bool(other.at_least(one)[0]) == (factor == 0)


@given(st.integers(-(10**36), 10**36))
def test_decimals_of_units_are_the_same_number(units: int) -> None:
    with exact():
        assert decimal_of(units) == D(units).scaleb(-20)
        assert units_of(decimal_of(units), 20) == units
    assert not format(decimal_of(units), "f").endswith(".0")


def test_a_number_with_more_decimals_is_no_whole_number_of_units() -> None:
    assert units_of(D("1.005"), 2) is None
    assert units_of(D("1.500"), 1) == 15
    assert units_of(D("-2E+3"), 0) == -2000
    assert replace(by_columns(firm_of())).is_odd.tolist() == [False, False]
