"""The inbox folder watched: the next day folder that came to rest becomes a job."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

from brokerage.inbox.cycle import check_day
from brokerage.inbox.day_job import day_key
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.job_kinds import INBOX_DAY
from brokerage.jobs import ask_for_job
from brokerage.models import BusinessDay, Job
from ledger.statements.rows import parse_time

# Files that were just written may not be whole yet.
AT_REST_AFTER = timedelta(seconds=30)


def ask_for_next_day(inbox: Path, *, now: datetime) -> Job | None:
    """Ask for the first day in the folder that has not been run; None if there is nothing to do.

    Days go one after the other, so nothing is asked for while one waits or runs, or while the
    first in line is still being written. A folder that is refused is asked for too, once per
    content: its job fails with the sentence that says why, where people see it.
    """
    unended = Job.objects.filter(name=INBOX_DAY, state__in=[Job.State.WAITING, Job.State.RUNNING])
    folder = _first_unrun(inbox)
    if folder is None or unended.exists() or not _is_at_rest(folder, now=now):
        return None
    try:
        content = check_day(folder).content_sha256
    except FolderRefusedError as refusal:
        content = "refused-" + hashlib.sha256(str(refusal).encode()).hexdigest()
    return ask_for_job(
        INBOX_DAY,
        key=day_key(folder.name, content=content),
        arguments={"folder": str(folder)},
    )


def _first_unrun(inbox: Path) -> Path | None:
    """The earliest day folder behind the last day that was closed."""
    closed = BusinessDay.objects.filter(closed_at__isnull=False).order_by("-day").first()
    folders = sorted(
        folder
        for folder in inbox.iterdir()
        if folder.is_dir() and parse_time(f"{folder.name}T00:00:00Z") is not None
    )
    behind = (f for f in folders if closed is None or f.name > closed.day.isoformat())
    return next(behind, None)


def _is_at_rest(folder: Path, *, now: datetime) -> bool:
    newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    return newest <= (now - AT_REST_AFTER).timestamp()
