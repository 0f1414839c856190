"""Rows as a spreadsheet: exact, in UTC, and no text that would be run as a formula."""

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import xlsxwriter

from accounts.exports import cell
from accounts.figures import plain

# A spreadsheet keeps 15 digits of a number; what has more stays text, so that none is lost.
DIGITS_MAX = 15
SHEET_NAME_LENGTH_MAX = 31
NOT_IN_SHEET_NAMES = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))
TEXT_LENGTH_MAX = 32_767


class Sheet(NamedTuple):
    """A name, the heads of its columns, its rows."""

    name: str
    heads: Sequence[str]
    rows: Iterable[Sequence[object]]


def to_xlsx(sheets: Iterable[tuple[str, Sequence[str], Iterable[Sequence[object]]]]) -> bytes:
    """A workbook with one sheet for each `(name, heads, rows)`; the heads stay in view."""
    content = io.BytesIO()
    # Nothing a row says may become a formula or a link, nor a number that was text.
    options = {
        "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
        "strings_to_numbers": False,
    }  # fmt: skip
    with xlsxwriter.Workbook(content, options) as book:
        strong = book.add_format({"bold": True})
        taken: set[str] = set()
        for given in sheets:
            sheet = Sheet(*given)
            page = book.add_worksheet(sheet_name(sheet.name, taken=taken))
            page.freeze_panes(1, 0)
            for place, head in enumerate(sheet.heads):
                page.write_string(0, place, cell(head), strong)
            for line, row in enumerate(sheet.rows, start=1):
                for place, value in enumerate(row):
                    write(page, line, place, value)
    return content.getvalue()


def write(page: Any, line: int, place: int, value: object) -> None:  # noqa: ANN401
    """One cell: a number where a spreadsheet keeps all of its digits, else text."""
    if isinstance(value, bool) or value is None:
        page.write_string(line, place, cell(value))
    elif isinstance(value, int | Decimal) and fits(value):
        page.write_number(line, place, value)
    elif isinstance(value, int | Decimal):
        page.write_string(line, place, plain(value))
    elif isinstance(value, datetime | date):
        page.write_string(line, place, cell(value))
    else:
        page.write_string(line, place, cell(value)[:TEXT_LENGTH_MAX])


def fits(number: Decimal | int) -> bool:
    """Whether a spreadsheet keeps a number as it is: 15 digits, and read back to the same."""
    exact = Decimal(number)
    if not exact.is_finite() or len(exact.normalize().as_tuple().digits) > DIGITS_MAX:
        return False
    return -300 < exact.adjusted() < 300 and Decimal(repr(float(exact))) == exact


def sheet_name(wanted: str, *, taken: set[str]) -> str:
    """A name that a workbook takes, not used before."""
    name = wanted.translate(NOT_IN_SHEET_NAMES).strip()[:SHEET_NAME_LENGTH_MAX] or "Sheet"
    for number in range(1, 1000):
        tail = "" if number == 1 else f" {number}"
        tried = f"{name[: SHEET_NAME_LENGTH_MAX - len(tail)]}{tail}"
        if tried.lower() not in taken:
            taken.add(tried.lower())
            return tried
    raise ValueError("a workbook has fewer than 1,000 sheets of one name")
