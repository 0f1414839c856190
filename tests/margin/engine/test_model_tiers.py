"""Tiered margin: figures by hand, the exact brackets beside it, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.brackets import bracket_requirement, rate_schedule
from margin.engine.exact import column
from margin.engine.market import Kind, Market
from margin.engine.model import NOTHING_BINDS
from margin.engine.models.tiers import MODEL, PARTS, PreparedTiers, TiersParameters
from margin.engine.models.tiers_terms import Bracket, InstrumentKind, Schedule, Side
from margin.engine.naked_option import naked_option_maintenance
from margin.engine.open_interest import InterestTier, interest_rise
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import tiers as slow
from margin.engine.worlds import world
from tests.margin.engine.small_markets import Row, book_of, market_of, option

STANDARD = MODEL.standard
PERPETUAL = Row("PERP", Kind.PERPETUAL)
CALL = option("CALL", strike=105.0, price=2.0, multiplier=100.0)


def required(
    row: Row, quantity: float, parameters: TiersParameters = STANDARD
) -> tuple[float, float]:
    market = market_of([row])
    said = PreparedTiers(market, parameters).requirement(book_of(market, {row.name: quantity}))
    return float(said.initial[0]), float(said.maintenance[0])


def schedule(**changes: Any) -> Schedule:
    plain = Schedule(
        brackets=(Bracket(0.0, 0.5, 0.25),),
        prefix="",
        kind=InstrumentKind.ANY,
        side=Side.BOTH,
        leverage=1000.0,
        expiry_days=0.0,
        expiry_multiplier=1.0,
        interest_lower=0.0,
        interest_upper=0.0,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (50, (250.0, 50.0)),  # 5,000 / 20 is more than 5,000 x 0.02
        (600, (3_200.0, 1_600.0)),  # 60,000 x 0.10 - 2,800; 60,000 x 0.05 - 1,400
        (-50, (250.0, 75.0)),
        (-600, (3_900.0, 1_950.0)),  # 60,000 x 0.12 - 3,300; 60,000 x 0.06 - 1,650
    ],
)
def test_a_perpetual_by_its_brackets_and_leverage(
    quantity: float, expected: tuple[float, float]
) -> None:
    assert required(PERPETUAL, quantity) == pytest.approx(expected)
    inverse = PERPETUAL._replace(multiplier=100.0, is_inverse=True, price=40.0)
    assert required(inverse, quantity) == pytest.approx(expected)


@pytest.mark.parametrize("floor", [10_000.0, 50_000.0, 250_000.0])
def test_there_is_no_jump_at_a_floor(floor: float) -> None:
    below, at, above = (required(PERPETUAL, (floor + more) / 100.0) for more in (-1e-6, 0.0, 1e-6))
    assert below == pytest.approx(at, abs=1e-6)
    assert above == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("days", "expected"),
    [(7.0, (1_000.0, 450.0)), (8.0, (10_000 / 15, 300.0)), (0.0, (1_000.0, 450.0))],
)
def test_a_future_requires_more_near_expiry(days: float, expected: tuple[float, float]) -> None:
    assert required(Row("FUT", Kind.FUTURE, days=days), 100) == pytest.approx(expected)


def test_perpetuals_and_options_are_not_near_expiry() -> None:
    near = schedule(expiry_days=1e6, expiry_multiplier=3.0)
    parameters = TiersParameters((near,), STANDARD.options)
    assert required(PERPETUAL, 10, parameters) == (500.0, 250.0)
    assert required(CALL, 1, parameters) == (200.0, 200.0)


@pytest.mark.parametrize(
    ("open_interest", "initial"),
    [(0.0, 3_200.0), (20e6, 3_200.0), (50e6, 31_600.0), (80e6, 60_000.0), (1e9, 60_000.0)],
)
def test_open_interest_raises_initial_rates_alone(open_interest: float, initial: float) -> None:
    crowded = PERPETUAL._replace(open_interest=open_interest)
    assert required(crowded, 600) == pytest.approx((initial, 1_600.0))


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 3 * 10**12),
)
def test_the_rise_in_floats_is_the_exact_one(ppm: int, low: int, width: int, opened: int) -> None:
    tier = InterestTier(
        initial_ppm=ppm, maintenance_fraction_ppm=0, lower_cap=low, upper_cap=low + width
    )
    base = ppm / 1e6
    rise = float(interest_rise(float(opened), lower_cap=low, upper_cap=low + width))
    assert base + (1 - base) * rise == pytest.approx(float(tier.initial_rate(opened)), rel=1e-9)


def test_securities_and_coins_by_rate() -> None:
    share = Row("SHARE", Kind.SECURITY)
    assert required(share, 100) == (5_000.0, 2_500.0)
    assert required(share, -100) == (5_000.0, 3_000.0)
    assert required(Row("COIN", Kind.SPOT), 100) == (2_000.0, 1_000.0)


def test_options_by_their_premium_and_the_rule_of_naked_ones() -> None:
    # Sold: 2 + the greater of 20 - 5 and 10, at first and later on.
    assert required(CALL, -3) == pytest.approx((5_100.0, 5_100.0))
    assert required(CALL, 3) == (600.0, 600.0)
    put = CALL._replace(right=-1, strike=70.0, price=0.5)
    assert required(put, -1) == pytest.approx((750.0, 750.0))  # 0.5 + 0.1 x 70
    in_equity = replace(STANDARD, options=replace(STANDARD.options, premium_required=False))
    assert required(CALL, -3, in_equity) == pytest.approx((4_500.0, 4_500.0))


def test_an_option_requires_no_less_at_first_than_later_on() -> None:
    buffer = replace(STANDARD, options=replace(STANDARD.options, initial_rate=0.3))
    assert required(CALL, -1, buffer) == pytest.approx((2_700.0, 1_700.0))
    lower = replace(STANDARD, options=replace(STANDARD.options, initial_rate=0.1))
    assert required(CALL, -1, lower) == pytest.approx((1_700.0, 1_700.0))


def test_short_options_are_what_the_kernel_of_naked_options_says() -> None:
    kernel = naked_option_maintenance(
        7, right=1, strike=105, premium=2, underlying=100, rate=0.2, multiplier=100
    )
    assert required(CALL, -7)[0] == float(kernel)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(0, 10_000), min_size=6, max_size=6),
    st.integers(0, 10**8),
)
def test_brackets_in_floats_are_the_exact_ones(
    floors: Sequence[int], rates: Sequence[int], cents: int
) -> None:
    starts = [0, *sorted(floors)]
    listed = [rate / 10_000 for rate in sorted(rates)][: len(starts)]
    brackets = tuple(
        Bracket(float(floor), rate, rate / 2) for floor, rate in zip(starts, listed, strict=True)
    )
    exact = rate_schedule(
        floors=[Decimal(floor) for floor in starts],
        rates=[Decimal(sorted(rates)[k]) / 10_000 for k in range(len(starts))],
    )
    notional = Decimal(cents + 1) / 100
    (expected,) = bracket_requirement(column([notional]), exact).amount
    parameters = TiersParameters((schedule(brackets=brackets, leverage=1e12),), STANDARD.options)
    market = market_of([PERPETUAL._replace(price=1.0)])
    said = PreparedTiers(market, parameters).requirement(book_of(market, {"PERP": float(notional)}))
    assert said.initial_parts[0, 0] == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


def test_the_first_schedule_that_is_for_a_position_decides() -> None:
    special = schedule(prefix="PE", brackets=(Bracket(0.0, 0.9, 0.8),), side=Side.SHORT)
    parameters = TiersParameters((special, schedule()), STANDARD.options)
    assert required(PERPETUAL, -10, parameters) == (900.0, 800.0)
    assert required(PERPETUAL, 10, parameters) == (500.0, 250.0)
    assert required(PERPETUAL._replace(name="XPE"), -10, parameters) == (500.0, 250.0)


@pytest.mark.parametrize(
    "only",
    [{"kind": InstrumentKind.FUTURE}, {"prefix": "BTC"}, {"side": Side.SHORT}],
)
def test_a_position_without_a_schedule_is_refused_by_name(only: dict[str, Any]) -> None:
    parameters = TiersParameters((schedule(**only),), STANDARD.options)
    with pytest.raises(RejectedInputError, match="PERP: no schedule is for a long position"):
        required(PERPETUAL, 1, parameters)
    market = market_of([PERPETUAL, CALL])
    priced = PreparedTiers(market, parameters)
    assert priced.requirement(book_of(market, {"CALL": 1})).initial[0] == 200.0
    empty = priced.requirement(book_of(market, {}))
    assert (empty.initial[0], empty.binding[0]) == (0.0, NOTHING_BINDS)


@pytest.mark.parametrize(
    "later",
    [{}, {"prefix": "BTC"}, {"kind": InstrumentKind.SPOT}, {"side": Side.LONG, "prefix": "A"}],
)
def test_a_schedule_that_is_never_reached_is_refused(later: dict[str, Any]) -> None:
    with pytest.raises(RejectedInputError, match=r"schedules\.1"):
        TiersParameters((schedule(), schedule(**later)), STANDARD.options)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"brackets": ()}, "brackets"),
        ({"brackets": (Bracket(1.0, 0.5, 0.5),)}, "brackets"),
        ({"brackets": (Bracket(0.0, 0.5, 0.5), Bracket(0.0, 0.6, 0.6))}, "brackets"),
        ({"brackets": (Bracket(0.0, 0.5, 0.5), Bracket(9.0, 0.4, 0.4))}, "brackets"),
        ({"brackets": (Bracket(0.0, 0.4, 0.5),)}, "brackets"),
        ({"leverage": 0.5}, "leverage"),
        ({"expiry_multiplier": 0.9}, "expiry_multiplier"),
        ({"interest_lower": 2.0, "interest_upper": 1.0}, "interest_lower"),
    ],
)
def test_schedules_that_cannot_be_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RejectedInputError, match=named):
        schedule(**changes)


def books_market() -> Market:
    return market_of([PERPETUAL._replace(open_interest=50e6), CALL, Row("COIN", Kind.SPOT)])


def test_parts_are_rules_and_the_dearest_position_binds() -> None:
    market = books_market()
    held = {"PERP": 600.0, "CALL": -3.0, "COIN": 100.0}
    said = PreparedTiers(market, STANDARD).requirement(book_of(market, held))
    parts = dict(zip(PARTS, said.initial_parts[0].tolist(), strict=True))
    assert parts["bracket"] == pytest.approx(3_200 + 2_000)
    assert parts["open_interest"] == pytest.approx(28_400)
    assert (parts["expiry"], parts["leverage"]) == (0.0, 0.0)
    assert parts["options"] == pytest.approx(5_100)
    assert market.instruments.names[said.binding[0]] == "PERP"


def test_an_explanation_writes_each_rule_with_its_figures() -> None:
    market = books_market()
    book = book_of(market, {"PERP": 600.0, "CALL": -3.0})
    tree = PreparedTiers(market, STANDARD).explain(book, scope=0).initial
    brackets, crowded, options = tree.children
    assert (brackets.label, crowded.label, options.label) == (
        "Brackets",
        "Crowded by open interest",
        "Options",
    )
    (leaf,) = brackets.children
    assert leaf.how == "notional 60,000 × 0.1 − 2,800, bracket 3"  # noqa: RUF001
    assert {"parameter": "schedules.0.brackets.2.initial_rate"} in leaf.inputs
    assert options.children[0].how == (
        "3 × 100 × (premium 2 + the greater of 0.2 × 100 − 5 out of the money and 0.1 × 100)"  # noqa: RUF001
    )


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["", "U0", "U1-PERP"]),
    st.sampled_from(InstrumentKind),
    st.sampled_from(Side),
    st.floats(1, 200),
    st.floats(1, 5),
    st.floats(0, 4e7),
)
@settings(max_examples=25, deadline=None)
def test_other_schedules_agree_with_the_slow_implementation(
    seed: int,
    prefix: str,
    kind: InstrumentKind,
    side: Side,
    leverage: float,
    multiplier: float,
    interest: float,
) -> None:
    market, books = world(seed)
    special = schedule(
        brackets=(Bracket(0.0, 0.05, 0.01), Bracket(3e3, 0.3, 0.2), Bracket(2e4, 1.0, 0.9)),
        prefix=prefix,
        kind=kind,
        side=side,
        leverage=leverage,
        expiry_days=60.0,
        expiry_multiplier=multiplier,
        interest_lower=interest / 2,
        interest_upper=interest,
    )
    everything = (special,) if special.takes_all_of(schedule()) else (special, schedule())
    chosen = TiersParameters(everything, replace(STANDARD.options, premium_required=False))
    said = PreparedTiers(market, chosen).requirement(books)
    plain = np.array(slow.requirements(market, chosen, books))
    np.testing.assert_allclose(said.initial, plain[:, 0], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(said.maintenance, plain[:, 1], rtol=1e-9, atol=1e-6)
    assert (said.initial >= said.maintenance).all()


def test_an_instrument_that_is_not_there_is_refused() -> None:
    priced = PreparedTiers(market_of([PERPETUAL]), STANDARD)
    with pytest.raises(RejectedInputError, match="not there"):
        priced.terms(np.array([1]), quantities=np.array([1.0]))
