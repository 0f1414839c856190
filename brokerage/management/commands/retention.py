"""`manage.py retention --json`: what may go, what must go, what must stay."""

import sys
from datetime import date
from json import dumps
from pathlib import Path

from django.core.management.base import BaseCommand, CommandParser

from accounts.audit import Actor
from accounts.erasure import CannotEraseError, destroyed_keys, erase_again, publish_destroyed
from accounts.retention import report
from brokerage.purge import purge


class Command(BaseCommand):
    """Reports retention; purges and repeats erasures where asked to."""

    help = "Say what may go and what must stay; let go what is past its latest date."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--on", type=date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--purge", action="store_true", help="let go what must be gone by now")
        parser.add_argument(
            "--erase-again", type=Path, metavar="FILE",
            help="on a restored book: erase whom this list of destroyed keys names",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="the result as one JSON object")

    def handle(
        self,
        *args: object,
        on: date | None,
        purge: bool,
        erase_again: Path | None,
        json: bool,
        **options: object,
    ) -> None:
        result = report(on=on)
        result["listed_outside"] = publish_destroyed()
        if erase_again is not None:
            result["erased_again"] = self._erase_again(erase_again)
        if purge:
            result |= let_go()
        if json:
            self.stdout.write(dumps(result, indent=2))
            return
        for firm in result["legal_entities"]:
            counts = ", ".join(
                f"{count} {verdict.replace('_', ' ')}" for verdict, count in firm["counts"].items()
            )
            self.stdout.write(f"{firm['legal_entity']}: clients {counts}.")
        for record, count in result.get("gone", {}).items():
            self.stdout.write(f"{record.replace('_', ' ')}: {count} gone.")

    def _erase_again(self, path: Path) -> int:
        try:
            if not path.is_file():
                raise CannotEraseError(f"{path}: there is no such file.")
            return erase_again(destroyed_keys(path), actor=Actor.command("restore"))
        except CannotEraseError as refused:
            self.stderr.write(str(refused))
            sys.exit(2)


def let_go() -> dict[str, object]:
    """The purge, as this command."""
    return purge(actor=Actor.command("retention"))
