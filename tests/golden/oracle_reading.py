"""What the oracle reads: numbers, times, CSV files and `reference.yaml`.

The oracle is a second, slow and plain reading of the inbox format. It imports no module of the
product, so that a mistake made there is not made here as well.
"""

import csv
import io
import re
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import yaml

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
FILE_BYTES_MAX = 50 * 1024 * 1024

HEADERS = {
    "prices.csv": "instrument,source,observed_at,price",
    "trades.csv": (
        "trade_id,executed_at,account,bucket,instrument,side,quantity,price,fee_usd,location"
    ),
    "transfers.csv": (
        "transfer_id,booked_at,kind,account,bucket,asset,amount,location,to_location,"
        "to_bucket,reference"
    ),
    "statements/holdings.csv": "location,asset,quantity,as_of",
}
NUMBER_COLUMNS = {"price", "quantity", "fee_usd", "amount"}
TIME_COLUMNS = {"observed_at", "executed_at", "booked_at", "as_of"}
STATEMENT_FILES = {
    "bank:client-usd": "statements/bank-client-usd.camt053.xml",
    "bank:house-usd": "statements/bank-house-usd.mt940",
    "bank:insurance-usd": "statements/bank-insurance-usd.bai2",
}


class FolderRefusedError(Exception):
    """The folder is refused as a whole; the message says which file and why."""


class CsvFile(NamedTuple):
    """The readable rows (column -> text, and `line`), the rejected ones, and the count of all."""

    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    row_count: int


def number(text: str) -> Fraction | None:
    return Fraction(text) if NUMBER.fullmatch(text) else None


def decimals(text: str) -> int:
    """Decimals as written: trailing zeros count."""
    return len(text.partition(".")[2])


def instant(text: str) -> datetime | None:
    found = INSTANT.fullmatch(text)
    if not found:
        return None
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def written(value: Fraction, places: int) -> str:
    """Section 9: fixed decimals, half-even, never an exponent or a negative zero."""
    scaled = round(value * 10**places)  # round() of a Fraction is half-even
    digits = str(abs(scaled)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def half_even(value: Fraction, places: int) -> Fraction:
    return Fraction(round(value * 10**places), 10**places)


def text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise FolderRefusedError(f"{path.name} is not UTF-8") from error


def read_csv(folder: Path, name: str) -> CsvFile:
    csv.field_size_limit(sys.maxsize)
    header = HEADERS[name].split(",")
    reader = csv.reader(io.StringIO(text_of(folder / name), newline=""))
    if next(reader, None) != header:
        raise FolderRefusedError(f"{name}: the header is not {HEADERS[name]}")
    rows, rejected, row_count = [], [], 0
    for cells in reader:
        row_count += 1
        fault = row_fault(header, cells)
        if fault:
            field, reason = fault
            rejected.append(
                {"file": name, "line": reader.line_num, "field": field, "reason": reason}
            )
        else:
            rows.append({**dict(zip(header, cells, strict=True)), "line": reader.line_num})
    return CsvFile(rows, rejected, row_count)


def row_fault(header: list[str], cells: list[str]) -> tuple[str | None, str] | None:
    if len(cells) != len(header):
        return None, "wrong_column_count"
    for column, cell in zip(header, cells, strict=True):
        if column in NUMBER_COLUMNS and number(cell) is None:
            return column, "not_a_number"
        if column in TIME_COLUMNS and instant(cell) is None:
            return column, "bad_timestamp"
    return None


def reject_rows(read: CsvFile, name: str, fault_of: Any) -> CsvFile:
    """Move the rows for which `fault_of(row)` names (field, reason) to the rejected ones."""
    rows, rejected = [], list(read.rejected)
    for row in read.rows:
        fault = fault_of(row)
        if fault:
            field, reason = fault
            rejected.append({"file": name, "line": row["line"], "field": field, "reason": reason})
        else:
            rows.append(row)
    return CsvFile(rows, rejected, read.row_count)


def check_files(folder: Path) -> None:
    """Every file of the day is there and none is above the size limit."""
    for name in [*HEADERS, *STATEMENT_FILES.values()]:
        path = folder / name
        if not path.is_file():
            raise FolderRefusedError(f"{name} is missing")
        if path.stat().st_size > FILE_BYTES_MAX:
            raise FolderRefusedError(f"{name} is above the size limit")


def read_yaml(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if not path.is_file():
        raise FolderRefusedError(f"{path.name} is missing")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise FolderRefusedError(f"{path.name} is above the size limit")
    try:
        return yaml.load(text_of(path), Loader=loader)
    except yaml.YAMLError as error:
        raise FolderRefusedError(f"{path.name} is not YAML") from error
