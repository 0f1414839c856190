"""A whole house margined from the database and back, beside what copying the same rows costs.

The baseline is the least that any way has to do: the balances as text to nowhere, and the rows of
the results, as text, into a plain table without index, guard or trigger; each committed.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final, NamedTuple

from django.db import connections

from accounts.audit import acting
from brokerage.benchmarks import margin_book
from brokerage.benchmarks.margin_kernel import Measured, UnsoundError
from brokerage.benchmarks.scratch import BENCH, Connection, Scratch
from ledger.horizons import store_horizon
from margin.book.columns import read_columns
from margin.column_runs import record_columns
from margin.models import MarginRun, RunBlock
from margin.runs import replay

ROUNDS: Final = 3
BALANCES: Final = """
    COPY (SELECT a.bucket_id, a.asset_id, b.amount, b.average_cost
          FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id
          WHERE a.bucket_id IS NOT NULL
            AND a.account_class IN ('claim', 'position', 'loan_receivable'))
    TO '/dev/null'
"""
PLAIN: Final = "CREATE TABLE plain_result (LIKE margin_marginresult)"


class Ran(NamedTuple):
    """A run, and how long its parts took."""

    run: MarginRun
    read_s: float
    kept_s: float


def measure(scratch: Scratch, *, accounts: int) -> Measured:
    """Fill the book, then run it and copy it by turns; medians of seconds and of their ratios.

    Raises:
        UnsoundError: a run does not hold every scope, or its replay says something else.
    """
    margin_book.fill(scratch, accounts=accounts)
    connections.close_all()
    with scratch.connect_superuser() as superuser:
        superuser.execute(PLAIN)
        ran = [full_run()]  # warms up, and gives the rows to copy
        rows = _rows_of(superuser, ran[0].run)
        copies = []
        for _ in range(ROUNDS):
            copies.append(_copied(superuser, rows))
            ran.append(full_run())
    _require_sound(ran[-1].run, accounts)
    full = [each.read_s + each.kept_s for each in ran[1:]]
    copied = [sum(each) for each in copies]
    return Measured(
        figures={
            "full_run_s": median(full),
            "full_run_read_s": median(each.read_s for each in ran[1:]),
            "full_run_accounts_s": accounts / median(full),
            "copy_out_s": median(out for out, _ in copies),
            "copy_in_s": median(into for _, into in copies),
            "parts_mb": _parts_mb(ran[-1].run),
        },
        ratios={
            "full_run_over_copy": median(
                mine / theirs for mine, theirs in zip(full, copied, strict=True)
            )
        },
    )


def full_run() -> Ran:
    """One run of everything at a horizon of its own, results and parts kept."""
    horizon = store_horizon("benchmark")
    start = time.perf_counter()
    read = read_columns(horizon_id=horizon.pk, as_of=margin_book.AS_OF)
    middle = time.perf_counter()
    with acting(BENCH, reason="Run everything"):
        run = record_columns(read, business_day=margin_book.DAY, purpose="benchmark")
    return Ran(run, middle - start, time.perf_counter() - middle)


def _rows_of(superuser: Connection, run: MarginRun) -> list[bytes]:
    statement = "COPY (SELECT * FROM margin_marginresult WHERE run_id = %s) TO STDOUT"
    with superuser.cursor() as cursor, cursor.copy(statement, [run.pk]) as copy:
        return [bytes(part) for part in copy]


def _copied(superuser: Connection, rows: list[bytes]) -> tuple[float, float]:
    """Seconds of the balances to nowhere, and of the rows into a plain table."""
    superuser.execute("TRUNCATE plain_result")
    out = _timed(lambda: superuser.execute(BALANCES))

    def write() -> None:
        with (
            superuser.transaction(),
            superuser.cursor() as cursor,
            cursor.copy("COPY plain_result FROM STDIN") as copy,
        ):
            copy.write(joined)

    joined = b"".join(rows)
    return out, _timed(write)


def _timed(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def _require_sound(run: MarginRun, accounts: int) -> None:
    if run.scope_count != accounts or run.results.count() != accounts:
        raise UnsoundError("a run does not hold every scope")
    if not replay(run.number).is_same:
        raise UnsoundError("a run that is computed again says something else")


def _parts_mb(run: MarginRun) -> float:
    sizes: list[Any] = [
        len(block.content) for block in RunBlock.objects.filter(run=run).iterator(chunk_size=8)
    ]
    return sum(sizes) / 1e6
