"""The pages of jobs: who sees and does what, and what a live page costs while nothing happens."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from accounts.audit import Actor, acting
from accounts.models import Act, LegalEntity, Operator, Role
from accounts.roles import roles_of
from brokerage import jobs
from brokerage.api_jobs import JobViewSet
from brokerage.inbox.cycle import STEPS
from brokerage.job_kinds import INBOX_DAY
from brokerage.jobs import Lease, claim_job, place_job
from brokerage.models import BusinessDay, DayStep, Job
from brokerage.screens.cycle import cycle_steps
from tests.accounts.people import Desk, found_desk, sign_in

pytestmark = pytest.mark.django_db

ROWS = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the jobs that workers were told of."""
    ids: list[int] = []
    monkeypatch.setattr(jobs, "dispatch", ids.append)
    return ids


@pytest.fixture
def desk() -> Desk:
    return found_desk()


@pytest.fixture
def job() -> Job:
    return a_job("2018-02-06")


def a_job(day: str) -> Job:
    return place_job(INBOX_DAY, key=f"inbox.day:{day}:abc", arguments={"folder": f"/in/{day}"})


def held(job: Job) -> Lease:
    lease = claim_job(job.pk)
    assert lease is not None
    return lease


def now_is(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_the_empty_list_says_what_will_appear(client: Browser, desk: Desk) -> None:
    sign_in(client, desk[Role.RISK])
    page = client.get("/jobs/")
    assert page.status_code == 200
    assert "No job has been asked for" in page.text


def test_a_running_job_shows_its_progress_and_what_is_left(
    client: Browser, desk: Desk, job: Job
) -> None:
    held(job).heartbeat(done=42, total=60, step="Apply events", left_for=timedelta(seconds=3))
    sign_in(client, desk[Role.OPERATIONS])
    for address in ("/jobs/", f"/jobs/{job.pk}/"):
        page = client.get(address).text
        assert '<progress max="60" value="42"' in page
        assert "42 of 60 · 3 s left" in page
        assert "Apply events" in page
        assert "The day&#x27;s cycle, 2018-02-06" in page


def test_rows_that_have_not_changed_are_not_sent_again(
    client: Browser, desk: Desk, job: Job
) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    page = client.get("/jobs/").text
    seen = page.split('hx-headers=\'{"X-Live": "')[1].split('"')[0]
    again = client.get("/jobs/", headers={**ROWS, "X-Live": seen})
    assert (again.status_code, again.content) == (204, b"")
    held(job).heartbeat(done=1, total=2, step="Read prices")
    changed = client.get("/jobs/", headers={**ROWS, "X-Live": seen})
    assert changed.status_code == 200
    assert changed.text.startswith('<div id="live"')
    assert "every 2s" in changed.text
    assert "<html" not in changed.text


def test_the_list_costs_the_same_queries_however_long_it_is(client: Browser, desk: Desk) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    a_job("2018-02-01")
    counts = []
    for days in (range(2, 5), range(5, 29)):
        for day in days:
            a_job(f"2018-02-{day:02}")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get("/jobs/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("role", "may_cancel", "may_retry"),
    [
        (Role.OPERATIONS, True, True),
        (Role.RISK, True, True),
        (Role.TREASURY, False, True),
        (Role.COMPLIANCE, False, False),
        (Role.AUDITOR, False, False),
    ],
)
def test_roles_cancel_and_start_jobs(
    client: Browser, desk: Desk, job: Job, role: Role, may_cancel: bool, may_retry: bool
) -> None:
    sign_in(client, desk[role])
    assert (f"/jobs/{job.pk}/cancel/" in client.get("/jobs/").text) is may_cancel
    answer = client.post(f"/jobs/{job.pk}/cancel/")
    assert answer.status_code == (302 if may_cancel else 403)
    assert now_is(job).state == ("cancelled" if may_cancel else "waiting")
    Job.objects.filter(pk=job.pk).update(state="failed", ended_at=datetime.now(tz=UTC))
    assert (f"/jobs/{job.pk}/retry/" in client.get("/jobs/").text) is may_retry
    answer = client.post(f"/jobs/{job.pk}/retry/")
    assert answer.status_code == (302 if may_retry else 403)
    assert now_is(job).state == ("waiting" if may_retry else "failed")


def test_administrators_and_strangers_see_no_jobs(client: Browser, desk: Desk, job: Job) -> None:
    addresses = ["/jobs/", f"/jobs/{job.pk}/"]
    assert [client.get(address).status_code for address in addresses] == [302, 302]
    sign_in(client, desk[Role.ADMINISTRATOR])
    assert [client.get(address).status_code for address in addresses] == [403, 403]


def test_whoever_cancels_a_job_is_in_the_trail(client: Browser, desk: Desk, job: Job) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    client.post(f"/jobs/{job.pk}/cancel/")
    assert Act.objects.get(reason=f"Cancel job {job.pk}").actor == "operator:l.brandt"


def test_whoever_starts_a_job_again_stands_in_it(
    client: Browser, desk: Desk, job: Job, sent: list[int]
) -> None:
    held(job).fail("prices.csv is missing.", for_good=True)
    sign_in(client, desk[Role.TREASURY])
    assert "prices.csv is missing." in client.get(f"/jobs/{job.pk}/").text
    client.post(f"/jobs/{job.pk}/retry/")
    assert now_is(job).asked_by == desk[Role.TREASURY]
    assert sent == [job.pk]


def test_what_the_state_does_not_allow_is_refused_with_a_sentence(
    client: Browser, desk: Desk, job: Job
) -> None:
    held(job).finish({})
    sign_in(client, desk[Role.OPERATIONS])
    cancelled = client.post(f"/jobs/{job.pk}/cancel/")
    assert cancelled.status_code == 409
    assert "Not cancelled: the job has ended." in cancelled.text
    again = client.post(f"/jobs/{job.pk}/retry/")
    assert again.status_code == 409
    assert "Not started: only a job that failed" in again.text
    assert now_is(job).state == "done"


@pytest.mark.parametrize("address", ["/jobs/999999/", "/jobs/999999/cancel/"])
def test_a_job_that_is_not_there_is_no_page(client: Browser, desk: Desk, address: str) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    answer = client.post(address) if "cancel" in address else client.get(address)
    assert answer.status_code == 404


@pytest.mark.parametrize("act", ["cancel", "retry"])
def test_reading_an_acts_address_does_nothing(
    client: Browser, desk: Desk, job: Job, act: str
) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    assert client.get(f"/jobs/{job.pk}/{act}/").status_code == 405
    assert now_is(job).state == "waiting"


# --- The day's cycle ------------------------------------------------------------------------------


@pytest.fixture
def add_step(desk: Desk) -> Callable[[str, dict[str, object]], BusinessDay]:
    """Write a step of 6 February as done."""

    def add(step: str, outcome: dict[str, object]) -> BusinessDay:
        with acting(Actor.command("test"), reason="A step for a test"):
            day, _ = BusinessDay.objects.get_or_create(
                legal_entity=desk.entity,
                day=date(2018, 2, 6),
                defaults={
                    "as_of": datetime(2018, 2, 6, 21, tzinfo=UTC),
                    "content_sha256": "abc",
                    "folder": "/in/2018-02-06",
                },
            )
            DayStep.objects.create(business_day=day, step=step, outcome=outcome)
        return day

    return add


def test_a_day_that_has_not_begun_has_all_its_steps_before_it() -> None:
    panel = cycle_steps(None)
    assert (panel.done, panel.total, panel.state, panel.job) == (0, len(STEPS), "waiting", None)
    assert {line.state for line in panel.lines} == {"waiting"}


def test_steps_say_what_they_counted_and_the_next_one_how_far_it_is(
    job: Job, add_step: Callable[[str, dict[str, object]], BusinessDay]
) -> None:
    day = add_step("prices", {"price_rows": 24, "rejected": 0, "marks": 8, "valid": 7})
    held(job).heartbeat(done=1, total=len(STEPS), step="Apply events")
    lines = cycle_steps(day).lines
    assert (lines[0].state, lines[0].text) == ("done", "24 rows, 0 rejected")
    assert (lines[1].state, lines[1].job) == ("running", None)
    Job.objects.update(done=30, total=78)
    running = cycle_steps(day).lines[1]
    assert running.job is not None
    assert (running.job.done, running.job.total) == (30, 78)
    assert [line.state for line in lines[2:]] == ["waiting"] * (len(STEPS) - 2)


def test_a_cycle_that_failed_stands_still_at_its_step(
    job: Job, add_step: Callable[[str, dict[str, object]], BusinessDay]
) -> None:
    add_step("prices", {"price_rows": 1, "rejected": 1, "marks": 8, "valid": 7})
    day = add_step("events", {"applied": 73, "refused": 5})
    held(job).fail("The disk is full.", for_good=True)
    panel = cycle_steps(day)
    assert panel.state == "failed"
    assert panel.lines[0].text == "1 row, 1 rejected"
    assert panel.lines[1].text == "73 of 78, 5 refused"
    assert (panel.lines[2].state, panel.lines[2].text) == ("stopped", "Failed")


# --- For programs ---------------------------------------------------------------------------------


def read_jobs(operator: Operator, **asked: str) -> Response:
    """What the API's list answers this operator."""
    request = APIRequestFactory().get("/api/jobs/", asked)
    force_authenticate(request, operator)
    request.roles, request.operator = roles_of(operator), operator
    request.legal_entity = LegalEntity.objects.get()
    return JobViewSet.as_view({"get": "list"})(request)


def test_programs_read_jobs_and_narrow_them_by_state(desk: Desk, job: Job) -> None:
    held(a_job("2018-02-05")).finish({"business_day": "2018-02-05"})
    everything = read_jobs(desk[Role.AUDITOR]).data["results"]
    assert [each["state"] for each in everything] == ["done", "waiting"]
    assert everything[0]["outcome"] == {"business_day": "2018-02-05"}
    waiting = read_jobs(desk[Role.AUDITOR], state="waiting").data["results"]
    assert [each["title"] for each in waiting] == ["The day's cycle, 2018-02-06"]


def test_programs_without_the_right_read_no_jobs(desk: Desk, job: Job) -> None:
    assert read_jobs(desk[Role.ADMINISTRATOR]).status_code == 403
