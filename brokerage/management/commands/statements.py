"""`manage.py statements --period 2031-03 --out FOLDER`: clients' statements as files."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from accounts.audit import Actor, acting
from accounts.exports import exported
from accounts.models import LegalEntity
from brokerage.client_statements import (
    WRITERS,
    StatementRefusedError,
    WrittenStatement,
    clients_of,
    keep,
    period_of,
    point_for,
    write_statement,
)
from brokerage.client_statements.everybody import every_statement, totals_of, totals_row
from ledger.times import ReadingPoint, TimeRefusedError, parsed_instant


class Command(BaseCommand):
    """Writes statements with a manifest; exit 1 where they do not come to what pools owe."""

    help = "Write clients' statements of a day or a month, as PDF and CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--period", required=True, help="2031-03-04 or 2031-03")
        parser.add_argument("--client", default="", help="one client's code; all if missing")
        parser.add_argument("--legal-entity", default="", help="its code, where there are several")
        parser.add_argument("--known-at", default="", help="only what was known then")
        parser.add_argument("--out", required=True, help="folder to write to")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            said = self._write(**options)
        except (StatementRefusedError, TimeRefusedError) as refused:
            self.stderr.write(str(refused))
            sys.exit(2)
        if options["json"]:
            self.stdout.write(json.dumps(said, indent=1))
        else:
            self.stdout.write(f"{len(said['files'])} files of {said['period']} in {said['out']}")
            for row in said["totals"]:
                self.stdout.write(
                    f"{row['pool']} {row['asset']}, {row['of']}: statements {row['statements']},"
                    f" pool {row['pool_owes']}, difference {row['difference']}"
                )
        if not said["is_whole"]:
            sys.exit(1)

    def _write(self, **options: str) -> dict[str, Any]:
        period, entity = period_of(options["period"]), legal_entity(options["legal_entity"])
        known_at = parsed_instant(options["known_at"]) if options["known_at"] else None
        codes = [options["client"]] if options["client"] else None
        clients = clients_of(entity, codes=codes)
        point = point_for(known_at)
        files: list[dict[str, Any]] = []
        folder = Path(options["out"])
        if codes is None:
            for _done, _total, some in every_statement(entity, period, point=point):
                files += self._put(folder, some, period.code)
        else:
            some = [
                write_statement(client, period, file_format=form, point=point)
                for client in clients
                for form in WRITERS
            ]
            files += self._put(folder, some, period.code)
        rows = [] if codes else self._totals(entity, options["period"], point)
        said = {
            "period": period.code,
            "out": str(folder),
            "files": files,
            "totals": rows,
            "is_whole": all(row["is_whole"] for row in rows),
        }
        write(folder / "manifest.json", (json.dumps(said, indent=1) + "\n").encode())
        return said

    def _put(
        self, folder: Path, files: list[WrittenStatement], period: str
    ) -> list[dict[str, Any]]:
        for each in files:
            write(folder / each.file_name, each.content)
        with acting(Actor.command("statements"), reason=f"Statements of {period}"):
            keep(files)
        return [{"file": each.file_name, **each.manifest} for each in files]

    def _totals(self, entity: LegalEntity, code: str, point: ReadingPoint) -> list[dict[str, Any]]:
        rows = totals_of(entity, period_of(code), clients=clients_of(entity), point=point)
        said = [exported(totals_row(row)) for row in rows]
        return [row for row in said if isinstance(row, dict)]


def legal_entity(code: str) -> LegalEntity:
    """The legal entity of this code, or the only one.

    Raises:
        StatementRefusedError: there is none, or there are several and none is named.
    """
    found = list(LegalEntity.objects.filter(code=code) if code else LegalEntity.objects.all())
    if len(found) != 1:
        raise StatementRefusedError(
            f"{code!r} is no legal entity."
            if code
            else "Name the legal entity: there are several."
            if found
            else "There is no legal entity yet."
        )
    return found[0]


def write(path: Path, content: bytes) -> None:
    """Write a file, with the folder it lies in.

    Raises:
        StatementRefusedError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StatementRefusedError(f"{path} cannot be written: {error.strerror}.") from error
