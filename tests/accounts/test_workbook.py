"""Spreadsheets: every digit, every row, and twenty texts of which none is run."""

import io
import re
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from accounts.workbook import fits, sheet_name, to_xlsx

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
PAYLOADS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "=cmd|'/C calc'!A0",
    '=HYPERLINK("http://example.test","x")', '=IMPORTXML("http://example.test","//a")',
    '=WEBSERVICE("http://example.test")', "{=1+1}", "=DDE(\"cmd\";\"/C calc\";\"x\")",
    "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0",
    "=1+1;=2", "http://example.test", "mailto:a@example.test", "internal:Sheet1!A1",
    "=\N{FULLWIDTH EQUALS SIGN}1",
)  # fmt: skip


def opened(content: bytes) -> tuple[list[list[str]], str]:
    """The cells of the first sheet as text, and all of its XML."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        xml = book.read("xl/worksheets/sheet1.xml").decode()
        shared = [
            "".join(part.text or "" for part in each.iter(f"{MAIN}t")).replace("_x000D_", "\r")
            for each in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        ]
    rows = []
    for row in ElementTree.fromstring(xml).iter(f"{MAIN}row"):
        cells = []
        for each in row:
            value = each.findtext(f"{MAIN}v") or ""
            cells.append(shared[int(value)] if each.get("t") == "s" else value)
        rows.append(cells)
    return rows, xml


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_is_run_or_followed(payload: str) -> None:
    rows, xml = opened(to_xlsx([("Calls", ["a", payload], [[payload, Decimal(1)]])]))
    assert "<f>" not in xml
    assert "<hyperlink" not in xml
    for shown in (rows[0][1], rows[1][0]):
        assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert shown.removeprefix("'").split() == payload.split()


def test_numbers_are_numbers_until_a_digit_would_be_lost() -> None:
    exact = Decimal("12345678901234567.89")
    rows, xml = opened(
        to_xlsx([("x", ["n"], [[Decimal("-9837.61583127")], [exact], [7], [None], [True]])])
    )
    assert [row[0] for row in rows] == [
        "n", "-9837.61583127", "12345678901234567.89", "7", "", "true",
    ]  # fmt: skip
    assert len(re.findall(r'<c r="A\d"( t="s")?>', xml)) == 5
    assert [bool(kind) for kind in re.findall(r'<c r="A\d"( t="s")?><v>', xml)] == [
        False, True, False, True, True,
    ]  # fmt: skip


def test_times_are_in_utc() -> None:
    at = datetime(2018, 2, 6, 21, tzinfo=UTC)
    rows, _ = opened(to_xlsx([("x", ["at", "on"], [[at, date(2018, 2, 6)]])]))
    assert rows[1] == ["2018-02-06T21:00:00Z", "2018-02-06"]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9)))
def test_what_fits_reads_back_to_the_same(number: Decimal) -> None:
    if fits(number):
        assert Decimal(repr(float(number))) == number


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("margin-calls", "margin-calls"), ("a/b:[c]", "a b  c"), ("", "Sheet"), ("x" * 40, "x" * 31)],
)
def test_sheets_get_names_that_a_workbook_takes(wanted: str, name: str) -> None:
    assert sheet_name(wanted, taken=set()) == name


def test_sheets_of_one_name_are_numbered() -> None:
    taken: set[str] = set()
    assert [sheet_name("Money", taken=taken) for _ in range(3)] == ["Money", "Money 2", "Money 3"]
