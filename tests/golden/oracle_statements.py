"""Bank statements read plainly: the three formats of section 8.

A reader returns one dictionary or raises `UnreadableError`. Amounts are signed, credits positive.
"""

import re
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tests.golden.oracle_reading import decimals, number

Statement = dict[str, Any]
CAMT = "{urn:iso:std:iso:20022:tech:xsd:camt.053.001.08}"
MT940_BALANCE = re.compile(r"(?P<sign>[CD]).{6}(?P<currency>[A-Z]{3})(?P<amount>[0-9]+,[0-9]*)")
MT940_LINE = re.compile(
    r"(?P<date>[0-9]{6})([0-9]{4})?(?P<sign>[CD])(?P<amount>[0-9]+,[0-9]*)"
    r"[A-Z][A-Z0-9]{3}(?P<rest>.*)"
)
MT940_BALANCES = ("60F", "60M", "62F", "62M", "64", "65")
COUNT = re.compile(r"[0-9]+")


class UnreadableError(Exception):
    pass


def need(holds: object) -> None:
    if not holds:
        raise UnreadableError


def signed(text: str, credit: bool) -> Fraction:
    value = number(text)
    need(value is not None)
    assert value is not None
    return value if credit else -value


def day(text: str) -> str:
    """An ISO date, checked; six digits are YYMMDD."""
    if re.fullmatch(r"[0-9]{6}", text):
        text = f"20{text[:2]}-{text[2:4]}-{text[4:]}"
    need(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text))
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UnreadableError from error


# --- camt.053 -------------------------------------------------------------------------------------


def read_camt(path: Path) -> Statement:
    try:
        root = fromstring(path.read_bytes(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableError from error
    need(root.tag == f"{CAMT}Document")
    statements = root.findall(f"{CAMT}BkToCstmrStmt/{CAMT}Stmt")
    need(len(statements) == 1)
    statement = statements[0]
    balances: dict[str, list[Fraction]] = {"OPBD": [], "CLBD": []}
    currencies = set()
    for balance in statement.findall(f"{CAMT}Bal"):
        amount, _, currency = camt_amount(balance)
        currencies.add(currency)
        balances.setdefault(camt_text(balance, "Tp/CdOrPrtry/Cd"), []).append(amount)
    need(len(balances["OPBD"]) == len(balances["CLBD"]) == 1)
    lines = []
    for entry in statement.findall(f"{CAMT}Ntry"):
        amount, places, currency = camt_amount(entry)
        first = entry.find(f"{CAMT}NtryDtls/{CAMT}TxDtls")
        lines.append(
            {
                "reference": (camt_text(first, "Refs/EndToEndId") or None)
                if first is not None
                else None,
                "amount": amount,
                "places": places,
                "currency": currency,
                "value_date": day(camt_text(entry, "ValDt/Dt")),
            }
        )
    return {
        "account": camt_text(statement, "Acct/Id/Othr/Id"),
        "opening": balances["OPBD"][0],
        "closing": balances["CLBD"][0],
        "currencies": currencies,
        "lines": lines,
        "controls_agree": True,
    }


def camt_text(element: Element, path: str) -> str:
    found = element.find("/".join(CAMT + step for step in path.split("/")))
    return (found.text or "") if found is not None else ""


def camt_amount(element: Element) -> tuple[Fraction, int, str]:
    indicator = camt_text(element, "CdtDbtInd")
    need(indicator in {"CRDT", "DBIT"})
    amount = element.find(f"{CAMT}Amt")
    need(amount is not None)
    assert amount is not None
    text = amount.text or ""
    return signed(text, indicator == "CRDT"), decimals(text), amount.get("Ccy", "")


# --- MT940 ----------------------------------------------------------------------------------------


def read_mt940(path: Path) -> Statement:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError from error
    fields = mt940_fields(text)
    values: dict[str, list[str]] = {}
    for tag, value in fields:
        values.setdefault(tag, []).append(value)
    for tag in ("20", "60F", "62F"):
        need(len(values.get(tag, [])) == 1)
    need(len(values.get("25", [])) <= 1)
    opening, _ = mt940_balance(values["60F"][0])
    closing, _ = mt940_balance(values["62F"][0])
    balances = [text for tag in MT940_BALANCES for text in values.get(tag, [])]
    return {
        "account": values.get("25", [""])[0],
        "opening": opening,
        "closing": closing,
        "currencies": {mt940_balance(text)[1] for text in balances},
        "lines": [mt940_line(value) for value in values.get("61", [])],
        "controls_agree": True,
    }


def mt940_fields(text: str) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    ended = False
    for line in text.replace("\r\n", "\n").split("\n"):
        tag = re.match(r":([0-9]{2}[A-Z]?):", line)
        if ended:
            need(not line.strip())
        elif tag:
            fields.append((tag[1], line[tag.end() :]))
        elif line == "-":
            ended = True
        else:
            need(fields or not line)  # a further line of the field before it
    need(fields)
    return fields


def mt940_balance(text: str) -> tuple[Fraction, str]:
    found = MT940_BALANCE.fullmatch(text)
    need(found)
    assert found
    return signed(point(found["amount"]), found["sign"] == "C"), found["currency"]


def mt940_line(text: str) -> dict[str, Any]:
    found = MT940_LINE.fullmatch(text)
    need(found)
    assert found
    amount = point(found["amount"])
    return {
        "reference": found["rest"].partition("//")[0] or None,
        "amount": signed(amount, found["sign"] == "C"),
        "places": decimals(amount),
        "currency": "USD",
        "value_date": day(found["date"]),
    }


def point(amount: str) -> str:
    """SWIFT writes a comma, and may leave out the decimals after it."""
    whole, _, fraction = amount.partition(",")
    return f"{whole}.{fraction}" if fraction else whole


# --- BAI2 -----------------------------------------------------------------------------------------


def read_bai2(path: Path) -> Statement:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError from error
    records = [line.rstrip("/").split(",") for line in text.splitlines() if line]
    codes = [record[0] for record in records]
    need(set(codes) <= {"01", "02", "03", "16", "49", "88", "98", "99"})
    body = [code for code in codes if code not in {"49", "98", "99"}]
    need(body[:3] == ["01", "02", "03"] and not {"01", "02", "03"} & set(body[3:]))
    joined: list[list[str]] = []
    for record in records:
        if record[0] == "88":
            joined[-1].extend(record[1:])
        else:
            joined.append(list(record))
    header = next(record for record in joined if record[0] == "03")
    group = next(record for record in joined if record[0] == "02")
    summary, summary_total = bai2_summary(header)
    need("010" in summary and "015" in summary)
    currency = part(header, 2) or part(group, 6) or "USD"
    lines = [bai2_line(record, currency) for record in joined if record[0] == "16"]
    total = summary_total + sum(abs(line["amount"]) * 100 for line in lines)
    trailers = [record for record in joined if record[0] in {"49", "98", "99"}]
    return {
        "account": part(header, 1),
        "opening": summary["010"] / 100,
        "closing": summary["015"] / 100,
        "currencies": {currency},
        "lines": lines,
        "controls_agree": bai2_controls_agree(codes, trailers, Fraction(total)),
    }


def part(record: list[str], index: int) -> str:
    return record[index] if index < len(record) else ""


def bai2_summary(header: list[str]) -> tuple[dict[str, Fraction], Fraction]:
    """Type code -> amount in cents of an account record, and the sum of all of them."""
    result: dict[str, Fraction] = {}
    total, at = Fraction(0), 3
    while at < len(header) and header[at]:
        text = part(header, at + 1)
        if text or header[at] in {"010", "015"}:
            need(re.fullmatch(r"-?[0-9]+", text))
            result.setdefault(header[at], Fraction(text))
            total += Fraction(text)
        at += 4 + {"V": 2, "S": 3}.get(part(header, at + 3), 0)
    return result, total


def bai2_line(record: list[str], currency: str) -> dict[str, Any]:
    need(part(record, 1) in {"195", "495"})
    need(part(record, 3) == "V")
    text = part(record, 2)
    need(re.fullmatch(r"-?[0-9]+", text))
    return {
        "reference": part(record, 7) or None,
        "amount": signed(text, part(record, 1) == "195") / 100,
        "places": 2,
        "currency": currency,
        "value_date": day(part(record, 4)),
    }


def bai2_controls_agree(codes: list[str], trailers: list[list[str]], total: Fraction) -> bool:
    """Sum and counts of the account, group and file trailers."""
    if [record[0] for record in trailers] != ["49", "98", "99"]:
        return False
    if codes[-3:] != ["49", "98", "99"]:
        return False
    count = len(codes)
    account, group, file = (record[1:] for record in trailers)
    return (
        whole(account) == [total, count - 4]
        and whole(group) == [total, 1, count - 2]
        and whole(file) == [total, 1, count]
    )


def whole(texts: list[str]) -> list[Fraction | None]:
    """The first text is a sum and may be negative, the others are counts."""
    if not texts:
        return []
    sum_of = Fraction(texts[0]) if re.fullmatch(r"-?[0-9]+", texts[0]) else None
    return [sum_of, *(Fraction(t) if COUNT.fullmatch(t) else None for t in texts[1:])]


READERS = {
    "bank:client-usd": read_camt,
    "bank:house-usd": read_mt940,
    "bank:insurance-usd": read_bai2,
}


def fault_of(
    statement: Statement, *, account_id: str, business_day: str, previous_closing: Fraction | None
) -> str | None:
    """The first reason to reject a readable statement, or None."""
    if statement["account"] != account_id:
        return "wrong_account"
    currencies = statement["currencies"] | {line["currency"] for line in statement["lines"]}
    days = {line["value_date"] for line in statement["lines"]}
    if currencies != {"USD"} or days - {business_day}:
        return "wrong_currency_or_date"
    if not statement["controls_agree"]:
        return "control_total"
    lines_total = sum((line["amount"] for line in statement["lines"]), Fraction(0))
    if statement["opening"] + lines_total != statement["closing"]:
        return "sum"
    if previous_closing is not None and statement["opening"] != previous_closing:
        return "opening"
    return None
