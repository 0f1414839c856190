"""Reading a large book: balances at any two times, and the newest page of a long statement.

The baseline is what the history costs where it is added up, in the same book and the same run.
"""

import time
from collections.abc import Callable
from datetime import date, timedelta
from statistics import median
from typing import Any, NamedTuple

from brokerage.benchmarks import growth, machine
from brokerage.benchmarks.scratch import Connection, Scratch, found_scratch
from ledger.account_statement import statement_page
from ledger.checkpoints import keep_checkpoints

CLIENTS = 20_000
POSTINGS_QUICK = 1_000_000
# So many postings on one account of a full run: half of all postings are at the banks.
BANKS = 5
ROUNDS = 7
LOOK_UPS = 50
FIRST_DAY = date(2025, 1, 1)

AT = "SELECT count(*), sum(amount) FROM ledger.balances_at(%s::pg_snapshot, %s::date)"
OF = "SELECT amount FROM ledger.balance_of(%s, %s::pg_snapshot, %s::date)"
ADDED_UP = """
    SELECT count(*), sum(amount) FROM (
        SELECT p.account_id, sum(p.amount) AS amount
        FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
        WHERE pg_visible_in_snapshot(p.xid, %s::pg_snapshot)
          AND (%s::date IS NULL OR e.effective_at < (%s::date + 1)::timestamp AT TIME ZONE 'UTC')
        GROUP BY 1) s
"""


class Instant(NamedTuple):
    """Where in the two times the book is read."""

    known: str
    as_of: date | None


def measure(quick: bool) -> dict[str, Any]:
    """Milliseconds of each reading, warm, and how many times as long adding up takes.

    Returns:
        `name`, `figures` (milliseconds), `ratios` (adding up to reading).
    """
    scratch = found_scratch(clients=CLIENTS + 1, banks=BANKS)
    growth.fill(scratch, postings=POSTINGS_QUICK if quick else growth.POSTINGS)
    with scratch.at_work():
        checkpoints = keep_checkpoints()
    with scratch.connect_superuser() as superuser:
        figures: dict[str, Any] = {"machine": machine.score(superuser)._asdict()}
        superuser.execute("VACUUM ANALYZE ledger_checkpoint")
        bytes_of_them = _bytes(superuser)
    with scratch.connect() as runtime:
        instants = _instants(runtime)
        everyone = {name: _everyone(runtime, at) for name, at in instants.items()}
        alone = {name: _one(runtime, scratch, at) for name, at in instants.items()}
        added_up = _added_up(runtime, instants["known_long_ago"])
    with scratch.at_work():
        page = _timed(lambda: statement_page(scratch.banks[0]))
        middle = _timed(lambda: statement_page(scratch.banks[0], before=1_000))
    figures |= {
        "accounts": len(scratch.claims) + len(scratch.banks),
        "checkpoints": checkpoints,
        "checkpoint_bytes": bytes_of_them,
        "postings_of_the_statement": _places(scratch),
        "balances_ms": everyone,
        "balance_ms": alone,
        "statement_first_page_ms": page,
        "statement_oldest_page_ms": middle,
        "added_up_ms": added_up,
    }
    slowest = max(everyone.values())
    return {"name": "reads", "figures": figures, "ratios": {"balances": added_up / slowest}}


def _bytes(connection: Connection) -> int:
    row = connection.execute("SELECT pg_total_relation_size('ledger_checkpoint')").fetchone()
    assert row is not None, "a function gives one row"
    return int(str(row[0]))


def _instants(connection: Connection) -> dict[str, Instant]:
    """Now and long ago, by what was known and by date, and both at once."""
    row = connection.execute(
        "SELECT pg_current_snapshot()::text, min(xid::text::bigint), max(xid::text::bigint)"
        " FROM ledger_entry"
    ).fetchone()
    assert row is not None, "an aggregate gives one row"
    now, first, last = str(row[0]), int(str(row[1])), int(str(row[2]))
    third, half = first + (last - first) // 3, first + (last - first) // 2
    day = FIRST_DAY + timedelta(days=growth.DAYS // 3)
    return {
        "now": Instant(now, None),
        "known_long_ago": Instant(f"{half}:{half}:", None),
        "known_lately": Instant(f"{last - 1}:{last - 1}:", None),
        "as_of_long_ago": Instant(now, day),
        "both_long_ago": Instant(f"{half}:{half}:", day),
        "known_before_the_date": Instant(f"{third}:{third}:", day + timedelta(days=20)),
    }


def _everyone(connection: Connection, at: Instant) -> float:
    return _timed(lambda: connection.execute(AT, [at.known, at.as_of]).fetchone())


def _one(connection: Connection, scratch: Scratch, at: Instant) -> float:
    """One account's, the mean over accounts far apart, a bank's among them."""
    chosen = [*scratch.claims[:: len(scratch.claims) // (LOOK_UPS - 1)], scratch.banks[0]]

    def look_up() -> None:
        for account in chosen:
            connection.execute(OF, [account, at.known, at.as_of], prepare=True).fetchone()

    return _timed(look_up) / len(chosen)


def _added_up(connection: Connection, at: Instant) -> float:
    asked = [at.known, at.as_of, at.as_of]
    return _timed(lambda: connection.execute(ADDED_UP, asked).fetchone(), rounds=3)


def _places(scratch: Scratch) -> int:
    with scratch.at_work():
        return statement_page(scratch.banks[0], size=1).newest


def _timed(read: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Milliseconds of the median round; one more before them warms up."""
    read()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        read()
        found.append((time.perf_counter() - start) * 1000)
    return median(found)
