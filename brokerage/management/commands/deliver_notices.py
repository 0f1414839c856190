"""Deliver the notices that are due, in this process."""

from json import dumps

from django.core.management.base import BaseCommand, CommandParser

from margin.notices.deliveries import deliver_due


class Command(BaseCommand):
    help = "Plan the notices that are to go and attempt those that are due."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: object, json: bool, **options: object) -> None:
        done = deliver_due()
        if json:
            self.stdout.write(dumps(done._asdict()))
            return
        self.stdout.write(
            f"{done.planned} planned, {done.sent} delivered, {done.failed} not delivered,"
            f" {done.dropped} dropped."
        )
