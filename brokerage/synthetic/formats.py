"""Statements as text: camt.053, MT940 and BAI2, correct or spoilt on request."""

from decimal import Decimal
from xml.sax.saxutils import escape

from brokerage.synthetic.statements import Statement, StatementLine

EXPANSION = '<!DOCTYPE Document [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>\n'
CAMT_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def amount_text(amount: Decimal) -> str:
    """Without its sign; at least two decimals, more where the amount has them."""
    places = max(2, -int(amount.as_tuple().exponent))
    return f"{abs(amount):.{places}f}"


def spoil_text(text: str, statement: Statement, ways: tuple[tuple[str, str], ...]) -> str:
    """The text with one of the replacements that can be made in it."""
    if statement.spoilt is None or not statement.spoilt.startswith("unreadable"):
        return text
    possible = [(old, new) for old, new in ways if old in text]
    old, new = possible[int(statement.spoilt.partition(":")[2]) % len(possible)]
    return text.replace(old, new, 1)


# --- camt.053.001.08 ------------------------------------------------------------------------------


def camt_text(statement: Statement) -> str:
    day, stamp = statement.day.isoformat(), f"{statement.day:%y%m%d}"
    account = f"<Othr><Id>{statement.account_id}</Id></Othr>" if statement.account_id else ""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Document xmlns="{CAMT_NAMESPACE}">',
        " <BkToCstmrStmt>",
        f"  <GrpHdr><MsgId>CL{stamp}{statement.number:05}</MsgId>"
        f"<CreDtTm>{day}T22:00:00Z</CreDtTm></GrpHdr>",
        "  <Stmt>",
        f"   <Id>CL{stamp}</Id>",
        f"   <ElctrncSeqNb>{statement.number}</ElctrncSeqNb>",
        f"   <CreDtTm>{day}T22:00:00Z</CreDtTm>",
        f"   <Acct><Id>{account}</Id><Ccy>{statement.currency}</Ccy></Acct>",
        camt_balance("OPBD", statement.opening, statement),
        camt_balance("CLBD", statement.closing, statement),
        *(camt_entry(n, line, statement) for n, line in enumerate(statement.lines, start=1)),
        "  </Stmt>",
        " </BkToCstmrStmt>",
        "</Document>",
    ]
    ways = (
        ("</Stmt>", ""),
        ("<Document", f"{EXPANSION}<Document"),
        ("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>"),
        ("<CdtDbtInd>CRDT", "<CdtDbtInd>CREDIT"),
        ("<CdtDbtInd>DBIT", "<CdtDbtInd>DEBIT"),
        (".", ","),
        (f"<ValDt><Dt>{day}", f"<ValDt><Dt>{day[:8]}32"),
        (CAMT_NAMESPACE, CAMT_NAMESPACE.replace("053", "052")),
        ("</Stmt>", "</Stmt><Stmt></Stmt>"),
    )  # fmt: skip
    return spoil_text("\n".join(parts) + "\n", statement, ways)


def indicator(amount: Decimal) -> str:
    return "DBIT" if amount < 0 else "CRDT"


def camt_amount(amount: Decimal, statement: Statement) -> str:
    return (
        f'<Amt Ccy="{statement.currency}">{amount_text(amount)}</Amt>'
        f"<CdtDbtInd>{indicator(amount)}</CdtDbtInd>"
    )


def camt_balance(kind: str, amount: Decimal, statement: Statement) -> str:
    return (
        f"   <Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{camt_amount(amount, statement)}"
        f"<Dt><Dt>{statement.day}</Dt></Dt></Bal>"
    )


def camt_entry(number: int, line: StatementLine, statement: Statement) -> str:
    reference = ""
    if line.reference is not None:
        reference = f"<Refs><EndToEndId>{escape(line.reference)}</EndToEndId></Refs>"
    return (
        f"   <Ntry><NtryRef>{number}</NtryRef>{camt_amount(line.amount, statement)}"
        f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{statement.day}</Dt></BookgDt>"
        f"<ValDt><Dt>{line.value_date}</Dt></ValDt>"
        f"<AcctSvcrRef>B{statement.day:%y%m%d}{number:06}</AcctSvcrRef>"
        "<BkTxCd><Prtry><Cd>TRF</Cd></Prtry></BkTxCd>"
        f"<NtryDtls><TxDtls>{reference}</TxDtls></NtryDtls></Ntry>"
    )


# --- MT940 ----------------------------------------------------------------------------------------


def comma(amount: Decimal) -> str:
    return amount_text(amount).replace(".", ",")


def mt940_text(statement: Statement) -> str:
    stamp = f"{statement.day:%y%m%d}"
    lines = [f":20:HS{stamp}{statement.number:04}"]
    if statement.account_id:
        lines.append(f":25:{statement.account_id}")
    lines += [f":28C:{statement.number}/1", f":60F:{mt940_balance(statement.opening, statement)}"]
    for number, line in enumerate(statement.lines, start=1):
        sign = "D" if line.amount < 0 else "C"
        value, booked = f"{line.value_date:%y%m%d}", f"{statement.day:%m%d}"
        lines.append(
            f":61:{value}{booked}{sign}{comma(line.amount)}NTRF{line.reference or ''}"
            f"//B{stamp}{number:06}"
        )
        lines.append(f":86:HOUSE MOVEMENT {number}")
    lines += [f":62F:{mt940_balance(statement.closing, statement)}", "-"]
    ways = (
        (":60F:", ":60M:"),
        (":62F:", ":62M:"),
        (f":61:{stamp}{statement.day:%m%d}C", f":61:{stamp}{statement.day:%m%d}RC"),
        (f":61:{stamp}", f":61:{stamp[:4]}32"),
        (",", "."),
        ("-\r\n", f"-\r\n:20:HS{stamp}9999\r\n"),
        (":62F:C", ":62F:X"),
        (":62F:D", ":62F:X"),
    )
    return spoil_text("\r\n".join(lines) + "\r\n", statement, ways)


def mt940_balance(amount: Decimal, statement: Statement) -> str:
    sign = "D" if amount < 0 else "C"
    return f"{sign}{statement.day:%y%m%d}{statement.currency}{comma(amount)}"


# --- BAI2 -----------------------------------------------------------------------------------------


def bai2_text(statement: Statement) -> str:
    stamp = f"{statement.day:%y%m%d}"
    opening, closing = (int(one * 100) for one in (statement.opening, statement.closing))
    records = [
        f"01,7700BANK,BROKER01,{stamp},2200,{statement.number},,,2/",
        f"02,BROKER01,7700BANK,1,{stamp},2100,{statement.currency},2/",
        f"03,{statement.account_id},{statement.currency},010,{opening},,,015,{closing},,/",
    ]
    total = opening + closing
    for number, line in enumerate(statement.lines, start=1):
        cents = int(abs(line.amount) * 100)
        total += cents
        kind = "495" if line.amount < 0 else "195"
        records.append(
            f"16,{kind},{cents},V,{line.value_date:%y%m%d},,B{stamp}{number:06},"
            f"{line.reference or ''},MOVEMENT {number}/"
        )
    count = len(records)
    trailers = [
        f"49,{total},{count - 1}/",
        f"98,{total},1,{count + 1}/",
        f"99,{total},1,{count + 3}/",
    ]
    if statement.spoilt is not None and statement.spoilt.startswith("control_total"):
        spoil_trailers(trailers, int(statement.spoilt.partition(":")[2]), total, count)
    ways = (
        (",V,", ",Z,"),
        ("16,195", "16,142"),
        ("16,495", "16,475"),
        (f"V,{stamp}", f"V,{stamp[:4]}32"),
        (",010,", ",040,"),
        (f"010,{opening},", f"010,{opening}.0,"),
        (records[1] + "\n", ""),
        (records[2] + "\n", f"{records[2]}\n{records[2]}\n"),
    )
    return spoil_text("\n".join([*records, *trailers]) + "\n", statement, ways)


def spoil_trailers(trailers: list[str], choice: int, total: int, count: int) -> None:
    """A sum or a count that is not so, or a trailer that is not there."""
    wrong = (
        (0, f"49,{total + 1},{count - 1}/"),
        (0, f"49,{total},{count}/"),
        (1, f"98,{total - 100},1,{count + 1}/"),
        (1, f"98,{total},2,{count + 1}/"),
        (2, f"99,{total},1,{count + 2}/"),
        (2, ""),
    )
    at, text = wrong[choice % len(wrong)]
    trailers[at : at + 1] = [text] if text else []
