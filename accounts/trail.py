"""Reading the audit trail: who changed what, why, before and after, and how far it is sealed."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.apps import apps
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce

from accounts.clock import shown_zone
from accounts.models import Act, Approval, AuditRow, LegalEntity, RoleGrant, SealBlock
from accounts.roles import Roles
from accounts.seals.state import seal_state

PAGE_SIZE = 25
ROWS_SHOWN_MAX = 100
EXPORT_ACTS_MAX = 100_000
# Columns that name a row to people, best first.
NAMES = ("code", "number", "username", "reference", "name")
PERSONAL = frozenset({"name_sealed"})
VERBS = {"insert": "Added", "update": "Changed", "delete": "Removed"}


@dataclass(frozen=True)
class Filter:
    """What of the trail is asked for; empty parts ask for all.

    Attributes:
        actor: part of an actor's name: `l.brandt`, `system:job:margin`.
        text: an object's name or key, a request id, or part of a reason.
        from_on: first day, on the reader's calendar.
        to_on: last day, included.
        kind: table whose rows changed.
    """

    actor: str = ""
    text: str = ""
    from_on: date | None = None
    to_on: date | None = None
    kind: str = ""


class Done(NamedTuple):
    """What an act did to one table: "Changed agreement version", and to which row."""

    verb: str
    kind: str
    rows: int
    name: str


class Field(NamedTuple):
    """One column of a changed row."""

    name: str
    before: str
    after: str
    is_changed: bool


@dataclass(frozen=True)
class ChangedRow:
    """One row of an editable table, before and after."""

    verb: str
    kind: str
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class ShownAct:
    """An act as the list shows it; `block` is None while the seal is pending."""

    act: Act
    done: tuple[Done, ...]
    block: int | None

    @property
    def actor(self) -> str:
        """The person's name, or the machine's."""
        if self.act.operator is not None:
            return self.act.operator.full_name
        return self.act.actor.removeprefix("system:").replace(":", " ")

    @property
    def title(self) -> str:
        """What was done, in words: "Changed approval", "Added 3 buckets and more"."""
        if not self.done:
            return "Recorded"
        first = self.done[0]
        kind = first.kind if first.rows == 1 else f"{first.rows:,} {first.kind} rows"
        return f"{first.verb} {kind}{' and more' if len(self.done) > 1 else ''}"

    @property
    def object(self) -> str:
        """The row it was done to, if it was one."""
        return self.done[0].name if self.done and self.done[0].rows == 1 else ""

    @property
    def row_count(self) -> int:
        """How many editable rows changed."""
        return sum(done.rows for done in self.done)

    @property
    def block_word(self) -> str:
        """The block that covers it."""
        return "Pending" if self.block is None else f"Block {self.block:,}"


# ---------------------------------------------------------------- which acts


def visible_acts(roles: Roles) -> "QuerySet[Act]":
    """The acts somebody may read.

    A header says who acted, not at which legal entity. So whoever reads the trail at all of them
    sees everything, and anybody else the acts of people who work at theirs alone.
    """
    acts = Act.objects.select_related("operator").order_by("-recorded_at", "-xid")
    readable = roles.entities("audit.read")
    if set(LegalEntity.objects.values_list("pk", flat=True)) <= readable:
        return acts
    elsewhere = RoleGrant.objects.filter(operator=OuterRef("operator")).exclude(
        legal_entity_id__in=readable
    )
    here = RoleGrant.objects.filter(operator=OuterRef("operator"), legal_entity_id__in=readable)
    return acts.filter(Exists(here), ~Exists(elsewhere))


def find_acts(asked: Filter, *, roles: Roles) -> "QuerySet[Act]":
    """The acts of a filter, newest first."""
    acts = visible_acts(roles)
    if asked.actor:
        acts = acts.filter(
            Q(actor__icontains=asked.actor) | Q(operator__full_name__icontains=asked.actor)
        )
    if asked.from_on:
        acts = acts.filter(recorded_at__gte=midnight(asked.from_on))
    if asked.to_on:
        acts = acts.filter(recorded_at__lt=midnight(asked.to_on + timedelta(days=1)))
    rows = AuditRow.objects.filter(xid=OuterRef("xid"))
    if asked.kind:
        acts = acts.filter(Exists(rows.filter(table_name=asked.kind)))
    if asked.text:
        acts = acts.filter(
            Q(request_id=asked.text)
            | Q(reason__icontains=asked.text)
            | Exists(rows.filter(names_row(asked.text)))
        )
    return acts


def names_row(text: str) -> Q:
    """Rows that go by this name, or did."""
    found = Q(row_key=text)
    for column in NAMES:
        found |= Q(**{f"after__{column}": text}) | Q(**{f"before__{column}": text})
    return found


def midnight(day: date) -> datetime:
    """When a day begins on the reader's calendar."""
    return datetime.combine(day, time.min, tzinfo=shown_zone())


def kinds() -> list[tuple[str, str]]:
    """Tables whose changes the trail keeps, with the word for one row; by word."""
    tables = [
        table for app in apps.get_app_configs() for table in getattr(app, "editable_tables", ())
    ]
    return sorted(((table, word_for(table)) for table in tables), key=lambda kind: kind[1])


def word_for(table: str) -> str:
    """The word for one row of a table: "agreement version"."""
    for model in apps.get_models():
        if model._meta.db_table == table:
            return str(model._meta.verbose_name)
    return table.partition("_")[2]


# ---------------------------------------------------------------- what they did


def show_acts(acts: Iterable[Act]) -> list[ShownAct]:
    """Acts with what each did and its block, in two queries for all of them."""
    listed = list(acts)
    done = done_by(listed)
    blocks = blocks_of(listed)
    return [ShownAct(act=act, done=tuple(done[act.pk]), block=blocks.get(act.pk)) for act in listed]


def done_by(acts: Iterable[Act]) -> dict[int, list[Done]]:
    """What each act did, by transaction: one line per table and operation."""
    content = [KeyTextTransform(name, side) for side in ("after", "before") for name in NAMES]
    groups = (
        AuditRow.objects.filter(xid__in=[act.pk for act in acts])
        .values("xid", "table_name", "operation")
        .annotate(rows=Count("pk"), name=Min(Coalesce(*content, F("row_key"))), first=Min("pk"))
        .order_by("first")
    )
    done: dict[int, list[Done]] = defaultdict(list)
    for group in groups:
        kind = word_for(group["table_name"])
        done[group["xid"]].append(
            Done(VERBS[group["operation"]], kind, group["rows"], group["name"])
        )
    return done


def blocks_of(acts: list[Act]) -> dict[int, int]:
    """The number of the block that covers each act, by transaction; unsealed ones are absent."""
    if not acts:
        return {}
    numbers = [act.pk for act in acts]
    blocks = SealBlock.objects.filter(from_xid__lte=max(numbers), to_xid__gt=min(numbers))
    found: dict[int, int] = {}
    for block in blocks.values_list("number", "from_xid", "to_xid"):
        number, from_xid, to_xid = block
        found.update({xid: number for xid in numbers if from_xid <= xid < to_xid})
    return found


def changed_rows(act: Act) -> list[ChangedRow]:
    """Before and after of the rows an act changed, the first hundred of them."""
    rows = AuditRow.objects.filter(xid=act.pk).order_by("pk")
    found = rows.annotate(
        was=Cast("before", TextField()), now=Cast("after", TextField())
    ).values_list("table_name", "operation", "row_key", "was", "now")
    return [changed_row(*row) for row in found[:ROWS_SHOWN_MAX]]


def changed_row(
    table: str, operation: str, key: str, was: str | None, now: str | None
) -> ChangedRow:
    before, after = exact(was), exact(now)
    content = after or before
    name = next((str(content[n]) for n in NAMES if content.get(n)), key)
    fields = sorted(
        (compared(column, before, after) for column in content),
        key=lambda field: not field.is_changed,
    )
    return ChangedRow(VERBS[operation], word_for(table), name, tuple(fields))


def exact(content: str | None) -> dict[str, Any]:
    """A row of the trail, its numbers with the digits they were written with."""
    parsed = json.loads(content, parse_float=Decimal) if content else {}
    assert isinstance(parsed, dict), "the trail keeps rows as objects"
    return parsed


def compared(column: str, before: dict[str, Any], after: dict[str, Any]) -> Field:
    """One column, before and after; what is personal or secret shows only that it changed."""
    is_changed = before.get(column) != after.get(column)
    if column in PERSONAL:
        shown = ("hidden" if before else "", "changed, personal data" if after else "")
        return Field(words(column), *shown, is_changed)
    return Field(words(column), text(before, column), text(after, column), is_changed)


def words(column: str) -> str:
    """A column as people read it."""
    return column.removesuffix("_id").replace("_", " ")


def text(content: dict[str, Any], column: str) -> str:
    """A value as it stands in the row; "" where there was no row."""
    if column not in content:
        return ""
    value = content[column]
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def approval_of(act: Act) -> Approval | None:
    """The approval that the act spent."""
    used = Approval.objects.filter(used_xid=act.pk).select_related("checker", "maker")
    return used.first()


# ---------------------------------------------------------------- the seal and the export


@dataclass(frozen=True)
class Sealed:
    """How far the record is sealed, and what is the matter with it, a sentence each."""

    newest: SealBlock | None
    pending_count: int
    alarms: tuple[str, ...] = ()


def sealed() -> Sealed:
    """The newest block, and how many acts wait for the next one."""
    newest = SealBlock.objects.order_by("-number").first()
    acts = Act.objects.all() if newest is None else Act.objects.filter(xid__gte=newest.to_xid)
    alarms = () if newest is None else tuple(seal_state().alarms())
    return Sealed(newest, acts.count(), alarms)


EXPORT_COLUMNS = (
    "recorded_at", "actor", "channel", "request_id", "reason", "transaction", "block", "table",
    "operation", "row_key", "before", "after",
)  # fmt: skip


def export_rows(acts: "QuerySet[Act]") -> Iterator[dict[str, Any]]:
    """One row per changed row of every act of the filter; an act without any gives one.

    `before` and `after` are the texts of the record itself, so they can be compared with it.
    """
    listed = list(acts[:EXPORT_ACTS_MAX])
    for start in range(0, len(listed), 500):
        chunk = listed[start : start + 500]
        blocks = blocks_of(chunk)
        rows: dict[int, list[tuple[str, str, str, str | None, str | None]]] = defaultdict(list)
        found = AuditRow.objects.filter(xid__in=[act.pk for act in chunk]).order_by("pk")
        texts = found.annotate(was=Cast("before", TextField()), now=Cast("after", TextField()))
        for xid, *rest in texts.values_list(
            "xid", "table_name", "operation", "row_key", "was", "now"
        ):
            rows[xid].append(tuple(rest))
        for act in chunk:
            head = (
                act.recorded_at, act.actor, act.channel, act.request_id, act.reason, act.pk,
                blocks.get(act.pk),
            )  # fmt: skip
            for row in rows[act.pk] or [("", "", "", None, None)]:
                yield dict(zip(EXPORT_COLUMNS, (*head, *row), strict=True))
