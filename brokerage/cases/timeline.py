"""The timeline of a case: every row of its scope and period once, by business time, then known.

An act, an approval and a change of a record have no business time of their own. They stand at the
earliest of what their transaction wrote in the period, or else at the time they were recorded, and
belong to the timeline if that lies in the period.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from accounts.models import Act
from brokerage.cases import sources
from brokerage.cases.scope import CaseScope
from brokerage.cases.sources import RANKS, Found, Item
from ledger.naming import actor_words
from ledger.times import ReadingPoint

# More than anybody reads; a shorter period shows all of it.
ITEMS_MAX: Final = 50_000
DATED: Final = (
    sources.postings, sources.prices, sources.results, sources.calls, sources.tasks,
    sources.releases,
)  # fmt: skip


class TimelineTooLongError(Exception):
    """More happened than a timeline holds; the message is one sentence."""


def timeline(scope: CaseScope, point: ReadingPoint) -> list[Item]:
    """Everything that happened in a scope and period, as known at a point, in order.

    Call inside one snapshot; a fixed number of queries, whatever happened.

    Raises:
        TimelineTooLongError: it is more than 50,000 items.
    """
    dated = [found for source in DATED for found in _limited(source(scope, point))]
    earliest = _earliest(dated)
    undated = [
        *sources.records(scope, point),
        *sources.approvals(scope, point, moved=earliest),
    ]
    heads = heads_of({found.xid for found in (*dated, *undated)})
    placed = [*dated, *_placed(undated, scope, earliest=earliest, heads=heads)]
    on_timeline = {found.xid for found in placed}
    acted = list(sources.acts(point, on_timeline=on_timeline))
    earliest = _earliest(placed)
    placed += _placed(acted, scope, earliest=earliest, heads=heads)
    return sorted((item_of(found, heads) for found in placed), key=order_of)


def counts(items: Iterable[Item]) -> list[tuple[str, int]]:
    """How many items there are of each kind, in the order of kinds."""
    found = Counter(item.kind for item in items)
    return [(kind, found[kind]) for kind in RANKS if found[kind]]


def _limited(found: Iterator[Found]) -> Iterator[Found]:
    for number, each in enumerate(found):
        if number >= ITEMS_MAX:
            raise TimelineTooLongError(
                f"More than {ITEMS_MAX:,} rows of one kind happened; choose a shorter period."
            )
        yield each


def _earliest(found: Iterable[Found]) -> dict[int, datetime]:
    """The earliest business time of each transaction."""
    times: dict[int, datetime] = {}
    for each in found:
        if each.at is not None:
            times[each.xid] = min(each.at, times.get(each.xid, each.at))
    return times


def heads_of(xids: set[int]) -> dict[int, Act]:
    """The acts of transactions, with who acted."""
    return {act.pk: act for act in Act.objects.filter(pk__in=xids).select_related("operator")}


def _placed(
    undated: Iterable[Found],
    scope: CaseScope,
    *,
    earliest: dict[int, datetime],
    heads: dict[int, Act],
) -> Iterator[Found]:
    """What has no business time, at that of its transaction; what lies outside is left out."""
    for found in undated:
        at = found.at or earliest.get(found.xid) or heads[found.xid].recorded_at
        if scope.has(at):
            yield found._replace(at=at)


def item_of(found: Found, heads: dict[int, Act]) -> Item:
    """What was found, with who acted and since when it is known."""
    head = heads.get(found.xid)
    known_at = found.known_at or (None if head is None else head.recorded_at) or found.at
    assert found.at is not None, "what is placed has its time"
    assert known_at is not None, "what has a time is known since some time"
    return Item(
        found.at, known_at, found.kind, found.key, found.where, found.text, actor_words(head),
        found.xid, found.address,
    )  # fmt: skip


def order_of(item: Item) -> tuple[datetime, datetime, int, int, tuple[str, int, str]]:
    """By business time, then as it became known."""
    table, _, key = item.key.partition(":")
    number = int(key.rpartition("/")[2]) if key.rpartition("/")[2].isdigit() else 0
    return (item.at, item.known_at, item.xid, RANKS.index(item.kind), (table, number, key))
