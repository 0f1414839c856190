"""Reports: exactly what the day came to, the same again each time, and taken out by name."""

import csv
import hashlib
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Act, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.models import BusinessDay, ReportFile
from brokerage.reports import CATALOGUE, ReportRefusedError, write_report
from ledger.breaks import explain_break, take_break
from ledger.models import Break
from margin.models import MarginCall, MarginRun
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.golden.generated import GeneratedDay, generated_days
from tests.stage import staged

PAST, NEWEST = 0, 1


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[GeneratedDay]:
    """Two days of a small firm, with what the oracle expects of each."""
    generated = generated_days(tmp_path, 21, 30, 2)

    def book() -> None:
        for day in generated:
            run_day(day.folder)

    staged("two generated days of 30 accounts", book)
    return generated


@pytest.fixture
def desk(days: list[GeneratedDay]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def day_of(generated: GeneratedDay) -> str:
    return str(generated.expected["business_day"])


def rows_of(name: str, generated: GeneratedDay) -> list[dict[str, str]]:
    """A report's rows as a program reads its CSV."""
    day = BusinessDay.objects.get(day=day_of(generated)).day
    written = write_report(CATALOGUE[name], day=day, file_format="csv")
    return list(csv.DictReader(io.StringIO(written.content.decode())))


def same(text: str, expected: object) -> bool:
    """Whether a cell is the expected figure, rounded half to even as results are; or both none."""
    if expected is None or text == "":
        return (text or None) == expected
    wanted = Decimal(str(expected))
    return Decimal(text).quantize(wanted) == wanted


# ---------------------------------------------------------------- what is in them


@pytest.mark.parametrize("which", [PAST, NEWEST])
def test_the_margin_record_has_every_scope_with_the_expected_figures(
    days: list[GeneratedDay], which: int
) -> None:
    rows = rows_of("margin-record", days[which])
    expected = days[which].expected["margin"]
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        assert (row["account"], row["bucket"], row["state"]) == (
            wanted["account"], wanted["bucket"], wanted["state"],
        )  # fmt: skip
        for figure in ("equity", "initial_margin", "maintenance_margin", "call_amount"):
            assert same(row[figure], wanted[figure]), (row["account"], figure)
        assert row["flags"] == " ".join(wanted["flags"])
        assert Decimal(row["excess"]) == Decimal(row["equity"]) - Decimal(row["initial_margin"])


@pytest.mark.parametrize("which", [PAST, NEWEST])
def test_segregation_lists_each_pool_and_its_places_as_expected(
    days: list[GeneratedDay], which: int
) -> None:
    rows = rows_of("segregation", days[which])
    totals = [row for row in rows if not row["location"]]
    for row, wanted in zip(totals, days[which].expected["segregation"], strict=True):
        assert (row["pool"], row["asset"]) == (wanted["pool"], wanted["asset"])
        for figure in (
            "client_claims", "residual_interest", "own_equity", "loans_receivable", "requirement",
            "resource", "excess",
        ):  # fmt: skip
            assert same(row[figure], wanted[figure]), (row["pool"], row["asset"], figure)
        places = {
            each["location"]: Decimal(each["custody"])
            for each in rows
            if each["location"] and (each["pool"], each["asset"]) == (row["pool"], row["asset"])
        }
        assert places == {place: Decimal(held) for place, held in wanted["custody"].items()}
        assert sum(places.values()) == Decimal(row["custody"])


def test_breaks_are_all_that_were_found_up_to_the_day(days: list[GeneratedDay]) -> None:
    found = rows_of("breaks", days[NEWEST])
    expected = [each for day in days for each in day.expected["breaks"]]
    assert len(found) == len(expected)
    assert sorted((r["location"], r["kind"], r["asset"], r["reference"]) for r in found) == sorted(
        (w["location"], w["kind"], w["asset"] or "", w["reference"] or "") for w in expected
    )
    assert {r["age_days"] for r in found if r["found_on"] == day_of(days[NEWEST])} <= {"0"}
    assert len(rows_of("breaks", days[PAST])) == len(days[PAST].expected["breaks"])


def test_margin_calls_are_those_open_at_the_close(days: list[GeneratedDay]) -> None:
    rows = rows_of("margin-calls", days[NEWEST])
    still_open = set(MarginCall.objects.open().values_list("number", flat=True))
    assert {row["call"] for row in rows if row["state"] not in MarginCall.ENDED} == still_open
    called = {
        (each["account"], each["bucket"]): each["call_amount"]
        for each in days[NEWEST].expected["margin"]
        if Decimal(each["call_amount"]) > 0
    }
    for row in rows:
        wanted = called.pop((row["account"], row["bucket"]), None)
        if wanted is not None:
            assert same(row["amount"], wanted), row["call"]
    assert called == {}, "every scope that the day called has its call in the report"


def test_the_audit_trail_of_a_day_holds_its_steps_in_order(days: list[GeneratedDay]) -> None:
    rows = rows_of("audit-trail", days[PAST])
    reasons = list(dict.fromkeys(row["reason"] for row in rows))
    steps = [reason for reason in reasons if reason.endswith(day_of(days[PAST]))]
    assert [step.partition(",")[0] for step in steps[:3]] == [
        f"Open the day {day_of(days[PAST])}", "Read prices", "Apply events",
    ]  # fmt: skip
    assert not any(day_of(days[NEWEST]) in reason for reason in reasons)
    assert {row["actor"] for row in rows} == {"system:job:inbox-cycle"}


# ---------------------------------------------------------------- the same again


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_a_past_day_written_twice_is_the_same_file(
    days: list[GeneratedDay], name: str, file_format: str
) -> None:
    day = BusinessDay.objects.get(day=day_of(days[PAST])).day
    first, second = (
        write_report(CATALOGUE[name], day=day, file_format=file_format) for _ in range(2)
    )
    assert first.content == second.content
    assert first.manifest["sha256"] == hashlib.sha256(first.content).hexdigest()
    assert first.manifest == second.manifest


def test_what_people_do_later_does_not_change_the_breaks_of_a_day(
    days: list[GeneratedDay], desk: Desk
) -> None:
    day = BusinessDay.objects.get(day=day_of(days[NEWEST])).day
    before = write_report(CATALOGUE["breaks"], day=day, file_format="csv")
    actor = person(desk[Role.OPERATIONS])
    for found in Break.objects.all():
        take_break(found.pk, seen_owner_id=None, actor=actor)
        explain_break(found.pk, text="The bank is looking into it", actor=actor)
    assert write_report(CATALOGUE["breaks"], day=day, file_format="csv").content == before.content


def test_a_break_stands_in_the_report_as_it_stood_at_the_close(db: None, tmp_path: Path) -> None:
    first, second = generated_days(tmp_path, 21, 30, 2)
    run_day(first.folder)
    desk = found_desk(entity=LegalEntity.objects.get())
    taken, explained, *_ = Break.objects.order_by("pk")
    actor = person(desk[Role.TREASURY])
    take_break(taken.pk, seen_owner_id=None, actor=actor)
    explain_break(explained.pk, text="The bank is looking into it", actor=actor)
    run_day(second.folder)
    rows = {(r["location"], r["reference"], r["kind"]): r for r in rows_of("breaks", second)}
    for found, status in (taken, "investigating"), (explained, "explained"):
        row = rows[found.location.code, found.reference or "", found.kind]
        assert (row["status"], row["owner"]) == (status, "S. Iyer")


def test_csv_and_json_say_the_same(days: list[GeneratedDay]) -> None:
    day = BusinessDay.objects.get(day=day_of(days[NEWEST])).day
    written = write_report(CATALOGUE["margin-record"], day=day, file_format="json")
    said = json.loads(written.content)
    rows = rows_of("margin-record", days[NEWEST])
    assert said["count"] == len(rows) == written.manifest["rows"]
    for row, record in zip(rows, said["rows"], strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in record.items()}


def test_the_manifest_names_what_the_report_rests_on(days: list[GeneratedDay]) -> None:
    day = BusinessDay.objects.get(day=day_of(days[PAST]))
    run = MarginRun.objects.get(business_day=day.day)
    manifest = write_report(CATALOGUE["segregation"], day=day.day, file_format="csv").manifest
    assert manifest["as_of"] == f"{day.as_of:%Y-%m-%dT%H:%M:%SZ}"
    assert (manifest["run"], manifest["run_result_sha256"]) == (run.number, run.result_sha256)
    assert manifest["snapshot"] == run.horizon.snapshot
    assert manifest["folder_sha256"] == day.content_sha256


# ---------------------------------------------------------------- the command


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `manage.py report`."""
    try:
        call_command("report", *arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    else:
        code = 0
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_writes_the_report_and_its_manifest(
    days: list[GeneratedDay], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "calls.csv"
    day = day_of(days[NEWEST])
    code, said, _ = run_command(capsys, "margin-calls", "--date", day, "--out", str(out))
    manifest = json.loads((tmp_path / "calls.csv.manifest.json").read_text())
    assert code == 0
    assert manifest["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert manifest["sha256"] in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["margin-cals", "--date", "{day}", "--out", "{out}"], "'margin-cals' is no report"),
        (["breaks", "--date", "yesterday", "--out", "{out}"], "'yesterday' is no date"),
        (["breaks", "--date", "2031-02-30", "--out", "{out}"], "'2031-02-30' is no date"),
        (["breaks", "--date", "1999-01-04", "--out", "{out}"], "1999-01-04 is not in the book"),
        (
            ["breaks", "--date", "{day}", "--format", "pdf", "--out", "{out}"],
            "'pdf' is no format",
        ),
        (["breaks", "--date", "{day}", "--out", "{out}/no/such/folder"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(
    days: list[GeneratedDay],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    out = folder / "file"
    filled = [each.format(day=day_of(days[NEWEST]), out=out) for each in arguments]
    code, said, refused = run_command(capsys, *filled)
    assert (code, said) == (2, "")
    assert words in refused
    assert refused.strip().count("\n") == 0
    assert list(folder.iterdir()) == []


def test_a_day_that_is_not_closed_has_no_report(db: None, tmp_path: Path) -> None:
    with pytest.raises(ReportRefusedError, match="is not in the book"):
        write_report(CATALOGUE["breaks"], day=BusinessDay(day="2031-03-03").day, file_format="csv")


# ---------------------------------------------------------------- the page


def browser_of(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_a_report_that_is_taken_out_is_kept_with_the_persons_name(
    days: list[GeneratedDay], desk: Desk
) -> None:
    browser = browser_of(desk, Role.COMPLIANCE)
    day = day_of(days[PAST])
    said = {"name": "segregation", "day": day, "format": "csv"}
    answer = browser.post(reverse("brokerage:report-write"), said)
    assert answer["Content-Disposition"] == f'attachment; filename="segregation-{day}.csv"'
    digest = hashlib.sha256(answer.content).hexdigest()
    kept = ReportFile.objects.get()
    assert (kept.sha256, kept.name, str(kept.business_day)) == (digest, "segregation", day)
    assert answer["X-Content-SHA256"] == digest
    act = Act.objects.get(pk=kept.xid)
    assert act.operator == desk[Role.COMPLIANCE]
    assert act.reason == f"Exported segregation per pool of {day} as CSV"
    page = text_of(browser.get(reverse("brokerage:reports")))
    assert "J. Moreau" in page
    manifest = browser.get(reverse("brokerage:report-manifest", args=[kept.pk]))
    assert json.loads(manifest.content)["sha256"] == digest


def test_looking_at_the_page_writes_nothing(days: list[GeneratedDay], desk: Desk) -> None:
    browser = browser_of(desk, Role.AUDITOR)
    acts = Act.objects.count()
    page = text_of(browser.get(reverse("brokerage:reports"), {"day": day_of(days[PAST])}))
    assert all(report.title in page for report in CATALOGUE.values())
    assert browser.get(reverse("brokerage:report-write")).status_code == 405
    assert (ReportFile.objects.count(), Act.objects.count()) == (0, acts)


@pytest.mark.parametrize(
    ("role", "name", "status"),
    [
        (Role.OPERATIONS, "breaks", 200),
        (Role.OPERATIONS, "audit-trail", 403),
        (Role.COMPLIANCE, "audit-trail", 200),
        (Role.AUDITOR, "audit-trail", 200),
        (Role.ADMINISTRATOR, "breaks", 403),
    ],
)
def test_each_role_takes_out_what_it_may(
    days: list[GeneratedDay], desk: Desk, role: Role, name: str, status: int
) -> None:
    said = {"name": name, "day": day_of(days[PAST]), "format": "json"}
    answer = browser_of(desk, role).post(reverse("brokerage:report-write"), said)
    assert answer.status_code == status
    assert ReportFile.objects.count() == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"name": "nothing"}, 404),
        ({"day": "1999-01-04"}, 404),
        ({"day": "soon"}, 404),
        ({"format": "pdf"}, 302),
    ],
)
def test_what_is_not_offered_is_not_written(
    days: list[GeneratedDay], desk: Desk, changed: dict[str, str], status: int
) -> None:
    said = {"name": "breaks", "day": day_of(days[PAST]), "format": "csv"} | changed
    answer = browser_of(desk, Role.RISK).post(reverse("brokerage:report-write"), said)
    assert answer.status_code == status
    assert not ReportFile.objects.exists()


def test_another_firms_people_take_nothing_out(days: list[GeneratedDay], desk: Desk) -> None:
    said = {"name": "breaks", "day": day_of(days[PAST]), "format": "csv"}
    browser_of(desk, Role.RISK).post(reverse("brokerage:report-write"), said)
    kept = ReportFile.objects.get()
    stranger = browser_of(found_desk(code="EB-UK"), Role.COMPLIANCE)
    assert stranger.post(reverse("brokerage:report-write"), said).status_code == 404
    page = reverse("brokerage:report-manifest", args=[kept.pk])
    assert stranger.get(page).status_code == 404
    assert stranger.get(reverse("brokerage:reports")).context["listing"].total == 0
    assert ReportFile.objects.count() == 1
