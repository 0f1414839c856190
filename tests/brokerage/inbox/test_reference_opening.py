"""The opening state must be possible, resolve, and satisfy the identity of the pools."""

from pathlib import Path

import pytest

from tests.brokerage.inbox.build import assert_reference_refused

# What is spoilt, with what; the refusal: text of its line, its field, what it says.
SPOILT = {
    "an opening day that is none": (
        '"2018-01-31"', '"2018-02-31"', "business_day", "opening.business_day",
        "'2018-02-31' is not a date",
    ),
    "an opening day that is not text": (
        '"2018-01-31"', "2018-01-31", "business_day", "opening.business_day",
        "'2018-01-31' is not text; put it in quotes",
    ),
    "a priced name without a mark": (
        '  - {instrument: SPY, mark: "280"}\n', "", "marks:", "opening.marks", "SPY has no mark",
    ),
    "a mark of zero": (
        'mark: "280"', 'mark: "0.0000"', "0.0000", "opening.marks[2].mark",
        "0.0000 is not above 0",
    ),
    "a mark of USD": (
        "instrument: SPY, mark", "instrument: USD, mark", "USD, mark",
        "opening.marks[2].instrument", "'USD' is not a priced name",
    ),
    "a mark twice": (
        "instrument: SPY, mark", "instrument: BTC, mark", '"280"',
        "opening.marks[2].instrument", "BTC is listed twice",
    ),
    "a claim of an unknown account": (
        "account: A3, bucket", "account: A9, bucket", "A9", "opening.claims[3].account",
        "'A9' is not an account",
    ),
    "a claim in a bucket the account lacks": (
        "account: A3, bucket: FREE", "account: A3, bucket: ISO-BTC-PERP", "account: A3, bucket",
        "opening.claims[3].bucket", "'ISO-BTC-PERP' is not a bucket of A3",
    ),
    "a claim in shares": (
        "account: A3, bucket: FREE, asset: BTC", "account: A3, bucket: FREE, asset: SPY",
        "account: A3, bucket", "opening.claims[3].asset", "'SPY' is not a money asset",
    ),
    "a negative claim": (
        'amount: "500.00"', 'amount: "-500.00"', "-500.00", "opening.claims[0].amount",
        "-500.00 is below 0",
    ),
    "a claim with a tenth of a cent": (
        'amount: "500.00"', 'amount: "500.000"', "500.000", "opening.claims[0].amount",
        "USD has 2 decimals; 500.000 has 3",
    ),
    "a claim twice": (
        "bucket: ISO-BTC-PERP, asset: USD", "bucket: FREE, asset: USD", "1000.00",
        "opening.claims[1].account", "A1 FREE USD is listed twice",
    ),
    "a position in money": (
        "instrument: SPY, quantity: \"100\"", "instrument: BTC, quantity: \"100\"",
        "275.12345678", "opening.positions[1].instrument", "'BTC' is not an instrument",
    ),
    "a short position in shares": (
        'quantity: "100", average', 'quantity: "-100", average', "275.12345678",
        "opening.positions[1].quantity", "-100 is below 0",
    ),
    "half a share": (
        'quantity: "100", average', 'quantity: "100.5", average', "275.12345678",
        "opening.positions[1].quantity", "SPY has 0 decimals; 100.5 has 1",
    ),
    "an average cost with nine decimals": (
        '"275.12345678"', '"275.123456789"', "275.123456789",
        "opening.positions[1].average_cost", "an average cost has 8 decimals; 275.123456789 has 9",
    ),
    "shares in FREE of an isolated account": (
        "account: A2, bucket: FREE, instrument: SPY", "account: A1, bucket: FREE, instrument: SPY",
        "275.12345678", "opening.positions[1].bucket", "FREE of A1 (isolated) does not hold SPY",
    ),
    "a perpetual in a cash account": (
        "account: A1, bucket: ISO-BTC-PERP, instrument", "account: A3, bucket: FREE, instrument",
        "9000.00000000", "opening.positions[0].bucket",
        "FREE of A3 (cash) does not hold BTC-PERP",
    ),
    "a position twice": (
        "account: H1, bucket: FREE, instrument", "account: A2, bucket: FREE, instrument",
        '"270"', "opening.positions[2].account", "A2 FREE SPY is listed twice",
    ),
    "a loan to a cash account": (
        'account: A2, amount: "23000.00"', 'account: A3, amount: "23000.00"', "23000.00",
        "opening.loans[0].account", "A3 (CLIENT, cash) is not a cross account of CLIENT",
    ),
    "a loan to the firm": (
        'account: A2, amount: "23000.00"', 'account: H1, amount: "23000.00"', "23000.00",
        "opening.loans[0].account", "H1 (HOUSE, cross) is not a cross account of CLIENT",
    ),
    "a negative loan": (
        '"23000.00"', '"-23000.00"', "-23000.00", "opening.loans[0].amount",
        "-23000.00 is below 0",
    ),
    "a loan twice": (
        "  custody:\n", '  - {account: A2, amount: "0"}\n  custody:\n', 'A2, amount: "0"',
        "opening.loans[1].account", "A2 is listed twice",
    ),
    "custody of an asset the location does not carry": (
        '"wallet:client-btc", asset: BTC', '"wallet:client-btc", asset: USD', "asset: USD, "
        'quantity: "1.50000000"', "opening.custody[3].asset",
        "'USD' is not an asset that wallet:client-btc carries",
    ),
    "custody at an unknown location": (
        '"wallet:client-btc", asset: BTC', '"wallet:other", asset: BTC', "wallet:other",
        "opening.custody[3].location", "'wallet:other' is not a location",
    ),
    "negative custody": (
        '"wallet:client-btc", asset: BTC, quantity: "1.50000000"',
        '"wallet:client-btc", asset: BTC, quantity: "-1.50000000"', '"-1.50000000"',
        "opening.custody[3].quantity", "-1.50000000 is below 0",
    ),
    "custody twice": (
        '"venue:client", asset: BTC-PERP, quantity', '"venue:client", asset: USD, quantity',
        'asset: USD, quantity: "-1.0000"', "opening.custody[2].location",
        "venue:client USD is listed twice",
    ),
    "a firm balance of no pool": (
        "pool: HOUSE, asset", "pool: OTHER, asset", "OTHER", "opening.firm_balance[1].pool",
        "'OTHER' is not a pool",
    ),
    "a firm balance in an unknown asset": (
        "pool: HOUSE, asset: USD", "pool: HOUSE, asset: EUR", "EUR",
        "opening.firm_balance[1].asset", "'EUR' is not an asset",
    ),
    "a firm balance in contracts": (
        "pool: HOUSE, asset: USD", "pool: HOUSE, asset: BTC-PERP", "30000.00",
        "opening.firm_balance[1].asset", "contracts of BTC-PERP belong to accounts alone",
    ),
    "a firm balance twice": (
        "pool: INSURANCE, asset", "pool: HOUSE, asset", 'HOUSE, asset: USD, amount: "100.00"',
        "opening.firm_balance[2].pool", "HOUSE USD is listed twice",
    ),
    "a statement of no bank": (
        'location: "bank:house-usd", amount', 'location: "venue:client", amount',
        '"venue:client", amount', "opening.statement_closing[1].location",
        "'venue:client' is not a bank",
    ),
    "a statement twice": (
        'location: "bank:house-usd", amount', 'location: "bank:client-usd", amount',
        '"7300.00"}\n  - {location: "bank:insurance', "opening.statement_closing[1].location",
        "bank:client-usd is listed twice",
    ),
    "an unknown section of the opening": (
        "  claims:\n", "  debts: []\n  claims:\n", "debts", "opening.debts",
        "the key is unknown",
    ),
    "a cent too little client money": (
        'USD, quantity: "1500.00"', 'USD, quantity: "1499.99"',
        'pool: CLIENT, asset: USD, amount', "opening.firm_balance[0].amount",
        "CLIENT USD holds 4,499.99 (custody 4,499.99, loans 0) but owes 4,500.00 "
        "(claims and positions 3,500.00, firm balance 1,000.00)",
    ),
    "a loan the house has not lent": (
        'account: A2, amount: "23000.00"', 'account: A2, amount: "22999.99"',
        'pool: HOUSE, asset: USD, amount', "opening.firm_balance[1].amount",
        "HOUSE USD holds 30,299.99 (custody 7,300.00, loans 22,999.99) but owes 30,300.00 "
        "(claims and positions 300.00, firm balance 30,000.00)",
    ),
    "a fund that is not there": (
        'pool: INSURANCE, asset: USD, amount: "100.00"',
        'pool: INSURANCE, asset: USD, amount: "101.00"',
        "101.00", "opening.firm_balance[2].amount",
        "INSURANCE USD holds 100.00 (custody 100.00, loans 0) but owes 101.00 "
        "(claims and positions 0, firm balance 101.00)",
    ),
    "a satoshi too much": (
        'asset: BTC, quantity: "1.50000000"', 'asset: BTC, quantity: "1.50000001"',
        "opening:", "opening",
        "CLIENT BTC holds 1.50000001 (custody 1.50000001, loans 0) but owes 1.50000000 "
        "(claims and positions 1.50000000, firm balance 0)",
    ),
    "a share nobody keeps": (
        '"custodian:client-sec", asset: SPY, quantity: "100"',
        '"custodian:client-sec", asset: SPY, quantity: "99"',
        "opening:", "opening",
        "CLIENT SPY holds 99 (custody 99, loans 0) but owes 100 "
        "(claims and positions 100, firm balance 0)",
    ),
    "net contracts that are not those of the venue": (
        'asset: BTC-PERP, quantity: "-1.0000"', 'asset: BTC-PERP, quantity: "1.0000"',
        "opening:", "opening",
        "CLIENT BTC-PERP holds 1.0000 (custody 1.0000, loans 0) but owes -1.0000 "
        "(claims and positions -1.0000, firm balance 0)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fragment", "field", "what"), SPOILT.values(), ids=SPOILT)
def test_a_reference_is_refused_for(
    tmp_path: Path, old: str, new: str, fragment: str, field: str | None, what: str
) -> None:
    assert_reference_refused(tmp_path, old=old, new=new, at=fragment, field=field, what=what)
