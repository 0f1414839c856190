"""What reference.yaml lists must resolve, be listed once and make sense together."""

from pathlib import Path

import pytest

from tests.brokerage.inbox.build import assert_reference_refused

# What is spoilt, with what; the refusal: text of its line, its field, what it says.
SPOILT = {
    "a pool too few": (
        "pools: [CLIENT, HOUSE, INSURANCE]", "pools: [CLIENT, HOUSE]", "pools:", "pools",
        "INSURANCE is missing",
    ),
    "a pool too many": (
        "pools: [CLIENT, HOUSE, INSURANCE]", "pools: [CLIENT, HOUSE, INSURANCE, OTHER]",
        "pools:", "pools[3]", "'OTHER' is not one of CLIENT, HOUSE, INSURANCE",
    ),
    "a pool twice": (
        "pools: [CLIENT, HOUSE, INSURANCE]", "pools: [CLIENT, CLIENT, HOUSE, INSURANCE]",
        "pools:", "pools[1]", "'CLIENT' is listed twice",
    ),
    "an asset of another kind": (
        "asset: BTC, kind: money", "asset: BTC, kind: coin", "{asset: BTC", "assets[1].kind",
        "'coin' is not the kind of an asset, which is money",
    ),
    "an asset twice": (
        "instruments:\n", '- {asset: BTC, kind: money, scale: "6", haircut: "0"}\ninstruments:\n',
        'scale: "6"', "assets[2].asset", "'BTC' stands in assets twice",
    ),
    "no USD": (
        "{asset: USD, kind", "{asset: EUR, kind", "assets:", "assets", "USD is missing",
    ),
    "USD not in cents": (
        'scale: "2", haircut: "0"', 'scale: "3", haircut: "0"', "{asset: USD",
        "assets[0].scale", "USD has 2 decimals, not 3",
    ),
    "a negative scale": (
        'scale: "8"', 'scale: "-8"', "{asset: BTC", "assets[1].scale", "-8 is below 0",
    ),
    "a broken scale": (
        'scale: "8"', 'scale: "7.5"', "{asset: BTC", "assets[1].scale",
        "7.5 is not a whole number",
    ),
    "a scale beyond the book": (
        'scale: "8"', 'scale: "19"', "{asset: BTC", "assets[1].scale", "19 is above 18",
    ),
    "a negative haircut": (
        '"0.20"}\ninstruments', '"-0.20"}\ninstruments', "{asset: BTC", "assets[1].haircut",
        "-0.20 is below 0",
    ),
    "a haircut above one": (
        '"0.20"}\ninstruments', '"1.01"}\ninstruments', "{asset: BTC", "assets[1].haircut",
        "1.01 is above 1",
    ),
    "an instrument of another kind": (
        "kind: linear_perp", "kind: option", "kind: option", "instruments[1].kind",
        "'option' is not one of security, linear_perp",
    ),
    "an instrument without a kind": (
        "kind: security, ", "", "{instrument: SPY, quantity_scale", "instruments[0].kind",
        "the key is missing",
    ),
    "an instrument named like an asset": (
        "instrument: SPY, kind", "instrument: BTC, kind", "instrument: BTC, kind",
        "instruments[0].instrument", "'BTC' is already an asset",
    ),
    "an instrument twice": (
        "instrument: SPY, kind", "instrument: BTC-PERP, kind", "- instrument: BTC-PERP",
        "instruments[1].instrument", "'BTC-PERP' stands in instruments twice",
    ),
    "a security with brackets": (
        "instrument: SPY, kind: security,", "instrument: SPY, kind: security, brackets: [],",
        "brackets: []", "instruments[0].brackets", "the key is unknown",
    ),
    "a rate above one": (
        '"0.50", maintenance_rate: "0.25"', '"1.50", maintenance_rate: "0.25"',
        "kind: security", "instruments[0].initial_rate", "1.50 is above 1",
    ),
    "maintenance above initial": (
        '"0.50", maintenance_rate: "0.25"', '"0.20", maintenance_rate: "0.25"',
        "kind: security", "instruments[0].maintenance_rate",
        "0.25 is above the initial rate 0.20",
    ),
    "a perpetual that settles elsewhere": (
        "settles_in: USD", "settles_in: BTC", "settles_in", "instruments[1].settles_in",
        "'BTC' is not USD, the settlement asset",
    ),
    "a first bracket above zero": (
        'floor: "0"', 'floor: "1"', 'floor: "1"', "instruments[1].brackets[0].floor",
        "the first bracket starts at 0, not at 1",
    ),
    "brackets that do not ascend": (
        'floor: "50000"', 'floor: "0.00"', 'floor: "0.00"', "instruments[1].brackets[1].floor",
        "0.00 is not above 0, the floor before it",
    ),
    "no brackets": (
        '  brackets:\n  - {floor: "0", initial_rate: "0.10", maintenance_rate: "0.05"}\n'
        '  - {floor: "50000", initial_rate: "0.20", maintenance_rate: "0.10"}\n',
        "  brackets: []\n", "brackets", "instruments[1].brackets",
        "a perpetual has at least one bracket",
    ),
    "a location twice": (
        '"custodian:house-sec", pool', '"custodian:client-sec", pool',
        'custodian:client-sec", pool: HOUSE', "locations[5].location",
        "'custodian:client-sec' stands in locations twice",
    ),
    "a location of no pool": (
        '"wallet:client-btc", pool: CLIENT', '"wallet:client-btc", pool: OTHER', "OTHER",
        "locations[2].pool", "'OTHER' is not a pool",
    ),
    "a location of another kind": (
        "kind: wallet", "kind: safe", "kind: safe", "locations[2].kind",
        "'safe' is not one of bank, custodian, wallet, venue",
    ),
    "a bank without an account number": (
        ', account_id: "7700000001"', "", '"bank:insurance-usd", pool',
        "locations[6].account_id", "the key is missing",
    ),
    "a wallet with an account number": (
        "assets: [BTC]}", "assets: [BTC], account_id: X1}", "X1", "locations[2].account_id",
        "only a bank has an account number",
    ),
    "a location with an unknown asset": (
        "kind: wallet, assets: [BTC]", "kind: wallet, assets: [BTC, ETH]", "ETH",
        "locations[2].assets[1]", "'ETH' is not an asset",
    ),
    "a bank with an instrument": (
        'kind: bank, assets: [USD], account_id: "US00C',
        'kind: bank, assets: [USD, SPY], account_id: "US00C',
        "US00C", "locations[0].assets", "a bank keeps money, and SPY is an instrument",
    ),
    "a perpetual in HOUSE": (
        'pool: HOUSE, kind: custodian, assets: [SPY]',
        'pool: HOUSE, kind: venue, assets: [USD, BTC-PERP]',
        "pool: HOUSE, kind: venue", "locations[5].assets",
        "custodian:house-sec is of HOUSE, which does not carry BTC-PERP",
    ),
    "a perpetual in INSURANCE": (
        "agreements:\n",
        '- {location: "venue:fund", pool: INSURANCE, kind: venue, assets: [USD, BTC-PERP]}\n'
        "agreements:\n",
        "venue:fund", "locations[7].assets",
        "venue:fund is of INSURANCE, which does not carry BTC-PERP",
    ),
    "a perpetual without its settlement asset": (
        "assets: [USD, BTC-PERP]", "assets: [BTC-PERP]", "kind: venue", "locations[3].assets",
        "BTC-PERP settles in USD, which venue:client does not carry",
    ),
    "a bank missing": (
        '"bank:insurance-usd", pool', '"bank:other-usd", pool', "locations:", "locations",
        "bank:insurance-usd is missing",
    ),
    "a bank in another pool": (
        '"bank:insurance-usd", pool: INSURANCE', '"bank:insurance-usd", pool: HOUSE',
        "locations:", "locations",
        "bank:insurance-usd must be a bank of INSURANCE that carries USD",
    ),
    "an agreement twice": (
        "clients:\n",
        '- {agreement: STD, call_level: "1", liquidation_level: "1", '
        'minimum_transfer_amount: "0"}\nclients:\n',
        'minimum_transfer_amount: "0"', "agreements[1].agreement",
        "'STD' stands in agreements twice",
    ),
    "liquidation before the call": (
        'liquidation_level: "0.5"', 'liquidation_level: "1.5"', "agreement: STD, call",
        "agreements[0].liquidation_level", "1.5 is above the call level 1",
    ),
    "a negative call level": (
        'call_level: "1"', 'call_level: "-1"', "agreement: STD, call",
        "agreements[0].call_level", "-1 is below 0",
    ),
    "a minimum transfer below a cent": (
        '"100.00"}\nclients', '"100.001"}\nclients', "agreement: STD, call",
        "agreements[0].minimum_transfer_amount", "USD has 2 decimals; 100.001 has 3",
    ),
    "a client twice": (
        "client: C2", "client: C1", "Second", "clients[1].client", "'C1' stands in clients twice",
    ),
    "a client called like the firm": (
        "client: C2", "client: FIRM", "Second", "clients[1].client",
        "FIRM is the firm itself, not a client",
    ),
    "an account twice": (
        "account: A2, owner", "account: A1, owner", "account: A1, owner: C2",
        "accounts[1].account", "'A1' stands in accounts twice",
    ),
    "an unknown owner": (
        "owner: C1", "owner: C9", "owner: C9", "accounts[0].owner",
        "'C9' is not a client or FIRM",
    ),
    "a client's account in HOUSE": (
        "owner: C1, pool: CLIENT", "owner: C1, pool: HOUSE", "owner: C1", "accounts[0].pool",
        "accounts of C1 are in CLIENT, not in HOUSE",
    ),
    "the firm's account in CLIENT": (
        "owner: FIRM, pool: HOUSE", "owner: FIRM, pool: CLIENT", "owner: FIRM",
        "accounts[3].pool", "accounts of FIRM are in HOUSE, not in CLIENT",
    ),
    "another margin mode": (
        "mode: cash", "mode: hedge", "mode: hedge", "accounts[2].mode",
        "'hedge' is not one of cash, cross, isolated",
    ),
    "a cash account with an isolated bucket": (
        "mode: cash, buckets: [FREE]", "mode: cash, buckets: [FREE, ISO-BTC-PERP]",
        "mode: cash", "accounts[2].buckets[1]",
        "'ISO-BTC-PERP' is not a bucket of a cash account",
    ),
    "an isolated bucket of no perpetual": (
        "[FREE, ISO-BTC-PERP]", "[FREE, ISO-SPY]", "ISO-SPY", "accounts[0].buckets[1]",
        "'ISO-SPY' is not a bucket of an isolated account",
    ),
    "an isolated account with FREE alone": (
        "[FREE, ISO-BTC-PERP]", "[FREE]", "mode: isolated", "accounts[0].buckets",
        "an isolated account has a bucket beside FREE",
    ),
    "an account without FREE": (
        "[FREE, ISO-BTC-PERP]", "[ISO-BTC-PERP]", "mode: isolated", "accounts[0].buckets",
        "FREE is missing",
    ),
    "a bucket twice": (
        "[FREE, ISO-BTC-PERP]", "[FREE, FREE]", "mode: isolated", "accounts[0].buckets[1]",
        "'FREE' is listed twice",
    ),
    "an unknown agreement": (
        "mode: cash, buckets: [FREE], agreement: STD",
        "mode: cash, buckets: [FREE], agreement: GOLD", "GOLD", "accounts[2].agreement",
        "'GOLD' is not an agreement",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fragment", "field", "what"), SPOILT.values(), ids=SPOILT)
def test_a_reference_is_refused_for(
    tmp_path: Path, old: str, new: str, fragment: str, field: str | None, what: str
) -> None:
    assert_reference_refused(tmp_path, old=old, new=new, at=fragment, field=field, what=what)
