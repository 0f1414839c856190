"""`manage.py checkpoints`: takes those that are due now, and says what there are."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts.audit import Actor
from ledger.checkpoints import keep_checkpoints
from ledger.models import Checkpoint

ACTOR = Actor.command("checkpoints")


class Command(BaseCommand):
    """They are taken every few minutes by themselves; after an upgrade this takes them at once."""

    help = "Keep the balances of past moments, so that they are read without the history."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        taken = keep_checkpoints(actor=ACTOR)
        newest = Checkpoint.objects.order_by("below").only("below", "postings").last()
        said = {
            "taken": taken,
            "checkpoints": Checkpoint.objects.count(),
            "below": None if newest is None else newest.below,
            "postings": 0 if newest is None else newest.postings,
        }
        if options["json"]:
            self.stdout.write(json.dumps(said))
            return
        self.stdout.write(
            f"{said['taken']} taken now, {said['checkpoints']} in all,"
            f" of {said['postings']} postings."
        )
