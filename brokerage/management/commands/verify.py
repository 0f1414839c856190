"""The book, the trail, the guards and the seals, recomputed; exit 1 if one row is wrong."""

import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.verify import Report, verify


class Command(BaseCommand):
    help = "Recompute the book, the trail, the guards and the seals; exit 1 if one row is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one object")
        parser.add_argument(
            "--heads", type=Path, help="a copy of the published heads, kept somewhere else"
        )
        parser.add_argument(
            "--full", action="store_true", help="read all of history, however large"
        )

    def handle(self, *args: object, **options: object) -> None:
        heads = options["heads"]
        assert heads is None or isinstance(heads, Path)
        if heads is not None and not heads.is_file():
            raise CommandError(f"There is no file {heads}.", returncode=2)
        report = verify(heads, full=bool(options["full"]))
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self._tell(report)
        if not report.is_sound:
            raise SystemExit(1)

    def _tell(self, report: Report) -> None:
        for check in report.checks:
            state = "sound" if check.is_sound else "WRONG"
            self.stdout.write(f"{state}  {check.name}: {check.rows} rows. {check.detail}".rstrip())
            if check.wrong is not None:
                self.stdout.write(
                    f"       {check.wrong.table} {check.wrong.key}: {check.wrong.detail}"
                )
        self.stdout.write(
            f"Sealed up to block {report.sealed_to_block}; {report.unsealed_rows} rows are younger."
        )
        for said in (report.scope.not_read_again(), *report.seals.alarms()):
            if said:
                self.stdout.write(said)
