"""Average cost and realised profit: the worked day of the inbox format, every edge, the laws."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.positions import Kind, Position, TradeEffect, apply_trade, half_even, unrealised

D = Decimal
FLAT = Position(D(0), D(0))


def trade(position: Position, quantity: str, price: str, kind: Kind = "perpetual") -> TradeEffect:
    return apply_trade(position, signed_quantity=D(quantity), price=D(price), kind=kind)


def after(effect: TradeEffect) -> Position:
    return Position(effect.quantity_after, effect.average_after)


def test_a_worked_day_of_a_perpetual() -> None:
    first = trade(Position(D("1.0000"), D(9000)), "-0.3333", "8123.45")
    assert (first.closed_quantity, first.realised) == (D("0.3333"), D("-292.15"))
    assert after(first) == Position(D("0.6667"), D(9000))

    second = trade(after(first), "0.5000", "8000.01")
    assert (second.closed_quantity, second.realised) == (D(0), None)
    assert after(second) == Position(D("1.1667"), D("8571.44510157"))

    third = trade(after(second), "-1.1667", "7600.00")
    assert third.realised == D("-1133.39"), "an unrounded average would give a tie: -1133.38"
    assert after(third) == FLAT


def test_the_first_trade_opens_at_its_price() -> None:
    assert trade(FLAT, "-2", "100.5") == TradeEffect(D(-2), D("100.5"), D(0), None)


def test_a_reduction_leaves_the_average() -> None:
    effect = trade(Position(D(-3), D("10.12345678")), "1", "12")
    assert after(effect) == Position(D(-2), D("10.12345678"))
    assert effect.closed_quantity == D(-1), "the closed part has the sign of the position"
    assert effect.realised == D("-1.88")


def test_beyond_zero_the_rest_is_a_new_position_at_the_trade_price() -> None:
    effect = trade(Position(D(2), D(100)), "-5", "90")
    assert effect == TradeEffect(D(-3), D(90), D(2), D(-20))


def test_closing_to_flat_leaves_no_average() -> None:
    effect = trade(Position(D(-2), D(100)), "2", "90")
    assert effect == TradeEffect(D(0), D(0), D(-2), D(20))
    assert str(effect.quantity_after) == "0"


@pytest.mark.parametrize(
    ("quantity", "price", "realised"),
    [("-1", "0.005", "0.00"), ("-1", "0.015", "0.02"), ("-1", "0.0050001", "0.01")],
)
def test_realised_ties_go_to_the_even_cent(quantity: str, price: str, realised: str) -> None:
    assert trade(Position(D(1), D(0)), quantity, price).realised == D(realised)
    mirrored = trade(Position(D(-1), D(0)), "1", price)
    assert mirrored.realised == -D(realised)
    assert str(trade(Position(D(-1), D(0)), "1", "0.005").realised) == "0.00", "no minus zero"


def test_realised_has_the_decimals_of_the_settlement_asset() -> None:
    effect = apply_trade(
        Position(D(1), D(1)),
        signed_quantity=D(-1),
        price=D("1.0000005"),
        kind="perpetual",
        realised_scale=6,
    )
    assert effect.realised == D("0.000000")


def test_the_average_is_rounded_once_half_even() -> None:
    # (1 x 0.00000001 + 1 x 0.00000002) / 2 lies halfway between 1 and 2 units: 2 is even.
    assert trade(Position(D(1), D("0.00000001")), "1", "0.00000002").average_after == D("2E-8")
    assert trade(Position(D(1), D("0.00000002")), "1", "0.00000003").average_after == D("2E-8")
    assert trade(FLAT, "1", "0.000000005").average_after == 0


def test_a_price_with_more_decimals_is_kept_with_eight_after_crossing_zero() -> None:
    effect = trade(Position(D(1), D(1)), "-2", "1.000000015")
    assert effect.average_after == D("1.00000002")


def test_a_security_realises_no_cash_of_its_own() -> None:
    bought = trade(Position(D(100), D(275)), "50", "281.58", kind="security")
    assert after(bought) == Position(D(150), D("277.19333333"))
    sold = trade(after(bought), "-150", "300", kind="security")
    assert (after(sold), sold.closed_quantity, sold.realised) == (FLAT, D(150), None)


def test_digits_beyond_the_usual_precision_are_kept() -> None:
    quantity = "123456789012345678901234567890.123456789012345678"
    effect = trade(Position(D(quantity), D(1)), "-0.000000000000000001", "2")
    assert effect.quantity_after == D("123456789012345678901234567890.123456789012345677")
    assert unrealised(Position(D(quantity), D(1)), mark=D("2.1")) == D(
        "135802467913580246791358024679.1358024679135802458"
    )


@pytest.mark.parametrize(("quantity", "price"), [("0", "1"), ("1", "0"), ("1", "-1")])
def test_no_quantity_or_no_price_is_no_trade(quantity: str, price: str) -> None:
    assert trade(FLAT, "1", "1").quantity_after == 1
    with pytest.raises(ValueError, match="no trade"):
        trade(FLAT, quantity, price)


@pytest.mark.parametrize(
    ("value", "decimals", "rounded"),
    [
        ("0.125", 2, "0.12"),
        ("0.135", 2, "0.14"),
        ("-0.125", 2, "-0.12"),
        ("-0.135", 2, "-0.14"),
        ("-0.001", 2, "0.00"),
        ("2.5", 0, "2"),
        ("1", 2, "1.00"),
    ],
)
def test_half_even(value: str, decimals: int, rounded: str) -> None:
    assert str(half_even(D(value), decimals)) == rounded


Fills = list[tuple[Decimal, Decimal]]

quantities = st.decimals("-1000", "1000", places=4).filter(bool)
prices = st.decimals("0.01", "20000", places=2)
trades = st.lists(st.tuples(quantities, prices), min_size=1, max_size=12)


def run(fills: Fills) -> tuple[Position, Fraction, int]:
    position, realised, closings = FLAT, Fraction(0), 0
    for quantity, price in fills:
        effect = apply_trade(position, signed_quantity=quantity, price=price, kind="perpetual")
        if effect.realised is not None:
            realised += Fraction(effect.realised)
            closings += 1
        position = after(effect)
    return position, realised, closings


@given(st.lists(st.tuples(quantities.map(abs), prices), min_size=1, max_size=12), st.booleans())
def test_the_average_lies_between_the_prices_paid(fills: Fills, short: bool) -> None:
    signed = [(-quantity if short else quantity, price) for quantity, price in fills]
    position, realised, _ = run(signed)
    assert realised == 0
    assert min(price for _, price in fills) <= position.average_cost
    assert position.average_cost <= max(price for _, price in fills)


@given(trades, prices)
def test_realised_and_unrealised_are_what_the_trades_brought(fills: Fills, mark: Decimal) -> None:
    position, realised, closings = run(fills)
    brought = sum(Fraction(quantity) * Fraction(mark - price) for quantity, price in fills)
    held = sum(abs(quantity) for quantity, _ in fills)
    tolerance = closings * Fraction(1, 200) + len(fills) * Fraction(held) / (2 * 10**8)
    difference = realised + Fraction(unrealised(position, mark=mark)) - brought
    assert abs(difference) <= tolerance


@given(trades)
def test_a_mirrored_book_realises_the_opposite(fills: Fills) -> None:
    position, realised, _ = run(fills)
    mirrored, opposite, _ = run([(-quantity, price) for quantity, price in fills])
    assert mirrored == Position(-position.quantity, position.average_cost)
    assert opposite == -realised


@given(trades)
def test_the_closed_part_never_exceeds_either_side(fills: Fills) -> None:
    position = FLAT
    for quantity, price in fills:
        effect = apply_trade(position, signed_quantity=quantity, price=price, kind="perpetual")
        closed = effect.closed_quantity
        assert abs(closed) <= min(abs(quantity), abs(position.quantity))
        assert closed == 0 or (closed > 0) == (position.quantity > 0)
        assert effect.quantity_after == position.quantity + quantity
        position = after(effect)


def test_what_closes_may_close_at_nothing() -> None:
    held = Position(D(2), D(50))
    assert trade(held, "-2", "0").realised == D(-100)
    assert trade(held, "-1", "0").quantity_after == 1
    with pytest.raises(ValueError, match="no trade"):
        trade(held, "-3", "0")
    with pytest.raises(ValueError, match="no trade"):
        trade(held, "1", "0")
