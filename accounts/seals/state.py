"""How far behind the seals are, what holds them back, and which copies of the heads fail."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.audit import Actor
from accounts.seals.sinks import SinkState, states

# Its own acts alone are no reason for another seal.
SEALER = Actor.job("seal")
# The product's own writers have a minute; whoever is older holds back the seals of all others.
WRITER_SECONDS_MAX = 60
# A seal comes every minute; two that did not come are worth a word.
LAG_SECONDS_MAX = 180


@dataclass(frozen=True)
class OpenWriter:
    """A transaction that is open, as far as this role may see it.

    Attributes:
        pid: of the server's process; None for a prepared transaction.
        name: what the program calls itself.
        since: when the transaction began.
    """

    pid: int | None
    name: str
    since: datetime

    def __str__(self) -> str:
        who = "prepared transaction" if self.pid is None else f"process {self.pid}"
        return f"{who} ({self.name}), open since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class SealState:
    """What there is to say of the seals now.

    Attributes:
        sealed_to: number of the newest block; 0 where nothing is sealed.
        lag_seconds: since when the oldest act waits for its seal.
        held_seconds: since when, at least, an open transaction holds the horizon back.
        writers: transactions that are open longer than they may be.
        sinks: how far each copy of the heads has come.
    """

    sealed_to: int
    lag_seconds: int
    held_seconds: int
    writers: tuple[OpenWriter, ...]
    sinks: tuple[SinkState, ...]

    @property
    def held_back(self) -> str:
        """Who holds back the seals of all others; "" where nobody does for long."""
        if not self.writers and self.held_seconds <= WRITER_SECONDS_MAX:
            return ""
        who = f": {self.writers[0]}" if self.writers else ""
        seconds = max(self.held_seconds, WRITER_SECONDS_MAX)
        return f"A transaction has held back the seals for {seconds} s{who}."

    @property
    def word(self) -> str:
        """What is the matter, in two or three words; "" where all is well."""
        if self.held_back:
            return "held back"
        if self.lag_seconds > LAG_SECONDS_MAX:
            return "seal is late"
        return "heads not copied" if any(sink.is_failing for sink in self.sinks) else ""

    def alarms(self) -> list[str]:
        """What somebody must look at, a sentence each; empty where all is well."""
        found = [self.held_back] if self.held_back else []
        if not found and self.lag_seconds > LAG_SECONDS_MAX:
            found.append(f"History waits for its seal since {self.lag_seconds} s.")
        found += [
            f"Heads do not reach {sink.sink} since {sink.failed_since}: {sink.error}."
            for sink in self.sinks
            if sink.is_failing
        ]
        return found


def seal_state(cursor: CursorWrapper | None = None) -> SealState:
    """Measure it; three short queries."""
    if cursor is None:
        with connection.cursor() as own:
            return seal_state(own)
    cursor.execute(
        "SELECT number, to_xid::text FROM accounts_sealblock ORDER BY number DESC LIMIT 1"
    )
    number, start = cursor.fetchone() or (0, "0")
    # An act above the horizon has ended or will end; if it was recorded long ago, then whatever
    # the horizon stands at began before it and is still open.
    cursor.execute(
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::bigint,"
        " coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at) FILTER ("
        "   WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))), 0)::bigint"
        " FROM accounts_act WHERE xid >= %s::xid8 AND actor <> %s",
        [start, SEALER.name],
    )
    lag, held = cursor.fetchone()
    return SealState(number, lag, held, _old_writers(cursor), tuple(states()))


def _old_writers(cursor: CursorWrapper) -> tuple[OpenWriter, ...]:
    """Open transactions with an id that are older than they may be.

    Of other roles' processes the server tells this role nothing; `held_seconds` counts them too.
    """
    cursor.execute(
        "SELECT pid, coalesce(nullif(application_name, ''), usename::text), xact_start"
        " FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
        " AND xact_start < clock_timestamp() - %(max)s::interval"
        " UNION ALL SELECT NULL, gid, prepared FROM pg_prepared_xacts"
        " WHERE prepared < clock_timestamp() - %(max)s::interval"
        " ORDER BY 3",
        {"max": f"{WRITER_SECONDS_MAX} s"},
    )
    return tuple(OpenWriter(*row) for row in cursor.fetchall())
