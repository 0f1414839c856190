"""What needs a person now, over all apps: worst first, each line a link to where it is done."""

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from accounts.approvals import for_you
from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.roles import DeskRequest
from accounts.states import STATES, Shown
from brokerage.models import BusinessDay
from brokerage.screens.task_lines import (
    ROWS_READ_MAX,
    SINGLE_LINES_MAX,
    Line,
    short_list,
    task_lines,
)
from brokerage.screens.whole import Whole
from ledger.letters import letter_states
from ledger.models import Break
from ledger.naming import decimals_of
from ledger.receipts import receipts_of
from ledger.screens.locations import desk_today
from ledger.screens.visible import breaks_here, entity_here, locations_here
from margin.models import MarginCall, MarginRun, Mark
from margin.screens.visible import calls_here

# What stands first; within one tone the nearest deadline.
WEIGHTS = {"def": 0, "liq": 1, "call": 2, "watch": 3, "info": 4}
# States of a call that wait for a person, and what the line says of one and of several.
WAITING_CALLS = {
    MarginCall.State.UNDELIVERED: ("was not delivered", "calls were not delivered"),
    MarginCall.State.ESCALATED: ("is escalated", "calls are escalated"),
    MarginCall.State.DISPUTED: ("is disputed", "calls are disputed"),
    MarginCall.State.EXPIRED: ("has expired", "calls have expired"),
}


def lines_of(
    request: DeskRequest,
    day: BusinessDay,
    *,
    whole: Whole,
    run: MarginRun | None,
    marks: Sequence[Mark],
) -> list[Line]:
    """Everything that waits for a person; a fixed number of queries."""
    found = [
        *missing_money(whole),
        *task_lines(request, run, marks),
        *call_lines(request),
        *break_lines(request, day),
        *approval_lines(request),
        *letter_lines(request),
        *receipt_lines(request),
    ]
    far = timezone.now() + timedelta(days=36500)
    return sorted(found, key=lambda line: (WEIGHTS[line.shown.tone], line.due or far))


def missing_money(whole: Whole) -> list[Line]:
    """What client money lacks, before anything else."""
    return [
        Line(
            shown=Shown("def", "notequal", "Shortfall"),
            title=f"Client money lacks {grouped(line.shortfall or 0, decimals=line.scale)}"
            f" {line.asset}, due from the firm",
            address=f"{reverse('ledger:locations')}#h-{line.pool}",
            detail=f"Pool {line.pool}: pay it from the firm's own money, with a second person",
        )
        for line in whole.missing
    ]


def call_lines(request: DeskRequest) -> list[Line]:
    """Calls that did not reach the client, are contested, or were not answered in time."""
    calls = list(
        calls_here(request)
        .filter(state__in=list(WAITING_CALLS))
        .select_related("scope__bucket__account__client")
        .order_by("due_at", "number")[:ROWS_READ_MAX]
    )
    by_state: dict[str, list[MarginCall]] = {}
    for call in calls:
        by_state.setdefault(call.state, []).append(call)
    lines = []
    for state, (one, many) in WAITING_CALLS.items():
        found = by_state.get(state, [])
        shown = STATES["call"][state]
        if len(found) > SINGLE_LINES_MAX:
            lines.append(
                Line(
                    shown=shown,
                    title=f"{grouped(len(found))} {many}",
                    address=f"{reverse('margin:calls')}?{urlencode({'call': state.value})}",
                    detail=short_list([call.number for call in found]),
                    due=found[0].due_at,
                )
            )
        else:
            lines += [call_line(call, shown=shown, words=one) for call in found]
    return lines


def call_line(call: MarginCall, *, shown: Shown, words: str) -> Line:
    bucket = call.scope.bucket
    client = bucket.account.client if bucket is not None else None
    whom = f" to {client.code}" if client is not None else ""
    return Line(
        shown=shown,
        title=f"Call {call.number}{whom} {words}",
        address=reverse("margin:call", args=[call.number]),
        detail=f"{bucket.account.code if bucket else ''} ·"
        f" {grouped(call.amount, decimals=2)} {call.currency}",
        due=call.due_at,
    )


def break_lines(request: DeskRequest, day: BusinessDay) -> list[Line]:
    """Breaks that nobody has taken: those of the day one by one, older ones together."""
    free = list(
        breaks_here(request)
        .filter(status=Break.Status.OPEN, owner__isnull=True)
        .select_related("location", "asset")
        .order_by("-business_day", "location__code", "ordinal")[:ROWS_READ_MAX]
    )
    new = [each for each in free if each.business_day == day.day]
    if len(new) > SINGLE_LINES_MAX:
        new = []
    lines = [break_line(each) for each in new]
    rest = [each for each in free if each not in new]
    if rest:
        oldest = min(each.business_day for each in rest)
        noun = "break has" if len(rest) == 1 else "breaks have"
        lines.append(
            Line(
                shown=Shown("call", "dot", "Break"),
                title=f"{grouped(len(rest))} {'older ' if new else ''}{noun} no owner",
                address=f"{reverse('ledger:breaks')}?{urlencode({'owner': 'nobody'})}",
                detail=short_list([each.location.code for each in rest]),
                when=f"since {shown_day(oldest, form='short')}",
            )
        )
    return lines


BREAK_WORDS = {
    Break.Kind.MISSING_IN_LEDGER: "{amount} at {place} is not in the book",
    Break.Kind.MISSING_IN_STATEMENT: "{amount} of the book is not in the statement of {place}",
    Break.Kind.AMOUNT_DIFFERS: "{place} moved {amount} {more} than the book",
    Break.Kind.DUPLICATE_IN_STATEMENT: "{place} shows {amount} once too often",
    Break.Kind.QUANTITY_DIFFERS: "{place} reports {amount} {more} than the book",
    Break.Kind.STATEMENT_REJECTED: "The statement of {place} was rejected",
}


def break_line(found: Break) -> Line:
    """A new break, said as what it is."""
    difference, amount = found.difference, ""
    if difference is not None and found.asset is not None:
        size = grouped(difference.copy_abs(), decimals=decimals_of(found))
        amount = f"{size} {found.asset.code}"
    more = "less" if difference is not None and difference < 0 else "more"
    words = BREAK_WORDS[Break.Kind(found.kind)]
    return Line(
        shown=Shown("call", "dot", "Break"),
        title=words.format(amount=amount, place=found.location.code, more=more),
        address=reverse("ledger:break", args=[found.pk]),
        detail=" · ".join(filter(None, [found.reference, "no owner yet"])),
        when=shown_day(found.business_day, form="short"),
    )


def approval_lines(request: DeskRequest) -> list[Line]:
    """Requests that wait for this person."""
    waiting = list(for_you(request.operator, request.roles)[:ROWS_READ_MAX])
    if not waiting:
        return []
    oldest = min(waiting, key=lambda asked: asked.made_at)
    verb = "request waits" if len(waiting) == 1 else "requests wait"
    return [
        Line(
            shown=Shown("watch", "clock", "Approve"),
            title=f"{grouped(len(waiting))} {verb} for you as the second person",
            address=reverse("accounts:approvals"),
            detail=f"Oldest: {oldest.action.title.lower()}, {oldest.subject},"
            f" made by {oldest.maker.full_name}",
            due=min(asked.expires_at for asked in waiting),
        )
    ]


def letter_lines(request: DeskRequest) -> list[Line]:
    """Acknowledgement letters of client locations that are not in force, or not for long."""
    today = desk_today()
    places = list(
        locations_here(request)
        .filter(pool__owner_class="CLIENT", closed_on__isnull=True)
        .select_related("pool")
        .order_by("code")
    )
    states = letter_states(places, today=today)
    soon = [
        (states[place.pk].good_until or today, place)
        for place in places
        if states[place.pk].tone == "liq"
        or (states[place.pk].tone == "watch" and states[place.pk].good_until is not None)
    ]
    if not soon:
        return []
    soon.sort(key=lambda pair: (pair[0], pair[1].code))
    first, codes = soon[0][0], [place.code for _, place in soon]
    is_over = states[soon[0][1].pk].tone == "liq"
    return [
        Line(
            shown=Shown("liq" if is_over else "watch", "note", "Letter"),
            title=f"The acknowledgement letter of {codes[0]}"
            f" {'is not in force' if is_over else 'runs out soon'}"
            if len(codes) == 1
            else f"{grouped(len(codes))} acknowledgement letters are not in force or not for long",
            address=reverse("ledger:conduct"),
            detail=short_list(codes),
            when=shown_day(first, form="short"),
        )
    ]


def receipt_lines(request: DeskRequest) -> list[Line]:
    """Receipts that have waited for their owner longer than the rule allows."""
    late = [
        each
        for each in receipts_of(entity_here(request), today=desk_today(), is_open=True)
        if each.alarms
    ]
    if not late:
        return []
    verb = "receipt has" if len(late) == 1 else "receipts have"
    return [
        Line(
            shown=Shown("liq", "bell", "Receipt"),
            title=f"{grouped(len(late))} {verb} waited too long for an owner",
            address=reverse("ledger:receipts"),
            detail=short_list([each.words for each in late]),
            when=f"{late[0].age} days",
        )
    ]
