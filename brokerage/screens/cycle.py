"""The day's cycle as a panel: which steps are done, what they counted, where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.figures import grouped
from brokerage.inbox.cycle import STEPS
from brokerage.job_kinds import INBOX_DAY
from brokerage.models import BusinessDay, DayStep, Job

Outcome = Mapping[str, Any]


@dataclass(frozen=True)
class StepLine:
    """One step as the panel shows it.

    Attributes:
        state: done, running, stopped or waiting.
        text: what it counted, or where it stands.
        job: the job whose progress is this step's, while it can tell parts of it.
    """

    title: str
    state: str
    text: str = ""
    job: Job | None = None


@dataclass(frozen=True)
class CyclePanel:
    """All steps, with the job that does or did them."""

    lines: list[StepLine]
    done: int
    job: Job | None

    @property
    def total(self) -> int:
        return len(self.lines)

    @property
    def state(self) -> str:
        """The job state that the whole cycle is in."""
        if self.done == self.total:
            return Job.State.DONE
        return Job.State.WAITING if self.job is None else self.job.state


def cycle_steps(business_day: BusinessDay | None, *, job: Job | None = None) -> CyclePanel:
    """The panel of a business day; of the day that is about to begin when there is none yet.

    Args:
        business_day: the day as it was opened.
        job: the job that runs it, where the caller knows; else the newest of that day.
    """
    outcomes: dict[str, Outcome] = {}
    if business_day is not None:
        rows = DayStep.objects.filter(business_day=business_day)
        outcomes = dict(rows.values_list("step", "outcome"))
    job = job or _job_of(business_day)
    lines = []
    is_next = True
    for step in STEPS:
        if step.name in outcomes:
            lines.append(StepLine(step.title, "done", _summary(step.name, outcomes[step.name])))
        else:
            lines.append(_unfinished(step.title, job if is_next else None))
            is_next = False
    return CyclePanel(lines, done=len(outcomes), job=job)


def _job_of(business_day: BusinessDay | None) -> Job | None:
    jobs = Job.objects.filter(name=INBOX_DAY).order_by("-created_at", "-pk")
    if business_day is not None:
        return jobs.filter(key__startswith=f"{INBOX_DAY}:{business_day.day.isoformat()}:").first()
    return jobs.filter(state__in=[Job.State.WAITING, Job.State.RUNNING]).first()


def _unfinished(title: str, job: Job | None) -> StepLine:
    """A step without a row; `job` is given for the one that comes next."""
    if job is None or job.state == Job.State.WAITING:
        return StepLine(title, "waiting")
    if job.state != Job.State.RUNNING:
        return StepLine(title, "stopped", job.get_state_display())
    has_parts = job.step == title and job.total != len(STEPS)
    return StepLine(title, "running", "", job if has_parts else None)


def _summary(step: str, outcome: Outcome) -> str:
    """What a step counted, in a few words; nothing for a step of which nothing is said."""
    said = SUMMARIES.get(step)
    return "" if said is None else said(outcome)


def _counted(number: int, word: str) -> str:
    return f"{grouped(number)} {word}{'' if number == 1 else 's'}"


def _prices(outcome: Outcome) -> str:
    return f"{_counted(outcome['price_rows'], 'row')}, {grouped(outcome['rejected'])} rejected"


def _events(outcome: Outcome) -> str:
    read = outcome["applied"] + outcome["refused"]
    return (
        f"{grouped(outcome['applied'])} of {grouped(read)}, {grouped(outcome['refused'])} refused"
    )


def _margin(outcome: Outcome) -> str:
    return _counted(outcome["scopes"], "scope")


def _calls(outcome: Outcome) -> str:
    return (
        f"{_counted(outcome['issued'], 'new call')},"
        f" {grouped(outcome['below_minimum'])} below minimum"
    )


def _statements(outcome: Outcome) -> str:
    banks = outcome["banks"].values()
    lines = sum(bank["statement_lines"] for bank in banks)
    matched = sum(bank["matched"] for bank in banks)
    return f"{_counted(lines, 'line')}, {grouped(matched)} matched"


def _result(outcome: Outcome) -> str:
    return _counted(outcome["breaks"], "break")


SUMMARIES: Mapping[str, Callable[[Outcome], str]] = {
    "prices": _prices,
    "events": _events,
    "margin": _margin,
    "calls": _calls,
    "statements": _statements,
    "result": _result,
}
