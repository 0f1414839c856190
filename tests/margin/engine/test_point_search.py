"""Liquidation points by search: what is reported was put back, and the nearest is found."""

from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal

from hypothesis import given
from hypothesis import strategies as st

from margin.engine.liquidation_points import AGREES_WITHIN, Balance, liquidation_points
from margin.engine.point_search import searched_points

D = Decimal
PRICE = D(1000)


def linear(
    *, cash: Decimal, quantity: Decimal, rate: Decimal, cents: bool
) -> Callable[[Decimal], Balance]:
    """A position with a loss at its price of now, and a share of its value required."""

    def at(price: Decimal) -> Balance:
        required = abs(quantity) * price * rate
        if cents:
            required = required.quantize(D("0.01"), ROUND_CEILING)
        return Balance(cash + quantity * (price - PRICE), required)

    return at


amounts = st.decimals(D(-50), D(50), places=3).filter(bool)
rates = st.decimals(D("0.01"), D("0.9"), places=3)
money = st.decimals(D(0), D(100_000), places=2)


@given(cash=money, quantity=amounts, rate=rates)
def test_linear_rules_give_what_the_closed_form_gives(
    cash: Decimal, quantity: Decimal, rate: Decimal
) -> None:
    at = linear(cash=cash, quantity=quantity, rate=rate, cents=False)
    exact = liquidation_points(at, price=PRICE, bends=[])
    found = searched_points(at, price=PRICE, now=at(PRICE))
    assert found.is_reached == exact.is_reached
    for near, far in ((found.below, exact.below), (found.above, exact.above)):
        if far is None or not PRICE / 100 <= far <= PRICE * 100:
            assert near is None
        else:
            assert near is not None
            assert abs(near - far) <= D("1e-6") * far


@given(cash=money, quantity=amounts, rate=rates)
def test_what_is_reported_agrees_and_a_jump_is_one(
    cash: Decimal, quantity: Decimal, rate: Decimal
) -> None:
    at = linear(cash=cash, quantity=quantity, rate=rate, cents=True)
    found = searched_points(at, price=PRICE, now=at(PRICE))
    for price in filter(None, (found.below, found.above)):
        equity, threshold = at(price)
        assert abs(equity - threshold) <= AGREES_WITHIN * max(abs(equity), threshold)
    for price in filter(None, (found.jumps_below, found.jumps_above)):
        equity, threshold = at(price)
        assert threshold - D("0.02") <= equity < threshold
    exact = liquidation_points(
        linear(cash=cash, quantity=quantity, rate=rate, cents=False), price=PRICE, bends=[]
    )
    if exact.below is not None and exact.below > PRICE / 50:
        assert (found.below is None) != (found.jumps_below is None)
    if exact.above is not None and exact.above < PRICE * 50:
        assert (found.above is None) != (found.jumps_above is None)


def test_the_nearest_of_several_is_reported() -> None:
    def at(price: Decimal) -> Balance:
        return Balance(abs(price - 800) - 20, D("0.01"))

    found = searched_points(at, price=PRICE, now=at(PRICE))
    assert found.below is not None
    assert found.below == D("820.01")


def test_a_step_over_equity_is_said_as_one() -> None:
    def at(price: Decimal) -> Balance:
        return Balance(D(500), D(400) if price > 777 else D(600))

    found = searched_points(at, price=PRICE, now=at(PRICE))
    assert found.below is None
    assert found.jumps_below is not None
    assert D("776.9999999") < found.jumps_below <= 777
    assert (found.above, found.jumps_above) == (None, None)


def test_a_scope_that_is_reached_has_no_points() -> None:
    found = searched_points(lambda _: Balance(D(1), D(2)), price=PRICE, now=Balance(D(1), D(2)))
    assert found.is_reached
    assert (found.below, found.above, found.jumps_below, found.jumps_above) == (None,) * 4
