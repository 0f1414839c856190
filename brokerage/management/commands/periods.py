"""`manage.py periods [--close DATE --reason TEXT]`: what is closed, and closing more."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts.audit import Actor, RefusedError
from accounts.models import LegalEntity
from ledger.api_times import period_json
from ledger.periods import close_period, closed_through, history
from ledger.times import TimeRefusedError, parsed_date

ACTOR = Actor.command("periods")


class Command(BaseCommand):
    """Lists closings and reopenings; closes with --close. Reopening takes two people on screen."""

    help = "List closed periods, or close everything through a business date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--close", default="", help="close through this date, YYYY-MM-DD")
        parser.add_argument("--list", action="store_true", help="list them, which is the default")
        parser.add_argument("--reason", default="", help="why it is closed")
        parser.add_argument("--entity", default="", help="code of the legal entity, if several")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        try:
            entity = self._entity(options["entity"])
            if options["close"]:
                through = parsed_date(options["close"])
                close_period(entity.pk, through=through, reason=options["reason"], actor=ACTOR)
        except (TimeRefusedError, RefusedError) as refused:
            self.stderr.write(f"{str(refused).rstrip('.')}. Nothing was closed.")
            sys.exit(2)
        self._say(entity, is_json=options["json"])

    def _entity(self, code: str) -> LegalEntity:
        found = LegalEntity.objects.filter(**({"code": code} if code else {}))
        if len(found) != 1:
            raise RefusedError("period_has_its_firm", "name one legal entity with --entity CODE")
        return found[0]

    def _say(self, entity: LegalEntity, *, is_json: bool) -> None:
        if is_json:
            self.stdout.write(json.dumps(period_json(entity)))
            return
        self.stdout.write(f"{entity.code}: closed through {closed_through(entity.pk) or 'no day'}")
        for turn in history(entity.pk):
            event = turn.event
            self.stdout.write(
                f"{event.number} {event.recorded_at:%Y-%m-%d %H:%M} UTC {event.event},"
                f" now through {event.closed_through or 'no day'}, {turn.by}: {event.reason}"
            )
