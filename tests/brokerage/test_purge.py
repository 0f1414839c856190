"""What is past its latest date goes, on record; what is held or sealed stays."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command

from accounts.audit import Actor
from accounts.models import Act, Purge, SignInFailure
from brokerage.models import Job
from brokerage.purge import purge
from tests.accounts.people import Desk, found_desk

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
JOB = Actor.job("retention.purge")


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def job(key: str, *, ended: datetime | None) -> None:
    state = Job.State.WAITING if ended is None else Job.State.DONE
    Job.objects.create(name="inbox.day", key=key, state=state, ended_at=ended)


def test_what_is_past_its_date_goes_and_the_rest_stays(desk: Desk) -> None:
    for username, days in (("old", 91), ("new", 89)):
        SignInFailure.objects.create(username=username, failed_at=days_ago(days))
    for key, days in (("old", 3), ("new", 0)):
        Session.objects.create(session_key=key, session_data="", expire_date=days_ago(days))
    job("old", ended=days_ago(401))
    job("new", ended=days_ago(399))
    job("waits", ended=None)
    gone = purge(actor=JOB, now=NOW)["gone"]
    assert gone == {"sessions": 1, "sign_in_failures": 1, "jobs": 1, "notices": 0}
    assert SignInFailure.objects.get().username == "new"
    assert Session.objects.filter(session_key="old").count() == 0
    assert set(Job.objects.values_list("key", flat=True)) == {"new", "waits"}
    records = {(one.record_id, one.rows) for one in Purge.objects.all()}
    assert records == {("sessions", 1), ("sign_in_failures", 1), ("jobs", 1)}
    acts = Act.objects.filter(actor="system:job:retention.purge")
    assert acts.filter(reason="Past the latest date: jobs").count() == 1


def test_a_second_purge_finds_nothing(desk: Desk) -> None:
    job("old", ended=days_ago(401))
    purge(actor=JOB, now=NOW)
    assert set(purge(actor=JOB, now=NOW)["gone"].values()) == {0}
    assert Purge.objects.count() == 1


def test_old_notices_go(desk: Desk, settings: Any, tmp_path: Path) -> None:
    settings.OUTBOX = tmp_path
    for day in ("2016-10-30", "2016-11-02"):
        folder = tmp_path / "margin-calls" / day
        folder.mkdir(parents=True)
        (folder / "MC-1.txt").write_text("Margin call")
    assert purge(actor=JOB, now=NOW)["gone"]["notices"] == 1
    left = [path.parent.name for path in (tmp_path / "margin-calls").glob("*/*.txt")]
    assert left == ["2016-11-02"]


def test_the_command_says_what_may_go(desk: Desk) -> None:
    output = StringIO()
    call_command("retention", "--json", stdout=output)
    said = json.loads(output.getvalue())
    assert {firm["legal_entity"] for firm in said["legal_entities"]} == {"EB-US"}
    book = next(each for each in said["classes"] if each["record"] == "book")
    assert (book["keep_days"], book["gone_days"]) == (2557, None)


def test_a_list_that_is_not_there_is_refused(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        call_command("retention", "--erase-again", str(tmp_path / "none"), stderr=StringIO())
    assert stop.value.code == 2
