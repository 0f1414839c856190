"""Reports: what there is, for which day, and what was taken out by whom."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import RefusedError, acting
from accounts.columns import Column
from accounts.filters import Choice, Day
from accounts.listing import Listing, wants_rows
from accounts.models import Act, LegalEntity
from accounts.roles import DeskRequest, check, may, require
from brokerage.cases.case_file import CASE_FILE
from brokerage.client_statements import NAME, TOTALS
from brokerage.models import BusinessDay, ReportFile
from brokerage.reports import CATALOGUE, FORMATS, Report, ReportRefusedError, write_report
from brokerage.reports.report import WrittenReport
from ledger.naming import actor_words
from ledger.screens.times import Times, in_two_times
from ledger.times import TimeRefusedError, parsed_instant

EXPORT = "report.export"
# What a report needs besides the right to export reports.
NEEDS = {"audit-trail": "audit.export"}
DAYS_SHOWN = 60
# Statements of clients and cases have pages of their own, where desks are kept apart.
OF_CLIENTS = (NAME, TOTALS, CASE_FILE)

COLUMNS = (
    Column("written_at", "Written", sort=("written_at",)),
    Column("name", "Report", sort=("name", "business_day")),
    Column("business_day", "Day", sort=("business_day", "name")),
    Column("format", "Format", sort=("format",)),
    Column("rows", "Rows", value=lambda file: file.manifest.get("rows"), numeric=True),
    Column("by", "By", is_exported=False),
    Column("sha256", "sha256"),
    Column("run", "Run", value=lambda file: file.manifest.get("run"), is_shown=False),
)


@dataclass(frozen=True)
class Offer:
    """A report of the catalogue as this person finds it."""

    report: Report
    is_allowed: bool


@dataclass(frozen=True)
class WrittenLine:
    """A report that was written, with who wrote it."""

    file: ReportFile
    title: str
    by: str


@require_GET
@require("read")
@in_two_times(has_date=False)
def report_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """The catalogue for a day, and the list of what was written."""
    entity = entity_of(request)
    days = closed_days(entity)
    chosen = chosen_day(request, days)
    listing = written_listing(request, days)
    if listing.format:
        return listing.export()
    context = {
        "offers": [offer(request, entity, report) for report in CATALOGUE.values()],
        "formats": FORMATS,
        "can_audit": may(request, "model.audit", entity)
        and request.roles.desks("model.audit", entity.pk) is None,
        "days": days.values_list("day", flat=True)[:DAYS_SHOWN],
        "chosen": chosen,
        "times": times,
        "listing": listing,
        "lines": written_lines(listing.page),
    }
    template = "brokerage/_written_rows.html" if wants_rows(request) else "brokerage/reports.html"
    return render(request, template, context)


def entity_of(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at."""
    if request.legal_entity is None:
        raise Http404("There is no such page.")
    return request.legal_entity


def closed_days(entity: LegalEntity) -> "QuerySet[BusinessDay]":
    """The days of which there can be reports, newest first."""
    days = BusinessDay.objects.filter(legal_entity=entity, closed_at__isnull=False)
    return days.order_by("-day")


def chosen_day(request: DeskRequest, days: "QuerySet[BusinessDay]") -> BusinessDay | None:
    """The day in the address, else the newest closed one."""
    asked = request.GET.get("day", "")
    return days.filter(day=asked).first() if is_day(asked) else days.first()


def is_day(text: str) -> bool:
    """Whether the text is a calendar day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def offer(request: DeskRequest, entity: LegalEntity, report: Report) -> Offer:
    wanted = (EXPORT, NEEDS.get(report.name, EXPORT))
    is_whole = request.roles.desks(EXPORT, entity.pk) is None
    return Offer(report, is_whole and all(may(request, act, entity) for act in wanted))


def written_listing(request: DeskRequest, days: "QuerySet[BusinessDay]") -> "Listing[ReportFile]":
    """What was written of the entity's days, the newest first."""
    return Listing(
        request,
        ReportFile.objects.filter(business_day__in=days.order_by().values("day")).exclude(
            name__in=OF_CLIENTS
        ),
        name="reports-written",
        columns=COLUMNS,
        filters=[
            Choice("report", "Report", "name", [(r.name, r.title) for r in CATALOGUE.values()]),
            Choice("as", "Format", "format", [(each, each.upper()) for each in FORMATS]),
            Day("of", "Of the day", "business_day"),
        ],
        default_sort="-written_at",
        page_size=25,
    )


def written_lines(files: Iterable[ReportFile]) -> list[WrittenLine]:
    """Files with who wrote each; one query for all."""
    listed = list(files)
    acts = {
        act.pk: act
        for act in Act.objects.filter(pk__in=[each.xid for each in listed]).select_related(
            "operator"
        )
    }
    return [
        WrittenLine(
            each,
            CATALOGUE[each.name].title if each.name in CATALOGUE else each.name,
            actor_words(acts.get(each.xid)),
        )
        for each in listed
    ]


@require_POST
@require("read")
def report_write(request: DeskRequest) -> HttpResponse:
    """Write a report of a day, keep its manifest with the person's name, and answer with it."""
    entity = entity_of(request)
    report = CATALOGUE.get(request.POST.get("name", ""))
    day_text = request.POST.get("day", "")
    if report is None or not is_day(day_text):
        raise Http404("There is no such page.")
    check_may_write(request, entity, report)
    day = BusinessDay.objects.filter(legal_entity=entity, day=day_text).first()
    if day is None:
        raise Http404("There is no such page.")
    try:
        known_at = request.POST.get("known_at", "")
        written = write_report(
            report,
            day=day.day,
            file_format=request.POST.get("format", FORMATS[0]),
            known_at=parsed_instant(known_at) if known_at else None,
        )
        keep(request, report, day, written)
    except (ReportRefusedError, TimeRefusedError) as refused:
        messages.error(request, str(refused))
        return redirect(f"{reverse('brokerage:reports')}?day={day.day.isoformat()}")
    except RefusedError as refused:
        messages.error(request, f"Not written: {refused.detail}.")
        return redirect(f"{reverse('brokerage:reports')}?day={day.day.isoformat()}")
    return file_answer(written)


def check_may_write(request: DeskRequest, entity: LegalEntity, report: Report) -> None:
    """Refuse whoever may not take this report out.

    Raises:
        PermissionDenied: a right is missing, or the role is limited to the clients of a desk.
    """
    for act in (EXPORT, NEEDS.get(report.name, EXPORT)):
        check(request, act, entity)
    if request.roles.desks(EXPORT, entity.pk) is not None:
        raise PermissionDenied(
            "A report holds every client of the firm; your role is limited to a desk."
        )


def keep(
    request: DeskRequest, report: Report, day: BusinessDay, written: WrittenReport
) -> ReportFile:
    """One act: that this person took this report out, and what exactly was in it."""
    form = str(written.manifest["format"])
    reason = f"Exported {report.title.lower()} of {day.day} as {form.upper()}"
    with acting(request.actor, reason=reason, request_id=request.request_id):
        return ReportFile.objects.create(
            name=report.name,
            business_day=day.day,
            format=form,
            manifest=written.manifest,
            sha256=str(written.manifest["sha256"]),
        )


def file_answer(written: WrittenReport) -> HttpResponse:
    """The report as a file, with its hash beside it."""
    digest = hashlib.sha256(written.content).hexdigest()
    return HttpResponse(
        written.content,
        content_type=written.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{written.file_name}"',
            "X-Content-SHA256": digest,
        },
    )


@require_GET
@require("read")
def manifest(request: DeskRequest, report_id: int) -> HttpResponse:
    """The manifest of a report that was written."""
    days = closed_days(entity_of(request)).order_by()
    files = ReportFile.objects.exclude(name__in=OF_CLIENTS)
    found = files.filter(pk=report_id, business_day__in=days.values("day")).first()
    if found is None:
        raise Http404("There is no such page.")
    said: dict[str, Any] = found.manifest
    name = f"{found.name}-{found.business_day}.{found.format}.manifest.json"
    return HttpResponse(
        json.dumps(said, indent=1) + "\n",
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
