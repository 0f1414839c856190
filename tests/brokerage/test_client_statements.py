"""Clients' statements: the same file each time, each following the one before, summing to pools."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.audit import Actor, acting
from accounts.models import LegalEntity
from brokerage.client_statements import (
    StatementRefusedError,
    clients_of,
    keep,
    made_again,
    period_of,
    point_for,
    write_statement,
)
from brokerage.client_statements.everybody import make_statements
from brokerage.models import BusinessDay, ReportFile
from brokerage.reports import CATALOGUE, write_report
from ledger.models import Entry
from margin.models import CallEvent, MarginCall
from tests.stage import FIRST_DAY, booked_days

NOBODY = Actor.job("test")
Rows = list[dict[str, str]]


@pytest.fixture
def entity(db: None, tmp_path: Path) -> LegalEntity:
    """Three days of a firm of 30 accounts."""
    booked_days(tmp_path, accounts=30, seed=21, days=3)
    return LegalEntity.objects.get()


def rows_of(content: bytes, section: str) -> Rows:
    every = csv.DictReader(io.StringIO(content.decode()))
    return [row for row in every if row["section"] == section]


def statement(entity: LegalEntity, code: str, period: str, file_format: str = "csv") -> bytes:
    (client,) = clients_of(entity, codes=[code])
    found = write_statement(
        client, period_of(period), file_format=file_format, point=point_for(None)
    )
    return found.content


def busy(entity: LegalEntity) -> str:
    """The client with the most calls."""
    found = [call.scope.bucket.account.client for call in MarginCall.objects.all()]  # type: ignore[union-attr]
    codes = sorted(client.code for client in found if client is not None)
    return max(codes, key=codes.count)


@pytest.mark.parametrize("file_format", ["csv", "pdf"])
def test_a_statement_written_twice_is_the_same_file(entity: LegalEntity, file_format: str) -> None:
    code, point = busy(entity), point_for(None)
    (client,) = clients_of(entity, codes=[code])
    one, two = (
        write_statement(client, period_of("2031-03"), file_format=file_format, point=point)
        for _ in range(2)
    )
    assert one.content == two.content
    assert one.manifest == two.manifest


def test_each_day_opens_with_what_the_day_before_closed_with(entity: LegalEntity) -> None:
    for client in clients_of(entity):
        closing: dict[tuple[str, ...], str] = {}
        for number, day in enumerate(BusinessDay.objects.order_by("day")):
            content = statement(entity, client.code, day.day.isoformat())
            names = ("account", "bucket", "held_as", "asset", "pool")
            opening = {
                tuple(row[name] for name in names): row["amount"]
                for row in rows_of(content, "opening")
            }
            if number:
                held = {key: amount for key, amount in closing.items() if Decimal(amount)}
                assert {key: a for key, a in opening.items() if Decimal(a)} == held
            closing = {
                tuple(row[name] for name in names): row["amount"]
                for row in rows_of(content, "closing")
            }
            moved = dict.fromkeys(closing, Decimal(0))
            for row in rows_of(content, "movement"):
                moved[tuple(row[name] for name in names)] += Decimal(row["amount"])
            for key, amount in closing.items():
                assert Decimal(opening[key]) + moved[key] == Decimal(amount), key


def test_the_month_holds_every_posting_of_the_client_once(entity: LegalEntity) -> None:
    code = busy(entity)
    rows = rows_of(statement(entity, code, "2031-03"), "movement")
    found = sorted((int(row["entry"]), Decimal(row["amount"])) for row in rows)
    wanted = sorted(
        (entry.pk, -posting.amount if posting.account.account_class != "loan_receivable"
         else posting.amount)
        for entry in Entry.objects.prefetch_related("postings__account__margin_account")
        if entry.effective_at.date() >= FIRST_DAY.replace(day=1)
        for posting in entry.postings.all()
        if posting.account.margin_account and posting.account.margin_account.client
        and posting.account.margin_account.client.code == code
    )  # fmt: skip
    assert found == wanted
    assert found


def test_positions_margin_and_calls_are_those_of_the_close(entity: LegalEntity) -> None:
    code = busy(entity)
    day = BusinessDay.objects.order_by("-day")[0]
    content = statement(entity, code, day.day.isoformat())
    report = write_report(CATALOGUE["margin-record"], day=day.day, file_format="csv").content
    wanted = {
        (row["account"], row["bucket"]): row
        for row in csv.DictReader(io.StringIO(report.decode()))
        if row["client"] == code
    }
    margin = rows_of(content, "margin")
    assert {(row["account"], row["bucket"]) for row in margin} == set(wanted)
    for row in margin:
        name = {"equity_to_initial_margin": None}.get(row["kind"], row["kind"])
        if name is not None:
            assert row["amount"] == wanted[row["account"], row["bucket"]][name]
    calls = write_report(CATALOGUE["margin-calls"], day=day.day, file_format="csv").content
    listed = {
        row["call"] for row in csv.DictReader(io.StringIO(calls.decode())) if row["client"] == code
    }
    assert {row["reference"] for row in rows_of(content, "call")} == listed
    for row in rows_of(content, "position"):
        assert not row["value"] or Decimal(row["value"]) == (
            Decimal(row["amount"]) * Decimal(row["price"])
        )


def test_everybody_comes_to_what_pools_owe_and_a_second_time_keeps_nothing_new(
    entity: LegalEntity,
) -> None:
    period, said = period_of("2031-03-04"), []
    first = make_statements(
        entity, period, point=point_for(None), actor=NOBODY,
        report=lambda done, total, step: said.append((done, total)),
    )  # fmt: skip
    assert first.is_whole
    assert first.new == 2 * first.clients == ReportFile.objects.filter(
        name="client-statement"
    ).count()  # fmt: skip
    assert said[-1] == (first.clients, first.clients)
    assert {row.pool for row in first.totals} >= {"CLIENT"}
    again = make_statements(
        entity, period, point=point_for(None), actor=NOBODY, report=lambda *_: None
    )
    assert (again.new, again.clients) == (0, first.clients)
    assert ReportFile.objects.filter(name="client-statement-totals").count() == 1


def test_a_kept_statement_is_made_again_byte_for_byte_after_more_has_happened(
    entity: LegalEntity,
) -> None:
    (client,) = clients_of(entity, codes=[busy(entity)])
    one = write_statement(client, period_of("2031-03-03"), file_format="pdf", point=point_for(None))
    with acting(NOBODY, reason="keep"):
        (kept,) = keep([one])
    two = write_statement(client, period_of("2031-03-04"), file_format="csv", point=point_for(None))
    with acting(NOBODY, reason="keep"):
        keep([two])
    assert two.manifest["opens_from"] == one.manifest["horizon_taken_at"]
    assert made_again(kept).content == one.content


def test_calls_are_told_as_they_stood_at_the_end(entity: LegalEntity) -> None:
    day = FIRST_DAY.isoformat()
    for call in MarginCall.objects.filter(business_day=FIRST_DAY):
        client = call.scope.bucket.account.client  # type: ignore[union-attr]
        if client is None:
            continue
        (row,) = [
            row for row in rows_of(statement(entity, client.code, day), "call")
            if row["reference"] == call.number
        ]  # fmt: skip
        last = (
            CallEvent.objects.filter(call=call, occurred_at__date__lte=FIRST_DAY)
            .order_by("occurred_at", "pk")
            .last()
        )
        assert last is not None
        assert row["text"].split()[0] == last.to_state


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("2031-13", "no period"), ("2031-3", "no period"), ("march", "no period"),
        ("2031-02-30", "no period"), ("1066-10", "no period|no entries"), ("", "no period"),
        ("2031-04", "closed up to 2031-03-05"), ("2031-03-06", "closed up to 2031-03-05"),
    ],
)  # fmt: skip
def test_what_is_no_period_or_not_over_is_refused_in_one_sentence(
    entity: LegalEntity, period: str, words: str
) -> None:
    before = ReportFile.objects.count()
    with pytest.raises(StatementRefusedError, match=words):
        statement(entity, busy(entity), period)
    assert ReportFile.objects.count() == before


def test_a_month_that_is_not_over_is_interim(entity: LegalEntity) -> None:
    about = rows_of(statement(entity, busy(entity), "2031-03"), "statement")
    said = {row["kind"]: row["text"] for row in about}
    assert (said["is_interim"], said["through"]) == ("true", "2031-03-05")
    assert FIRST_DAY + timedelta(days=2) == BusinessDay.objects.order_by("-day")[0].day


def test_the_command_writes_files_totals_and_a_manifest(
    entity: LegalEntity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    call_command("statements", "--period", "2031-03-05", "--out", str(out), "--json")
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["is_whole"] is True
    assert len(said["files"]) == 2 * len(clients_of(entity)) == len(list(out.glob("statement-*")))
    for each in said["files"]:
        kept = ReportFile.objects.get(sha256=each["sha256"])
        assert made_again(kept).content == (out / each["file"]).read_bytes()
    assert {Decimal(row["difference"]) for row in said["totals"]} == {Decimal(0)}


def test_the_command_refuses_a_client_that_there_is_not(
    entity: LegalEntity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        call_command(
            "statements", "--period", "2031-03-05", "--client", "nobody", "--out", str(tmp_path)
        )
    assert end.value.code == 2
    assert "'nobody' is no client" in capsys.readouterr().err
    assert not ReportFile.objects.exists()


def test_names_of_any_alphabet_and_texts_that_would_be_run_are_only_text(
    entity: LegalEntity, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brokerage.client_statements.pdf_pages import StatementPdf

    code = busy(entity)
    name = "=HYPERLINK(0)\u674e\u5c0f\u9f99 \u202e{nb}"
    monkeypatch.setattr("accounts.models.Client.name", name)
    (about,) = [
        row for row in rows_of(statement(entity, code, "2031-03"), "statement")
        if row["kind"] == "client_name"
    ]  # fmt: skip
    assert about["text"] == f"'{name}"
    printed: list[str] = []
    real = StatementPdf.printable

    def seen(pdf: StatementPdf, text: str) -> str:
        printed.append(real(pdf, text))
        return printed[-1]

    monkeypatch.setattr(StatementPdf, "printable", seen)
    assert statement(entity, code, "2031-03", "pdf").startswith(b"%PDF")
    assert any("does not print" in each for each in printed)
    assert any("\ufffd\ufffd\ufffd" in each for each in printed)
    assert not any("{nb}" in each for each in printed)
