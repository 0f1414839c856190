"""Price files on their way in: taken, and the scopes they touch asked to be margined again."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from accounts.audit import Actor
from accounts.models import Operator
from brokerage.inbox.files import read_file
from brokerage.inbox.price_files import Taken, take_prices
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.job_kinds import PRICES_FILE, REMARGIN
from brokerage.jobs import ask_for_job
from brokerage.models import Job
from margin.calls.held_back import must_be_issued
from margin.models import PriceFile

# Beside the days in the inbox; a day folder is called by its date, so this is none.
FOLDER: Final = "prices"
# Files that were just written may not be whole yet.
AT_REST_AFTER: Final = timedelta(seconds=2)


def hand_in(
    content: bytes,
    *,
    name: str,
    actor: Actor,
    as_of: datetime | None = None,
    key: str = "",
    request_id: str = "",
    asked_by: Operator | None = None,
) -> tuple[Taken, Job]:
    """Take a price file and ask a worker for what it touches; arguments as of `take_prices`.

    Raises:
        FolderRefusedError, PriceFileRefusedError, RefusedError: it is not taken.
    """
    taken = take_prices(
        content, name=name, actor=actor, as_of=as_of, key=key, request_id=request_id
    )
    return taken, ask_for_remargin(taken.file, asked_by=asked_by)


def ask_for_remargin(file: PriceFile, *, asked_by: Operator | None = None) -> Job:
    """The job for a price file, one however often it is asked for."""
    return ask_for_job(
        REMARGIN,
        key=f"{REMARGIN}:{file.sha256}",
        arguments={"price_file": file.sha256},
        asked_by=asked_by,
    )


def ask_for_newest() -> Job | None:
    """The job of the newest price file that was not run, or whose calls were held back."""
    newest = PriceFile.objects.defer("content").order_by("-as_of").first()
    if newest is None:
        return None
    if not newest.remargins.exists():
        return ask_for_remargin(newest)
    if not must_be_issued():
        return None
    # Automatic calls run again: everything once more, for what was held back.
    last = newest.remargins.order_by("-pk").values_list("pk", flat=True).first()
    return ask_for_job(
        REMARGIN,
        key=f"{REMARGIN}:{newest.sha256}:held-back:{last}",
        arguments={"price_file": newest.sha256},
    )


# ---------------------------------------------------------------- the watched folder


class Watched:
    """Files that were looked at, so that each is read once for as long as it stays as it is."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int]] = {}

    def look(self, inbox: Path, *, now: datetime) -> list[Job]:
        """Ask for every price file that came to rest; what was taken or refused before is not."""
        folder = inbox / FOLDER
        if not folder.is_dir():
            return []
        stamps = {path: _stamp(path) for path in sorted(folder.glob("*.csv"))}
        found = {path: stamp for path, stamp in stamps.items() if stamp is not None}
        resting = (now - AT_REST_AFTER).timestamp() * 1e9
        fresh = [
            path
            for path, stamp in found.items()
            if stamp != self._seen.get(path) and stamp[0] <= resting
        ]
        self._seen = {path: self._seen[path] for path in found if path in self._seen}
        jobs = []
        for path in fresh:
            jobs.append(_ask(path))
            self._seen[path] = found[path]
        return [job for job in jobs if job is not None]


def _stamp(path: Path) -> tuple[int, int] | None:
    """When it was written, and its size; None where it has gone since."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def _ask(path: Path) -> Job | None:
    """A job that takes the file, once per content; a refusal stands in it for people."""
    try:
        content = read_file(path, name=path.name, size_limit=settings.INBOX_FILE_SIZE_MAX)
        sha256 = hashlib.sha256(content).hexdigest()
    except FolderRefusedError as refusal:
        sha256 = "refused-" + hashlib.sha256(str(refusal).encode()).hexdigest()
    if PriceFile.objects.filter(sha256=sha256).exists():
        return None
    return ask_for_job(PRICES_FILE, key=f"{PRICES_FILE}:{sha256}", arguments={"file": str(path)})
