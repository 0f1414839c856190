"""Keep a small book of the schema of this checkout, for later versions to bring forward.

    .venv/bin/python -m tests.history.make_archive 0.2

The book is a small demo firm with its people, days, calls and requests; its last day of files is
left for the version that comes. An archive that is there is never made again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).with_name("schemas")
LEFT_OUT = ("postgres", "sockets", "run", "demo", "logs")
MAKE = """
import shutil
from pathlib import Path
from accounts.seals import seal_history
from brokerage import demo
from brokerage.synthetic import write_firm
from django.conf import settings
from django.utils import timezone

folder, last = Path(settings.VAR) / "demo" / "inbox", Path(settings.VAR) / "next"
days = demo._business_days(demo.DAYS, before=timezone.now().date())
write_firm(folder, accounts=40, seed=11, first_day=days[0], days=demo.DAYS + 1, profile=demo.DEMO)
newest = max(path for path in folder.iterdir() if path.is_dir())
shutil.move(newest, last / newest.name)
shutil.copy(folder / "reference.yaml", last / "reference.yaml")
demo.load()
seal_history()
"""


def main() -> None:
    """Make the book, dump it and pack what belongs to it."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("version")
    archive = SCHEMAS / f"{words.parse_args().version}.tar.xz"
    if archive.exists():
        raise SystemExit(f"{archive} is kept as it is.")
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        place = Path(name)
        place.chmod(0o711)
        keep(place, place / "book")
        with tarfile.open(archive, "w:xz") as packed:
            for part in sorted((place / "book").iterdir()):
                packed.add(part, part.name)
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size} bytes")  # noqa: T201


def keep(place: Path, book: Path) -> None:
    """Run the small firm in ``place`` and lay down in ``book`` what an archive holds."""
    var = place / "var"
    environment = os.environ | {"BROKERAGE_VAR": str(var)}

    def manage(*words: str, feed: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT, env=environment, input=feed, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout

    book.mkdir()
    manage("setup")
    manage("shell", "--no-imports", feed=MAKE)
    if '"sound": true' not in manage("verify", "--json"):
        raise SystemExit("The book is not sound.")
    (book / "digest.json").write_text(manage("digest", "--json"))
    (book / "dump.sql").write_bytes(_dump(var))
    shutil.move(var / "next", book / "inbox")
    (book / "var").mkdir()
    for part in var.iterdir():
        if not part.name.startswith(LEFT_OUT) and not part.is_socket():
            move = shutil.copytree if part.is_dir() else shutil.copy2
            move(part, book / "var" / part.name)


def _dump(var: Path) -> bytes:
    sys.path.insert(0, str(ROOT))
    from brokerage.postgres import SUPERUSER, Server, binaries

    server = Server(var)
    server.start()
    try:
        address = server.conninfo(user=SUPERUSER, dbname="brokerage")
        done = subprocess.run(
            [binaries() / "pg_dump", "-d", address], capture_output=True, check=True
        )
    finally:
        server.stop()
    return done.stdout


if __name__ == "__main__":
    main()
