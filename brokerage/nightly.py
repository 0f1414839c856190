"""The book proves itself every night: everything is recomputed, and a difference is a task."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Protocol

from brokerage.models import Firm
from brokerage.verify import verify

VERIFY = "verify"
# Of the night that a proof is of, on the clock that days of the book end by.
NOT_BEFORE = time(1)


class BookUnsoundError(Exception):
    """Something differs from what it was made of; the message names the first wrong row."""


class Progress(Protocol):
    """Where the proof says how far it is."""

    def report(self, done: int, total: int, step: str) -> None:
        """`done` of `total` parts of `step` are finished."""


def due_proof(now: datetime) -> str | None:
    """Key of the job that proves the book tonight; None before its hour, or without a book."""
    here = now.astimezone(UTC)
    if here.time() < NOT_BEFORE or not Firm.objects.exists():
        return None
    return f"{VERIFY}:{here.date()}"


def run_proof(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Recompute everything that can be.

    Raises:
        BookUnsoundError: naming the check, the table and the row that differ first.
    """
    progress.report(0, 1, "Recompute")
    report = verify().as_json()
    wrong = report["first_wrong"]
    if wrong is not None:
        raise BookUnsoundError(
            f"The book does not prove itself: {wrong['check']}, {wrong['table']} {wrong['key']}: "
            f"{wrong['detail']}."
        )
    progress.report(1, 1, "Done")
    return {
        "checks": len(report["checks"]),
        "rows": sum(check["rows"] for check in report["checks"]),
        "sealed_to_block": report["sealed_to_block"],
    }
