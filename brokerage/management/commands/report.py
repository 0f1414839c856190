"""`manage.py report NAME --date D --format F --out FILE`: a report and its manifest as files."""

import json
import sys
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from brokerage.reports import CATALOGUE, FORMATS, ReportRefusedError, write_report
from ledger.times import TimeRefusedError, parsed_date, parsed_instant


class Command(BaseCommand):
    """Writes one report; the manifest lies beside it as FILE.manifest.json."""

    help = "Write a report of a closed business day, with its manifest beside it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help=", ".join(CATALOGUE))
        parser.add_argument("--date", required=True, help="business day, YYYY-MM-DD")
        parser.add_argument(
            "--known-at",
            default="",
            help="only what was known then: the newest horizon stored at that time or before",
        )
        parser.add_argument(
            "--as-of", default="", help="another last business date, for reports of the book"
        )
        parser.add_argument("--format", default="csv", help=" or ".join(FORMATS))
        parser.add_argument("--out", required=True, help="file to write")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            self._write(**options)
        except (ReportRefusedError, TimeRefusedError) as refused:
            self.stderr.write(str(refused))
            sys.exit(2)

    def _write(self, **options: str) -> None:
        report = CATALOGUE.get(options["name"])
        if report is None:
            raise ReportRefusedError(
                f"{options['name']!r} is no report; there are {', '.join(CATALOGUE)}."
            )
        try:
            day = date.fromisoformat(options["date"])
        except ValueError as error:
            raise ReportRefusedError(f"{options['date']!r} is no date.") from error
        written = write_report(
            report,
            day=day,
            file_format=options["format"],
            known_at=parsed_instant(options["known_at"]) if options["known_at"] else None,
            as_of=parsed_date(options["as_of"]) if options["as_of"] else None,
        )
        out = Path(options["out"])
        try:
            out.write_bytes(written.content)
            manifest = out.with_name(out.name + ".manifest.json")
            manifest.write_text(json.dumps(written.manifest, indent=1) + "\n")
        except OSError as error:
            raise ReportRefusedError(f"{out} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{out}: {written.manifest['rows']} rows, {written.manifest['sha256']}")
