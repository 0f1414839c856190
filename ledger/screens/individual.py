"""Clients whose assets lie apart: what lies where, and their own reconciliation."""

from collections.abc import Sequence

from django.contrib import messages
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.approvals import visible
from accounts.audit import RefusedError
from accounts.models import Client, MarginAccount
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, require
from ledger.breaks import TEXT_LENGTH_MIN
from ledger.individual import (
    HOLD_APART,
    SIGN,
    clients_apart,
    own_lines,
    reconcile_alone,
    request_segregation,
    request_signature,
)
from ledger.models import ClientReconciliation, DayClose, Location, ReconciliationSignature
from ledger.screens.times import Times, in_two_times, not_known, not_there
from ledger.screens.visible import NO_PAGE, entity_here
from ledger.times import ReadingPoint, as_known, known

RECONCILE = "client.reconcile"
RUNS_SHOWN = 20


def clients_here(request: DeskRequest) -> list[Client]:
    """The clients of the list, those of one's desk where a role is limited to one."""
    entity = entity_here(request)
    found = clients_apart([entity.pk])
    desks = request.roles.desks("read", entity.pk)
    if desks is None:
        return found
    mine = set(
        MarginAccount.objects.filter(desk__in=desks, client__in=found).values_list(
            "client_id", flat=True
        )
    )
    return [client for client in found if client.pk in mine]


def client_or_404(request: DeskRequest, code: str) -> Client:
    """One client of the person's desk, held apart or not."""
    entity = entity_here(request)
    clients = Client.objects.named().filter(legal_entity=entity, code=code)
    desks = request.roles.desks("read", entity.pk)
    if desks is not None:
        accounts = MarginAccount.objects.filter(client=OuterRef("pk"), desk__in=desks)
        clients = clients.filter(Exists(accounts))
    found = clients.first()
    if found is None:
        raise Http404(NO_PAGE)
    return found


@require_GET
@require("read")
@in_two_times()
def individual_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Every client held apart, asset by asset: held at own locations, and owed."""
    clients = clients_here(request)
    if times.point is not None:
        clients = as_known(clients, times.point)
    newest = {
        found.client_id: found
        for found in _reconciliations(clients, times.point)
        .order_by("client_id", "-business_day", "-number")
        .distinct("client_id")
    }
    lines = own_lines(clients, point=times.point)
    context = {
        "times": times,
        "clients": [
            (client, [line for line in lines if line.client.pk == client.pk],
             newest.get(client.pk))
            for client in clients
        ],
    }  # fmt: skip
    return render(request, "ledger/individual.html", context)


def _reconciliations(
    clients: Sequence[Client], point: ReadingPoint | None
) -> QuerySet[ClientReconciliation]:
    """Own reconciliations of clients; at a point those known then, of days it counts.

    A signature that was not known then is left out.
    """
    found = ClientReconciliation.objects.filter(client__in=clients)
    if point is None:
        return found.select_related("signature__approval__maker", "signature__approval__checker")
    if point.as_of is not None:
        found = found.filter(business_day__lte=point.as_of)
    signatures = known(ReconciliationSignature.objects.all(), point).select_related(
        "approval__maker", "approval__checker"
    )
    return known(found, point).prefetch_related(Prefetch("signature", signatures))


@require_GET
@require("read")
@in_two_times()
def client_page(request: DeskRequest, code: str, *, times: Times) -> HttpResponse:
    """One client: own locations, what is owed, and every reconciliation with its signature."""
    client = client_or_404(request, code)
    entity, point = entity_here(request), times.point
    places = Location.objects.filter(pool__legal_entity=entity).order_by("code")
    if point is None:
        locations = list(places.filter(individual_client=client))
    elif there := as_known([client], point):
        (client,) = there
        locations = [
            place for place in as_known(places, point) if place.individual_client_id == client.pk
        ]
    else:
        return not_there(request, times, not_known(f"Client {client.code}", point))
    runs = _reconciliations([client], point).order_by("-business_day", "-number")
    newest_day = DayClose.objects.filter(legal_entity=entity).order_by("-day").first()
    pending = visible(request.roles).filter(
        action__in=[HOLD_APART, SIGN], subject__contains=f"client {client.code}",
        used_xid__isnull=True, decision="",
    )  # fmt: skip
    context = {
        "client": client,
        "times": times,
        "lines": own_lines([client], point=point),
        "locations": locations,
        "runs": runs[:RUNS_SHOWN],
        "day": newest_day.day if newest_day else None,
        "can_reconcile": point is None and may(request, RECONCILE, entity),
        "can_ask": point is None and may(request, f"{REQUEST}{HOLD_APART}", entity),
        "can_sign": point is None and may(request, f"{REQUEST}{SIGN}", entity),
        "pending": pending[:5] if point is None else [],
    }
    return render(request, "ledger/individual_client.html", context)


@require_POST
@require("read")
def reconcile_client(request: DeskRequest, code: str) -> HttpResponse:
    """Compare this client's own locations with the book, for the last day that is done."""
    client = client_or_404(request, code)
    entity = entity_here(request)
    check(request, RECONCILE, entity)
    newest_day = DayClose.objects.filter(legal_entity=entity).order_by("-day").first()
    if newest_day is None:
        messages.error(request, "Not compared: no business day is done yet.")
        return redirect("ledger:individual-client", client.code)
    try:
        found = reconcile_alone(
            client, business_day=newest_day.day, actor=request.actor,
            reason="Reconciliation of one client", request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not compared: {refused.detail}.")
    else:
        words = "everything agrees" if found.is_whole else "something differs"
        messages.success(request, f"Compared alone, no. {found.number}: {words}.")
    return redirect("ledger:individual-client", client.code)


@require_POST
@require("read")
def sign_client(request: DeskRequest, code: str, reconciliation_id: int) -> HttpResponse:
    """Sign as the one who prepared it, and ask a second person."""
    client = client_or_404(request, code)
    check(request, f"{REQUEST}{SIGN}", entity_here(request))
    found = ClientReconciliation.objects.filter(client=client, pk=reconciliation_id).first()
    if found is None:
        raise Http404(NO_PAGE)
    reason = request.POST.get("reason", "").strip()
    return asked(
        request, client, reason,
        lambda: request_signature(
            found, reason=reason, actor=request.actor, request_id=request.request_id
        ),
    )  # fmt: skip


@require_POST
@require("read")
def hold_client(request: DeskRequest, code: str) -> HttpResponse:
    """Ask that the client be held apart, or no longer."""
    client = client_or_404(request, code)
    check(request, f"{REQUEST}{HOLD_APART}", entity_here(request))
    reason = request.POST.get("reason", "").strip()
    return asked(
        request, client, reason,
        lambda: request_segregation(
            client, held_apart=not client.is_individually_segregated, reason=reason,
            actor=request.actor, request_id=request.request_id,
        ),
    )  # fmt: skip


def asked(request: DeskRequest, client: Client, reason: str, ask: object) -> HttpResponse:
    """Ask a second person, or say why that is not asked."""
    assert callable(ask), "asking is a call"
    if len(reason) < TEXT_LENGTH_MIN:
        messages.error(request, f"A reason has at least {TEXT_LENGTH_MIN} characters.")
        return redirect("ledger:individual-client", client.code)
    try:
        approval_id = ask()
    except RefusedError as refused:
        messages.error(request, f"Not asked: {refused.detail}.")
        return redirect("ledger:individual-client", client.code)
    messages.success(request, "Asked. It waits for a second person; nothing has changed.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)
