"""Celery entry points. A task names a moment; the work is in the function it calls.

Any of them may come twice or late: whatever they call looks at the database first.
"""

from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.seals import sealer
from brokerage import jobs, worker
from brokerage.inbox.price_watch import Watched, ask_for_newest
from brokerage.inbox.watch import ask_for_next_day
from brokerage.interest_watch import ask_for_interest
from brokerage.job_kinds import CALL_CLOCKS, RETENTION
from brokerage.nightly import VERIFY, due_proof
from brokerage.notice_watch import ask_for_bounces, ask_for_notices
from brokerage.proposal_watch import ask_for_proposals
from ledger import checkpoints, horizons
from margin import coverage, switches
from margin.calls.watch import due_steps

watched_prices = Watched()


@shared_task  # type: ignore[untyped-decorator]
def run_job(job_id: int) -> None:
    """Do a job, unless another worker holds it or it has ended."""
    worker.run_job(job_id)


@shared_task  # type: ignore[untyped-decorator]
def sweep_jobs() -> None:
    """Send again what messages and workers lost."""
    jobs.sweep_jobs()


@shared_task  # type: ignore[untyped-decorator]
def seal_history() -> None:
    """Seal what has been written since the last seal."""
    sealer.seal_history()


@shared_task  # type: ignore[untyped-decorator]
def store_horizon() -> None:
    """Store which transactions have committed now."""
    horizons.store_horizon("minute")


@shared_task  # type: ignore[untyped-decorator]
def keep_checkpoints() -> None:
    """Keep the balances of a moment where enough was posted since the last time."""
    checkpoints.keep_checkpoints()


@shared_task  # type: ignore[untyped-decorator]
def watch_inbox() -> None:
    """Ask for the next day in the inbox folder, where one is set."""
    if settings.INBOX_FOLDER is not None:
        ask_for_next_day(Path(settings.INBOX_FOLDER), now=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def watch_prices() -> None:
    """Ask for price files that lie in the inbox folder, and for what was taken and not run."""
    ask_for_newest()
    if settings.INBOX_FOLDER is not None:
        watched_prices.look(Path(settings.INBOX_FOLDER), now=timezone.now())


@shared_task  # type: ignore[untyped-decorator]
def watch_coverage() -> None:
    """Ask somebody to look where margin is not checked as often as was promised."""
    coverage.watch_coverage()


@shared_task  # type: ignore[untyped-decorator]
def watch_switches() -> None:
    """Ask somebody to look at a stop that is past its time."""
    switches.watch_switches()


@shared_task  # type: ignore[untyped-decorator]
def prove_the_book() -> None:
    """Ask for tonight's proof, once."""
    key = due_proof(timezone.now())
    if key is not None:
        jobs.ask_for_job(VERIFY, key=key, arguments={})


@shared_task  # type: ignore[untyped-decorator]
def accrue_interest() -> None:
    """Ask for the interest of the newest business day that is over."""
    ask_for_interest()


@shared_task  # type: ignore[untyped-decorator]
def propose_margin() -> None:
    """Ask for the rates that policies make of the newest run."""
    ask_for_proposals()


@shared_task  # type: ignore[untyped-decorator]
def keep_call_clocks() -> None:
    """Ask for the clocks of calls where one has run out; once a minute at the most."""
    if due_steps():
        minute = timezone.now().replace(second=0, microsecond=0).isoformat()
        jobs.ask_for_job(CALL_CLOCKS, key=f"{CALL_CLOCKS}:{minute}", arguments={})


@shared_task  # type: ignore[untyped-decorator]
def deliver_notices() -> None:
    """Ask for the notices that are due, where any are."""
    ask_for_notices()


@shared_task  # type: ignore[untyped-decorator]
def read_bounces() -> None:
    """Ask for reading what mail servers gave back, where a folder is named and has any."""
    ask_for_bounces()


@shared_task  # type: ignore[untyped-decorator]
def purge_records() -> None:
    """Ask once a day for letting go what is past its latest date."""
    today = timezone.now().date()
    jobs.ask_for_job(RETENTION, key=f"retention:{today}", arguments={})
