"""The recomputation of average costs follows the same rules as the trades themselves."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ledger.positions import Position, apply_trade
from ledger.verify.costs import Cost, after_trade

quantities = st.decimals(min_value=-(10**9), max_value=10**9, places=8).filter(bool)
prices = st.decimals(min_value=Decimal("1e-8"), max_value=10**9, places=8)


@given(
    trades=st.lists(st.tuples(quantities, prices), min_size=1, max_size=6),
    scale=st.integers(0, 8),
)
def test_costs_are_recomputed_as_they_were_made(
    trades: list[tuple[Decimal, Decimal]], scale: int
) -> None:
    held = Cost(Decimal(0), Decimal(0))
    position = Position(Decimal(0), Decimal(0))
    for change, price in trades:
        held, profit = after_trade(held, change, price, scale)
        effect = apply_trade(
            position, signed_quantity=change, price=price, kind="perpetual", realised_scale=scale
        )
        position = Position(effect.quantity_after, effect.average_after)
        assert held == (position.quantity, position.average_cost)
        assert profit == effect.realised


def test_a_cost_in_the_middle_of_two_goes_to_the_even_digit() -> None:
    held, _ = after_trade(Cost(Decimal(1), Decimal("0.00000001")), Decimal(1), Decimal("2e-8"), 2)
    assert held == (Decimal(2), Decimal("0.00000002"))
