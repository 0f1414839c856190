"""Books that many tests begin from: made once in a session, cloned for every other test.

Only the database is kept, and what stands beside it in the seals; files that a test needs it
writes itself.
"""

import fcntl
import hashlib
import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from tests.cluster import Cluster, used

T = TypeVar("T")
FIRST_DAY = date(2031, 3, 3)  # a Monday


class Kept(NamedTuple):
    """A book as it was right after it was made."""

    database: str
    made: Any
    heads: bytes | None


_kept: dict[str, bytes] = {}


def staged(name: str, build: Callable[[], T]) -> T:
    """What `build` makes of a test's untouched database.

    The first test of the session builds it; others get a clone, in whichever worker they run.
    Where somebody has signed in to the database before, it is built as if for the first time.

    Args:
        name: tells one book from another; what is built depends on nothing else but how many
            scopes a run in columns has at the least.
        build: gives back what can be pickled.
    """
    name = f"{name}, in columns from {settings.MARGIN_COLUMNS_FROM}"
    database = connection.settings_dict["NAME"]
    cluster = Cluster(settings.EMBEDDED_SERVER)
    if not database.startswith("test_") or not cluster.is_as_cloned(database):
        return build()
    if name not in _kept:
        folder = cluster.server.root / "stages"
        folder.mkdir(exist_ok=True)
        file = folder / hashlib.sha256(name.encode()).hexdigest()
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                made = build()
                file.with_suffix(".new").write_bytes(_keep(cluster, made))
                file.with_suffix(".new").rename(file)
                return made
        _kept[name] = file.read_bytes()
    kept: Kept = pickle.loads(_kept[name])
    cluster.give_back(database)
    cluster.clone(kept.database, name=database)
    used.add(database)  # no other test gets it, even where this one never signs in
    if kept.heads is not None:
        settings.SEAL_HEADS.write_bytes(kept.heads)
    again: T = kept.made
    return again


def _keep(cluster: Cluster, made: object) -> bytes:
    """Copy the database away; what to make it again from."""
    heads = settings.SEAL_HEADS
    connections.close_all()
    return pickle.dumps(
        Kept(
            cluster.clone(connection.settings_dict["NAME"]),
            made,
            heads.read_bytes() if heads.exists() else None,
        )
    )


def emptied() -> None:
    """Give the test an untouched database again, for a second book beside what it read of one."""
    cluster = Cluster(settings.EMBEDDED_SERVER)
    database = connection.settings_dict["NAME"]
    connections.close_all()
    cluster.drop(database)
    cluster.clone(name=database)
    settings.SEAL_HEADS.unlink(missing_ok=True)


def booked_days(
    folder: Path, *, accounts: int, seed: int, days: int, booked: int | None = None
) -> list[Path]:
    """The day folders of an invented firm, of which the first so many are in the book.

    Args:
        booked: all where None.
    """
    folders = write_firm(
        folder, accounts=accounts, seed=seed, first_day=FIRST_DAY, days=days, profile=DEMO
    )
    count = days if booked is None else booked

    def book() -> None:
        for day in folders[:count]:
            run_day(day)

    staged(f"{accounts} accounts, seed {seed}, {count} of {days} days", book)
    return folders


@receiver(connection_created)
def _used(connection: BaseDatabaseWrapper, **_: object) -> None:
    used.add(str(connection.settings_dict["NAME"]))
