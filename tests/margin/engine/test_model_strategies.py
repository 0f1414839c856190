"""Strategy margin: shares and strategies by hand, the kernel beside it, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.market import Kind
from margin.engine.model import NOTHING_BINDS, Part
from margin.engine.models.strategies import MODEL, PreparedStrategies
from margin.engine.models.strategies_terms import StrategiesParameters, UnderlyingTerms
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import strategies as slow
from margin.engine.slow.integer_programme import Rule, least_whole
from margin.engine.strategies import Account, Book, Breadth, ShareLots, Underlying
from margin.engine.strategies import strategy_requirement as by_kernel
from margin.engine.strategy_grouping import OptionLegs
from margin.engine.worlds import world_for
from tests.margin.engine.small_markets import Row, book_of, market_of, option

STANDARD = MODEL.standard
SHARE = Row("SHARE", Kind.SECURITY)


def listed(name: str, strike: float, premium: float, right: int = 1, **more: Any) -> Row:
    """An option of 100 shares with 30 days to go."""
    said: dict[str, Any] = {"days": 30.0, "multiplier": 100.0, "right": right} | more
    return option(name, strike=strike, price=premium, **said)


ROWS = [
    SHARE,
    listed("C95", 95.0, 7.0),
    listed("C100", 100.0, 4.0),
    listed("C105", 105.0, 2.0),
    listed("C110", 110.0, 1.0),
    listed("P90", 90.0, 1.0, -1),
    listed("P95", 95.0, 3.0, -1),
    listed("C100-FAR", 100.0, 6.0, days=90.0),
    listed("C100-LONG", 100.0, 20.0, days=300.0),
    listed("C105-SMALL", 105.0, 2.0, multiplier=10.0),
    listed("B-C105", 105.0, 2.0, underlying="B"),
]
MARKET = market_of(ROWS)


def required(
    held: dict[str, float], parameters: StrategiesParameters = STANDARD, **market: Any
) -> tuple[float, float]:
    of = market.get("of", MARKET)
    said = PreparedStrategies(of, parameters).requirement(book_of(of, held))
    return float(said.initial[0]), float(said.maintenance[0])


def groups(held: dict[str, float], parameters: StrategiesParameters = STANDARD) -> list[Part]:
    tree = PreparedStrategies(MARKET, parameters).explain(book_of(MARKET, held), scope=0).initial
    return [group for node in tree.children[1].children for group in node.children]


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        (100.0, 100, (5_000.0, 2_500.0)),
        (2.0, 100, (100.0, 50.0)),
        (100.0, -100, (5_000.0, 3_000.0)),
        (12.0, -100, (600.0, 500.0)),  # 5.00 a share is more than 30 %
        (8.0, -100, (500.0, 500.0)),  # and here more than the initial rate
        (5.0, -100, (500.0, 500.0)),
        (4.0, -100, (400.0, 400.0)),  # below 5.00 all of the price
        (2.0, -100, (250.0, 250.0)),  # 2.50 a share at least
    ],
)
def test_shares_by_their_rates(
    price: float, quantity: float, expected: tuple[float, float]
) -> None:
    market = market_of([SHARE._replace(price=price)], spots={"A": price})
    assert required({"SHARE": quantity}, of=market) == pytest.approx(expected)


def test_a_share_at_the_low_price_is_not_low_priced() -> None:
    ten = replace(STANDARD, low_price=100.0)
    assert required({"SHARE": -10}, ten) == (500.0, 300.0)
    above = replace(STANDARD, low_price=100.01)
    assert required({"SHARE": -10}, above) == (1_000.0, 1_000.0)


def test_rates_of_a_fund_with_leverage_are_multiplied_up_to_its_price() -> None:
    fund = replace(STANDARD, underlyings=(UnderlyingTerms("A", Breadth.BROAD, -3.0),))
    assert required({"SHARE": 100}, fund) == (7_500.0, 7_500.0)
    assert required({"SHARE": -100}, fund) == pytest.approx((9_000.0, 9_000.0))
    fourfold = replace(STANDARD, underlyings=(UnderlyingTerms("A", Breadth.SINGLE, 4.0),))
    assert required({"SHARE": -100}, fourfold) == (10_000.0, 10_000.0)


@pytest.mark.parametrize(
    ("held", "names", "expected"),
    [
        ({"C105": -1}, ["short call"], 1_700.0),  # 2 + 20 - 5
        ({"C105": -1, "P95": -1}, ["short strangle"], 2_000.0),  # 3 + 20 - 5, and 2
        ({"C100": 2}, ["long call"], 800.0),
        ({"C100-LONG": 1}, ["long call"], 1_500.0),  # 75 % of 20
        ({"C100": 1, "C105": -1}, ["vertical spread"], 200.0),
        ({"C100": -1, "C105": 1}, ["vertical spread"], 300.0),
        ({"C100": -1, "C100-FAR": 1}, ["calendar"], 200.0),
        ({"C95": 1, "C100": -2, "C105": 1}, ["long butterfly"], 100.0),
        (
            {"C95": 1, "C100": -1, "C105": -1, "C110": 1},
            ["long condor"],
            200.0,
        ),
        (
            {"P90": 1, "P95": -1, "C105": -1, "C110": 1},
            ["iron condor"],
            200.0,  # 5 wide less 3 received
        ),
    ],
)
def test_strategies_by_the_rules_at_first_and_later_on(
    held: dict[str, float], names: list[str], expected: float
) -> None:
    assert required(held) == pytest.approx((expected, expected))
    found = groups(held)
    assert [group.label.split(":")[0] for group in found] == names
    assert sum(group.amount for group in found) == pytest.approx(expected)


def test_whole_lots_of_shares_cover_short_calls() -> None:
    assert required({"SHARE": 100, "C105": -1}) == (5_000.0, 2_500.0)
    assert required({"SHARE": 199, "C105": -2}) == (9_950.0 + 1_700, 4_975.0 + 1_700)
    assert required({"SHARE": -100, "P95": -1}) == (5_000.0, 3_000.0)
    assert required({"SHARE": -100, "C105": -1}) == (5_000.0 + 1_700, 3_000.0 + 1_700)


def test_shares_cover_contracts_of_the_declared_size_alone() -> None:
    assert required({"SHARE": 100, "C105-SMALL": -1})[0] == 5_000 + 170
    small = replace(STANDARD, cover_units=10.0)
    assert required({"SHARE": 100, "C105-SMALL": -10}, small)[0] == 5_000
    assert required({"SHARE": 100, "C105": -1}, small)[0] == 5_000 + 1_700


def test_sizes_and_underlyings_do_not_offset() -> None:
    assert required({"C105": -1, "C105-SMALL": 10})[0] == 1_700 + 200
    assert required({"C100": 1, "B-C105": -1})[0] == 400 + 1_700


def test_a_broad_index_requires_less_and_premiums_may_be_left_to_equity() -> None:
    broad = replace(STANDARD, underlyings=(UnderlyingTerms("A", Breadth.BROAD, 1.0),))
    assert required({"C105": -1}, broad)[0] == pytest.approx(1_200.0)
    in_equity = replace(STANDARD, premium_required=False)
    assert required({"C105": -1}, in_equity)[0] == pytest.approx(1_500.0)
    assert required({"C105": -1, "P95": -1}, in_equity)[0] == pytest.approx(1_500.0)
    assert required({"C100": -1, "C105": 1}, in_equity)[0] == pytest.approx(300.0)


def test_each_group_is_written_with_its_rule() -> None:
    (naked,) = groups({"C105": -3})
    assert naked.label == "short call: -3 call 105 in 30 days"
    assert naked.how == (
        "3 × (premium 2 + the greater of 0.2 × 100 − 5 out of the money and 0.1 × 100) × 100 units"  # noqa: RUF001
    )
    (spread,) = groups({"C100": -1, "C105": 1})
    assert spread.how == "(worst loss 5 − premium 2) × 100 units"  # noqa: RUF001
    assert spread.inputs == ({"price": "C100"}, {"price": "C105"})
    (pair,) = groups({"C105": -1, "P95": -1})
    assert pair.how == (
        "1 × (put: premium 3 + the greater of 0.2 × 100 − 5 out of the money and 0.1 × 95"  # noqa: RUF001
        " + the other premium 2) × 100 units"  # noqa: RUF001
    )
    (covered,) = groups({"SHARE": 250, "C105": -1})
    assert covered.label == "covered call: -1 call 105 in 30 days, 100 shares"
    assert (covered.amount, covered.how) == (0.0, "(covered by shares: 0) × 100 units")  # noqa: RUF001


@pytest.mark.parametrize("kind", [Kind.PERPETUAL, Kind.FUTURE, Kind.SPOT])
def test_other_kinds_are_refused_by_name(kind: Kind) -> None:
    market = market_of([SHARE, Row("OTHER", kind)])
    with pytest.raises(RejectedInputError, match="OTHER: is neither a share nor an option"):
        required({"OTHER": 1}, of=market)
    assert kind not in MODEL.kinds


def test_parts_of_contracts_are_refused_by_name_and_parts_of_shares_are_not() -> None:
    with pytest.raises(RejectedInputError, match="C105: options are held in whole contracts"):
        required({"C105": -1.5})
    assert required({"SHARE": 0.5}) == (25.0, 12.5)


def test_what_cannot_be_grouped_is_refused_with_its_underlying() -> None:
    with pytest.raises(RejectedInputError, match="A: contracts"):
        required({"C105": -2_000_000})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"long_rate": 1.1}, "long_rate"),
        ({"short_least": -1.0}, "short_least"),
        ({"underlyings": (UnderlyingTerms("A", Breadth.BROAD, 1.0),) * 2}, "underlyings"),
    ],
)
def test_parameters_that_cannot_be_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RejectedInputError, match=named):
        replace(STANDARD, **changes)
    with pytest.raises(RejectedInputError, match="leverage"):
        UnderlyingTerms("A", Breadth.SINGLE, 0.0)


def test_the_underlying_that_requires_most_binds() -> None:
    priced = PreparedStrategies(MARKET, STANDARD)
    held = {"C105": -1.0, "B-C105": -2.0, "C100": 1.0}
    said = priced.requirement(book_of(MARKET, held))
    assert MARKET.underlyings[said.binding[0]] == "B"
    assert priced.requirement(book_of(MARKET, {})).binding[0] == NOTHING_BINDS


def test_equal_books_are_grouped_once() -> None:
    priced = PreparedStrategies(MARKET, STANDARD)
    many = books_of(
        scopes=np.repeat(np.arange(50), 2),
        instruments=[2, 3] * 50,
        quantities=[-1.0, 1.0] * 50,
        cash=np.zeros(50),
    )
    assert priced.requirement(many).initial.tolist() == [300.0] * 50
    assert priced.groups.cache_info().misses == 1


@given(st.lists(st.integers(-6, 6), min_size=8, max_size=8), st.integers(-3, 3))
@settings(max_examples=40, deadline=None)
def test_options_require_what_the_kernel_of_strategies_says(counts: list[int], lots: int) -> None:
    rows = ROWS[1:9]
    held = {row.name: float(count) for row, count in zip(rows, counts, strict=True) if count}
    if lots:
        held["SHARE"] = 100.0 * lots
    open_rows = [(row, count) for row, count in zip(rows, counts, strict=True) if count]
    book = Book(
        Underlying(100.0),
        OptionLegs(
            is_call=np.array([row.right > 0 for row, _ in open_rows], dtype=np.bool_),
            strike=np.array([row.strike for row, _ in open_rows]),
            premium=np.array([row.price for row, _ in open_rows]),
            contracts=np.array([count for _, count in open_rows], dtype=np.int64),
            expires_in_days=np.array([row.days for row, _ in open_rows], dtype=np.int64),
        ),
        ShareLots(np.zeros(1)[: abs(lots)], np.array([100.0 * lots])[: abs(lots)]),
    )
    kernel = by_kernel(book, account=Account.MARGIN)
    assert kernel is not None
    market = MARKET
    said = PreparedStrategies(market, STANDARD).requirement(book_of(market, held))
    assert said.initial_parts[0, 1] == pytest.approx(kernel.amount, abs=1e-6)
    assert said.maintenance_parts[0, 1] == said.initial_parts[0, 1]


@given(st.integers(0, 2**32 - 1), st.sampled_from(Breadth), st.sampled_from([-2.0, 0.5, 3.0]))
@settings(max_examples=15, deadline=None)
def test_other_parameters_agree_with_the_slow_implementation(
    seed: int, breadth: Breadth, leverage: float
) -> None:
    market, books = world_for(MODEL, seed, scopes=5)
    chosen = replace(
        STANDARD,
        underlyings=(UnderlyingTerms("U1", breadth, leverage),),
        cover_units=1.0,
        premium_required=False,
    )
    said = PreparedStrategies(market, chosen).requirement(books)
    plain = np.array(slow.requirements(market, chosen, books))
    np.testing.assert_allclose(said.initial, plain[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, plain[:, 1], rtol=1e-7, atol=1e-4)


def test_the_slow_programme_finds_whole_numbers_where_halves_would_cost_less() -> None:
    both = Rule({0: 2.0, 1: 2.0}, 3.0)
    assert sum(least_whole([-1.0, -1.0], [both], whole=2)) == pytest.approx(1.0)
    assert sum(least_whole([-1.0, -1.0], [both], whole=0)) == pytest.approx(1.5)
    exactly = Rule({0: 1.0, 1: 1.0}, 4.0, is_exact=True)
    at_least_one = Rule({0: -1.0}, -1.0)
    assert least_whole([3.0, 1.0], [exactly, at_least_one], whole=2) == pytest.approx([1.0, 3.0])
    with pytest.raises(ArithmeticError, match="no whole numbers"):
        least_whole([1.0], [Rule({0: 2.0}, 1.0, is_exact=True)], whole=1)
