"""The oracle itself is right: it gives the prepared days and the worked example exactly."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.oracle import FolderRefusedError, load_reference, run_day
from tests.golden.worked_example import DAY, write_worked_example

SAMPLE_DAYS = ("2018-02-01", "2018-02-02", "2018-02-05", "2018-02-06")


def test_the_oracle_gives_every_prepared_day(shared_dir: Path) -> None:
    firm = shared_dir / "inbox" / "2018-02"
    if not firm.is_dir():
        pytest.skip("no sample inbox beside the project")
    state = load_reference(firm / "reference.yaml")
    for day in SAMPLE_DAYS:
        result, state = run_day(state, firm / day)
        expected = json.loads((firm / day / "expected.json").read_text())
        for name in expected:
            assert result[name] == expected[name], f"{day}: {name}"
        assert list(result) == list(expected)


def worked_example(folder: Path) -> dict[str, Any]:
    day = write_worked_example(folder)
    result, _ = run_day(load_reference(folder / "reference.yaml"), day)
    return result


def test_the_worked_example_settles_the_loss_and_keeps_the_free_bucket(tmp_path: Path) -> None:
    result = worked_example(tmp_path)
    assert result["rejected"] == [{"id": "X1", "type": "transfer", "reason": "initial_margin"}]
    assert result["balances"] == [
        {"account": "A1", "bucket": "FREE", "asset": "USD", "amount": "500.00"},
        {"account": "A2", "bucket": "FREE", "asset": "USD", "amount": "2500.00"},
    ]
    assert result["deficits"] == [
        {
            "trade_id": "T3",
            "account": "A1",
            "bucket": "ISO-BTC-PERP",
            "realised": "-1133.39",
            "shortfall": "428.22",
            "insurance": "100.00",
            "house": "328.22",
            "uncovered": "0.00",
        }
    ]
    assert result["fees_waived"] == [{"trade_id": "T3", "amount": "3.55"}]
    assert result["control_totals"]["fees_usd"] == "2.68"
    assert result["control_totals"]["realised_usd"] == "-1425.54"


def test_the_worked_example_keeps_an_average_of_eight_decimals(tmp_path: Path) -> None:
    day = write_worked_example(tmp_path)
    lines = (day / "trades.csv").read_text().splitlines(keepends=True)
    (day / "trades.csv").write_text("".join(lines[:3]))
    result, _ = run_day(load_reference(tmp_path / "reference.yaml"), day)
    perpetual = result["positions"][0]
    assert perpetual["quantity"] == "1.1667"
    assert perpetual["average_cost"] == "8571.44510157"
    amounts = [one["amount"] for one in result["balances"]]
    assert amounts == ["500.00", "705.17", "2500.00"]


def test_the_worked_example_marks_and_calls(tmp_path: Path) -> None:
    result = worked_example(tmp_path)
    perpetual, spy = result["marks"]
    assert (perpetual["mark"], perpetual["state"]) == ("9000.00000000", "INSUFFICIENT")
    assert [one["reason"] for one in perpetual["dropped"]] == ["too_few", "stale", "not_positive"]
    assert (spy["mark"], spy["used"]) == ("262.05000000", ["primary", "second"])
    assert result["margin"][1] == {
        "account": "A2",
        "bucket": "FREE",
        "equity": "5705.00000000",
        "initial_margin": "13102.50000000",
        "maintenance_margin": "6551.25000000",
        "state": "CALL",
        "call_amount": "7397.50",
        "flags": [],
    }


def test_the_worked_example_reconciles(tmp_path: Path) -> None:
    result = worked_example(tmp_path)
    found = [(one["kind"], one["reference"], one["statement"]) for one in result["breaks"]]
    assert found == [
        ("missing_in_ledger", "BC1", "-2.00"),
        ("missing_in_statement", "H-T3", None),
    ]
    dollars = result["segregation"][0]
    assert dollars["client_claims"] == "3000.00"
    assert dollars["residual_interest"] == "1002.68"
    assert dollars["resource"] == "4002.68"


CAMT = "statements/bank-client-usd.camt053.xml"
MT940 = "statements/bank-house-usd.mt940"
BAI2 = "statements/bank-insurance-usd.bai2"


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (CAMT, "</Stmt>", "", "unreadable"),
        (CAMT, "<Document", "<!DOCTYPE a [<!ENTITY b 'c'>]><Document", "unreadable"),
        (CAMT, "OPBD", "ITBD", "unreadable"),
        (CAMT, "<CdtDbtInd>DBIT", "<CdtDbtInd>DEBT", "unreadable"),
        (CAMT, ">2.00<", ">1e3<", "unreadable"),
        (CAMT, f"<ValDt><Dt>{DAY}", "<ValDt><Dt>2018-02-30", "unreadable"),
        (CAMT, "CLIENT1", "CLIENT2", "wrong_account"),
        (CAMT, "<Othr><Id>CLIENT1</Id></Othr>", "<IBAN>CLIENT1</IBAN>", "wrong_account"),
        (CAMT, "Ccy='USD'>2.00", "Ccy='EUR'>2.00", "wrong_currency_or_date"),
        (CAMT, f"<ValDt><Dt>{DAY}", "<ValDt><Dt>2018-03-02", "wrong_currency_or_date"),
        (CAMT, "2098.00", "2099.00", "sum"),
        (MT940, ":62F:", ":62M:", "unreadable"),
        (MT940, "0305D328,22", "0305RD328,22", "unreadable"),
        (MT940, "D328,22", "D328.22", "unreadable"),
        (MT940, ":61:180305", ":61:181305", "unreadable"),
        (MT940, "-\r\n", "-\r\n:20:2\r\n", "unreadable"),
        (MT940, ":25:HOUSE1", ":25:HOUSE2", "wrong_account"),
        (MT940, ":25:HOUSE1\r\n", "", "wrong_account"),
        (MT940, "USD9671,78", "EUR9671,78", "wrong_currency_or_date"),
        (MT940, ":61:180305", ":61:180304", "wrong_currency_or_date"),
        (MT940, "9671,78", "9671,79", "sum"),
        (BAI2, "16,495", "16,475", "unreadable"),
        (BAI2, ",V,180305", ",Z,180305", "unreadable"),
        (BAI2, "010,10000", "010,", "unreadable"),
        (BAI2, "03,7700", "03,7701", "wrong_account"),
        (BAI2, "03,7700,USD", "03,7700,EUR", "wrong_currency_or_date"),
        (BAI2, "V,180305", "V,180306", "wrong_currency_or_date"),
        (BAI2, "49,20000,3/", "49,20001,3/", "control_total"),
        (BAI2, "98,20000,1,5/", "98,20000,1,6/", "control_total"),
        (BAI2, "99,20000,1,7/\n", "", "control_total"),
        (BAI2, "010,10000,,,015,0", "010,9000,,,015,1000", "sum"),
    ],
)
def test_a_faulty_statement_is_rejected_whole(
    tmp_path: Path, file: str, old: str, new: str, fault: str
) -> None:
    day = write_worked_example(tmp_path)
    content = (day / file).read_bytes()
    assert old.encode() in content
    (day / file).write_bytes(content.replace(old.encode(), new.encode()))
    result, _ = run_day(load_reference(tmp_path / "reference.yaml"), day)
    bank = {CAMT: "bank:client-usd", MT940: "bank:house-usd", BAI2: "bank:insurance-usd"}[file]
    breaks = [one for one in result["breaks"] if one["location"] == bank]
    assert [(one["kind"], one["detail"]) for one in breaks] == [("statement_rejected", fault)]
    lines = result["control_totals"]["bank"][bank]["statement_lines"]
    assert (lines == 0) == (fault == "unreadable")


def test_an_opening_balance_must_follow_the_last_statement(tmp_path: Path) -> None:
    day = write_worked_example(tmp_path)
    text = (day / BAI2).read_text()
    for old, new in (("010,10000,,,015,0", "010,11000,,,015,1000"), ("20000", "22000")):
        text = text.replace(old, new)
    (day / BAI2).write_text(text)
    result, state = run_day(load_reference(tmp_path / "reference.yaml"), day)
    insurance = [one for one in result["breaks"] if one["location"] == "bank:insurance-usd"]
    assert [one["detail"] for one in insurance] == ["opening"]
    assert state["closing"]["bank:insurance-usd"] is None  # tomorrow's opening is not tested


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("reference.yaml", 'amount: "500.00"', 'amount: "500.01"'),
        ("reference.yaml", 'amount: "500.00"', "amount: 500.00"),
        ("reference.yaml", "- {account: A2, bucket: FREE", "- {account: A9, bucket: FREE"),
        ("reference.yaml", "pools:", "colour: blue\npools:"),
        ("reference.yaml", "kind: bank, assets: [USD], account_id: \"HOUSE1\"",
         "kind: bank, assets: [USD, BTC-PERP], account_id: \"HOUSE1\""),
        (f"{DAY}/trades.csv", "trade_id,", "id,"),
        (f"{DAY}/prices.csv", "SPY", "SP\xff"),
    ],
)  # fmt: skip
def test_a_malformed_folder_is_refused_as_a_whole(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    day = write_worked_example(tmp_path)
    content = (tmp_path / file).read_bytes()
    assert old.encode() in content
    (tmp_path / file).write_bytes(content.replace(old.encode(), new.encode("latin-1"), 1))
    with pytest.raises(FolderRefusedError):
        run_day(load_reference(tmp_path / "reference.yaml"), day)


def test_a_day_runs_once_and_only_forward(tmp_path: Path) -> None:
    day = write_worked_example(tmp_path)
    result, state = run_day(load_reference(tmp_path / "reference.yaml"), day)
    again, same = run_day(state, day)
    assert (again, same) == (result, state)
    (day / "trades.csv").write_text((day / "trades.csv").read_text().replace("1.08", "1.09"))
    with pytest.raises(FolderRefusedError, match="other content"):
        run_day(state, day)
    earlier = day.rename(tmp_path / "2018-03-02")
    with pytest.raises(FolderRefusedError, match="does not follow"):
        run_day(state, earlier)


def rows_file(day: Path, name: str, *rows: str) -> None:
    header = (day / name).read_text().splitlines()[0]
    (day / name).write_text("\n".join([header, *rows]) + "\n")


def test_rows_are_rejected_by_column_count_then_numbers_and_times_then_codes(
    tmp_path: Path,
) -> None:
    day = write_worked_example(tmp_path)
    as_of = f"{DAY}T21:00:00Z"
    rows_file(
        day,
        "statements/holdings.csv",
        "venue:client,USD,1574.46",  # 2
        "",  # 3
        f"nowhere,USD,1e3,{as_of}",  # 4
        "nowhere,USD,1.0,2018-02-30T21:00:00Z",  # 5
        f"nowhere,USD,1.0,{as_of}",  # 6
        f"bank:client-usd,USD,1.0,{as_of}",  # 7
        f"venue:client,EUR,1.0,{DAY}T20:00:00Z",  # 8
        f"venue:client,USD,1574.46,{DAY}T20:00:00Z",  # 9
        f'"venue:client",USD,1574.4600,{as_of}',  # 10, good
        '"two\nlines"',  # 11 and 12
        f"custodian:client-sec,SPY,99.5,{as_of}",  # 13, good
    )
    rows_file(day, "prices.csv", f"USD,primary,{DAY}T20:59:00Z,1", "SPY,primary,now,NaN")
    result, _ = run_day(load_reference(tmp_path / "reference.yaml"), day)
    found = [
        (one["file"], one["line"], one["field"], one["reason"]) for one in result["rejected_rows"]
    ]
    assert found == [
        ("prices.csv", 2, "instrument", "unknown_code"),
        ("prices.csv", 3, "observed_at", "bad_timestamp"),
        ("statements/holdings.csv", 2, None, "wrong_column_count"),
        ("statements/holdings.csv", 3, None, "wrong_column_count"),
        ("statements/holdings.csv", 4, "quantity", "not_a_number"),
        ("statements/holdings.csv", 5, "as_of", "bad_timestamp"),
        ("statements/holdings.csv", 6, "location", "unknown_code"),
        ("statements/holdings.csv", 7, "location", "unknown_code"),
        ("statements/holdings.csv", 8, "asset", "unknown_code"),
        ("statements/holdings.csv", 9, "as_of", "wrong_as_of"),
        ("statements/holdings.csv", 12, None, "wrong_column_count"),
    ]
    holdings = [one for one in result["breaks"] if one["kind"] == "quantity_differs"]
    assert [(one["asset"], one["ledger"], one["statement"]) for one in holdings] == [
        ("SPY", "100", "99.5")
    ]


def transfer(number: int, **columns: str) -> str:
    row = {
        "transfer_id": f"Y{number}", "booked_at": f"{DAY}T14:00:{number:02}Z", "kind": "deposit",
        "account": "A2", "bucket": "FREE", "asset": "USD", "amount": "1.00",
        "location": "bank:client-usd", "to_location": "", "to_bucket": "",
        "reference": f"RY{number}",
    } | columns  # fmt: skip
    return ",".join(row.values())


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"transfer_id": "T1"}, "duplicate_id"),
        ({"transfer_id": "T1", "booked_at": f"{DAY}T21:00:01Z"}, "duplicate_id"),
        ({"booked_at": f"{DAY}T21:00:01Z", "kind": "gift"}, "outside_window"),
        ({"booked_at": f"{DAY}T21:00:00Z"}, None),
        ({"booked_at": f"{DAY}T00:00:00Z"}, None),
        ({"kind": "gift", "account": "A9"}, "invalid"),
        ({"amount": "0.00"}, "invalid"),
        ({"amount": "1.000"}, "invalid"),
        ({"asset": "SPY", "amount": "1.0"}, "invalid"),
        ({"asset": "SPY", "amount": "1"}, "not_allowed"),
        ({"asset": "EUR", "amount": "1.000"}, "unknown_reference"),
        ({"bucket": "ISO-BTC-PERP"}, "unknown_reference"),
        ({"account": "A1", "bucket": "ISO-BTC-PERP"}, "not_allowed"),
        ({"location": "bank:house-usd"}, "not_allowed"),
        ({"location": "venue:client"}, "not_allowed"),
        ({"kind": "custody_move", "account": "?", "to_location": "venue:client"}, None),
        ({"kind": "custody_move", "to_location": "bank:client-usd"}, "not_allowed"),
        ({"kind": "custody_move", "to_location": "bank:house-usd"}, "not_allowed"),
        ({"kind": "custody_move", "to_location": "mars"}, "unknown_reference"),
        ({"kind": "custody_move", "to_location": "venue:client", "amount": "99999.00"},
         "custody_below_zero"),
        ({"kind": "bucket_move", "location": "mars", "to_bucket": "FREE"}, "not_allowed"),
        ({"kind": "borrow", "account": "A1"}, "not_allowed"),
        ({"kind": "borrow", "amount": "99999.00"}, "custody_below_zero"),
        ({"kind": "repay", "amount": "23000.01"}, "repay_exceeds_loan"),
        ({"kind": "repay", "amount": "23000.00"}, "claim_below_zero"),
        ({"kind": "repay", "amount": "2500.00"}, "custody_below_zero"),
        ({"kind": "withdrawal", "amount": "1000.00"}, "initial_margin"),
        ({"kind": "withdrawal", "account": "A1", "amount": "500.00"}, None),
    ],
)  # fmt: skip
def test_an_event_is_refused_for_the_first_reason(
    tmp_path: Path, columns: dict[str, str], reason: str | None
) -> None:
    day = write_worked_example(tmp_path)
    if reason == "custody_below_zero" and columns["kind"] == "repay":
        # Empty the bank first: 2,428.22 are there, and the claim allows 2,500.00.
        emptied = transfer(0, kind="custody_move", to_location="venue:client", amount="100.00")
        rows = [emptied, transfer(1, **columns)]
    else:
        rows = [transfer(1, **columns)]
    existing = (day / "transfers.csv").read_text().splitlines()[1:]
    rows_file(day, "transfers.csv", *existing, *rows)
    result, _ = run_day(load_reference(tmp_path / "reference.yaml"), day)
    refused = [one["reason"] for one in result["rejected"] if one["id"] != "X1"]
    assert refused == ([reason] if reason else [])


def test_a_loss_above_the_venues_dollars_is_refused(tmp_path: Path) -> None:
    day = write_worked_example(tmp_path)
    existing = (day / "transfers.csv").read_text().splitlines()[1:]
    emptied = transfer(
        1, kind="custody_move", location="venue:client", to_location="bank:client-usd",
        amount="2000.00", booked_at=f"{DAY}T12:30:00Z",
    )  # fmt: skip
    rows_file(day, "transfers.csv", *existing, emptied)
    result, _ = run_day(load_reference(tmp_path / "reference.yaml"), day)
    assert {"id": "T3", "type": "trade", "reason": "custody_below_zero"} in result["rejected"]
    assert result["deficits"] == []
    assert result["positions"][0]["quantity"] == "1.1667"
