"""BAI2: what is read, what makes a file unreadable, and what its control totals find."""

from decimal import Decimal

import pytest

from ledger.statements.bai2 import parse_bai2, read_records, read_summaries, read_transaction
from ledger.statements.statement import Balance, StatementLine, UnreadableStatementError
from tests.ledger.statements.rendering import DAY, Content, bai2

PLAIN = bai2(Content())
FIRST = "16,195,2550,V,180201,,B1,RF1,FIRST/"
ACCOUNT = "03,ACC1,USD,010,10000,,,015,8550,,/"


def changed(old: str, new: str) -> bytes:
    assert old in PLAIN
    return PLAIN.replace(old, new, 1).encode()


def controlled(body: str, *, total: int, records: int) -> bytes:
    """Records of an account in a file whose trailers say what they are told."""
    return (
        "01,BANK,BROKER,180201,2200,1,,,2/\n02,BROKER,BANK,1,180201,2100,USD,2/\n"
        f"{body}\n49,{total},{records}/\n98,{total},1,{records + 2}/\n99,{total},1,{records + 4}/\n"
    ).encode()


def test_a_statement_is_read_in_cents_with_signs_references_and_texts() -> None:
    statement = parse_bai2(PLAIN.encode())
    assert statement.account == "ACC1"
    assert statement.balances == (
        Balance("010", Decimal("100.00"), "USD"),
        Balance("015", Decimal("85.50"), "USD"),
    )
    assert statement.lines == (
        StatementLine("RF1", Decimal("25.50"), "USD", DAY, 1, "FIRST"),
        StatementLine("T-2", Decimal("-40.00"), "USD", DAY, 2, "SECOND"),
    )
    assert statement.control_failure is None


def test_a_negative_balance_counts_with_its_sign_in_the_control_total() -> None:
    statement = parse_bai2(bai2(Content(opening=Decimal("-0.07"))).encode())
    assert (statement.opening, statement.closing) == (Decimal("-0.07"), Decimal("-14.57"))
    assert statement.control_failure is None


def test_line_ends_blank_lines_and_padding_change_nothing() -> None:
    padded = PLAIN.replace("\n", "   \r\n") + "\r\n\r\n"
    assert parse_bai2(padded.encode()) == parse_bai2(PLAIN.encode())


def test_continuations_carry_on_fields_and_texts_and_count_as_records() -> None:
    body = (
        "03,ACC1,USD,010,10000,/\n88,,015,8550,,,040,12,4/\n88,V,180201,,072,7,,S,1,2,3/\n"
        "16,195,2550,V/\n88,180201,,B1,RF1,FIRST, AND/\n88,MORE, OF IT/\n"
        "16,495,4000,V,180201,1200,B2,T-2,\n88,16,LOOKS LIKE A RECORD"
    )
    statement = parse_bai2(controlled(body, total=10000 + 8550 + 12 + 7 + 2550 + 4000, records=9))
    assert statement.control_failure is None
    assert [balance.kind for balance in statement.balances] == ["010", "015", "040", "072"]
    assert [line.reference for line in statement.lines] == ["RF1", "T-2"]
    assert statement.lines[0].text == "FIRST, AND\nMORE, OF IT"
    assert statement.lines[1].text == "\n16,LOOKS LIKE A RECORD"


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ("", []),
        (",,,,060,5,,", [("060", "5")]),
        ("010,1,,,015,2,,", [("010", "1"), ("015", "2")]),
        ("010,1", [("010", "1")]),
        ("100,9,4,0,110,8,15,D,3,0,2,1,3,3,2,040,7,,", [("100", "9"), ("110", "8"), ("040", "7")]),
        ("072,1,,V,180201,0800,074,2,,Z,190,,,", [("072", "1"), ("074", "2"), ("190", "")]),
    ],
)
def test_funds_types_of_balances_are_stepped_over(fields: str, read: list[tuple[str, str]]) -> None:
    (record,) = read_records(f"03,ACC1,,{fields}/")
    assert read_summaries(record) == read


@pytest.mark.parametrize(
    ("record", "reference", "text"),
    [
        ("16,115,450000,S,100000,200000,150000,,,/", "", ""),
        ("16,115,500000,S,,200000,300000,,C1,LOCK BOX/", "C1", "LOCK BOX"),
        ("16,218,20000000,V,040622,,SP4738,YRC065321/", "YRC065321", ""),
        ("16,195,10000000,1,B,C,A, B / C", "C", "A, B / C"),
        ("16,399,89,D,2,0,40,1,49,B,C,T/", "C", "T"),
        ("16,699,971,,,/", "", ""),
        ("16,699/", "", ""),
    ],
)
def test_funds_types_of_transactions_are_stepped_over(
    record: str, reference: str, text: str
) -> None:
    transaction = read_transaction(read_records(record)[0])
    assert (transaction.reference, transaction.text) == (reference, text)


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [(",RF1,", ",,", None), (",RF1,FIRST/", "/", None), (",RF1,FIRST/", ",RF1/", "RF1")],
)
def test_a_missing_reference_is_none(old: str, new: str, reference: str | None) -> None:
    assert parse_bai2(changed(old, new)).lines[0].reference == reference


def test_a_missing_account_is_read_as_missing() -> None:
    assert parse_bai2(changed("03,ACC1,", "03,,")).account is None


@pytest.mark.parametrize(
    ("account", "group", "currency"),
    [("USD", "EUR", "USD"), ("", "EUR", "EUR"), ("", "", "USD"), ("EUR", "USD", "EUR")],
)
def test_the_currency_is_the_accounts_else_the_groups_else_usd(
    account: str, group: str, currency: str
) -> None:
    text = PLAIN.replace("ACC1,USD", f"ACC1,{account}").replace("2100,USD", f"2100,{group}")
    assert parse_bai2(text.encode()).currency == currency


def test_a_currency_without_cents_has_none() -> None:
    assert parse_bai2(changed("ACC1,USD", "ACC1,JPY")).opening == Decimal(10000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("01,BANK,BROKER,180201,2200,1,,,2/\n", ""),
        ("02,BROKER,BANK,1,180201,2100,USD,2/\n", ""),
        (f"{ACCOUNT}\n", ""),
        ("03,ACC1", "03,ACC0,USD,010,0,,,015,0,,/\n49,0,2/\n03,ACC1"),
        ("99,", "02,BROKER,BANK,1,180201,2100,USD,2/\n98,0,0,2/\n99,"),
        ("01,", "88,ABOVE ALL/\n01,"),
        ("01,", "00,1/\n01,"),
        ("01,", "SOMETHING\n01,"),
        ("16,195", "17,195"),
        ("16,195", "49,1,1/\n16,195"),
        (f"{ACCOUNT}\n{FIRST}", f"{FIRST}\n{ACCOUNT}"),
        (",010,10000,,", ""),
        (",015,8550,,", ""),
        (",015,8550,,", ",010,8550,,"),
        (",015,8550,,", ",015,,,"),
        (",015,8550,,", ",015,8550,,,040,x,,"),
        (",015,8550,,", ",015,8550,,X"),
        (",015,8550,,", ",015,8550,,D"),
        ("010,10000", "010,100.00"),
        ("010,10000", "010,+10000"),
        ("010,10000", "010,1e4"),
        ("010,10000", "010,NaN"),
        ("010,10000", "010,\u0661\u0660"),
        ("16,195,2550", "16,195,"),
        ("16,195,2550", "16,195,25,50"),
        ("16,195,2550", "16,195,25.50"),
        ("16,195,2550", "16,195, 2550"),
        ("16,195", "16,115"),
        ("16,195", "16,"),
        (",V,", ",0,"),
        (",V,", ",,"),
        (",V,", ",v,"),
        (",V,180201", ",S,1,2,3"),
        (",V,180201", ",V,180230"),
        (",V,180201", ",V,20180201"),
        (",V,180201", ",V,"),
        (",V,180201,,B1,RF1,FIRST/", ",V/"),
    ],
)
def test_a_file_that_is_not_one_readable_statement_is_unreadable(old: str, new: str) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_bai2(changed(old, new))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", PLAIN.encode("utf-16"), b"\xef\xbb\xbf01,/"])
def test_what_is_not_text_of_the_format_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableStatementError):
        parse_bai2(data)


def test_the_reason_names_the_line() -> None:
    with pytest.raises(UnreadableStatementError, match="Line 5, record 16: funds type '0' is not"):
        parse_bai2(changed("4000,V,180201", "4000,0"))


TRAILERS = "49,25100,4/\n98,25100,1,6/\n99,25100,1,8/\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("49,25100,4/", "49,25101,4/"),
        ("49,25100,4/", "49,25100,5/"),
        ("49,25100,4/", "49,,4/"),
        ("49,25100,4/", "49,x,4/"),
        ("49,25100,4/", "49,25100/"),
        ("98,25100,1,6/", "98,25100,2,6/"),
        ("98,25100,1,6/", "98,25100,1,7/"),
        ("98,25100,1,6/", "98,0,1,6/"),
        ("99,25100,1,8/", "99,25100,0,8/"),
        ("99,25100,1,8/", "99,25100,1,9/"),
        ("99,25100,1,8/", "99,-25100,1,8/"),
        ("99,25100,1,8/", "99,25100,1,8"),
        ("49,25100,4/\n", ""),
        ("98,25100,1,6/\n", ""),
        ("99,25100,1,8/\n", ""),
        (TRAILERS, ""),
        (TRAILERS, "49,25100,4/\n99,25100,1,8/\n98,25100,1,6/\n"),
        (TRAILERS, f"49,25100,4/\n{TRAILERS}"),
        (FIRST, FIRST.replace("2550", "2560")),
        (FIRST, f"{FIRST}\n{FIRST}"),
        (f"{FIRST}\n", ""),
        ("/\n49", "/\n88,MORE/\n49"),
        ("015,8550", "015,8560"),
        (",015,8550,,", ",015,8550,,,040,1,,"),
    ],
)
def test_sums_and_counts_that_do_not_agree_are_a_control_failure(old: str, new: str) -> None:
    statement = parse_bai2(changed(old, new))
    assert statement.control_failure is not None
    assert parse_bai2(PLAIN.encode()).control_failure is None
