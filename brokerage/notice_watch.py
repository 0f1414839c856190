"""Asks for the job that delivers notices, while any are due."""

from typing import Final

from django.utils import timezone

from brokerage.job_kinds import NOTICES
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from margin.notices.deliveries import due_deliveries
from margin.notices.plan import untold

OPEN: Final = (Job.State.WAITING, Job.State.RUNNING)


def ask_for_notices() -> Job | None:
    """The job that delivers what is due; one at a time, None while nothing is due."""
    now = timezone.now()
    if not due_deliveries(now).exists() and not untold().exists():
        return None
    running = Job.objects.filter(name=NOTICES, state__in=OPEN).order_by("-pk").first()
    if running is not None:
        return running
    return ask_for_job(NOTICES, key=f"{NOTICES}:{now.isoformat()}", arguments={})
