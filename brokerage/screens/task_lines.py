"""What open tasks ask of people, as lines of the day board; scopes of one kind are one line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import Count, F, Q
from django.urls import reverse

from accounts.clock import shown_day
from accounts.figures import grouped
from accounts.roles import DeskRequest
from accounts.states import STATES, Shown
from margin.engine.house_rules import INSUFFICIENT_MARK
from margin.levels import LIQUIDATION_LEVEL
from margin.models import MarginCall, MarginRun, MarginState, Mark, Task
from margin.screens.visible import calls_here, results_here, tasks_here

ROWS_READ_MAX = 2000
SINGLE_LINES_MAX = 3
NAMES_SHOWN = 4


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


def short_list(words: Sequence[str], *, limit: int = NAMES_SHOWN) -> str:
    """ "A00009, A00053 and 7 more"."""
    each = list(dict.fromkeys(words))
    if len(each) <= limit:
        return ", ".join(each)
    return f"{', '.join(each[:limit])} and {grouped(len(each) - limit)} more"


def task_lines(request: DeskRequest, run: MarginRun | None, marks: Sequence[Mark]) -> list[Line]:
    """Open tasks, scopes of a kind as one line."""
    tasks = list(
        tasks_here(request)
        .filter(closed_at__isnull=True)
        .select_related("owner", "scope__bucket__account")
        .order_by("due_at", "pk")[:ROWS_READ_MAX]
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
    for kind, many in (
        (Task.Kind.DISLOCATION, "prices have one source far from the others"),
        (Task.Kind.FEED, "feeds did not keep what they promised"),
    ):
        lines += several(by_kind.get(kind, ()), words=many, address=reverse("margin:feeds"))
    lines += several(
        by_kind.get(Task.Kind.CHECK, ()),
        words="checks have not come",
        address=reverse("margin:coverage"),
    )
    lines += several(
        by_kind.get(Task.Kind.SWITCH, ()),
        words="switches need somebody",
        address=reverse("brokerage:incident"),
    )
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
        by_kind.get(Task.Kind.EXPIRY, ()),
        words="options are over and not settled",
        address=f"{reverse('margin:tasks')}?{urlencode({'kind': Task.Kind.EXPIRY.value})}",
    )
    lines += several(
        by_kind.get(Task.Kind.TRANSIT, ()),
        words="payments on their way for too long",
        address=reverse("ledger:transit"),
    )
    lines += several(
        by_kind.get(Task.Kind.PAYMENT, ()),
        words="payments to look after",
        address=f"{reverse('margin:tasks')}?{urlencode({'kind': Task.Kind.PAYMENT.value})}",
    )
    lines += several(
        by_kind.get(Task.Kind.EXTERNAL, ()),
        words="margin numbers of others differ from ours",
        address=reverse("margin:external"),
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
    level = F("maintenance_margin") * LIQUIDATION_LEVEL
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
