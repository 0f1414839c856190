"""Carrying several calls on at once: asked first, then one outcome for each call."""

from dataclasses import dataclass
from decimal import Decimal

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.listing import wants_rows
from accounts.news import announce
from accounts.roles import DeskRequest, check, require
from margin.calls.acts import ACTS, CallAct
from margin.calls.bulk import can_be_carried, carry_many
from margin.models import MarginCall
from margin.screens.calls import BULK_ACTS
from margin.screens.visible import NO_PAGE, calls_here, entity_here

CALLS_MAX = 500
REASON_LENGTH_MIN, REASON_LENGTH_MAX = 3, 2000


@dataclass(frozen=True)
class Picked:
    """A call of the selection and what keeps it from going on, if anything does."""

    call: MarginCall
    refusal: str


@require_http_methods(["GET", "POST"])
@require("read")
def acknowledge_calls(request: DeskRequest) -> HttpResponse:
    """Show the selection with each outcome foreseen; then acknowledge what can be."""
    return carried(request, ACTS["acknowledge"])


@require_http_methods(["GET", "POST"])
@require("read")
def carry_calls(request: DeskRequest) -> HttpResponse:
    """The same for the acts of `BULK_ACTS`, which ask for a proof that one is oneself."""
    sent = request.POST if request.method == "POST" else request.GET
    code = sent.get("act", "")
    if not code and request.method == "GET":
        return redirect("margin:calls")  # nothing was selected yet
    if code not in BULK_ACTS:
        raise Http404(NO_PAGE)
    return carried(request, ACTS[code])


def carried(request: DeskRequest, act: CallAct) -> HttpResponse:
    """Ask with count and total, or carry on what can be."""
    entity = entity_here(request)
    sent = request.POST if request.method == "POST" else request.GET
    check(request, act.right, entity)
    picked = picked_calls(request, sent.getlist("pick"), act=act)
    if request.method == "GET" or not picked:
        return question(request, picked, act=act)
    reason = sent.get("reason", "").strip()
    problem = reason_problem(reason) or count_problem(sent.get("count", ""), picked)
    if problem:
        return question(request, picked, act=act, reason=reason, problem=problem, status=422)
    return carry_out(request, picked, act=act, reason=reason)


def picked_calls(request: DeskRequest, numbers: list[str], *, act: CallAct) -> list[Picked]:
    """The selected calls with which the person may do this, worst amount first."""
    wanted = list(dict.fromkeys(numbers))[:CALLS_MAX]
    calls = (
        calls_here(request, act=act.right)
        .filter(number__in=wanted)
        .select_related("scope__bucket__account__client", "last_result", "acknowledged_by")
        .order_by("-amount", "number")
    )
    able = can_be_carried(act.code)
    return [Picked(call, refusal_of(call, act=act, able=able)) for call in calls]


def refusal_of(call: MarginCall, *, act: CallAct, able: frozenset[str]) -> str:
    """Why a call cannot take the step now; "" if it can."""
    if call.state in able:
        return ""
    if call.acknowledged_by is not None and act.code == "acknowledge":
        return f"{call.acknowledged_by.full_name} acknowledged it"
    wanted = " or ".join(sorted(MarginCall.State(state).label.lower() for state in able))
    return f"{call.get_state_display().lower()}, not {wanted}"


def ready(picked: list[Picked]) -> list[Picked]:
    return [each for each in picked if not each.refusal]


def reason_problem(reason: str) -> str:
    if REASON_LENGTH_MIN <= len(reason) <= REASON_LENGTH_MAX:
        return ""
    return f"A reason has {REASON_LENGTH_MIN} to {REASON_LENGTH_MAX:,} characters."


def count_problem(typed: str, picked: list[Picked]) -> str:
    wanted = str(len(ready(picked)))
    return "" if typed.strip() == wanted else f"Type {wanted} to say that you mean these calls."


def carry_out(
    request: DeskRequest, picked: list[Picked], *, act: CallAct, reason: str
) -> HttpResponse:
    """The step for each call that has it; what is refused stays listed with its reason."""
    by_number = {each.call.number: each for each in ready(picked)}
    outcomes = carry_many(
        by_number, act.code, actor=request.actor, words=reason, request_id=request.request_id
    )
    failed = [each for each in picked if each.refusal]
    failed += [Picked(by_number[o.number].call, o.refusal) for o in outcomes if o.refusal]
    done = len(picked) - len(failed)
    announce("margin")
    words = f"{done} of {len(picked)} calls {act.to_state}."
    if not failed:
        messages.success(request, words)
        return redirect("margin:calls")
    messages.error(request, words)
    context = {"failed": failed, "done": done, "count": len(picked), "act": act}
    return render(request, "margin/acknowledged.html", context, status=409)


def question(
    request: DeskRequest,
    picked: list[Picked],
    *,
    act: CallAct,
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
        "act": act,
        "title": f"{act.title} calls?",
        "action": f"{act.title} {len(able)} of {len(picked)}",
    }
    is_dialog = wants_rows(request) and request.method == "GET"
    template = "margin/_acknowledge_calls.html" if is_dialog else "margin/acknowledge_calls.html"
    return render(request, template, context, status=status)
