"""One day folder as it was sent: every file present, within the limit and with its columns."""

import hashlib
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from pathlib import Path

from brokerage.inbox.files import decode_utf8, read_file
from brokerage.inbox.refusal import FolderRefusedError, quoted
from brokerage.inbox.rows import (
    HEADERS,
    HOLDINGS,
    PRICES,
    TRADES,
    TRANSFERS,
    FileRows,
    PriceRow,
    TradeRow,
    TransferRow,
    read_prices,
    read_trades,
    read_transfers,
)
from ledger.statements.rows import MalformedFileError, RejectedRow, parse_time, read_rows

# The statement of each bank is a file of its own; all other locations share the holdings.
BANK_FILES: dict[str, str] = {
    "bank:client-usd": "statements/bank-client-usd.camt053.xml",
    "bank:house-usd": "statements/bank-house-usd.mt940",
    "bank:insurance-usd": "statements/bank-insurance-usd.bai2",
}
FILES = (*HEADERS, *BANK_FILES.values())

# Characters the book keeps of a name or number; nothing is ever cut short or rounded. An event's
# id becomes a bank reference with two characters before it where a deficit is settled.
LONGEST: dict[str, Mapping[str, int]] = {
    PRICES: {"source": 60, "price": 60},
    TRADES: {"trade_id": 118, "quantity": 60, "price": 60, "fee_usd": 60},
    TRANSFERS: {"transfer_id": 118, "reference": 118, "amount": 60},
    HOLDINGS: {"quantity": 60},
}


@dataclass(frozen=True, slots=True)
class DayRows:
    """The rows of the three files that the day's events and marks come from."""

    prices: FileRows[PriceRow]
    trades: FileRows[TradeRow]
    transfers: FileRows[TransferRow]

    @property
    def rejected(self) -> tuple[RejectedRow, ...]:
        """The rejected rows of the three files, by file and line."""
        return self.prices.rejected + self.trades.rejected + self.transfers.rejected


@dataclass(frozen=True, slots=True)
class DayFolder:
    """A day's files as bytes, read once: what was checked is what is applied.

    Attributes:
        path: the folder, with links resolved; reference.yaml is beside it.
        business_day: the date that is the folder's name.
        files: the bytes of each of `FILES`. Any other file in the folder is none of the day's.
        content_sha256: of the names and contents of those files; equal only for equal content.
    """

    path: Path
    business_day: date
    files: Mapping[str, bytes]
    content_sha256: str

    def rows(self, *, priced: Collection[str]) -> DayRows:
        """The typed rows; a price of a name outside `priced` is rejected."""
        return DayRows(
            prices=read_prices(self.files[PRICES], priced=priced),
            trades=read_trades(self.files[TRADES]),
            transfers=read_transfers(self.files[TRANSFERS]),
        )


def read_folder(day: Path, *, size_limit: int) -> DayFolder:
    """The files of a day folder, none of them missing, too large or with other columns.

    Bank statements are only fetched here: a bank's unreadable statement is that bank's break, and
    no reason to refuse the day.

    Args:
        day: the folder; its name is the business day.
        size_limit: largest size of each file, in bytes.

    Raises:
        FolderRefusedError: the folder cannot be read as a whole; the sentence names the place.
    """
    path = _resolved(day)
    business_day = _business_day(path)
    for folder, name in ((path, path.name), (path / "statements", "statements")):
        _check_directory(folder, name=name)
    files = {name: read_file(path / name, name=name, size_limit=size_limit) for name in FILES}
    for name, header in HEADERS.items():
        check_csv(files[name], name=name, header=header)
    return DayFolder(
        path=path, business_day=business_day, files=files, content_sha256=content_sha256(files)
    )


def content_sha256(files: Mapping[str, bytes]) -> str:
    """One hash for a set of named files, whatever order they were read in."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _business_day(path: Path) -> date:
    midnight = parse_time(f"{path.name}T00:00:00Z")
    if midnight is None:
        what = "a day folder is called by its date, YYYY-MM-DD, and this is none"
        raise FolderRefusedError(what, file=_name(path))
    return midnight.date()


def _name(path: Path) -> str:
    """The folder's name for a sentence, on one line whatever it is."""
    return path.name if path.name.isprintable() and path.name else repr(str(path))


def _resolved(day: Path) -> Path:
    """The folder itself, where the caller may have named it by a link or as "."."""
    try:
        return day.resolve()
    except (OSError, RuntimeError) as error:
        raise FolderRefusedError(
            "the links to this folder lead nowhere", file=_name(day)
        ) from error


def _check_directory(path: Path, *, name: str) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        raise FolderRefusedError("the folder is missing", file=name) from error
    except OSError as error:
        raise FolderRefusedError(
            f"the folder cannot be read ({error.strerror})", file=name
        ) from error
    if not stat.S_ISDIR(mode):
        raise FolderRefusedError("this is not a folder", file=name)


def check_csv(data: bytes, *, name: str, header: tuple[str, ...]) -> None:
    """Refuse a file that is not text, or whose columns are not the expected ones in their order."""
    text = decode_utf8(data, name=name)
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise FolderRefusedError("a NUL character is not text", file=name, line=line)
    try:
        rows = read_rows(data, header)
    except MalformedFileError as error:
        found = text.partition("\n")[0].rstrip("\r")
        raise FolderRefusedError(
            f"the header is {quoted(found, longest=120)}; expected {','.join(header)!r}",
            file=name,
            line=1,
            field=_first_other(found.split(","), header),
        ) from error
    for row in rows:
        _check_lengths(dict(zip(header, row.fields, strict=False)), name=name, line=row.line)


def _check_lengths(fields: Mapping[str, str], *, name: str, line: int) -> None:
    """Refuse before anything is written what could not be kept whole later in the day."""
    for field, longest in LONGEST[name].items():
        length = len(fields.get(field, ""))
        if length > longest:
            what = f"{length:,} characters are more than the {longest} that are kept"
            raise FolderRefusedError(what, file=name, line=line, field=field)


def _first_other(found: list[str], header: tuple[str, ...]) -> str | None:
    """The column to blame: an unknown one, else a missing one, else the first out of place."""
    unknown = [column for column in found if column not in header]
    missing = [column for column in header if column not in found]
    displaced = [
        wanted or column
        for column, wanted in zip_longest(found, header, fillvalue="")
        if column != wanted
    ]
    column = next(iter([*missing, *unknown, *displaced]), None)
    return None if column is None else column if column in header else quoted(column)
