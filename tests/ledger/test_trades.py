"""Positions: average cost, realised profit, the cash of a trade, and what a reversal gives back."""

from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.models import Balance, Posting
from ledger.positions import Position, apply_trade, half_even
from tests.ledger.book import Book

in_one_database = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
decimals = st.decimals(
    min_value=Decimal(-(10**12)), max_value=Decimal(10**12), allow_nan=False, places=9
)
# Numbers that end in a 5 one place below the last one kept: ties.
ties = st.builds(
    lambda n, places: Decimal(10 * n + 5).scaleb(-places - 1), st.integers(), st.just(2)
)
prices = st.decimals(min_value="0.01", max_value="99999.99", places=2)
quantities = st.decimals(min_value="-999.9999", max_value="999.9999", places=4).filter(bool)


def scalar(query: str, *values: object) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {query}", values)
        return cursor.fetchone()[0]


def buy(book: Book, who: str, quantity: str, price: str, *money: tuple[str, str]) -> int:
    """A perpetual bought, or sold where the quantity is negative; `money` are its other legs."""
    contracts = Decimal(quantity)
    return book.post("derivative_trade", *book.contracts(who, contracts, price), *money)


def stand(book: Book, who: str) -> tuple[Decimal, Decimal | None]:
    """Position and average cost as people say them."""
    balance = Balance.objects.get(account_id=book[who])
    return -balance.amount, balance.average_cost


def last(book: Book, who: str) -> Posting:
    return Posting.objects.filter(account_id=book[who]).latest("account_seq")


# ---------------------------------------------------------------- roundings


@in_one_database
@given(value=st.one_of(decimals, ties), places=st.integers(0, 8))
def test_the_book_rounds_half_to_the_even_digit_as_the_program_does(
    db: None, value: Decimal, places: int
) -> None:
    assert scalar("ledger.half_even(%s, %s)", value, places) == half_even(value, places)


@in_one_database
@given(numerator=prices, denominator=prices, places=st.integers(0, 8))
def test_the_book_divides_as_the_program_does(
    db: None, numerator: Decimal, denominator: Decimal, places: int
) -> None:
    exact = Fraction(numerator) / Fraction(denominator)
    found = scalar("ledger.half_even_ratio(%s, %s, %s)", numerator, denominator, places)
    assert found == half_even(exact, places)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("0.005", "0"), ("0.015", "0.02"), ("0.025", "0.02"), ("-0.025", "-0.02"), ("-0.035", "-0.04"),
     ("2.5", "2.5"), ("0.0251", "0.03"), ("-1133.385000001719", "-1133.39")],
)  # fmt: skip
def test_ties_go_to_the_even_cent(db: None, value: str, rounded: str) -> None:
    assert scalar("ledger.half_even(%s::numeric, 2)", value) == Decimal(rounded)


@in_one_database
@given(before=quantities, average=prices, change=quantities, price=prices)
def test_a_trade_does_in_the_book_what_it_does_in_the_program(
    db: None, before: Decimal, average: Decimal, change: Decimal, price: Decimal
) -> None:
    effect = apply_trade(
        Position(quantity=before, average_cost=average),
        signed_quantity=change,
        price=price,
        kind="perpetual",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM ledger.trade_effect(%s, %s, %s, %s, 2)", [before, average, change, price]
        )
        assert cursor.fetchone() == (effect.average_after, effect.realised)


# ---------------------------------------------------------------- securities


def test_a_purchase_takes_its_cash_half_even_and_averages_the_cost(book: Book) -> None:
    before = book.balances()
    book.post(
        "security_trade",
        book.leg("bob:SPY", "-3", price="100.105"),  # 300.315: a tie, to the even cent
        ("custodian:SPY", "3"),
        ("client_bank", "-300.32"),
        ("bob", "301.32"),
        ("residual", "-1"),
    )
    assert book.moved(before) == {
        "bob": "301.32", "bob:SPY": "-3", "custodian:SPY": "3", "client_bank": "-300.32",
        "residual": "-1",
    }  # fmt: skip
    assert stand(book, "bob:SPY") == (13, Decimal("238.48576923"))


def test_a_sale_leaves_the_average_and_says_what_it_realised(book: Book) -> None:
    book.post(
        "security_trade",
        book.leg("bob:SPY", "4", price="281.50"),
        ("custodian:SPY", "-4"),
        ("client_bank", "1126"),
        ("bob", "-1126"),
    )
    assert stand(book, "bob:SPY") == (6, 280)
    assert last(book, "bob:SPY").realised == 6


def test_an_internal_trade_moves_between_two_clients_at_its_price(book: Book) -> None:
    before = book.balances()
    book.post(
        "internal_trade",
        book.leg("bob:SPY", "2", price="300"),
        book.leg("alice:SPY", "-2", price="300"),
        ("alice", "601"),
        ("bob", "-600"),
        ("residual", "-1"),
    )
    assert book.moved(before) == {
        "alice": "601", "alice:SPY": "-2", "bob": "-600", "bob:SPY": "2", "residual": "-1",
    }  # fmt: skip
    assert (stand(book, "alice:SPY"), stand(book, "bob:SPY")) == ((2, 300), (8, 280))


def test_deleveraging_closes_two_clients_against_each_other(book: Book) -> None:
    buy(book, "alice/ISO", "0.5", "1000")
    buy(book, "bob", "-0.5", "800")
    before = book.balances()
    # Both lose 50 against what they traded at; the venue has lost it since the second trade.
    book.post_approved(
        "deleveraging",
        book.leg("alice/ISO:BTC-PERP", "0.5", price="900"),
        book.leg("bob:BTC-PERP", "-0.5", price="900"),
        ("alice/ISO", "50"),
        ("bob", "50"),
        ("venue", "-100"),
    )
    assert book.moved(before) == {
        "alice/ISO": "50", "alice/ISO:BTC-PERP": "0.5", "bob": "50", "bob:BTC-PERP": "-0.5",
        "venue": "-100",
    }  # fmt: skip


# ---------------------------------------------------------------- perpetuals


def test_average_and_realised_follow_the_worked_example(book: Book) -> None:
    buy(book, "alice/ISO", "1.0000", "9000")
    buy(book, "alice/ISO", "-0.3333", "8123.45", ("venue", "-292.15"), ("alice/ISO", "292.15"))
    assert last(book, "alice/ISO:BTC-PERP").realised == Decimal("-292.15")
    buy(book, "alice/ISO", "0.5000", "8000.01", ("alice/ISO", "1.60"), ("residual", "-1.60"))
    assert stand(book, "alice/ISO:BTC-PERP") == (Decimal("1.1667"), Decimal("8571.44510157"))


def test_beyond_zero_the_rest_is_a_new_position_at_the_trade_price(book: Book) -> None:
    buy(book, "bob", "1", "1000")
    buy(book, "bob", "-3", "1010.50", ("venue", "10.50"), ("bob", "-10.50"))
    assert stand(book, "bob:BTC-PERP") == (-2, Decimal("1010.5"))
    buy(book, "bob", "2", "1000", ("venue", "21"), ("bob", "-21"))
    assert stand(book, "bob:BTC-PERP") == (0, 0)


def test_trades_of_one_batch_build_on_each_other(book: Book) -> None:
    drafts = [
        book.draft("derivative_trade", *book.contracts("bob", Decimal(quantity), price), *money)
        for quantity, price, money in [
            ("1", "100", ()),
            ("1", "101", ()),
            ("-1.5", "102", (("venue", "2.25"), ("bob", "-2.25"))),
        ]
    ]
    book.post_drafts(*drafts)
    assert stand(book, "bob:BTC-PERP") == (Decimal("0.5"), Decimal("100.5"))


# ---------------------------------------------------------------- reversals


def test_a_reversal_gives_everything_back(book: Book) -> None:
    before = book.balances()
    entry = book.post("deposit", ("client_bank", "5"), ("client_bank", "2"), ("alice", "-7"))
    book.reverse(entry)
    assert book.moved(before) == {}


def test_a_reversed_trade_gives_the_average_back_and_unrealises_its_profit(book: Book) -> None:
    buy(book, "bob", "1", "9000")
    entry = buy(book, "bob", "-1", "8800", ("venue", "-200"), ("bob", "200"))
    book.reverse(entry)
    assert stand(book, "bob:BTC-PERP") == (1, 9000)
    assert last(book, "bob:BTC-PERP").realised == 200
    assert book.balance("bob") == -2000


def test_a_reversed_first_trade_leaves_nothing(book: Book) -> None:
    book.reverse(buy(book, "bob", "1", "9000"))
    assert stand(book, "bob:BTC-PERP") == (0, 0)
    buy(book, "bob", "2", "8000")
    assert stand(book, "bob:BTC-PERP") == (2, 8000)


def test_a_trade_that_others_followed_is_corrected_by_a_new_trade(book: Book) -> None:
    first = buy(book, "bob", "1", "9000")
    second = buy(book, "bob", "1", "8000")
    undone = book.reversal(first)
    with book.refused("position_is_reversed_as_it_was_left"):
        book.post_drafts(undone)
    book.reverse(second)
    with book.refused("position_is_reversed_as_it_was_left"):
        book.post_drafts(undone)
    assert stand(book, "bob:BTC-PERP") == (1, 9000)


def test_an_entry_is_reversed_once(book: Book) -> None:
    entry = book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    again = book.reversal(entry)
    book.reverse(entry)
    with book.refused("entry_is_reversed_once"):
        book.post_drafts(again)


def test_a_reversal_may_itself_be_reversed(book: Book) -> None:
    before = book.balances()
    entry = book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    book.reverse(book.reverse(entry))
    assert book.moved(before) == {"client_bank": "5", "alice": "-5"}
