"""ISO 20022 pain.001.001.09: the XML by which a bank is told to pay.

One file has one block of payments: one debtor account, one day. The order of elements is that of
the message definition, and every file is held against it before anybody gets it.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from defusedxml.ElementTree import fromstring

from accounts.payees import Payee, is_iban
from ledger.currencies import digits_of
from ledger.exact import EXACT
from ledger.schemas import faults

MESSAGE: Final = "pain.001.001.09"
NAMESPACE: Final = f"urn:iso:std:iso:20022:tech:xsd:{MESSAGE}"
NAME_LENGTH_MAX: Final = 140
ACCOUNT_LENGTH_MAX: Final = 34
# Control characters, halves of characters, unassigned ones, and marks that turn the direction of
# text round: no bank shows them as they are meant.
_UNWRITABLE: Final = frozenset({"Cc", "Cs", "Cn", "Co"})
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Transfer:
    """One payment as the bank reads it; the amount has the decimals of its asset."""

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
        with localcontext(EXACT):
            return sum((each.amount for each in self.transfers), Decimal(0))


class CannotOrderError(Exception):
    """No such file can be written; the message says why, for the desk."""


def pain_001(order: Order) -> bytes:
    """The file, in UTF-8.

    Raises:
        CannotOrderError: the file would not pass the bank's schema, or not say what the order
            says; the sentence names the payment and the field.
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
    content = bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"
    check_file(content)
    return content


def check_file(content: bytes) -> None:
    """Refuse a file that the schema does not let pass, or whose totals are not of its payments.

    Raises:
        CannotOrderError: naming the first payment and field.
    """
    for fault in faults(content, message=MESSAGE):
        raise CannotOrderError(f"Not a file of {MESSAGE}: {fault}.")
    names = {"": NAMESPACE}
    message = fromstring(content)[0]
    amounts = [Decimal(each.text or "0") for each in message.iterfind(".//InstdAmt", names)]
    with localcontext(EXACT):
        total = sum(amounts, Decimal(0))
    for part in ("GrpHdr", "PmtInf"):
        count = message.findtext(f"{part}/NbOfTxs", "", names)
        told = message.findtext(f"{part}/CtrlSum", "", names)
        if (int(count), Decimal(told)) != (len(amounts), total):
            raise CannotOrderError(f"{part}: its totals are not those of its payments.")


def _check(order: Order) -> None:
    """What no schema says: what a bank cannot show, currencies and their decimals, one of each."""
    _check_text("", "Dbtr/Nm", order.debtor)
    _check_text("", "DbtrAcct/Id", order.debtor_account)
    if not 0 < len(order.debtor_account) <= ACCOUNT_LENGTH_MAX:
        raise CannotOrderError("The bank's account has no number of up to 34 characters.")
    seen = set()
    for transfer in order.transfers:
        said, payee = transfer.end_to_end_id, transfer.payee
        if said in seen:
            raise CannotOrderError(f"Payment {said}, PmtId/EndToEndId: it is in the file twice.")
        seen.add(said)
        _check_text(said, "Cdtr/Nm", payee.name)
        _check_text(said, "CdtrAcct/Id", payee.iban or payee.account)
        if payee.iban and not is_iban(payee.iban):
            detail = "the check digits are not right"
            raise CannotOrderError(f"Payment {said}, CdtrAcct/Id/IBAN: {detail}.")
        _written(transfer)


def _check_text(payment: str, field: str, text: str) -> None:
    where = f"Payment {payment}, {field}" if payment else field
    if not text.strip():
        raise CannotOrderError(f"{where}: it is empty.")
    for each in text:
        if unicodedata.category(each) in _UNWRITABLE or each in _TURNING:
            detail = f"the character U+{ord(each):04X} is none that a bank can show"
            raise CannotOrderError(f"{where}: {detail}.")


def _written(transfer: Transfer) -> str:
    """The amount with the decimals of its currency, as banks write it.

    Raises:
        CannotOrderError: it is no currency, or the amount has more decimals than it has.
    """
    where = f"Payment {transfer.end_to_end_id}, Amt/InstdAmt"
    digits = digits_of(transfer.currency)
    if digits is None:
        detail = f"{transfer.currency} is no currency of ISO 4217; write a CSV"
        raise CannotOrderError(f"{where}: {detail}.")
    with localcontext(EXACT):
        amount = transfer.amount.quantize(Decimal(1).scaleb(-digits))
        if amount != transfer.amount or amount <= 0:
            detail = f"{transfer.amount} is no amount above zero with {digits} decimals"
            raise CannotOrderError(f"{where}: {detail}.")
        return format(amount, "f")


def _totals(parent: Element, order: Order) -> None:
    _text(parent, "NbOfTxs", str(len(order.transfers)))
    _text(parent, "CtrlSum", format(order.control_sum, "f"))


def _account(parent: Element, number: str) -> None:
    place = SubElement(parent, "Id")
    if is_iban(number):
        _text(place, "IBAN", number)
    else:
        _text(SubElement(place, "Othr"), "Id", number)


def _transfer(parent: Element, transfer: Transfer) -> None:
    _text(SubElement(parent, "PmtId"), "EndToEndId", transfer.end_to_end_id)
    amount = SubElement(SubElement(parent, "Amt"), "InstdAmt", Ccy=transfer.currency)
    amount.text = _written(transfer)
    if transfer.payee.bic:
        agent = SubElement(SubElement(parent, "CdtrAgt"), "FinInstnId")
        _text(agent, "BICFI", transfer.payee.bic)
    _text(SubElement(parent, "Cdtr"), "Nm", transfer.payee.name)
    _account(SubElement(parent, "CdtrAcct"), transfer.payee.iban or transfer.payee.account)
    _text(SubElement(parent, "RmtInf"), "Ustrd", transfer.end_to_end_id)


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
