"""`manage.py screenshots`: pictures of the ten main screens, into `docs/screens`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokerage import screenshots
from brokerage.benchmarks.scratch import BenchmarkRefusedError, is_scratch, run_in_scratch


class Command(BaseCommand):
    help = (
        "Take pictures of the ten main screens of the demo firm in light and dark, in a cluster "
        "made for it and removed after. Needs Chromium and the development requirements."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to", type=Path, default=Path(settings.ROOT) / "docs" / "screens", metavar="FOLDER"
        )

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - argparse's
        folder: Path = options["to"].absolute()
        try:
            if not is_scratch():
                self.stdout.write(run_in_scratch("screenshots", "--to", str(folder)), ending="")
                return
            for path in screenshots.take(folder):
                self.stdout.write(f"{path.name}: {path.stat().st_size // 1000} kB")
        except (screenshots.ScreenshotsError, BenchmarkRefusedError) as refused:
            raise CommandError(str(refused), returncode=2) from refused
