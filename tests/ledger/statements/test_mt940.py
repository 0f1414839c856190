"""MT940: what is read, and what makes a file unreadable."""

from datetime import date
from decimal import Decimal

import pytest

from ledger.statements.mt940 import parse_mt940, read_entry, read_messages
from ledger.statements.statement import Balance, StatementLine, UnreadableStatementError
from tests.ledger.statements.rendering import DAY, Content, mt940

PLAIN = mt940(Content())
FIRST = ":61:1802010201C25,50NTRFRF1//B1"


def changed(old: str, new: str) -> bytes:
    assert old in PLAIN
    return PLAIN.replace(old, new, 1).encode()


def test_a_statement_is_read_with_signs_references_and_texts() -> None:
    statement = parse_mt940(PLAIN.encode())
    assert statement.account == "ACC1"
    assert statement.balances == (
        Balance("60F", Decimal("100.00"), "USD"),
        Balance("62F", Decimal("85.50"), "USD"),
    )
    assert statement.lines == (
        StatementLine("RF1", Decimal("25.50"), "USD", DAY, 1, "FIRST"),
        StatementLine("T-2", Decimal("-40.00"), "USD", DAY, 2, "SECOND"),
    )


def test_line_ends_of_unix_and_a_missing_end_of_message_change_nothing() -> None:
    plain = parse_mt940(PLAIN.encode())
    assert parse_mt940(PLAIN.replace("\r\n", "\n").encode()) == plain
    assert parse_mt940(PLAIN.removesuffix("\r\n-\r\n").encode()) == plain


def test_the_blocks_swift_wraps_around_a_message_are_read_over() -> None:
    wrapped = f"\x01{{1:F01BANK}}{{2:I940X}}{{4:\r\n{PLAIN}".replace("\r\n-\r\n", "\r\n-}{5:}\x03")
    assert parse_mt940(wrapped.encode()) == parse_mt940(PLAIN.encode())


@pytest.mark.parametrize(
    ("line", "reference", "amount"),
    [
        (":61:1802010201C25,50NTRFRF1//B1", "RF1", "25.50"),
        (":61:180201C25,50NTRFRF1//B1", "RF1", "25.50"),
        (":61:1802010201CD25,50NTRFRF1//B1", "RF1", "25.50"),
        (":61:1802010201D25,50NTRFRF1", "RF1", "-25.50"),
        (":61:1802010201C25,5NTRFRF1//B1", "RF1", "25.5"),
        (":61:1802010201C25,NTRFRF1//B1", "RF1", "25"),
        (":61:1802010201C25,500NTRFRF1//B1", "RF1", "25.500"),
        (":61:1802010201C0,00NTRFRF1//B1", "RF1", "0.00"),
        (":61:1802010201D0,00NTRFRF1//B1", "RF1", "0.00"),
        (":61:1802010201C25,50NTRF//B1", None, "25.50"),
        (":61:1802010201C25,50NTRF", None, "25.50"),
        (":61:1802010201C25,50NTRF  //B1", None, "25.50"),
        (":61:1802010201C25,50FMSCA/B//B//C", "A/B", "25.50"),
        (":61:1802010201C25,50S103A REFERENCE OF MORE THAN 16//B1", "A REFERENCE OF MORE THAN 16",
         "25.50"),
        (":61:1802019999C25,50NTRFRF1//B1", "RF1", "25.50"),
    ],
)  # fmt: skip
def test_a_statement_line_is_taken_apart(line: str, reference: str | None, amount: str) -> None:
    read = parse_mt940(changed(FIRST, line)).lines[0]
    assert read.reference == reference
    assert read.amount.as_tuple() == Decimal(amount).as_tuple()
    assert read.value_date == DAY


def test_a_text_runs_over_lines_and_over_fields() -> None:
    data = changed(":86:FIRST", "SUPPLEMENT\r\n:86:FIRST\r\n MORE: 1\r\n\r\n-TAIL\r\n:86:AGAIN")
    lines = parse_mt940(data).lines
    assert lines[0].text == "SUPPLEMENT\nFIRST\n MORE: 1\n-TAIL\nAGAIN"
    assert lines[1].text == "SECOND"


def test_a_text_about_the_whole_statement_belongs_to_no_line() -> None:
    data = changed("\r\n-\r\n", "\r\n:64:C180201USD1,00\r\n:86:END\r\n:86:OF IT\r\n-\r\n")
    assert [line.text for line in parse_mt940(data).lines] == ["FIRST", "SECOND"]


def test_a_missing_account_is_read_as_missing() -> None:
    assert parse_mt940(changed(":25:ACC1\r\n", "")).account is None


def test_years_are_those_of_iso_15022() -> None:
    assert parse_mt940(changed(":61:180201", ":61:790201")).lines[0].value_date == date(2079, 2, 1)
    assert parse_mt940(changed(":61:180201", ":61:800201")).lines[0].value_date == date(1980, 2, 1)


def test_balance_dates_are_not_tested() -> None:
    assert parse_mt940(changed(":60F:C180201", ":60F:C189999")) == parse_mt940(PLAIN.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (":20:S1\r\n", ""),
        (":20:S1\r\n:25:ACC1\r\n", ":25:ACC1\r\n:20:S1\r\n"),
        (":20:S1\r\n", "SOMETHING\r\n:20:S1\r\n"),
        ("\r\n-\r\n", "\r\n-\r\nSOMETHING\r\n"),
        ("\r\n-\r\n", "\r\n-\r\n:20:S2\r\n"),
        (":28C:", ":20:S2\r\n:28C:"),
        (":28C:", ":25:ACC2\r\n:28C:"),
        (":60F:", ":60M:"),
        (":62F:", ":62M:"),
        (":60F:C180201USD100,00\r\n", ""),
        (":62F:", ":62F:C180201USD85,50\r\n:62F:"),
        ("USD100,00", "USD100.00"),
        ("USD100,00", "USD100"),
        ("USD100,00", "USD"),
        ("USD100,00", "USDNaN"),
        ("USD100,00", "USD1 00,00"),
        ("USD100,00", "USD-100,00"),
        ("USD100,00", "USD100,00\r\nMORE"),
        ("USD100,00", "USD\u0661\u0660\u0660,00"),
        ("USD100,00", "100,00"),
        (":60F:C", ":60F:X"),
        (":60F:C", ":60F:c"),
        (":60F:C", ":60F:"),
        (":60F:C", ":60F:RC"),
        (":62F:C", ":64:X180201USD1,00\r\n:62F:C"),
        ("C25,50", "X25,50"),
        ("C25,50", "RC25,50"),
        ("C25,50", "RD25,50"),
        ("C25,50", "CUS25,50"),
        ("C25,50", "25,50"),
        ("C25,50", "C25.50"),
        ("C25,50", "C2,5,0"),
        ("C25,50", "C,50"),
        ("C25,50", "C"),
        ("C25,50", "C-25,50"),
        ("C25,50NTRF", "C25,50"),
        (":61:180201", ":61:180230"),
        (":61:180201", ":61:18O201"),
        (":61:180201", ":61:"),
        (FIRST, ":61:"),
        (":86:FIRST", ":86:FIRST\r\x00\r\n:61:"),
    ],
)
def test_a_file_that_is_not_one_readable_statement_is_unreadable(old: str, new: str) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_mt940(changed(old, new))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n-\r\n",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace("FIRST", "Zürich").encode("latin-1"),
        PLAIN.replace("\r\n", "\r").encode(),
    ],
)
def test_what_is_not_text_of_the_format_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_mt940(data)


def test_the_reason_names_the_line_and_the_field() -> None:
    with pytest.raises(UnreadableStatementError, match=r"Line 7, :61: the mark 'X' is neither"):
        parse_mt940(changed("D40,00", "X40,00"))


def test_a_file_of_several_messages_is_cut_at_each_beginning() -> None:
    messages = read_messages("BANK\n940\n:20:A\n:25:1\n-\nBANK\n:20:B\n:20:C\nGOES ON\n")
    assert [message.preamble for message in messages] == [("BANK", "940"), ("BANK",), ()]
    assert [[field.value for field in message.fields] for message in messages] == [
        ["A", "1"],
        ["B"],
        ["C\nGOES ON"],
    ]
    assert messages[2].fields[0].line == 8


def test_a_reversal_is_taken_apart_with_its_funds_code() -> None:
    entry = read_entry("1802010201RCD1,00NTRFREF//B\nEXTRA")
    assert entry is not None
    assert (entry.mark, entry.funds_code, entry.amount) == ("RC", "D", Decimal("1.00"))
    assert (entry.reference, entry.supplement) == ("REF", "EXTRA")
