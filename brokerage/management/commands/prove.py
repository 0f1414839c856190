"""`manage.py prove ENTRY --out FILE`: a proof that an entry is sealed, to be checked anywhere."""

import json
import shutil
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.seals.proof import ProofRefusedError, prove

VERIFIER = Path("docs", "offline", "verify_proof.py")


class Command(BaseCommand):
    """Writes one proof, and on request the stand-alone script beside it."""

    help = "Prove that an entry stands in sealed history, for somebody who has no database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "entry",
            metavar="ENTRY",
            nargs="?",
            help="id or key of an entry, or table/key of any sealed row",
        )
        parser.add_argument("--out", type=Path, help="file to write; without it, print")
        parser.add_argument(
            "--up-to", type=int, help="number of a later block whose head the proof shall end in"
        )
        parser.add_argument(
            "--verifier", type=Path, help="file to write the stand-alone verifying script to"
        )

    def handle(self, *args: object, **options: object) -> None:
        entry, out, up_to = options["entry"], options["out"], options["up_to"]
        verifier = options["verifier"]
        if entry is None and verifier is None:
            raise CommandError("Name an entry.", returncode=2)
        try:
            if isinstance(verifier, Path):
                shutil.copyfile(settings.ROOT / VERIFIER, verifier)
                self.stderr.write(f"The verifying script is in {verifier}.")
            if isinstance(entry, str):
                assert up_to is None or isinstance(up_to, int)
                self._write(prove(entry, up_to=up_to), out if isinstance(out, Path) else None)
        except ProofRefusedError as refused:
            raise CommandError(str(refused), returncode=1) from refused
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error

    def _write(self, proof: dict[str, object], out: Path | None) -> None:
        text = json.dumps(proof, indent=1)
        if out is None:
            self.stdout.write(text)
            return
        out.write_text(text + "\n")
        self.stderr.write(f"The proof of {proof['table']} {proof['key']} is in {out}.")
