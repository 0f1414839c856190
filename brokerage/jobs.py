"""Jobs: work that outlives a request, asked for once by its key and held by a lease.

The row is the truth. A message only says "look again", so one that is lost is sent again by the
sweep, and one that comes twice finds the job held or done.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from psycopg_pool import PoolTimeout

from accounts.audit import Actor, acting
from accounts.fields import ClockTime
from accounts.models import Operator, Role
from accounts.news import announce
from brokerage.celery import app
from brokerage.job_kinds import JOB_KINDS, JobKind
from brokerage.models import BusinessDay, Job
from margin.models import Task
from margin.worklist import Needed, close_tasks, open_tasks

RUN_TASK = "brokerage.tasks.run_job"
# A message that nobody took for so long is worthless: the sweep has sent another.
MESSAGE_LIVES_FOR = timedelta(seconds=60)
DISPATCH_AGAIN_AFTER = timedelta(seconds=20)
SWEEP_JOBS_MAX = 500
PAUSE_MAX = timedelta(seconds=60)
ERROR_LENGTH_MAX = 2_000
TASK_DUE_AFTER = timedelta(hours=4)

logger = logging.getLogger(__name__)


class LostLeaseError(Exception):
    """Somebody else holds the job now, or it has ended; nothing of it is ours to write."""


class JobStateError(Exception):
    """A person asked for what the job's state does not allow; the message is for people."""


# --- Asking ---------------------------------------------------------------------------------------


def ask_for_job(
    name: str, *, key: str, arguments: Mapping[str, Any], asked_by: Operator | None = None
) -> Job:
    """The job with this key, made and sent to a worker if it is new."""
    job, is_new = _place_job(name, key=key, arguments=arguments, asked_by=asked_by)
    if is_new:
        transaction.on_commit(lambda: dispatch(job.pk))
        _announce()
    return job


def place_job(name: str, *, key: str, arguments: Mapping[str, Any]) -> Job:
    """The job with this key, for a caller who runs it at once."""
    return _place_job(name, key=key, arguments=arguments, asked_by=None)[0]


def _place_job(
    name: str, *, key: str, arguments: Mapping[str, Any], asked_by: Operator | None
) -> tuple[Job, bool]:
    assert name in JOB_KINDS, f"there is no kind of job called {name}"
    content = {"name": name, "arguments": dict(arguments), "asked_by": asked_by}
    return Job.objects.get_or_create(key=key, defaults=content)


def dispatch(job_id: int) -> None:
    """Tell the workers to look at a job. A broker that does not answer delays it, no more."""
    try:
        app.send_task(RUN_TASK, [job_id], expires=MESSAGE_LIVES_FOR.total_seconds(), retry=False)
    except (BrokerError, PoolTimeout, psycopg.Error, OSError) as error:
        logger.warning("Job %s waits for the sweep, the broker does not answer: %s", job_id, error)


# --- Holding --------------------------------------------------------------------------------------


def claim_job(job_id: int) -> "Lease | None":
    """Take a job that waits or whose holder gave no sign of life; None if it is not to be had."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None or job.name not in JOB_KINDS:
        return None
    kind = JOB_KINDS[job.name]
    token = uuid4()
    taken = _free().filter(
        pk=job_id, cancel_requested_at__isnull=True, attempt__lt=kind.attempts_max
    )
    if not taken.update(
        state=Job.State.RUNNING,
        lease_token=token,
        lease_until=_after(kind.lease_for),
        attempt=F("attempt") + 1,
        started_at=ClockTime(),
        heartbeat_at=ClockTime(),
        step="",
        done=0,
        total=0,
        left_for=None,
    ):
        return None
    job.refresh_from_db()
    _announce()
    return Lease(job.pk, job.name, token, job.attempt, job.arguments)


@dataclass(frozen=True)
class Lease:
    """The right to work on a job, good as long as its token is the job's."""

    job_id: int
    name: str
    token: UUID
    attempt: int
    arguments: Mapping[str, Any]

    @property
    def kind(self) -> JobKind:
        return JOB_KINDS[self.name]

    def heartbeat(
        self, *, done: int, total: int, step: str, left_for: timedelta | None = None
    ) -> bool:
        """Renew the lease and say how far the work is; returns whether to cancel it.

        Args:
            done, total: parts of the step.
            left_for: how long the step will still take, where that can be told.

        Raises:
            LostLeaseError: the lease ran out and another worker took the job.
        """
        self._write(
            heartbeat_at=ClockTime(),
            lease_until=_after(self.kind.lease_for),
            done=done,
            total=total,
            step=step,
            left_for=left_for,
        )
        asked = Job.objects.filter(pk=self.job_id, cancel_requested_at__isnull=False)
        return asked.exists()

    def finish(self, outcome: dict[str, Any]) -> None:
        """The work is done; a task that an earlier failure opened is closed.

        Raises:
            LostLeaseError: another worker took the job.
        """
        if not Task.objects.filter(_task_of(self.job_id), closed_at__isnull=True).exists():
            self._end(Job.State.DONE, outcome=outcome, error="")
            _announce(*self.kind.topics)
            return
        with acting(Actor.job(self.name), reason=f"Job {self.job_id} is done after all"):
            self._end(Job.State.DONE, outcome=outcome, error="")
            _close_task(self.job_id, reason="The job was run again and is done")
        _announce(*self.kind.topics)

    def fail(self, error: str, *, for_good: bool) -> None:
        """An attempt failed: the job waits for the next one, or it has failed for good.

        Args:
            error: one sentence for people.
            for_good: whether no further attempt can mend it.

        Raises:
            LostLeaseError: another worker took the job.
        """
        if for_good or self.attempt >= self.kind.attempts_max:
            with acting(Actor.job(self.name), reason=f"Job {self.job_id} failed"):
                self._end(Job.State.FAILED, error=error[:ERROR_LENGTH_MAX])
                _open_task(Job.objects.get(pk=self.job_id))
            return
        pause = min(timedelta(seconds=2**self.attempt), PAUSE_MAX)
        self._write(
            state=Job.State.WAITING,
            lease_token=None,
            lease_until=_after(pause),
            error=error[:ERROR_LENGTH_MAX],
        )
        _announce()

    def cancel(self) -> None:
        """The work was broken off because somebody asked for it.

        Raises:
            LostLeaseError: another worker took the job.
        """
        self._end(Job.State.CANCELLED)

    def _end(self, state: Job.State, **changes: object) -> None:
        self._write(state=state, ended_at=ClockTime(), lease_until=None, **changes)
        _announce()

    def _write(self, **changes: object) -> None:
        ours = Job.objects.filter(pk=self.job_id, state=Job.State.RUNNING, lease_token=self.token)
        if not ours.update(**changes):
            raise LostLeaseError(f"job {self.job_id} is no longer held by this worker")


def _free() -> QuerySet[Job]:
    """Jobs that nobody holds and that are not pausing after a failure."""
    unended = Q(state__in=[Job.State.WAITING, Job.State.RUNNING])
    return Job.objects.filter(unended).filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=ClockTime())
    )


def _announce(*topics: str) -> None:
    """Tell open pages, once it is committed, that jobs changed and what they brought."""
    transaction.on_commit(lambda: announce("jobs", *topics))


def _after(span: timedelta) -> Combinable:
    """The database's clock so long from now; the clocks of workers decide nothing."""
    return ExpressionWrapper(ClockTime() + Value(span), output_field=DateTimeField())


# --- What people do with jobs ---------------------------------------------------------------------


def cancel_job(job_id: int, *, actor: Actor) -> None:
    """Cancel a job: at once when it waits, at its next report when it runs.

    Raises:
        JobStateError: the job has ended.
    """
    with acting(actor, reason=f"Cancel job {job_id}"):
        _announce()
        job = Job.objects.filter(pk=job_id)
        waiting = job.filter(state=Job.State.WAITING)
        if waiting.update(
            state=Job.State.CANCELLED, ended_at=ClockTime(), cancel_requested_at=ClockTime()
        ):
            return
        running = job.filter(state=Job.State.RUNNING)
        if not running.update(cancel_requested_at=ClockTime()):
            raise JobStateError("Not cancelled: the job has ended.")


def retry_job(job_id: int, *, actor: Actor) -> None:
    """Let a job that failed or was cancelled begin anew, with all its attempts.

    Raises:
        JobStateError: the job waits, runs or is done.
    """
    with acting(actor, reason=f"Run job {job_id} again") as operator_id:
        ended = Job.objects.filter(pk=job_id, state__in=[Job.State.FAILED, Job.State.CANCELLED])
        if not ended.update(
            state=Job.State.WAITING,
            asked_by=operator_id,
            attempt=0,
            lease_token=None,
            lease_until=None,
            dispatched_at=ClockTime(),
            ended_at=None,
            cancel_requested_at=None,
            error="",
        ):
            raise JobStateError("Not started: only a job that failed or was cancelled runs again.")
        transaction.on_commit(lambda: dispatch(job_id))
        _announce()


# --- The sweep ------------------------------------------------------------------------------------


def sweep_jobs() -> int:
    """Mend what messages and workers lost; returns how many jobs were sent to workers again.

    A job whose message was lost or whose worker died is sent again; one that was cancelled while
    its worker was dead ends, and so does one whose workers died at every attempt.
    """
    _end_cancelled()
    for job in _free().filter(state=Job.State.RUNNING):
        if job.name in JOB_KINDS and job.attempt >= JOB_KINDS[job.name].attempts_max:
            _give_up(job)
    overdue = Q(dispatched_at__lt=F("lease_until")) | Q(
        dispatched_at__lt=_after(-DISPATCH_AGAIN_AFTER)
    )
    with transaction.atomic():
        unsent = _free().filter(overdue, name__in=JOB_KINDS).order_by("pk")
        ids = list(
            unsent.select_for_update(skip_locked=True).values_list("pk", flat=True)[:SWEEP_JOBS_MAX]
        )
        Job.objects.filter(pk__in=ids).update(dispatched_at=ClockTime())
    for job_id in ids:
        dispatch(job_id)
    return len(ids)


def _end_cancelled() -> None:
    _free().filter(cancel_requested_at__isnull=False).update(
        state=Job.State.CANCELLED, ended_at=ClockTime(), lease_until=None
    )


def _give_up(job: Job) -> None:
    """A job that took its worker along at every attempt would take the next one too."""
    with acting(Actor.job(job.name), reason=f"Job {job.pk} failed"):
        if (
            _free()
            .filter(pk=job.pk, attempt=job.attempt)
            .update(
                state=Job.State.FAILED,
                ended_at=ClockTime(),
                lease_until=None,
                error=f"The worker died at each of {job.attempt} attempts.",
            )
        ):
            job.refresh_from_db()
            _open_task(job)


# --- Tasks for people -----------------------------------------------------------------------------


def _task_of(job_id: int) -> Q:
    return Q(kind=Task.Kind.JOB, key=f"job:{job_id}")


def _open_task(job: Job) -> None:
    now = timezone.now()
    newest = BusinessDay.objects.order_by("-day").values_list("day", flat=True).first()
    needed = Needed(
        kind=Task.Kind.JOB,
        key=f"job:{job.pk}",
        subject=f"{JOB_KINDS[job.name].title} failed",
        detail=job.error,
        due_at=now + TASK_DUE_AFTER,
        owner_role=Role.OPERATIONS,
    )
    open_tasks([needed], business_day=newest or now.date(), at=now)


def _close_task(job_id: int, *, reason: str) -> None:
    others = Task.objects.filter(kind=Task.Kind.JOB, closed_at__isnull=True).exclude(
        _task_of(job_id)
    )
    close_tasks(
        Task.Kind.JOB,
        still_needed=set(others.values_list("key", flat=True)),
        at=timezone.now(),
        reason=reason,
    )
