"""Rows, numbers and times of the daily CSV files."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.statements.rows import (
    MalformedFileError,
    RejectedRow,
    Row,
    parse_number,
    parse_time,
    read_rows,
    rejected_column,
)

HEADER = ("name", "size", "at")


def rows_of(body: bytes) -> list[Row]:
    return list(read_rows(b"name,size,at\n" + body, HEADER))


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"", []),
        (b"a,1,x\n", [Row(2, ("a", "1", "x"))]),
        (b"a,1,x", [Row(2, ("a", "1", "x"))]),
        (b"a,1,x\r\nb,2,y\r\n", [Row(2, ("a", "1", "x")), Row(3, ("b", "2", "y"))]),
        (b"a,1,x\rb,2,y\r", [Row(2, ("a", "1", "x")), Row(3, ("b", "2", "y"))]),
        (b"a,1,x\r\r\nb,2,y", [Row(2, ("a", "1", "x")), Row(3, ()), Row(4, ("b", "2", "y"))]),
        (b"\n\na,1,x\n\n", [Row(2, ()), Row(3, ()), Row(4, ("a", "1", "x")), Row(5, ())]),
        (b",,\n", [Row(2, ("", "", ""))]),
        (b"a,1\n", [Row(2, ("a", "1"))]),
        (b"a\xe2\x80\xa8b,\x0b,\x0c\n", [Row(2, ("a\u2028b", "\x0b", "\x0c"))]),
        (b'"a","1","x"\n', [Row(2, ("a", "1", "x"))]),
        (b'"a,b",1,""\n', [Row(2, ("a,b", "1", ""))]),
        (b'"a""b",1,""""\n', [Row(2, ('a"b', "1", '"'))]),
        (b'"a\nb\r\nc",1,x\nd,2,y\n', [Row(4, ("a\nb\r\nc", "1", "x")), Row(5, ("d", "2", "y"))]),
        (b'a,1,"\n"\nb,2,y\n', [Row(3, ("a", "1", "\n")), Row(4, ("b", "2", "y"))]),
        (b'a"b,1,6"\n', [Row(2, ('a"b', "1", '6"'))]),
        (b'"a",1,', [Row(2, ("a", "1", ""))]),
        (b'"a"b,1,x\nc,2,y\n', [Row(2, ()), Row(3, ("c", "2", "y"))]),
        (b'a,1,"x\nb,2,y\n', [Row(3, ())]),
        (b'a,1,"', [Row(2, ())]),
    ],
)
def test_rows_come_with_the_line_they_end_on(body: bytes, rows: list[Row]) -> None:
    assert rows_of(body) == rows


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"name,size\n",
        b"name,size,at,more\n",
        b"name,at,size\n",
        b"Name,size,at\n",
        b"name, size,at\n",
        b"\xef\xbb\xbfname,size,at\n",
        b"name,size,at\na,\xff,x\n",
        "name,size,at\n".encode("utf-16"),
    ],
)
def test_a_file_of_another_header_or_encoding_is_malformed_before_any_row(data: bytes) -> None:
    with pytest.raises(MalformedFileError):
        read_rows(data, HEADER)


@given(
    st.lists(
        st.tuples(*[st.text(alphabet='ab",\n\r é\u2028', max_size=6)] * 3), min_size=1, max_size=8
    )
)
def test_rows_written_by_rfc_4180_come_back_as_they_were(written: list[tuple[str, ...]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([HEADER, *written])
    read = list(read_rows(buffer.getvalue().encode(), HEADER))
    assert [row.fields for row in read] == written
    lines = list(io.StringIO(buffer.getvalue(), newline=""))
    assert read[-1].line == len(lines)


@pytest.mark.parametrize(
    "text", ["0", "-0", "1.50", "-12.000", "007", "123456789012345678901234567890.123"]
)
def test_plain_digits_are_a_number_with_all_their_decimals(text: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert number.as_tuple() == Decimal(text).as_tuple()


@pytest.mark.parametrize(
    "text",
    [
        *("", "NaN", "Infinity", "1e3", "+1", "1,00", "1.", ".5", "-", "--1", " 1", "1 ", "1\n"),
        *("1_0", "0x1", "\u0661\u0662", "1.\u0662", "\uff11"),
    ],
)
def test_anything_else_is_not_a_number(text: str) -> None:
    assert parse_number(text) is None


def test_an_instant_of_the_calendar_is_a_time() -> None:
    assert parse_time("2016-02-29T23:59:59Z") == datetime(2016, 2, 29, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2018-02-01", "2018-02-01T21:00:00", "2018-02-01 21:00:00Z", "2018-02-01T21:00:00z"),
        *("2018-02-01T21:00:00+00:00", "2018-02-01T21:00:00.0Z", "2018-2-1T21:00:00Z"),
        *("2018-02-29T21:00:00Z", "2018-02-01T24:00:00Z", "2018-02-01T21:00:60Z"),
        *("0000-01-01T00:00:00Z", "2018-02-01T21:00:00Z\n", "\u0662018-02-01T21:00:00Z"),
    ],
)
def test_anything_else_is_not_a_time(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        (("a", "x"), None, "wrong_column_count"),
        ((), None, "wrong_column_count"),
        (("a", "x", "y"), "size", "not_a_number"),
        (("a", "1", "y"), "at", "bad_timestamp"),
    ],
)
def test_a_row_is_rejected_for_its_first_bad_column(
    fields: tuple[str, ...], field: str | None, reason: str
) -> None:
    row = Row(7, fields)
    assert rejected_column(
        row, header=HEADER, numbers={"size"}, times={"at"}, file="f.csv"
    ) == RejectedRow("f.csv", 7, field, reason)


def test_a_row_of_good_columns_is_not_rejected() -> None:
    row = Row(2, ("a", "-1.0", "2018-02-01T21:00:00Z"))
    found = rejected_column(row, header=HEADER, numbers={"size"}, times={"at"}, file="f.csv")
    assert found is None
