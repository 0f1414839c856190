"""The guards of the database, compared with this version's, or pinned for it."""

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts.guards import changed_guards, event_trigger_is_on, pin_guards


class Command(BaseCommand):
    help = "Compare the guards of the book with those of this version; exit 1 if one differs."

    def add_arguments(self, parser: CommandParser) -> None:
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--check", action="store_true", help="compare (the default)")
        choice.add_argument(
            "--pin", action="store_true", help="write accounts/guards.json from a fresh database"
        )

    def handle(self, *args: object, **options: object) -> None:
        with connection.cursor() as cursor:
            if options["pin"]:
                self.stdout.write(f"{pin_guards(cursor)} guards are pinned.")
                return
            changed = changed_guards(cursor)
            is_on = event_trigger_is_on(cursor)
        for line in changed:
            self.stdout.write(line)
        if changed:
            raise CommandError(f"{len(changed)} guards differ.", returncode=1)
        also = (
            "and the server keeps them on" if is_on else "but the server would let them be changed"
        )
        self.stdout.write(f"All guards are as they must be, {also}.")
