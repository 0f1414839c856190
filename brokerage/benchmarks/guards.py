"""What each guard of the book costs: batches with it, and batches without it.

A guard is switched off in the scratch database alone, by the superuser, who lifts the event trigger
that would refuse it.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from psycopg import sql

from brokerage.benchmarks.scratch import Connection, Scratch
from brokerage.benchmarks.writers import Step, fresh_start, posts_batch

BATCH = 1_000
STEPS = 2

# Guards that a posting wakes. The one that carries balances and movements writes what postings
# rest on, so it cannot be switched off.
FOUND = """
    SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgname <> 'posting_6_is_carried' AND (
        c.relname IN ('ledger_entry', 'ledger_entrykey', 'ledger_posting') AND t.tgtype & 4 <> 0
        OR c.relname = 'ledger_balance' AND t.tgtype & 16 <> 0
        OR c.relname = 'ledger_dailymovement' AND t.tgtype & 4 <> 0)
    ORDER BY 1, 2
"""
EVENT_TRIGGERS = "SELECT evtname FROM pg_event_trigger"


class _Guard(NamedTuple):
    table: str
    trigger: str


def measure(scratch: Scratch, *, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a batch of 1,000 entries with each guard on and off, medians.

    Returns:
        By the guard's name, and by `all of them`: `on` and `off`.
    """
    with scratch.connect_superuser() as superuser, scratch.connect() as runtime:
        for (name,) in superuser.execute(EVENT_TRIGGERS).fetchall():
            superuser.execute(
                sql.SQL("ALTER EVENT TRIGGER {} DISABLE").format(sql.Identifier(str(name)))
            )
        guards = [_Guard(str(table), str(name)) for table, name in superuser.execute(FOUND)]
        step = posts_batch(scratch, BATCH)(runtime, fresh_start())
        sets = {f"{one.table}: {one.trigger}": [one] for one in guards} | {"all of them": guards}
        return {
            name: _on_and_off(superuser, chosen, step, rounds=rounds)
            for name, chosen in sets.items()
        }


def _on_and_off(
    superuser: Connection, guards: list[_Guard], step: Step, *, rounds: int
) -> dict[str, float]:
    found: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(rounds):
        found["on"].append(_milliseconds(step))
        _switch(superuser, guards, "DISABLE")
        try:
            found["off"].append(_milliseconds(step))
        finally:
            _switch(superuser, guards, "ENABLE ALWAYS")
    return {name: round(median(times), 2) for name, times in found.items()}


def _milliseconds(step: Callable[[], object]) -> float:
    """One batch after another; the first, which plans anew, does not count."""
    step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS * 1000


def _switch(superuser: Connection, guards: list[_Guard], how: str) -> None:
    with superuser.transaction():
        for guard in guards:
            superuser.execute(
                sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(
                    sql.Identifier(guard.table), sql.SQL(how), sql.Identifier(guard.trigger)
                )
            )
