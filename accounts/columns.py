"""Columns of a list: what each is called, sorts by and holds in an export."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Model


@dataclass(frozen=True)
class Column:
    """A column of a list.

    Attributes:
        key: its name in the address and in exports.
        label: its header.
        value: what exports hold: a path such as "scope.bucket.code", or a function of the row;
            without it the attribute named by `key`.
        sort: the fields it sorts by, the second where the first is equal; none: not sortable.
        numeric: right-aligned, and sorted from the greatest at the first click.
        is_shown: whether it is on the screen until somebody chooses otherwise.
        is_exported: whether exports have it.
    """

    key: str
    label: str
    value: str | Callable[[Any], object] = ""
    sort: tuple[str, ...] = ()
    numeric: bool = False
    is_shown: bool = True
    is_exported: bool = True

    def read(self, row: Model) -> object:
        """The value of a row in this column."""
        if callable(self.value):
            return self.value(row)
        value: object = row
        for name in (self.value or self.key).split("."):
            value = getattr(value, name)
            if value is None:  # a row without an owner has no owner's name
                return None
        return value

    def header(self, sort: str, *, is_lead: bool) -> "Header":
        """The header in a list sorted by `sort`: how it is sorted, how a click would sort it."""
        up, down = self.key, f"-{self.key}"
        if not self.sort:
            aria_sort, next_sort, icon = "", "", ""
        elif sort == up:
            aria_sort, next_sort, icon = "ascending", down, "up"
        elif sort == down:
            aria_sort, next_sort, icon = "descending", up, "desc"
        else:
            aria_sort, next_sort, icon = "", down if self.numeric else up, "sort"
        return Header(self.key, self.label, self.numeric, is_lead, aria_sort, next_sort, icon)


class Header(NamedTuple):
    """A column's header as it is drawn."""

    key: str
    label: str
    numeric: bool
    is_lead: bool
    aria_sort: str
    next_sort: str
    icon: str
