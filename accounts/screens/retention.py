"""Retention for compliance: how long records are kept, who is held, who may be erased."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts import people, retention
from accounts.audit import RefusedError
from accounts.models import Approval, Client, Erasure, LegalEntity, LegalHold, Purge
from accounts.roles import REQUEST, DeskRequest, check, may, require

READ = "retention.read"
ACTIONS = (people.ERASE, retention.PLACE, retention.LIFT, retention.SET)
SHOWN_MAX = 200
WORDS = {
    "erased": ("Erased", "lock", "gone"),
    "held": ("Held", "lock", "call"),
    "must_stay": ("Must stay", "check", "ok"),
    "may_go": ("May go", "info", "watch"),
    "must_go": ("Must go", "clock", "liq"),
}
VERDICTS = tuple(WORDS)


@require_GET
@require(READ)
def retention_page(request: DeskRequest) -> HttpResponse:
    """Classes, holds and every client's standing."""
    assert request.legal_entity is not None
    return drawn(request, request.legal_entity)


def drawn(
    request: DeskRequest, entity: LegalEntity, *, problem: str = "", status: int = 200
) -> HttpResponse:
    """The page, with why a request was refused."""
    today = timezone.now().date()
    everybody = retention.standings(entity, on=today)
    wanted = request.GET.get("verdict", "")
    code = request.GET.get("q", "").strip()
    desks = request.roles.desks(READ, entity.pk)
    everybody = [line for line in everybody if is_of_desks(line.client, desks)]
    shown = [
        line
        for line in everybody
        if (wanted not in WORDS or line.verdict == wanted)
        and line.client.code.lower().startswith(code.lower())
    ]
    context = {
        "entity": entity,
        "rules": retention.rules_on(today),
        "holds": LegalHold.objects.filter(
            lifted_xid__isnull=True, client__in=[line.client.pk for line in everybody]
        ).select_related("client"),
        "lines": [(line, *WORDS[line.verdict]) for line in shown[:SHOWN_MAX]],
        "left_over": max(len(shown) - SHOWN_MAX, 0),
        "tabs": [
            (verdict, WORDS[verdict][0], sum(line.verdict == verdict for line in everybody))
            for verdict in VERDICTS
        ],
        "verdict": wanted if wanted in WORDS else "",
        "code": code,
        "everybody": len(everybody),
        "waiting": waiting(entity),
        "purges": Purge.objects.select_related("record").order_by("-pk")[:10],
        "may_erase": may(request, f"{REQUEST}{people.ERASE}", entity),
        "may_hold": may(request, f"{REQUEST}{retention.PLACE}", entity),
        "may_lift": may(request, f"{REQUEST}{retention.LIFT}", entity),
        "problem": problem,
    }
    return render(request, "accounts/retention.html", context, status=status)


def waiting(entity: LegalEntity) -> list[Approval]:
    """Requests about retention that nobody has decided."""
    found = Approval.objects.filter(
        legal_entity=entity, action__in=ACTIONS, decision="", expires_at__gt=timezone.now()
    )
    return list(found.select_related("action", "maker").order_by("number"))


ASKED = (people.ERASE, retention.PLACE, retention.LIFT)


def client_or_404(request: DeskRequest, code: str) -> Client:
    """A client of the legal entity where the person works."""
    found = Client.objects.named().filter(legal_entity=request.legal_entity, code=code).first()
    if found is None or not is_of_desks(found, request.roles.desks(READ, found.legal_entity_id)):
        raise Http404("There is no such page.")
    return found


def is_of_desks(client: Client, desks: frozenset[str] | None) -> bool:
    """Whether every account of the client is of these desks; None means all desks."""
    return desks is None or all(account.desk in desks for account in client.accounts.all())


@require_http_methods(["GET", "POST"])
@require(READ)
def client_retention(request: DeskRequest, code: str) -> HttpResponse:
    """One client: how the name stands; asking for a hold, its lifting, or the erasure."""
    client = client_or_404(request, code)
    if request.method == "GET":
        return client_page(request, client)
    if not any(may(request, f"{REQUEST}{act}", client.legal_entity) for act in ASKED):
        check(request, f"{REQUEST}{retention.PLACE}", client.legal_entity)
    what = request.POST.get("what", "")
    reason = request.POST.get("reason", "").strip()
    try:
        asked = ask(request, client, what=what, reason=reason)
    except RefusedError as refused:
        problem = f"Not asked: {refused.detail}."
        return client_page(request, client, problem=problem, reason=reason, status=409)
    if asked is None:
        return client_page(
            request, client, problem="Not asked: there is no such request.", status=422
        )
    messages.success(request, "Asked. A second person decides; nothing has changed.")
    return redirect("accounts:approval", asked)


def ask(request: DeskRequest, client: Client, *, what: str, reason: str) -> Any:  # noqa: ANN401
    """Ask for what the form says; None where it says nothing that can be asked for."""
    said: dict[str, Any] = {
        "reason": reason,
        "actor": request.actor,
        "request_id": request.request_id,
    }
    if what == "erase":
        lawful = request.POST.get("lawful_reason", "").strip()
        return people.request_erasure(client=client, lawful_reason=lawful, **said)
    if what == "hold":
        return retention.request_hold(client=client, **said)
    hold = LegalHold.objects.filter(client=client, lifted_xid__isnull=True).first()
    if what == "lift" and hold is not None:
        return retention.request_lifting(hold=hold, **said)
    return None


def client_page(
    request: DeskRequest,
    client: Client,
    *,
    problem: str = "",
    reason: str = "",
    status: int = 200,
) -> HttpResponse:
    """The page of one client's retention."""
    entity = client.legal_entity
    today = timezone.now().date()
    line = next(
        each for each in retention.standings(entity, on=today) if each.client.pk == client.pk
    )
    word, symbol, tone = WORDS[line.verdict]
    context = {
        "client": client,
        "line": line,
        "word": word,
        "symbol": symbol,
        "tone": tone,
        "holds": client.holds.order_by("placed_xid"),
        "is_held": line.verdict == "held",
        "erasure": Erasure.objects.filter(client=client).first(),
        "may_erase": may(request, f"{REQUEST}{people.ERASE}", entity),
        "may_hold": may(request, f"{REQUEST}{retention.PLACE}", entity),
        "problem": problem,
        "reason": reason,
    }
    return render(request, "accounts/client_retention.html", context, status=status)
