"""ISO 20022 camt.053, the account statement in XML.

Element names are those of the message definition. Any version of the message is read, and also a
file that left the namespace out; elements of other namespaces, such as supplementary data, are
never taken for the message's own.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ledger.statements.rows import parse_number
from ledger.statements.statement import (
    Balance,
    Statement,
    StatementFormat,
    StatementLine,
    UnreadableStatementError,
    present,
    signed,
)

_ROOT: Final = re.compile(r"(\{urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.[0-9]{2}\})?Document")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_camt(data: bytes) -> Statement:
    """Read a camt.053 file that holds one statement.

    The account is the one of `Acct/Id/Othr/Id`; a line's reference is the end-to-end reference of
    its first transaction.

    Raises:
        UnreadableStatementError: not well-formed XML, a document type declaration, another
            message, not exactly one `Stmt`, no or several `OPBD` or `CLBD`, an indicator other
            than CRDT and DBIT, an amount that is no number or a value date that is no date.
    """
    statement = _only_statement(_document(data))
    balances = tuple(_balance(element) for element in _children(statement, "Bal"))
    opening, closing = _stated(balances, "OPBD"), _stated(balances, "CLBD")
    return Statement(
        format=StatementFormat.CAMT053,
        account=_account(statement),
        currency=opening.currency,
        opening=opening.amount,
        closing=closing.amount,
        balances=balances,
        lines=tuple(
            _line(element, ordinal=ordinal)
            for ordinal, element in enumerate(_children(statement, "Ntry"), start=1)
        ),
    )


def return_reasons(data: bytes) -> dict[int, str]:
    """Why lines of a camt.053 file were returned, by ordinal: `AC04`, or the bank's own words.

    Raises:
        UnreadableStatementError: as `parse_camt`.
    """
    found: dict[int, str] = {}
    entries = _children(_only_statement(_document(data)), "Ntry")
    for ordinal, entry in enumerate(entries, start=1):
        transaction = _first_transaction(entry)
        if transaction is None:
            continue
        code = _text(_descendant(transaction, "RtrInf", "Rsn", "Cd"))
        said = present(code or _text(_descendant(transaction, "RtrInf", "Rsn", "Prtry")))
        if said is not None:
            found[ordinal] = said.strip()
    return found


def _document(data: bytes) -> Element:
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise UnreadableStatementError(
            "The file declares a document type or an entity, which no statement needs."
        ) from error
    # An encoding the parser does not know is a LookupError or a ValueError.
    except (ParseError, LookupError, ValueError) as error:
        raise UnreadableStatementError(f"The file is not well-formed XML: {error}.") from error
    if not _ROOT.fullmatch(root.tag):
        raise UnreadableStatementError(f"The root element {root.tag} is not that of a camt.053.")
    return root


def _only_statement(document: Element) -> Element:
    statements = [
        statement
        for message in _children(document, "BkToCstmrStmt")
        for statement in _children(message, "Stmt")
    ]
    if len(statements) != 1:
        raise UnreadableStatementError(
            f"The file holds {len(statements)} elements Stmt instead of one."
        )
    return statements[0]


def _account(statement: Element) -> str | None:
    return present(_text(_descendant(statement, "Acct", "Id", "Othr", "Id")))


def _balance(element: Element) -> Balance:
    kind = _text(_descendant(element, "Tp", "CdOrPrtry", "Cd"))
    amount, currency = _amount(element, where=f"Bal {kind}")
    return Balance(kind or "", amount, currency)


def _stated(balances: tuple[Balance, ...], kind: str) -> Balance:
    found = [balance for balance in balances if balance.kind == kind]
    if len(found) != 1:
        raise UnreadableStatementError(f"The statement has {len(found)} balances {kind}, not one.")
    return found[0]


def _line(entry: Element, *, ordinal: int) -> StatementLine:
    amount, currency = _amount(entry, where=f"Ntry {ordinal}")
    day = _text(_descendant(entry, "ValDt", "Dt"))
    value_date = _day(day)
    if value_date is None:
        raise UnreadableStatementError(f"Ntry {ordinal}: the value date {day!r} is no date.")
    transaction = _first_transaction(entry)
    reference, remittance = None, None
    if transaction is not None:
        reference = _text(_descendant(transaction, "Refs", "EndToEndId"))
        remittance = _unstructured(transaction)
    return StatementLine(
        reference=present(reference),
        amount=amount,
        currency=currency,
        value_date=value_date,
        ordinal=ordinal,
        text=remittance or _text(_child(entry, "AddtlNtryInf")) or "",
    )


def _first_transaction(entry: Element) -> Element | None:
    transactions = (
        transaction
        for details in _children(entry, "NtryDtls")
        for transaction in _children(details, "TxDtls")
    )
    return next(transactions, None)


def _unstructured(transaction: Element) -> str:
    remittance = _child(transaction, "RmtInf")
    pieces = [] if remittance is None else _children(remittance, "Ustrd")
    return "\n".join(piece.text or "" for piece in pieces)


def _amount(parent: Element, *, where: str) -> tuple[Decimal, str | None]:
    """The signed amount and its currency, from `Amt` and `CdtDbtInd`."""
    element = _child(parent, "Amt")
    text = _text(element)
    number = parse_number(text or "")
    if element is None or number is None:
        raise UnreadableStatementError(f"{where}: the amount {text!r} is no number.")
    indicator = _text(_child(parent, "CdtDbtInd"))
    if indicator not in ("CRDT", "DBIT"):
        raise UnreadableStatementError(
            f"{where}: the indicator {indicator!r} is neither CRDT nor DBIT."
        )
    return signed(number, credit=indicator == "CRDT"), element.get("Ccy")


def _day(text: str | None) -> date | None:
    if text is None or not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _children(parent: Element, name: str) -> list[Element]:
    """Children of that name in the parent's own namespace."""
    namespace = parent.tag[: parent.tag.rfind("}") + 1]
    return [child for child in parent if child.tag == namespace + name]


def _child(parent: Element, name: str) -> Element | None:
    found = _children(parent, name)
    if len(found) > 1:
        raise UnreadableStatementError(f"{parent.tag} holds {len(found)} elements {name}, not one.")
    return found[0] if found else None


def _descendant(parent: Element, *names: str) -> Element | None:
    element: Element | None = parent
    for name in names:
        element = None if element is None else _child(element, name)
    return element


def _text(element: Element | None) -> str | None:
    """What stands in the element; None if there is no such element or nothing in it."""
    if element is None:
        return None
    if len(element):
        raise UnreadableStatementError(f"{element.tag} holds elements where its value should be.")
    return element.text
