"""One day folder through the whole day, in the foreground."""

import sys
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.inbox.day_job import DayStoppedError, run_day_here
from brokerage.inbox.refusal import FolderRefusedError


class Command(BaseCommand):
    help = "Run one day's folder; reference.yaml beside it opens the book on first use."
    requires_system_checks = ()

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
            result = run_day_here(inbox, as_of=as_of)
        except FolderRefusedError as refusal:
            self.stderr.write(str(refusal))
            sys.exit(2)
        except DayStoppedError as stop:
            raise CommandError(str(stop)) from stop
        if json:
            self.stdout.write(dumps(result, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(summary(result))


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
