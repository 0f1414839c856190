"""Price files by the API: the right people, one content once, refusals that change nothing."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser

from accounts.models import LegalEntity, Role
from brokerage import jobs
from brokerage.digest import digest
from brokerage.inbox.price_watch import Watched, ask_for_newest
from brokerage.models import Job
from brokerage.worker import run_job
from margin.models import MarginRun, PriceFile
from tests.accounts.people import Desk, found_desk, sign_in
from tests.brokerage.intraday import after, csv, moved, quotes
from tests.stage import booked_days

ADDRESS = "/api/price-files/"


@pytest.fixture
def desk(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A small firm after its second day, with people."""
    booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)
    monkeypatch.setattr(jobs, "dispatch", lambda job_id: None)
    return found_desk(entity=LegalEntity.objects.get())


@pytest.fixture
def browser(desk: Desk) -> Browser:
    return browser_of(desk, Role.OPERATIONS)


def browser_of(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def test_prices_are_taken_once_and_their_job_is_asked_for(browser: Browser) -> None:
    at = after(30)
    sent = {
        "content": csv(quotes(at, BTC_PERP="0.5")).decode(),
        "as_of": at.isoformat(),
        "key": "7",
    }
    first = browser.post(ADDRESS, sent, content_type="application/json")
    assert first.status_code == 201
    again = browser.post(ADDRESS, sent, content_type="application/json")
    assert again.status_code == 200
    assert again.json() == first.json() | {"is_new": False}
    file = PriceFile.objects.get()
    assert browser.get(f"{ADDRESS}{file.sha256}/").json()["key"] == "7"
    job = Job.objects.get(pk=first.json()["job"])
    assert job.asked_by is not None
    assert run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert job.outcome["run"] == MarginRun.objects.latest("pk").number


def test_a_file_is_taken_as_it_is(browser: Browser) -> None:
    at = after(30)
    content = csv(quotes(at))
    upload = SimpleUploadedFile("now.csv", content)
    sent = browser.post(ADDRESS, {"file": upload, "as_of": at.isoformat()})
    assert sent.status_code == 201
    assert bytes(PriceFile.objects.get().content) == content


@pytest.mark.parametrize("role", [Role.TREASURY, Role.COMPLIANCE, Role.AUDITOR, Role.PRINCIPAL])
def test_others_may_not_hand_in_prices(desk: Desk, role: Role) -> None:
    browser, at = browser_of(desk, role), after(30)
    before = digest()
    sent = {"content": csv(quotes(at)).decode(), "as_of": at.isoformat()}
    answer = browser.post(ADDRESS, sent, content_type="application/json")
    assert answer.status_code == 403
    assert digest() == before


def test_refusals_say_why_and_change_nothing(browser: Browser) -> None:
    at = after(30)
    moved(at, BTC="0.9")
    before = digest()
    good = csv(quotes(at + timedelta(minutes=1))).decode()
    for sent, status, words in (
        ({"content": "nothing"}, 400, "expected"),
        ({}, 400, "either"),
        ({"content": good, "as_of": (at - timedelta(hours=1)).isoformat()}, 409, "too late"),
        ({"content": good, "as_of": "2099-01-01T00:00:00Z"}, 409, "not come yet"),
    ):
        answer = browser.post(ADDRESS, sent, content_type="application/json")
        assert (answer.status_code, words in str(answer.json())) == (status, True), answer.json()
    assert digest() == before


def test_prices_that_nobody_asked_to_run_are_found(desk: Desk) -> None:
    assert ask_for_newest() is None
    at = after(30)
    moved(at, BTC_PERP="0.5")
    job = ask_for_newest()
    assert job is not None
    assert ask_for_newest() == job
    assert run_job(job.pk)
    assert ask_for_newest() is None


def test_the_folder_beside_the_days_is_watched(desk: Desk, tmp_path: Path, settings: Any) -> None:
    inbox, watched, at = tmp_path / "inbox", Watched(), after(30)
    assert watched.look(inbox, now=at) == []
    (inbox / "prices").mkdir(parents=True)
    file = inbox / "prices" / "now.csv"
    file.write_text("not yet whole")
    written = file.stat().st_mtime
    rest = at.fromtimestamp(written + 3, tz=at.tzinfo)
    assert watched.look(inbox, now=at.fromtimestamp(written + 1, tz=at.tzinfo)) == []
    (job,) = watched.look(inbox, now=rest)
    assert watched.look(inbox, now=rest) == []
    assert run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, "expected" in job.error) == (Job.State.FAILED, True)
    assert not PriceFile.objects.exists()
    file.write_bytes(csv(quotes(at)))
    os.utime(file, (written + 10, written + 10))
    assert watched.look(inbox, now=rest) == [], "it is being written"
    (other,) = watched.look(inbox, now=at.fromtimestamp(written + 13, tz=at.tzinfo))
    assert other != job
