"""Files for other programs: exact, in UTC, and nothing that a spreadsheet would run."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.exports import cell, exported, to_csv, to_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("-9837.61583127"), "-9837.61583127"),
        (Decimal("1E-8"), "0.00000001"),
        (Decimal("2E+3"), "2000"),
        (None, ""),
        (True, "true"),
        (-3, "-3"),
        (date(2018, 2, 6), "2018-02-06"),
        (datetime(2018, 2, 6, 21, tzinfo=UTC), "2018-02-06T21:00:00Z"),
        (b"\x00\xff", "00ff"),
        (["a", Decimal("1.50")], '["a", "1.50"]'),
        ("-12.50", "-12.50"),
        ("plain", "plain"),
    ],
)
def test_a_cell_is_exact_and_in_utc(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "-", "-1.", "--1", "-1\n", "=cmd|'/C'!A0"],
)
def test_text_that_a_spreadsheet_would_run_is_defused(text: str) -> None:
    assert cell(text) == f"'{text}"


@given(st.text())
def test_no_text_begins_a_formula(text: str) -> None:
    shown = cell(text)
    assert shown.lstrip("-").replace(".", "", 1).isdecimal() or not shown.startswith(
        ("=", "+", "-", "@", "\t", "\r")
    )


def test_a_float_is_not_exported() -> None:
    with pytest.raises(TypeError, match="never a float"):
        exported({"amount": [0.1]})


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_csv_reads_back_what_was_written(rows: list[list[str]]) -> None:
    text = to_csv(["a", "b"], rows).decode()
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert back == [["a", "b"], *([cell(value) for value in row] for row in rows)]


def test_json_keeps_decimals_as_text() -> None:
    found = json.loads(to_json(["x"], [[Decimal("0.10")]], about={"list": "calls"}))
    assert found == {"list": "calls", "count": 1, "rows": [{"x": "0.10"}]}
