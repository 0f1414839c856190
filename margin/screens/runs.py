"""Margin runs: what was computed when, restatements beside their originals, and their calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.columns import Column
from accounts.filters import Choice, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.roles import REQUEST, DeskRequest, may, require
from margin.calls.affected import AffectedCall, affected_calls
from margin.calls.decisions import CANCEL, may_decide
from margin.models import MarginResult, MarginRun, MarginState, RunException
from margin.restatement import differing_exceptions, differing_results, newest_restatement
from margin.screens.visible import (
    CALL_ACCOUNT,
    MARGIN_MOVED,
    NO_PAGE,
    entity_here,
    of_accounts,
    scope_name,
)

START = "job.start"
CALLS_A_PAGE = 50
EXCEPTIONS_SHOWN_MAX = 50
RUN_COLUMNS = (
    Column("number", "Run", sort=("as_of", "number")),
    Column("as_of", "As of", sort=("as_of",)),
    Column("purpose", "Why", sort=("purpose",)),
    Column("restates", "Restates", value="restates.number", sort=("restates__number",)),
    Column("scope_count", "Scopes", sort=("scope_count",), numeric=True),
    Column("finished_at", "Finished", sort=("finished_at",), is_shown=False),
    Column("inputs_sha256", "Inputs", is_shown=False),
    Column("result_sha256", "Results", is_shown=False),
)
COLUMNS = (
    Column(
        "scope", "Scope", value=scope_name,
        sort=("scope__bucket__account__code", "scope__bucket__code"),
    ),
    Column("was_equity", "Equity then", sort=("was_equity",), numeric=True),
    Column("equity", "Equity restated", sort=("equity",), numeric=True),
    Column("was_initial", "Initial margin then", sort=("was_initial",), numeric=True),
    Column("initial_margin", "Initial margin restated", sort=("initial_margin",), numeric=True),
    Column(
        "was_maintenance", "Maintenance then", sort=("was_maintenance",), numeric=True,
        is_shown=False,
    ),
    Column(
        "maintenance_margin", "Maintenance restated", sort=("maintenance_margin",), numeric=True,
        is_shown=False,
    ),
    Column("was_state", "State then", sort=("was_state",)),
    Column("state", "State restated", sort=("state",)),
    Column("was_called", "Call then", sort=("was_called",), numeric=True, is_shown=False),
    Column("call_amount", "Call restated", sort=("call_amount",), numeric=True, is_shown=False),
)  # fmt: skip


@dataclass(frozen=True)
class CallRow:
    """A call that would have been another, and what may be decided of it now."""

    affected: AffectedCall
    verdicts: Sequence[str]

    @property
    def difference(self) -> Decimal | None:
        """What would have been called more, or less where it is negative."""
        if self.affected.should_be is None:
            return None
        return self.affected.should_be - self.affected.called


@require_GET
@require("read")
def run_list(request: DeskRequest) -> HttpResponse:
    """Every run, the newest first."""
    listing = Listing(
        request,
        MarginRun.objects.select_related("restates"),
        name="margin-runs",
        columns=RUN_COLUMNS,
        filters=[
            Choice("purpose", "Why", "purpose", purposes),
            Text("q", "Run", ("number", "restates__number")),
        ],
        default_sort="-number",
    )
    if listing.format:
        return listing.export()
    context = {"listing": listing, "rows": listing.page}
    return live_answer(
        request,
        context,
        page="margin/runs.html",
        region="margin/_runs.html",
        triggers=MARGIN_MOVED,
        name="runs",
    )


def purposes() -> list[tuple[str, str]]:
    """Why runs were made, as far as any was."""
    found = MarginRun.objects.order_by("purpose").values_list("purpose", flat=True).distinct()
    return [(each, each) for each in found]


@require_GET
@require("read")
def run_page(request: DeskRequest, number: str) -> HttpResponse:
    """One run; a restatement beside its original, with the scopes and calls that differ."""
    run = run_or_404(number)
    original = run.restates or run
    context: dict[str, object] = {
        "run": run,
        "original": run.restates,
        "restatements": MarginRun.objects.filter(restates=original).order_by("-pk"),
        "newest": newest_restatement(original),
        "can_restate": may(request, START, entity_here(request)),
    }
    if run.restates is None:
        return render(request, "margin/run.html", context)
    listing = Listing(
        request,
        differing_here(request, run),
        name=f"restated-{run.number}",
        columns=COLUMNS,
        filters=[
            Choice("state", "State restated", "state", MarginState.choices),
            Text("q", "Account", ("scope__bucket__account__code",)),
        ],
        default_sort="scope",
    )
    if listing.format:
        return listing.export()
    lost, gained = differing_exceptions(run)
    calls = call_rows(request, run)
    context |= {
        "listing": listing,
        "rows": listing.page,
        "calls": calls,
        "calls_earlier": calls_page(request, calls, step=-1),
        "calls_later": calls_page(request, calls, step=1),
        "lost": exceptions_shown(request, lost),
        "gained": exceptions_shown(request, gained),
    }
    return render(request, "margin/run.html", context)


def run_or_404(number: str) -> MarginRun:
    """A run by its number."""
    run = MarginRun.objects.select_related("restates", "horizon").filter(number=number).first()
    if run is None:
        raise Http404(NO_PAGE)
    return run


def differing_here(request: DeskRequest, run: MarginRun) -> "QuerySet[MarginResult]":
    """The results that differ, of scopes that the person may see."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path=CALL_ACCOUNT)
    return differing_results(run).filter(mine)


def exceptions_shown(
    request: DeskRequest, rows: "QuerySet[RunException]"
) -> "QuerySet[RunException]":
    mine = of_accounts(request.roles, [entity_here(request).pk], path="account")
    return rows.filter(mine)[:EXCEPTIONS_SHOWN_MAX]


def call_rows(request: DeskRequest, run: MarginRun) -> "Page[CallRow]":
    """A page, `?calls=`, of the calls that would have been others and the person may see."""
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path=CALL_ACCOUNT)
    can_decide = may(request, f"{REQUEST}{CANCEL}", entity)
    is_newest = newest_restatement(run.restates or run) == run
    rows = [
        CallRow(each, may_decide(each) if can_decide and is_newest else ())
        for each in affected_calls(run, where=mine)
    ]
    return Paginator(rows, CALLS_A_PAGE).get_page(request.GET.get("calls"))


def calls_page(request: DeskRequest, shown: "Page[CallRow]", *, step: int) -> str:
    """The address of the page of calls before or after; empty where there is none."""
    number = shown.number + step
    if not 1 <= number <= shown.paginator.num_pages:
        return ""
    query = request.GET.copy()
    query["calls"] = str(number)
    return f"{request.path}?{query.urlencode()}"
