"""One kind of job and what tests do with its jobs."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from brokerage.job_kinds import Progress
from brokerage.jobs import Lease, claim_job
from brokerage.models import Job

COUNT = "test.count"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

Work = Callable[[Mapping[str, Any], Progress], dict[str, Any]]


class RefusedWorkError(Exception):
    """What no further attempt mends."""


def fails(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Work that never comes to its end."""
    raise ValueError("three is not four")


def held(job: Job) -> Lease:
    lease = claim_job(job.pk)
    assert lease is not None
    return lease


def change(job: Job, **values: object) -> None:
    assert Job.objects.filter(pk=job.pk).update(**values) == 1


def now_is(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)
