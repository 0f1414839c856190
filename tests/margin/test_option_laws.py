"""Laws of options: what they bring over their life is premium and settlement, and sums to zero."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.positions import Position, half_even
from margin.book.options import OptionPrice, intrinsic
from margin.engine.exact import exact
from margin.engine.option_equity import OptionEquity, counted
from margin.models import Contract
from margin.option_listing import contract_price
from margin.trades import Trade, option_trade

D = Decimal
PLENTY = D("1e30")
FLAT = Position(D(0), D(0))
AMOUNTS = st.decimals(D("0.0001"), D(100_000), places=4)
QUANTITIES = st.integers(-1_000, 1_000).filter(bool).map(D)
TRADES = st.lists(st.tuples(QUANTITIES, AMOUNTS), min_size=1, max_size=12)


def option(strike: Decimal, multiplier: Decimal, *, is_call: bool) -> Contract:
    return Contract(
        form="option", strike=strike, multiplier=multiplier, is_call=is_call, is_inverse=False,
        expires_at=datetime(2031, 9, 1, tzinfo=UTC), style="european", settlement="cash",
    )  # fmt: skip


def lived(
    contract: Contract, trades: list[tuple[Decimal, Decimal]], *, price: Decimal, side: int
) -> tuple[Decimal, Decimal]:
    """What a side is paid in all, and the same without any rounding."""
    position, paid, exactly = FLAT, D(0), D(0)
    for quantity, premium in trades:
        trade = Trade(side * quantity, contract_price(contract, premium))
        outcome = option_trade(trade, position=position, spare_claim=PLENTY)
        effect = outcome.effect
        position = Position(effect.quantity_after, effect.average_after)
        paid += outcome.claim_change
        exactly -= trade.quantity * trade.price
    worth = contract_price(contract, intrinsic(contract, price))
    return (
        paid + half_even(position.quantity * worth, 2),
        exactly + position.quantity * worth,
    )


@settings(deadline=None)
@given(trades=TRADES, strike=AMOUNTS, multiplier=AMOUNTS, price=AMOUNTS, is_call=st.booleans())
def test_what_both_sides_get_over_its_life_sums_to_zero(
    trades: list[tuple[Decimal, Decimal]],
    strike: Decimal,
    multiplier: Decimal,
    price: Decimal,
    is_call: bool,
) -> None:
    contract = option(strike, multiplier, is_call=is_call)
    with exact():
        bought, exactly = lived(contract, trades, price=price, side=1)
        sold, _ = lived(contract, trades, price=price, side=-1)
        assert bought + sold == 0
        # Premium and settlement, each rounded once to the cent.
        assert abs(bought - exactly) <= D("0.005") * (len(trades) + 1)


@settings(deadline=None)
@given(strike=AMOUNTS, price=AMOUNTS)
def test_a_call_less_a_put_pays_the_difference(strike: Decimal, price: Decimal) -> None:
    one = D(1)
    call, put = (option(strike, one, is_call=right) for right in (True, False))
    assert intrinsic(call, price) - intrinsic(put, price) == price - strike
    assert min(intrinsic(call, price), intrinsic(put, price)) == 0


@settings(deadline=None)
@given(values=st.lists(st.decimals(-1000, 1000, places=2), max_size=8))
def test_no_value_counts_that_the_requirement_takes(values: list[Decimal]) -> None:
    net = sum(values, D(0))

    def equity(counts: OptionEquity) -> Decimal:
        chosen = zip(values, counted(values, counts=counts), strict=True)
        return sum((value for value, does in chosen if does), D(0))

    assert equity(OptionEquity.ALL) == net
    assert equity(OptionEquity.NONE) == 0
    assert equity(OptionEquity.DEBT) == min(net, D(0))
    assert equity(OptionEquity.LONG) == sum((value for value in values if value > 0), D(0))


def test_who_owes_an_option_never_owes_less_than_it_is_worth_to_its_holder() -> None:
    price = OptionPrice(D("9.5"), D("10.5"), D(10), D(100), "modelled_option", None, ())
    assert price.value(D(2)) == D(1900)
    assert price.value(D(-2)) == D(-2100)
    assert (price.is_own, price.doubt is None) == (False, False)
