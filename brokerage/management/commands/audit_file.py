"""`manage.py audit_file --to FILE`: the algorithm audit file, or whether one is what it was."""

from argparse import ArgumentParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from brokerage.audit_file import audit_file, audit_file_faults, signed_by


class Command(BaseCommand):
    help = "Write inventory, decisions, validation and change history of all models as one ZIP."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--to", type=Path, metavar="FILE", help="file to write")
        what.add_argument("--check", type=Path, metavar="FILE", help="a file that was taken out")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            if options["check"] is not None:
                self._check(options["check"])
            else:
                self._write(options["to"])
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error

    def _write(self, path: Path) -> None:
        content = audit_file()
        path.write_bytes(content)
        self.stdout.write(f"{path}: {len(content)} bytes, {sha256(content).hexdigest()}")

    def _check(self, path: Path) -> None:
        content = path.read_bytes()
        faults = audit_file_faults(content)
        if faults:
            raise CommandError("\n".join(faults), returncode=1)
        self.stdout.write(f"{path} is what was taken out, signed by {signed_by(content)}.")
