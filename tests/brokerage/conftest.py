"""Fixtures of jobs."""

from collections.abc import Callable

import pytest

from brokerage import jobs
from brokerage.job_kinds import JOB_KINDS, JobKind
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from tests.brokerage.counting import COUNT, RefusedWorkError, Work


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """Say what the kind of job of these tests does."""

    def set_work(work: Work) -> None:
        kind = JobKind(title="Count", run=work, attempts_max=3, refusals=(RefusedWorkError,))
        monkeypatch.setitem(JOB_KINDS, COUNT, kind)

    set_work(lambda arguments, progress: {"counted": arguments["upto"]})
    return set_work


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the jobs that workers were told of."""
    ids: list[int] = []
    monkeypatch.setattr(jobs, "dispatch", ids.append)
    return ids


@pytest.fixture
def job(db: None, works: object, sent: list[int]) -> Job:
    """A job that waits."""
    asked = ask_for_job(COUNT, key="count:1", arguments={"upto": 3})
    sent.clear()
    return asked
