"""Statements from outside: the sample days and public files of other projects."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.statements.gate import PARSERS, ExpectedStatement, gate
from ledger.statements.holdings import held_quantities, read_holdings
from ledger.statements.statement import (
    Statement,
    StatementFormat,
    UnreadableStatementError,
    exact_sum,
)

BANKS = {
    "bank:client-usd": ("camt053.xml", StatementFormat.CAMT053, "US00CLIENTUSD0001"),
    "bank:house-usd": ("mt940", StatementFormat.MT940, "US00HOUSEUSD00001"),
    "bank:insurance-usd": ("bai2", StatementFormat.BAI2, "7700000001"),
}
# The book's balance of each bank the evening before.
OPENING = {
    "bank:client-usd": "553440.24",
    "bank:house-usd": "22317265.07",
    "bank:insurance-usd": "24027.30",
}
OTHERS = {
    "custodian:client-sec": frozenset({"SPY", "AAPL", "IBM", "BAC", "GOOG"}),
    "wallet:client-btc": frozenset({"BTC"}),
    "wallet:client-usdc": frozenset({"USDC"}),
    "venue:client": frozenset({"USD", "BTC-PERP"}),
    "custodian:house-sec": frozenset({"SPY", "AAPL", "IBM", "BAC", "GOOG"}),
}


@pytest.fixture
def days(shared_dir: Path) -> list[Path]:
    found = sorted((shared_dir / "inbox" / "2018-02").glob("2018-*"))
    if not found:
        pytest.skip("no sample days beside the project")
    return found


@pytest.mark.parametrize("bank", BANKS)
def test_the_banks_of_the_sample_days_get_the_expected_verdicts(
    bank: str, days: list[Path]
) -> None:
    suffix, layout, account = BANKS[bank]
    previous: Decimal | None = Decimal(OPENING[bank])
    for day in days:
        expected = json.loads((day / "expected.json").read_text())
        breaks = [each for each in expected["breaks"] if each["location"] == bank]
        rejection = next(
            (each["detail"] for each in breaks if each["kind"] == "statement_rejected"), None
        )
        data = (day / "statements" / f"{bank.replace(':', '-')}.{suffix}").read_bytes()
        known = ExpectedStatement(layout, account, date.fromisoformat(day.name), previous)
        gated = gate(data, expected=known)
        assert gated.rejection == rejection
        totals = expected["control_totals"]["bank"][bank]
        assert gated.lines_read == totals["statement_lines"]
        if gated.statement is not None:
            # Movements that no line confirms to the last digit, the other way round.
            unmatched = [each for each in breaks if each["kind"] != "missing_in_statement"]
            assert gated.lines_read - totals["matched"] == len(unmatched)
        previous = gated.closing


def test_the_holdings_of_the_sample_days_differ_as_expected(days: list[Path]) -> None:
    for day in days:
        expected = json.loads((day / "expected.json").read_text())
        as_of = datetime.fromisoformat(expected["as_of"]).astimezone(UTC)
        data = (day / "statements" / "holdings.csv").read_bytes()
        holdings, rejected = read_holdings(data, as_of=as_of, locations=OTHERS)
        assert [list(each) for each in rejected] == [
            [each["file"], each["line"], each["field"], each["reason"]]
            for each in expected["rejected_rows"]
            if each["file"] == "statements/holdings.csv"
        ]
        held = held_quantities(holdings)
        for each in expected["breaks"]:
            if each["kind"] == "quantity_differs":
                key = each["location"], each["asset"]
                assert held.get(key, Decimal(0)) == Decimal(each["statement"])
        custody = {
            (location, pool["asset"]): Decimal(amount)
            for pool in expected["segregation"]
            for location, amount in pool["custody"].items()
            if location in OTHERS
        }
        differing = {
            (each["location"], each["asset"])
            for each in expected["breaks"]
            if each["kind"] == "quantity_differs"
        }
        for key, amount in custody.items():
            assert (held.get(key, 0) != amount) == (key in differing)


def public_files(shared_dir: Path) -> list[tuple[str, Statement | None, Any]]:
    """Each public file as read, None if unreadable, and what another reader found in it."""
    folder = shared_dir / "samples"
    if not folder.is_dir():
        pytest.skip("no public statement files beside the project")
    found = json.loads((folder / "expected.json").read_text())
    parsers = {"camt": StatementFormat.CAMT053, "mt940": StatementFormat.MT940}
    parsers["bai2"] = StatementFormat.BAI2
    read: list[tuple[str, Statement | None, Any]] = []
    for name in sorted(found):
        layout = parsers.get(name.split("/")[0])
        if layout is None:
            continue
        try:
            statement = PARSERS[layout]((folder / name).read_bytes())
        except UnreadableStatementError:
            read.append((name, None, found[name]))
        else:
            read.append((name, statement, found[name]))
    return read


def test_public_files_are_read_as_another_reader_read_them_or_not_at_all(shared_dir: Path) -> None:
    read = [each for each in public_files(shared_dir) if each[1] is not None]
    assert len(read) >= 12
    for name, statement, found in read:
        assert statement is not None
        assert len(found) == 1, name
        assert statement.account in (found[0]["account"], None), name
        assert len(statement.lines) == found[0]["entries"], name
        assert statement.opening == Decimal(found[0]["opening"]), name
        assert statement.closing == Decimal(found[0]["closing"]), name
        total = exact_sum(line.amount for line in statement.lines)
        assert total == Decimal(found[0]["sum"]), name


def test_no_public_file_passes_the_gate_of_our_bank(shared_dir: Path) -> None:
    for name, statement, _ in public_files(shared_dir):
        if statement is not None:
            data = (shared_dir / "samples" / name).read_bytes()
            known = ExpectedStatement(statement.format, "7700000001", date(2018, 2, 1), None)
            assert gate(data, expected=known).rejection == "wrong_account"
