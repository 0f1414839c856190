"""CSV as the senders of daily files write it: rows with their line numbers, numbers and times.

A row that cannot be read is never repaired. Quoting follows RFC 4180; a line ends with LF, CRLF
or CR, and a quoted field may hold line ends of its own.
"""

import io
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TIME: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")


class MalformedFileError(Exception):
    """The file is not UTF-8 or does not begin with its header; none of its rows can be read."""


class Row(NamedTuple):
    """One data row of a CSV file.

    Attributes:
        line: the line of the file the row ends on; the header is line 1.
        fields: the columns as written. Empty for a blank line and for a row whose quoting is
            broken: neither has columns that could be counted.
    """

    line: int
    fields: tuple[str, ...]


class RejectedRow(NamedTuple):
    """A row that was skipped, and why.

    Attributes:
        file: the name of the file inside its folder.
        line: as in `Row`.
        field: the first bad column from the left; None if the number of columns is wrong.
        reason: wrong_column_count, not_a_number, bad_timestamp, unknown_code or wrong_as_of.
    """

    file: str
    line: int
    field: str | None
    reason: str


def read_rows(data: bytes, header: Sequence[str]) -> Iterator[Row]:
    """The data rows of a CSV file, in the order of the file.

    The header is checked at once, before the first row is asked for.

    Raises:
        MalformedFileError: the file is not UTF-8, or its first row is not exactly `header`.
            A byte order mark is a character like any other, so a file with one has another header.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedFileError(f"byte {error.start} of the file is not UTF-8") from error
    rows = _rows(text)
    first = next(rows, None)
    if first is None or first.fields != tuple(header):
        found = "an empty file" if first is None else ",".join(first.fields)[:200]
        raise MalformedFileError(f"the header is not {','.join(header)} but: {found}")
    return rows


def rejected_column(
    row: Row, *, header: Sequence[str], numbers: Collection[str], times: Collection[str], file: str
) -> RejectedRow | None:
    """The rejection of a row for its column count, else for its first bad number or time."""
    if len(row.fields) != len(header):
        return RejectedRow(file, row.line, None, "wrong_column_count")
    for column, text in zip(header, row.fields, strict=True):
        if column in numbers and parse_number(text) is None:
            return RejectedRow(file, row.line, column, "not_a_number")
        if column in times and parse_time(text) is None:
            return RejectedRow(file, row.line, column, "bad_timestamp")
    return None


def parse_number(text: str) -> Decimal | None:
    """The number with all decimals it was written with; None for anything but plain digits."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def parse_time(text: str) -> datetime | None:
    """The instant of `YYYY-MM-DDTHH:MM:SSZ`; None for another shape or no such instant."""
    shape = _TIME.fullmatch(text)
    if shape is None:
        return None
    year, month, day, hour, minute, second = map(int, shape.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _rows(text: str) -> Iterator[Row]:
    # newline="" splits at LF, CRLF and CR and keeps the line end, which a quoted field needs.
    lines = enumerate(io.StringIO(text, newline=""), start=1)
    for number, line in lines:
        if '"' in line:
            yield _quoted_row(number, line, lines)
        else:
            content = line.rstrip("\r\n")
            yield Row(number, tuple(content.split(",")) if content else ())


def _quoted_row(number: int, line: str, following: Iterator[tuple[int, str]]) -> Row:
    """A row with quotes in it; takes further lines while a quoted field is open."""
    fields: list[str] = []
    position = 0
    while True:
        if line.startswith('"', position):
            pieces: list[str] = []
            position += 1
            while (end := _closing_quote(line, position)) is None:
                pieces.append(line[position:])
                number, line = next(following, (number, ""))
                position = 0
                if not line:
                    return Row(number, ())
            pieces.append(line[position:end])
            fields.append("".join(pieces).replace('""', '"'))
            position = end + 1
        else:
            end = line.find(",", position)
            end = len(line.rstrip("\r\n")) if end < 0 else end
            fields.append(line[position:end])
            position = end
        if line.startswith(",", position):
            position += 1
        elif line[position:].strip("\r\n"):
            return Row(number, ())
        else:
            return Row(number, tuple(fields))


def _closing_quote(line: str, start: int) -> int | None:
    """Where the quoted field that is open at `start` ends; a doubled quote is part of it."""
    end = line.find('"', start)
    while end >= 0 and line.startswith('"', end + 1):
        end = line.find('"', end + 2)
    return None if end < 0 else end
