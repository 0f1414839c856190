"""Jobs: asked for once, held by one, lost by nobody."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Act
from brokerage import jobs, worker
from brokerage.job_kinds import JOB_KINDS, JobKind, Progress
from brokerage.jobs import (
    JobStateError,
    Lease,
    LostLeaseError,
    ask_for_job,
    cancel_job,
    claim_job,
    retry_job,
    sweep_jobs,
)
from brokerage.models import Job
from brokerage.worker import CancelRequestedError, JobProgress, News, run_job
from margin.models import Task

pytestmark = pytest.mark.django_db

COUNT = "test.count"
DESK = Actor.command("test")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

Work = Callable[[Mapping[str, Any], Progress], dict[str, Any]]


class RefusedWorkError(Exception):
    """What no further attempt mends."""


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """Say what the kind of job of these tests does."""

    def set_work(work: Work) -> None:
        kind = JobKind(title="Count", run=work, attempts_max=3, refusals=(RefusedWorkError,))
        monkeypatch.setitem(JOB_KINDS, COUNT, kind)

    set_work(lambda arguments, progress: {"counted": arguments["upto"]})
    return set_work


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch, works: object) -> list[int]:
    """The ids of the jobs that workers were told of."""
    ids: list[int] = []
    monkeypatch.setattr(jobs, "dispatch", ids.append)
    return ids


@pytest.fixture
def job(sent: list[int]) -> Job:
    """A job that waits."""
    asked = ask_for_job(COUNT, key="count:1", arguments={"upto": 3})
    sent.clear()
    return asked


def held(job: Job) -> Lease:
    lease = claim_job(job.pk)
    assert lease is not None
    return lease


def change(job: Job, **values: object) -> None:
    assert Job.objects.filter(pk=job.pk).update(**values) == 1


def now_is(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


# --- Asking ---------------------------------------------------------------------------------------


def test_asking_again_with_the_same_key_gives_the_same_job(sent: list[int]) -> None:
    first = ask_for_job(COUNT, key="count:1", arguments={"upto": 3})
    again = ask_for_job(COUNT, key="count:1", arguments={"upto": 4})
    assert (first.pk, again.arguments) == (again.pk, {"upto": 3})
    assert Job.objects.count() == 1
    assert sent == [first.pk]


def test_a_job_is_sent_only_when_its_row_is_there_for_good(sent: list[int]) -> None:
    with transaction.atomic():
        asked = ask_for_job(COUNT, key="count:1", arguments={})
        assert sent == []
    assert sent == [asked.pk]


def test_a_job_asked_for_in_a_transaction_that_fails_is_neither_kept_nor_sent(
    sent: list[int],
) -> None:
    def ask_and_fail() -> None:
        with transaction.atomic():
            ask_for_job(COUNT, key="count:1", arguments={})
            raise ValueError("something else went wrong")

    with pytest.raises(ValueError, match="something else"):
        ask_and_fail()
    assert (Job.objects.count(), sent) == (0, [])


def test_a_broker_that_does_not_answer_only_delays_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.undo()
    monkeypatch.setattr(jobs.app, "send_task", refuse)
    monkeypatch.setitem(JOB_KINDS, COUNT, JobKind("Count", lambda arguments, progress: {}))
    assert ask_for_job(COUNT, key="count:1", arguments={}).state == "waiting"


# --- Holding --------------------------------------------------------------------------------------


def test_fifty_workers_claim_one_job_and_exactly_one_gets_it(job: Job) -> None:
    start = threading.Barrier(50)

    def claim(_: int) -> Lease | None:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            return claim_job(job.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        leases = [lease for lease in pool.map(claim, range(50)) if lease is not None]
    assert len(leases) == 1
    after = now_is(job)
    assert (after.state, after.attempt, after.lease_token) == ("running", 1, leases[0].token)


def test_a_job_that_runs_or_has_ended_cannot_be_claimed(job: Job) -> None:
    lease = held(job)
    assert claim_job(job.pk) is None
    lease.finish({"counted": 3})
    assert claim_job(job.pk) is None
    assert now_is(job).attempt == 1


def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_can_write_nothing(
    job: Job,
) -> None:
    first = held(job)
    change(job, lease_until=LONG_AGO)
    second = held(job)
    assert second.attempt == 2
    for write in (
        lambda: first.heartbeat(done=1, total=3, step="Count"),
        lambda: first.finish({"counted": 1}),
        lambda: first.fail("No more.", for_good=True),
        first.cancel,
    ):
        with pytest.raises(LostLeaseError):
            write()
    after = now_is(job)
    assert (after.state, after.lease_token, after.done) == ("running", second.token, 0)
    assert Task.objects.count() == 0
    second.finish({"counted": 3})
    assert now_is(job).outcome == {"counted": 3}


def test_a_heartbeat_renews_the_lease_and_says_how_far_the_work_is(job: Job) -> None:
    lease = held(job)
    change(job, lease_until=timezone.now() + timedelta(seconds=1))
    assert lease.heartbeat(done=1, total=3, step="Count") is False
    first = now_is(job)
    assert (first.done, first.total, first.step) == (1, 3, "Count")
    assert first.lease_until is not None
    assert first.lease_until > timezone.now() + timedelta(seconds=10)
    lease.heartbeat(done=2, total=3, step="Count", left_for=timedelta(seconds=4))
    assert now_is(job).left_for == timedelta(seconds=4)


def test_what_is_left_follows_from_the_pace_since_the_step_began() -> None:
    first = News(10, 60, "Count")
    assert News(10, 60, "Count").left_for(first, after=5.0) is None
    assert News(20, 60, "Count").left_for(first, after=5.0) == timedelta(seconds=20)
    assert News(60, 60, "Count").left_for(first, after=5.0) == timedelta(0)
    assert News(2, 6, "Write").left_for(first, after=5.0) is None


def test_the_work_writes_into_its_transaction_while_the_lease_is_renewed_beside_it(
    job: Job, works: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.01)
    seen = threading.Event()

    def watch_the_row() -> None:
        while Job.objects.get(pk=job.pk).done != 2:
            pass
        seen.set()
        connection.close()

    def work(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        with transaction.atomic():
            Job.objects.create(name=COUNT, key="written in between")
            progress.report(2, 3, "Count")
            threading.Thread(target=watch_the_row).start()
            assert seen.wait(30), "the report was not seen outside"
            assert Job.objects.count() == 2
        return {}

    works(work)
    assert run_job(job.pk) is True
    after = now_is(job)
    assert (after.state, after.done, after.total, after.step) == ("done", 2, 3, "Count")


def test_work_whose_lease_was_lost_is_broken_off_at_its_next_report(
    job: Job, works: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.01)
    other = uuid4()

    def work(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        change(job, lease_token=other)
        with transaction.atomic():
            Job.objects.create(name=COUNT, key="written by the loser")
            for n in range(10_000_000):
                progress.report(n, 10_000_000, "Count")
        return {}

    works(work)
    run_job(job.pk)
    after = now_is(job)
    assert (after.state, after.lease_token, after.outcome) == ("running", other, None)
    assert not Job.objects.filter(key="written by the loser").exists()


# --- Ends -----------------------------------------------------------------------------------------


def test_a_job_that_is_done_keeps_its_outcome(job: Job) -> None:
    assert run_job(job.pk) is True
    after = now_is(job)
    assert (after.state, after.outcome, after.error) == ("done", {"counted": 3}, "")
    assert after.started_at is not None
    assert after.ended_at is not None
    assert after.started_at <= after.ended_at
    assert run_job(job.pk) is False


def fails(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    raise ValueError("three is not four")


def test_a_failed_attempt_waits_before_the_next_one(
    job: Job, works: Callable[[Work], None]
) -> None:
    works(fails)
    run_job(job.pk)
    after = now_is(job)
    assert (after.state, after.attempt, after.error) == (
        "waiting", 1, "ValueError: three is not four",
    )  # fmt: skip
    assert claim_job(job.pk) is None, "it pauses"
    assert Task.objects.count() == 0
    change(job, lease_until=LONG_AGO)
    assert held(job).attempt == 2


def test_a_job_that_failed_at_every_attempt_becomes_a_task_for_a_person(
    job: Job, works: Callable[[Work], None]
) -> None:
    works(fails)
    for _ in range(3):
        assert run_job(job.pk) is True
        change(job, lease_until=None)
    after = now_is(job)
    assert (after.state, after.attempt) == ("failed", 3)
    assert run_job(job.pk) is False
    task = Task.objects.get()
    assert (task.kind, task.key, task.subject, task.detail, task.owner_role) == (
        "job", f"job:{job.pk}", "Count failed", "ValueError: three is not four", "operations",
    )  # fmt: skip
    assert Act.objects.get(reason=f"Job {job.pk} failed").actor == "system:job:test.count"


def test_work_that_is_refused_is_not_tried_again(job: Job, works: Callable[[Work], None]) -> None:
    def refuses(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        raise RefusedWorkError("prices.csv is missing.")

    works(refuses)
    run_job(job.pk)
    after = now_is(job)
    assert (after.state, after.attempt, after.error) == ("failed", 1, "prices.csv is missing.")
    assert Task.objects.get().detail == "prices.csv is missing."


def test_the_task_of_a_failed_job_closes_when_the_job_is_done_after_all(
    job: Job, works: Callable[[Work], None]
) -> None:
    held(job).fail("No more.", for_good=True)
    other = ask_for_job(COUNT, key="count:2", arguments={"upto": 3})
    held(other).fail("No more.", for_good=True)
    retry_job(job.pk, actor=DESK)
    run_job(job.pk)
    assert now_is(job).state == "done"
    assert Task.objects.get(closed_at__isnull=True).key == f"job:{other.pk}"


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
