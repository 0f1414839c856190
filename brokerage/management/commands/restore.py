"""A backup into an empty place: proved, and sealed on in a new epoch."""

import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.seals import SealRefusedError
from brokerage.backup import BackupRefusedError, restore_backup


class Command(BaseCommand):
    help = "Restore a backup into an empty place (BROKERAGE_VAR), prove it and seal on."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: object) -> None:
        file = options["file"]
        assert isinstance(file, Path)
        try:
            restored = restore_backup(file)
        except (BackupRefusedError, SealRefusedError) as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        if options["json"]:
            self.stdout.write(json.dumps(restored._asdict()))
        elif restored.is_sound:
            self.stdout.write(
                f"The book of {restored.made_at} is restored and sound; seals go on in epoch "
                f"{restored.epoch}. `make run` starts it."
            )
        if not restored.is_sound:
            raise CommandError(
                f"The book of {restored.made_at} is restored and NOT sound: {restored.detail}",
                returncode=1,
            )
