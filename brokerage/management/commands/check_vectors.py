"""Published cases against the engine; exit 1 if one is not matched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from django.core.management.base import BaseCommand, CommandParser

from margin.published.checked import FileReport, Mismatch, as_json, check_path, totals


class Command(BaseCommand):
    help = (
        "Compute published cases with the engine and compare; exit 1 if one is not matched, of "
        "an unknown kind, or cannot be read. Needs no database."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", type=Path, nargs="+", help="a file of cases, or a folder with *.json of them"
        )
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: object) -> None:
        paths = cast("list[Path]", options["path"])
        reports = [report for path in paths for report in check_path(path)]
        if options["json"]:
            said = {"files": [as_json(report) for report in reports], "total": totals(reports)}
            self.stdout.write(json.dumps(said, indent=2, allow_nan=False))
        else:
            self._tell(reports)
        if not all(report.is_matched for report in reports):
            raise SystemExit(1)

    def _tell(self, reports: list[FileReport]) -> None:
        for line in _table(reports):
            # Names in a file may hold what no terminal shows.
            self.stdout.write(line.encode("ascii", "backslashreplace").decode())


def _table(reports: list[FileReport]) -> Iterator[str]:
    width = max(len("total"), *(len(report.file) for report in reports))
    columns = ("cases", "matched", "mismatched", "unsupported")
    yield "  ".join(["file".ljust(width), *columns])
    for report in reports:
        counts = [getattr(report, name) for name in columns]
        yield _row(report.file, counts, columns=columns, width=width)
        if report.error is not None:
            yield f"    {report.error}"
        for mismatch in report.mismatches:
            yield f"    {_told(mismatch)}"
    total = totals(reports)
    yield _row("total", [total[n] for n in columns], columns=columns, width=width)
    if total["unreadable"]:
        yield f"{total['unreadable']} could not be read."


def _row(name: str, counts: list[int], *, columns: tuple[str, ...], width: int) -> str:
    cells = [str(count).rjust(len(column)) for count, column in zip(counts, columns, strict=True)]
    return "  ".join([name.ljust(width), *cells])


def _told(mismatch: Mismatch) -> str:
    if mismatch.reason is not None:
        return f"{mismatch.id}: {mismatch.reason}"
    figures = [
        f"{name} is {mismatch.got[name]!r}, expected {expected!r}"
        for name, expected in mismatch.expected.items()
    ]
    return f"{mismatch.id}: {'; '.join(figures)}"
