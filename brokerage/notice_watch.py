"""Asks for the jobs that deliver notices and read what came back, while there is any."""

from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from brokerage.job_kinds import BOUNCES, NOTICES
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from margin.notices.bounces import waiting_files
from margin.notices.deliveries import due_deliveries
from margin.notices.plan import untold

OPEN: Final = (Job.State.WAITING, Job.State.RUNNING)


def ask_for_notices() -> Job | None:
    """The job that delivers what is due; one at a time, None while nothing is due."""
    now = timezone.now()
    if not due_deliveries(now).exists() and not untold().exists():
        return None
    return _one(NOTICES, {})


def ask_for_bounces() -> Job | None:
    """The job that reads what came back; None where no folder is named, or nothing lies in it."""
    if settings.NOTICE_BOUNCES is None:
        return None
    folder = Path(settings.NOTICE_BOUNCES)
    if next(waiting_files(folder), None) is None:
        return None
    return _one(BOUNCES, {"folder": str(folder)})


def _one(name: str, arguments: dict[str, str]) -> Job:
    """The job of this name that is open, or a new one."""
    running = Job.objects.filter(name=name, state__in=OPEN).order_by("-pk").first()
    if running is not None:
        return running
    return ask_for_job(name, key=f"{name}:{timezone.now().isoformat()}", arguments=arguments)
