"""The day: a folder of files through the whole cycle, step by step, each step one act.

A step that is done has a row; a cycle that was cut off goes on at the first step without one.
So running a day again, or on after a crash, changes nothing that was done before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import localcontext
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from brokerage.inbox import steps
from brokerage.inbox.folder import DayFolder, read_folder
from brokerage.inbox.opening import open_book
from brokerage.inbox.reference import Reference, read_reference
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.models import BusinessDay, DayFile, DayStep, Firm
from ledger.exact import EXACT
from ledger.horizons import store_horizon
from ledger.models import StatementFile
from ledger.periods import closed_through
from margin.models import PriceFile

ACTOR = Actor.job("inbox-cycle")


class Progress(Protocol):
    """Where a long step says how far it is; a job's progress, or nothing at all."""

    def report(self, done: int, total: int, step: str) -> None:
        """`done` of `total` parts of `step` are finished."""


class Silent:
    """Progress that nobody watches."""

    def report(self, done: int, total: int, step: str) -> None:
        """Say nothing."""


class DayRefusedError(FolderRefusedError):
    """The day cannot be run now: out of order, or run before with other content."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the cycle: its name, what people call it, and the function that does it."""

    name: str
    title: str
    run: Callable[["steps.DayContext"], dict[str, Any]]


STEPS: tuple[Step, ...] = (
    Step("prices", "Read prices", steps.record_prices),
    Step("events", "Apply events", steps.apply_events),
    Step("margin", "Margin run", steps.run_margin),
    Step("calls", "Issue calls", steps.settle_calls),
    Step("statements", "Reconcile", steps.reconcile_statements),
    Step("result", "Close the day", steps.close_day),
)


def run_day(
    folder: Path, *, as_of: datetime | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Run a day's folder through the cycle and return its result (format golden-day/1).

    Args:
        folder: the day's folder; `reference.yaml` beside it opens the book on first use.
        as_of: the instant the day is measured at; the firm's as-of time when not given.

    Raises:
        FolderRefusedError: the folder cannot be used as a whole; nothing was written.
    """
    watched = progress or Silent()
    day_folder = read_folder(folder, size_limit=settings.INBOX_FILE_SIZE_MAX)
    day = _find_day(day_folder, as_of=as_of)
    if day is None:
        day = _open_day(day_folder, _admit(day_folder, as_of=as_of))
    context = steps.DayContext(day=day, actor=ACTOR, progress=watched)
    done = set(DayStep.objects.filter(business_day=day).values_list("step", flat=True))
    for number, step in enumerate(STEPS):
        watched.report(number, len(STEPS), step.title)
        if step.name in done:
            continue
        _run_step(step, context)
    if STEPS[-1].name not in done:
        store_horizon("day closed", actor=ACTOR)
    watched.report(len(STEPS), len(STEPS), "Done")
    day.refresh_from_db()
    assert day.result is not None, "the last step keeps the result"
    result: dict[str, Any] = day.result
    return result


def check_day(folder: Path, *, as_of: datetime | None = None) -> DayFolder:
    """Read a day's folder and say whether it may be run now; nothing is written.

    Raises:
        FolderRefusedError: running it would be refused.
    """
    day_folder = read_folder(folder, size_limit=settings.INBOX_FILE_SIZE_MAX)
    if _find_day(day_folder, as_of=as_of) is None:
        _admit(day_folder, as_of=as_of)
    return day_folder


def _run_step(step: Step, context: "steps.DayContext") -> None:
    """One act: the step's writes and the row that says it is done. Its arithmetic is exact."""
    with localcontext(EXACT):
        _run_exactly(step, context)


def _run_exactly(step: Step, context: "steps.DayContext") -> None:
    context.prepare(step.name)
    with acting(context.actor, reason=f"{step.title}, {context.day.day}"):
        BusinessDay.objects.select_for_update().get(pk=context.day.pk)
        if DayStep.objects.filter(business_day=context.day, step=step.name).exists():
            return
        outcome = step.run(context)
        DayStep.objects.create(business_day=context.day, step=step.name, outcome=outcome)


def _find_day(folder: DayFolder, *, as_of: datetime | None) -> BusinessDay | None:
    """The day as it was opened before with this content, or None for a new one."""
    known = BusinessDay.objects.filter(day=folder.business_day).first()
    if known is None:
        return None
    if known.content_sha256 != folder.content_sha256:
        raise DayRefusedError(
            "the day was processed before with other content", file=str(folder.business_day)
        )
    if as_of is not None and as_of != known.as_of:
        raise DayRefusedError(
            f"the day was run as of {known.as_of:%Y-%m-%dT%H:%M:%SZ}", file=str(known.day)
        )
    return known


@dataclass(frozen=True, slots=True)
class _Admission:
    """What a new day is opened with; `reference` only when it opens the book."""

    firm: Firm | None
    reference: Reference | None
    reference_path: Path
    as_of: datetime


def _admit(folder: DayFolder, *, as_of: datetime | None) -> _Admission:
    """Check that a new day may be run now."""
    reference_path = folder.path.parent / "reference.yaml"
    firm = Firm.objects.first()
    reference = None
    if firm is None:
        reference = read_reference(reference_path, size_limit=settings.INBOX_FILE_SIZE_MAX)
        opening_day, as_of_time = reference.opening.business_day, reference.as_of_time
    else:
        opening_day, as_of_time = firm.opening_day, firm.as_of_time
        _check_reference(reference_path, firm)
        _check_period(folder.business_day, firm)
    _check_order(folder.business_day, opening_day=opening_day)
    instant = _as_of(folder.business_day, as_of_time, as_of)
    if PriceFile.objects.filter(as_of=instant).exists():
        raise DayRefusedError(
            f"prices were taken as of {instant:%Y-%m-%dT%H:%M:%SZ} before; measure the day at"
            " another instant",
            file=str(folder.business_day),
        )
    return _Admission(firm, reference, reference_path, instant)


def _open_day(folder: DayFolder, admitted: _Admission) -> BusinessDay:
    """Open the book if it is the first day, and keep the day's files."""
    firm = admitted.firm
    with acting(ACTOR, reason=f"Open the day {folder.business_day}"):
        if admitted.reference is not None:
            firm = open_book(
                admitted.reference, reference_file=admitted.reference_path.read_bytes()
            )
        assert firm is not None
        day = BusinessDay.objects.create(
            legal_entity_id=firm.legal_entity_id,
            day=folder.business_day,
            as_of=admitted.as_of,
            content_sha256=folder.content_sha256,
            folder=str(folder.path),
        )
        copy_rows(
            DayFile(business_day=day, name=name, sha256=steps.sha256(data), content=data)
            for name, data in folder.files.items()
        )
    return day


def _check_reference(path: Path, firm: Firm) -> None:
    """The book was opened on one reference.yaml; terms change by agreement, not by file."""
    if not path.exists():
        return
    reference = read_reference(path, size_limit=settings.INBOX_FILE_SIZE_MAX)
    if reference.content_sha256 == firm.reference_sha256:
        return
    kept = StatementFile.objects.filter(sha256=firm.reference_sha256).first()
    # Our own copy of the file says no name of a person who was erased since.
    if kept is None or bytes(kept.content) != path.read_bytes():
        raise DayRefusedError(
            "the book was opened on other content of this file", file="reference.yaml"
        )


def _check_period(business_day: date, firm: Firm) -> None:
    """A day of a closed period stays out until the period is reopened."""
    closed = closed_through(firm.legal_entity_id)
    if closed is not None and business_day <= closed:
        raise DayRefusedError(f"the period through {closed} is closed", file=str(business_day))


def _check_order(business_day: date, *, opening_day: date) -> None:
    last = BusinessDay.objects.order_by("-day").first()
    if last is not None and last.closed_at is None:
        raise DayRefusedError(
            f"the day {last.day} was begun and is not finished; run it first",
            file=str(business_day),
        )
    newest = opening_day if last is None else last.day
    if business_day <= newest:
        raise DayRefusedError(
            f"the day does not follow {newest}, the last one in the book", file=str(business_day)
        )


def _as_of(business_day: date, as_of_time: time, given: datetime | None) -> datetime:
    usual = datetime.combine(business_day, as_of_time, tzinfo=UTC)
    if given is None:
        return usual
    if given.astimezone(UTC).date() != business_day:
        raise DayRefusedError(
            f"as of {given.isoformat()} is not on this day", file=str(business_day)
        )
    return given.astimezone(UTC)


__all__ = ["STEPS", "DayRefusedError", "Progress", "check_day", "run_day"]
