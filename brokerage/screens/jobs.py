"""Jobs: what the machine does, how far it is, and what became of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.clock import span
from accounts.columns import Column
from accounts.filters import Choice, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.roles import DeskRequest, require
from accounts.states import shown_state
from brokerage.job_kinds import INBOX_DAY, JOB_KINDS
from brokerage.jobs import JobStateError, cancel_job, retry_job
from brokerage.models import BusinessDay, Job
from brokerage.screens.cycle import CyclePanel, cycle_steps

UNENDED = (Job.State.WAITING, Job.State.RUNNING)
ENDED_BADLY = (Job.State.FAILED, Job.State.CANCELLED)


def title_of(job: Job) -> str:
    """What people call this job: its kind, and the day it is about."""
    kind = JOB_KINDS.get(job.name)
    title = job.name if kind is None else kind.title
    return f"{title}, {job.key.split(':')[1]}" if job.name == INBOX_DAY else title


def kinds() -> list[tuple[str, str]]:
    """The kinds of jobs, for the filter."""
    return sorted((name, kind.title) for name, kind in JOB_KINDS.items())


def left_text(job: Job) -> str:
    """How long the running step will still take: "3 s"; "" where that cannot be told."""
    if job.state != Job.State.RUNNING or not job.left_for:
        return ""
    return span(max(job.left_for, timedelta(seconds=1)).total_seconds())


COLUMNS = (
    Column("title", "Job", value=title_of, sort=("name", "key")),
    Column("state", "State", sort=("state",)),
    Column("progress", "Progress", is_exported=False),
    Column("step", "Step", is_shown=False),
    Column("done", "Done", numeric=True, is_shown=False),
    Column("total", "Of", numeric=True, is_shown=False),
    Column("attempt", "Tries", sort=("attempt",), numeric=True),
    Column("asked_by", "Asked by", value="asked_by.full_name", sort=("asked_by__full_name",)),
    Column("created_at", "Asked", sort=("created_at",), numeric=True, is_shown=False),
    Column("started_at", "Started", sort=("started_at",), numeric=True),
    Column("ended_at", "Ended", sort=("ended_at",), numeric=True),
    Column("error", "Reason", is_shown=False),
    Column("key", "Key", sort=("key",), is_shown=False),
    Column("act", "Act", is_exported=False),
)
FILTERS = (
    Choice("state", "State", "state", [(s, shown_state("job", s).word) for s in Job.State.values]),
    Choice("kind", "Kind", "name", kinds),
    Text("q", "Key or reason", ("key", "error")),
)


class JobLine(NamedTuple):
    """A job as a row shows it."""

    job: Job
    title: str
    left: str
    can_cancel: bool
    can_retry: bool


@require_GET
@require("read")
def job_list(request: DeskRequest) -> HttpResponse:
    """Every job, the newest first; htmx asks for the rows again while the page is open."""
    listing = Listing(
        request,
        Job.objects.select_related("asked_by"),
        name="jobs",
        columns=COLUMNS,
        filters=FILTERS,
        default_sort="-created_at",
        tabs="state",
    )
    if listing.format:
        return listing.export()
    lines = [line_of(request, job) for job in listing.page]
    context = {"listing": listing, "lines": lines, "is_busy": Job.objects.filter(
        state__in=UNENDED).exists()}  # fmt: skip
    return jobs_answer(
        request, context, page="brokerage/jobs.html", region="brokerage/_job_rows.html"
    )


@require_GET
@require("read")
def job_page(request: DeskRequest, job_id: int) -> HttpResponse:
    """One job: how far it is, who asked, what became of it."""
    return job_answer(request, job_or_404(job_id))


@require_POST
@require("job.cancel")
def cancel(request: DeskRequest, job_id: int) -> HttpResponse:
    """Cancel the job, or ask the worker that has it to stop."""
    return act(request, job_id, cancel_job, said="Cancelled, or asked to stop at its next report.")


@require_POST
@require("job.start")
def retry(request: DeskRequest, job_id: int) -> HttpResponse:
    """Let a job that failed or was cancelled begin anew."""
    return act(request, job_id, retry_job, said="Sent to the workers again.")


def act(request: DeskRequest, job_id: int, do: Callable[..., None], *, said: str) -> HttpResponse:
    """Do it, or answer with the sentence that says why not."""
    job = job_or_404(job_id)
    try:
        do(job.pk, actor=request.actor)
    except JobStateError as refused:
        messages.error(request, str(refused))
        return job_answer(request, job_or_404(job_id), status=409)
    messages.success(request, said)
    return redirect("brokerage:job", job_id)


def job_answer(request: DeskRequest, job: Job, *, status: int = 200) -> HttpResponse:
    """The job's page as it stands now."""
    context = {
        "line": line_of(request, job),
        "job": job,
        "kind": JOB_KINDS.get(job.name),
        "facts": sorted((job.arguments or {}).items()),
        "cycle": cycle_of(job),
        "is_busy": job.state in UNENDED,
    }
    return jobs_answer(
        request, context, page="brokerage/job.html", region="brokerage/_job.html", status=status
    )


def jobs_answer(
    request: DeskRequest, context: dict[str, object], *, page: str, region: str, status: int = 200
) -> HttpResponse:
    """A page of jobs that looks again every two seconds while one is not over."""
    often = "every 2s, " if context["is_busy"] else ""
    return live_answer(
        request,
        context,
        page=page,
        region=region,
        triggers=f"{often}desk:jobs from:body",
        layout="list",
        status=status,
    )


def line_of(request: DeskRequest, job: Job) -> JobLine:
    may_cancel, may_start = (
        bool(request.roles.entities(right)) for right in ("job.cancel", "job.start")
    )
    return JobLine(
        job=job,
        title=title_of(job),
        left=left_text(job),
        can_cancel=may_cancel and job.state in UNENDED and job.cancel_requested_at is None,
        can_retry=may_start and job.state in ENDED_BADLY,
    )


def cycle_of(job: Job) -> CyclePanel | None:
    """The steps of the day that the job is about."""
    if job.name != INBOX_DAY:
        return None
    day = BusinessDay.objects.filter(day=job.key.split(":")[1]).first()
    return cycle_steps(day, job=job)


def job_or_404(job_id: int) -> Job:
    found = Job.objects.select_related("asked_by").filter(pk=job_id).first()
    if found is None:
        raise Http404("There is no such page.")
    return found
