"""Jobs that are cancelled, started again, lost on the way or held by the dead."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Act
from brokerage import jobs, worker
from brokerage.job_kinds import JOB_KINDS, JobKind, Progress
from brokerage.jobs import (
    JobStateError,
    ask_for_job,
    cancel_job,
    claim_job,
    retry_job,
    sweep_jobs,
)
from brokerage.models import Job
from brokerage.worker import CancelRequestedError, JobProgress, run_job
from margin.models import Task
from tests.brokerage.counting import (
    COUNT,
    LONG_AGO,
    Work,
    change,
    fails,
    held,
    now_is,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("works", "sent")]

DESK = Actor.command("test")


# --- Cancelling and running again -----------------------------------------------------------------


def test_a_waiting_job_is_cancelled_at_once(job: Job) -> None:
    cancel_job(job.pk, actor=DESK)
    assert now_is(job).state == "cancelled"
    assert run_job(job.pk) is False
    assert Act.objects.get(reason=f"Cancel job {job.pk}").actor == DESK.name


def test_a_running_job_stops_at_its_next_report_and_leaves_nothing_half_done(
    job: Job, works: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.01)

    def work(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        cancel_job(job.pk, actor=DESK)
        with transaction.atomic():
            Job.objects.create(name=COUNT, key="half done")
            for n in range(10_000_000):
                progress.report(n, 10_000_000, "Count")
        return {}

    works(work)
    run_job(job.pk)
    assert now_is(job).state == "cancelled"
    assert not Job.objects.filter(key="half done").exists()
    assert Task.objects.count() == 0


def test_long_steps_may_ask_whether_they_are_cancelled(job: Job) -> None:
    progress = JobProgress(held(job))
    assert progress.cancelled is False
    progress.start()
    cancel_job(job.pk, actor=DESK)
    progress.stop()
    assert progress.cancelled is True
    with pytest.raises(CancelRequestedError):
        progress.report(1, 2, "Count")


def test_a_job_that_has_ended_cannot_be_cancelled(job: Job) -> None:
    run_job(job.pk)
    with pytest.raises(JobStateError, match="has ended"):
        cancel_job(job.pk, actor=DESK)
    assert now_is(job).state == "done"
    assert now_is(job).cancel_requested_at is None
    assert not Act.objects.filter(reason=f"Cancel job {job.pk}").exists()


def test_a_failed_job_runs_again_with_all_its_attempts(job: Job, sent: list[int]) -> None:
    held(job).fail("No more.", for_good=True)
    retry_job(job.pk, actor=DESK)
    after = now_is(job)
    assert (after.state, after.attempt, after.error, after.ended_at) == ("waiting", 0, "", None)
    assert sent == [job.pk]
    assert run_job(job.pk) is True


@pytest.mark.parametrize("state", ["waiting", "running", "done"])
def test_a_job_that_has_not_failed_is_not_started_again(
    job: Job, state: str, sent: list[int]
) -> None:
    if state != "waiting":
        lease = held(job)
        if state == "done":
            lease.finish({})
    before = now_is(job)
    with pytest.raises(JobStateError, match="failed or was cancelled"):
        retry_job(job.pk, actor=DESK)
    after = now_is(job)
    assert (after.state, after.attempt, after.lease_token) == (
        before.state, before.attempt, before.lease_token,
    )  # fmt: skip
    assert sent == []


def test_open_pages_hear_of_jobs_once_the_change_is_committed(
    monkeypatch: pytest.MonkeyPatch, works: Callable[[Work], None]
) -> None:
    heard: list[tuple[str, ...]] = []
    monkeypatch.setattr(jobs, "announce", lambda *topics: heard.append(topics))
    kind = JobKind("Count", lambda arguments, progress: {}, topics=("book",))
    monkeypatch.setitem(JOB_KINDS, COUNT, kind)
    with transaction.atomic():
        asked = ask_for_job(COUNT, key="count:1", arguments={})
        assert heard == []
    assert heard == [("jobs",)]
    heard.clear()
    run_job(asked.pk)
    assert heard[0] == ("jobs",)
    assert ("jobs", "book") in heard


# --- The sweep ------------------------------------------------------------------------------------


def test_a_job_whose_message_was_lost_is_sent_again(job: Job, sent: list[int]) -> None:
    assert sweep_jobs() == 0, "it was sent a moment ago"
    change(job, dispatched_at=timezone.now() - timedelta(seconds=21))
    assert sweep_jobs() == 1
    assert sent == [job.pk]
    assert sweep_jobs() == 0, "and not at every sweep"


def test_a_job_whose_worker_died_is_sent_again_when_its_lease_ran_out(
    job: Job, sent: list[int]
) -> None:
    held(job)
    change(job, dispatched_at=timezone.now() - timedelta(seconds=60))
    assert (sweep_jobs(), sent) == (0, [])
    change(job, lease_until=timezone.now() - timedelta(milliseconds=1))
    assert (sweep_jobs(), sent) == (1, [job.pk])
    assert (sweep_jobs(), sent) == (0, [job.pk])


def test_a_failed_attempt_is_sent_again_after_its_pause(
    job: Job, sent: list[int], works: Callable[[Work], None]
) -> None:
    works(fails)
    run_job(job.pk)
    assert (sweep_jobs(), sent) == (0, [])
    change(
        job,
        dispatched_at=timezone.now() - timedelta(seconds=2),
        lease_until=timezone.now() - timedelta(seconds=1),
    )
    assert (sweep_jobs(), sent) == (1, [job.pk])


def test_a_job_that_took_its_worker_along_at_every_attempt_fails(job: Job, sent: list[int]) -> None:
    for _ in range(3):
        held(job)
        change(job, lease_until=LONG_AGO)
    assert claim_job(job.pk) is None
    assert (sweep_jobs(), sent) == (0, [])
    after = now_is(job)
    assert (after.state, after.error) == ("failed", "The worker died at each of 3 attempts.")
    assert Task.objects.get().key == f"job:{job.pk}"


def test_a_job_cancelled_while_its_worker_was_dead_ends_cancelled(
    job: Job, sent: list[int]
) -> None:
    held(job)
    cancel_job(job.pk, actor=DESK)
    sweep_jobs()
    assert now_is(job).state == "running", "its worker may be alive"
    change(job, lease_until=LONG_AGO)
    assert claim_job(job.pk) is None
    sweep_jobs()
    assert (now_is(job).state, sent) == ("cancelled", [])


def test_two_sweeps_at_once_send_a_job_once(job: Job, sent: list[int]) -> None:
    change(job, dispatched_at=LONG_AGO)
    start = threading.Barrier(8)

    def sweep(_: int) -> int:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            return sweep_jobs()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(sweep, range(8))) == 1
    assert sent == [job.pk]


def test_jobs_of_an_unknown_kind_are_left_to_the_release_that_knows_them(sent: list[int]) -> None:
    job = Job.objects.create(name="test.unknown", key="unknown", dispatched_at=LONG_AGO)
    assert (sweep_jobs(), claim_job(job.pk)) == (0, None)
    assert (now_is(job).state, sent) == ("waiting", [])


@pytest.fixture
def counted(works: Callable[[Work], None]) -> list[int]:
    """A list that grows by one at each run of the work."""
    runs: list[int] = []

    def work(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        runs.append(1)
        return {}

    works(work)
    return runs


def test_the_same_message_three_times_at_once_is_one_run(job: Job, counted: list[int]) -> None:
    start = threading.Barrier(3)

    def take(_: int) -> bool:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            return run_job(job.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(take, range(3))) == [False, False, True]
    assert counted == [1]
    assert now_is(job).attempt == 1
