"""What needs a person: tasks with an owner and a clock, and scopes a run could not compute."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Value, When
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.audit import RefusedError
from accounts.clock import zone_label
from accounts.columns import Column
from accounts.emergencies import alarms
from accounts.filters import Choice, Day, Option, Owner, Text
from accounts.listing import Listing, wants_rows
from accounts.live import live_answer
from accounts.models import Role
from accounts.roles import DeskRequest, may, refusal, require
from ledger.letters import letters_in_need
from ledger.receipts import receipts_of
from ledger.screens.locations import desk_today
from margin.handover import CLOSED_BY_PEOPLE, StaleTaskError, close_task, take_task
from margin.models import Task
from margin.screens.visible import (
    MARGIN_MOVED,
    NO_PAGE,
    entity_here,
    exceptions_here,
    newest_run,
    results_here,
    tasks_here,
)

TAKE = "task.take"
OPEN, CLOSED = "open", "closed"
STATUSES = [(OPEN, "Open"), (CLOSED, "Closed")]
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 10, 200

EXCEPTION_COLUMNS = (
    Column("scope", "Scope", value="account.code", sort=("account__code", "bucket_code")),
    Column("bucket", "Bucket", value="bucket_code", sort=("bucket_code",)),
    Column("reason", "Reason", sort=("reason", "account__code")),
    Column("detail", "Detail"),
)
REASONS = {
    "no_agreement": "No agreement in force",
    "no_option_rules": "Options under rules that know none",
    "unpriced_position": "No mark or no terms",
}


@dataclass(frozen=True)
class TaskRow:
    """A task as a row shows it."""

    task: Task
    is_closable: bool
    is_mine: bool


def task_columns() -> list[Column]:
    """The columns, times under the label of the desk's zone."""
    zone = zone_label(timezone.now())
    return [
        Column("subject", "Task", sort=("subject",)),
        Column("kind", "Kind", sort=("kind", "due_at")),
        Column("detail", "Detail"),
        Column("due", f"Due, {zone}", value="due_at", sort=("due_at",)),
        Column("owner", "Owner", value="owner.full_name", sort=("owner__full_name",)),
        Column("role", "For", value="owner_role", sort=("owner_role",)),
        Column("opened", f"Opened, {zone}", value="opened_at", sort=("opened_at",), is_shown=False),
        Column("business_day", "Day", sort=("business_day",), is_shown=False),
        Column("closed", "Closed", value="closed_at", sort=("closed_at",), is_shown=False),
        Column("close_reason", "Why closed", is_shown=False),
    ]


@require_GET
@require("read")
def task_list(request: DeskRequest) -> HttpResponse:
    """The tasks, open ones first due first, as a page, its live region or a file."""
    listing = task_listing(request)
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "rows": [task_row(request, task) for task in listing.page],
        "can_take": may(request, TAKE, entity_here(request)),
        "exceptions": exceptions_here(request, newest_run()).count(),
        "alarms": alarms(entity_here(request)),
        "pause": listing.address(live=["off"]),
        "resume": listing.address(live=[]),
    }
    return live_answer(
        request,
        context,
        page="margin/tasks.html",
        region="margin/_tasks.html",
        triggers=MARGIN_MOVED,
        name="tasks",
    )


def task_listing(request: DeskRequest) -> Listing[Task]:
    """The list that the address asks for."""
    entity = entity_here(request)
    status = Case(When(closed_at=None, then=Value(OPEN)), default=Value(CLOSED))
    tasks = tasks_here(request).annotate(status=status)
    return Listing(
        request,
        tasks.select_related("owner", "scope__bucket__account"),
        name="tasks",
        columns=task_columns(),
        filters=[
            Choice("status", "Status", "status", STATUSES, default=OPEN),
            Choice("kind", "Kind", "kind", Task.Kind.choices),
            Choice("role", "For", "owner_role", [Option(r.value, r.label) for r in Role]),
            Owner(request.operator.pk, entity),
            Day("day", "Opened on", "business_day"),
            Text("q", "Text", ("subject", "detail")),
        ],
        default_sort="-closed" if request.GET.get("status") == CLOSED else "due",
        tabs="status",
    )


def task_row(request: DeskRequest, task: Task) -> TaskRow:
    return TaskRow(
        task=task,
        is_closable=task.closed_at is None and task.kind in CLOSED_BY_PEOPLE,
        is_mine=task.owner_id == request.operator.pk,
    )


def task_or_404(request: DeskRequest, task_id: int) -> Task:
    """One task that the person may see and work on.

    Raises:
        Http404: it does not exist for them.
        PermissionDenied: none of their roles works on tasks; the text says who can.
    """
    task = tasks_here(request).filter(pk=task_id).select_related("owner").first()
    if task is None:
        raise Http404(NO_PAGE)
    entity = entity_here(request)
    if not may(request, TAKE, entity):
        raise PermissionDenied(refusal(TAKE, entity.pk))
    return task


@require_POST
@require("read")
def take(request: DeskRequest, task_id: int) -> HttpResponse:
    """Become the owner of a task."""
    task = task_or_404(request, task_id)
    seen = request.POST.get("owner", "")
    try:
        take_task(
            task.pk,
            seen_owner=int(seen) if seen.isdecimal() else None,
            actor=request.actor,
            request_id=request.request_id,
        )
    except (StaleTaskError, RefusedError) as refused:
        messages.error(request, f"Not taken over: {refused}")
    else:
        messages.success(request, f"You own “{task.subject}” now.")
    return redirect("margin:tasks")


@require_http_methods(["GET", "POST"])
@require("read")
def close(request: DeskRequest, task_id: int) -> HttpResponse:
    """Ask for the reason, then close a task that no run closes."""
    task = task_or_404(request, task_id)
    if request.method == "GET":
        return close_form(request, task)
    reason = request.POST.get("reason", "").strip()
    if not REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        problem = f"A reason has {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX} characters."
        return close_form(request, task, reason=reason, problem=problem, status=422)
    try:
        close_task(task.pk, reason=reason, actor=request.actor, request_id=request.request_id)
    except (StaleTaskError, RefusedError) as refused:
        return close_form(
            request, task, reason=reason, problem=f"Not closed: {refused}", status=409
        )
    messages.success(request, f"“{task.subject}” is closed.")
    return redirect("margin:tasks")


def close_form(
    request: DeskRequest, task: Task, *, reason: str = "", problem: str = "", status: int = 200
) -> HttpResponse:
    """The question, as a dialog for htmx and as a page without it."""
    is_dialog = wants_rows(request) and request.method == "GET"
    context = {
        "task": task,
        "reason": reason,
        "problem": problem,
        "address": request.path,
        "title": "Close this task?",
        "action": "Close the task",
    }
    template = "margin/_close_task.html" if is_dialog else "margin/close_task.html"
    return render(request, template, context, status=status)


@require_GET
@require("read")
def exception_list(request: DeskRequest) -> HttpResponse:
    """The scopes that the newest run could not compute, and why."""
    run = newest_run()
    listing = Listing(
        request,
        exceptions_here(request, run).select_related("account__client"),
        name="margin-exceptions",
        columns=EXCEPTION_COLUMNS,
        filters=[
            Choice("reason", "Reason", "reason", list(REASONS.items())),
            Text("q", "Account", ("account__code", "account__client__code")),
        ],
        default_sort="scope",
    )
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "run": run,
        "rows": [(each, REASONS.get(each.reason, each.reason)) for each in listing.page],
        "computed": results_here(request, run).count(),
        "letters": letters_in_need(entity_here(request), today=desk_today()),
        "receipts": [
            each
            for each in receipts_of(entity_here(request), today=desk_today(), is_open=True)
            if each.alarms
        ],
    }
    return live_answer(
        request,
        context,
        page="margin/exceptions.html",
        region="margin/_exceptions.html",
        triggers=MARGIN_MOVED,
        name="exceptions",
    )
