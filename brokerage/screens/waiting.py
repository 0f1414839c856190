"""What needs a person now, over all apps: worst first, each line a link to where it is done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import Count, F, Min, Q
from django.urls import reverse
from django.utils import timezone

from accounts.approvals import for_you
from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.roles import DeskRequest
from accounts.states import STATES, Shown
from brokerage.models import BusinessDay
from brokerage.screens.whole import Whole
from ledger.models import Break
from ledger.naming import decimals_of
from ledger.screens.locations import LETTER_WARNS_FOR, desk_today
from ledger.screens.visible import breaks_here, locations_here
from margin.engine.house_rules import INSUFFICIENT_MARK
from margin.models import MarginCall, MarginRun, MarginState, Mark, Task
from margin.views.visible import calls_here, results_here, tasks_here

# What stands first; within one tone the nearest deadline.
WEIGHTS = {"def": 0, "liq": 1, "call": 2, "watch": 3, "info": 4}
TASKS_READ_MAX = 2000
SINGLE_LINES_MAX = 3
NAMES_SHOWN = 4
# States of a call that wait for a person, and what the line says of one and of several.
WAITING_CALLS = {
    MarginCall.State.UNDELIVERED: ("was not delivered", "calls were not delivered"),
    MarginCall.State.ESCALATED: ("is escalated", "calls are escalated"),
    MarginCall.State.DISPUTED: ("is disputed", "calls are disputed"),
    MarginCall.State.EXPIRED: ("has expired", "calls have expired"),
}


@dataclass(frozen=True)
class Line:
    """One thing to do.

    Attributes:
        links: parts of it by name and address, said before the detail.
        due: its deadline, where it has one; else `when` says since when or for when, in words.
    """

    shown: Shown
    title: str
    address: str
    links: tuple[tuple[str, str], ...] = ()
    detail: str = ""
    due: datetime | None = None
    when: str = ""


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


# ---------------------------------------------------------------- tasks


def task_lines(request: DeskRequest, run: MarginRun | None, marks: Sequence[Mark]) -> list[Line]:
    """Open tasks, scopes of a kind as one line."""
    tasks = list(
        tasks_here(request)
        .filter(closed_at__isnull=True)
        .select_related("owner", "scope__bucket__account")
        .order_by("due_at", "pk")[:TASKS_READ_MAX]
    )
    by_kind: dict[str, list[Task]] = {}
    for task in tasks:
        by_kind.setdefault(task.kind, []).append(task)
    lines = []
    for kind, words in (
        (Task.Kind.DEFICIT, ("scope is", "scopes are", "in deficit")),
        (Task.Kind.LIQUIDATE, ("scope is", "scopes are", "below the liquidation level")),
    ):
        if kind in by_kind:
            lines.append(scope_line(request, by_kind[kind], words=words))
    lines += price_lines(request, by_kind.get(Task.Kind.PRICE, ()), run=run, marks=marks)
    for kind in (Task.Kind.UNPRICED, Task.Kind.NO_AGREEMENT):
        lines += several(
            by_kind.get(kind, ()),
            words="scopes could not be margined",
            address=reverse("margin:exceptions"),
        )
    lines += several(
        by_kind.get(Task.Kind.UNCOVERED, ()),
        words="losses that nobody covered",
        address=f"{reverse('margin:tasks')}?{urlencode({'kind': Task.Kind.UNCOVERED.value})}",
    )
    lines += several(
        by_kind.get(Task.Kind.JOB, ()),
        words="jobs have failed",
        address=f"{reverse('brokerage:jobs')}?{urlencode({'state': 'failed'})}",
    )
    return lines


def scope_line(request: DeskRequest, tasks: Sequence[Task], *, words: tuple[str, str, str]) -> Line:
    """All scopes at one level: which, how much is called of them, whose they are.

    Each scope's name leads to why it was called, whence prices and brackets are one step away.
    """
    one, many, where = words
    scopes = [task.scope_id for task in tasks if task.scope_id is not None]
    calls = {
        scope: (number, amount)
        for scope, number, amount in calls_here(request)
        .filter(scope__in=scopes)
        .exclude(state__in=MarginCall.ENDED)
        .values_list("scope_id", "number", "amount")
    }
    called = sum((amount for _, amount in calls.values()), Decimal(0))
    named = [task for task in tasks if task.scope is not None and task.scope.bucket is not None]
    links = [scope_link(task, calls.get(task.scope_id or 0)) for task in named[:NAMES_SHOWN]]
    rest = len(tasks) - len(links)
    state = "DEFICIT" if tasks[0].kind == Task.Kind.DEFICIT else "LIQUIDATE"
    detail = [
        f"and {grouped(rest)} more" if rest else "",
        f"· {grouped(called, decimals=2)} USD called · {owners_of(tasks)}",
    ]
    return Line(
        shown=STATES["task"][tasks[0].kind],
        title=f"{grouped(len(tasks))} {one if len(tasks) == 1 else many} {where}",
        address=f"{reverse('margin:calls')}?{urlencode({'state': state})}",
        links=tuple(links),
        detail=" ".join(filter(None, detail)),
        due=tasks[0].due_at,
    )


def scope_link(task: Task, call: tuple[str, Decimal] | None) -> tuple[str, str]:
    """A scope by its account, with the address of why it was called."""
    assert task.scope is not None
    assert task.scope.bucket is not None
    code = task.scope.bucket.account.code
    if call is None:
        return code, reverse("margin:account", args=[code])
    return code, f"{reverse('margin:call', args=[call[0]])}?explain=initial_margin"


def price_lines(
    request: DeskRequest, tasks: Sequence[Task], *, run: MarginRun | None, marks: Sequence[Mark]
) -> list[Line]:
    """Prices that nothing may rest on, and how many scopes that concerns."""
    if not tasks:
        return []
    codes = [task.key.partition(":")[2] for task in tasks]
    flagged = flagged_words(request, run)
    if len(tasks) > SINGLE_LINES_MAX:
        return [
            Line(
                shown=STATES["task"][Task.Kind.PRICE],
                title=f"{grouped(len(tasks))} prices are not valid",
                address=reverse("margin:prices"),
                detail=f"{short_list(codes)}. {flagged}",
                due=tasks[0].due_at,
            )
        ]
    by_code = {mark.asset.code: mark for mark in marks}
    return [
        Line(
            shown=STATES["task"][Task.Kind.PRICE],
            title=f"{task.subject}; its liquidations are held",
            address=reverse("margin:price", args=[code]),
            detail=f"{mark_words(by_code.get(code))} {flagged}".strip(),
            due=task.due_at,
        )
        for task, code in zip(tasks, codes, strict=True)
    ]


def mark_words(mark: Mark | None) -> str:
    """ "3 of 3 sources dropped. Mark of 5 Feb 6,902.745 stays." """
    if mark is None:
        return ""
    dropped = {each["source"] for each in mark.dropped}
    sources = dropped | {each["source"] for each in mark.used}
    first = f"{len(dropped)} of {len(sources)} sources dropped." if sources else "No price came."
    if mark.carried_from is None:
        return first
    day = shown_day(mark.carried_from.business_day, form="short")
    return f"{first} Mark of {day} {grouped(mark.price)} stays."


def flagged_words(request: DeskRequest, run: MarginRun | None) -> str:
    """How many scopes rest on such a price, and how many are not liquidated because of it."""
    flagged = results_here(request, run).filter(flags__contains=[INSUFFICIENT_MARK])
    level = F("maintenance_margin") * F("agreement_version__liquidation_level")
    counts = flagged.aggregate(
        n=Count("pk"),
        held=Count("pk", filter=Q(state=MarginState.CALL, equity__lt=level)),
    )
    words = f"{grouped(counts['n'])} scopes flagged"
    if not counts["held"]:
        return words
    return f"{words}; {grouped(counts['held'])} below their liquidation level stay at Call"


def several(tasks: Sequence[Task], *, words: str, address: str) -> list[Line]:
    """A few tasks one by one, more of them as one line."""
    if len(tasks) <= SINGLE_LINES_MAX:
        return [
            Line(
                shown=STATES["task"][task.kind],
                title=task.subject,
                address=address,
                detail=" · ".join(filter(None, [task.detail, owners_of([task])])),
                due=task.due_at,
            )
            for task in tasks
        ]
    return [
        Line(
            shown=STATES["task"][tasks[0].kind],
            title=f"{grouped(len(tasks))} {words}",
            address=address,
            detail=" · ".join(
                filter(None, [short_list([task.subject for task in tasks], limit=2),
                              owners_of(tasks)])
            ),
            due=tasks[0].due_at,
        )
    ]  # fmt: skip


def owners_of(tasks: Iterable[Task]) -> str:
    """ "owners L. Brandt, M. Okafor"; what nobody owns is said first."""
    names = {task.owner.full_name if task.owner else "" for task in tasks}
    named = sorted(names - {""})
    if not named:
        return "no owner"
    word = "owner" if len(named) == 1 else "owners"
    return f"{word} {', '.join(named)}{', some without' if '' in names else ''}"


def short_list(words: Sequence[str], *, limit: int = NAMES_SHOWN) -> str:
    """ "A00009, A00053 and 7 more"."""
    each = list(dict.fromkeys(words))
    if len(each) <= limit:
        return ", ".join(each)
    return f"{', '.join(each[:limit])} and {grouped(len(each) - limit)} more"


# ---------------------------------------------------------------- calls, breaks, approvals, letters


def call_lines(request: DeskRequest) -> list[Line]:
    """Calls that did not reach the client, are contested, or were not answered in time."""
    calls = list(
        calls_here(request)
        .filter(state__in=list(WAITING_CALLS))
        .select_related("scope__bucket__account__client")
        .order_by("due_at", "number")[:TASKS_READ_MAX]
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
        .order_by("-business_day", "location__code", "ordinal")[:TASKS_READ_MAX]
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
    waiting = list(for_you(request.operator, request.roles)[:TASKS_READ_MAX])
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
    """Acknowledgement letters of client locations that have run out or soon will."""
    today = desk_today()
    soon = locations_here(request).filter(
        pool__owner_class="CLIENT",
        closed_on__isnull=True,
        letter_expires_on__lte=today + LETTER_WARNS_FOR,
    )
    first = soon.aggregate(day=Min("letter_expires_on"))["day"]
    if first is None:
        return []
    codes = list(soon.order_by("letter_expires_on").values_list("code", flat=True))
    tone = "liq" if first < today else "watch"
    verb = "has run out" if first < today else "runs out soon"
    return [
        Line(
            shown=Shown(tone, "note", "Letter"),
            title=f"The acknowledgement letter of {codes[0]} {verb}"
            if len(codes) == 1
            else f"{grouped(len(codes))} acknowledgement letters have run out or soon will",
            address=reverse("ledger:locations"),
            detail=short_list(codes),
            when=shown_day(first, form="short"),
        )
    ]
