"""The whole book into one file, while people and jobs work on."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.backup import BackupRefusedError, take_backup


class Command(BaseCommand):
    help = "Write the whole book, and what it needs besides, into one file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", type=Path, nargs="?", help="where to; var/backups/... if it is not said"
        )

    def handle(self, *args: object, **options: object) -> None:
        file = options["file"]
        assert file is None or isinstance(file, Path)
        try:
            taken = take_backup(file)
        except BackupRefusedError as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        self.stdout.write(f"The backup is {taken.file} ({taken.size / 1e6:.1f} MB).")
        self.stdout.write("It holds the secrets of this installation: keep it where they may be.")
