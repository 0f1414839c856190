"""The book, the trail, the guards and the seals, recomputed from what is stored.

All checks see one state of the database: they read in transactions that share a snapshot, two at
a time. Nothing is written to it.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

import accounts.verify
import ledger.verify
import margin.verify
from accounts.checks import Check, CheckFunction, Query, Wrong
from accounts.reading import one_state
from accounts.seals.chain import Chain, read_chain, unreadable_chain
from accounts.seals.counted import count_check
from accounts.seals.recomputed import SEALED_ROWS, check_unsealed
from accounts.seals.state import SealState, seal_state
from accounts.seals.verified import Scope, choose_scope, remember
from accounts.seals.windows import leaf_checks
from accounts.verify import check_guards
from ledger.verify import PROVABLE, unproven
from ledger.verify.proven import Book
from ledger.verify.recent import recent_checks

CONNECTIONS = 2

DAY_FILES = Query(
    "files_are_as_they_came",
    "brokerage_dayfile",
    """
    SELECT 'brokerage_dayfile', f.id::text, 'its content differs from its hash'
    FROM brokerage_dayfile f WHERE encode(sha256(f.content), 'hex') <> f.sha256
      AND NOT EXISTS (SELECT FROM accounts_redaction d
                      WHERE d.table_name = 'brokerage_dayfile' AND d.row_key = f.id::text)
    UNION ALL
    SELECT 'ledger_statementfile', f.sha256, 'its content differs from its hash'
    FROM ledger_statementfile f WHERE encode(sha256(f.content), 'hex') <> f.sha256
      AND NOT EXISTS (SELECT FROM accounts_redaction d
                      WHERE d.table_name = 'ledger_statementfile' AND d.row_key = f.sha256)
    UNION ALL
    SELECT 'ledger_paymentfile', f.id::text, 'its content differs from its hash'
    FROM ledger_paymentfile f WHERE encode(sha256(f.content), 'hex') <> f.sha256
      AND NOT EXISTS (SELECT FROM accounts_redaction d
                      WHERE d.table_name = 'ledger_paymentfile' AND d.row_key = f.id::text)
    """,
)

EVENTS = Query(
    "posted_events_have_their_entries",
    "brokerage_inboxevent",
    """
    SELECT 'brokerage_inboxevent', v.id::text, 'its entry is not in the book'
    FROM brokerage_inboxevent v LEFT JOIN ledger_entry e ON e.id = v.entry_id
    WHERE v.refusal = '' AND e.id IS NULL
    """,
)


class Report(NamedTuple):
    """What was found.

    Attributes:
        checks: all of them, in a fixed order.
        sealed_to_block: number of the newest block; 0 where nothing is sealed.
        unsealed_rows: rows of history that no block covers yet.
        scope: which part of history was read.
        seals: how far behind the seals are.
    """

    checks: list[Check]
    sealed_to_block: int
    unsealed_rows: int
    scope: Scope
    seals: SealState

    @property
    def is_sound(self) -> bool:
        return all(check.is_sound for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report as `verify --json` prints it."""
        failed = next((check for check in self.checks if check.wrong is not None), None)
        return {
            "sound": self.is_sound,
            "checks": [
                {
                    "name": check.name,
                    "sound": check.is_sound,
                    "rows": check.rows,
                    "detail": check.detail if check.wrong is None else check.wrong.detail,
                }
                for check in self.checks
            ],
            "first_wrong": None if failed is None else _named(failed),
            "sealed_to_block": self.sealed_to_block,
            "unsealed_rows": self.unsealed_rows,
            "scope": self.scope.as_json(),
            "seal_lag_seconds": self.seals.lag_seconds,
            "alarms": self.seals.alarms(),
        }


def _named(failed: Check) -> dict[str, Any]:
    assert failed.wrong is not None
    return {"check": failed.name, **failed.wrong._asdict()}


def check_days(cursor: CursorWrapper) -> list[Check]:
    """Files and events of the inbox."""
    return [query.run(cursor, {}) for query in (DAY_FILES, EVENTS)]


def verify(heads_file: Path | None = None, *, full: bool = True) -> Report:
    """Recompute everything that can be.

    Args:
        heads_file: a copy of the published heads to hold the chain against, if not our own.
        full: read all of history, however large; otherwise a large one from where it was last
            found sound, and some of the older part again.
    """
    with one_state() as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        chain = _chain(cursor, heads_file)
        scope = choose_scope(cursor, chain, full=full)
        leaves = leaf_checks(cursor, scope.windows)
        rest = _rest(scope)
        found = _found(cursor, leaves, rest, snapshot, whole=scope.since is None)
        unsealed, unsealed_rows = _unsealed(cursor, chain)
        seals = seal_state(cursor)
    sealed = _flat(found, leaves) or [Check(SEALED_ROWS, 0)]
    ordered = [
        chain.links, *_as_one(sealed), chain.leaves_stand, chain.published, unsealed,
        *_flat(found, rest),
    ]  # fmt: skip
    number = chain.newest.number if chain.newest else 0
    report = Report(ordered, number, unsealed_rows, scope, seals)
    if report.is_sound and heads_file is None:
        remember(chain, scope)
    return report


def _chain(cursor: CursorWrapper, heads_file: Path | None) -> Chain:
    cursor.execute("SAVEPOINT chain")
    try:
        return read_chain(cursor, heads_file)
    except (DatabaseError, ArithmeticError, ValueError) as error:
        cursor.execute("ROLLBACK TO SAVEPOINT chain")
        return unreadable_chain(error)


def _unsealed(cursor: CursorWrapper, chain: Chain) -> tuple[Check, int]:
    count = 0

    def unsealed_rows_are_of_the_past(cursor: CursorWrapper) -> list[Check]:
        nonlocal count
        check, count = check_unsealed(cursor, chain.newest)
        return [check]

    (check,) = _answer(cursor, unsealed_rows_are_of_the_past)
    return check, count


def _rest(scope: Scope) -> list[CheckFunction]:
    """The checks beside the seals: of the whole book, or of what is younger than the mark."""
    if scope.since is None:
        of_the_book = ledger.verify.CHECKS
    else:
        of_the_book = (count_check(scope.since), *recent_checks(scope.since.to_xid))
    return [
        *accounts.verify.CHECKS, *of_the_book, *margin.verify.CHECKS, check_days, check_guards,
    ]  # fmt: skip


def _found(
    cursor: CursorWrapper,
    leaves: Sequence[CheckFunction],
    rest: Sequence[CheckFunction],
    snapshot: str,
    *,
    whole: bool,
) -> dict[CheckFunction, list[Check]]:
    """What each check found.

    Args:
        cursor: for what must be known before.
        leaves, rest: the checks, of the seals and all others.
        snapshot: the state to look at.
        whole: whether the whole book is among them; then it is read as columns beside the others,
            and its queries are for what that did not prove.
    """
    book = Book()
    stretches = book.stretches(cursor) if whole else []
    later = [each for each in rest if stretches and each in PROVABLE]
    at_once = [each for each in rest if each not in later]
    # What cannot be shared out comes first; the many short pieces behind it end together.
    found = _run([*at_once, *leaves, *stretches], snapshot)
    left = _run([unproven(each, book.proven) for each in later], snapshot)
    return found | dict(zip(later, left.values(), strict=True))


def _flat(
    found: Mapping[CheckFunction, list[Check]], functions: Sequence[CheckFunction]
) -> list[Check]:
    return [check for function in functions for check in found[function]]


def _as_one(windows: Sequence[Check]) -> list[Check]:
    """The same check over several stretches, as one."""
    wrong = next((check.wrong for check in windows if check.wrong is not None), None)
    return [windows[0]._replace(rows=sum(check.rows for check in windows), wrong=wrong)]


def _run(functions: Sequence[CheckFunction], snapshot: str) -> dict[CheckFunction, list[Check]]:
    """Run checks on several connections; what each found, in the order of the functions."""
    waiting: SimpleQueue[tuple[int, CheckFunction]] = SimpleQueue()
    for nth, function in enumerate(functions):
        waiting.put((nth, function))
    done: dict[int, list[Check]] = {}

    def work() -> None:
        with one_state(snapshot) as cursor:
            while True:
                try:
                    nth, function = waiting.get_nowait()
                except Empty:
                    return
                done[nth] = _answer(cursor, function)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for worker in [pool.submit(work) for _ in range(CONNECTIONS)]:
            worker.result()
    return {function: done[nth] for nth, function in enumerate(functions)}


def _answer(cursor: CursorWrapper, function: CheckFunction) -> list[Check]:
    """What a check found; one that could not even be run over what is stored is not sound."""
    cursor.execute("SAVEPOINT answer")
    try:
        return function(cursor)
    except (DatabaseError, ArithmeticError, ValueError) as error:
        cursor.execute("ROLLBACK TO SAVEPOINT answer")
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        wrong = Wrong("pg_catalog", function.__name__, f"it could not be looked at: {first_line}")
        return [Check(function.__name__, 0, wrong)]
