"""One margin call: what is called, why, what happened to it, and acknowledging it."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError
from accounts.drawing import Ruler, Rung, ladder, ruler
from accounts.explanation import Explanation
from accounts.figures import MINUS, WIDE, grouped
from accounts.groups import accounts_of
from accounts.listing import wants_rows
from accounts.models import AccountGroup, Act, MarginAccount
from accounts.roles import DeskRequest, may, one_of, refusal, require, who_may
from accounts.states import STATES
from margin.calls.settling import StaleCallError, acknowledge_call
from margin.engine.explain import TIMES
from margin.levels import is_held_at_call, levels_of, missing, terms_of
from margin.models import CallEvent, MarginCall, MarginResult, MarginRun, Mark
from margin.parts import parts_of
from margin.screens.calls import ACKNOWLEDGE
from margin.screens.carrying import account_of, parts_shown, ways_on
from margin.screens.claims import disputes_of, promises_of
from margin.screens.deliveries import sent_to
from margin.screens.drawer import questions, without_drawer
from margin.screens.history import ScopeHistory, scope_history
from margin.screens.levels import LevelsShown, levels_shown
from margin.screens.opened import opened
from margin.screens.statement import StatementLine, lines_of, statement_lines
from margin.screens.visible import call_or_404, check_account

TABS = {"history": "History", "notice": "Notices", "payments": "Payments"}
WORDS_LENGTH_MAX = 2000
PAYMENTS_SHOWN_MAX = 50
# A negative number in a stored sentence.
HYPHEN_MINUS = re.compile(r"(?<= )-(?=\d)")


@dataclass(frozen=True)
class Step:
    """A line of the life of a call."""

    instant: datetime
    actor: str
    tone: str
    title: str
    text: str


@dataclass(frozen=True)
class UnpricedAsset:
    """Something the scope holds at a mark that is not valid, and the day of that mark."""

    code: str
    state: str
    mark_day: date


@dataclass(frozen=True)
class Called:
    """What is called, and where equity stands between the levels."""

    missing: Decimal
    ruler: Ruler
    ladder: list[Rung]
    is_held: bool
    liquidation: Decimal
    unpriced: tuple[UnpricedAsset, ...]
    levels: LevelsShown | None


@require_GET
@require("read")
def call_page(request: DeskRequest, number: str) -> HttpResponse:
    """The page of one call; `?explain=` opens the drawer, `?tab=` a section."""
    return drawn(request, call_or_404(request, number))


def drawn(request: DeskRequest, call: MarginCall, *, status: int = 200) -> HttpResponse:
    tab = request.GET.get("tab", "history")
    tab = tab if tab in TABS else "history"
    history = scope_history(call.scope_id, until=call.last_result.run.as_of)
    context = {
        "call": call,
        "restated": newest_restatement_of(call),
        "account": account_of(call),
        "members": members_of(call),
        "called": called(call.last_result),
        "history": history,
        "steps": steps_of(call, history) if tab == "history" else [],
        "is_open": call.state not in MarginCall.ENDED,
        "tab": tab,
        "tabs": [(key, word, f"{request.path}?tab={key}") for key, word in TABS.items()],
        "notice": sent_to(call) if tab == "notice" else None,
        "payments": payments(call) if tab == "payments" else [],
        "can_acknowledge": can_acknowledge(request, call),
        "acknowledgers": acknowledgers(request, call),
        "ways": ways_on(request, call),
        "parts": parts_shown(call),
        "disputes": disputes_of(call),
        "promises": promises_of(call),
        "ask": questions(request),
        "explanation": explanation(request, call),
    }
    return render(request, "margin/call.html", context, status=status)


def newest_restatement_of(call: MarginCall) -> MarginRun | None:
    """The newest restatement of the run that made the call or last spoke of it, if any."""
    runs = (call.last_result.run_id, call.first_result.run_id)
    return MarginRun.objects.filter(restates__in=runs).order_by("-pk").first()


def called(result: MarginResult) -> Called:
    """The figures of the first panel."""
    levels, terms = levels_of(result), terms_of(result)
    is_held = is_held_at_call(result)
    rungs = [
        Rung("OK", "from initial margin", levels.initial),
        Rung("BELOW_INITIAL", level_words("call", terms.call_level), levels.call),
        Rung("CALL", level_words("liquidation", terms.liquidation_level), levels.liquidation),
        Rung("LIQUIDATE", "from zero", Decimal(0)),
    ]
    return Called(
        missing=missing(result),
        ruler=ruler(result.equity, levels),
        ladder=ladder(result.equity, rungs, now="equity, held at Call" if is_held else "equity"),
        is_held=is_held,
        liquidation=levels.liquidation,
        unpriced=unpriced_assets(result),
        levels=levels_shown(result),
    )


def level_words(name: str, level: Decimal) -> str:
    """ "from call level, 1 x maintenance" with a true multiplication sign."""
    return f"from {name} level, {grouped(level.normalize(WIDE))} {TIMES} maintenance"


def unpriced_assets(result: MarginResult) -> tuple[UnpricedAsset, ...]:
    """What of the scope is valued at a mark that is not valid; a fixed number of queries."""
    marks = {part.mark_id for part in parts_of([result]) if part.mark_id is not None}
    carried = Mark.objects.filter(pk__in=marks).exclude(state=Mark.State.VALID)
    found = {
        mark.asset_id: mark for mark in carried.select_related("asset").order_by("asset__code")
    }
    if not found:
        return ()
    valid = (
        Mark.objects.filter(asset__in=found, as_of__lt=result.run.as_of, state=Mark.State.VALID)
        .order_by("asset_id", "-as_of", "-revision")
        .distinct("asset_id")
    )
    days = {mark.asset_id: mark.business_day for mark in valid}
    return tuple(
        UnpricedAsset(mark.asset.code, mark.state, days.get(asset_id, mark.business_day))
        for asset_id, mark in found.items()
    )


def explanation(request: DeskRequest, call: MarginCall) -> Explanation | None:
    """The drawer, where the address asks for one."""
    asked, close = request.GET.get("explain", ""), without_drawer(request)
    return opened(request, call.last_result, asked, close=close, unit=call.currency)


# --- The life of the call -------------------------------------------------------------------------


def steps_of(call: MarginCall, history: ScopeHistory) -> list[Step]:
    """What happened, oldest first: how the scope stood before, then every event of the call."""
    events = list(call.events.order_by("pk"))
    acts = Act.objects.filter(xid__in=[event.xid for event in events])
    actors = {
        xid: name or actor
        for xid, name, actor in acts.values_list("xid", "operator__full_name", "actor")
    }
    before = history.before(call.first_result_id)
    steps = [] if before is None else [step_before(before)]
    return steps + [step_of(event, call, actor=actors.get(event.xid, "")) for event in events]


def step_before(result: MarginResult) -> Step:
    """How the scope stood in the run before it was called."""
    shown = STATES["margin"][result.state]
    return Step(
        instant=result.run.as_of,
        actor=f"run {result.run.number}",
        tone=shown.tone,
        title="",
        text=f"{shown.word}: equity {grouped(result.equity, decimals=2)}, "
        f"initial margin {grouped(result.initial_margin, decimals=2)}",
    )


def step_of(event: CallEvent, call: MarginCall, *, actor: str) -> Step:
    """An event of a call as one sentence with the old and the new amount."""
    shown = STATES["call"].get(event.to_state)
    before, after = amount_words(event.amount_before), amount_words(event.amount_after)
    first_line = HYPHEN_MINUS.sub(MINUS, event.text.partition("\n")[0])
    tone, title, text = shown.tone if shown else "", event.event.replace("_", " "), first_line
    if event.event == "issued":
        tone, title = "liq", f"Issued for {after} {call.currency}:"
    elif event.event in ("raised", "lowered"):
        tone, title = "call", f"{event.event.capitalize()} from {before} to {after}."
    elif event.event == "delivered":
        tone, title = "info", "Delivered"
        text = f"by {first_line.replace(': ', ', ', 1)}"
    elif event.event == "acknowledged":
        title, text = "Acknowledged.", f"“{first_line}”" if first_line else ""
    elif event.event == "amended":
        tone, title = "call", f"Amended from {before} to {after}, the run was restated."
    elif event.event == "withdrawn":
        tone, title = "info", "Cancelled, the run was restated."
    elif event.event == "notified":
        tone, title = "info", "Told of the change"
        text = f"by {first_line.replace(': ', ', ', 1)}"
    elif event.event in ("met", "cancelled"):
        title = "Met." if event.event == "met" else "Cancelled: the price came back."
    elif event.event == "waived":
        tone, title = "info", "Waived by two people:"
    else:
        title = f"{title.capitalize()}."
    return Step(event.occurred_at, actor, tone, title, text)


def amount_words(amount: Decimal | None) -> str:
    return "nothing" if amount is None else grouped(amount, decimals=2)


def payments(call: MarginCall) -> list[StatementLine]:
    """What moved on the scope since the call was issued, oldest first."""
    lines = statement_lines(account_of(call)).filter(
        account__bucket=call.scope.bucket_id, entry__effective_at__gt=call.issued_at
    )
    return lines_of(lines.order_by("entry_id", "account_id")[:PAYMENTS_SHOWN_MAX])


# --- Acknowledging --------------------------------------------------------------------------------


def can_acknowledge(request: DeskRequest, call: MarginCall) -> bool:
    """Whether the call waits for it and the person may."""
    is_waiting = call.state == MarginCall.State.DELIVERED
    return is_waiting and may(request, ACKNOWLEDGE, account_of(call).legal_entity_id)


def acknowledgers(request: DeskRequest, call: MarginCall) -> str:
    """Who can acknowledge a call that waits for it, to somebody who cannot."""
    if call.state != MarginCall.State.DELIVERED or can_acknowledge(request, call):
        return ""
    names = who_may(ACKNOWLEDGE, account_of(call).legal_entity_id)
    return (
        f"{one_of(names)} can acknowledge it."
        if names
        else refusal(ACKNOWLEDGE, account_of(call).legal_entity_id)
    )


@require_http_methods(["GET", "POST"])
@require("read")
def acknowledge(request: DeskRequest, number: str) -> HttpResponse:
    """Ask what the client said, then record it; the call changes once."""
    call = call_or_404(request, number)
    check_account(request, ACKNOWLEDGE, account_of(call))
    if request.method == "GET":
        return acknowledge_form(request, call)
    words = request.POST.get("words", "").strip()
    if len(words) > WORDS_LENGTH_MAX:
        problem = f"The text has {len(words):,} characters; {WORDS_LENGTH_MAX:,} are kept."
        return acknowledge_form(request, call, words=words, problem=problem, status=422)
    try:
        acknowledge_call(number, actor=request.actor, words=words, request_id=request.request_id)
    except (StaleCallError, RefusedError) as refused:
        problem = stale_words(call_or_404(request, number), refused)
        return acknowledge_form(request, call, words=words, problem=problem, status=409)
    messages.success(request, f"{number} is acknowledged. You own it now.")
    return redirect("margin:call", number)


def stale_words(call: MarginCall, refused: Exception) -> str:
    """Who was there first, or which rule refused."""
    if call.acknowledged_by is not None:
        return f"{call.acknowledged_by.full_name} acknowledged this call first. Your text is kept."
    return f"Not acknowledged: {refused}"


def acknowledge_form(
    request: DeskRequest, call: MarginCall, *, words: str = "", problem: str = "", status: int = 200
) -> HttpResponse:
    """The question, as a dialog for htmx and as a page without it."""
    is_dialog = wants_rows(request) and request.method == "GET"
    context = {
        "call": call,
        "account": account_of(call),
        "words": words,
        "problem": problem,
        "address": reverse("margin:call-acknowledge", args=[call.number]),
        "title": f"Acknowledge {call.number}?",
        "action": f"Acknowledge {grouped(call.amount, decimals=2)} {call.currency}",
    }
    template = "margin/_acknowledge.html" if is_dialog else "margin/acknowledge.html"
    return render(request, template, context, status=status)


def members_of(call: MarginCall) -> list[MarginAccount]:
    """The accounts of the group that a call is made on, on its day; none of any other."""
    group = AccountGroup.objects.filter(account=account_of(call)).first()
    return [] if group is None else accounts_of(group, day=call.business_day)
