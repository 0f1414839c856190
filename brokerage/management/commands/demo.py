"""`manage.py demo`: load the demo firm into an empty database."""

from django.core.management.base import BaseCommand, CommandError

from brokerage import demo
from brokerage.models import BusinessDay


class Command(BaseCommand):
    """Loads the demo firm, once."""

    help = "Load the demo firm (synthetic) into an empty database."

    def handle(self, *args: object, **options: object) -> None:
        if BusinessDay.objects.exists():
            raise CommandError("The book is not empty; the demo firm was not loaded.")
        demo.load()
        for line in demo.sign_ins():
            self.stdout.write(line)
