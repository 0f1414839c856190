"""ISO 20022 messages held against the schemas that ISO publishes; nothing is fetched."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

from lxml import etree

_FOLDER: Final = Path(__file__).parent
KNOWN: Final = frozenset(path.stem for path in _FOLDER.glob("*.xsd"))
# What validated keeps its errors in one place, so one file is validated at a time.
_ONE_AT_A_TIME: Final = Lock()
_NAMESPACE = re.compile(r"\{urn:[^}]*\}")
_VALUE = re.compile(r"The value '.*' (?=is not|has more)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """What the schema has against a file.

    Attributes:
        payment: end-to-end id of the payment it is in; "" above all payments.
        field: elements on the way to it, such as Cdtr/Nm.
        why: without the value, which may be a person's.
    """

    payment: str
    field: str
    why: str

    def __str__(self) -> str:
        where = f"payment {self.payment}, {self.field}" if self.payment else self.field
        return f"{where}: {self.why}"


def faults(content: bytes, *, message: str) -> list[Fault]:
    """What a message definition, such as pain.001.001.09, has against a file; none if it fits.

    What is of one payment comes before what is of all.
    """
    # A parser of its own: it expands nothing, fetches nothing and has the limits of libxml2.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as wrong:
        return [Fault("", f"line {wrong.lineno}", "not well-formed XML")]
    with _ONE_AT_A_TIME:
        schema = _schema(message)
        if schema.validate(root):
            return []
        log: Any = schema.error_log  # its type has no stub
        errors = [(str(each.path or ""), str(each.message)) for each in log]
    found = [_fault(root, path, said) for path, said in errors]
    return sorted(found, key=lambda fault: not fault.payment)


@cache
def _schema(message: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(_FOLDER / f"{message}.xsd"))


def _fault(root: etree._Element, path: str, said: str) -> Fault:
    found = root.getroottree().xpath(path) if path else []
    element = found[0] if isinstance(found, list) and found else root
    if not isinstance(element, etree._Element):
        element = root
    way: list[str] = []
    payment = ""
    at: etree._Element | None = element
    while at is not None and at is not root:
        name = etree.QName(at).localname
        if name == "CdtTrfTxInf":
            payment = at.findtext("{*}PmtId/{*}EndToEndId") or ""
            break
        way.append(name)
        at = at.getparent()
    field = "/".join(reversed(way)) or "Document"
    words = _NAMESPACE.sub("", said).removeprefix(f"Element '{etree.QName(element).localname}'")
    return Fault(payment, field, _VALUE.sub("the value ", words.lstrip(": ")).rstrip("."))
