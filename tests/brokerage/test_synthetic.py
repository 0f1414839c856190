"""Invented firms: their files are exactly what the inbox format says, faults included."""

from collections import Counter
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from brokerage.synthetic import (
    CALM,
    DEMO,
    ROUGH,
    Faults,
    FolderNotEmptyError,
    Profile,
    ProfileError,
    write_firm,
)
from brokerage.synthetic.book import Book
from brokerage.synthetic.events import Event
from brokerage.synthetic.profile import (
    LINE_FAULTS,
    PRICE_FAULTS,
    REFUSALS,
    ROW_FAULTS,
    STATEMENT_FAULTS,
)
from tests.golden.generated import FIRST_DAY, GeneratedDay, generated_days

MARGIN_STATES = {"OK", "BELOW_INITIAL", "CALL", "LIQUIDATE", "DEFICIT"}
BREAK_KINDS = {
    "missing_in_statement",
    "missing_in_ledger",
    "amount_differs",
    "duplicate_in_statement",
    "quantity_differs",
    "statement_rejected",
}


@pytest.fixture(scope="module")
def rough_days(tmp_path_factory: pytest.TempPathFactory) -> list[GeneratedDay]:
    folder = tmp_path_factory.mktemp("rough")
    return [day for seed in range(1, 7) for day in generated_days(folder, seed, 80, 5)]


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("accounts", [1, 3, 60, 240])
def test_a_firm_without_faults_has_no_break_no_bad_row_and_no_refusal(
    tmp_path: Path, seed: int, accounts: int
) -> None:
    for day in generated_days(tmp_path, seed, accounts, 3, profile=CALM):
        assert day.expected["breaks"] == []
        assert day.expected["rejected_rows"] == []
        assert day.expected["rejected"] == []
        totals = day.expected["control_totals"]
        assert totals["trades_applied"] == totals["trade_rows"]
        assert len(day.expected["margin"]) == accounts


@pytest.mark.parametrize("seed", range(1, 6))
def test_banks_report_what_the_book_holds_however_wrong_the_other_files_are(
    tmp_path: Path, seed: int
) -> None:
    spoilt = replace(ROUGH, faults=Faults.evenly(prices=0.5, rows=0.2, events=0.4))
    for day in generated_days(tmp_path, seed, 80, 5, profile=spoilt):
        assert day.expected["breaks"] == []
        assert day.expected["rejected"] != []
        assert day.expected["rejected_rows"] != []


def test_rough_firms_show_every_reason_to_refuse_an_event(rough_days: list[GeneratedDay]) -> None:
    reasons = {one["reason"] for day in rough_days for one in day.expected["rejected"]}
    assert reasons == set(REFUSALS)


def test_rough_firms_show_every_reason_to_reject_a_row_in_every_file(
    rough_days: list[GeneratedDay],
) -> None:
    found: dict[str, set[str]] = {}
    for day in rough_days:
        for one in day.expected["rejected_rows"]:
            found.setdefault(one["file"], set()).add(one["reason"])
    readable = {"wrong_column_count", "not_a_number", "bad_timestamp"}
    assert found == {
        "prices.csv": readable | {"unknown_code"},
        "trades.csv": readable,
        "transfers.csv": readable,
        "statements/holdings.csv": set(ROW_FAULTS),
    }


def test_rough_firms_show_every_break_and_every_fault_of_a_statement(
    rough_days: list[GeneratedDay],
) -> None:
    breaks = [one for day in rough_days for one in day.expected["breaks"]]
    assert {one["kind"] for one in breaks} == BREAK_KINDS
    details = {one["detail"] for one in breaks if one["kind"] == "statement_rejected"}
    assert details == set(STATEMENT_FAULTS)
    banks = {one["location"] for one in breaks if one["detail"] == "unreadable"}
    assert banks == {"bank:client-usd", "bank:house-usd", "bank:insurance-usd"}
    assert any(one["kind"] == "missing_in_ledger" and one["reference"] is None for one in breaks)


def test_rough_firms_show_every_doubtful_price_and_every_margin_state(
    rough_days: list[GeneratedDay],
) -> None:
    marks = [mark for day in rough_days for mark in day.expected["marks"]]
    reasons = {dropped["reason"] for mark in marks for dropped in mark["dropped"]}
    assert reasons == set(PRICE_FAULTS)
    margin = [one for day in rough_days for one in day.expected["margin"]]
    assert {one["state"] for one in margin} == MARGIN_STATES
    assert {flag for one in margin for flag in one["flags"]} == {"insufficient_mark", "below_mta"}


def test_in_a_fall_losses_go_to_the_insurance_fund_then_the_house_then_nobody(
    rough_days: list[GeneratedDay],
) -> None:
    deficits = [one for day in rough_days for one in day.expected["deficits"]]
    for payer in ("insurance", "house", "uncovered"):
        assert any(one[payer] != "0.00" for one in deficits), payer
    assert any(day.expected["fees_waived"] for day in rough_days)


def test_the_demo_firm_ends_with_open_calls_and_breaks(tmp_path: Path) -> None:
    days = generated_days(tmp_path, 1, 240, 5, profile=DEMO)
    totals = days[-1].expected["control_totals"]
    assert 8 <= totals["calls"] <= 40
    assert 1 <= totals["breaks"] <= 40
    assert "(synthetic)" in (days[0].folder.parent / "reference.yaml").read_text()


def digest(folder: Path) -> Counter[tuple[str, str]]:
    return Counter(
        (str(path.relative_to(folder)), sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    )


def write(
    folder: Path, *, seed: int, profile: Profile = ROUGH, first_day: date = FIRST_DAY
) -> Path:
    write_firm(folder, accounts=40, seed=seed, first_day=first_day, days=2, profile=profile)
    return folder


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first = digest(write(tmp_path / "a", seed=9))
    assert digest(write(tmp_path / "b", seed=9)) == first
    other = digest(write(tmp_path / "c", seed=10))
    assert {name for name, _ in other} == {name for name, _ in first}
    assert not {content for _, content in other} & {content for _, content in first}


def test_weekends_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "firm", seed=1, first_day=date(2031, 3, 7))
    days = sorted(path.name for path in (tmp_path / "firm").iterdir() if path.is_dir())
    assert days == ["2031-03-07", "2031-03-10"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FolderNotEmptyError):
        write(tmp_path, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_another_judge_of_events_decides_what_the_banks_report(tmp_path: Path) -> None:
    def refuse_everything(book: Book, event: Event) -> str | None:
        return "not_allowed"

    write_firm(
        tmp_path / "firm", accounts=40, seed=1, first_day=FIRST_DAY, days=1, profile=CALM,
        decide=refuse_everything,
    )  # fmt: skip
    house = tmp_path / "firm" / "2031-03-03" / "statements" / "bank-house-usd.mt940"
    assert b":61:" not in house.read_bytes()


def test_a_profile_refuses_an_unknown_fault_and_an_impossible_share() -> None:
    with pytest.raises(ProfileError):
        Faults(lines={"lost": 0.1})
    with pytest.raises(ProfileError):
        Faults(lines=dict.fromkeys(LINE_FAULTS, 0.3))
    with pytest.raises(ProfileError):
        Profile(cash=0.5)
