"""The rows of a day's prices, trades and transfers: readable ones typed, the others with a reason.

A row is read or rejected for its form alone; whether an event may happen is decided where events
are applied.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from ledger.statements.rows import (
    RejectedRow,
    parse_number,
    parse_time,
    read_rows,
    rejected_column,
)

PRICES = "prices.csv"
TRADES = "trades.csv"
TRANSFERS = "transfers.csv"
HOLDINGS = "statements/holdings.csv"

HEADERS: dict[str, tuple[str, ...]] = {
    PRICES: ("instrument", "source", "observed_at", "price"),
    TRADES: (
        "trade_id",
        "executed_at",
        "account",
        "bucket",
        "instrument",
        "side",
        "quantity",
        "price",
        "fee_usd",
        "location",
    ),
    TRANSFERS: (
        "transfer_id",
        "booked_at",
        "kind",
        "account",
        "bucket",
        "asset",
        "amount",
        "location",
        "to_location",
        "to_bucket",
        "reference",
    ),
    HOLDINGS: ("location", "asset", "quantity", "as_of"),
}


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one source saw as the price of a priced name."""

    line: int
    instrument: str
    source: str
    observed_at: datetime
    price: Decimal


@dataclass(frozen=True, slots=True)
class TradeRow:
    """An execution as the desk reports it; the fee is in USD."""

    line: int
    trade_id: str
    executed_at: datetime
    account: str
    bucket: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal
    fee_usd: Decimal
    location: str


@dataclass(frozen=True, slots=True)
class TransferRow:
    """A movement of money; columns that its kind does not use hold whatever the sender wrote."""

    line: int
    transfer_id: str
    booked_at: datetime
    kind: str
    account: str
    bucket: str
    asset: str
    amount: Decimal
    location: str
    to_location: str
    to_bucket: str
    reference: str


Row_T = TypeVar("Row_T")


class FileRows(NamedTuple, Generic[Row_T]):
    """The rows of one file, in its order.

    Attributes:
        rows: the readable ones.
        rejected: the others, with the first reason that applies.
        row_count: data rows in the file, readable or not.
    """

    rows: tuple[Row_T, ...]
    rejected: tuple[RejectedRow, ...]
    row_count: int


def read_prices(data: bytes, *, priced: Collection[str]) -> FileRows[PriceRow]:
    """The rows of prices.csv; one of a name outside `priced` is an unknown code.

    Raises:
        MalformedFileError: not UTF-8, or another header.
    """

    def row(line: int, fields: tuple[str, ...]) -> PriceRow | RejectedRow:
        instrument, source, observed_at, price = fields
        if instrument not in priced:
            return RejectedRow(PRICES, line, "instrument", "unknown_code")
        return PriceRow(line, instrument, source, _time(observed_at), _number(price))

    return _read(PRICES, data, numbers=("price",), times=("observed_at",), row=row)


def read_trades(data: bytes) -> FileRows[TradeRow]:
    """The rows of trades.csv.

    Raises:
        MalformedFileError: not UTF-8, or another header.
    """

    def row(line: int, fields: tuple[str, ...]) -> TradeRow:
        trade_id, executed_at, account, bucket, instrument, side, *numbers, location = fields
        quantity, price, fee_usd = map(_number, numbers)
        return TradeRow(
            line=line,
            trade_id=trade_id,
            executed_at=_time(executed_at),
            account=account,
            bucket=bucket,
            instrument=instrument,
            side=side,
            quantity=quantity,
            price=price,
            fee_usd=fee_usd,
            location=location,
        )

    numbers = ("quantity", "price", "fee_usd")
    return _read(TRADES, data, numbers=numbers, times=("executed_at",), row=row)


def read_transfers(data: bytes) -> FileRows[TransferRow]:
    """The rows of transfers.csv; every kind has an amount and a time.

    Raises:
        MalformedFileError: not UTF-8, or another header.
    """

    def row(line: int, fields: tuple[str, ...]) -> TransferRow:
        transfer_id, booked_at, kind, account, bucket, asset, amount, *places = fields
        location, to_location, to_bucket, reference = places
        return TransferRow(
            line=line,
            transfer_id=transfer_id,
            booked_at=_time(booked_at),
            kind=kind,
            account=account,
            bucket=bucket,
            asset=asset,
            amount=_number(amount),
            location=location,
            to_location=to_location,
            to_bucket=to_bucket,
            reference=reference,
        )

    return _read(TRANSFERS, data, numbers=("amount",), times=("booked_at",), row=row)


def _read(
    file: str,
    data: bytes,
    *,
    numbers: Collection[str],
    times: Collection[str],
    row: Callable[[int, tuple[str, ...]], Row_T | RejectedRow],
) -> FileRows[Row_T]:
    """Split a file into rows that `row` can make something of, and rejections."""
    header = HEADERS[file]
    rows: list[Row_T] = []
    rejected: list[RejectedRow] = []
    for found in read_rows(data, header):
        refusal = rejected_column(found, header=header, numbers=numbers, times=times, file=file)
        read = row(found.line, found.fields) if refusal is None else refusal
        if isinstance(read, RejectedRow):
            rejected.append(read)
        else:
            rows.append(read)
    return FileRows(tuple(rows), tuple(rejected), len(rows) + len(rejected))


def _number(text: str) -> Decimal:
    number = parse_number(text)
    assert number is not None, "the row was tested before"
    return number


def _time(text: str) -> datetime:
    time = parse_time(text)
    assert time is not None, "the row was tested before"
    return time
