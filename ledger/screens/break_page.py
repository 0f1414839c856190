"""One break: both sides, what happened to it, and what a person can do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.approvals import pending_on
from accounts.audit import RefusedError
from accounts.figures import grouped
from accounts.listing import wants_rows
from accounts.models import Act, Operator
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, one_of, require, who_may
from ledger.breaks import (
    BreakActError,
    close_break,
    effective_at_of,
    evidence_for,
    explain_break,
    take_break,
)
from ledger.corrections import correction_kind, correction_preview, request_correction
from ledger.models import AccountClass, Break, Holding, Posting
from ledger.naming import actor_words, decimals_of
from ledger.receipts import book_receipt, is_receipt
from ledger.screens.identity import exact_sum
from ledger.screens.reconciled import rejection_words
from ledger.screens.visible import break_or_404, breaks_here, entity_here
from ledger.transfers import (
    TransferRefusedError,
    action_of,
)

TAKE, EXPLAIN, CLOSE, RECEIPT = "break.take", "break.explain", "break.close", "receipt.book"
PICKS_MAX = 200
EVENTS = {
    "found": ("call", "Found"),
    "taken": ("info", "Taken"),
    "explained": ("watch", "Explained"),
    "correction asked": ("watch", "Correction asked for"),
    "booked": ("ok", "Booked as a receipt without an owner"),
    "closed": ("ok", "Closed"),
}


@dataclass(frozen=True)
class Step:
    """A line of the break's history."""

    instant: datetime
    actor: str
    tone: str
    title: str
    text: str


@require_GET
@require("read")
def break_page(request: DeskRequest, break_id: int) -> HttpResponse:
    """The page of one break."""
    return drawn(request, break_or_404(request, break_id))


def drawn(
    request: DeskRequest, found: Break, *, typed: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    """The page as it stands, with what somebody had typed into a refused form."""
    entity = found.location.pool.legal_entity
    kind = correction_kind(found)
    is_open = found.status != Break.Status.CLOSED
    context = {
        "found": found,
        "scale": decimals_of(found),
        "there": found.statement_amount
        if found.kind != Break.Kind.DUPLICATE_IN_STATEMENT
        else exact_sum([found.ledger_amount, found.difference]),
        "detail_words": rejection_words(found.detail) if found.detail else "",
        "movements": movements(found),
        "holdings": holdings(found),
        "steps": steps(found),
        "is_open": is_open,
        "is_mine": found.owner_id == request.operator.pk,
        "can_take": is_open and may(request, TAKE, entity),
        "can_explain": is_open and may(request, EXPLAIN, entity),
        "can_close": is_open and may(request, CLOSE, entity),
        "can_book": is_open and is_receipt(found) and may(request, RECEIPT, entity),
        "can_correct": is_open
        and kind is not None
        and may(request, f"{REQUEST}{action_of(kind)}", entity),
        "correction": kind,
        "preview": correction_preview(found) if is_open and kind is not None else (),
        "pending": pending_on(f"ledger_break:{found.pk}", roles=request.roles),
        "evidence": evidence_for(found) if is_open else None,
        "closers": one_of(who_may(CLOSE, entity.pk)),
        "typed": typed or {},
    }
    return render(request, "ledger/break.html", context, status=status)


def movements(found: Break) -> list[Posting]:
    """The book's side: the movement with this reference on that day; for a holding, the last."""
    postings = Posting.objects.filter(
        account__account_class=AccountClass.CUSTODY, account__location=found.location_id,
        account__asset=found.asset_id,
    ).select_related("entry__kind", "asset")  # fmt: skip
    if found.kind == Break.Kind.QUANTITY_DIFFERS:
        return list(postings.order_by("-account_seq")[:3])
    if found.ledger_amount is None:
        return []
    day = effective_at_of(found).date()
    return list(
        postings.filter(
            reference=found.reference, amount=found.ledger_amount, entry__effective_at__date=day
        ).order_by("account_seq")[:3]
    )


def holdings(found: Break) -> list[Holding]:
    """The rows of the holdings file behind a difference of quantity."""
    if found.kind != Break.Kind.QUANTITY_DIFFERS:
        return []
    rows = Holding.objects.filter(
        location=found.location_id, asset=found.asset_id, business_day=found.business_day
    )
    return list(rows.select_related("file").defer("file__content").order_by("line")[:10])


def steps(found: Break) -> list[Step]:
    """What happened to the break, oldest first; two queries."""
    events = list(found.events.order_by("pk"))
    acts = {
        act.pk: act
        for act in Act.objects.filter(pk__in=[event.xid for event in events]).select_related(
            "operator"
        )
    }
    lines = []
    for event in events:
        tone, title = EVENTS.get(event.event, ("", event.event.capitalize()))
        act = acts.get(event.xid)
        lines.append(Step(event.recorded_at, actor_words(act), tone, f"{title}.", event.text))
    return lines


# ---------------------------------------------------------------- acts


def carried_out(
    request: DeskRequest, break_id: int, act: str, do: Callable[[Break], str]
) -> HttpResponse:
    """Do it and come back to the page, or show the page with the sentence that says why not."""
    found = break_or_404(request, break_id)
    check(request, act, found.location.pool.legal_entity)
    try:
        said = do(found)
    except BreakActError as refused:
        return refused_page(request, break_id, str(refused))
    except TransferRefusedError as refused:
        return refused_page(request, break_id, str(refused))
    except RefusedError as refused:
        return refused_page(request, break_id, f"Not done: {refused.detail}.")
    messages.success(request, said)
    announce("breaks", "book")
    return redirect("ledger:break", break_id)


def refused_page(request: DeskRequest, break_id: int, text: str) -> HttpResponse:
    """The break as it stands now, with the refusal and what had been typed."""
    messages.error(request, text)
    typed = {name: str(value) for name, value in request.POST.items()}
    return drawn(request, break_or_404(request, break_id), typed=typed, status=409)


@require_POST
@require("read")
def take(request: DeskRequest, break_id: int) -> HttpResponse:
    """Make the break one's own."""

    def do(found: Break) -> str:
        seen = request.POST.get("seen_owner", "")
        take_break(
            found.pk,
            seen_owner_id=int(seen) if seen.isdecimal() and len(seen) < 10 else None,
            actor=request.actor,
            request_id=request.request_id,
        )
        return "This break is yours now."

    return carried_out(request, break_id, TAKE, do)


@require_POST
@require("read")
def explain(request: DeskRequest, break_id: int) -> HttpResponse:
    """Say why the sides differ."""

    def do(found: Break) -> str:
        explain_break(
            found.pk, text=request.POST.get("explanation", ""), actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
        return "Explained. The break stays until there is evidence."

    return carried_out(request, break_id, EXPLAIN, do)


@require_POST
@require("read")
def close(request: DeskRequest, break_id: int) -> HttpResponse:
    """Close the break with a posting or a line."""

    def do(found: Break) -> str:
        kind, _, number = request.POST.get("evidence", "").partition(":")
        named = int(number) if number.isdecimal() and len(number) < 19 else None
        close_break(
            found.pk,
            entry_id=named if kind == "entry" else None,
            line_id=named if kind == "line" else None,
            reason=request.POST.get("reason", ""),
            actor=request.actor,
            request_id=request.request_id,
        )
        return "Closed. The evidence stays with it."

    return carried_out(request, break_id, CLOSE, do)


@require_POST
@require("read")
def book(request: DeskRequest, break_id: int) -> HttpResponse:
    """Book a receipt without an owner."""

    def do(found: Break) -> str:
        entry_id = book_receipt(
            found.pk, text=request.POST.get("text", ""), actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
        return f"Booked as entry {entry_id}. Close the break with it."

    return carried_out(request, break_id, RECEIPT, do)


@require_POST
@require("read")
def correct(request: DeskRequest, break_id: int) -> HttpResponse:
    """Ask that the book be brought to the bank; a second person decides."""
    found = break_or_404(request, break_id)
    entity = found.location.pool.legal_entity
    kind = correction_kind(found)

    def do(found: Break) -> str:
        request_correction(
            found, reason=request.POST.get("why", "").strip(), legal_entity=entity,
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
        announce("approvals")
        return "Asked. It waits for a second person; nothing has moved."

    act = f"{REQUEST}{action_of(kind)}" if kind else CLOSE
    return carried_out(request, break_id, act, do)


# ---------------------------------------------------------------- several at once


@dataclass(frozen=True)
class Picked:
    """A break of the selection and why it cannot be taken; "" if it can."""

    found: Break
    refusal: str


@require_http_methods(["GET", "POST"])
@require("read")
def take_several(request: DeskRequest) -> HttpResponse:
    """Show the selection with each outcome foreseen; then take what can be taken."""
    entity = entity_here(request)
    check(request, TAKE, entity)
    sent = request.POST if request.method == "POST" else request.GET
    picked = picked_breaks(request, sent.getlist("pick"))
    if request.method == "GET" or not picked:
        return question(request, picked)
    done, failed = 0, 0
    for each in picked:
        try:
            take_break(
                each.found.pk, seen_owner_id=each.found.owner_id, actor=request.actor,
                request_id=request.request_id,
            )  # fmt: skip
        except (BreakActError, RefusedError):
            failed += 1
        else:
            done += 1
    words = f"{grouped(done)} of {grouped(len(picked))} breaks taken."
    if failed:
        messages.warning(request, f"{words} The others were closed or yours already.")
    else:
        messages.success(request, words)
    announce("breaks")
    return redirect("ledger:breaks")


def picked_breaks(request: DeskRequest, numbers: Sequence[str]) -> list[Picked]:
    """The selected breaks that the person may see."""
    wanted = [int(number) for number in numbers[:PICKS_MAX] if number.isdecimal()]
    rows = breaks_here(request).filter(pk__in=wanted).select_related("location", "asset", "owner")
    return [
        Picked(found, refusal_of(found, request.operator))
        for found in rows.order_by("location__code", "business_day", "ordinal")
    ]


def refusal_of(found: Break, operator: Operator) -> str:
    if found.status == Break.Status.CLOSED:
        return "closed"
    return "yours already" if found.owner_id == operator.pk else ""


def question(request: DeskRequest, picked: Sequence[Picked]) -> HttpResponse:
    """The selection, as a dialog for htmx and as a page without it."""
    able = sum(not each.refusal for each in picked)
    context = {
        "picked": picked,
        "able": able,
        "address": request.path,
        "title": "Take these breaks?",
        "action": f"Take {able} of {len(picked)}",
    }
    is_dialog = wants_rows(request) and request.method == "GET"
    template = "ledger/_take_breaks.html" if is_dialog else "ledger/take_breaks.html"
    return render(request, template, context, status=200 if picked else 422)
