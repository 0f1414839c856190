"""Statements on screens and for programs: taken out by name, kept, and shown again."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.audit import Actor, acting
from accounts.models import Act, LegalEntity, Role
from accounts.roles import Roles
from brokerage.client_statements import clients_of
from brokerage.job_kinds import JOB_KINDS, STATEMENTS
from brokerage.models import Job, ReportFile
from tests.accounts.people import Desk, found_desk, sign_in
from tests.stage import booked_days

WRITES = ("INSERT", "UPDATE", "DELETE")


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """Two days of a firm of 30 accounts, and the people who work there."""
    booked_days(tmp_path, accounts=30, seed=21, days=3)
    return found_desk(entity=LegalEntity.objects.get())


class Quiet:
    """Progress that nobody follows."""

    cancelled = False

    def report(self, done: int, total: int, step: str) -> None:
        assert 0 <= done <= total
        assert step


def signed_in(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def code(desk: Desk) -> str:
    return clients_of(desk.entity)[0].code


def test_a_statement_is_taken_out_kept_and_shown_again(desk: Desk) -> None:
    browser = signed_in(desk, Role.OPERATIONS)
    address = reverse("brokerage:client-statements", args=[code(desk)])
    assert "Nothing was given out yet" in browser.get(address).content.decode()
    taken = browser.post(address, {"period": "2031-03-04", "format": "pdf"})
    kept = ReportFile.objects.get(name="client-statement")
    assert (taken["Content-Type"], taken["X-Content-SHA256"]) == ("application/pdf", kept.sha256)
    assert taken.content.startswith(b"%PDF-")
    page = browser.get(address).content.decode()
    assert kept.manifest["content_sha256"][:12] in page
    with CaptureQueriesContext(connection) as said:
        again = browser.get(reverse("brokerage:statement-file", args=[kept.pk]))
    assert again.content == taken.content
    wrote = [q["sql"] for q in said.captured_queries if q["sql"].startswith(WRITES)]
    assert not [sql for sql in wrote if "session" not in sql]
    assert Act.objects.filter(reason__startswith="Took out statement 2031-03-04").count() == 1


def test_what_is_no_period_is_said_and_nothing_is_kept(desk: Desk) -> None:
    browser = signed_in(desk, Role.OPERATIONS)
    address = reverse("brokerage:client-statements", args=[code(desk)])
    for typed in ({"period": "2031-04", "format": "pdf"}, {"period": "2031-03", "format": "exe"}):
        answer = browser.post(address, typed, follow=True)
        assert "There is no statement of" in answer.content.decode() or (
            "is no format" in answer.content.decode().replace("&#x27;", "'")
        )
    assert not ReportFile.objects.filter(name="client-statement").exists()


def test_a_client_of_another_legal_entity_is_not_there(desk: Desk) -> None:
    other = found_desk(code="EB-UK")
    browser = signed_in(other, Role.COMPLIANCE)
    address = reverse("brokerage:client-statements", args=[code(desk)])
    assert browser.get(address).status_code == 404
    assert browser.post(address, {"period": "2031-03", "format": "csv"}).status_code == 404
    assert not ReportFile.objects.filter(name="client-statement").exists()


def test_the_administrator_may_not(desk: Desk) -> None:
    browser = signed_in(desk, Role.ADMINISTRATOR)
    assert browser.get(reverse("brokerage:statements")).status_code == 403
    answer = browser.post(
        reverse("brokerage:client-statements", args=[code(desk)]), {"period": "2031-03"}
    )
    assert answer.status_code == 403


def test_programs_take_out_list_and_get_again(desk: Desk) -> None:
    browser = signed_in(desk, Role.COMPLIANCE)
    asked = {"client": code(desk), "period": "2031-03-04", "format": "csv"}
    made: Any = browser.post("/api/client-statements/", asked, content_type="application/json")
    assert made.status_code == 201, made.content
    said = made.json()
    file = browser.get(f"/api/client-statements/{said['id']}/file/")
    assert file["X-Content-SHA256"] == said["sha256"]
    rows = list(csv.DictReader(io.StringIO(file.content.decode())))
    assert {row["section"] for row in rows} >= {"statement", "opening", "closing", "total"}
    listed = browser.get("/api/client-statements/", {"client": code(desk)}).json()
    assert [each["id"] for each in listed] == [said["id"]]
    refused: Any = browser.post(
        "/api/client-statements/", asked | {"period": "2031-04"}, content_type="application/json"
    )
    assert refused.status_code == 409
    nobody: Any = browser.post(
        "/api/client-statements/", asked | {"client": "x"}, content_type="application/json"
    )
    assert nobody.status_code == 404
    assert ReportFile.objects.filter(name="client-statement").count() == 1


def test_the_job_makes_everybodys_and_the_page_shows_the_sum(desk: Desk) -> None:
    browser = signed_in(desk, Role.OPERATIONS)
    for _ in range(2):
        browser.post(reverse("brokerage:statements"), {"period": "2031-03-04"})
    (job,) = Job.objects.filter(name=STATEMENTS)
    outcome = JOB_KINDS[STATEMENTS].run(job.arguments, Quiet())
    many = len(clients_of(desk.entity))
    assert outcome == {"period": "2031-03-04", "clients": many, "new_files": 2 * many}
    page = browser.get(reverse("brokerage:statements")).content.decode()
    assert "CLIENT USD" in page
    assert 'class="num t-liq"' not in page
    assert "client-statement" not in browser.get(reverse("brokerage:reports")).content.decode()


def test_who_is_limited_to_a_desk_takes_out_clients_of_that_desk_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other, *_ = clients_of(desk.entity)
    with acting(Actor.job("test"), reason="A test gives a client to a desk"):
        mine.accounts.update(desk="futures")
    browser = signed_in(desk, Role.OPERATIONS)
    monkeypatch.setattr(Roles, "desks", lambda *_: frozenset({"futures"}))
    typed = {"period": "2031-03-04", "format": "csv"}
    for client, status in ((mine, 200), (other, 404)):
        address = reverse("brokerage:client-statements", args=[client.code])
        assert browser.get(address).status_code == status
        assert browser.post(address, typed).status_code == status
    listed = browser.get(reverse("brokerage:statements")).context["clients"]
    assert [client.code for client in listed] == [mine.code]
    assert browser.post(reverse("brokerage:statements"), typed).status_code == 403
    assert ReportFile.objects.filter(name="client-statement").count() == 1
    assert not Job.objects.filter(name=STATEMENTS).exists()
