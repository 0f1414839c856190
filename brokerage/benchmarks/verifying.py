"""Recomputing all of history: entries and rows of the trail in a second, with `verify --full`.

The baseline is reading the same postings once, in their order, and adding them up.
"""

import time
from typing import Any

from django.db import connection

from accounts.audit import acting
from accounts.seals import seal_history
from brokerage.benchmarks import growth, machine
from brokerage.benchmarks.scratch import BENCH, found_scratch
from brokerage.verify import Report, verify

ENTRIES, ENTRIES_QUICK = 1_000_000, 100_000
CHANGES, CHANGES_QUICK = 200_000, 20_000
CLIENTS, BANKS = 5_000, 20
CHANGED_AT_ONCE = 2_000

READ_ONCE = """
    SELECT count(*), sum(amount) FROM (
        SELECT amount FROM ledger_posting ORDER BY account_id, account_seq OFFSET 0) p
"""
CHANGE = """
    UPDATE accounts_marginaccount SET desk = %s
    WHERE id IN (SELECT id FROM accounts_marginaccount ORDER BY id LIMIT %s)
"""


def measure(quick: bool) -> dict[str, Any]:
    """Entries of two lines, and rows of the trail, that a full verification reads in a second.

    Returns:
        `name`, `figures`, `ratios` (`entries_of_read_once`).
    """
    entries, changes = (ENTRIES_QUICK, CHANGES_QUICK) if quick else (ENTRIES, CHANGES)
    scratch = found_scratch(clients=CLIENTS + 1, banks=BANKS)
    with scratch.connect_superuser() as superuser:
        figures: dict[str, Any] = {"machine": machine.score(superuser)._asdict()}
    with scratch.at_work():
        bare = _verified()
        trail = _change(changes)
        seal_history()
        of_trail = _verified() - bare
        growth.fill(scratch, postings=2 * entries)
        seal_history()
        of_entries = _verified() - of_trail - bare
        read_once = _read_once()
    figures |= {
        "entries": entries,
        "entries_s": entries / of_entries,
        "audit_rows": trail,
        "audit_rows_s": trail / of_trail,
        "read_once_entries_s": entries / read_once,
    }
    return {
        "name": "verify",
        "figures": figures,
        "ratios": {"entries_of_read_once": read_once / of_entries},
    }


class UnsoundError(Exception):
    """A book made for the benchmark did not verify; a figure of it would mean nothing."""


def _verified() -> float:
    """Seconds of a full verification."""
    start = time.perf_counter()
    report: Report = verify(full=True)
    taken = time.perf_counter() - start
    wrong = [
        check for check in report.checks if check.wrong and check.name != "guards_are_as_pinned"
    ]
    if wrong:
        raise UnsoundError(f"{wrong[0].name}: {wrong[0].wrong}")
    return taken


def _change(many: int) -> int:
    """Change editable rows, so that the trail has so many lines; returns how many it has."""
    for n in range(many // CHANGED_AT_ONCE):
        with acting(BENCH, reason="Move accounts to another desk"), connection.cursor() as cursor:
            cursor.execute(CHANGE, [f"desk-{n}", CHANGED_AT_ONCE])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_auditrow")
        return int(cursor.fetchone()[0])


def _read_once() -> float:
    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(READ_ONCE)
    return time.perf_counter() - start
