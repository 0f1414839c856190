"""`manage.py load_market FILE --json`: market data beside prices, out of one CSV file."""

import sys
from json import dumps
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from accounts.audit import Actor
from brokerage.inbox.files import read_file
from brokerage.inbox.refusal import FolderRefusedError
from margin.market.rows import MarketFileRefusedError, load_market


class Command(BaseCommand):
    """Keeps volatilities, rates, volumes and the like as they came; again changes nothing."""

    help = "Load volatilities, rates, volumes, open interest, depth, funding and confidences."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="the result as one JSON object")

    def handle(self, *args: object, file: Path, json: bool, **options: object) -> None:
        try:
            data = read_file(file, name=file.name, size_limit=settings.INBOX_FILE_SIZE_MAX)
            loaded = load_market(data, actor=Actor.command("load_market"))
        except (FolderRefusedError, MarketFileRefusedError) as refused:
            is_named = isinstance(refused, FolderRefusedError)
            self.stderr.write(str(refused) if is_named else f"{file.name} {refused}")
            sys.exit(2)
        said = {
            "file": file.name,
            "sha256": loaded.file_sha256,
            "rows": loaded.rows,
            "added": loaded.added,
        }
        if json:
            self.stdout.write(dumps(said, indent=2))
            return
        self.stdout.write(f"{file.name}: {loaded.rows} rows, {loaded.added} added.")
