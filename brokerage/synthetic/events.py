"""Trades and transfers as the firm's systems would send them."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple


class Trade(NamedTuple):
    """A row of trades.csv. Quantities and prices keep the decimals they are written with."""

    id: str
    at: datetime
    account: str
    bucket: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    location: str

    def cells(self) -> list[str]:
        return [
            self.id,
            instant_text(self.at),
            self.account,
            self.bucket,
            self.instrument,
            self.side,
            f"{self.quantity:f}",
            f"{self.price:f}",
            f"{self.fee:f}",
            self.location,
        ]


class Transfer(NamedTuple):
    """A row of transfers.csv; the columns its kind does not use may be empty."""

    id: str
    at: datetime
    kind: str
    account: str
    bucket: str
    asset: str
    amount: Decimal
    location: str
    to_location: str
    to_bucket: str
    reference: str

    def cells(self) -> list[str]:
        return [
            self.id,
            instant_text(self.at),
            self.kind,
            self.account,
            self.bucket,
            self.asset,
            f"{self.amount:f}",
            self.location,
            self.to_location,
            self.to_bucket,
            self.reference,
        ]


Event = Trade | Transfer


def instant_text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_order(trades: list[Trade], transfers: list[Transfer]) -> list[Event]:
    """Both files in the order the book takes them: time, id, trades first, row."""
    keyed: list[tuple[datetime, str, int, int, Event]] = []
    keyed += [(trade.at, trade.id, 0, row, trade) for row, trade in enumerate(trades)]
    keyed += [(one.at, one.id, 1, row, one) for row, one in enumerate(transfers)]
    return [event for *_, event in sorted(keyed, key=lambda item: item[:4])]
