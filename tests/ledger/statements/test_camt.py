"""camt.053: what is read, and what makes a file unreadable."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from ledger.statements.camt import parse_camt
from ledger.statements.statement import Balance, StatementLine, UnreadableStatementError
from tests.ledger.statements.rendering import DAY, Content, camt

PLAIN = camt(Content())
ENTRY = PLAIN[PLAIN.index("<Ntry>") : PLAIN.index("</Ntry>") + len("</Ntry>")]


def changed(old: str, new: str) -> bytes:
    assert old in PLAIN
    return PLAIN.replace(old, new, 1).encode()


def with_entry(details: str) -> bytes:
    """The plain statement with other details in its first entry."""
    start, end = PLAIN.index("<NtryDtls>"), PLAIN.index("</NtryDtls>")
    return (PLAIN[:start] + details + PLAIN[end + len("</NtryDtls>") :]).encode()


def test_a_statement_is_read_with_signs_references_and_texts() -> None:
    statement = parse_camt(PLAIN.encode())
    assert statement.account == "ACC1"
    assert statement.balances == (
        Balance("OPBD", Decimal("100.00"), "USD"),
        Balance("CLBD", Decimal("85.50"), "USD"),
    )
    assert (statement.opening, statement.closing) == (Decimal("100.00"), Decimal("85.50"))
    assert statement.lines == (
        StatementLine("RF1", Decimal("25.50"), "USD", DAY, 1, "FIRST"),
        StatementLine("T-2", Decimal("-40.00"), "USD", DAY, 2, "SECOND"),
    )
    assert statement.control_failure is None


def test_a_statement_without_entries_is_a_statement() -> None:
    assert parse_camt(camt(Content(lines=())).encode()).lines == ()


@pytest.mark.parametrize("namespace", ["camt.053.001.02", "camt.053.001.13"])
def test_any_version_of_the_message_is_read(namespace: str) -> None:
    assert parse_camt(changed("camt.053.001.08", namespace)).closing == Decimal("85.50")


def test_a_prefix_or_no_namespace_changes_nothing() -> None:
    bare = changed(' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"', "")
    assert parse_camt(bare) == parse_camt(PLAIN.encode())
    prefixed = PLAIN.replace("</", "</c:").replace("xmlns=", "xmlns:c=")
    for name in ("Document", "BkToCstmrStmt", "GrpHdr", "MsgId", "Stmt", "Id", "Acct", "Othr"):
        prefixed = prefixed.replace(f"<{name}", f"<c:{name}")
    for name in ("Bal", "Tp", "CdOrPrtry", "Cd", "Amt", "CdtDbtInd", "Dt", "Ntry", "Sts"):
        prefixed = prefixed.replace(f"<{name}>", f"<c:{name}>").replace(f"<{name} ", f"<c:{name} ")
    for name in ("BookgDt", "ValDt", "NtryDtls", "TxDtls", "Refs", "EndToEndId", "RmtInf", "Ustrd"):
        prefixed = prefixed.replace(f"<{name}>", f"<c:{name}>")
    assert parse_camt(prefixed.encode()) == parse_camt(PLAIN.encode())


def test_an_amount_keeps_the_decimals_of_the_file() -> None:
    line = parse_camt(changed(">25.50<", ">25.500<")).lines[0]
    assert line.amount.as_tuple() == Decimal("25.500").as_tuple()


def test_another_encoding_that_xml_declares_is_read() -> None:
    text = PLAIN.replace("UTF-8", "ISO-8859-1").replace("FIRST", "Zürich")
    assert parse_camt(text.encode("latin-1")).lines[0].text == "Zürich"


def test_only_the_other_identification_is_the_account() -> None:
    iban = changed("<Othr><Id>ACC1</Id></Othr>", "<IBAN>ACC1</IBAN>")
    assert parse_camt(iban).account is None
    assert parse_camt(changed("<Id>ACC1</Id>", "<Id></Id>")).account is None
    missing = changed("<Acct><Id><Othr><Id>ACC1</Id></Othr></Id></Acct>", "")
    assert parse_camt(missing).account is None


@pytest.mark.parametrize(
    ("details", "reference"),
    [
        ("", None),
        ("<NtryDtls/>", None),
        ("<NtryDtls><TxDtls/></NtryDtls>", None),
        ("<NtryDtls><TxDtls><Refs><EndToEndId/></Refs></TxDtls></NtryDtls>", None),
        ("<NtryDtls><TxDtls><Refs><EndToEndId> </EndToEndId></Refs></TxDtls></NtryDtls>", None),
        (
            "<NtryDtls><TxDtls><Refs><EndToEndId>A</EndToEndId></Refs></TxDtls>"
            "<TxDtls><Refs><EndToEndId>B</EndToEndId></Refs></TxDtls></NtryDtls>",
            "A",
        ),
        (
            "<NtryDtls><TxDtls><Refs><TxId>X</TxId></Refs></TxDtls>"
            "<TxDtls><Refs><EndToEndId>B</EndToEndId></Refs></TxDtls></NtryDtls>",
            None,
        ),
        (
            "<NtryDtls><Btch/></NtryDtls>"
            "<NtryDtls><TxDtls><Refs><EndToEndId>C</EndToEndId></Refs></TxDtls></NtryDtls>",
            "C",
        ),
        (
            "<NtryDtls><TxDtls><Refs><EndToEndId>A&amp;B</EndToEndId></Refs></TxDtls></NtryDtls>",
            "A&B",
        ),
    ],
)
def test_the_first_transaction_gives_the_reference_or_none(
    details: str, reference: str | None
) -> None:
    assert parse_camt(with_entry(details)).lines[0].reference == reference


def test_a_missing_currency_is_read_as_missing() -> None:
    statement = parse_camt(changed('<Amt Ccy="USD">25.50', "<Amt>25.50"))
    assert statement.lines[0].currency is None


def test_supplementary_data_is_never_taken_for_entries() -> None:
    foreign = ENTRY.replace("<Ntry>", '<Ntry xmlns="urn:other">')
    assert parse_camt(changed("</Stmt>", f"{foreign}</Stmt>")) == parse_camt(PLAIN.encode())


BALANCE_START = "<Bal><Tp><CdOrPrtry><Cd>"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("camt.053.001.08", "camt.052.001.08"),
        ("camt.053.001.08", "pain.001.001.03"),
        ("<Stmt>", "<Stmt><Id>S0</Id></Stmt><Stmt>"),
        ("BkToCstmrStmt>", "BkToCstmrAcctRpt>"),
        (">OPBD<", ">PRCD<"),
        (">CLBD<", ">CLAV<"),
        (">CLBD<", ">OPBD<"),
        (">CRDT<", "><"),
        (">CRDT<", ">crdt<"),
        (">CRDT<", ">C<"),
        (">DBIT<", ">DEBIT<"),
        ("<CdtDbtInd>DBIT</CdtDbtInd>", ""),
        ("<CdtDbtInd>DBIT</CdtDbtInd>", "<CdtDbtInd>DBIT</CdtDbtInd><CdtDbtInd>CRDT</CdtDbtInd>"),
        (">100.00<", ">NaN<"),
        (">100.00<", ">1e2<"),
        (">100.00<", ">+100.00<"),
        (">100.00<", ">100,00<"),
        (">100.00<", "><"),
        (">100.00<", ">\u0661\u0660\u0660<"),
        (">25.50<", ">25..50<"),
        (">25.50<", ">25.50\n<"),
        (">25.50<", ">25.5<b/>0<"),
        ('<Amt Ccy="USD">25.50</Amt>', ""),
        (f"<ValDt><Dt>{DAY}", "<ValDt><Dt>2018-02-30"),
        (f"<ValDt><Dt>{DAY}", "<ValDt><Dt>2018-02-01Z"),
        (f"<ValDt><Dt>{DAY}", "<ValDt><Dt>20180201"),
        (f"<ValDt><Dt>{DAY}", "<ValDt><Dt>2018-W05-4"),
        (f"<ValDt><Dt>{DAY}</Dt>", f"<ValDt><DtTm>{DAY}T00:00:00</DtTm>"),
        (f"<ValDt><Dt>{DAY}</Dt></ValDt>", ""),
        ("</Document>", ""),
        ("<Stmt>", "<Stmt>&unknown;"),
        ('encoding="UTF-8"', 'encoding="no-such-encoding"'),
    ],
)
def test_a_file_that_is_not_one_readable_statement_is_unreadable(old: str, new: str) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_camt(changed(old, new))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"camt",
        b"\xff\xfe\x00",
        PLAIN.replace("FIRST", "Zürich").encode("latin-1"),
        PLAIN.encode() + b"x",
    ],
)
def test_what_is_not_well_formed_xml_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_camt(data)


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE Document>",
        '<!DOCTYPE Document [<!ENTITY a "1">]>',
        '<!DOCTYPE Document [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_a_document_type_declaration_is_refused(declaration: str) -> None:
    with pytest.raises(UnreadableStatementError, match="declares a document type"):
        parse_camt(changed("<Document", f"{declaration}<Document"))


def test_the_reason_names_the_entry() -> None:
    with pytest.raises(UnreadableStatementError, match=r"Ntry 2: the amount '40\.x' is"):
        parse_camt(changed(">40.00<", ">40.x<"))


def test_a_value_date_is_kept_whatever_day_it_is() -> None:
    statement = parse_camt(camt(replace(Content(), day=date(2016, 2, 29))).encode())
    assert statement.lines[0].value_date == date(2016, 2, 29)
