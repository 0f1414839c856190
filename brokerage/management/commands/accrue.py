"""`manage.py accrue --on DATE --json`: interest of every day up to a date, in the foreground."""

import sys
from datetime import date
from json import dumps

from django.core.management.base import BaseCommand, CommandParser

from accounts.audit import RefusedError
from brokerage.interest import accrue_all, preview_all
from ledger.accrual import AccrualRefusedError


class Command(BaseCommand):
    """Accrues and posts interest; running it again changes nothing."""

    help = "Accrue interest of every day up to a date and post it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--on", required=True, type=date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument(
            "--preview", action="store_true", help="what it comes to; nothing moves"
        )
        parser.add_argument("--json", action="store_true", help="the result as one JSON object")

    def handle(self, *args: object, on: date, preview: bool, json: bool, **options: object) -> None:
        try:
            result = preview_all(on=on) if preview else accrue_all(on=on)
        except (AccrualRefusedError, RefusedError) as refused:
            self.stderr.write(str(refused))
            sys.exit(2)
        if json:
            self.stdout.write(dumps(result, indent=2))
            return
        for firm in result["legal_entities"]:
            days = ", ".join(firm["days"]) or "no day"
            self.stdout.write(
                f"{firm['legal_entity']}: {days}; {firm['accounts']} accounts,"
                f" {firm['entries']} entries."
            )
