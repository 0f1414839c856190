"""Say what becomes of options that are over, and settle them when asked."""

import json
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.audit import Actor, acting
from brokerage.expiry import plan_expiry, settle_expired
from brokerage.inbox.daybook import read_day_book
from margin.models import Mark


class Command(BaseCommand):
    """Preview, or settle with --apply, at the newest marks; the same function decides both."""

    help = "Options that are over: what each holder is paid, and what waits."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="settle what can be settled")
        parser.add_argument("--json", action="store_true", help="print one object")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        newest = Mark.objects.order_by("-as_of").first()
        if newest is None:
            raise CommandError("There are no marks yet; a day's files bring them.", returncode=2)
        as_of = newest.as_of
        day = as_of.astimezone(UTC).date()
        if options["apply"]:
            with acting(Actor.command("expire_options"), reason=f"Options over on {day}"):
                plan = settle_expired(day=day, as_of=as_of)
        else:
            with transaction.atomic():
                plan = plan_expiry(read_day_book(day), as_of=as_of)
        if options["json"]:
            self.stdout.write(json.dumps(plan.as_json()))
            return
        for each in plan.settlements:
            self.stdout.write(
                f"{each.bucket.account} {each.bucket.code}: {each.quantity:f} {each.code}"
                f" at {each.pays:f}: {each.cash:f} USD"
            )
        for waits in plan.waiting:
            self.stdout.write(f"{waits.key} waits: {waits.why}")
