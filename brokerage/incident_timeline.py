"""What happened at a legal entity in the window of an incident, by time: files, marks, runs, calls,
levels, switches, tasks, requests and people's acts, each row once.

It is the timeline of a case, of a whole firm and a few hours: the same items in the same order.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.figures import grouped, plain
from accounts.models import Act, Approval, LegalEntity
from brokerage.cases.sources import Found, Item
from brokerage.cases.timeline import heads_of, item_of, order_of
from margin.models import (
    CallEvent,
    LevelEvent,
    MarginRun,
    Mark,
    PriceFile,
    Switch,
    Task,
    TaskEvent,
)

# More than anybody reads on a page; the rest of a long window is in a shorter one.
ITEMS_MAX: Final = 20_000
COLUMNS: Final = ("at", "known_at", "kind", "where", "what", "by", "row")
KINDS: Final = ("file", "price", "run", "level", "call", "task", "approval", "switch", "act")
QUIET: Final = (Mark.State.VALID, Mark.State.MARKET_CLOSED)


class TooMuchError(Exception):
    """More happened than is listed at once; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at.

    Attributes:
        ends_at: the first instant that no longer counts.
        mine: rows whose account somebody may see, by the path of the account in the row.
        tasks: those that they may see.
    """

    entity: LegalEntity
    begins_at: datetime
    ends_at: datetime
    mine: Callable[[str], Q]
    tasks: "QuerySet[Task]"

    def within(self, path: str) -> Q:
        """Rows whose time lies in the window."""
        return Q(**{f"{path}__gte": self.begins_at, f"{path}__lt": self.ends_at})


def incident_timeline(window: Window) -> list[Item]:
    """Everything in the window, in order; a fixed number of queries.

    Raises:
        TooMuchError: it is more than 20,000 items.
    """
    found: list[Found] = []
    for source in (_files, _marks, _runs, _levels, _calls, _tasks, _switches, _approvals):
        for each in source(window):
            found.append(each)
            if len(found) > ITEMS_MAX:
                raise TooMuchError(
                    f"More than {ITEMS_MAX:,} things happened; choose a shorter window."
                )
    xids = {each.xid for each in found}
    heads = heads_of(xids)
    found += _acts(found, heads)
    return sorted((item_of(each, heads) for each in found), key=order_of)


def row_of(item: Item) -> tuple[object, ...]:
    """An item as a row of an export."""
    return (item.at, item.known_at, item.kind, item.where, item.text, item.by, item.key)


def _files(window: Window) -> Iterator[Found]:
    for file in PriceFile.objects.defer("content").filter(window.within("as_of")):
        yield Found(
            file.as_of, file.received_at, "file", f"margin_pricefile:{file.pk}", "",
            f"price file {file.name}, {file.row_count} rows", file.xid,
        )  # fmt: skip


def _marks(window: Window) -> Iterator[Found]:
    """Marks that somebody may not rely on; the others are told by their file and run."""
    marks = Mark.objects.filter(window.within("as_of")).exclude(state__in=QUIET)
    for mark in marks.select_related("asset"):
        text = f"{mark.asset.code} {plain(mark.price)}, {Mark.State(mark.state).label.lower()}"
        yield Found(
            mark.as_of, None, "price", f"margin_mark:{mark.pk}", mark.asset.code, text, mark.xid,
            reverse("margin:price", args=[mark.asset.code]),
        )  # fmt: skip


def _runs(window: Window) -> Iterator[Found]:
    for run in MarginRun.objects.filter(window.within("as_of")):
        yield Found(
            run.as_of, run.finished_at, "run", f"margin_marginrun:{run.pk}", "",
            f"run {run.number} ({run.purpose}), {run.scope_count} scopes", run.xid,
            reverse("margin:run", args=[run.number]),
        )  # fmt: skip


def _levels(window: Window) -> Iterator[Found]:
    rows = LevelEvent.objects.filter(
        window.within("run__as_of"), window.mine("scope__bucket__account")
    )
    for row in rows.select_related("run", "scope__bucket__account"):
        bucket = row.scope.bucket
        assert bucket is not None, "runs compute buckets"
        yield Found(
            row.run.as_of, row.run.finished_at, "level", f"margin_levelevent:{row.pk}",
            f"{bucket.account.code} {bucket.code}",
            f"{row.get_way_display()}: {row.get_level_display().lower()}", row.xid,
            reverse("margin:account", args=[bucket.account.code]),
        )  # fmt: skip


def _calls(window: Window) -> Iterator[Found]:
    rows = CallEvent.objects.filter(
        window.within("occurred_at"), window.mine("call__scope__bucket__account")
    )
    for row in rows.select_related("call__scope__bucket__account"):
        call, bucket = row.call, row.call.scope.bucket
        assert bucket is not None, "calls are made on buckets"
        text = f"{call.number} ({call.kind}): {row.event.replace('_', ' ')}"
        if row.amount_after is not None:
            text += f", {grouped(row.amount_after)} {call.currency}"
        yield Found(
            row.occurred_at, None, "call", f"margin_callevent:{row.pk}",
            f"{bucket.account.code} {bucket.code}", text, row.xid,
            reverse("margin:call", args=[call.number]),
        )  # fmt: skip


def _tasks(window: Window) -> Iterator[Found]:
    rows = TaskEvent.objects.filter(window.within("occurred_at"), task__in=window.tasks)
    for row in rows.select_related("task"):
        subject = row.task.subject
        # The subject of many a task ends with its detail.
        is_said = subject.lower().endswith(row.text.rstrip(".").lower())
        text = ", ".join(filter(None, (subject, row.event, "" if is_said else row.text)))
        yield Found(
            row.occurred_at, None, "task", f"margin_taskevent:{row.pk}", "", text, row.xid,
            reverse("margin:tasks"),
        )  # fmt: skip


def _switches(window: Window) -> Iterator[Found]:
    rows = Switch.objects.filter(window.within("set_at"), legal_entity=window.entity)
    for row in rows.select_related("approval__maker", "approval__checker"):
        word = "stopped" if row.is_stopped else "started again"
        checker = row.approval.checker
        assert checker is not None, "a switch was agreed to"
        yield Found(
            row.set_at, row.set_at, "switch", f"margin_switch:{row.pk}", "",
            f"{row.get_what_display()} {word}, asked by {row.approval.maker.full_name}, agreed to"
            f" by {checker.full_name}: {row.reason}", row.xid,
            reverse("accounts:approval", args=[row.approval_id]),
        )  # fmt: skip


def _approvals(window: Window) -> Iterator[Found]:
    """What was used in the window; what only waits is on its own list."""
    rows = Approval.objects.filter(window.within("used_at"), legal_entity=window.entity)
    for row in rows.exclude(action__in=("switch.stop", "switch.start")).select_related("maker"):
        assert row.used_xid is not None, "it was used"
        yield Found(
            row.used_at, row.used_at, "approval", f"accounts_approval:{row.pk}", "",
            f"no. {row.number}, {row.action_id}: {row.subject}, asked by {row.maker.full_name}",
            row.used_xid, reverse("accounts:approval", args=[row.pk]),
        )  # fmt: skip


def _acts(found: list[Found], heads: Mapping[int, Act]) -> list[Found]:
    """What people did in these transactions, each act once, at the earliest of what it wrote."""
    times: dict[int, datetime] = {}
    for each in found:
        assert each.at is not None, "everything here has its time"
        times[each.xid] = min(each.at, times.get(each.xid, each.at))
    return [
        Found(
            times[xid], head.recorded_at, "act", f"accounts_act:{xid}", "",
            head.reason or "no reason given", xid,
        )
        for xid, head in heads.items()
        if head.operator_id is not None
    ]  # fmt: skip
