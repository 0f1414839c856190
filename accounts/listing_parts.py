"""What stands around a list: chips of its filters, tabs with their counts, sums of its foot."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db.models import Aggregate, Count, QuerySet

from accounts.filters import BadFilterError, Choice, Filter

NO_SUMS: Final[Mapping[str, Aggregate]] = MappingProxyType({})
# What the rows of a group are counted as, beside its sums.
COUNTED: Final = "rows_counted"


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
        sums: by name, of each group.
        apart_by: a field whose values are never added up together, such as a currency.
    """

    def __init__(
        self,
        rows: "QuerySet[Any]",
        main: Choice,
        *,
        chosen: Sequence[str],
        sums: Mapping[str, Aggregate],
        apart_by: str,
    ) -> None:
        self.main, self.chosen = main, chosen
        by = [main.field, *([apart_by] if apart_by else [])]
        self._found = rows.order_by().values(*by).annotate(**{COUNTED: Count("pk"), **sums})

    @cached_property
    def all(self) -> list[dict[str, Any]]:
        """Every group, whichever tab is chosen."""
        return list(self._found)

    @cached_property
    def kept(self) -> list[dict[str, Any]]:
        """Those of the tab that is chosen; none where there is no such tab."""
        if not self.chosen:
            return self.all
        try:
            matches = {match for each in self.main.chosen(self.chosen) for match in each.matches}
        except BadFilterError:
            return []
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
