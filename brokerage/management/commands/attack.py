"""Every statement that the book must refuse, tried; exit 1 if one is not refused by its rule."""

import json

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage.attacks import AttackReport, attack
from brokerage.attacks.scratch import AttackRefusedError


class Command(BaseCommand):
    help = (
        "Try every forbidden statement against a scratch copy of the database; exit 1 if one of "
        "them is not refused by its rule. The database itself is only read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: object) -> None:
        try:
            report = attack()
        except AttackRefusedError as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self._tell(report)
        if not report.is_sound:
            raise SystemExit(1)

    def _tell(self, report: AttackReport) -> None:
        for each in report.accepted:
            self.stdout.write(f"ACCEPTED  {each.rule}: {each.says}, as {each.who}")
        for each, why in report.broken:
            self.stdout.write(f"BROKEN    {each.rule}: {each.says}, as {each.who}: {why}")
        self.stdout.write(
            f"{report.total} attacks on {len(report.refused)} rules: {report.refused.total()} "
            f"refused by their rule, {len(report.accepted)} accepted, {len(report.broken)} broken."
        )
