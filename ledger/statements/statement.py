"""What a bank statement says, whatever format it came in.

Amounts are signed: credits, which increase the account, are positive. An amount keeps the decimals
it was written with, so 1.500 stays 1.500.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, Rounded
from enum import StrEnum
from typing import Final

# Sums of any size without rounding; should one be rounded all the same, it is an error.
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, Rounded])


class UnreadableStatementError(Exception):
    """The file is not one readable statement of its format; says what, and where it stands."""


class StatementFormat(StrEnum):
    """The formats banks send their statements in."""

    CAMT053 = "camt.053"
    MT940 = "MT940"
    BAI2 = "BAI2"


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance a statement states, for instance `OPBD`, `:60F:` or `010`."""

    kind: str
    amount: Decimal
    currency: str | None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of the account.

    Attributes:
        reference: the reference that ties the line to our own books; None if the line has none.
        currency: None if the bank left it out where its format asks for it.
        ordinal: place in the statement, from 1.
        text: what the bank says about the movement, for people to read.
    """

    reference: str | None
    amount: Decimal
    currency: str | None
    value_date: date
    ordinal: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of one account.

    Attributes:
        account: the bank's number of the account as the format's own account field gives it;
            None if it gives none there.
        balances: every balance stated, the opening and the closing one among them.
        control_failure: where the sums and counts the file carries about itself do not agree with
            its content, as a sentence. None if they agree or the format has none.
    """

    format: StatementFormat
    account: str | None
    currency: str | None
    opening: Decimal
    closing: Decimal
    balances: tuple[Balance, ...]
    lines: tuple[StatementLine, ...]
    control_failure: str | None = None


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum with every digit, and with the decimals of the most exact amount."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def signed(amount: Decimal, *, credit: bool) -> Decimal:
    """The amount as the books see it: a debit is negative, nothing is never minus nothing."""
    return amount if credit or not amount else amount.copy_negate()


def present(text: str | None) -> str | None:
    """The text as written, or None if there is nothing to read in it."""
    return text if text and not text.isspace() else None


def decode(data: bytes) -> str:
    """The characters of a text format.

    Raises:
        UnreadableStatementError: the file is not UTF-8, of which ASCII is a part, or holds a NUL,
            which is no character of any text and which the book could not store.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableStatementError(f"Byte {error.start} of the file is not UTF-8.") from error
    if "\0" in text:
        raise UnreadableStatementError(f"Byte {data.index(0)} of the file is a NUL.")
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text format without their ends, CRLF or LF."""
    return text.replace("\r\n", "\n").split("\n")


def short_date(text: str) -> date | None:
    """The day of `YYMMDD`; years from 80 on belong to the last century, as in ISO 15022."""
    if not (len(text) == 6 and text.isascii() and text.isdigit()):
        return None
    year = int(text[:2])
    try:
        return date(year + (1900 if year >= 80 else 2000), int(text[2:4]), int(text[4:]))
    except ValueError:
        return None
