"""A case as one file: what it is about, its timeline, notes and holds, under a signed manifest.

The same case read at the same horizon gives the same bytes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import connection

from accounts.exports import to_csv
from accounts.models import Act
from accounts.seals.printed import seal_over
from brokerage.cases.case import holds_of
from brokerage.cases.scope import scope_of
from brokerage.cases.sources import Item
from brokerage.cases.timeline import counts, timeline
from brokerage.models import Case
from brokerage.packed import as_json, packed
from ledger.naming import actor_words
from ledger.times import ReadingPoint, known, one_snapshot

FORMAT: Final = "case-file/1"
# How what was taken out is kept.
CASE_FILE: Final = "case-file"
ITEM_COLUMNS: Final = (
    "number", "business_time", "known_at", "kind", "where", "what", "by", "transaction", "row",
)  # fmt: skip
NOTE_COLUMNS: Final = ("written_at", "kind", "by", "text")
HOLD_COLUMNS: Final = (
    "placed_at",
    "placed_by",
    "reason",
    "lifted_at",
    "lifted_by",
    "lifted_reason",
)
ABOUT: Final = """Case file

case.json      what the case is about, and what it was read at
timeline.csv   all that happened in its scope and period, by business time, then when known
timeline.json  the same
notes.csv      what was written into the case
holds.csv      legal holds that were placed for it
manifest.json  the sha256 of every file, signed by this installation
"""


def case_file(case: Case, *, point: ReadingPoint) -> bytes:
    """The case as a ZIP, as known at a stored horizon.

    Raises:
        TimelineTooLongError: more happened than a timeline holds.
    """
    assert point.horizon is not None, "a case is taken out at a stored horizon"
    with one_snapshot():
        items = timeline(scope_of(case), point)
        rows = list(item_rows(items))
        files = {
            "README.txt": ABOUT.encode(),
            "case.json": as_json(_about(case, items, point)),
            "timeline.csv": to_csv(ITEM_COLUMNS, rows),
            "timeline.json": as_json([dict(zip(ITEM_COLUMNS, row, strict=True)) for row in rows]),
            "notes.csv": to_csv(NOTE_COLUMNS, _notes(case, point)),
            "holds.csv": to_csv(HOLD_COLUMNS, _holds(case, point)),
        }
        with connection.cursor() as cursor:
            seal = seal_over(cursor, point.snapshot).as_json()
    about = {
        "format": FORMAT,
        "case": case.number,
        "horizon": point.horizon.pk,
        "known": point.snapshot,
        "items": len(items),
        **seal,
    }
    return packed(files, about=about)


def item_rows(items: Iterable[Item]) -> Iterator[tuple[object, ...]]:
    """Items as a table, numbered in their order."""
    for number, item in enumerate(items, start=1):
        yield (
            number, item.at, item.known_at, item.kind, item.where, item.text, item.by, item.xid,
            item.key,
        )  # fmt: skip


def _about(case: Case, items: Iterable[Item], point: ReadingPoint) -> dict[str, Any]:
    bucket = case.bucket
    account = case.account if bucket is None else bucket.account
    return {
        "case": case.number,
        "legal_entity": case.legal_entity.code,
        "client": None if case.client is None else case.client.code,
        "account": None if account is None else account.code,
        "bucket": None if bucket is None else bucket.code,
        "first_day": case.first_day,
        "last_day": case.last_day,
        "subject": case.subject,
        "reason": case.reason,
        "opened_at": case.opened_at,
        "opened_by": actor_words(_acts({case.xid}).get(case.xid)),
        "known_at": point.known_at,
        "counts": dict(counts(items)),
    }


def _acts(xids: set[int]) -> dict[int, Act]:
    return {act.pk: act for act in Act.objects.filter(pk__in=xids).select_related("operator")}


def _notes(case: Case, point: ReadingPoint) -> Iterator[tuple[object, ...]]:
    notes = list(known(case.notes.all(), point).order_by("pk"))
    acts = _acts({note.xid for note in notes})
    for note in notes:
        yield (note.written_at, note.kind, actor_words(acts.get(note.xid)), note.text)


def _holds(case: Case, point: ReadingPoint) -> Iterator[tuple[object, ...]]:
    """Holds that were known to be placed; one that was lifted later stands as it was."""
    holds = list(holds_of(case))
    told = {hold.placed_xid for hold in holds} | {hold.lifted_xid or 0 for hold in holds}
    seen = set(known(Act.objects.filter(pk__in=told), point).values_list("pk", flat=True))
    acts = _acts(told)
    for hold in holds:
        if hold.placed_xid not in seen:
            continue
        lifted = acts.get(hold.lifted_xid or 0) if hold.lifted_xid in seen else None
        placed = acts[hold.placed_xid]
        yield (
            placed.recorded_at, actor_words(placed), hold.reason,
            None if lifted is None else lifted.recorded_at, actor_words(lifted),
            "" if lifted is None else hold.lifted_reason,
        )  # fmt: skip
