"""BAI2, the cash management balance report of US banks.

A file is a run of records: 01 file, 02 group, 03 account, 16 transaction, 88 continuation, and the
trailers 49, 98 and 99, which repeat sums and counts so that a lost record is noticed. Amounts are
whole numbers of the currency's smallest unit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from ledger.statements.statement import (
    Balance,
    Statement,
    StatementFormat,
    StatementLine,
    UnreadableStatementError,
    decode,
    exact_sum,
    lines_of,
    present,
    short_date,
    signed,
)

_RECORD: Final = re.compile(r"([0-9]{2}),(.*)")
_WHOLE: Final = re.compile(r"-?[0-9]+")
_TRAILERS: Final = ("49", "98", "99")
_CREDIT: Final[Mapping[str, bool]] = {"195": True, "495": False}
# Fields that follow a funds type; D is followed by a count and that many pairs.
_FUNDS_FIELDS: Final[Mapping[str, int]] = {"": 0, "0": 0, "1": 0, "2": 0, "Z": 0, "S": 3, "V": 2}
# Decimals of a currency's smallest unit where they are not 2 (ISO 4217).
_DECIMALS: Final[Mapping[str, int]] = dict.fromkeys(
    ("BIF", "CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


@dataclass(frozen=True, slots=True)
class Record:
    """One record with its continuations.

    Attributes:
        line: the line of the file it begins on.
        parts: what stands after the code, first of the record itself, then of each continuation.
        is_ended: whether the last part ends with the slash that ends a record.
    """

    code: str
    line: int
    parts: tuple[str, ...]
    is_ended: bool

    @property
    def fields(self) -> list[str]:
        return ",".join(self.parts).split(",")


class Summary(NamedTuple):
    """A balance or total of an account record; the amount as written, which may be nothing."""

    kind: str
    amount: str


class Transaction(NamedTuple):
    """A record 16 taken apart, nothing judged yet."""

    kind: str
    amount: str
    funds_type: str
    value_date: str
    reference: str
    text: str


def parse_bai2(data: bytes) -> Statement:
    """Read a BAI2 file that holds one account of one group.

    Sums and counts that do not agree, also those of a trailer that is missing or cut off, make the
    statement's `control_failure`; they do not make it unreadable.

    Raises:
        UnreadableStatementError: not text of BAI2, not exactly one statement, no or several 010 or
            015, a type other than 195 and 495, a funds type other than V, an amount that is no
            number or a value date that is no date.
    """
    records = read_records(decode(data))
    body = [record for record in records if record.code not in _TRAILERS]
    _require_one_account(records, body=body)
    account = body[2].fields
    currency = _currency(account, group=body[1].fields)
    balances = _balances(body[2], currency=currency)
    lines = tuple(
        _line(record, ordinal=ordinal, currency=currency)
        for ordinal, record in enumerate(body[3:], start=1)
    )
    opening, closing = _stated(balances, "010"), _stated(balances, "015")
    return Statement(
        format=StatementFormat.BAI2,
        account=present(account[0]),
        currency=currency,
        opening=opening.amount,
        closing=closing.amount,
        balances=balances,
        lines=lines,
        control_failure=_control_failure(records, body=body),
    )


def read_records(text: str) -> list[Record]:
    """Cut a file into records, each with its continuations.

    Raises:
        UnreadableStatementError: a line that is no record, or a continuation of nothing.
    """
    runs: list[tuple[str, int, list[str]]] = []
    for number, raw in enumerate(lines_of(text), start=1):
        line = raw.rstrip(" \t")
        if not line:
            continue
        shape = _RECORD.fullmatch(line)
        if shape is None or (shape[1] == "88" and not runs):
            raise UnreadableStatementError(f"Line {number} {line[:60]!r} is no BAI2 record.")
        if shape[1] == "88":
            runs[-1][2].append(shape[2])
        else:
            runs.append((shape[1], number, [shape[2]]))
    return [
        Record(
            code=code,
            line=number,
            parts=tuple(part.removesuffix("/") for part in parts),
            is_ended=parts[-1].endswith("/"),
        )
        for code, number, parts in runs
    ]


def read_summaries(record: Record) -> list[Summary]:
    """The balances and totals of a record 03, in order; places left empty are passed over."""
    fields = record.fields[2:]
    summaries: list[Summary] = []
    position = 0
    while position < len(fields):
        kind, amount, _count, funds_type = (*fields[position : position + 4], "", "", "")[:4]
        position = _after_funds(fields, position + 4, funds_type, record=record)
        if kind or amount:
            summaries.append(Summary(kind, amount))
    return summaries


def read_transaction(record: Record) -> Transaction:
    """Take a record 16 apart: its text is all that follows the customer's reference."""
    fields = record.fields
    kind, amount, funds_type = (*fields[:3], "", "")[:3]
    position = _after_funds(fields, 3, funds_type, record=record)
    _bank_reference, reference = (*fields[position : position + 2], "", "")[:2]
    return Transaction(
        kind=kind,
        amount=amount,
        funds_type=funds_type,
        value_date=fields[3] if funds_type == "V" and len(fields) > 3 else "",
        reference=reference,
        text=_text(record, position + 2),
    )


def _after_funds(fields: Sequence[str], start: int, funds_type: str, *, record: Record) -> int:
    """The place behind a funds type and the availability it announces."""
    if funds_type == "D":
        count = fields[start] if start < len(fields) else ""
        if not re.fullmatch(r"[0-9]{1,4}", count):
            raise UnreadableStatementError(f"Line {record.line}: {count!r} is no count of days.")
        return start + 1 + 2 * int(count)
    if funds_type not in _FUNDS_FIELDS:
        raise UnreadableStatementError(f"Line {record.line}: {funds_type!r} is no funds type.")
    return start + _FUNDS_FIELDS[funds_type]


def _text(record: Record, skipped: int) -> str:
    """The record from its field number `skipped` on, one line for each continuation."""
    pieces: list[str] = []
    for part in record.parts:
        fields = part.split(",")
        if skipped < len(fields):
            pieces.append(",".join(fields[skipped:]))
        skipped = max(0, skipped - len(fields))
    return "\n".join(pieces)


def _require_one_account(records: Sequence[Record], *, body: Sequence[Record]) -> None:
    for code, name in (("01", "files"), ("02", "groups"), ("03", "accounts")):
        count = sum(record.code == code for record in records)
        if count != 1:
            raise UnreadableStatementError(f"The file holds {count} {name} ({code}), not one.")
    wanted = ["01", "02", "03"] + ["16"] * (len(body) - 3)
    for record, place, code in zip(records, body, wanted, strict=False):
        if record is not place or record.code != code:
            raise UnreadableStatementError(
                f"Line {record.line}: a record {record.code} where {code} should be."
            )


def _currency(account: Sequence[str], *, group: Sequence[str]) -> str:
    """The account's currency, else its group's, else USD, as the format lays down."""
    of_account = account[1] if len(account) > 1 else ""
    of_group = group[5] if len(group) > 5 else ""
    return of_account or of_group or "USD"


def _balances(record: Record, *, currency: str) -> tuple[Balance, ...]:
    return tuple(
        Balance(
            kind=summary.kind,
            amount=_amount(
                summary.amount, currency=currency, where=f"Line {record.line}, {summary.kind}"
            ),
            currency=currency,
        )
        for summary in read_summaries(record)
        # Only a total may be left open; a balance without its amount is none.
        if summary.amount or summary.kind in ("010", "015")
    )


def _stated(balances: tuple[Balance, ...], kind: str) -> Balance:
    found = [balance for balance in balances if balance.kind == kind]
    if len(found) != 1:
        raise UnreadableStatementError(f"The account has {len(found)} balances {kind}, not one.")
    return found[0]


def _line(record: Record, *, ordinal: int, currency: str) -> StatementLine:
    where = f"Line {record.line}, record 16"
    transaction = read_transaction(record)
    if transaction.kind not in _CREDIT:
        raise UnreadableStatementError(f"{where}: type {transaction.kind!r} is not 195 or 495.")
    if transaction.funds_type != "V":
        raise UnreadableStatementError(f"{where}: funds type {transaction.funds_type!r} is not V.")
    value_date = short_date(transaction.value_date)
    if value_date is None:
        raise UnreadableStatementError(
            f"{where}: the value date {transaction.value_date!r} is no date."
        )
    amount = _amount(transaction.amount, currency=currency, where=where)
    return StatementLine(
        reference=present(transaction.reference),
        amount=signed(amount, credit=_CREDIT[transaction.kind]),
        currency=currency,
        value_date=value_date,
        ordinal=ordinal,
        text=transaction.text,
    )


def _amount(text: str, *, currency: str, where: str) -> Decimal:
    if not _WHOLE.fullmatch(text):
        raise UnreadableStatementError(f"{where}: the amount {text!r} is no whole number.")
    sign, digits, _ = Decimal(text).as_tuple()
    return Decimal((sign if any(digits) else 0, digits, -_DECIMALS.get(currency, 2)))


def _control_failure(records: Sequence[Record], *, body: Sequence[Record]) -> str | None:
    """Where a trailer is missing, out of place or does not agree with the records it closes."""
    trailers = [record for record in records if record.code in _TRAILERS]
    if tuple(record.code for record in trailers) != _TRAILERS:
        found = ", ".join(record.code for record in trailers) or "none"
        return f"The file ends with the trailers {found} instead of 49, 98 and 99."
    amounts = [summary.amount for summary in read_summaries(body[2])]
    amounts += [read_transaction(record).amount for record in body[3:]]
    total = exact_sum(Decimal(amount or 0) for amount in amounts)
    in_account = sum(len(record.parts) for record in (*body[2:], trailers[0]))
    wanted = {
        "49": [total, in_account],
        "98": [total, 1, in_account + 2],
        "99": [total, 1, in_account + 4],
    }
    for record in trailers:
        # A trailer without its slash was cut off: its last number may have lost digits.
        stated = [Decimal(text) if _WHOLE.fullmatch(text) else None for text in record.fields]
        if stated != wanted[record.code] or not record.is_ended:
            should = ",".join(str(number) for number in wanted[record.code])
            return f"Record {record.code} says {','.join(record.fields)}/ instead of {should}/."
    return None
