"""`manage.py prices FILE --json`: prices of an instant inside a day, out of one CSV file."""

import sys
from datetime import UTC, datetime
from json import dumps
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor, RefusedError
from brokerage.inbox.files import read_file
from brokerage.inbox.price_files import PriceFileRefusedError
from brokerage.inbox.price_watch import hand_in
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.models import Job
from brokerage.worker import run_job_here


class Command(BaseCommand):
    help = "Take prices inside a day, in the columns of a day's prices, and margin what they touch."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--as-of", type=datetime.fromisoformat, metavar="ISO",
            help="the instant of the marks, with its zone; default: now",
        )  # fmt: skip
        parser.add_argument(
            "--here", action="store_true", help="margin in this process and wait for it"
        )
        parser.add_argument("--json", action="store_true", help="what was taken as one JSON object")

    def handle(
        self, *args: object, file: Path, as_of: datetime | None, here: bool, json: bool,
        **options: object,
    ) -> None:  # fmt: skip
        if as_of is not None and as_of.tzinfo is None:
            raise CommandError("--as-of needs its zone, as in 2018-02-06T15:00:00Z.", returncode=2)
        try:
            content = read_file(file, name=file.name, size_limit=settings.INBOX_FILE_SIZE_MAX)
            taken, job = hand_in(
                content,
                name=file.name,
                actor=Actor.command("prices"),
                as_of=as_of and as_of.astimezone(UTC),
            )
        except (FolderRefusedError, PriceFileRefusedError, RefusedError) as refusal:
            self.stderr.write(str(refusal))
            sys.exit(2)
        if here:
            job = run_job_here(job, job.arguments)
            if job.state != Job.State.DONE:
                raise CommandError(f"Taken, and not margined: {job.error}")
        said = taken.as_json() | {"job": job.pk, "state": job.state, "margin": job.outcome}
        if json:
            self.stdout.write(dumps(said, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(summary(said))


def summary(said: dict[str, object]) -> str:
    """A few lines for people."""
    taken = "Taken" if said["is_new"] else "Taken before"
    rejected = said["rejected"]
    assert isinstance(rejected, list)
    return (
        f"{taken}: {said['rows']} rows, {len(rejected)} rejected; {said['valid']} of"
        f" {said['marks']} marks are valid as of {said['as_of']}.\n"
        f"Job {said['job']} is {said['state']}."
    )
