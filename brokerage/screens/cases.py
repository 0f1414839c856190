"""Cases of compliance: the list, opening one, its timeline, notes, holds, and taking it out."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.audit import RefusedError, acting
from accounts.models import LegalEntity
from accounts.retention import LIFT, PLACE
from accounts.roles import REQUEST, DeskRequest, check, may, require
from brokerage.cases.case import (
    close_case,
    find_subject,
    holds_of,
    is_closed,
    open_case,
    request_case_hold,
    request_case_lifting,
    write_note,
)
from brokerage.cases.case_file import CASE_FILE, case_file
from brokerage.cases.scope import scope_of
from brokerage.cases.sources import RANKS
from brokerage.cases.timeline import TimelineTooLongError, counts, timeline
from brokerage.models import Case, ReportFile
from ledger.horizons import current_horizon
from ledger.times import (
    TimeRefusedError,
    at_horizon,
    one_snapshot,
    parsed_date,
    point_of,
)

READ, WRITE = "case.read", "case.write"
NO_PAGE = "There is no such page."
CASES_SHOWN = 200
ITEMS_SHOWN = 200


def entity_here(request: DeskRequest, act: str = READ) -> LegalEntity:
    """The legal entity the person works at, where they read cases of every desk.

    Raises:
        PermissionDenied: their role is limited to a desk.
    """
    entity = request.legal_entity
    if entity is None:
        raise Http404(NO_PAGE)
    if request.roles.desks(act, entity.pk) is not None:
        raise PermissionDenied("A case crosses desks; your role is limited to one.")
    return entity


def case_or_404(request: DeskRequest, case_id: int) -> Case:
    """A case of the legal entity the person works at."""
    found = Case.objects.select_related(
        "legal_entity", "client__person_key", "account__client__person_key",
        "bucket__account__client__person_key",
    ).filter(legal_entity=entity_here(request), pk=case_id)  # fmt: skip
    case = found.first()
    if case is None:
        raise Http404(NO_PAGE)
    return case


@require_http_methods(["GET", "POST"])
@require(READ)
def case_list(request: DeskRequest) -> HttpResponse:
    """Cases, the newest first; POST opens one."""
    entity = entity_here(request)
    typed: dict[str, Any] = {
        name: (request.POST or request.GET).get(name, "").strip()
        for name in ("client", "account", "bucket", "first_day", "last_day", "subject", "reason")
    }
    problem = ""
    if request.method == "POST":
        check(request, WRITE, entity)
        try:
            case = opened(request, entity, typed)
        except RefusedError as refused:
            problem = refused.detail
        except TimeRefusedError as refused:
            problem = str(refused)
        else:
            messages.success(request, f"{case.number} is open.")
            return redirect("brokerage:case", case.pk)
    cases = Case.objects.filter(legal_entity=entity).select_related(
        "client", "account", "bucket__account"
    )
    closed = set(cases.filter(notes__kind="closed").values_list("pk", flat=True))
    context = {
        "cases": [(each, each.pk in closed) for each in cases.order_by("-pk")[:CASES_SHOWN]],
        "can_open": may(request, WRITE, entity),
        "typed": typed,
        "problem": problem,
    }
    return render(request, "brokerage/cases.html", context, status=422 if problem else 200)


def opened(request: DeskRequest, entity: LegalEntity, typed: dict[str, Any]) -> Case:
    """The case that the form asks for."""
    client, account, bucket = find_subject(
        entity, client=typed["client"], account=typed["account"], bucket=typed["bucket"]
    )
    return open_case(
        entity, client=client, account=account, bucket=bucket,
        first_day=parsed_date(typed["first_day"]), last_day=parsed_date(typed["last_day"]),
        subject=typed["subject"][:200], reason=typed["reason"], actor=request.actor,
        request_id=request.request_id,
    )  # fmt: skip


@require_GET
@require(READ)
def case_page(request: DeskRequest, case_id: int) -> HttpResponse:
    """One case: its timeline as known now or at a time, notes, and holds."""
    return drawn(request, case_or_404(request, case_id))


def drawn(
    request: DeskRequest, case: Case, *, problem: str = "", text: str = "", status: int = 200
) -> HttpResponse:
    """The page, with why something was refused and what was typed."""
    kind = request.GET.get("kind", "")
    known_at = request.GET.get("known_at", "")
    try:
        point = point_of(known_at=known_at)
        with one_snapshot():
            items = timeline(scope_of(case), point)
    except (TimelineTooLongError, TimeRefusedError) as refused:
        problem, items = str(refused), []
    numbered = [
        (number, item)
        for number, item in enumerate(items, start=1)
        if kind not in RANKS or item.kind == kind
    ]
    pages = max(1, -(-len(numbered) // ITEMS_SHOWN))
    asked = request.GET.get("page", "1")
    page = min(max(int(asked) if asked.isdecimal() and len(asked) < 8 else 1, 1), pages)
    entity = case.legal_entity
    whose = case.whose
    closed = is_closed(case)
    can_write = may(request, WRITE, entity)
    context = {
        "case": case,
        "whose": whose,
        "closed": closed,
        "items": numbered[(page - 1) * ITEMS_SHOWN : page * ITEMS_SHOWN],
        "count": len(numbered),
        "kinds": counts(items),
        "kind": kind if kind in RANKS else "",
        "known_at": known_at,
        "page": page,
        "pages": pages,
        "before": page - 1,
        "after": page + 1 if page < pages else 0,
        "notes": list(case.notes.order_by("-pk")),
        "holds": list(holds_of(case)) if whose else [],
        "can_write": can_write and not closed,
        "can_hold": whose is not None and may(request, f"{REQUEST}{PLACE}", entity),
        "can_lift": may(request, f"{REQUEST}{LIFT}", entity),
        "problem": problem,
        "text": text,
    }
    return render(request, "brokerage/case.html", context, status=status)


@require_POST
@require(WRITE)
def case_note(request: DeskRequest, case_id: int) -> HttpResponse:
    """Write into a case, or close it."""
    case = case_or_404(request, case_id)
    text = request.POST.get("text", "")
    write = close_case if request.POST.get("what") == "close" else write_note
    try:
        write(case, text, actor=request.actor, request_id=request.request_id)
    except RefusedError as refused:
        return drawn(
            request, case, problem=f"Not written: {refused.detail}.", text=text, status=409
        )
    messages.success(request, "Written.")
    return redirect("brokerage:case", case.pk)


@require_POST
@require(READ)
def case_hold(request: DeskRequest, case_id: int) -> HttpResponse:
    """Ask that the case's client be held."""
    case = case_or_404(request, case_id)
    check(request, f"{REQUEST}{PLACE}", case.legal_entity)
    reason = request.POST.get("reason", "")
    return asked(
        request, case,
        lambda: request_case_hold(
            case, reason, actor=request.actor, request_id=request.request_id
        ),
    )  # fmt: skip


@require_POST
@require(READ)
def case_lift(request: DeskRequest, case_id: int, hold_id: UUID) -> HttpResponse:
    """Ask that a hold of the case be lifted."""
    case = case_or_404(request, case_id)
    check(request, f"{REQUEST}{LIFT}", case.legal_entity)
    hold = holds_of(case).filter(pk=hold_id, lifted_xid__isnull=True).first()
    if hold is None:
        raise Http404(NO_PAGE)
    reason = request.POST.get("reason", "")
    return asked(
        request, case,
        lambda: request_case_lifting(
            case, hold, reason, actor=request.actor, request_id=request.request_id
        ),
    )  # fmt: skip


def asked(request: DeskRequest, case: Case, ask: Callable[[], UUID]) -> HttpResponse:
    """Ask a second person, or say why that is not asked."""
    try:
        approval = ask()
    except RefusedError as refused:
        return drawn(request, case, problem=f"Not asked: {refused.detail}.", status=409)
    messages.success(request, "Asked. A second person decides; nothing has changed.")
    return redirect("accounts:approval", approval)


@require_POST
@require(READ)
def case_take_out(request: DeskRequest, case_id: int) -> HttpResponse:
    """The case file; who took it out, and its hash, are kept."""
    case = case_or_404(request, case_id)
    point = at_horizon(current_horizon("case file"))
    try:
        content = case_file(case, point=point)
    except TimelineTooLongError as refused:
        return drawn(request, case, problem=str(refused), status=409)
    digest = sha256(content).hexdigest()
    assert point.horizon is not None, "a case is taken out at a stored horizon"
    reason = f"Took out {case.number}, sha256 {digest}"
    with acting(request.actor, reason=reason, request_id=request.request_id):
        ReportFile.objects.create(
            name=CASE_FILE, business_day=case.last_day, format="zip", sha256=digest,
            manifest={
                "report": CASE_FILE, "case": case.number, "rows": 1, "sha256": digest,
                "legal_entity": case.legal_entity.code, "horizon": point.horizon.pk,
            },
        )  # fmt: skip
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{case.number}.zip"',
            "X-Content-SHA256": digest,
        },
    )
