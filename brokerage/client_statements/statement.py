"""What a client's statement says: figures in the client's signs, before they become a file."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from accounts.exports import exported
from accounts.figures import WIDE
from accounts.models import Client
from brokerage.client_statements.period import Period
from ledger.client_lines import BookAccount, BookLine, Movement
from ledger.models import AccountClass
from ledger.times import ReadingPoint

ZERO: Final = Decimal(0)
FORMAT: Final = "client-statement/1"
HELD_AS: Final = {
    AccountClass.CLAIM: "money",
    AccountClass.POSITION: "position",
    AccountClass.LOAN_RECEIVABLE: "loan",
}
# What a charge is called, by the kind of the entry that moved it.
CHARGES: Final = {
    "fee": "Fees",
    "refund": "Fees",
    "compensation": "Compensation",
    "interest": "Interest",
    "credit_interest": "Interest",
    "borrow_interest": "Financing",
    "borrow": "Financing",
    "repay": "Financing",
}
TRADE_FEES: Final = "Fees in trades"


@dataclass(frozen=True, slots=True)
class PositionLine:
    """An open position at the end; what the mark decides is None while there is none.

    Attributes:
        mark: the newest price known by the end, and the day it is of.
        value: quantity x price of one contract.
        unrealised: quantity x (price of one contract - average cost).
    """

    account: str
    bucket: str
    asset: str
    quantity: Decimal
    scale: int
    average_cost: Decimal | None
    mark: Decimal | None
    marked_on: date | None
    mark_state: str
    value: Decimal | None
    unrealised: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class MarginLine:
    """What the closing run says of one bucket; `ratio` is equity / initial margin."""

    account: str
    bucket: str
    run: str
    business_day: date
    equity: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    ratio: Decimal | None
    state: str
    currency: str
    agreement: str
    regime: str


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call that was open in the period or ended in it, as it stood at the end."""

    number: str
    account: str
    bucket: str
    kind: str
    state: str
    amount: Decimal
    currency: str
    issued_at: datetime
    due_at: datetime
    ended_at: datetime | None
    end_reason: str


@dataclass(frozen=True, slots=True)
class Charge:
    """What a kind of charge came to in the period: what the client got less what they paid."""

    group: str
    kind: str
    asset: str
    scale: int
    amount: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class PoolDisclosure:
    """How what the client has is held apart."""

    pool: str
    regime: str
    text: str


@dataclass(frozen=True, slots=True)
class Total:
    """An asset over all accounts and buckets of the client."""

    asset: str
    held_as: str
    scale: int
    opening: Decimal
    gained: Decimal
    given: Decimal
    closing: Decimal


@dataclass(frozen=True, slots=True)
class ClientStatement:
    """A client's statement of a period, at a point of knowledge.

    Attributes:
        through: the last business date that counts; before the period's end while that is to come.
        opens_from: when the statement before was read; None where none was given out.
    """

    client: Client
    period: Period
    through: date
    point: ReadingPoint
    opens_from: datetime | None
    lines: tuple[BookLine, ...]
    positions: tuple[PositionLine, ...]
    margins: tuple[MarginLine, ...]
    calls: tuple[CallLine, ...]
    disclosures: tuple[PoolDisclosure, ...]

    @property
    def is_interim(self) -> bool:
        return self.through < self.period.last

    @property
    def movements(self) -> list[Movement]:
        """Every movement, in the order of value dates and entries."""
        every = [movement for line in self.lines for movement in line.movements]
        return sorted(
            every, key=lambda m: (m.effective_at, m.entry_id, m.account[2:7], m.account_seq)
        )

    @property
    def totals(self) -> list[Total]:
        """Opening, gained, given and closing by asset."""
        found: dict[tuple[str, str, int], list[Decimal]] = {}
        for line in self.lines:
            account = line.account
            key = (HELD_AS[AccountClass(account.account_class)], account.asset, account.scale)
            sums = found.setdefault(key, [ZERO] * 4)
            gains = [m.amount for m in line.movements if m.amount > 0]
            gifts = [m.amount for m in line.movements if m.amount < 0]
            for place, parts in enumerate(([line.opening], gains, gifts, [line.closing])):
                for part in parts:
                    sums[place] = WIDE.add(sums[place], part)
        return [
            Total(asset, held_as, scale, *found[held_as, asset, scale])
            for held_as, asset, scale in sorted(found)
        ]

    @property
    def charges(self) -> list[Charge]:
        """Fees, interest and financing, each apart from what else moved."""
        return charges_of(self.movements)

    @property
    def content_sha256(self) -> str:
        """Over what the book says of the client; the name and the horizon do not enter it, so that
        it stays what it is when the name is erased or more is known of others."""
        said = json.dumps(content_of(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


def charges_of(movements: Sequence[Movement]) -> list[Charge]:
    """Charges by group, kind and asset, in that order."""
    found: dict[tuple[str, str, str, int], tuple[Decimal, int]] = {}

    def add(group: str, kind: str, asset: str, scale: int, amount: Decimal) -> None:
        total, count = found.get((group, kind, asset, scale), (ZERO, 0))
        found[group, kind, asset, scale] = (WIDE.add(total, amount), count + 1)

    for movement in movements:
        account = movement.account
        if movement.fee:
            settled = _settled_in(movement, movements)
            add(TRADE_FEES, movement.moved_by, *settled, WIDE.minus(movement.fee))
        group = CHARGES.get(movement.moved_by)
        # A loan shows in the money it brought; interest that is added to the loan, in the loan.
        is_loan = account.account_class == AccountClass.LOAN_RECEIVABLE
        if group is None or (is_loan and movement.moved_by != "borrow_interest"):
            continue
        amount = WIDE.minus(movement.amount) if is_loan else movement.amount
        add(group, movement.moved_by, account.asset, account.scale, amount)
    return [Charge(*key, *found[key]) for key in sorted(found)]


def _settled_in(traded: Movement, movements: Sequence[Movement]) -> tuple[str, int]:
    """The money that a trade moved, with its decimals."""
    for movement in movements:
        if (
            movement.entry_id == traded.entry_id
            and movement.account.account_class == AccountClass.CLAIM
        ):
            return movement.account.asset, movement.account.scale
    return "money", 2


def content_of(statement: ClientStatement) -> dict[str, Any]:
    """Everything the statement says but the name and the horizon, as JSON has it."""
    said = {
        "format": FORMAT,
        "legal_entity": statement.client.legal_entity.code,
        "client": statement.client.code,
        "period": statement.period.code,
        "through": statement.through,
        "lines": [
            {
                **_account_said(line.account),
                "opening": line.opening,
                "closing": line.closing,
                "average_cost": line.average_cost,
                "movements": [_movement_said(movement) for movement in line.movements],
            }
            for line in statement.lines
        ],
        "positions": [_said(each) for each in statement.positions],
        "margin": [_said(each) for each in statement.margins],
        "calls": [_said(each) for each in statement.calls],
        "charges": [_said(each) for each in statement.charges],
        "totals": [_said(each) for each in statement.totals],
        "pools": [_said(each) for each in statement.disclosures],
    }
    shown: dict[str, Any] = {name: exported(value) for name, value in said.items()}
    return shown


def _account_said(account: BookAccount) -> dict[str, object]:
    return {
        "account": account.account,
        "bucket": account.bucket,
        "held_as": HELD_AS[AccountClass(account.account_class)],
        "asset": account.asset,
        "pool": account.pool,
    }


def _movement_said(movement: Movement) -> dict[str, object]:
    return {
        "entry": movement.entry_id,
        "kind": movement.kind,
        "value_at": movement.effective_at,
        "reference": movement.reference,
        "text": movement.narrative,
        "amount": movement.amount,
        "balance": movement.balance,
        "price": movement.price,
        "realised": movement.realised,
        "fee": movement.fee,
        "is_late": movement.is_late,
    }


def _said(row: Any) -> dict[str, object]:  # noqa: ANN401 - any of the lines above
    return {name: getattr(row, name) for name in row.__slots__}
