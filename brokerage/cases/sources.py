"""Where the items of a timeline come from: one function for each kind of row, each row once."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Q
from django.urls import reverse

from accounts.figures import grouped, plain
from accounts.models import Act, Approval, ApprovalRecord, AuditRow
from accounts.trail import VERBS, word_for
from brokerage.cases.scope import CaseScope
from ledger.models import Posting, Release
from ledger.naming import said
from ledger.times import IsKnown, ReadingPoint, known
from margin.models import CallEvent, MarginResult, Mark, RunException, TaskEvent

# At the same business time and the same time of knowledge: what is seen, computed, asked, done.
RANKS: Final = (
    "file", "price", "run", "exception", "level", "call", "task", "release", "record", "approval",
    "switch", "posting", "act",
)  # fmt: skip


class Item(NamedTuple):
    """Something that happened in the scope of a case.

    Attributes:
        at: business time: when it takes effect, or when it was done where it has no other time.
        known_at: when it was recorded.
        kind: one of `RANKS`.
        key: table and key of the row it stands for; no two items have the same.
        where: account and bucket, or the asset of a price.
        by: who acted.
        xid: the transaction that recorded it.
        address: the page that says more; "" where there is none.
    """

    at: datetime
    known_at: datetime
    kind: str
    key: str
    where: str
    text: str
    by: str
    xid: int
    address: str = ""


class Found(NamedTuple):
    """An item before its act is known; `known_at` is the act's time where it is None."""

    at: datetime | None
    known_at: datetime | None
    kind: str
    key: str
    where: str
    text: str
    xid: int
    address: str = ""


def postings(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every posting to the scope's claims, positions and loans, by value date."""
    rows = known(Posting.objects.filter(account__bucket__in=scope.buckets), point).filter(
        entry__effective_at__gte=scope.begins_at, entry__effective_at__lt=scope.ends_at
    )
    for row in rows.select_related("entry", "asset", "account__bucket__account"):
        entry, account = row.entry, row.account
        amount = said(account.account_class, row.amount)
        parts = [
            f"{entry.kind_id.replace('_', ' ')} {entry.reference}".strip(),
            f"{account.account_class.replace('_', ' ')} {plain(amount)} {row.asset.code}",
            "" if row.price is None else f"at {plain(row.price)}",
            f"leaves {plain(said(account.account_class, row.balance_after))}",
            entry.narrative,
        ]
        bucket = account.bucket
        assert bucket is not None, "it was asked for by its bucket"
        yield Found(
            entry.effective_at, entry.recorded_at, "posting",
            f"ledger_posting:{row.account_id}/{row.account_seq}",
            f"{bucket.account.code} {bucket.code}", ", ".join(filter(None, parts)), row.xid,
            reverse("ledger:entry", args=[entry.pk]),
        )  # fmt: skip


def prices(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every mark, in the period, of an asset that the scope had moved by then."""
    touched = known(Posting.objects.filter(account__bucket__in=scope.buckets), point).filter(
        entry__effective_at__lt=scope.ends_at
    )
    marks = known(Mark.objects.filter(asset__in=touched.values("asset")), point).filter(
        as_of__gte=scope.begins_at, as_of__lt=scope.ends_at
    )
    for mark in marks.select_related("asset"):
        text = f"{mark.asset.code} {plain(mark.price)}, {Mark.State(mark.state).label.lower()}"
        if mark.revision:
            text += f", correction {mark.revision}: {mark.note}"
        yield Found(
            mark.as_of, None, "price", f"margin_mark:{mark.pk}", mark.asset.code, text, mark.xid,
            reverse("margin:price", args=[mark.asset.code]),
        )  # fmt: skip


def results(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every run's result of the scope, and every exception that kept a run from one."""
    rows = known(MarginResult.objects.filter(scope__in=scope.scopes), point).filter(
        run__as_of__gte=scope.begins_at, run__as_of__lt=scope.ends_at
    )
    for row in rows.select_related("run", "agreement_version", "scope__bucket__account"):
        money = row.agreement_version.currency
        text = (
            f"run {row.run.number} ({row.run.purpose}): {row.state},"
            f" equity {plain(row.equity)}, initial {plain(row.initial_margin)},"
            f" maintenance {plain(row.maintenance_margin)} {money}"
        )
        if row.call_amount:
            text += f", call {plain(row.call_amount)}"
        yield Found(
            row.run.as_of, row.run.finished_at, "run", f"margin_marginresult:{row.pk}",
            _bucket_words(row.scope), text, row.xid, reverse("margin:run", args=[row.run.number]),
        )  # fmt: skip
    missed = known(RunException.objects.filter(account__in=scope.accounts), point).filter(
        run__as_of__gte=scope.begins_at, run__as_of__lt=scope.ends_at
    )
    for each in missed.select_related("run", "account"):
        if (each.account_id, each.bucket_code) in scope.bucket_names or not each.bucket_code:
            yield Found(
                each.run.as_of, each.run.finished_at, "exception",
                f"margin_runexception:{each.pk}", f"{each.account.code} {each.bucket_code}",
                f"run {each.run.number}: {each.reason}, {each.detail}", each.xid,
                reverse("margin:run", args=[each.run.number]),
            )  # fmt: skip


def _bucket_words(found: object) -> str:
    bucket = getattr(found, "bucket", None)
    return "" if bucket is None else f"{bucket.account.code} {bucket.code}"


def calls(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every event in the life of the scope's calls."""
    rows = known(CallEvent.objects.filter(call__scope__in=scope.scopes), point).filter(
        occurred_at__gte=scope.begins_at, occurred_at__lt=scope.ends_at
    )
    for row in rows.select_related("call__scope__bucket__account"):
        call = row.call
        text = f"{call.number} ({call.kind}): {row.event.replace('_', ' ')}, {row.to_state}"
        if row.amount_after is not None:
            text += f", {grouped(row.amount_after)} {call.currency}"
        if row.text:
            text += f": {row.text}"
        yield Found(
            row.occurred_at, None, "call", f"margin_callevent:{row.pk}", _bucket_words(call.scope),
            text, row.xid, reverse("margin:call", args=[call.number]),
        )  # fmt: skip


def tasks(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every event of the scope's tasks."""
    rows = known(TaskEvent.objects.filter(task__scope__in=scope.scopes), point).filter(
        occurred_at__gte=scope.begins_at, occurred_at__lt=scope.ends_at
    )
    for row in rows.select_related("task__scope__bucket__account"):
        text = ", ".join(filter(None, (row.task.subject, row.event, row.text)))
        yield Found(
            row.occurred_at, None, "task", f"margin_taskevent:{row.pk}",
            _bucket_words(row.task.scope), text, row.xid,
        )  # fmt: skip


def releases(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every leave to lower one of the scope's buckets."""
    rows = known(Release.objects.filter(bucket__in=scope.buckets), point).filter(
        given_at__gte=scope.begins_at, given_at__lt=scope.ends_at
    )
    for row in rows.select_related("asset", "bucket__account"):
        text = (
            f"released {plain(row.amount)} {row.asset.code} for {row.kind_id.replace('_', ' ')},"
            f" bound by {row.binding_term}"
        )
        yield Found(
            row.given_at, row.given_at, "release", f"ledger_release:{row.pk}",
            f"{row.bucket.account.code} {row.bucket.code}", text, row.xid,
        )  # fmt: skip


def records(scope: CaseScope, point: ReadingPoint) -> Iterator[Found]:
    """Every change of the records of the scope: client, account, bucket, agreement."""
    asked = Q(pk__in=[])
    for table in sorted({table for table, _ in scope.records}):
        keys = sorted(key for name, key in scope.records if name == table)
        asked |= Q(table_name=table, row_key__in=keys)
    for row in known(AuditRow.objects.filter(asked), point):
        yield Found(
            None, None, "record", f"accounts_auditrow:{row.pk}", "",
            f"{VERBS[row.operation].lower()} {word_for(row.table_name)} {_name(row)}".strip(),
            row.xid,
        )  # fmt: skip


def _name(row: AuditRow) -> str:
    content = row.after or row.before or {}
    return str(content.get("code", row.row_key))


def approvals(
    scope: CaseScope, point: ReadingPoint, *, moved: Mapping[int, datetime]
) -> Iterator[Found]:
    """Every step of requests about the scope, or that were used to post to it.

    Args:
        moved: the transactions of the timeline's other items with their earliest business time.
            What was asked for and agreed to for one of them stands where it does.
    """
    names = [f"{table}:{key}" for table, key in scope.records]
    about = ApprovalRecord.objects.filter(record__in=names).values("approval")
    asked = Q(used_xid__in=set(moved)) | Q(pk__in=about)
    for field, ids in (("client", scope.clients), ("account", scope.accounts)):
        asked |= Q(**{f"payload__{field}__in": sorted(ids)})
    found = {str(each.pk): each for each in Approval.objects.filter(asked)}
    rows = AuditRow.objects.filter(table_name="accounts_approval", row_key__in=list(found))
    for row in known(rows, point):
        each = found[row.row_key]
        before, after = row.before or {}, row.after or {}
        step = _step(before, after)
        text = f"{step} no. {each.number}, {each.action_id}: {each.subject}"
        reason = after.get("decision_reason") if step in ("approved", "rejected") else ""
        if step == "asked":
            reason = after.get("reason")
        yield Found(
            moved.get(each.used_xid or 0), None, "approval", f"accounts_auditrow:{row.pk}", "",
            f"{text}, {reason}" if reason else text, row.xid,
            reverse("accounts:approval", args=[each.pk]),
        )  # fmt: skip


def _step(before: dict[str, object], after: dict[str, object]) -> str:
    if not before:
        return "asked"
    if before.get("decision") != after.get("decision"):
        return str(after.get("decision"))
    return "used" if before.get("used_xid") != after.get("used_xid") else "changed"


def acts(point: ReadingPoint, *, on_timeline: Collection[int]) -> Iterator[Found]:
    """What people did in the transactions of the timeline's items, an item for each act."""
    people = Act.objects.filter(
        IsKnown("xid", point), operator__isnull=False, xid__in=set(on_timeline)
    )
    for act in people:
        yield Found(
            None, act.recorded_at, "act", f"accounts_act:{act.pk}", "",
            act.reason or "no reason given", act.pk,
        )  # fmt: skip
