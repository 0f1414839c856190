"""Clients' statements: of one client, taken out and kept; of all clients, made by a job."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError, acting
from accounts.columns import Column
from accounts.filters import Text
from accounts.listing import Listing
from accounts.models import Act, Client, LegalEntity, MarginAccount
from accounts.roles import DeskRequest, check, may, require
from accounts.screens.retention import is_of_desks
from brokerage.client_statements import (
    NAME,
    TOTALS,
    WRITERS,
    StatementRefusedError,
    WrittenStatement,
    keep,
    made_again,
    period_of,
    point_for,
    write_statement,
)
from brokerage.job_kinds import STATEMENTS
from brokerage.jobs import ask_for_job
from brokerage.models import BusinessDay, ReportFile
from ledger.naming import actor_words
from ledger.times import TimeRefusedError, parsed_instant

EXPORT = "report.export"
START = "job.start"
NO_PAGE = "There is no such page."
KEPT_SHOWN = 60
PERIODS_SHOWN = 24
DAYS_OFFERED = 31
MONTHS_OFFERED = 12
COLUMNS = (
    Column("client", "Client", value="code", sort=("code",)),
    Column("name", "Name", is_exported=False),
    Column("apart", "Held", value=lambda client: held_word(client)),
)


@dataclass(frozen=True)
class KeptLine:
    """A statement that was given out, with who took it out."""

    file: ReportFile
    manifest: dict[str, Any]
    by: str


def held_word(client: Client) -> str:
    """How a client's assets lie."""
    return "alone" if client.is_individually_segregated else "with others"


def entity_here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at."""
    if request.legal_entity is None:
        raise Http404(NO_PAGE)
    return request.legal_entity


def clients_here(request: DeskRequest) -> "QuerySet[Client]":
    """Clients with an account, all of whose accounts are of one's desks."""
    entity = entity_here(request)
    accounts = MarginAccount.objects.filter(legal_entity=entity, client__isnull=False)
    found = Client.objects.named().filter(legal_entity=entity, pk__in=accounts.values("client"))
    desks = request.roles.desks("read", entity.pk)
    if desks is not None:
        found = found.exclude(pk__in=accounts.exclude(desk__in=desks).values("client"))
    return found


def offered(entity: LegalEntity) -> list[str]:
    """Periods with a closed day, months first, the newest first."""
    days = BusinessDay.objects.filter(legal_entity=entity, closed_at__isnull=False)
    listed = list(days.order_by("-day").values_list("day", flat=True)[: 31 * MONTHS_OFFERED])
    months = list(dict.fromkeys(f"{day:%Y-%m}" for day in listed))[:MONTHS_OFFERED]
    return [*months, *(day.isoformat() for day in listed[:DAYS_OFFERED])]


# ---------------------------------------------------------------- all clients


@require_http_methods(["GET", "POST"])
@require("read")
def statement_list(request: DeskRequest) -> HttpResponse:
    """Clients, and periods that were made of all of them; POST asks for a period's job."""
    entity = entity_here(request)
    if request.method == "POST":
        return start(request, entity)
    listing = Listing(
        request,
        clients_here(request).select_related("legal_entity"),
        name="statements",
        columns=COLUMNS,
        filters=[Text("q", "Client", ("code",))],
        default_sort="client",
    )
    if listing.format:
        return listing.export()
    totals = ReportFile.objects.filter(name=TOTALS, manifest__legal_entity=entity.code)
    context = {
        "listing": listing,
        "clients": list(listing.page),
        "periods": offered(entity),
        "made": list(totals.order_by("-pk")[:PERIODS_SHOWN]) if is_whole(request, entity) else [],
        "can_start": may(request, START, entity) and is_whole(request, entity),
    }
    return render(request, "brokerage/statements.html", context)


def is_whole(request: DeskRequest, entity: LegalEntity) -> bool:
    """Whether the person may take out statements of every client."""
    return may(request, EXPORT, entity) and request.roles.desks(EXPORT, entity.pk) is None


def start(request: DeskRequest, entity: LegalEntity) -> HttpResponse:
    """Ask for the job that makes the statements of all clients of a period."""
    check(request, START, entity)
    check(request, EXPORT, entity)
    if not is_whole(request, entity):
        raise PermissionDenied("Statements of all clients; your role is limited to a desk.")
    try:
        period = period_of(request.POST.get("period", ""))
        point = point_for(None)
    except StatementRefusedError as refused:
        messages.error(request, str(refused))
        return redirect("brokerage:statements")
    assert point.horizon is not None, "a point to write at is of a stored horizon"
    job = ask_for_job(
        STATEMENTS,
        key=f"{STATEMENTS}:{entity.code}:{period.code}:{point.horizon.pk}",
        arguments={
            "legal_entity": entity.code, "period": period.code, "horizon": point.horizon.pk,
        },
        asked_by=request.operator,
    )  # fmt: skip
    return redirect("brokerage:job", job.pk)


# ---------------------------------------------------------------- one client


@require_http_methods(["GET", "POST"])
@require("read")
def client_statements(request: DeskRequest, code: str) -> HttpResponse:
    """Statements of one client: what was given out; POST takes one out and keeps it."""
    entity = entity_here(request)
    client = clients_here(request).select_related("legal_entity").filter(code=code).first()
    if client is None:
        raise Http404(NO_PAGE)
    if request.method == "POST":
        return take_out(request, entity, client)
    files = ReportFile.objects.filter(
        name=NAME, manifest__client=client.code, manifest__legal_entity=entity.code
    )
    context = {
        "client": client,
        "periods": offered(entity),
        "formats": list(WRITERS),
        "can_export": may(request, EXPORT, entity),
        "lines": kept_lines(files.order_by("-pk")[:KEPT_SHOWN]),
    }
    return render(request, "brokerage/client_statements.html", context)


def take_out(request: DeskRequest, entity: LegalEntity, client: Client) -> HttpResponse:
    """Write a statement, keep it with the person's name, and answer with it."""
    check_client(request, client)
    back = reverse("brokerage:client-statements", args=[client.code])
    try:
        known_at = request.POST.get("known_at", "")
        period = period_of(request.POST.get("period", ""))
        made = write_statement(
            client, period, file_format=request.POST.get("format", ""),
            point=point_for(parsed_instant(known_at) if known_at else None),
        )  # fmt: skip
        reason = f"Took out statement {period.code} of client {client.code}"
        with acting(request.actor, reason=reason, request_id=request.request_id):
            keep([made])
    except (StatementRefusedError, TimeRefusedError) as refused:
        messages.error(request, str(refused))
        return redirect(back)
    except RefusedError as refused:
        messages.error(request, f"Not taken out: {refused.detail}.")
        return redirect(back)
    return file_answer(made)


def check_client(request: DeskRequest, client: Client) -> None:
    """Refuse whoever may not take out statements of this client.

    Raises:
        PermissionDenied: the right is missing, or an account is of another desk.
    """
    entity = client.legal_entity
    check(request, EXPORT, entity)
    if not is_of_desks(client, request.roles.desks(EXPORT, entity.pk)):
        raise PermissionDenied("An account of this client is of another desk than your role's.")


@require_GET
@require("read")
def statement_file(request: DeskRequest, report_id: int) -> HttpResponse:
    """A statement that was given out, made again from its horizon."""
    kept = kept_or_404(request, report_id)
    try:
        return file_answer(made_again(kept))
    except StatementRefusedError as refused:
        messages.error(request, str(refused))
        return redirect("brokerage:client-statements", kept.manifest["client"])


def kept_or_404(request: DeskRequest, report_id: int) -> ReportFile:
    """A kept statement of a client that one may take statements out of."""
    entity = entity_here(request)
    kept = ReportFile.objects.filter(
        pk=report_id, name=NAME, manifest__legal_entity=entity.code
    ).first()
    if kept is None:
        raise Http404(NO_PAGE)
    client = clients_here(request).filter(code=kept.manifest["client"]).first()
    if client is None:
        raise Http404(NO_PAGE)
    check_client(request, client)
    return kept


def kept_lines(files: Iterable[ReportFile]) -> list[KeptLine]:
    """Kept statements with who took each out; one query for all."""
    listed = list(files)
    acts = Act.objects.filter(pk__in=[each.xid for each in listed]).select_related("operator")
    by = {act.pk: act for act in acts}
    return [KeptLine(each, each.manifest, actor_words(by.get(each.xid))) for each in listed]


def file_answer(made: WrittenStatement) -> HttpResponse:
    """The statement as a file, with its hashes beside it."""
    return HttpResponse(
        made.content,
        content_type=made.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{made.file_name}"',
            "X-Content-SHA256": str(made.manifest["sha256"]),
            "X-Statement-SHA256": str(made.manifest["content_sha256"]),
        },
    )
