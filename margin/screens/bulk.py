"""Acknowledging several calls at once: asked first, then one act and one outcome per call."""

from dataclasses import dataclass
from decimal import Decimal

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.listing import wants_rows
from accounts.roles import DeskRequest, may, refusal, require
from margin.calls import StaleCallError, acknowledge_call
from margin.models import MarginCall
from margin.screens.calls import ACKNOWLEDGE
from margin.screens.visible import calls_here, entity_here

CALLS_MAX = 500
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 3, 2000


@dataclass(frozen=True)
class Picked:
    """A call of the selection and what keeps it from being acknowledged, if anything does."""

    call: MarginCall
    refusal: str


@require_http_methods(["GET", "POST"])
@require("read")
def acknowledge_calls(request: DeskRequest) -> HttpResponse:
    """Show the selection with each outcome foreseen; then acknowledge what can be."""
    entity = entity_here(request)
    if not may(request, ACKNOWLEDGE, entity):
        raise PermissionDenied(refusal(ACKNOWLEDGE, entity.pk))
    sent = request.POST if request.method == "POST" else request.GET
    picked = picked_calls(request, sent.getlist("pick"))
    if request.method == "GET" or not picked:
        return question(request, picked)
    reason = sent.get("reason", "").strip()
    problem = reason_problem(reason) or count_problem(sent.get("count", ""), picked)
    if problem:
        return question(request, picked, reason=reason, problem=problem, status=422)
    return carry_out(request, picked, reason=reason)


def picked_calls(request: DeskRequest, numbers: list[str]) -> list[Picked]:
    """The selected calls that the person may see, worst amount first."""
    wanted = list(dict.fromkeys(numbers))[:CALLS_MAX]
    calls = (
        calls_here(request)
        .filter(number__in=wanted)
        .select_related("scope__bucket__account__client", "last_result", "acknowledged_by")
        .order_by("-amount", "number")
    )
    return [Picked(call, refusal_of(call)) for call in calls]


def refusal_of(call: MarginCall) -> str:
    """Why a call cannot be acknowledged now; "" if it can."""
    if call.state == MarginCall.State.DELIVERED:
        return ""
    if call.acknowledged_by is not None:
        return f"{call.acknowledged_by.full_name} acknowledged it"
    return f"{call.get_state_display().lower()}, not delivered"


def ready(picked: list[Picked]) -> list[Picked]:
    return [each for each in picked if not each.refusal]


def reason_problem(reason: str) -> str:
    if REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        return ""
    return f"A reason has {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX:,} characters."


def count_problem(typed: str, picked: list[Picked]) -> str:
    wanted = str(len(ready(picked)))
    return "" if typed.strip() == wanted else f"Type {wanted} to say that you mean these calls."


def carry_out(request: DeskRequest, picked: list[Picked], *, reason: str) -> HttpResponse:
    """One act per call; what is refused stays listed with its reason."""
    failed = [each for each in picked if each.refusal]
    done = 0
    for each in ready(picked):
        try:
            acknowledge_call(
                each.call.number, actor=request.actor, words=reason, request_id=request.request_id
            )
        except (StaleCallError, RefusedError) as refused:
            failed.append(Picked(each.call, str(refused)))
        else:
            done += 1
    words = f"{done} of {len(picked)} calls acknowledged."
    if not failed:
        messages.success(request, words)
        return redirect("margin:calls")
    messages.error(request, words)
    context = {"failed": failed, "done": done, "count": len(picked)}
    return render(request, "margin/acknowledged.html", context, status=409)


def question(
    request: DeskRequest,
    picked: list[Picked],
    *,
    reason: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """The selection with its total, as a dialog for htmx and as a page without it."""
    able = ready(picked)
    currencies = sorted({each.call.currency for each in able})
    context = {
        "picked": picked,
        "able": len(able),
        "total": sum((each.call.amount for each in able), Decimal(0)),
        "currency": currencies[0] if len(currencies) == 1 else "",
        "reason": reason,
        "problem": problem,
        "address": request.path,
        "title": "Acknowledge calls?",
        "action": f"Acknowledge {len(able)} of {len(picked)}",
    }
    is_dialog = wants_rows(request) and request.method == "GET"
    template = "margin/_acknowledge_calls.html" if is_dialog else "margin/acknowledge_calls.html"
    return render(request, template, context, status=status)
