"""What becomes of an event: the moves it makes, or the first rule that refuses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from brokerage.inbox.daybook import Move
from brokerage.inbox.rows import TradeRow, TransferRow
from ledger.posting import LossParts


class RefusedEventError(Exception):
    """An event is refused whole. `reason` is the first that applies, as the format names it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """A readable row of trades.csv or transfers.csv."""

    type: str  # trade or transfer
    id: str
    at: datetime
    row: TradeRow | TransferRow

    @property
    def order(self) -> tuple[datetime, str, str, int]:
        """Time, then id by code point, then trades before transfers, then row."""
        return self.at, self.id, self.type, self.row.line


@dataclass(frozen=True, slots=True)
class ReleaseAsk:
    """What margin has to release before the entry may be posted."""

    bucket_id: int
    asset: str
    amount: Decimal
    scope_version: int
    binding_term: str
    free_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The entry that an accepted event makes, in the terms of the day book."""

    kind: str
    moves: tuple[Move, ...]
    loss: LossParts | None = None
    release: ReleaseAsk | None = None
    details: Mapping[str, str] = field(default_factory=dict)


def decimals_of(value: Decimal) -> int:
    """Decimals as written; trailing zeros count."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)
