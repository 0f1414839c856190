"""One day folder through the whole day, in the foreground."""

import sys
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor
from brokerage.inbox.cycle import check_day
from brokerage.inbox.folder import DayFolder
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.job_kinds import INBOX_DAY, inbox_day_key
from brokerage.jobs import place_job, retry_job
from brokerage.models import BusinessDay, Job
from brokerage.worker import run_job_here


class Command(BaseCommand):
    help = "Run one day's folder; reference.yaml beside it opens the book on first use."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--inbox", required=True, type=Path, metavar="DAY", help="the folder")
        parser.add_argument(
            "--as-of", type=datetime.fromisoformat, metavar="ISO",
            help="the instant the day is measured at, with its zone; default: the firm's",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="the result as one JSON object")

    def handle(
        self, *args: object, inbox: Path, as_of: datetime | None, json: bool, **options: object
    ) -> None:
        if as_of is not None and as_of.tzinfo is None:
            raise CommandError("--as-of needs its zone, as in 2018-02-06T21:00:00Z.", returncode=2)
        as_of = as_of and as_of.astimezone(UTC)
        try:
            folder = check_day(inbox, as_of=as_of)
            result = closed_result(folder) or run_here(folder, as_of=as_of)
        except FolderRefusedError as refusal:
            self.stderr.write(str(refusal))
            sys.exit(2)
        if json:
            self.stdout.write(dumps(result, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(summary(result))


def run_here(folder: DayFolder, *, as_of: datetime | None) -> dict[str, Any]:
    """Do the day's job in this process, or wait for the worker that is at it.

    Raises:
        CommandError: the day did not come to its end; the sentence says why.
    """
    day = folder.business_day.isoformat()
    key = inbox_day_key(day, content=folder.content_sha256, as_of=as_of)
    arguments = {
        "folder": str(folder.path),
        "as_of": None if as_of is None else as_of.isoformat(),
    }
    job = place_job(INBOX_DAY, key=key, arguments=arguments)
    if job.state in (Job.State.FAILED, Job.State.CANCELLED):
        retry_job(job.pk, actor=Actor.command("cycle"))
        job.refresh_from_db()
    job = run_job_here(job, arguments)
    result = closed_result(folder)
    if result is None:
        raise CommandError(job.error or f"The day {day} was cancelled before its end.")
    return result


def closed_result(folder: DayFolder) -> dict[str, Any] | None:
    """The result of a day that was run to its end."""
    day = BusinessDay.objects.filter(day=folder.business_day, closed_at__isnull=False).first()
    return None if day is None else day.result


def summary(result: dict[str, Any]) -> str:
    """A few lines for people."""
    totals = result["control_totals"]
    states = ", ".join(f"{count} {state}" for state, count in totals["states"].items())
    return "\n".join(
        [
            f"{result['business_day']} is done, as of {result['as_of']}.",
            f"Applied: {totals['trades_applied']} trades, {totals['transfers_applied']} transfers;"
            f" {totals['events_rejected']} events and {totals['rejected_rows']} rows refused.",
            f"Scopes: {states}.",
            f"Calls: {totals['calls']} for {totals['call_amount_usd']} USD."
            f" Breaks: {totals['breaks']}.",
        ]
    )
