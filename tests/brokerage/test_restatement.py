"""Yesterday's reports, byte for byte, and exactly what a late entry moved in them."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.audit import Actor, RefusedError, acting
from brokerage.inbox.cycle import run_day
from brokerage.models import BusinessDay
from brokerage.reports import CATALOGUE, FORMATS, ReportRefusedError, write_report
from brokerage.restatement import as_json, restatement
from ledger.horizons import store_horizon
from ledger.models import LedgerAccount
from ledger.posting import Draft, Leg, post_entries
from tests.golden.generated import generated_days
from tests.stage import staged

Connect = Callable[[str], psycopg.Connection[Any]]
DESK = Actor.command("test")
TRAIL = "audit-trail"


@dataclass(frozen=True)
class Firm:
    """A small firm after two days, and its ledger accounts."""

    days: tuple[date, date]
    bank: int
    house_bank: int
    house_equity: int
    claims: tuple[int, ...]

    def draft(self, kind: str, key: str, *, on: date, amount: str, claim: int = 0) -> Draft:
        value = Decimal(amount)
        ours, theirs = {
            "deposit": (self.bank, self.claims[claim]),
            "house_income": (self.house_bank, self.house_equity),
        }[kind]
        return Draft(
            key=key,
            kind=kind,
            effective_at=datetime.combine(on, time(9), tzinfo=UTC),
            reference=key,
            legs=[Leg(ours, value, reference=key), Leg(theirs, -value)],
        )

    def post(self, *drafts: Draft) -> list[int]:
        with acting(DESK, reason="A late entry"):
            return [posted.entry_id for posted in post_entries(drafts)]


@pytest.fixture
def firm(db: None, tmp_path: Path) -> Firm:
    def book() -> None:
        for day in generated_days(tmp_path, 21, 8, 2):
            run_day(day.folder)

    staged("two generated days of 8 accounts", book)
    return found_firm()


def found_firm() -> Firm:
    """The firm of the days in the book."""
    usd = LedgerAccount.objects.filter(asset__code="USD")
    clients = usd.filter(account_class="claim", owner_class="CLIENT").order_by("pk")
    banks = usd.filter(account_class="custody", location__kind="bank")
    days = list(BusinessDay.objects.order_by("day").values_list("day", flat=True))
    return Firm(
        days=(days[0], days[-1]),
        bank=banks.filter(owner_class="CLIENT")[0].pk,
        house_bank=banks.filter(owner_class="HOUSE")[0].pk,
        house_equity=usd.get(account_class="own_equity", owner_class="HOUSE").pk,
        claims=tuple(clients.values_list("pk", flat=True)),
    )


def files(
    day: date, *, known_at: datetime | None = None, formats: Sequence[str] = FORMATS
) -> dict[tuple[str, str], bytes]:
    """Every report of a day in every format."""
    return {
        (name, form): write_report(report, day=day, file_format=form, known_at=known_at).content
        for name, report in CATALOGUE.items()
        for form in formats
    }


def rows_of(name: str, content: bytes) -> dict[tuple[str, ...], dict[str, str]]:
    """A CSV report by the columns that tell its rows apart."""
    key = CATALOGUE[name].key
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(content.decode())):
        values = tuple(row.pop(column) for column in key)
        while values in found:
            values = (*values, "again")
        found[values] = row
    return found


def differing(before: bytes, after: bytes, name: str) -> set[tuple[tuple[str, ...], str]]:
    """The cells in which two files of a report differ."""
    one, other = rows_of(name, before), rows_of(name, after)
    return {
        (key, column)
        for key in one.keys() | other.keys()
        for column in CATALOGUE[name].columns
        if column not in CATALOGUE[name].key
        and one.get(key, {}).get(column, "") != other.get(key, {}).get(column, "")
    }


def said_cells(found: dict[str, Any], name: str) -> dict[tuple[tuple[str, ...], str], list[int]]:
    """The cells that a restatement names, with the entries that moved each."""
    return {
        (tuple("" if value is None else str(value) for value in cell["row"].values()),
         cell["column"]): cell["moved_by"]
        for cell in found["reports"][name]
    }  # fmt: skip


# ---------------------------------------------------------------- byte for byte


def test_yesterdays_reports_are_the_same_bytes_whatever_came_later(
    firm: Firm, connect: Connect
) -> None:
    day = firm.days[1]
    writer = connect("runtime")
    writer.execute("BEGIN")
    writer.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'in flight')")
    in_flight = firm.draft("deposit", "in-flight", on=day, amount="77.00")
    writer.execute(
        "SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps([in_flight.content()])]
    )
    yesterday = files(day)
    at = store_horizon("minute").taken_at
    assert files(day, known_at=at) == yesterday
    writer.execute("COMMIT")
    assert files(day, known_at=at) == yesterday
    firm.post(firm.draft("house_income", "late-1", on=firm.days[0], amount="5.00"))
    another = connect("runtime")
    another.execute("BEGIN")
    another.execute("SELECT accounts.act('system:command:test', NULL, 'command', '', 'again')")
    draft = firm.draft("house_income", "open", on=day, amount="3.00")
    another.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps([draft.content()])])
    again = files(day, known_at=at)
    another.execute("ROLLBACK")
    assert again == yesterday
    today = files(day)
    assert {name for name, form in today if today[name, form] != yesterday[name, form]} == {
        "segregation", "trial-balance", "balances", TRAIL,
    }  # fmt: skip


def test_a_day_knows_nothing_of_the_day_after(firm: Firm) -> None:
    first = BusinessDay.objects.get(day=firm.days[0])
    assert first.result is not None
    rows = rows_of("segregation", files(first.day)["segregation", "csv"])
    for line in first.result["segregation"]:
        row = rows[line["pool"], line["asset"], ""]
        assert row["resource"] == line["resource"]
        assert row["requirement"] == line["requirement"]


def test_before_its_close_was_known_a_day_has_no_report(firm: Firm) -> None:
    earliest = BusinessDay.objects.get(day=firm.days[1]).opened_at
    for name in CATALOGUE:
        with pytest.raises(ReportRefusedError, match="was not closed yet as known at"):
            write_report(CATALOGUE[name], day=firm.days[1], file_format="csv", known_at=earliest)
    with pytest.raises(ReportRefusedError, match="before the first stored horizon"):
        write_report(
            CATALOGUE["breaks"], day=firm.days[0], file_format="csv",
            known_at=datetime(2020, 1, 1, tzinfo=UTC),
        )  # fmt: skip


def test_a_report_of_the_book_can_be_of_another_date(firm: Firm) -> None:
    first, last = firm.days
    balances = CATALOGUE["balances"]
    there = write_report(balances, day=last, file_format="csv", as_of=first)
    assert there.content == write_report(balances, day=first, file_format="csv").content
    assert there.manifest["book_as_of"] == first.isoformat()
    with pytest.raises(ReportRefusedError, match="it has no other date"):
        write_report(CATALOGUE["breaks"], day=last, file_format="csv", as_of=first)


def test_a_manifest_names_the_horizon_at_which_the_file_can_be_written_again(firm: Firm) -> None:
    report = CATALOGUE["segregation"]
    written = write_report(report, day=firm.days[1], file_format="csv")
    firm.post(firm.draft("house_income", "late", on=firm.days[1], amount="5.00"))
    taken = datetime.fromisoformat(written.manifest["horizon_taken_at"])
    again = write_report(report, day=firm.days[1], file_format="csv", known_at=taken)
    assert (again.content, again.manifest["horizon"]) == (
        written.content, written.manifest["horizon"],
    )  # fmt: skip


def test_the_command_reads_at_a_time(
    firm: Firm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.csv", tmp_path / "now.csv"
    day = ["--date", firm.days[1].isoformat()]
    call_command("report", "segregation", *day, "--out", str(before))
    at = store_horizon("minute").taken_at.isoformat()
    firm.post(firm.draft("house_income", "late", on=firm.days[1], amount="5.00"))
    call_command("report", "segregation", *day, "--out", str(after), "--known-at", at)
    call_command("report", "segregation", *day, "--out", str(out))
    assert before.read_bytes() == after.read_bytes() != out.read_bytes()
    for wrong in (["--known-at", "then"], ["--as-of", "2026-02-31"]):
        with pytest.raises(SystemExit) as end:
            call_command("report", "segregation", *day, "--out", str(tmp_path / "no"), *wrong)
        assert end.value.code == 2
    assert not (tmp_path / "no").exists()


# ---------------------------------------------------------------- what a late entry moved


def test_one_late_deposit_moves_exactly_the_cells_it_shows_in(firm: Firm) -> None:
    day = firm.days[0]
    at = store_horizon("minute").taken_at
    (late,) = firm.post(firm.draft("deposit", "late", on=day, amount="12.50"))
    found = as_json(restatement(as_of=day, earlier=at, later=None))
    assert [entry["entry"] for entry in found["entries"]] == [late]
    bank = LedgerAccount.objects.get(pk=firm.bank)
    assert bank.location is not None
    place = bank.location.code
    segregation = said_cells(found, "segregation")
    assert segregation.keys() == {
        (("CLIENT", "USD", ""), column)
        for column in ("client_claims", "custody", "requirement", "resource")
    } | {(("CLIENT", "USD", place), "custody")}
    assert set(map(tuple, segregation.values())) == {(late,)}
    assert {cell[1] for cell in said_cells(found, "trial-balance")} == {"debit", "credit"}
    assert len(said_cells(found, "balances")) == 2
    for name in ("breaks", "margin-calls", "margin-record"):
        assert found["reports"][name] == [], name
    assert list(found["left_out"]) == [TRAIL]


def test_an_entry_of_a_later_date_is_not_late_for_an_earlier_one(firm: Firm) -> None:
    at = store_horizon("minute").taken_at
    firm.post(firm.draft("deposit", "later", on=firm.days[1], amount="12.50"))
    found = as_json(restatement(as_of=firm.days[0], earlier=at, later=None))
    assert found["entries"] == []
    assert all(cells == [] for cells in found["reports"].values())


def test_between_two_horizons_only_what_lies_between_counts(firm: Firm) -> None:
    day = firm.days[0]
    one = store_horizon("minute").taken_at
    (first,) = firm.post(firm.draft("deposit", "late-1", on=day, amount="1.00"))
    two = store_horizon("minute").taken_at
    (second,) = firm.post(firm.draft("deposit", "late-2", on=day, amount="2.00", claim=1))
    between = restatement(as_of=day, earlier=one, later=two)
    after = restatement(as_of=day, earlier=two, later=None)
    assert [entry.entry_id for entry in between.entries] == [first]
    assert [entry.entry_id for entry in after.entries] == [second]


def test_what_moves_there_and_back_is_no_moved_cell(firm: Firm) -> None:
    day = firm.days[0]
    at = store_horizon("minute").taken_at
    drafts = [firm.draft("house_income", f"late-{n}", on=day, amount="4.00") for n in (1, 2)]
    back = Draft(
        **{**vars(drafts[1]), "kind": "house_expense", "key": "back",
           "legs": [leg._replace(amount=-leg.amount) for leg in drafts[1].legs]},
    )  # fmt: skip
    entries = firm.post(drafts[0], back)
    found = restatement(as_of=day, earlier=at, later=None)
    assert [entry.entry_id for entry in found.entries] == entries
    assert found.cell_count == 0


def test_a_restatement_of_a_day_that_was_open_says_which_reports_it_leaves_out(
    firm: Firm,
) -> None:
    opened = BusinessDay.objects.get(day=firm.days[1]).opened_at
    found = as_json(restatement(as_of=firm.days[1], earlier=opened, later=None))
    of_the_day = {name for name, report in CATALOGUE.items() if report.book_rows is None}
    assert set(found["left_out"]) == of_the_day >= {TRAIL, "breaks", "margin-record"}
    assert "was not closed yet" in found["left_out"]["breaks"]


def test_the_command_names_entry_and_cells(firm: Firm, capsys: pytest.CaptureFixture[str]) -> None:
    at = store_horizon("minute").taken_at.isoformat()
    (late,) = firm.post(firm.draft("house_income", "late", on=firm.days[0], amount="5.00"))
    call_command("restatement", "--as-of", firm.days[0].isoformat(), "--from", at, "--json")
    found = json.loads(capsys.readouterr().out)
    assert [entry["reference"] for entry in found["entries"]] == ["late"]
    assert all(cell["moved_by"] == [late] for cell in found["reports"]["segregation"])
    call_command("restatement", "--as-of", firm.days[0].isoformat(), "--from", at)
    assert f"entry {late} house_income late" in capsys.readouterr().out


def test_a_restatement_that_cannot_be_is_refused_in_one_sentence(
    firm: Firm, capsys: pytest.CaptureFixture[str]
) -> None:
    at = store_horizon("minute").taken_at
    before, day = (at - timedelta(seconds=1)).isoformat(), firm.days[0].isoformat()
    for arguments, words in (
        (["--as-of", "never", "--from", at.isoformat()], "'never' is no date"),
        (["--as-of", day, "--from", "then"], "'then' is no time"),
        (["--as-of", day, "--from", "2019-01-01T00:00:00Z"], "before the first stored"),
        (["--as-of", day, "--from", at.isoformat(), "--to", before], "is before"),
    ):
        with pytest.raises(SystemExit) as end:
            call_command("restatement", *arguments)
        assert end.value.code == 2
        said = capsys.readouterr()
        assert (words in said.err, said.err.count("\n"), said.out) == (True, 1, "")


late_entries = st.lists(
    st.tuples(
        st.sampled_from(["deposit", "house_income"]),
        st.decimals(min_value="0.01", max_value=5000, places=2),
        st.integers(0, 5),
        st.integers(-2, 2),
    ),
    min_size=1,
    max_size=5,
)
numbers = iter(range(1, 10**6))


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(late=late_entries)
def test_the_cells_a_restatement_names_are_those_in_which_the_files_differ(
    firm: Firm, late: list[tuple[str, Decimal, int, int]]
) -> None:
    day = firm.days[1]
    at = store_horizon("minute").taken_at
    before = files(day, known_at=at, formats=["csv"])
    posted = {}
    for kind, amount, claim, days in late:
        on = day + timedelta(days=days)
        draft = firm.draft(kind, f"law-{next(numbers)}", on=on, amount=str(amount), claim=claim)
        posted[firm.post(draft)[0]] = on
    found = as_json(restatement(as_of=day, earlier=at, later=None))
    after = files(day, formats=["csv"])
    assert [entry["entry"] for entry in found["entries"]] == sorted(
        entry for entry, on in posted.items() if on <= day
    )
    for name in CATALOGUE.keys() - {TRAIL}:
        cells = said_cells(found, name)
        assert cells.keys() == differing(before[name, "csv"], after[name, "csv"], name), name
        movers = {entry for moved_by in cells.values() for entry in moved_by}
        assert movers <= {entry["entry"] for entry in found["entries"]}
        assert all(cells.values()), "entries alone moved the books"
    for entry in found["entries"]:
        assert any(entry["entry"] in by for by in said_cells(found, "balances").values())


# ---------------------------------------------------------------- late entries in the day's report


def test_a_day_reports_the_late_entries_that_it_found(db: None, tmp_path: Path) -> None:
    first, second = generated_days(tmp_path, 21, 8, 2)
    run_day(first.folder)
    firm = found_firm()
    (late,) = firm.post(firm.draft("deposit", "late", on=firm.days[0], amount="3.00"))
    run_day(second.folder)
    report = CATALOGUE["back-dated-entries"]
    days = BusinessDay.objects.order_by("day").values_list("day", flat=True)
    before, after = (write_report(report, day=day, file_format="csv").content for day in days)
    assert rows_of(report.name, before) == {}
    assert list(rows_of(report.name, after)) == [(str(late),)]
    firm.post(firm.draft("deposit", "later", on=firm.days[0], amount="3.00"))
    assert write_report(report, day=days[1], file_format="csv").content == after


# ---------------------------------------------------------------- closed periods and the inbox


@pytest.fixture
def closed(firm: Firm) -> Firm:
    call_command("periods", "--close", firm.days[1].isoformat(), "--reason", "Both days are done")
    return firm


def test_nothing_late_comes_into_a_closed_day(closed: Firm) -> None:
    before = files(closed.days[1], formats=["csv"])
    with pytest.raises(RefusedError, match="closed through"):
        closed.post(closed.draft("deposit", "late", on=closed.days[0], amount="1.00"))
    assert files(closed.days[1], formats=["csv"]) == before
    after = closed.days[1] + timedelta(days=1)
    closed.post(closed.draft("deposit", "on time", on=after, amount="1.00"))
