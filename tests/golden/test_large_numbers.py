"""Numbers with more digits than the usual arithmetic keeps."""

import csv
import json
from datetime import date
from pathlib import Path

import pytest

from brokerage.inbox.cycle import run_day
from brokerage.synthetic import CALM, write_firm
from tests.brokerage.test_cycle import differences
from tests.golden.oracle import load_reference
from tests.golden.oracle import run_day as judge


@pytest.mark.parametrize("digits", [29, 40, 56])
def test_a_deposit_of_many_digits_is_kept_to_the_last(
    db: None, tmp_path: Path, digits: int
) -> None:
    firm = tmp_path / "firm"
    (day,) = write_firm(firm, accounts=20, seed=1, first_day=date(2031, 3, 3), days=1, profile=CALM)
    path = day / "transfers.csv"
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    deposit = next(row for row in rows if row[2] == "deposit" and row[5] == "USD")
    deposit[6] = "9" * digits + ".37"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    expected, _ = judge(load_reference(firm / "reference.yaml"), day)
    assert differences(expected, json.loads(json.dumps(run_day(day)))) == []
