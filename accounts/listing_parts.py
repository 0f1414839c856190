"""What stands around a list: chips of its filters, tabs with their counts, sums of its foot."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db.models import Count, QuerySet, Sum

from accounts.filters import BadFilterError, Choice, Filter
from accounts.listing_pass import COUNTED, Order, Seen, look

NO_SUMS: Final[Mapping[str, str]] = MappingProxyType({})


class Chip(NamedTuple):
    """A filter in force, or one that could not be read, and the address without it."""

    label: str
    words: str
    without: str
    refusal: str = ""


class Tab(NamedTuple):
    """One value of the main filter with its count under the other filters."""

    word: str
    number: int
    address: str
    is_current: bool


class Control(NamedTuple):
    """A filter as the "Add filter" menu asks for it."""

    filter: Filter
    values: list[str]


class Groups:
    """Rows by value of the filter that is drawn as tabs: counted and added up in one query.

    Args:
        rows: those that all other filters keep.
        main: the filter that is drawn as tabs.
        chosen: what the address, or its default, says of it; nothing keeps all rows.
        sums: by name, the field that is added up in each group.
        apart_by: a field whose values are never added up together, such as a currency.
    """

    def __init__(
        self,
        rows: "QuerySet[Any]",
        main: Choice,
        *,
        chosen: Sequence[str],
        sums: Mapping[str, str],
        apart_by: str,
    ) -> None:
        self.main, self.chosen, self.sums = main, chosen, sums
        self.by = [main.field, *([apart_by] if apart_by else [])]
        self._rows = rows

    @cached_property
    def all(self) -> list[dict[str, Any]]:
        """Every group, whichever tab is chosen."""
        sums = {name: Sum(field) for name, field in self.sums.items()}
        grouped = self._rows.order_by().values(*self.by)
        return list(grouped.annotate(**{COUNTED: Count("pk"), **sums}))

    def with_page(self, *, order: Sequence[Order], number: int, size: int) -> list[int]:
        """Read the groups and, in the same look, the keys of a page of the kept rows."""
        seen: Seen = look(
            self._rows, by=self.by, sums=self.sums, kept=self.matches, order=order,
            number=number, size=size,
        )  # fmt: skip
        self.all = seen.groups
        return seen.keys

    @cached_property
    def matches(self) -> frozenset[object] | None:
        """Values of the main field that the chosen tab keeps; None where it keeps all."""
        if not self.chosen:
            return None
        try:
            options = self.main.chosen(self.chosen)
        except BadFilterError:
            return frozenset()
        return frozenset(match for each in options for match in each.matches)

    @cached_property
    def kept(self) -> list[dict[str, Any]]:
        """Those of the tab that is chosen; none where there is no such tab."""
        matches = self.matches
        if matches is None:
            return self.all
        return [group for group in self.all if group[self.main.field] in matches]

    @property
    def count(self) -> int:
        """How many rows the whole filter keeps."""
        return sum(group[COUNTED] for group in self.kept)

    @property
    def counts(self) -> dict[object, int]:
        """Rows by value of the main filter, under the others."""
        counts: dict[object, int] = {}
        for group in self.all:
            value = group[self.main.field]
            counts[value] = counts.get(value, 0) + group[COUNTED]
        return counts
