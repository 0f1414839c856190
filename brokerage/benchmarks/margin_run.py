"""A whole house margined from the database and back, beside what copying the same rows costs.

The baseline is the least that any way has to do: the balances as text to nowhere, and the rows of
the results, as text, into a plain table without index, guard or trigger; each committed.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Final, NamedTuple

from django.db import connection, connections

from accounts.audit import acting
from brokerage.benchmarks import margin_book
from brokerage.benchmarks.margin_kernel import Measured, UnsoundError
from brokerage.benchmarks.scratch import BENCH, Connection, Scratch
from ledger.horizons import store_horizon
from margin.book.columns import read_columns
from margin.calls.settling import settle_run
from margin.column_runs import record_columns
from margin.models import MarginRun, RunBlock
from margin.remargin import read_touched, record_touched, standing_of
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


MOVED: Final = (3, 17, 31)  # underlyings, one after another
MOVED_BY: Final = 3  # per cent
# So many accounts are settled too, from the price to the call.
SETTLED_MAX: Final = 100_000
MARKS: Final = """
    INSERT INTO margin_mark (asset_id, as_of, business_day, price, state, used, dropped)
    SELECT m.asset_id, %(then)s, m.business_day,
           CASE WHEN (m.asset_id - %(first)s) %% %(underlyings)s = %(moved)s
                THEN round(m.price * (100 - %(by)s) / 100, 4) ELSE m.price END,
           m.state, '[]', '[]'
    FROM margin_mark m WHERE m.as_of = %(now)s
"""


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
    settled = accounts <= SETTLED_MAX
    if settled:
        with acting(BENCH, reason="Settle everything"):
            settle_run(ran[-1].run)
    touched = touched_runs(with_calls=settled)
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
            "incremental_s": median(each.run_s for each in touched),
            "incremental_scopes": median(each.scopes for each in touched),
            "price_to_call_s": max(each.called_s for each in touched)
            if settled
            else f"measured up to {SETTLED_MAX} accounts",
        },
        ratios={
            "incremental_over_full": median(each.run_s for each in touched) / median(full),
            "full_run_over_copy": median(
                mine / theirs for mine, theirs in zip(full, copied, strict=True)
            ),
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


class Touched(NamedTuple):
    """A run of what one underlying touches, from the marks on; and from the prices to the calls."""

    scopes: int
    run_s: float
    called_s: float


def touched_runs(*, with_calls: bool) -> list[Touched]:
    """One underlying after another moves, and what it touches is run again and kept.

    Raises:
        UnsoundError: a run of what was touched replays to something else.
    """
    horizon = store_horizon("benchmark")
    standing = standing_of(read_columns(horizon_id=horizon.pk, as_of=margin_book.AS_OF))
    found, now = [], margin_book.AS_OF
    for moved in MOVED:
        start, then = time.perf_counter(), now + timedelta(minutes=1)
        with acting(BENCH, reason="Prices"), connection.cursor() as cursor:
            cursor.execute(
                MARKS,
                {
                    "now": now, "then": then, "moved": moved, "by": MOVED_BY,
                    "first": margin_book.FIRST, "underlyings": margin_book.UNDERLYINGS,
                },
            )  # fmt: skip
        horizon = store_horizon("benchmark")
        middle = time.perf_counter()
        touched = read_touched(standing, horizon_id=horizon.pk, as_of=then)
        with acting(BENCH, reason="Run what was touched"):
            run = record_touched(touched)
        kept = time.perf_counter()
        if run is None or not replay(run.number).is_same:
            raise UnsoundError("a run of what was touched says something else")
        replayed = time.perf_counter()
        if with_calls:
            with acting(BENCH, reason="Settle what was touched"):
                settle_run(run)
        called = time.perf_counter() - start - (replayed - kept)
        found.append(Touched(run.scope_count, kept - middle, called))
        standing, now = touched.standing, then
    return found


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
    blocks = RunBlock.objects.filter(run=run).iterator(chunk_size=8)
    return float(sum(len(block.content) for block in blocks)) / 1e6
