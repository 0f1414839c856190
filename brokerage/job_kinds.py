"""What can be run as a job, as data: what people call it, who does it, and how patiently."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings

from accounts.audit import Actor, RefusedError
from accounts.models import LegalEntity
from brokerage.client_statements import StatementRefusedError, period_of
from brokerage.client_statements.everybody import StatementsDifferError, make_statements
from brokerage.inbox.cycle import run_day
from brokerage.inbox.files import read_file
from brokerage.inbox.price_files import PriceFileRefusedError, take_prices
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.interest import accrue_all
from brokerage.nightly import VERIFY, BookUnsoundError, run_proof
from brokerage.purge import purge
from brokerage.remargining import REMARGIN, run_after_day, run_remargin
from ledger.accrual import AccrualRefusedError
from ledger.models import Horizon
from ledger.times import at_horizon
from margin.calls.watch import close_what_is_over, keep_clocks
from margin.dynamic import propose
from margin.models import MarginRun
from margin.notices.bounces import read_bounces
from margin.notices.deliveries import deliver_due
from margin.restatement import restate

INBOX_DAY = "inbox.day"
INTEREST = "interest.day"
RETENTION = "retention.purge"
RESTATE = "margin.restate"
CALL_CLOCKS = "calls.clocks"
PROPOSE = "margin.propose"
PRICES_FILE = "prices.file"
STATEMENTS = "statements.period"
NOTICES = "notices.deliver"
BOUNCES = "notices.bounces"


class Progress(Protocol):
    """What a long step knows of its job: where to say how far it is, and whether to stop."""

    def report(self, done: int, total: int, step: str) -> None:
        """`done` of `total` parts of `step` are finished; raises when the work is to stop."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the job to be cancelled."""


Run = Callable[[Mapping[str, Any], Progress], dict[str, Any]]


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes:
        title: what people call it.
        run: does the work. A second run after a first that was cut off must be harmless.
        lease_for: how long a worker that gives no sign of life keeps the job.
        attempts_max: how often it is tried, a worker that died included.
        refusals: what no further attempt mends; the message is one sentence for people.
        topics: what open pages show that is new once it is done.
    """

    title: str
    run: Run
    lease_for: timedelta = timedelta(seconds=settings.JOB_LEASE_SECONDS)
    attempts_max: int = 3
    refusals: tuple[type[Exception], ...] = ()
    topics: tuple[str, ...] = ()


def run_inbox_day(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Run a day's folder through the cycle; the whole result stands at the business day."""
    as_of = arguments.get("as_of")
    result = run_day(
        Path(arguments["folder"]),
        as_of=None if as_of is None else datetime.fromisoformat(as_of),
        progress=progress,
    )
    run_after_day(progress)
    return {"business_day": result["business_day"], "control_totals": result["control_totals"]}


def run_interest(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Accrue and post interest up to a day; what was done before is found done."""
    return accrue_all(
        on=date.fromisoformat(arguments["on"]), actor=Actor.job(INTEREST), report=progress.report
    )


def run_restatement(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Restate a margin run; what was restated already is found so."""
    progress.report(0, 1, "Compute it again")
    found = restate(arguments["run"], actor=Actor.job(RESTATE), reason=arguments["reason"])
    return {
        "run": found.original.number,
        "restated": None if found.run is None else found.run.number,
        "new": found.is_new,
    }


def run_proposals(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Propose the rates that policies make of a run; what was proposed already is found so."""
    progress.report(0, 1, "Work out rates")
    run = MarginRun.objects.get(number=arguments["run"])
    return propose(run, actor=Actor.job(PROPOSE))


def run_call_clocks(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Let calls expire and be escalated that are due; what was done before is found done."""
    progress.report(0, 1, "Look at the clocks of calls")
    done: dict[str, Any] = {**keep_clocks(actor=Actor.job(CALL_CLOCKS))}
    return done | {"closed": close_what_is_over(actor=Actor.job(CALL_CLOCKS))}


def run_notices(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Deliver the notices that are due; what was sent before is not sent again."""
    return deliver_due(report=progress.report)._asdict()


def run_bounces(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Read what mail servers gave back; a message that was read before is not again."""
    return {**read_bounces(Path(arguments["folder"]), report=progress.report)}


def run_price_file(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Take a price file and run what it touches; a file that was taken before is not again."""
    path = Path(arguments["file"])
    content = read_file(path, name=path.name, size_limit=settings.INBOX_FILE_SIZE_MAX)
    taken = take_prices(content, name=path.name, actor=Actor.job(PRICES_FILE))
    return taken.as_json() | {"margin": run_remargin(arguments, progress)}


def run_purge(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Let go what is past its latest date."""
    progress.report(0, 1, "Let go what is past its date")
    return purge(actor=Actor.job(RETENTION))


def run_statements(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Make all clients' statements of a period; those kept with this content stay as they are."""
    made = make_statements(
        LegalEntity.objects.get(code=arguments["legal_entity"]),
        period_of(arguments["period"]),
        point=at_horizon(Horizon.objects.get(pk=arguments["horizon"])),
        actor=Actor.job(STATEMENTS),
        report=progress.report,
    )
    return {"period": made.period.code, "clients": made.clients, "new_files": made.new}


JOB_KINDS: dict[str, JobKind] = {
    STATEMENTS: JobKind(
        title="Client statements",
        run=run_statements,
        refusals=(StatementRefusedError, StatementsDifferError, RefusedError),
        topics=("record",),
    ),
    RESTATE: JobKind(
        title="Restate a margin run",
        run=run_restatement,
        refusals=(MarginRun.DoesNotExist, RefusedError),
        topics=("margin",),
    ),
    PROPOSE: JobKind(
        title="Propose margin rates",
        run=run_proposals,
        refusals=(MarginRun.DoesNotExist, RefusedError),
        topics=("margin",),
    ),
    CALL_CLOCKS: JobKind(title="Clocks of calls", run=run_call_clocks, topics=("margin",)),
    NOTICES: JobKind(title="Notices of calls", run=run_notices, topics=("margin",)),
    BOUNCES: JobKind(
        title="Notices that came back",
        run=run_bounces,
        refusals=(RefusedError,),
        topics=("margin",),
    ),
    REMARGIN: JobKind(
        title="Margin at new prices",
        run=run_remargin,
        attempts_max=10,
        topics=("day", "margin", "prices"),
    ),
    PRICES_FILE: JobKind(
        title="A price file",
        run=run_price_file,
        attempts_max=10,
        refusals=(FolderRefusedError, PriceFileRefusedError, RefusedError),
        topics=("day", "margin", "prices"),
    ),
    RETENTION: JobKind(title="Let go what is past its date", run=run_purge, topics=("record",)),
    INTEREST: JobKind(
        title="Interest of the day",
        run=run_interest,
        refusals=(AccrualRefusedError, RefusedError),
        topics=("book",),
    ),
    INBOX_DAY: JobKind(
        title="The day's cycle",
        run=run_inbox_day,
        attempts_max=10,
        refusals=(FolderRefusedError,),
        topics=("book", "breaks", "day", "margin", "prices", "record"),
    ),
    VERIFY: JobKind(
        title="Proof of the book",
        run=run_proof,
        refusals=(BookUnsoundError,),
        topics=("record",),
    ),
}

__all__ = [
    "BOUNCES", "CALL_CLOCKS", "INBOX_DAY", "INTEREST", "JOB_KINDS", "NOTICES", "PRICES_FILE",
    "PROPOSE", "REMARGIN", "RESTATE", "RETENTION", "STATEMENTS", "VERIFY", "JobKind", "Progress",
]  # fmt: skip
