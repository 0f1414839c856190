"""Books that many tests begin from: made once by each worker, cloned for every other test.

Only the database is kept, and what stands beside it in the seals; files that a test needs it
writes itself.
"""

import copy
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import connection, connections

from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from tests.cluster import Cluster

T = TypeVar("T")
FIRST_DAY = date(2031, 3, 3)  # a Monday


class Kept(NamedTuple):
    """A book as it was right after it was made."""

    database: str
    made: Any
    heads: bytes | None


_kept: dict[str, Kept] = {}


def staged(name: str, build: Callable[[], T]) -> T:
    """What `build` makes of a test's untouched database.

    The first test of a worker builds it; others get a clone. Where the database is not untouched,
    or somebody else is connected to it, it is built as if for the first time.

    Args:
        name: tells one book from another; what is built depends on nothing else but how many
            scopes a run in columns has at the least.
    """
    name = f"{name}, in columns from {settings.MARGIN_COLUMNS_FROM}"
    if not _is_untouched():
        return build()
    cluster = Cluster(settings.EMBEDDED_SERVER)
    database = connection.settings_dict["NAME"]
    if name not in _kept:
        made = build()
        heads = settings.SEAL_HEADS
        connections.close_all()
        _kept[name] = Kept(
            cluster.clone(database),
            copy.deepcopy(made),
            heads.read_bytes() if heads.exists() else None,
        )
        return made
    kept = _kept[name]
    connections.close_all()
    cluster.drop(database)
    cluster.clone(kept.database, name=database)
    if kept.heads is not None:
        settings.SEAL_HEADS.write_bytes(kept.heads)
    made_again: T = copy.deepcopy(kept.made)
    return made_again


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


def _is_untouched() -> bool:
    """Nothing is in the book, and nobody else looks at it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM accounts_legalentity) AND NOT EXISTS ("
            " SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend')"
        )
        (untouched,) = cursor.fetchone()
    return bool(untouched)
