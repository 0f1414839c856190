"""Hand in that a notice came back."""

import re
from json import dumps
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor, RefusedError
from margin.models import Delivery
from margin.notices.acts import mark_bounced

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Command(BaseCommand):
    help = "Record that a delivered notice came back; somebody is asked to reach the client."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("notice", metavar="ID", help="a delivery, or the Message-ID it bore")
        parser.add_argument("--reason", required=True, help="what came back, without the address")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(
        self, *args: object, notice: str, reason: str, json: bool, **options: object
    ) -> None:
        found = ID.search(notice)
        if found is None:
            raise CommandError(f"{notice!r} names no delivery.", returncode=2)
        try:
            held = mark_bounced(UUID(found[0]), words=reason, actor=Actor.command("bounce"))
        except Delivery.DoesNotExist as unknown:
            raise CommandError(f"There is no delivery {found[0]}.", returncode=2) from unknown
        except RefusedError as refused:
            raise CommandError(f"Not recorded: {refused.detail}.", returncode=2) from refused
        said = {"delivery": str(held.pk), "state": str(held.state)}
        self.stdout.write(dumps(said) if json else f"{held.pk} is {held.state}.")
