"""A day as a job: its key, and running it here and now under the same row a worker would hold."""

from datetime import datetime
from pathlib import Path
from typing import Any

from accounts.audit import Actor
from brokerage.inbox.cycle import check_day
from brokerage.inbox.folder import DayFolder
from brokerage.job_kinds import INBOX_DAY
from brokerage.jobs import place_job, retry_job
from brokerage.models import BusinessDay, Job
from brokerage.worker import run_job_here


class DayStoppedError(Exception):
    """The day did not come to its end; the message says why."""


def day_key(business_day: str, *, content: str, as_of: datetime | None = None) -> str:
    """The key of the job that runs a day: the same content is the same job.

    Args:
        business_day: the folder's name.
        content: the hash of the folder's files, or what stands for it.
        as_of: the instant, where the caller gives another than the firm's usual one.
    """
    key = f"{INBOX_DAY}:{business_day}:{content}"
    return key if as_of is None else f"{key}:{as_of:%H:%M:%S%z}"


def run_day_here(folder: Path, *, as_of: datetime | None = None) -> dict[str, Any]:
    """Run a day in this process, or wait for the worker that is at it; returns its result.

    A day that was run before gives its result again.

    Raises:
        FolderRefusedError: the folder cannot be run; nothing was written, not even a job.
        DayStoppedError: it began and was not finished.
    """
    day_folder = check_day(folder, as_of=as_of)
    result = _closed_result(day_folder)
    if result is not None:
        return result
    day = day_folder.business_day.isoformat()
    arguments = {
        "folder": str(day_folder.path),
        "as_of": None if as_of is None else as_of.isoformat(),
    }
    key = day_key(day, content=day_folder.content_sha256, as_of=as_of)
    job = place_job(INBOX_DAY, key=key, arguments=arguments)
    if job.state in (Job.State.FAILED, Job.State.CANCELLED):
        retry_job(job.pk, actor=Actor.command("cycle"))
        job.refresh_from_db()
    job = run_job_here(job, arguments)
    result = _closed_result(day_folder)
    if result is None:
        raise DayStoppedError(job.error or f"The day {day} was cancelled before its end.")
    return result


def _closed_result(folder: DayFolder) -> dict[str, Any] | None:
    """The result of a day that was run to its end."""
    day = BusinessDay.objects.filter(day=folder.business_day, closed_at__isnull=False).first()
    return None if day is None else day.result
