"""The worked example of the inbox format as a folder: two accounts, one day, every hard rule."""

from pathlib import Path

DAY = "2018-03-05"

REFERENCE = """\
format: "golden/1"
house_rules: "v1"
firm: {name: "Worked Example", as_of_time: "21:00:00"}
pools: [CLIENT, HOUSE, INSURANCE]
assets:
- {asset: USD, kind: money, scale: "2", haircut: "0"}
instruments:
- {instrument: SPY, kind: security, quantity_scale: "0", price_scale: "4", initial_rate: "0.50",
   maintenance_rate: "0.25"}
- instrument: BTC-PERP
  kind: linear_perp
  quantity_scale: "4"
  price_scale: "2"
  settles_in: USD
  brackets:
  - {floor: "0", initial_rate: "0.10", maintenance_rate: "0.05"}
  - {floor: "50000", initial_rate: "0.20", maintenance_rate: "0.10"}
locations:
- {location: "bank:client-usd", pool: CLIENT, kind: bank, assets: [USD], account_id: "CLIENT1"}
- {location: "custodian:client-sec", pool: CLIENT, kind: custodian, assets: [SPY]}
- {location: "venue:client", pool: CLIENT, kind: venue, assets: [USD, BTC-PERP]}
- {location: "bank:house-usd", pool: HOUSE, kind: bank, assets: [USD], account_id: "HOUSE1"}
- {location: "bank:insurance-usd", pool: INSURANCE, kind: bank, assets: [USD], account_id: "7700"}
agreements:
- {agreement: STD, call_level: "1", liquidation_level: "0.5", minimum_transfer_amount: "100.00"}
clients:
- {client: C1, name: "Client C1"}
- {client: C2, name: "Client C2"}
accounts:
- {account: A1, owner: C1, pool: CLIENT, mode: isolated, buckets: [FREE, ISO-BTC-PERP],
   agreement: STD}
- {account: A2, owner: C2, pool: CLIENT, mode: cross, buckets: [FREE], agreement: STD}
opening:
  business_day: "2018-03-02"
  marks:
  - {instrument: BTC-PERP, mark: "9000.00"}
  - {instrument: SPY, mark: "280.0000"}
  claims:
  - {account: A1, bucket: FREE, asset: USD, amount: "500.00"}
  - {account: A1, bucket: ISO-BTC-PERP, asset: USD, amount: "1000.00"}
  - {account: A2, bucket: FREE, asset: USD, amount: "2000.00"}
  positions:
  - {account: A1, bucket: ISO-BTC-PERP, instrument: BTC-PERP, quantity: "1.0000",
     average_cost: "9000.00000000"}
  - {account: A2, bucket: FREE, instrument: SPY, quantity: "100", average_cost: "275.00000000"}
  loans:
  - {account: A2, amount: "23000.00"}
  custody:
  - {location: "bank:client-usd", asset: USD, quantity: "1500.00"}
  - {location: "bank:house-usd", asset: USD, quantity: "10000.00"}
  - {location: "bank:insurance-usd", asset: USD, quantity: "100.00"}
  - {location: "custodian:client-sec", asset: SPY, quantity: "100"}
  - {location: "venue:client", asset: BTC-PERP, quantity: "1.0000"}
  - {location: "venue:client", asset: USD, quantity: "3000.00"}
  firm_balance:
  - {pool: CLIENT, asset: USD, amount: "1000.00"}
  - {pool: HOUSE, asset: USD, amount: "33000.00"}
  - {pool: INSURANCE, asset: USD, amount: "100.00"}
  statement_closing:
  - {location: "bank:client-usd", amount: "1500.00"}
  - {location: "bank:house-usd", amount: "10000.00"}
  - {location: "bank:insurance-usd", amount: "100.00"}
"""

PRICES = f"""\
instrument,source,observed_at,price
SPY,primary,{DAY}T20:58:00Z,262.00
SPY,second,{DAY}T20:59:00Z,262.10
SPY,third,{DAY}T20:57:00Z,170.00
BTC-PERP,primary,{DAY}T20:59:00Z,7600.00
BTC-PERP,second,{DAY}T20:44:59Z,7601.00
BTC-PERP,third,{DAY}T20:59:00Z,0
"""

TRADES = f"""\
trade_id,executed_at,account,bucket,instrument,side,quantity,price,fee_usd,location
T1,{DAY}T09:00:00Z,A1,ISO-BTC-PERP,BTC-PERP,sell,0.3333,8123.45,1.08,venue:client
T2,{DAY}T10:00:00Z,A1,ISO-BTC-PERP,BTC-PERP,buy,0.5000,8000.01,1.60,venue:client
T3,{DAY}T13:00:00Z,A1,ISO-BTC-PERP,BTC-PERP,sell,1.1667,7600.00,3.55,venue:client
"""

TRANSFERS = f"""\
transfer_id,booked_at,kind,account,bucket,asset,amount,location,to_location,to_bucket,reference
X1,{DAY}T11:00:00Z,withdrawal,A2,FREE,USD,1000.00,bank:client-usd,,,RF0
X2,{DAY}T12:00:00Z,deposit,A2,FREE,USD,500.00,bank:client-usd,,,RF1
"""

HOLDINGS = f"""\
location,asset,quantity,as_of
custodian:client-sec,SPY,100,{DAY}T21:00:00Z
venue:client,USD,1574.46,{DAY}T21:00:00Z
"""


def camt_balance(kind: str, amount: str) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy='USD'>{amount}</Amt>"
        f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{DAY}</Dt></Dt></Bal>\n"
    )


def camt_entry(reference: str, amount: str, indicator: str) -> str:
    return (
        f"<Ntry><Amt Ccy='USD'>{amount}</Amt><CdtDbtInd>{indicator}</CdtDbtInd>"
        f"<ValDt><Dt>{DAY}</Dt></ValDt><NtryDtls><TxDtls><Refs><EndToEndId>{reference}"
        "</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>\n"
    )


CAMT = "".join(
    [
        "<?xml version='1.0' encoding='UTF-8'?>\n",
        "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt><Stmt>\n",
        "<Id>1</Id><Acct><Id><Othr><Id>CLIENT1</Id></Othr></Id></Acct>\n",
        camt_balance("OPBD", "1500.00"),
        camt_balance("CLBD", "2098.00"),
        camt_entry("RF1", "500.00", "CRDT"),
        camt_entry("I-T3", "100.00", "CRDT"),
        camt_entry("BC1", "2.00", "DBIT"),
        "</Stmt></BkToCstmrStmt></Document>\n",
    ]
)

MT940 = (
    "\r\n".join(
        [
            ":20:1",
            ":25:HOUSE1",
            ":28C:1/1",
            ":60F:C180305USD10000,00",
            ":61:1803050305D328,22NTRFH-T3//B1",
            ":86:TOP-UP",
            ":62F:C180305USD9671,78",
            "-",
        ]
    )
    + "\r\n"
)

BAI2 = """\
01,BANK,BROKER,180305,2200,1,,,2/
02,BROKER,BANK,1,180305,2100,USD,2/
03,7700,USD,010,10000,,,015,0,,/
16,495,10000,V,180305,,B1,I-T3,TOP-UP/
49,20000,3/
98,20000,1,5/
99,20000,1,7/
"""


def write_worked_example(folder: Path) -> Path:
    """Write the firm into `folder`; return its one day's folder."""
    day = folder / DAY
    (day / "statements").mkdir(parents=True)
    (folder / "reference.yaml").write_text(REFERENCE)
    (day / "prices.csv").write_text(PRICES)
    (day / "trades.csv").write_text(TRADES)
    (day / "transfers.csv").write_text(TRANSFERS)
    (day / "statements/holdings.csv").write_text(HOLDINGS)
    (day / "statements/bank-client-usd.camt053.xml").write_text(CAMT)
    (day / "statements/bank-house-usd.mt940").write_bytes(MT940.encode())
    (day / "statements/bank-insurance-usd.bai2").write_text(BAI2)
    return day
