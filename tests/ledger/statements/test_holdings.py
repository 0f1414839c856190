"""Holdings files: which rows are read, and why the others are not."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ledger.statements.holdings import FILE, Holding, held_quantities, read_holdings
from ledger.statements.rows import MalformedFileError, RejectedRow

AS_OF = datetime(2018, 2, 1, 21, tzinfo=UTC)
LOCATIONS = {
    "custodian:sec": frozenset({"SPY", "IBM"}),
    "venue:client": frozenset({"USD", "BTC-PERP"}),
}
AT = "2018-02-01T21:00:00Z"


def read(*rows: str) -> tuple[tuple[Holding, ...], tuple[RejectedRow, ...]]:
    data = "\n".join(["location,asset,quantity,as_of", *rows, ""]).encode()
    return read_holdings(data, as_of=AS_OF, locations=LOCATIONS)


def test_rows_are_read_with_their_line_and_decimals() -> None:
    holdings, rejected = read(
        f"venue:client,BTC-PERP,-1.5000,{AT}", f'custodian:sec,"SPY",12.0,{AT}'
    )
    assert rejected == ()
    assert holdings == (
        Holding("venue:client", "BTC-PERP", Decimal("-1.5000"), 2),
        Holding("custodian:sec", "SPY", Decimal("12.0"), 3),
    )
    assert holdings[1].quantity.as_tuple() == Decimal("12.0").as_tuple()


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("", None, "wrong_column_count"),
        ("nowhere,SPY,x", None, "wrong_column_count"),
        (f"nowhere,SPY,x,{AT},", None, "wrong_column_count"),
        (f"nowhere,SPY,x,{AT}", "quantity", "not_a_number"),
        ("nowhere,SPY,x,y", "quantity", "not_a_number"),
        ("nowhere,SPY,1,y", "as_of", "bad_timestamp"),
        (f"nowhere,SPY,1,{AT}", "location", "unknown_code"),
        (f"bank:client-usd,USD,1,{AT}", "location", "unknown_code"),
        (f"custodian:sec,USD,1,{AT}", "asset", "unknown_code"),
        ("custodian:sec,USD,1,2018-02-02T21:00:00Z", "asset", "unknown_code"),
        ("custodian:sec,SPY,1,2018-02-01T20:59:59Z", "as_of", "wrong_as_of"),
    ],
)
def test_a_row_is_rejected_for_its_first_flaw_and_not_read(
    row: str, field: str | None, reason: str
) -> None:
    holdings, rejected = read(f"custodian:sec,SPY,1,{AT}", row, f"custodian:sec,IBM,2,{AT}")
    assert rejected == (RejectedRow(FILE, 3, field, reason),)
    assert [holding.asset for holding in holdings] == ["SPY", "IBM"]


def test_a_row_over_several_lines_has_the_number_of_its_last() -> None:
    _, rejected = read(f'"custodian\n:sec",SPY,1,{AT}', f"custodian:sec,,1,{AT}")
    assert rejected == (
        RejectedRow(FILE, 3, "location", "unknown_code"),
        RejectedRow(FILE, 4, "asset", "unknown_code"),
    )


def test_rows_of_one_location_and_asset_are_added_without_losing_decimals() -> None:
    holdings, _ = read(
        f"custodian:sec,SPY,1,{AT}",
        f"venue:client,USD,5.00,{AT}",
        f"custodian:sec,SPY,2.500,{AT}",
        f"custodian:sec,SPY,-0.5,{AT}",
    )
    quantities = held_quantities(holdings)
    assert quantities == {
        ("custodian:sec", "SPY"): Decimal(3),
        ("venue:client", "USD"): Decimal(5),
    }
    assert quantities["custodian:sec", "SPY"].as_tuple() == Decimal("3.000").as_tuple()


def test_another_header_is_refused_with_all_rows() -> None:
    data = f"location,asset,as_of,quantity\ncustodian:sec,SPY,{AT},1\n".encode()
    with pytest.raises(MalformedFileError):
        read_holdings(data, as_of=AS_OF, locations=LOCATIONS)
