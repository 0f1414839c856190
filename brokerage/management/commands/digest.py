"""One sha256 per business table, over what the rows say and not over when and how they came."""

import json

from django.core.management.base import BaseCommand, CommandParser

from brokerage.digest import digest


class Command(BaseCommand):
    help = "Hash every business table; equal databases give equal hashes, whatever their ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: object, **options: object) -> None:
        found = digest()
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        for table, said in found["tables"].items():
            self.stdout.write(f"{said['sha256']}  {table} ({said['rows']} rows)")
        self.stdout.write(f"{found['digest']}  all")
        names = ", ".join(found["left_out"]["tables"])
        self.stdout.write(f"Left out (the reasons are in --json): {names}.")
