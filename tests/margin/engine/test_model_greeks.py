"""Greeks margin: figures by hand, exact shares, and Greeks against small moves of the price."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.combination import Correlated, OneSided, PartlyHedged
from margin.engine.greeks import contract_greeks
from margin.engine.market import Kind
from margin.engine.model import NOTHING_BINDS
from margin.engine.models.greeks import MODEL, PARTS, GreeksParameters, PreparedGreeks
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import greeks as slow
from margin.engine.slow.contracts import contract_of
from margin.engine.worlds import world
from tests.margin.engine.small_markets import Row, book_of, market_of, option

# At the money, volatility 0.2, one year: d1 = 0.1, whose density is 0.3969525474770118.
DENSITY = 0.3969525474770118
QUIET = replace(
    MODEL.standard,
    long_gamma_share=0.0,
    volatility_power=0.0,
    underlying_correlation=1.0,
    maintenance_share=0.5,
)
ROWS = [
    Row("A-PERP", Kind.PERPETUAL),
    Row("A-FUTURE", Kind.FUTURE, days=90),
    Row("B-PERP", Kind.PERPETUAL, underlying="B", price=10.0),
    Row("A-INVERSE", Kind.PERPETUAL, multiplier=100.0, is_inverse=True),
    option("A-CALL"),
    option("A-CALL-90", days=90.0),
    option("A-PUT", right=-1),
    option("B-CALL", underlying="B", strike=10.0, price=0.8),
]
MARKET = market_of(ROWS, spots={"A": 100.0, "B": 10.0})


def parts(held: dict[str, float], parameters: GreeksParameters = QUIET) -> dict[str, float]:
    said = PreparedGreeks(MARKET, parameters).requirement(book_of(MARKET, held))
    return dict(zip(PARTS, said.initial_parts[0].tolist(), strict=True))


def only(**shocks: Any) -> GreeksParameters:
    """Parameters in which nothing but the named shocks moves."""
    still: dict[str, Any] = {
        "price_shock": 0.0,
        "volatility_shock": 0.0,
        "holding_days": 0.0,
        "rate_shock": 0.0,
    }
    return replace(QUIET, **(still | shocks))


def test_net_delta_bears_the_price_shock() -> None:
    # 2 long and 3 short of 100, an inverse contract of 100: net 0, then 100 x 0.15.
    assert parts({"A-PERP": 2, "A-FUTURE": -3, "A-INVERSE": 1})["delta"] == 0.0
    assert parts({"A-PERP": 2, "A-FUTURE": -3})["delta"] == 15.0


def test_underlyings_do_not_hedge_each_other() -> None:
    assert parts({"A-PERP": 1, "B-PERP": -10}) == dict.fromkeys(PARTS, 0.0) | {"delta": 30.0}
    apart = replace(QUIET, underlying_correlation=0.0)
    assert parts({"A-PERP": 3, "B-PERP": -40}, apart)["delta"] == pytest.approx(75.0)  # 45 and 60


def test_short_gamma_is_charged_and_long_gamma_is_not() -> None:
    gamma_value = 100 * DENSITY / 0.2
    short = parts({"A-CALL": -2}, only(price_shock=0.1))
    assert short["gamma"] == pytest.approx(0.5 * 0.1**2 * 2 * gamma_value)
    assert parts({"A-CALL": 2}, only(price_shock=0.1))["gamma"] == 0.0


def test_gamma_nets_in_a_bucket_and_by_the_declared_share_across_buckets() -> None:
    assert parts({"A-CALL": -2, "A-PUT": 2})["gamma"] == pytest.approx(0.0, abs=1e-12)
    gross = parts({"A-CALL": -2})["gamma"]
    near = parts({"A-CALL-90": -1})["gamma"]
    assert near > gross / 2
    hedged = {"A-CALL": -2.0, "A-CALL-90": 0.5}
    assert parts(hedged)["gamma"] == gross
    half = replace(QUIET, long_gamma_share=0.5)
    assert parts(hedged, half)["gamma"] == pytest.approx(gross - 0.25 * near)
    # However much is long, nothing falls below 0 or pays for delta.
    assert parts({"A-CALL": -2, "A-CALL-90": 50}, half)["gamma"] == 0.0


def test_vega_bears_a_shock_that_is_greater_for_short_terms() -> None:
    vega = 100 * DENSITY
    flat, scaled = only(volatility_shock=0.1), only(volatility_shock=0.1, volatility_power=0.5)
    assert parts({"A-CALL": 3}, flat)["vega"] == pytest.approx(3 * 0.1 * vega)
    root = (30 / 365) ** 0.5
    assert parts({"A-CALL": 3}, scaled)["vega"] == pytest.approx(3 * 0.1 * vega * root)
    floored = replace(scaled, volatility_days_least=730.0)
    assert parts({"A-CALL": 3}, floored)["vega"] == pytest.approx(
        3 * 0.1 * vega * (30 / 730) ** 0.5
    )


def test_vega_of_two_buckets_adds_up_one_way_and_offsets_in_part_the_other() -> None:
    shock = replace(only(volatility_shock=0.1), bucket_correlation=0.6)
    far, near = parts({"A-CALL": 1}, shock)["vega"], parts({"A-CALL-90": 1}, shock)["vega"]
    together = parts({"A-CALL": 1, "A-CALL-90": 1}, shock)["vega"]
    assert together == pytest.approx(far + near)
    against = parts({"A-CALL": 1, "A-CALL-90": -1}, shock)["vega"]
    assert against == pytest.approx((far**2 + near**2 - 2 * 0.6 * far * near) ** 0.5)
    full = replace(shock, bucket_correlation=1.0)
    assert parts({"A-CALL": 1, "A-CALL-90": -1}, full)["vega"] == pytest.approx(far - near)


def test_time_costs_who_is_long_and_what_it_earns_lowers_nothing_else() -> None:
    decay = 100 * DENSITY * 0.2 / 2 / 365
    assert parts({"A-CALL": 5}, only(holding_days=2))["theta"] == pytest.approx(5 * 2 * decay)
    assert parts({"A-CALL": -5}, only(holding_days=2))["theta"] == 0.0
    both = parts({"A-CALL": -5, "B-CALL": 1}, only(holding_days=2))["theta"]
    assert both == pytest.approx(2 * decay / 10)


def test_rho_bears_the_rate_shock() -> None:
    # Black-76 at a rate of 0: minus a year times the price, 100 x (2 N(0.1) - 1).
    price = 7.965567455405804
    assert parts({"A-CALL": -4}, only(rate_shock=0.01))["rho"] == pytest.approx(4 * 0.01 * price)


def test_greeks_are_combined_by_their_correlation() -> None:
    held = {"A-CALL": -3.0}
    apart = parts(held)
    root = replace(QUIET, greek_correlation=0.0)
    mixed = parts(held, root)
    total = sum(value**2 for value in apart.values()) ** 0.5
    assert sum(mixed.values()) == pytest.approx(total)
    assert mixed["vega"] == pytest.approx(apart["vega"] ** 2 / total)


def test_maintenance_is_its_share_and_the_largest_greek_binds() -> None:
    said = PreparedGreeks(MARKET, QUIET).requirement(book_of(MARKET, {"A-PERP": 2}))
    assert (said.initial[0], said.maintenance[0]) == (30.0, 15.0)
    assert PARTS[said.binding[0]] == "delta"
    nothing = PreparedGreeks(MARKET, only()).requirement(book_of(MARKET, {"A-PERP": 2}))
    assert (nothing.initial[0], nothing.binding[0]) == (0.0, NOTHING_BINDS)


def test_the_last_day_of_a_bucket_belongs_to_it() -> None:
    rows = [option(f"{days}", days=days) for days in (29.0, 30.0, 31.0, 90.0, 365.0, 366.0)]
    assert PreparedGreeks(market_of(rows), QUIET).buckets.tolist() == [0, 0, 1, 1, 2, 3]


def test_an_expiring_option_is_taken_to_have_the_least_days_left() -> None:
    market = market_of([option("NOW", days=0.0), option("DAY", days=1.0)])
    priced = PreparedGreeks(market, replace(QUIET, days_least=1.0))
    now, day = (priced.requirement(book_of(market, {name: -1})) for name in ("NOW", "DAY"))
    assert now.initial[0] == day.initial[0] > 0


def test_greeks_without_bound_are_refused_by_name() -> None:
    market = market_of([option("NOW", days=0.0), option("DAY", days=1.0)])
    priced = PreparedGreeks(market, replace(QUIET, days_least=0.0))
    assert priced.requirement(book_of(market, {"DAY": -1})).initial[0] > 0
    with pytest.raises(RejectedInputError, match="NOW"):
        priced.requirement(book_of(market, {"NOW": -1}))


def test_an_instrument_that_is_not_there_is_refused() -> None:
    strange = books_of(scopes=[0], instruments=[99], quantities=[1.0], cash=[0.0])
    with pytest.raises(RejectedInputError, match="not there"):
        PreparedGreeks(MARKET, QUIET).requirement(strange)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("buckets_days", (90.0, 30.0)),
        ("bucket_correlation", -0.1),
        ("underlying_correlation", 1.1),
        ("greek_correlation", float("nan")),
        ("long_gamma_share", 1.5),
    ],
)
def test_parameters_that_would_be_no_norm_are_refused(name: str, value: Any) -> None:
    with pytest.raises(RejectedInputError, match=name):
        replace(MODEL.standard, **{str(name): value})


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_shares_are_the_slopes_of_the_requirement(
    seed: int, by_greek: float, by_underlying: float, by_bucket: float
) -> None:
    market, books = world(seed, scopes=4)
    chosen = replace(
        MODEL.standard,
        greek_correlation=by_greek,
        underlying_correlation=by_underlying,
        bucket_correlation=by_bucket,
    )
    priced = PreparedGreeks(market, chosen)
    said = priced.requirement(books)
    for scope in range(1, len(books)):
        shares = priced.contributions(books, scope=scope)
        np.testing.assert_allclose(
            shares.sum(axis=0), said.initial_parts[scope], rtol=1e-9, atol=1e-6
        )
        instruments, quantities = books.of(scope)
        nudge = 1e-5
        nudged = books_of(
            scopes=np.repeat(np.arange(2 * len(instruments)), len(instruments)),
            instruments=np.tile(instruments, 2 * len(instruments)),
            quantities=np.concatenate(
                [quantities * (1 + side * np.eye(len(instruments))) for side in (-nudge, nudge)]
            ).ravel(),
            cash=np.zeros(2 * len(instruments)),
        )
        down, up = priced.requirement(nudged).initial.reshape(2, -1)
        near = np.abs((up - down) / (2 * nudge) - shares.sum(axis=1))
        # A book may come out empty, where everything drawn for it was rounded away.
        assert near.max(initial=0.0) <= 1e-3 * max(1.0, said.initial[scope])


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.floats(0, 1),
    st.sampled_from([(), (9.0,), (2.0, 30.0, 270.0, 400.0)]),
)
@settings(max_examples=25, deadline=None)
def test_other_parameters_agree_with_the_slow_implementation(
    seed: int, shares: tuple[float, ...], power: float, buckets: tuple[float, ...]
) -> None:
    market, books = world(seed)
    chosen = replace(
        MODEL.standard,
        long_gamma_share=shares[0],
        bucket_correlation=shares[1],
        underlying_correlation=shares[2],
        greek_correlation=shares[3],
        volatility_power=power,
        buckets_days=buckets,
        days_least=20.0,
        holding_days=10.0,
    )
    said = PreparedGreeks(market, chosen).requirement(books)
    plain = np.array(slow.requirements(market, chosen, books))
    np.testing.assert_allclose(said.initial, plain[:, 0], rtol=1e-7, atol=1e-4)
    assert (said.initial >= said.maintenance).all()
    for scope in range(len(books)):
        tree = PreparedGreeks(market, chosen).explain(books, scope=scope).initial
        assert tree.amount == said.initial[scope]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
    st.floats(0, 1),
)
def test_every_rule_is_sub_additive_and_is_its_values_times_its_slopes(
    left: list[float], right: list[float], correlation: float
) -> None:
    one, two = np.array([left]), np.array([right])
    for rule in (PartlyHedged(correlation), OneSided(correlation)):
        apart = rule.charge(one)[0] + rule.charge(two)[0]
        assert rule.charge(one + two)[0] <= apart + 1e-9 * (1 + apart)
        assert (rule.slopes(one) * one).sum() == pytest.approx(rule.charge(one)[0], abs=1e-6)
    losses, more = np.abs(one), np.abs(two)
    mixed = Correlated(correlation)
    apart = mixed.charge(losses)[0] + mixed.charge(more)[0]
    assert mixed.charge(losses + more)[0] <= apart + 1e-9 * (1 + apart)
    assert mixed.charge(losses + more)[0] >= mixed.charge(losses)[0] * (1 - 1e-12)
    assert (mixed.slopes(losses) * losses).sum() == pytest.approx(mixed.charge(losses)[0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_greeks_are_what_small_moves_gain(seed: int) -> None:
    market, _ = world(seed)
    greeks = contract_greeks(market)
    for place in np.flatnonzero(market.instruments.is_option):
        contract = contract_of(market, int(place))
        scale = contract.multiplier * contract.forward
        step = 0.01 * max(contract.volatility * contract.years**0.5, 1e-3)
        up, now, down = (contract.value(move=1 + side * step) for side in (1, 0, -1))
        slope, bend = (up - down) / (2 * step), (up - 2 * now + down) / step**2
        assert greeks.delta[place] == pytest.approx(slope, rel=1e-3, abs=1e-5 * scale)
        assert greeks.gamma[place] == pytest.approx(bend, rel=1e-3, abs=1e-3 * scale)
        wider, tighter = contract.value(volatility=1.001), contract.value(volatility=0.999)
        vega = (wider - tighter) / (0.002 * contract.volatility)
        assert greeks.vega[place] == pytest.approx(vega, rel=1e-3, abs=1e-5 * scale)
        span = 0.001 * contract.years
        later, sooner = contract.value(years=span), contract.value(years=-span)
        theta = (later - sooner) / (2 * span)
        assert greeks.theta[place] == pytest.approx(theta, rel=1e-3, abs=1e-4 * scale)
        dear, cheap = (replace(contract, rate=contract.rate + side) for side in (1e-4, -1e-4))
        rho = (dear.value() - cheap.value()) / 2e-4
        assert greeks.rho[place] == pytest.approx(rho, rel=1e-3, abs=1e-6 * scale)


def test_a_hundred_thousand_positions_are_what_each_scope_requires_by_itself() -> None:
    market, books = world(3, scopes=20_000, underlyings=10, positions_most=10)
    assert len(books.instruments) > 100_000
    priced = PreparedGreeks(market, MODEL.standard)
    together = priced.requirement(books)
    for scope in range(0, len(books), 997):
        alone = priced.requirement(books.select([scope]))
        assert alone.initial[0] == together.initial[scope]


def test_an_explanation_names_bucket_position_and_figures() -> None:
    priced = PreparedGreeks(MARKET, QUIET)
    book = book_of(MARKET, {"A-CALL": 1, "A-CALL-90": 2, "A-PERP": -1})
    tree = priced.explain(book, scope=0).initial
    delta, _, vega, _, _ = tree.children
    assert [child.label for child in delta.children] == ["A"]
    assert {leaf.label for leaf in delta.children[0].children} == {
        "A-CALL",
        "A-CALL-90",
        "A-PERP",
    }
    (underlying,) = vega.children
    assert [child.label for child in underlying.children] == ["up to 90 days", "up to 365 days"]
    (leaf,) = underlying.children[0].children
    assert leaf.label == "A-CALL-90"
    assert {"parameter": "volatility_shock"} in leaf.inputs
    assert {"price": "A-CALL-90"} in leaf.inputs
