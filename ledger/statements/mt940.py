"""SWIFT MT940, the customer statement message.

A message is a run of fields, each opened by its tag at the beginning of a line; further lines
belong to the field above them. A line `-` ends the message.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, NamedTuple

from ledger.statements.statement import (
    Balance,
    Statement,
    StatementFormat,
    StatementLine,
    UnreadableStatementError,
    decode,
    lines_of,
    present,
    short_date,
    signed,
)

_TAG: Final = re.compile(r":([0-9]{2}[A-Z]?):(.*)", re.DOTALL)
# Control characters lines of the network put around a message.
_TRANSMISSION: Final = "\x01\x03"
_AMOUNT: Final = re.compile(r"[0-9]+,[0-9]*")
_BALANCE: Final = re.compile(
    r"(?P<mark>[A-Z]+)(?P<date>[0-9]{6})(?P<currency>[A-Za-z]{3})(?P<amount>.*)", re.DOTALL
)
# Value date, entry date, mark with funds code, amount, type of transaction, the references, and
# on a line of its own what the bank adds.
_ENTRY: Final = re.compile(
    r"(?P<value_date>[0-9]{6})(?P<entry_date>[0-9]{4})?(?P<mark>[A-Z]+)(?P<amount>[^A-Z]*)"
    r"(?P<type>[A-Z][A-Z0-9]{3})(?P<references>[^\n]*)(?:\n(?P<supplement>.*))?",
    re.DOTALL,
)
_BALANCE_TAGS: Final = frozenset({"60F", "60M", "62F", "62M", "64", "65"})


class Field(NamedTuple):
    """One field: its tag, its value with line ends as LF, and the line of the file it begins on."""

    tag: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Message:
    """The fields between a message's beginning and its end, and what stood before them."""

    preamble: tuple[str, ...]
    fields: tuple[Field, ...]

    def values(self, tag: str) -> list[Field]:
        return [field for field in self.fields if field.tag == tag]


class Entry(NamedTuple):
    """A `:61:` taken apart, nothing judged yet."""

    value_date: str
    mark: str
    funds_code: str
    amount: Decimal | None
    reference: str
    supplement: str


def parse_mt940(data: bytes) -> Statement:
    """Read an MT940 file that holds one statement.

    Raises:
        UnreadableStatementError: not text of MT940, not exactly one statement, no or several
            `:60F:` or `:62F:`, a mark other than C and D, an amount that is no number or a value
            date that is no date.
    """
    message = _only_message(read_messages(decode(data)))
    balances = tuple(_balance(field) for field in message.fields if field.tag in _BALANCE_TAGS)
    opening, closing = _stated(balances, "60F"), _stated(balances, "62F")
    accounts = message.values("25")
    if len(accounts) > 1:
        raise UnreadableStatementError(f"Line {accounts[1].line}: a second account :25:.")
    return Statement(
        format=StatementFormat.MT940,
        account=present(accounts[0].value) if accounts else None,
        currency=opening.currency,
        opening=opening.amount,
        closing=closing.amount,
        balances=balances,
        lines=_lines(message, currency=opening.currency),
    )


def read_messages(text: str) -> list[Message]:
    """Cut a file into messages; `:20:` begins one, and `-` ends it.

    What stands before a message is kept as its preamble, what follows the last one as the preamble
    of a message without fields. Blank lines mean nothing.
    """
    messages: list[Message] = []
    preamble: list[str] = []
    runs: list[tuple[str, int, list[str]]] = []

    def close() -> None:
        if preamble or runs:
            fields = (Field(tag, "\n".join(lines), number) for tag, number, lines in runs)
            messages.append(Message(tuple(preamble), tuple(fields)))
            preamble.clear()
            runs.clear()

    for number, raw in enumerate(lines_of(text), start=1):
        line = raw.strip(_TRANSMISSION)
        opened = _TAG.fullmatch(line)
        if opened is not None:
            if opened[1] == "20" and runs:
                close()
            runs.append((opened[1], number, [opened[2]]))
        elif runs and (line == "-" or line.startswith("-}")):
            close()
        elif not line.strip():
            continue
        elif runs:
            runs[-1][2].append(line)
        else:
            preamble.append(line)
    close()
    return messages


def read_entry(value: str) -> Entry | None:
    """Take a `:61:` apart; None if it does not have the shape of one."""
    shape = _ENTRY.fullmatch(value)
    if shape is None:
        return None
    mark, funds_code = _split_mark(shape["mark"])
    return Entry(
        value_date=shape["value_date"],
        mark=mark,
        funds_code=funds_code,
        amount=read_amount(shape["amount"]),
        reference=shape["references"].partition("//")[0],
        supplement=shape["supplement"] or "",
    )


def read_amount(text: str) -> Decimal | None:
    """An amount with its decimal comma, which is always there: `8,50`, `8,5` and `8,`."""
    return Decimal(text.replace(",", ".")) if _AMOUNT.fullmatch(text) else None


def _split_mark(letters: str) -> tuple[str, str]:
    """A mark and the funds code behind it, the third letter of the currency: `CD` is C in USD."""
    length = 2 if letters[:1] in ("R", "E") else 1
    return letters[:length], letters[length:]


def _only_message(messages: list[Message]) -> Message:
    with_fields = [message for message in messages if message.fields]
    if len(with_fields) != 1:
        raise UnreadableStatementError(f"The file holds {len(with_fields)} statements, not one.")
    # The blocks SWIFT wraps around a message are braces; anything else has no place in a file.
    strange = [line for each in messages for line in each.preamble if not line.startswith("{")]
    if strange:
        raise UnreadableStatementError(f"Outside of the statement stands {strange[0][:60]!r}.")
    message = with_fields[0]
    if len(message.values("20")) != 1 or message.fields[0].tag != "20":
        raise UnreadableStatementError("The statement does not begin with its one field :20:.")
    return message


def _balance(field: Field) -> Balance:
    where = f"Line {field.line}, :{field.tag}:"
    shape = _BALANCE.fullmatch(field.value)
    if shape is None:
        raise UnreadableStatementError(f"{where} {field.value[:60]!r} is no balance.")
    amount = read_amount(shape["amount"])
    if amount is None:
        raise UnreadableStatementError(f"{where} the amount {shape['amount']!r} is no number.")
    return Balance(
        kind=field.tag,
        amount=signed(amount, credit=_is_credit(shape["mark"], where=where)),
        currency=shape["currency"],
    )


def _stated(balances: tuple[Balance, ...], tag: str) -> Balance:
    found = [balance for balance in balances if balance.kind == tag]
    if len(found) != 1:
        raise UnreadableStatementError(f"The statement has {len(found)} fields :{tag}:, not one.")
    return found[0]


def _lines(message: Message, *, currency: str | None) -> tuple[StatementLine, ...]:
    """The `:61:` in order, each with the `:86:` that follow it."""
    lines: list[StatementLine] = []
    texts: list[list[str]] = []
    is_open = False  # whether a :86: still belongs to the line above it
    for field in message.fields:
        if field.tag == "61":
            lines.append(_line(field, ordinal=len(lines) + 1, currency=currency))
            texts.append([lines[-1].text])
        elif field.tag == "86" and is_open:
            texts[-1].append(field.value)
        is_open = field.tag == "61" or (field.tag == "86" and is_open)
    return tuple(
        replace(line, text="\n".join(filter(None, pieces)))
        for line, pieces in zip(lines, texts, strict=True)
    )


def _line(field: Field, *, ordinal: int, currency: str | None) -> StatementLine:
    where = f"Line {field.line}, :61:"
    entry = read_entry(field.value)
    if entry is None:
        raise UnreadableStatementError(f"{where} {field.value[:60]!r} is no statement line.")
    value_date = short_date(entry.value_date)
    if value_date is None:
        raise UnreadableStatementError(f"{where} the value date {entry.value_date!r} is no date.")
    if entry.amount is None:
        raise UnreadableStatementError(f"{where} the amount is no number.")
    if len(entry.funds_code) > 1:
        raise UnreadableStatementError(f"{where} {entry.funds_code!r} is no funds code.")
    return StatementLine(
        reference=present(entry.reference),
        amount=signed(entry.amount, credit=_is_credit(entry.mark, where=where)),
        currency=currency,
        value_date=value_date,
        ordinal=ordinal,
        text=entry.supplement,
    )


def _is_credit(mark: str, *, where: str) -> bool:
    if mark not in ("C", "D"):
        raise UnreadableStatementError(f"{where} the mark {mark!r} is neither C nor D.")
    return mark == "C"
