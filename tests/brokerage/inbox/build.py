"""A small valid inbox, written line by line so that a test can spoil exactly one place of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from brokerage.inbox.reference import read_reference
from brokerage.inbox.refusal import FolderRefusedError

SIZE_LIMIT = 1_000_000

REFERENCE = """\
format: "golden/1"
house_rules: "v1"
firm: {name: "Example Brokerage", as_of_time: "21:00:00"}
pools: [CLIENT, HOUSE, INSURANCE]
assets:
- {asset: USD, kind: money, scale: "2", haircut: "0"}
- {asset: BTC, kind: money, scale: "8", haircut: "0.20"}
instruments:
- {instrument: SPY, kind: security, quantity_scale: "0", price_scale: "4", initial_rate: "0.50", maintenance_rate: "0.25"}
- instrument: BTC-PERP
  kind: linear_perp
  quantity_scale: "4"
  price_scale: "2"
  settles_in: USD
  brackets:
  - {floor: "0", initial_rate: "0.10", maintenance_rate: "0.05"}
  - {floor: "50000", initial_rate: "0.20", maintenance_rate: "0.10"}
locations:
- {location: "bank:client-usd", pool: CLIENT, kind: bank, assets: [USD], account_id: "US00CLIENTUSD0001"}
- {location: "custodian:client-sec", pool: CLIENT, kind: custodian, assets: [SPY]}
- {location: "wallet:client-btc", pool: CLIENT, kind: wallet, assets: [BTC]}
- {location: "venue:client", pool: CLIENT, kind: venue, assets: [USD, BTC-PERP]}
- {location: "bank:house-usd", pool: HOUSE, kind: bank, assets: [USD], account_id: "US00HOUSEUSD00001"}
- {location: "custodian:house-sec", pool: HOUSE, kind: custodian, assets: [SPY]}
- {location: "bank:insurance-usd", pool: INSURANCE, kind: bank, assets: [USD], account_id: "7700000001"}
agreements:
- {agreement: STD, call_level: "1", liquidation_level: "0.5", minimum_transfer_amount: "100.00"}
clients:
- {client: C1, name: "First client"}
- {client: C2, name: "Second client"}
accounts:
- {account: A1, owner: C1, pool: CLIENT, mode: isolated, buckets: [FREE, ISO-BTC-PERP], agreement: STD}
- {account: A2, owner: C2, pool: CLIENT, mode: cross, buckets: [FREE], agreement: STD}
- {account: A3, owner: C2, pool: CLIENT, mode: cash, buckets: [FREE], agreement: STD}
- {account: H1, owner: FIRM, pool: HOUSE, mode: cross, buckets: [FREE], agreement: STD}
opening:
  business_day: "2018-01-31"
  marks:
  - {instrument: BTC, mark: "10099.99"}
  - {instrument: BTC-PERP, mark: "9000"}
  - {instrument: SPY, mark: "280"}
  claims:
  - {account: A1, bucket: FREE, asset: USD, amount: "500.00"}
  - {account: A1, bucket: ISO-BTC-PERP, asset: USD, amount: "1000.00"}
  - {account: A2, bucket: FREE, asset: USD, amount: "2000.00"}
  - {account: A3, bucket: FREE, asset: BTC, amount: "1.50000000"}
  - {account: H1, bucket: FREE, asset: USD, amount: "300.00"}
  positions:
  - {account: A1, bucket: ISO-BTC-PERP, instrument: BTC-PERP, quantity: "-1.0000", average_cost: "9000.00000000"}
  - {account: A2, bucket: FREE, instrument: SPY, quantity: "100", average_cost: "275.12345678"}
  - {account: H1, bucket: FREE, instrument: SPY, quantity: "7", average_cost: "270"}
  loans:
  - {account: A2, amount: "23000.00"}
  custody:
  - {location: "bank:client-usd", asset: USD, quantity: "1500.00"}
  - {location: "venue:client", asset: USD, quantity: "3000.00"}
  - {location: "venue:client", asset: BTC-PERP, quantity: "-1.0000"}
  - {location: "wallet:client-btc", asset: BTC, quantity: "1.50000000"}
  - {location: "custodian:client-sec", asset: SPY, quantity: "100"}
  - {location: "bank:house-usd", asset: USD, quantity: "7300.00"}
  - {location: "custodian:house-sec", asset: SPY, quantity: "7"}
  - {location: "bank:insurance-usd", asset: USD, quantity: "100.00"}
  firm_balance:
  - {pool: CLIENT, asset: USD, amount: "1000.00"}
  - {pool: HOUSE, asset: USD, amount: "30000.00"}
  - {pool: INSURANCE, asset: USD, amount: "100.00"}
  statement_closing:
  - {location: "bank:client-usd", amount: "1500.00"}
  - {location: "bank:house-usd", amount: "7300.00"}
  - {location: "bank:insurance-usd", amount: "100.00"}
"""  # noqa: E501

PRICES = b"instrument,source,observed_at,price\n"
TRADES = b"trade_id,executed_at,account,bucket,instrument,side,quantity,price,fee_usd,location\n"
TRANSFERS = (
    b"transfer_id,booked_at,kind,account,bucket,asset,amount,"
    b"location,to_location,to_bucket,reference\n"
)
HOLDINGS = b"location,asset,quantity,as_of\n"

FILES: dict[str, bytes] = {
    "prices.csv": PRICES + b"SPY,first,2018-02-01T20:55:00Z,281.50\n",
    "trades.csv": (
        TRADES + b"T1,2018-02-01T09:00:00Z,A2,FREE,SPY,buy,1,281.50,1.00,custodian:client-sec\n"
    ),
    "transfers.csv": (
        TRANSFERS + b"X1,2018-02-01T12:00:00Z,deposit,A2,FREE,USD,500.00,bank:client-usd,,,RF1\n"
    ),
    "statements/holdings.csv": HOLDINGS + b"venue:client,USD,3000.00,2018-02-01T21:00:00Z\n",
    "statements/bank-client-usd.camt053.xml": b"<Document/>\n",
    "statements/bank-house-usd.mt940": b":20:1\r\n",
    "statements/bank-insurance-usd.bai2": b"99,0,0,0/\n",
}


def spoilt(text: str, old: str, new: str) -> str:
    """The text with its only `old` replaced."""
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


def write_reference(folder: Path, text: str = REFERENCE) -> Path:
    """Write reference.yaml into a folder and return its path."""
    path = folder / "reference.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def write_day(
    folder: Path, *, day: str = "2018-02-01", files: Mapping[str, bytes | None] | None = None
) -> Path:
    """Write a day folder; `files` replaces files of `FILES`, None leaves one out."""
    path = folder / day
    (path / "statements").mkdir(parents=True)
    for name, data in {**FILES, **(files or {})}.items():
        if data is not None:
            (path / name).write_bytes(data)
    return path


def line_of(text: str, fragment: str) -> int:
    """Line of the first place where the fragment stands."""
    return text[: text.index(fragment)].count("\n") + 1


def assert_reference_refused(
    folder: Path, *, old: str, new: str, at: str, field: str | None, what: str
) -> None:
    """The sound reference is read; with `new` for `old` it is refused at the line of `at`."""
    read_reference(write_reference(folder), size_limit=SIZE_LIMIT)
    text = spoilt(REFERENCE, old, new)
    line = line_of(text, at)
    with pytest.raises(FolderRefusedError) as raised:
        read_reference(write_reference(folder, text), size_limit=SIZE_LIMIT)
    place = f"reference.yaml line {line}" + (f", {field}" if field else "")
    assert str(raised.value) == f"{place}: {what}. Nothing was read."
    assert (raised.value.file, raised.value.line, raised.value.field) == (
        "reference.yaml", line, field,
    )  # fmt: skip
