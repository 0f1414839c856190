"""What custodians, wallets and venues say they hold: one CSV file a day for all of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from ledger.statements.rows import (
    RejectedRow,
    Row,
    parse_time,
    read_rows,
    rejected_column,
)
from ledger.statements.statement import exact_sum

FILE: Final = "statements/holdings.csv"
HEADER: Final = ("location", "asset", "quantity", "as_of")


class Holding(NamedTuple):
    """One row: a location says it holds this much, in units of the asset.

    Attributes:
        quantity: with the decimals of the file; negative for a short net position of contracts.
        line: the line of the file the row ends on.
    """

    location: str
    asset: str
    quantity: Decimal
    line: int


def read_holdings(
    data: bytes, *, as_of: datetime, locations: Mapping[str, frozenset[str]]
) -> tuple[tuple[Holding, ...], tuple[RejectedRow, ...]]:
    """The readable rows and the rejected ones, each in the order of the file.

    Args:
        as_of: the instant every row has to speak of.
        locations: the assets each location carries, of all locations that are not banks.

    Raises:
        MalformedFileError: not UTF-8 or another header.
    """
    holdings: list[Holding] = []
    rejected: list[RejectedRow] = []
    for row in read_rows(data, HEADER):
        rejection = rejected_column(
            row, header=HEADER, numbers=("quantity",), times=("as_of",), file=FILE
        ) or _rejected_meaning(row, as_of=as_of, locations=locations)
        if rejection is not None:
            rejected.append(rejection)
            continue
        location, asset, quantity, _ = row.fields
        holdings.append(Holding(location, asset, Decimal(quantity), row.line))
    return tuple(holdings), tuple(rejected)


def held_quantities(holdings: Iterable[Holding]) -> dict[tuple[str, str], Decimal]:
    """The sum of the rows of each location and asset."""
    quantities: dict[tuple[str, str], list[Decimal]] = {}
    for holding in holdings:
        quantities.setdefault((holding.location, holding.asset), []).append(holding.quantity)
    return {key: exact_sum(each) for key, each in quantities.items()}


def _rejected_meaning(
    row: Row, *, as_of: datetime, locations: Mapping[str, frozenset[str]]
) -> RejectedRow | None:
    """The rejection of a row whose columns can be read: what it names, then when."""
    location, asset, _, at = row.fields
    if location not in locations:
        return RejectedRow(FILE, row.line, "location", "unknown_code")
    if asset not in locations[location]:
        return RejectedRow(FILE, row.line, "asset", "unknown_code")
    if parse_time(at) != as_of:
        return RejectedRow(FILE, row.line, "as_of", "wrong_as_of")
    return None
