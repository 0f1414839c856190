"""At work on a job: its lease is kept alive beside the work, and its end is written down."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, connection, connections

from accounts.news import announce
from brokerage.database.slow import at_work_for
from brokerage.jobs import Lease, LostLeaseError, claim_job
from brokerage.models import Job

BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.2
ENDED = (Job.State.DONE, Job.State.FAILED, Job.State.CANCELLED)

logger = logging.getLogger(__name__)


class CancelRequestedError(Exception):
    """Somebody asked for the job to be cancelled; the step that reports is broken off."""


class News(NamedTuple):
    """How far a step is."""

    done: int
    total: int
    step: str

    def goes_on_from(self, earlier: "News") -> bool:
        """Whether this is about the same step."""
        is_same = (self.total, self.step) == (earlier.total, earlier.step)
        return is_same and self.done >= earlier.done

    def left_for(self, first: "News", *, after: float) -> timedelta | None:
        """How long the rest will take at the pace since `first`; None before a part was done."""
        if not self.goes_on_from(first) or self.done == first.done:
            return None
        per_part = after / (self.done - first.done)
        return timedelta(seconds=per_part * (self.total - self.done))


class JobProgress:
    """What the work reports to and asks; a thread beside it renews the lease.

    The thread has a connection of its own: the work's connection may be inside a transaction, and
    what that writes nobody sees before it ends.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._news = News(0, 0, "")
        self._since = (time.monotonic(), self._news)
        self._announced = self._news
        self._is_lost = False
        self._is_cancelled = False
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name=f"lease of job {lease.job_id}", daemon=True
        )

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the job to be cancelled; as of the last beat."""
        return self._is_cancelled

    def report(self, done: int, total: int, step: str) -> None:
        """Say how far the work is.

        Raises:
            CancelRequestedError: somebody asked for the job to be cancelled.
            LostLeaseError: another worker took the job.
        """
        self._news = News(done, total, step)
        if not self._news.goes_on_from(self._since[1]):
            self._since = (time.monotonic(), self._news)
        if self._is_lost:
            raise LostLeaseError(f"job {self._lease.job_id} is no longer held by this worker")
        if self._is_cancelled:
            raise CancelRequestedError(f"job {self._lease.job_id} was cancelled")

    def start(self) -> None:
        """Begin to renew the lease."""
        self._thread.start()

    def stop(self) -> None:
        """End the renewals, and keep the last news."""
        self._ended.set()
        self._thread.join()
        if not self._is_lost:
            self._renew()

    def _beat(self) -> None:
        try:
            while not self._is_lost and not self._ended.wait(BEAT_SECONDS):
                self._renew()
        finally:
            connections.close_all()  # those of this thread

    def _renew(self) -> None:
        done, total, step = news = self._news
        began, first = self._since
        left_for = news.left_for(first, after=time.monotonic() - began)
        try:
            self._is_cancelled = self._lease.heartbeat(
                done=done, total=total, step=step, left_for=left_for
            )
            if news != self._announced:
                announce("jobs")
                self._announced = news
        except LostLeaseError:
            self._is_lost = True
        except (DatabaseError, InterfaceError) as error:
            # The database may be back before the lease runs out; if not, another worker goes on.
            logger.warning("Job %s: its lease was not renewed: %s", self._lease.job_id, error)
            connection.close()


@contextmanager
def lease_kept(lease: Lease) -> Iterator[JobProgress]:
    """Keep a lease alive while the work inside runs."""
    progress = JobProgress(lease)
    progress.start()
    try:
        yield progress
    finally:
        progress.stop()


def run_job(job_id: int) -> bool:
    """Claim a job and do it; returns whether it was to be had. Its end stands in its row."""
    lease = claim_job(job_id)
    if lease is None:
        return False
    try:
        _work(lease, lease.arguments)
    except LostLeaseError as loss:
        logger.warning("%s", loss)
    return True


def run_job_here(job: Job, arguments: Mapping[str, Any]) -> Job:
    """Do a job in this process, or wait for the worker that holds it; returns the job after it.

    An attempt of ours that failed leaves the job to the workers, so it may not have ended.

    Args:
        job: the job.
        arguments: those of this caller, which mean the same work as the job's own.
    """
    while job.state not in ENDED:
        lease = claim_job(job.pk)
        if lease is not None:
            _work(lease, arguments)
            job.refresh_from_db()
            return job
        time.sleep(LOOK_SECONDS)
        job.refresh_from_db()
    return job


def _work(lease: Lease, arguments: Mapping[str, Any]) -> None:
    """Do the work of a held job and write down how it ended.

    Whatever goes wrong becomes a state that people see, so no exception leaves but a lost lease.
    """
    try:
        with at_work_for(f"job: {lease.kind.title}"), lease_kept(lease) as progress:
            outcome = lease.kind.run(arguments, progress)
    except CancelRequestedError:
        lease.cancel()
    except LostLeaseError:
        raise
    except lease.kind.refusals as refusal:
        lease.fail(str(refusal), for_good=True)
    except Exception as error:
        logger.exception("Job %s failed at attempt %s", lease.job_id, lease.attempt)
        lease.fail(f"{type(error).__name__}: {error}", for_good=False)
    else:
        lease.finish(outcome)
