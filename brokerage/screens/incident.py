"""The incident page: one look at a legal entity for the hour in which the market breaks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import Count, Sum
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import desk_zone, span, utc_stamp
from accounts.drawing import Chart, chart
from accounts.exports import to_csv, to_json
from accounts.live import live_answer
from accounts.roles import DeskRequest, require
from brokerage.incident_timeline import (
    COLUMNS,
    KINDS,
    TooMuchError,
    Window,
    incident_timeline,
    row_of,
)
from brokerage.models import Job
from margin.calls.held_back import held_calls
from margin.coverage import coverage
from margin.liquidation_queue import liquidation_queue
from margin.market.feeds import feeds_of
from margin.models import CallEvent, MarginCall, Mark, PriceFile, Task
from margin.screens.switches import switches_here
from margin.screens.visible import (
    CALL_ACCOUNT,
    calls_here,
    entity_here,
    of_accounts,
    standing_here,
    tasks_here,
)
from margin.standing_results import StandingRuns, standing_runs

HOUR = timedelta(hours=1)
LONGEST = timedelta(days=2)
ITEMS_SHOWN = 150
HELD_SHOWN = 20
TRIGGERS = (
    "every 5s, desk:margin from:body, desk:prices from:body, desk:approvals from:body,"
    " desk:jobs from:body"
)
# What a call event counts as, in the chart.
COUNTED = {
    "issued": "issued", "raised": "changed", "lowered": "changed", "partially_met": "changed",
    "met": "ended", "cancelled": "ended", "closed": "ended",
}  # fmt: skip


@dataclass(frozen=True)
class Minute:
    """What happened to calls in a minute."""

    begins: datetime
    issued: int
    changed: int
    ended: int


@dataclass(frozen=True)
class Minutes:
    """The minutes of a window in which something happened, and all of them as a chart."""

    rows: Sequence[Minute]
    chart: Chart | None
    issued: int
    changed: int
    ended: int


@require_GET
@require("read")
def incident_page(request: DeskRequest) -> HttpResponse:
    """The page; for htmx its region alone, or 204 where the browser has it as it is."""
    runs = standing_runs()
    window, problem = window_of(request, runs)
    by_hours = request.GET.get("queue") == "hours"
    known_to = max(timezone.now(), runs.as_of) if runs.as_of else timezone.now()
    context: dict[str, object] = {
        "window": window,
        "is_fixed": bool(request.GET.get("from")),
        "problem": problem,
        "as_of": runs.as_of,
        **switches_here(request),
        **market(request),
        **calls(request, window),
        "queue": [
            (each, None if each.hours is None else span(float(each.hours) * 3600))
            for each in liquidation_queue(
                standing_here(request, runs), at=known_to, by_hours=by_hours
            )
        ],
        "by_hours": by_hours,
        **watched(),
        **told(request, window),
    }
    return live_answer(
        request, context, page="brokerage/incident.html", region="brokerage/_incident.html",
        triggers=TRIGGERS, name="incident",
    )  # fmt: skip


# ---------------------------------------------------------------- the window


def window_of(request: DeskRequest, runs: StandingRuns) -> tuple[Window, str]:
    """The hour before now, or before the newest prices where the book stands elsewhere in time;
    or what the address says, by the clock of the desk.
    """
    newest = runs.as_of
    now = timezone.now()
    ends = now if newest is None or abs(now - newest) < LONGEST else newest
    ends = ends.replace(second=0, microsecond=0) + timedelta(minutes=1)
    begins, problem = ends - HOUR, ""
    if request.GET.get("from") or request.GET.get("until"):
        try:
            begins = instant(request.GET.get("from", ""))
            ends = instant(request.GET["until"]) if request.GET.get("until") else begins + HOUR
        except ValueError:
            problem = "From and until are a date and a time, such as 2031-03-03T14:00."
        if not problem and not begins < ends <= begins + LONGEST:
            problem = "A window ends after it begins, and within two days."
        if problem:
            begins, ends = now - HOUR, now
    entity = entity_here(request)
    return Window(
        entity, begins, ends,
        lambda path: of_accounts(request.roles, [entity.pk], path=path), tasks_here(request),
    ), problem  # fmt: skip


def instant(text: str) -> datetime:
    """What was typed, at the clock of the desk.

    Raises:
        ValueError: it is no date and time.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=desk_zone())


# ---------------------------------------------------------------- its parts


def market(request: DeskRequest) -> dict[str, object]:
    """Feeds of the newest day, marks of the newest instant, and what contradicts itself."""
    newest = Mark.objects.order_by("-as_of", "-pk").first()
    if newest is None:
        return {"feeds": [], "marks": None, "mark_states": [], "bad_marks": [], "dislocations": []}
    marks = Mark.objects.standing().filter(as_of=newest.as_of).select_related("asset")
    states = Counter(mark.state for mark in marks)
    quiet = (Mark.State.VALID, Mark.State.MARKET_CLOSED)
    open_tasks = tasks_here(request).filter(kind=Task.Kind.DISLOCATION, closed_at=None)
    return {
        "feeds": feeds_of(newest.business_day),
        "marks": newest,
        "file": PriceFile.objects.defer("content").order_by("-as_of").first(),
        "mark_states": sorted(states.items()),
        "bad_marks": [mark for mark in marks if mark.state not in quiet][:HELD_SHOWN],
        "dislocations": open_tasks.select_related("owner").order_by("due_at", "pk"),
    }


def calls(request: DeskRequest, window: Window) -> dict[str, object]:
    """Open calls with their sums, what is held back, and what happened by the minute."""
    still_open = calls_here(request).filter(pk__in=MarginCall.objects.open().values("pk"))
    held = held_calls().filter(of_accounts(
        request.roles, [window.entity.pk], path="result__scope__bucket__account"
    ))  # fmt: skip
    sums = held.aggregate(count=Count("pk"), amount=Sum("amount"))
    return {
        "open_calls": still_open.values_list("state", "currency")
        .annotate(count=Count("pk"), amount=Sum("amount"))
        .order_by("state", "currency"),
        "totals": still_open.values_list("currency")
        .annotate(count=Count("pk"), amount=Sum("amount"))
        .order_by("currency"),
        "held": held.select_related("result__scope__bucket__account", "call").order_by(
            "-amount", "pk"
        )[:HELD_SHOWN],
        "held_count": sums["count"],
        "held_amount": sums["amount"] or Decimal(0),
        "minutes": minutes_of(
            CallEvent.objects.filter(
                window.within("occurred_at"), window.mine(f"call__{CALL_ACCOUNT}"),
                event__in=COUNTED,
            ).values_list("occurred_at", "event"),
            window,
        ),
    }  # fmt: skip


def minutes_of(events: Iterable[tuple[datetime, str]], window: Window) -> Minutes:
    """Events by the minute; the chart has every minute of the window, the rows those with any."""
    counts: dict[datetime, Counter[str]] = {}
    for at, event in events:
        minute = at.astimezone(UTC).replace(second=0, microsecond=0)
        counts.setdefault(minute, Counter())[COUNTED[event]] += 1
    rows = [
        Minute(each, found["issued"], found["changed"], found["ended"])
        for each, found in sorted(counts.items())
    ]
    totals = sum(counts.values(), Counter[str]())
    return Minutes(
        rows[::-1], drawn(rows, window), totals["issued"], totals["changed"], totals["ended"]
    )


def drawn(rows: Sequence[Minute], window: Window) -> Chart | None:
    """Issued and changed calls in steps of a minute, or of more where the window is long."""
    if not rows:
        return None
    step = max(window.ends_at - window.begins_at, HOUR) / 60
    issued, changed = [0] * 60, [0] * 60
    for row in rows:
        place = min(max(int((row.begins - window.begins_at) / step), 0), 59)
        issued[place] += row.issued
        changed[place] += row.changed
    zone = desk_zone()
    ends = (window.begins_at, window.begins_at + step * 30, window.ends_at)
    return chart(
        [("im", [Decimal(n) for n in changed]), ("eq", [Decimal(n) for n in issued])],
        days=[f"{end.astimezone(zone):%H:%M}" for end in ends],
        words=f"Calls issued (line with dots) and changed, by {span(step.total_seconds())}: at most"
        f" {max(issued)} issued and {max(changed)} changed; figures in the table below",
    )


def watched() -> dict[str, object]:
    """How well scopes are looked at, and how long work waits for a worker."""
    found, now = coverage(), timezone.now()
    waiting = Job.objects.filter(state=Job.State.WAITING)
    oldest = waiting.order_by("created_at").values_list("created_at", flat=True).first()
    running = Job.objects.filter(state=Job.State.RUNNING)
    lag = None if oldest is None else max(now - oldest, timedelta(0))
    return {
        "coverage": found,
        "waiting_jobs": waiting.count(),
        "running_jobs": running.count(),
        "lag": None if lag is None else span(max(lag.total_seconds(), 1)),
        "failed_jobs": Job.objects.filter(state=Job.State.FAILED, ended_at__gte=now - HOUR).count(),
    }


def told(request: DeskRequest, window: Window) -> dict[str, Any]:
    """The timeline, the newest first, of one kind or of all."""
    kind = request.GET.get("kind", "")
    try:
        items = incident_timeline(window)
    except TooMuchError as refused:
        return {"items": [], "kinds": [], "kind": "", "item_count": 0, "too_much": str(refused)}
    counts = Counter(item.kind for item in items)
    chosen = [item for item in items if kind not in KINDS or item.kind == kind]
    return {
        "items": list(islice(reversed(chosen), ITEMS_SHOWN)),
        "item_count": len(chosen),
        "kinds": [(name, counts[name]) for name in KINDS if counts[name]],
        "kind": kind if kind in KINDS else "",
        "too_much": "",
    }


# ---------------------------------------------------------------- taking it out


@require_GET
@require("read")
def incident_export(request: DeskRequest, form: str) -> HttpResponse:
    """The timeline of the window as a file, oldest first: CSV or JSON."""
    window, problem = window_of(request, standing_runs())
    kind = request.GET.get("kind", "")
    try:
        items = [] if problem else incident_timeline(window)
    except TooMuchError as refused:
        problem = str(refused)
    if problem:
        return HttpResponse(problem + "\n", status=422, content_type="text/plain; charset=utf-8")
    rows = [row_of(item) for item in items if kind not in KINDS or item.kind == kind]
    name = f"incident-{window.entity.code}-{window.begins_at.astimezone(UTC):%Y%m%dT%H%MZ}"
    if form == "json":
        about: dict[str, object] = {
            "legal_entity": window.entity.code,
            "from": utc_stamp(window.begins_at),
            "until": utc_stamp(window.ends_at),
            "kind": kind,
        }
        content, mime = to_json(COLUMNS, rows, about=about), "application/json"
    else:
        content, mime = to_csv(COLUMNS, rows), "text/csv; charset=utf-8"
    return HttpResponse(
        content, content_type=mime,
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )  # fmt: skip
