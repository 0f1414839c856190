"""The pages of jobs in a real browser: they move while jobs do, and let people stop them."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from accounts.models import Role
from brokerage import jobs
from brokerage.job_kinds import INBOX_DAY
from brokerage.jobs import Lease, claim_job, place_job
from brokerage.models import Job
from tests.accounts.people import Desk, found_desk, sign_in_page
from tests.browser.judging import Watch, overflows, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def desk(db: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(jobs, "dispatch", lambda job_id: None)
    return found_desk()


@pytest.fixture
def page(browser_page: "Page", desk_url: str, desk: Desk) -> "Page":
    """A page on which L. Brandt of operations is signed in."""
    sign_in_page(browser_page, desk_url, desk[Role.OPERATIONS])
    return browser_page


def a_job(day: str) -> Job:
    return place_job(INBOX_DAY, key=f"inbox.day:{day}:abc", arguments={"folder": f"/in/{day}"})


def held(job: Job) -> Lease:
    lease = claim_job(job.pk)
    assert lease is not None
    return lease


def test_the_pages_pass_axe_empty_and_filled_in_both_themes(page: "Page", desk_url: str) -> None:
    watch = Watch(desk_url).on(page)
    page.goto(f"{desk_url}/jobs/")
    assert violations(page) == []
    running, failed = a_job("2018-02-06"), a_job("2018-02-05")
    held(failed).fail("prices.csv line 6, price: NaN is not a number.", for_good=True)
    held(running).heartbeat(done=42, total=60, step="Apply events", left_for=timedelta(seconds=3))
    a_job("2018-02-07")
    for address in ("/jobs/", f"/jobs/{running.pk}/", f"/jobs/{failed.pk}/"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{desk_url}{address}")
            assert violations(page) == []
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert not overflows(page)
    assert watch.complaints == []


def test_an_open_list_follows_its_jobs_and_stops_one(page: "Page", desk_url: str) -> None:
    job = a_job("2018-02-06")
    page.goto(f"{desk_url}/jobs/")
    row = page.locator(f"#job-{job.pk}")
    row.get_by_text("Queued").wait_for()
    lease = held(job)
    lease.heartbeat(done=42, total=60, step="Apply events", left_for=timedelta(seconds=3))
    row.get_by_text("42 of 60 · 3 s left").wait_for()
    row.get_by_role("button", name=f"Cancel job {job.pk}").click()
    page.get_by_text("asked to stop at its next report").wait_for()
    lease.cancel()
    page.get_by_role("button", name="Run again").click()
    page.get_by_text("Sent to the workers again.").wait_for()
    assert Job.objects.get().state == "waiting"
