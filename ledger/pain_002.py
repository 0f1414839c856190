"""ISO 20022 pain.002, the bank's word on a payment file: of all of it, or of single payments.

Versions whose schema is known are held against it; of any other the elements named here are read,
which are the same in all of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ledger.schemas import KNOWN, faults
from ledger.statements.rows import parse_number

REJECTED: Final = "RJCT"
PART: Final = "PART"
SETTLED: Final = frozenset({"ACSC", "ACCC"})
# What adds evidence: received, checked, accepted, waiting or settled.
ACCEPTED: Final = SETTLED | {"RCVD", "ACTC", "ACCP", "ACWC", "ACSP", "ACFC", "PDNG", "PATC"}
_ROOT: Final = re.compile(
    r"\{urn:iso:std:iso:20022:tech:xsd:(pain\.002\.001\.(?:0[3-9]|1[0-9]))\}Document"
)
CODE_LENGTH_MAX: Final = 35


@dataclass(frozen=True, slots=True)
class Said:
    """A status and the reason for it: a code of ISO, or the bank's own word."""

    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PaymentSaid:
    """What is said of one payment; the amount and currency where the bank repeats them."""

    end_to_end_id: str
    said: Said
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """One report on one payment file.

    Attributes:
        version: such as pain.002.001.10.
        message_id: the bank's own.
        original_message_id: of the file that was sent.
        whole: of the file, or of its one block; None where it says nothing of all.
        count, control_sum: of the original file, where repeated.
    """

    version: str
    message_id: str
    original_message_id: str
    whole: Said | None
    count: int | None
    control_sum: Decimal | None
    payments: tuple[PaymentSaid, ...]


class UnreadableReportError(Exception):
    """No such report; the message says why."""


def parse_pain_002(content: bytes) -> StatusReport:
    """Read a status report.

    Raises:
        UnreadableReportError: not well-formed, a document type, another message, against its
            schema, or without what a report has.
    """
    version, root = _document(content)
    report = _one(root, "CstmrPmtStsRpt")
    group = _one(report, "OrgnlGrpInfAndSts")
    blocks = _all(report, "OrgnlPmtInfAndSts")
    told = [_said(group, "GrpSts"), *(_said(block, "PmtInfSts") for block in blocks)]
    # A file of ours has one block, so what is said of it is said of all; the last is the nearest.
    whole = next((said for said in reversed(told) if said is not None), None)
    count = _text(group, "OrgnlNbOfTxs")
    return StatusReport(
        version=version,
        message_id=_needed(_one(report, "GrpHdr"), "MsgId"),
        original_message_id=_needed(group, "OrgnlMsgId"),
        whole=whole,
        count=int(count) if re.fullmatch("[0-9]{1,15}", count) else None,
        control_sum=_number(group, "OrgnlCtrlSum"),
        payments=tuple(_payment(each) for block in blocks for each in _all(block, "TxInfAndSts")),
    )


def _document(content: bytes) -> tuple[str, Element]:
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise UnreadableReportError("It declares a document type or an entity.") from error
    except (ParseError, LookupError, ValueError) as error:
        raise UnreadableReportError(f"It is not well-formed XML: {error}.") from error
    named = _ROOT.fullmatch(root.tag)
    if named is None:
        raise UnreadableReportError("It is no pain.002.001 of version 03 or later.")
    version = named[1]
    for fault in faults(content, message=version) if version in KNOWN else ():
        raise UnreadableReportError(f"Not a file of {version}: {fault}.")
    return version, root


def _payment(element: Element) -> PaymentSaid:
    amount: Element | None = element
    for name in ("OrgnlTxRef", "Amt", "InstdAmt"):
        amount = None if amount is None else next(iter(_all(amount, name)), None)
    said = _said(element, "TxSts")
    if said is None:
        raise UnreadableReportError("A payment in it has no status.")
    number = None if amount is None else parse_number(amount.text or "")
    if amount is not None and number is None:
        raise UnreadableReportError("The amount of a payment in it is no number.")
    currency = "" if amount is None else amount.get("Ccy", "")
    return PaymentSaid(_text(element, "OrgnlEndToEndId"), said, number, currency)


def _said(element: Element, name: str) -> Said | None:
    status = _text(element, name)
    if not status:
        return None
    reasons = (
        _text(reason, code)
        for information in _all(element, "StsRsnInf")
        for reason in _all(information, "Rsn")
        for code in ("Cd", "Prtry")
    )
    reason = next((each for each in reasons if each), "")
    return Said(status[:CODE_LENGTH_MAX], reason[:CODE_LENGTH_MAX])


def _all(parent: Element, name: str) -> list[Element]:
    """Children of that name in the parent's own namespace."""
    namespace = parent.tag[: parent.tag.rfind("}") + 1]
    return [child for child in parent if child.tag == namespace + name]


def _one(parent: Element, name: str) -> Element:
    found = _all(parent, name)
    if len(found) != 1:
        raise UnreadableReportError(f"It holds {len(found)} elements {name}, not one.")
    return found[0]


def _texts(parent: Element, name: str) -> Iterator[str]:
    for each in _all(parent, name):
        if len(each):
            raise UnreadableReportError(f"{name} holds elements where its value should be.")
        yield (each.text or "").strip()


def _text(parent: Element, name: str) -> str:
    found = list(_texts(parent, name))
    if len(found) > 1:
        raise UnreadableReportError(f"It holds {len(found)} elements {name}, not one.")
    return found[0] if found else ""


def _needed(parent: Element, name: str) -> str:
    text = _text(parent, name)
    if not 0 < len(text) <= CODE_LENGTH_MAX:
        raise UnreadableReportError(f"{name} is not of 1 to {CODE_LENGTH_MAX} characters.")
    return text


def _number(parent: Element, name: str) -> Decimal | None:
    text = _text(parent, name)
    number = parse_number(text) if text else None
    if text and number is None:
        raise UnreadableReportError(f"{name} is no number.")
    return number
