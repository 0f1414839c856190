"""Statements as a bank would write them, in each of the three formats."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

DAY = date(2018, 2, 1)


@dataclass(frozen=True)
class Content:
    """What a statement is to say; amounts in USD, credits positive."""

    opening: Decimal = Decimal("100.00")
    lines: tuple[tuple[str | None, Decimal, str], ...] = (
        ("RF1", Decimal("25.50"), "FIRST"),
        ("T-2", Decimal("-40.00"), "SECOND"),
    )
    account: str = "ACC1"
    currency: str = "USD"
    day: date = DAY

    @property
    def closing(self) -> Decimal:
        return self.opening + sum((amount for _, amount, _ in self.lines), Decimal("0.00"))


def camt(content: Content) -> str:
    entries = "".join(_camt_entry(content, *line) for line in content.lines)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>\n'
        "<GrpHdr><MsgId>M1</MsgId></GrpHdr>\n<Stmt><Id>S1</Id>\n"
        f"<Acct><Id><Othr><Id>{content.account}</Id></Othr></Id></Acct>\n"
        f"{_camt_balance(content, 'OPBD', content.opening)}"
        f"{_camt_balance(content, 'CLBD', content.closing)}"
        f"{entries}</Stmt>\n</BkToCstmrStmt></Document>\n"
    )


def _camt_balance(content: Content, kind: str, amount: Decimal) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{_camt_amount(content, amount)}"
        f"<Dt><Dt>{content.day}</Dt></Dt></Bal>\n"
    )


def _camt_amount(content: Content, amount: Decimal) -> str:
    indicator = "DBIT" if amount < 0 else "CRDT"
    return f'<Amt Ccy="{content.currency}">{abs(amount)}</Amt><CdtDbtInd>{indicator}</CdtDbtInd>'


def _camt_entry(content: Content, reference: str | None, amount: Decimal, text: str) -> str:
    refs = "" if reference is None else f"<EndToEndId>{escape(reference)}</EndToEndId>"
    return (
        f"<Ntry>{_camt_amount(content, amount)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{content.day}</Dt></BookgDt><ValDt><Dt>{content.day}</Dt></ValDt>"
        f"<NtryDtls><TxDtls><Refs>{refs}</Refs><RmtInf><Ustrd>{escape(text)}</Ustrd></RmtInf>"
        "</TxDtls></NtryDtls></Ntry>\n"
    )


def mt940(content: Content) -> str:
    lines = [
        ":20:S1",
        f":25:{content.account}",
        ":28C:1/1",
        f":60F:{_mt940_balance(content, content.opening)}",
    ]
    for reference, amount, text in content.lines:
        mark = "D" if amount < 0 else "C"
        lines.append(
            f":61:{content.day:%y%m%d}{content.day:%m%d}{mark}{_comma(amount)}"
            f"NTRF{reference or ''}//B1"
        )
        lines.append(f":86:{text}")
    lines += [f":62F:{_mt940_balance(content, content.closing)}", "-", ""]
    return "\r\n".join(lines)


def _mt940_balance(content: Content, amount: Decimal) -> str:
    mark = "D" if amount < 0 else "C"
    return f"{mark}{content.day:%y%m%d}{content.currency}{_comma(amount)}"


def _comma(amount: Decimal) -> str:
    text = str(abs(amount)).replace(".", ",")
    return text if "," in text else f"{text},"


def bai2(content: Content) -> str:
    amounts = [_cents(content.opening), _cents(content.closing)]
    amounts += [abs(_cents(amount)) for _, amount, _ in content.lines]
    total, count = sum(amounts), len(content.lines) + 2
    day = f"{content.day:%y%m%d}"
    lines = [
        f"01,BANK,BROKER,{day},2200,1,,,2/",
        f"02,BROKER,BANK,1,{day},2100,{content.currency},2/",
        f"03,{content.account},{content.currency},010,{amounts[0]},,,015,{amounts[1]},,/",
    ]
    for reference, amount, text in content.lines:
        kind = "495" if amount < 0 else "195"
        lines.append(f"16,{kind},{abs(_cents(amount))},V,{day},,B1,{reference or ''},{text}/")
    lines += [f"49,{total},{count}/", f"98,{total},1,{count + 2}/", f"99,{total},1,{count + 4}/"]
    return "\n".join([*lines, ""])


def _cents(amount: Decimal) -> int:
    return int(amount * 100)
