"""Liquidation prices: each convention by hand, and equity equal to maintenance at the answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.liquidation import CONVENTIONS, isolated_position, liquidation_price
from margin.engine.rejected import RejectedInputError

# One coin at 100 with 20 set aside: leverage 5, 2 % maintenance.
TERMS: dict[str, Any] = {
    "side": 1,
    "size": 1.0,
    "entry": 100.0,
    "wallet": 20.0,
    "leverage": 5.0,
    "maintenance_rate": 0.02,
    "maintenance_amount": 0.5,
    "taker_fee": 0.001,
}


def price(convention: str, **changed: Any) -> float:
    position = isolated_position(**TERMS | changed)
    return float(liquidation_price(position, convention=convention))


@pytest.mark.parametrize(
    ("convention", "side", "expected"),
    [
        ("binance", 1, (100 - 20 - 0.5) / 0.98),
        ("binance", -1, (100 + 20 + 0.5) / 1.02),
        ("okx", 1, 80 / 0.979),
        ("okx", -1, 120 / 1.021),
        ("gate", 1, 80 / 0.979),
        ("gate", -1, 120 / 1.021),
        ("bybit", 1, 82.0),
        ("bybit", -1, 118.0),
    ],
)
def test_worked_examples(convention: str, side: int, expected: float) -> None:
    assert price(convention, side=side) == pytest.approx(expected, rel=1e-12)


positions = st.fixed_dictionaries(
    {
        "side": st.sampled_from([1, -1]),
        "size": st.floats(1e-4, 1e6),
        "entry": st.floats(1e-3, 1e6),
        "wallet": st.floats(0, 1e9),
        "leverage": st.floats(1, 125),
        "maintenance_rate": st.one_of(st.just(0.0), st.floats(1e-3, 1)),
        "maintenance_amount": st.one_of(st.just(0.0), st.floats(0, 1e6)),
        "taker_fee": st.floats(0, 0.01),
    }
)


@given(positions, st.sampled_from(sorted(CONVENTIONS)))
def test_at_every_reported_price_equity_is_maintenance(
    terms: dict[str, float], convention: str
) -> None:
    at = float(liquidation_price(isolated_position(**terms), convention=convention))
    if np.isnan(at):
        return
    assert at > 0
    size, side, entry = terms["size"], terms["side"], terms["entry"]
    own = size * entry / terms["leverage"] if convention == "bybit" else terms["wallet"]
    equity = own + side * size * (at - entry)
    maintenance = {
        "binance": size * at * terms["maintenance_rate"] - terms["maintenance_amount"],
        "bybit": size * entry * terms["maintenance_rate"],
    }.get(convention, size * at * (terms["maintenance_rate"] + terms["taker_fee"]))
    rounding = 1e-14 * (own + size * entry + size * at)
    allowed = 1e-9 * max(abs(equity), abs(maintenance)) + rounding
    assert abs(equity - maintenance) <= allowed


@given(positions)
def test_many_at_once_are_the_same_as_one_at_a_time(terms: dict[str, float]) -> None:
    sides = np.array([1.0, -1.0])
    both = liquidation_price(isolated_position(**terms | {"side": sides}), convention="okx")
    for side, at in zip(sides, both, strict=True):
        one = liquidation_price(isolated_position(**terms | {"side": side}), convention="okx")
        np.testing.assert_array_equal(one, at)


@pytest.mark.parametrize(
    ("convention", "changed"),
    [
        ("binance", {"wallet": 100.0}),  # paid in full: no price above 0 ends it
        ("okx", {"wallet": 100.0}),
        ("bybit", {"leverage": 1.0, "maintenance_rate": 0.0}),
        ("binance", {"maintenance_rate": 1.0}),  # a rise costs as much as it earns
        ("okx", {"maintenance_rate": 1.0}),
        ("okx", {"wallet": -1e3, "side": -1}),
    ],
)
def test_where_no_price_ends_it_none_is_reported(convention: str, changed: dict[str, Any]) -> None:
    assert np.isfinite(price(convention))  # the twin that has one
    assert np.isnan(price(convention, **changed))


def test_a_position_that_nothing_is_required_of_ends_with_its_wallet() -> None:
    nothing = {"maintenance_rate": 0.0, "maintenance_amount": 0.0, "taker_fee": 0.0}
    for convention in ("binance", "okx", "bybit"):
        found = price(convention, **nothing, leverage=3.0, wallet=100 / 3)
        assert found == pytest.approx(200 / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("side", 0),
        ("size", 0.0),
        ("size", -1.0),
        ("entry", 0.0),
        ("wallet", np.nan),
        ("leverage", 0.0),
        ("maintenance_rate", 1.01),
        ("maintenance_rate", -0.01),
        ("maintenance_amount", -1.0),
        ("taker_fee", 2.0),
    ],
)
def test_what_is_no_position_is_refused(name: str, value: float) -> None:
    isolated_position(**TERMS)
    with pytest.raises(RejectedInputError, match=name):
        isolated_position(**TERMS | {name: value})


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(RejectedInputError, match="kraken"):
        price("kraken")
