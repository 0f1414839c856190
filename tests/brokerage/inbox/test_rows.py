"""A row is typed or rejected with its first fault; lines are those of the file."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokerage.inbox.rows import (
    PriceRow,
    TradeRow,
    TransferRow,
    read_prices,
    read_trades,
    read_transfers,
)
from ledger.statements.rows import MalformedFileError, RejectedRow
from tests.brokerage.inbox.build import FILES, PRICES, TRADES, TRANSFERS

PRICED = frozenset({"SPY", "BTC"})


def test_a_price_is_read() -> None:
    prices = read_prices(FILES["prices.csv"], priced=PRICED)
    at = datetime(2018, 2, 1, 20, 55, tzinfo=UTC)
    assert prices.rows == (PriceRow(2, "SPY", "first", at, Decimal("281.50")),)
    assert prices.rejected == ()
    assert prices.row_count == 1


def test_a_trade_is_read() -> None:
    trades = read_trades(FILES["trades.csv"])
    assert trades.rows == (
        TradeRow(
            line=2,
            trade_id="T1",
            executed_at=datetime(2018, 2, 1, 9, tzinfo=UTC),
            account="A2",
            bucket="FREE",
            instrument="SPY",
            side="buy",
            quantity=Decimal(1),
            price=Decimal("281.50"),
            fee_usd=Decimal("1.00"),
            location="custodian:client-sec",
        ),
    )


def test_a_transfer_is_read() -> None:
    transfers = read_transfers(FILES["transfers.csv"])
    assert transfers.rows == (
        TransferRow(
            line=2,
            transfer_id="X1",
            booked_at=datetime(2018, 2, 1, 12, tzinfo=UTC),
            kind="deposit",
            account="A2",
            bucket="FREE",
            asset="USD",
            amount=Decimal("500.00"),
            location="bank:client-usd",
            to_location="",
            to_bucket="",
            reference="RF1",
        ),
    )


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("SPY,first,2018-02-01T20:55:00Z", None, "wrong_column_count"),
        ("SPY,first,2018-02-01T20:55:00Z,1,2", None, "wrong_column_count"),
        ("", None, "wrong_column_count"),
        ("SPY,first,2018-02-01T20:55:00Z,NaN", "price", "not_a_number"),
        ("SPY,first,2018-02-01T20:55:00Z,1e3", "price", "not_a_number"),
        ("SPY,first,2018-02-01T20:55:00Z,+1", "price", "not_a_number"),
        ("SPY,first,2018-02-01T20:55:00Z,", "price", "not_a_number"),
        ('SPY,first,2018-02-01T20:55:00Z,"1,00"', "price", "not_a_number"),
        ("SPY,first,2018-02-30T20:55:00Z,1", "observed_at", "bad_timestamp"),
        ("SPY,first,2018-02-01 20:55:00,NaN", "observed_at", "bad_timestamp"),
        ("XYZ,first,2018-02-01T20:55:00Z,NaN", "price", "not_a_number"),
        ("USD,first,2018-02-01T20:55:00Z,1", "instrument", "unknown_code"),
    ],
)
def test_a_price_is_rejected_for_its_first_fault(row: str, field: str | None, reason: str) -> None:
    sound = "BTC,first,2018-02-01T20:55:00Z,9000"
    prices = read_prices(PRICES + f"{sound}\n{row}\n{sound}\n".encode(), priced=PRICED)
    assert prices.rejected == (RejectedRow("prices.csv", 3, field, reason),)
    assert [price.line for price in prices.rows] == [2, 4]
    assert prices.row_count == 3


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("T1,,A,B,I,buy,x,y,z,L", "executed_at", "bad_timestamp"),
        ("T1,2018-02-01T09:00:00Z,A,B,I,buy,x,y,z,L", "quantity", "not_a_number"),
        ("T1,2018-02-01T09:00:00Z,A,B,I,buy,1,y,z,L", "price", "not_a_number"),
        ("T1,2018-02-01T09:00:00Z,A,B,I,buy,1,1,,L", "fee_usd", "not_a_number"),
        ("T1,2018-02-01T09:00:00Z,A,B,I,buy,1,1,1", None, "wrong_column_count"),
    ],
)
def test_a_trade_is_rejected_for_its_first_fault(row: str, field: str | None, reason: str) -> None:
    trades = read_trades(TRADES + f"{row}\n".encode())
    assert trades.rows == ()
    assert trades.rejected == (RejectedRow("trades.csv", 2, field, reason),)


def test_whether_a_trade_is_possible_is_not_asked_of_its_row() -> None:
    row = "T1,2018-02-01T09:00:00Z,nobody,nowhere,XYZ,swap,-1,0,-0.001,moon\n"
    (trade,) = read_trades(TRADES + row.encode()).rows
    assert (trade.side, trade.quantity, trade.fee_usd) == ("swap", Decimal(-1), Decimal("-0.001"))


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("X1,soon,deposit,A,FREE,USD,x,L,,,R", "booked_at", "bad_timestamp"),
        ("X1,2018-02-01T12:00:00Z,deposit,A,FREE,USD,,L,,,R", "amount", "not_a_number"),
        ("X1,2018-02-01T12:00:00Z,deposit,A,FREE,USD,1,L,,R", None, "wrong_column_count"),
    ],
)
def test_a_transfer_is_rejected_for_its_first_fault(
    row: str, field: str | None, reason: str
) -> None:
    transfers = read_transfers(TRANSFERS + f"{row}\n".encode())
    assert transfers.rows == ()
    assert transfers.rejected == (RejectedRow("transfers.csv", 2, field, reason),)


def test_columns_a_kind_does_not_use_may_hold_anything() -> None:
    row = 'X1,2018-02-01T12:00:00Z,custody_move,"a, b",??,USD,1.00,L,M,NaN,\n'
    (transfer,) = read_transfers(TRANSFERS + row.encode()).rows
    assert (transfer.account, transfer.bucket, transfer.to_bucket) == ("a, b", "??", "NaN")


def test_decimals_are_kept_as_written() -> None:
    row = "X1,2018-02-01T12:00:00Z,deposit,A,FREE,USD,1.500,L,,,R\n"
    (transfer,) = read_transfers(TRANSFERS + row.encode()).rows
    assert str(transfer.amount) == "1.500"


def test_a_row_over_several_lines_has_the_line_of_its_end() -> None:
    row = 'X1,2018-02-01T12:00:00Z,deposit,A,FREE,USD,1,L,,,"R\n\n1"\n'
    sound = "X2,2018-02-01T12:00:00Z,deposit,A,FREE,USD,1,L,,,R2\n"
    transfers = read_transfers(TRANSFERS + (row + sound).encode())
    assert [(row.line, row.reference) for row in transfers.rows] == [(4, "R\n\n1"), (5, "R2")]


@pytest.mark.parametrize("data", [b"", b"instrument,source\n", PRICES.decode().encode("utf-16")])
def test_a_file_without_its_header_has_no_rows_at_all(data: bytes) -> None:
    with pytest.raises(MalformedFileError):
        read_prices(data, priced=PRICED)


@given(st.lists(st.text(alphabet='SPY,"0.1-:ZT2018\n', max_size=40), max_size=6))
def test_every_row_is_either_read_or_rejected(lines: list[str]) -> None:
    prices = read_prices(PRICES + "\n".join(lines).encode(), priced=PRICED)
    assert prices.row_count == len(prices.rows) + len(prices.rejected)
    found = sorted([row.line for row in prices.rows] + [row.line for row in prices.rejected])
    assert found == sorted(set(found))
    assert all(line >= 2 for line in found)


def test_the_sample_days_have_the_rows_they_say(shared_dir: Path) -> None:
    days = sorted(shared_dir.glob("inbox/2018-02/2018-*"))
    if not days:
        pytest.skip("no sample inbox beside the project")
    counts = [
        (
            read_trades((day / "trades.csv").read_bytes()).row_count,
            read_transfers((day / "transfers.csv").read_bytes()).row_count,
        )
        for day in days
    ]
    assert counts == [(40, 49), (35, 43), (36, 48), (31, 47)]
    first = read_trades((days[0] / "trades.csv").read_bytes())
    assert first.rejected == (RejectedRow("trades.csv", 26, "quantity", "not_a_number"),)
