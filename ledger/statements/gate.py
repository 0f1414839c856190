"""The gate every bank statement passes: accepted whole or rejected whole, for one stated reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from ledger.statements.bai2 import parse_bai2
from ledger.statements.camt import parse_camt
from ledger.statements.mt940 import parse_mt940
from ledger.statements.statement import (
    Statement,
    StatementFormat,
    UnreadableStatementError,
    exact_sum,
)

PARSERS: Final[Mapping[StatementFormat, Callable[[bytes], Statement]]] = {
    StatementFormat.CAMT053: parse_camt,
    StatementFormat.MT940: parse_mt940,
    StatementFormat.BAI2: parse_bai2,
}


@dataclass(frozen=True, slots=True)
class ExpectedStatement:
    """What we know of a bank's statement before it is opened.

    Attributes:
        account_id: the bank's number of our account.
        previous_closing: closing balance of the bank's last business day; None if that day's
            statement was rejected, and then the opening balance is not tested.
    """

    format: StatementFormat
    account_id: str
    business_day: date
    previous_closing: Decimal | None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Gated:
    """The verdict on one statement.

    Attributes:
        statement: the statement if it was accepted, else None: nothing of a rejected one is used.
        rejection: None, or the first of unreadable, wrong_account, wrong_currency_or_date,
            control_total, sum and opening that applies.
        explanation: the rejection in a sentence, for the operator.
        lines_read: lines of the file, counted also when it is rejected; 0 if it is unreadable.
        closing: the closing balance the next day has to open with; None if rejected.
    """

    statement: Statement | None
    rejection: str | None
    lines_read: int
    closing: Decimal | None
    explanation: str | None = None


def gate(statement_bytes: bytes, *, expected: ExpectedStatement) -> Gated:
    """Read a statement and decide on it; a statement is never accepted in part."""
    try:
        statement = PARSERS[expected.format](statement_bytes)
    except UnreadableStatementError as error:
        return Gated(None, "unreadable", 0, None, str(error))
    lines_read = len(statement.lines)
    for reason, test in _TESTS.items():
        explanation = test(statement, expected)
        if explanation is not None:
            return Gated(None, reason, lines_read, None, explanation)
    return Gated(statement, None, lines_read, statement.closing)


def _wrong_account(statement: Statement, expected: ExpectedStatement) -> str | None:
    if statement.account == expected.account_id:
        return None
    return f"The account is {statement.account!r} instead of {expected.account_id!r}."


def _wrong_currency_or_date(statement: Statement, expected: ExpectedStatement) -> str | None:
    for balance in statement.balances:
        if balance.currency != expected.currency:
            return f"Balance {balance.kind} is in {balance.currency}, not {expected.currency}."
    for line in statement.lines:
        if line.currency != expected.currency:
            return f"Line {line.ordinal} is in {line.currency}, not {expected.currency}."
        if line.value_date != expected.business_day:
            return (
                f"Line {line.ordinal} has the value date {line.value_date},"
                f" not {expected.business_day}."
            )
    return None


def _control_total(statement: Statement, expected: ExpectedStatement) -> str | None:
    return statement.control_failure


def _sum(statement: Statement, expected: ExpectedStatement) -> str | None:
    total = exact_sum([statement.opening, *(line.amount for line in statement.lines)])
    if total == statement.closing:
        return None
    return f"Opening and lines make {total:f}, the closing balance is {statement.closing:f}."


def _opening(statement: Statement, expected: ExpectedStatement) -> str | None:
    if expected.previous_closing is None or statement.opening == expected.previous_closing:
        return None
    return (
        f"The opening balance is {statement.opening:f},"
        f" the last closing balance was {expected.previous_closing:f}."
    )


# In the order in which they apply: the first that speaks names the rejection.
_TESTS: Final[Mapping[str, Callable[[Statement, ExpectedStatement], str | None]]] = {
    "wrong_account": _wrong_account,
    "wrong_currency_or_date": _wrong_currency_or_date,
    "control_total": _control_total,
    "sum": _sum,
    "opening": _opening,
}
