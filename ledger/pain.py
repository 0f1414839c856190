"""ISO 20022 pain.001.001.09: the XML by which a bank is told to pay.

One file has one block of payments: one debtor account, one day. The order of elements is that of
the message definition.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from accounts.figures import plain
from accounts.payees import Payee, is_iban

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_CURRENCY = re.compile(r"[A-Z]{3}")
NAME_LENGTH_MAX: Final = 140
ACCOUNT_LENGTH_MAX: Final = 34


@dataclass(frozen=True, slots=True)
class Transfer:
    """One payment as the bank reads it."""

    end_to_end_id: str
    payee: Payee
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Order:
    """Payments of one debtor account and day.

    Attributes:
        debtor: the name in which the bank keeps the account.
        debtor_account: IBAN, or the bank's own number.
    """

    message_id: str
    created_at: datetime
    pay_on: date
    debtor: str
    debtor_account: str
    transfers: Sequence[Transfer]

    @property
    def control_sum(self) -> Decimal:
        """The sum of all amounts, as the file says it."""
        return sum((each.amount for each in self.transfers), Decimal(0))


class CannotOrderError(Exception):
    """No such file can be written; the message says why, for the desk."""


def pain_001(order: Order) -> bytes:
    """The file, in UTF-8.

    Raises:
        CannotOrderError: a currency has no code of three letters, or the debtor no account.
    """
    _check(order)
    root = Element("Document", xmlns=NAMESPACE)
    message = SubElement(root, "CstmrCdtTrfInitn")
    header = SubElement(message, "GrpHdr")
    _text(header, "MsgId", order.message_id)
    _text(header, "CreDtTm", order.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _totals(header, order)
    _text(SubElement(header, "InitgPty"), "Nm", order.debtor[:NAME_LENGTH_MAX])
    block = SubElement(message, "PmtInf")
    _text(block, "PmtInfId", order.message_id)
    _text(block, "PmtMtd", "TRF")
    _totals(block, order)
    _text(SubElement(block, "ReqdExctnDt"), "Dt", order.pay_on.isoformat())
    _text(SubElement(block, "Dbtr"), "Nm", order.debtor[:NAME_LENGTH_MAX])
    _account(SubElement(block, "DbtrAcct"), order.debtor_account)
    other = SubElement(SubElement(SubElement(block, "DbtrAgt"), "FinInstnId"), "Othr")
    # The bank knows its own customer by the account; nothing else is asked of a debtor agent.
    _text(other, "Id", "NOTPROVIDED")
    _text(block, "ChrgBr", "SHAR")
    for transfer in order.transfers:
        _transfer(SubElement(block, "CdtTrfTxInf"), transfer)
    indent(root)
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


def _check(order: Order) -> None:
    wrong = next((t for t in order.transfers if not _CURRENCY.fullmatch(t.currency)), None)
    if wrong is not None:
        raise CannotOrderError(f"{wrong.currency} is no currency of pain.001; write a CSV.")
    if not 0 < len(order.debtor_account) <= ACCOUNT_LENGTH_MAX:
        raise CannotOrderError("The bank's account has no number of up to 34 characters.")


def _totals(parent: Element, order: Order) -> None:
    _text(parent, "NbOfTxs", str(len(order.transfers)))
    _text(parent, "CtrlSum", plain(order.control_sum))


def _account(parent: Element, number: str) -> None:
    place = SubElement(parent, "Id")
    if is_iban(number):
        _text(place, "IBAN", number)
    else:
        _text(SubElement(place, "Othr"), "Id", number)


def _transfer(parent: Element, transfer: Transfer) -> None:
    _text(SubElement(parent, "PmtId"), "EndToEndId", transfer.end_to_end_id)
    amount = SubElement(SubElement(parent, "Amt"), "InstdAmt", Ccy=transfer.currency)
    amount.text = plain(transfer.amount)
    if transfer.payee.bic:
        agent = SubElement(SubElement(parent, "CdtrAgt"), "FinInstnId")
        _text(agent, "BICFI", transfer.payee.bic)
    _text(SubElement(parent, "Cdtr"), "Nm", transfer.payee.name)
    _account(SubElement(parent, "CdtrAcct"), transfer.payee.iban or transfer.payee.account)
    _text(SubElement(parent, "RmtInf"), "Ustrd", transfer.end_to_end_id)


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
