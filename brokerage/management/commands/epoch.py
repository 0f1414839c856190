"""`manage.py epoch --reason TEXT`: take the chain of seals up on a restored or moved book."""

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import SealEpoch
from accounts.seals import SealRefusedError
from accounts.seals.epochs import begin_epoch

CAUSES = [cause.value for cause in SealEpoch.Cause if cause is not SealEpoch.Cause.FIRST]


class Command(BaseCommand):
    """Begins an epoch, for books that were restored or moved by other means than `restore`."""

    help = "Take the chain of seals up on a restored or moved book, and say so where heads go."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why, for the trail")
        parser.add_argument("--cause", choices=CAUSES, default=CAUSES[0])
        parser.add_argument(
            "--new-key", action="store_true", help="the old key is lost; let a new one sign"
        )

    def handle(self, *args: object, **options: object) -> None:
        try:
            epoch = begin_epoch(
                str(options["reason"]),
                cause=SealEpoch.Cause(str(options["cause"])),
                may_make_key=bool(options["new_key"]),
            )
        except SealRefusedError as refused:
            raise CommandError(f"{refused}.", returncode=1) from refused
        lost = sum(one["number"] - one["after"] for one in epoch.given_up)
        self.stdout.write(
            f"Epoch {epoch.number} goes on from block {epoch.after_number};"
            f" {lost} published blocks are given up."
        )
