"""Jobs: asked for once, held by one, and ended for people to see."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
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
    Lease,
    LostLeaseError,
    ask_for_job,
    claim_job,
    retry_job,
)
from brokerage.models import Job
from brokerage.worker import News, run_job
from margin.models import Task
from tests.brokerage.counting import (
    COUNT,
    LONG_AGO,
    RefusedWorkError,
    Work,
    change,
    fails,
    held,
    now_is,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("works", "sent")]


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
    retry_job(job.pk, actor=Actor.command("test"))
    run_job(job.pk)
    assert now_is(job).state == "done"
    assert Task.objects.get(closed_at__isnull=True).key == f"job:{other.pk}"
