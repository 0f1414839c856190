"""What became known between two horizons, and what each late entry moved.

An entry is late for a date when it takes effect by the end of that date and became known between
the two horizons. A late entry moves a cell of a report when the cell reads otherwise with it than
without it, the late entries before it counted already.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from ledger.models import Entry, Posting
from ledger.standing import BookStanding, MovedLeg, Touched, book_standing
from ledger.times import ReadingPoint

Row = Sequence[object]
BookRows = Callable[[BookStanding, Touched | None], Iterable[Row]]


class LateEntry(NamedTuple):
    """An entry that became known between the two horizons."""

    entry_id: int
    kind: str
    reference: str
    effective_at: datetime
    recorded_at: datetime
    legs: tuple[MovedLeg, ...]


class RowKey(NamedTuple):
    """What tells a row of a report apart: its key columns; rows that are alike are counted."""

    values: tuple[object, ...]
    place: int


class Cell(NamedTuple):
    """One figure of a report."""

    key: RowKey
    column: str


@dataclass(frozen=True, slots=True)
class MovedCell:
    """A cell that reads otherwise at the later horizon; None where there was no such row.

    Attributes:
        moved_by: ids of the late entries that moved it, in their order; none where it changed for
            another reason, such as a run or a break that became known.
    """

    cell: Cell
    before: object
    after: object
    moved_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a report are read."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


Table = dict[RowKey, dict[str, object]]


def table_of(rows: Iterable[Row], layout: Layout) -> Table:
    """Rows by what tells them apart."""
    found: Table = {}
    alike: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        said = dict(zip(layout.columns, row, strict=True))
        values = tuple(said.pop(column) for column in layout.key)
        alike[values] += 1
        found[RowKey(values, alike[values])] = said
    return found


def changed_cells(before: Table, after: Table) -> dict[Cell, tuple[object, object]]:
    """The cells that differ. A row that came or went differs in every cell that says something."""
    found = {}
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key, {}), after.get(key, {})
        for column in one or other:
            was, now = one.get(column), other.get(column)
            if was != now:
                found[Cell(key, column)] = (was, now)
    return found


def late_entries(
    earlier: ReadingPoint, later: ReadingPoint, *, entities: Collection[int] | None = None
) -> list[LateEntry]:
    """The entries that became known between two points, in their order; two queries.

    Both points are of one business date.
    """
    assert earlier.as_of == later.as_of, "a restatement is of one business date"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM ledger.entries_between(%s::pg_snapshot, %s::pg_snapshot, %s::date) e",
            [earlier.snapshot, later.snapshot, later.as_of],
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    legs: dict[int, list[MovedLeg]] = defaultdict(list)
    postings = Posting.objects.filter(entry__in=ids)
    if entities is not None:
        postings = postings.filter(pool__legal_entity__in=list(entities))
    for row in postings.order_by("account_id", "account_seq").values_list(
        "entry_id", "account_id", "account_seq", "amount", "average_after"
    ):
        legs[row[0]].append(MovedLeg(*row[1:]))
    return [
        LateEntry(
            entry.pk,
            entry.kind_id,
            entry.reference,
            entry.effective_at,
            entry.recorded_at,
            tuple(legs[entry.pk]),
        )
        for entry in Entry.objects.filter(pk__in=list(legs)).order_by("pk")
    ]


def moved_cells(
    rows: BookRows,
    layout: Layout,
    *,
    earlier: ReadingPoint,
    later: ReadingPoint,
    late: Sequence[LateEntry],
    entities: Collection[int] | None = None,
) -> list[MovedCell]:
    """The cells of a report of the book that read otherwise, and which late entries moved each.

    The earlier book is moved on by one late entry after the other, and ends as the later book.
    """
    before = book_standing(earlier, entities=entities)
    after = book_standing(later, entities=entities)
    changed = changed_cells(
        table_of(rows(before, None), layout), table_of(rows(after, None), layout)
    )
    movers = _movers(rows, layout, walk=_on_later_facts(before, after), late=late, end=after)
    return [
        MovedCell(cell, was, now, tuple(movers.get(cell, ())))
        for cell, (was, now) in changed.items()
    ]


def _on_later_facts(before: BookStanding, after: BookStanding) -> BookStanding:
    """The earlier balances, with room for the accounts and places that came later."""
    walk = after.emptied()
    for account_id, stood in before.stood.items():
        walk.move(MovedLeg(account_id, stood.seq, stood.amount, stood.average_cost))
    return walk


def _movers(
    rows: BookRows,
    layout: Layout,
    *,
    walk: BookStanding,
    late: Sequence[LateEntry],
    end: BookStanding,
) -> Mapping[Cell, list[int]]:
    moved: dict[Cell, list[int]] = defaultdict(list)
    for entry in late:
        touched = walk.touched(entry.legs)
        before = table_of(rows(walk, touched), layout)
        for leg in entry.legs:
            walk.move(leg)
        for cell in changed_cells(before, table_of(rows(walk, touched), layout)):
            moved[cell].append(entry.entry_id)
    _check_arrived(walk, end)
    return moved


def _check_arrived(walk: BookStanding, end: BookStanding) -> None:
    """The late entries are all that lies between the two books."""
    nothing = Decimal(0)
    amounts = {pk: stood.amount for pk, stood in walk.stood.items()}
    differing = [pk for pk, stood in end.stood.items() if stood.amount != amounts.get(pk, nothing)]
    if differing:
        raise AssertionError(f"late entries do not explain ledger account {differing[0]}")
