"""Margin inside a day: at the newest prices taken, what they touch is run again and settled.

A process keeps the book as the newest run left it, at most one, and brings it up to date with the
runs that others made since. Where the book cannot be kept so (few scopes, portfolio models, prices
set by people, terms that changed), everything is run by the ordinary code: the same outcome, later.
"""

import logging
from dataclasses import dataclass
from decimal import localcontext
from typing import Final, NamedTuple

from django.conf import settings
from django.db.models import Q

from accounts.audit import Actor, acting
from accounts.models import Scope
from ledger.exact import EXACT
from ledger.horizons import store_horizon
from margin.book import ReadInputs
from margin.book.columns import ColumnInputs, NotInColumnsError, read_columns
from margin.calls.held_back import must_be_issued
from margin.calls.settling import Settled, settle_run
from margin.column_runs import read_for_run, record_columns
from margin.engine.column_ground import is_known_rule
from margin.models import MarginCall, MarginRun, PriceFile, Remargin
from margin.remargin import (
    Standing,
    Touched,
    WholeRunNeededError,
    posted_since,
    posted_until_now,
    read_touched,
    record_touched,
    standing_of,
)
from margin.run_rows import INTRADAY, SETTLING, one_after_another, settled_runs
from margin.runs import record_run

# So many runs of others are followed; after more the book is read anew.
FOLLOWED_MAX: Final = 30
# So often a run begins again because another came between; then somebody else is at work.
TRIES_MAX: Final = 5

logger = logging.getLogger(__name__)


class BusyError(Exception):
    """Other runs came between again and again; the next attempt will find them done."""


class _OvertakenError(Exception):
    """Something came between reading and keeping; what was read is not kept."""


@dataclass(frozen=True, slots=True)
class Remargined:
    """What became of the newest prices.

    Attributes:
        file: the newest price file; None where none was taken.
        run: its run; None where it touched no scope, or was made before.
        is_new: whether this call made it.
    """

    file: PriceFile | None
    run: MarginRun | None
    is_new: bool
    settled: Settled | None = None


class Kept(NamedTuple):
    """The book as a process keeps it: as it was read for the run with this id."""

    run_id: int
    standing: Standing


class Memory:
    """What one process keeps between runs: one book, or none."""

    def __init__(self) -> None:
        self.kept: Kept | None = None

    def forget(self) -> None:
        """The next run reads the book anew."""
        self.kept = None

    def book_after(self, newest: MarginRun | None) -> Standing | None:
        """The book as the newest run found it; None where only rows can hold it."""
        if newest is None or not is_known_rule():
            return None
        if Scope.objects.count() < settings.MARGIN_COLUMNS_FROM:
            return None
        try:
            self.kept = Kept(newest.pk, self._followed(newest) or _read_at(newest))
        except NotInColumnsError:
            self.forget()
            return None
        return self.kept.standing

    def _followed(self, newest: MarginRun) -> Standing | None:
        """What is kept, brought up to the newest run; None where it cannot be."""
        if self.kept is None:
            return None
        standing = self.kept.standing
        since = settled_runs().filter(pk__gt=self.kept.run_id, pk__lte=newest.pk)
        runs = list(since[: FOLLOWED_MAX + 1])
        if len(runs) > FOLLOWED_MAX:
            return None
        for run in runs:
            if run.as_of < standing.read.as_of:
                return None
            try:
                standing = read_touched(
                    standing, horizon_id=run.horizon_id, as_of=run.as_of
                ).standing
            except WholeRunNeededError:
                return None
        return standing


def _read_at(run: MarginRun) -> Standing:
    return standing_of(read_columns(horizon_id=run.horizon_id, as_of=run.as_of))


def remargin(memory: Memory, *, actor: Actor) -> Remargined:
    """Run what the newest prices touch, keep the run and settle its calls; once for these prices.

    Raises:
        BusyError: other runs came between again and again.
        RefusedError: a rule of the book refused it; nothing was kept.
    """
    for attempt in range(TRIES_MAX):
        file, since = _newest_file(), settled_runs().last()
        made = None if file is None or must_be_issued() else _made(file, since)
        if file is None or made is not None:
            return Remargined(file, None if made is None else made.run, is_new=False)
        with localcontext(EXACT):
            patient = attempt < TRIES_MAX - 1
            done = _run(memory, file, since=since, actor=actor, is_patient=patient)
        if done is not None:
            return done
    raise BusyError("Other margin runs came between; it is tried again.")


def _newest_file() -> PriceFile | None:
    return PriceFile.objects.defer("content").order_by("-as_of").first()


def _made(file: PriceFile, newest: MarginRun | None) -> Remargin | None:
    """What was made of a file, if nothing was run since."""
    rows = Remargin.objects.select_related("run").filter(price_file=file)
    return rows.filter(Q(run=newest) | Q(run=None, since=newest)).first()


def _run(
    memory: Memory, file: PriceFile, *, since: MarginRun | None, actor: Actor, is_patient: bool
) -> Remargined | None:
    """One attempt; None where something came between, and nothing was kept.

    Args:
        is_patient: whether postings that the run does not know of count as coming between.
    """
    horizon = store_horizon("margin-run", actor=actor)
    read = _to_run(memory, file, since=since, horizon_id=horizon.pk)
    try:
        with acting(actor, reason=f"Margin at the prices of {file.name}"):
            one_after_another(SETTLING)
            if settled_runs().last() != since or _newest_file() != file:
                raise _OvertakenError
            _hold_calls(read)
            # What came in may have met calls that the run, which does not know of it, would make.
            unknown = posted_since(horizon.pk) & _buckets_of(read)
            if is_patient and unknown:
                raise _OvertakenError
            run = _record(read, file)
            later = unknown | posted_until_now(file.as_of)
            settled = None if run is None else settle_run(run, besides=later)
            Remargin.objects.create(price_file=file, since=since, run=run)
    except _OvertakenError:
        return None
    except BaseException:
        memory.forget()
        raise
    _remember(memory, read, run=run or since)
    return Remargined(file, run, is_new=True, settled=settled)


def _to_run(
    memory: Memory, file: PriceFile, *, since: MarginRun | None, horizon_id: int
) -> Touched | ColumnInputs | ReadInputs:
    """What is touched where the book is kept, else everything."""
    book = None if must_be_issued() else memory.book_after(since)
    if book is not None:
        try:
            return read_touched(book, horizon_id=horizon_id, as_of=file.as_of)
        except (WholeRunNeededError, NotInColumnsError) as reason:
            logger.info("Everything is run as of %s: %s", file.as_of, reason)
    return read_for_run(horizon_id=horizon_id, as_of=file.as_of)


def _hold_calls(read: Touched | ColumnInputs | ReadInputs) -> None:
    """Let whoever would settle an open call of the run wait until the act ends."""
    calls = MarginCall.objects.open().filter(scope__bucket__in=_buckets_of(read))
    list(calls.order_by("pk").select_for_update(of=["self"]).values_list("pk"))


def _buckets_of(read: Touched | ColumnInputs | ReadInputs) -> set[int]:
    if isinstance(read, ReadInputs):
        scopes = Scope.objects.filter(pk__in=[row.scope_id for row in read.scopes])
        return {pk for pk in scopes.values_list("bucket", flat=True) if pk is not None}
    columns = read.read if isinstance(read, Touched) else read
    return set(columns.scopes.buckets.tolist())


def _record(read: Touched | ColumnInputs | ReadInputs, file: PriceFile) -> MarginRun | None:
    if isinstance(read, Touched):
        return record_touched(read)
    day = file.business_day
    if isinstance(read, ColumnInputs):
        return record_columns(read, business_day=day, purpose=INTRADAY)
    return record_run(read, business_day=day, purpose=INTRADAY)


def _remember(
    memory: Memory, read: Touched | ColumnInputs | ReadInputs, *, run: MarginRun | None
) -> None:
    """Keep the book that was read, where columns hold it."""
    if run is None or isinstance(read, ReadInputs):
        memory.forget()
    elif isinstance(read, Touched):
        memory.kept = Kept(run.pk, read.standing)
    else:
        memory.kept = Kept(run.pk, standing_of(read))
