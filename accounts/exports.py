"""Rows as files that other programs read: exact decimals, UTC, no text a spreadsheet would run."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from accounts.clock import utc_stamp
from accounts.figures import plain

STRICT_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
# What a spreadsheet runs: also behind spaces that it drops, and in the wide letters it reads alike.
RUNS_AS_FORMULA = re.compile(
    r"[\t\r\n]|[\s\x00-\x20\u00a0\u200b-\u200f\u2060\ufeff\"']*[=+\-@\uff1d\uff0b\uff0d\uff20]"
)

Scalar = str | int | bool | None
Record = dict[str, object]


def exported(value: object) -> object:
    """A value as JSON has it: decimals as text, times in UTC, bytes in hexadecimal.

    Raises:
        TypeError: the value is a float, which no exported figure ever is.
    """
    if isinstance(value, float):
        raise TypeError("an exported figure is a Decimal, never a float")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return utc_stamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): exported(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [exported(item) for item in value]
    return str(value)


def cell(value: object) -> str:
    """A value as CSV has it. Text that a spreadsheet would run as a formula gets a leading "'"."""
    shown = exported(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    text = json.dumps(shown) if isinstance(shown, dict | list) else str(shown)
    if RUNS_AS_FORMULA.match(text) and not STRICT_DECIMAL.fullmatch(text):
        return f"'{text}"
    return text


def to_csv(keys: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8) under one line of column names."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(keys)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def to_json(keys: Sequence[str], rows: Iterable[Sequence[object]], *, about: Record) -> bytes:
    """Rows as one JSON object: what was exported in `about`, then `count` and `rows`."""
    records = [{key: exported(value) for key, value in zip(keys, row, strict=True)} for row in rows]
    return json.dumps(
        about | {"count": len(records), "rows": records}, ensure_ascii=False, indent=1
    ).encode()
