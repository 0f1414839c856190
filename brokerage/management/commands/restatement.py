"""`manage.py restatement --as-of D --from T1 --to T2 --json`: what became known of a date."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from brokerage.restatement import Restatement, as_json, restatement
from ledger.times import TimeRefusedError, parsed_date, parsed_instant


class Command(BaseCommand):
    """Lists late entries and the cells of every report that they moved."""

    help = (
        "Compare what was known of a business date at two times, entry by entry and cell by cell."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--as-of", required=True, help="business date, YYYY-MM-DD")
        parser.add_argument("--from", dest="earlier", required=True, help="known at this time")
        parser.add_argument(
            "--to", dest="later", default="", help="and at this one; now if missing"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            found = restatement(
                as_of=parsed_date(options["as_of"]),
                earlier=parsed_instant(options["earlier"]),
                later=parsed_instant(options["later"]) if options["later"] else None,
            )
        except TimeRefusedError as refused:
            self.stderr.write(str(refused))
            sys.exit(2)
        if options["json"]:
            self.stdout.write(json.dumps(as_json(found)))
        else:
            self._say(found)

    def _say(self, found: Restatement) -> None:
        self.stdout.write(f"{len(found.entries)} late entries, {found.cell_count} cells moved")
        for entry in found.entries:
            when = f"{entry.effective_at:%Y-%m-%d %H:%M:%S}"
            self.stdout.write(f"entry {entry.entry_id} {entry.kind} {entry.reference}, {when} UTC")
        for diff in found.diffs:
            for moved in diff.cells:
                row = " ".join(str(value) for value in moved.cell.key.values if value)
                by = ", ".join(str(entry) for entry in moved.moved_by) or "no entry"
                self.stdout.write(
                    f"{diff.report.name}: {row}, {moved.cell.column}:"
                    f" {moved.before} -> {moved.after}, by {by}"
                )
        for name, reason in found.left_out.items():
            self.stdout.write(f"{name} left out: {reason}")
