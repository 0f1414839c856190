"""CSV files of the inbox, and rows in them that cannot be read."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from brokerage.synthetic.profile import Rates, drawn_among

Cells = list[str]

PRICES = ("instrument", "source", "observed_at", "price")
TRADES = (
    "trade_id", "executed_at", "account", "bucket", "instrument", "side", "quantity", "price",
    "fee_usd", "location",
)  # fmt: skip
TRANSFERS = (
    "transfer_id", "booked_at", "kind", "account", "bucket", "asset", "amount", "location",
    "to_location", "to_bucket", "reference",
)  # fmt: skip
HOLDINGS = ("location", "asset", "quantity", "as_of")

NUMBER_COLUMNS = frozenset({"price", "quantity", "fee_usd", "amount"})
TIME_COLUMNS = frozenset({"observed_at", "executed_at", "booked_at", "as_of"})
NOT_NUMBERS = ("NaN", "1e3", "+1.5", "1,00", "", "1 000", "12..34", ".5", "5.", "0x10", "--2")
CODE_COLUMNS: dict[tuple[str, ...], tuple[str, ...]] = {
    PRICES: ("instrument",),
    HOLDINGS: ("location", "asset"),
}


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Cells]) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_text(written.getvalue(), encoding="utf-8", newline="")


def with_unreadable(
    rng: Random, rows: list[Cells], header: tuple[str, ...], rates: Rates
) -> list[Cells]:
    """The rows in their order, with unreadable ones put in between at random."""
    result = list(rows)
    for kind in drawn_among(rng, rates, max(len(rows), 1)) if rows else ():
        spoiled = spoil(rng, list(rng.choice(rows)), header, kind)
        if spoiled is not None:
            result.insert(rng.randint(0, len(result)), spoiled)
    return result


def spoil(rng: Random, cells: Cells, header: tuple[str, ...], kind: str) -> Cells | None:
    """A row rejected for the given reason; None where this file knows no such reason."""
    if kind == "wrong_column_count":
        return rng.choice((cells[:-1], [*cells, ""], [], ["one cell\nover two lines", *cells]))
    if kind == "unknown_code":
        return spoil_code(rng, cells, header)
    if kind == "wrong_as_of":
        if header is not HOLDINGS:
            return None
        cells[3] = rng.choice((cells[3].replace("T21:", "T20:"), cells[3].replace(":00Z", ":01Z")))
        return cells
    columns = NUMBER_COLUMNS if kind == "not_a_number" else TIME_COLUMNS
    at = rng.choice([index for index, column in enumerate(header) if column in columns])
    cells[at] = rng.choice(NOT_NUMBERS) if kind == "not_a_number" else spoil_time(rng, cells[at])
    return cells


def spoil_time(rng: Random, text: str) -> str:
    day = text[:10]
    return rng.choice(
        (
            f"{day}T24:00:00Z",
            f"{day[:8]}32T10:00:00Z",
            f"{day} 10:00:00Z",
            text[:-1],
            "",
            f"{text} ",
            f"{text[:-1]}+00:00",
            text.replace("-", "/"),
        )
    )


def spoil_code(rng: Random, cells: Cells, header: tuple[str, ...]) -> Cells | None:
    columns = CODE_COLUMNS.get(header)
    if columns is None:
        return None
    column = rng.choice(columns)
    wrong = {"instrument": ("USD", "NOSUCH", ""), "location": ("bank:client-usd", "vault:nowhere"),
             "asset": ("EUR", "NOSUCH")}[column]  # fmt: skip
    cells[header.index(column)] = rng.choice(wrong)
    return cells
