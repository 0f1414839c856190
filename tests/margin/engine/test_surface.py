"""Volatility surfaces: what lies between quotes, and what is said where there are none."""

from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.option_marks import marked_by_surfaces
from margin.engine.pricing import black_76
from margin.engine.quotes import PriceQuotes, Support, VolatilityQuotes, volatilities_in
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import Surface, SurfacePolicy, surface_of
from margin.engine.worlds import world

POLICY = SurfacePolicy(
    width_most=0.2, age_most=60.0, markup=0.25, wing_slope_most=0.5, unquoted=1.5
)
NONE = float("nan")
Row = tuple[float, float, float, float, float]  # strike, years, bid, ask, age


def quoted(*rows: Row, forward: float = 100.0) -> VolatilityQuotes:
    columns = np.array(rows, dtype=float).reshape(-1, 5).T
    return VolatilityQuotes(
        columns[0], columns[1], np.full(len(rows), forward), columns[2], columns[3], columns[4]
    )


def surface(*rows: Row, policy: SurfacePolicy = POLICY) -> Surface:
    return surface_of(quoted(*rows), policy=policy)


TWO_EXPIRIES = (
    (90.0, 0.25, 0.45, 0.45, 0.0),
    (110.0, 0.25, 0.39, 0.41, 5.0),
    (90.0, 1.0, 0.40, 0.40, 0.0),
    (110.0, 1.0, 0.36, 0.36, 0.0),
)


def test_a_good_quote_is_marked_at_its_middle() -> None:
    marks = surface(*TWO_EXPIRIES).volatilities([110.0, 90.0], years=[0.25, 1.0], forwards=100.0)
    assert marks.middle.tolist() == pytest.approx([0.40, 0.40], rel=1e-14)
    assert marks.support.tolist() == [Support.QUOTED, Support.QUOTED]
    assert (marks.long == marks.middle).all()
    assert (marks.short == marks.middle).all()


def test_between_two_strikes_total_variance_is_straight_in_log_moneyness() -> None:
    """At the forward, of variances 0.45^2 / 4 and 0.40^2 / 4 at ln 0.9 and ln 1.1."""
    marks = surface(*TWO_EXPIRIES).volatilities(100.0, years=0.25, forwards=100.0)
    share = -log(0.9) / (log(1.1) - log(0.9))
    variance = (0.45**2 + share * (0.40**2 - 0.45**2)) / 4
    assert marks.middle.tolist() == pytest.approx([sqrt(variance / 0.25)], rel=1e-12)
    assert marks.support.tolist() == [Support.BETWEEN]
    assert not marks.is_flagged.any()


def test_between_two_expiries_total_variance_is_straight_in_time() -> None:
    """Half way from 0.25 to 1 at ln 1.1: of 0.40^2 / 4 = 0.04 and 0.36^2 = 0.1296, 0.0848."""
    marks = surface(*TWO_EXPIRIES).volatilities(110.0, years=0.625, forwards=100.0)
    assert marks.middle.tolist() == pytest.approx([sqrt(0.0848 / 0.625)], rel=1e-12)
    assert marks.support.tolist() == [Support.BETWEEN]


def test_beyond_the_strikes_it_goes_on_no_steeper_than_the_cap_and_is_marked_against_holders() -> (
    None
):
    """Left: 0.025 + ... rises by (0.050625 - 0.04) / ln(110/90) = 0.0529 per unit; right: falls,
    so it is kept level at 0.04."""
    marks = surface(*TWO_EXPIRIES).volatilities([60.0, 200.0], years=0.25, forwards=100.0)
    slope = (0.45**2 - 0.40**2) / 4 / log(110 / 90)
    left = sqrt((0.45**2 / 4 + slope * log(90 / 60)) / 0.25)
    assert marks.middle.tolist() == pytest.approx([left, 0.40], rel=1e-12)
    assert marks.support.tolist() == [Support.WING, Support.WING]
    assert marks.is_flagged.all()
    assert marks.long.tolist() == pytest.approx([0.75 * left, 0.30], rel=1e-12)
    assert marks.short.tolist() == pytest.approx([1.25 * left, 0.50], rel=1e-12)
    capped = surface(*TWO_EXPIRIES, policy=replace(POLICY, wing_slope_most=0.01))
    held = capped.volatilities(60.0, years=0.25, forwards=100.0).middle
    assert held.tolist() == pytest.approx([sqrt((0.050625 + 0.01 * log(1.5)) * 4)], rel=1e-12)


def test_before_the_first_expiry_and_after_the_last_the_volatility_goes_on_and_is_flagged() -> None:
    marks = surface(*TWO_EXPIRIES).volatilities(110.0, years=[0.01, 4.0], forwards=100.0)
    assert marks.middle.tolist() == pytest.approx([0.40, 0.36], rel=1e-12)
    assert marks.support.tolist() == [Support.EXPIRY, Support.EXPIRY]
    assert marks.short.tolist() == pytest.approx([0.50, 0.45], rel=1e-12)


@pytest.mark.parametrize(
    ("bid", "ask", "age", "support", "long", "short"),
    [
        (0.20, 0.90, 0.0, Support.WIDE, 0.20, 0.90),  # its own sides are further out
        (0.36, 0.46, 0.0, Support.WIDE, 0.3184, 0.5306),  # the declared markup is further out
        (NONE, 0.60, 0.0, Support.ONE_SIDED, 0.3184, 0.60),
        (0.10, NONE, 0.0, Support.ONE_SIDED, 0.10, 0.5306),
        (NONE, NONE, 0.0, Support.ONE_SIDED, 0.3184, 0.5306),
        (0.70, 0.25, 0.0, Support.CROSSED, 0.25, 0.70),
        (0.10, 0.90, 61.0, Support.STALE, 0.3184, 0.5306),  # what was said long ago says nothing
    ],
)
def test_a_quote_that_is_not_good_is_marked_against_the_holder_and_says_why(
    bid: float, ask: float, age: float, support: Support, long: float, short: float
) -> None:
    """Around it 42.45 % is good: a quarter less and more is 31.8 % and 53.1 %."""
    made = surface(*TWO_EXPIRIES, (100.0, 0.25, bid, ask, age))
    marks = made.volatilities(100.0, years=0.25, forwards=100.0)
    assert marks.support.tolist() == [support]
    assert marks.middle.tolist() == pytest.approx([0.42448], abs=1e-5)
    assert marks.long.tolist() == pytest.approx([long], abs=1e-4)
    assert marks.short.tolist() == pytest.approx([short], abs=1e-4)


def test_where_nothing_is_quoted_well_the_declared_volatility_stands_and_is_flagged() -> None:
    for made in (surface(), surface((100.0, 0.5, 0.1, 0.9, 0.0))):
        marks = made.volatilities([50.0, 300.0], years=[0.1, 2.0], forwards=100.0)
        assert marks.middle.tolist() == pytest.approx([1.5, 1.5])
        assert marks.support.tolist() == [Support.NOTHING, Support.NOTHING]
        assert marks.short.tolist() == pytest.approx([1.875, 1.875])
        assert marks.long.tolist() == pytest.approx([1.125, 1.125])


def test_the_side_of_the_holding_decides_the_mark() -> None:
    made = surface(*TWO_EXPIRIES)
    marks = made.volatilities([200.0] * 3, years=0.25, forwards=100.0)
    assert marks.of_side([2.0, -1.0, 0.0]).tolist() == pytest.approx([0.30, 0.50, 0.40])
    prices, support = made.prices(
        [200.0] * 3, rights=1, years=0.25, forwards=100.0, discounts=0.99, quantities=[2.0, -1.0, 0]
    )
    expected = [
        float(black_76(100.0, right=1, strike=200.0, t=0.25, volatility=each).price) * 0.99
        for each in (0.30, 0.50, 0.40)
    ]
    assert prices.tolist() == pytest.approx(expected, rel=1e-12)
    assert 0 < prices[0] < prices[2] < prices[1]
    assert (support == Support.WING).all()


def test_the_forward_may_have_moved_and_the_smile_moves_with_it() -> None:
    made = surface(*TWO_EXPIRIES)
    here = made.volatilities(99.0, years=0.25, forwards=100.0).middle
    there = made.volatilities(99.0 * 1.2, years=0.25, forwards=120.0).middle
    assert there.tolist() == pytest.approx(here.tolist(), rel=1e-12)


quotes_of_all_kinds = st.lists(
    st.tuples(
        st.integers(5, 40).map(lambda place: 5.0 * place),
        st.sampled_from([0.02, 0.1, 0.5, 1.5]),
        st.one_of(st.just(NONE), st.floats(0.01, 3)),
        st.one_of(st.just(NONE), st.floats(0.01, 3)),
        st.floats(0, 120),
    ),
    max_size=12,
    unique_by=lambda row: (row[0], row[1]),
)


@settings(max_examples=200, deadline=None)
@given(
    quotes_of_all_kinds,
    st.lists(st.tuples(st.floats(1, 1_000), st.floats(0.001, 5)), min_size=1, max_size=8),
)
def test_no_option_is_marked_at_nothing_or_on_the_wrong_side(
    rows: list[Row], asked: list[tuple[float, float]]
) -> None:
    asked = asked + [(row[0], row[1]) for row in rows]
    strikes, years = (np.array(column) for column in zip(*asked, strict=True))
    made = surface(*rows)
    marks = made.volatilities(strikes, years=years, forwards=100.0)
    assert np.isfinite(marks.short).all()
    assert (marks.long > 0).all()
    assert (marks.long <= marks.middle).all()
    assert (marks.middle <= marks.short).all()
    assert ((marks.long < marks.middle) == marks.is_flagged).all()
    assert ((marks.short > marks.middle) == marks.is_flagged).all()
    good = made.support == Support.QUOTED
    own = marks.support[len(asked) - len(rows) :]
    assert (own == made.support).all()
    assert good.sum() == sum(len(smile.moneyness) for smile in made.smiles)


@settings(max_examples=50, deadline=None)
@given(quotes_of_all_kinds, st.floats(20, 400), st.floats(0.01, 3), st.sampled_from([1, 0, -1]))
def test_a_call_less_its_put_on_one_side_is_the_forward_less_the_strike(
    rows: list[Row], strike: float, years: float, side: int
) -> None:
    (call, put), _support = surface(*rows).prices(
        strike, rights=[1, -1], years=years, forwards=100.0, discounts=0.95, quantities=side
    )
    assert call - put == pytest.approx(0.95 * (100.0 - strike), abs=1e-12 * (100.0 + strike))


@settings(max_examples=50, deadline=None)
@given(quotes_of_all_kinds, st.randoms(use_true_random=False))
def test_the_order_of_quotes_changes_nothing(rows: list[Row], draw: object) -> None:
    turned = list(rows)
    draw.shuffle(turned)  # type: ignore[attr-defined]
    strikes = np.array([20.0, 75.0, 100.0, 130.0])
    one, other = (
        surface(*each).volatilities(strikes, years=0.3, forwards=100.0) for each in (rows, turned)
    )
    assert [np.asarray(column).tolist() for column in one] == [
        np.asarray(column).tolist() for column in other
    ]


def test_a_greater_markup_never_requires_less_of_a_short_nor_gives_more_to_a_long() -> None:
    rows = (*TWO_EXPIRIES, (100.0, 0.25, NONE, 0.5, 0.0))
    strikes = [40.0, 100.0, 110.0, 300.0]
    less, more = (
        surface(*rows, policy=replace(POLICY, markup=markup)).volatilities(
            strikes, years=0.25, forwards=100.0
        )
        for markup in (0.1, 0.4)
    )
    assert (more.short >= less.short).all()
    assert (more.long <= less.long).all()


# ---------------------------------------------------------------- prices


def priced(*rows: tuple[float, float, float, float]) -> PriceQuotes:
    """Right, strike, bid and ask at half a year, forward 100, discount 0.98."""
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    same = np.ones(len(rows))
    return PriceQuotes(
        columns[0],
        columns[1],
        0.5 * same,
        100 * same,
        0.98 * same,
        columns[2],
        columns[3],
        0 * same,
    )


def money(right: int, strike: float, volatility: float) -> float:
    terms = {"strike": strike, "t": 0.5, "volatility": volatility}
    return 0.98 * float(black_76(100.0, right=right, **terms).price)


def test_prices_give_back_the_volatilities_they_were_made_of() -> None:
    quotes = volatilities_in(
        priced(
            (1, 120.0, money(1, 120.0, 0.3), money(1, 120.0, 0.34)),
            (-1, 80.0, money(-1, 80.0, 0.4), money(-1, 80.0, 0.44)),
        )
    )
    found = {strike: row for row, strike in enumerate(quotes.strikes.tolist())}
    assert quotes.bids[[found[120.0], found[80.0]]].tolist() == pytest.approx([0.3, 0.4])
    assert quotes.asks[[found[120.0], found[80.0]]].tolist() == pytest.approx([0.34, 0.44])


def test_the_option_out_of_the_money_stands_for_its_strike_if_it_has_both_sides() -> None:
    inside = (1, 80.0, money(1, 80.0, 0.5), money(1, 80.0, 0.55))
    outside = (-1, 80.0, money(-1, 80.0, 0.4), money(-1, 80.0, 0.44))
    for rows in ((inside, outside), (outside, inside)):
        assert volatilities_in(priced(*rows)).bids.tolist() == pytest.approx([0.4])
    half = (-1, 80.0, NONE, outside[3])
    for rows in ((inside, half), (half, inside)):
        assert volatilities_in(priced(*rows)).bids.tolist() == pytest.approx([0.5])


def test_a_price_that_no_volatility_gives_is_a_missing_side() -> None:
    """A bid of nothing, and a call dearer than its forward."""
    quotes = volatilities_in(priced((1, 150.0, 0.0, 0.5), (1, 110.0, 3.0, 99.0)))
    assert np.isnan(quotes.bids).tolist() == [True, False]
    assert np.isnan(quotes.asks).tolist() == [False, True]
    support = quotes.support(width_most=0.5, age_most=1.0)
    assert support.tolist() == [Support.ONE_SIDED, Support.ONE_SIDED]


# ---------------------------------------------------------------- a whole market


def test_a_market_is_marked_by_its_surfaces_with_each_side_on_its_own() -> None:
    market, _books = world(4)
    rows = market.instruments
    options = np.flatnonzero(rows.is_option)
    flat = {
        name: surface_of(
            VolatilityQuotes(*(np.array([each]) for each in (spot, 0.5, spot, 0.5, 0.5, 0.0))),
            policy=POLICY,
        )
        for name, spot in zip(market.underlyings, market.spots.tolist(), strict=True)
    }
    marked = marked_by_surfaces(market, surfaces=flat)
    assert marked.market.volatilities[options].tolist() == pytest.approx([0.5] * len(options))
    others = ~rows.is_option
    assert (marked.long[others] == market.prices[others]).all()
    assert (marked.support[others] == Support.QUOTED).all()
    assert (marked.support[options] >= Support.WIDE).all()
    assert (marked.long[options] <= marked.market.prices[options]).all()
    assert (marked.short[options] >= marked.market.prices[options]).all()
    assert (marked.short[options] > marked.long[options]).any()
    with pytest.raises(RejectedInputError, match="U1 has options and no surface"):
        marked_by_surfaces(market, surfaces={name: flat[name] for name in ("U0", "U2")})


# ---------------------------------------------------------------- refused


def test_quotes_that_contradict_themselves_are_refused() -> None:
    good = (100.0, 0.5, 0.3, 0.31, 0.0)
    with pytest.raises(RejectedInputError, match="twice"):
        quoted(good, good)
    with pytest.raises(RejectedInputError, match="two forwards"):
        replace(quoted(good, (90.0, *good[1:])), forwards=np.array([100.0, 101.0]))
    for strike, years, bid in ((0.0, 0.5, 0.3), (100.0, 0.0, 0.3), (100.0, 0.5, 0.0)):
        with pytest.raises(RejectedInputError):
            quoted((strike, years, bid, 0.3, 0.0))
    with pytest.raises(RejectedInputError, match="differ in length"):
        replace(quoted(good), ages=np.zeros(2))
    with pytest.raises(RejectedInputError, match="twice"):
        volatilities_in(priced((1, 100.0, 1.0, 2.0), (1, 100.0, 1.0, 2.0)))


def test_a_policy_out_of_its_bounds_is_refused() -> None:
    for name, value in (("markup", 1.0), ("unquoted", 0.0), ("wing_slope_most", 2.5)):
        with pytest.raises(RejectedInputError, match=name):
            replace(POLICY, **{name: value})
    with pytest.raises(RejectedInputError, match="strikes"):
        surface().volatilities(-1.0, years=1.0, forwards=100.0)


def test_discounts_are_not_mistaken_for_volatility() -> None:
    """The same prices at expiry imply the same, however money is discounted."""
    one = priced((1, 120.0, money(1, 120.0, 0.3), money(1, 120.0, 0.34)))
    half = exp(-0.7)
    other = replace(one, discounts=one.discounts * half, bids=one.bids * half, asks=one.asks * half)
    assert volatilities_in(other).bids.tolist() == pytest.approx(volatilities_in(one).bids.tolist())
