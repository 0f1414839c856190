"""A list on a screen: filtered, sorted, paged and exported, with all of that in its address.

A view makes a `Listing`, answers with `listing.export()` where `listing.format` asks for it, and
otherwise draws the page, or its rows only where htmx asks for them (`wants_rows`).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone

from accounts.clock import utc_stamp
from accounts.columns import Column, Header
from accounts.filters import BadFilterError, Choice, Filter
from accounts.listing_export import MEDIA_TYPES, as_file, too_many
from accounts.listing_parts import NO_SUMS, Chip, Control, Groups, Tab
from accounts.listing_pass import Order, page_number
from accounts.models import SavedView
from accounts.saved_views import VIEW, ViewError, kept_query, views_for, with_view

EXPORT_ROWS_MAX = 100_000
# Parameters of the address that are not filters.
SORT, PAGE, COLUMNS, FORMAT = "sort", "page", "columns", "format"
DENSITY, SIZE = "rows", "size"
# Of an export: whether it holds the columns on the screen only.
ONLY = "only"
DENSITIES = ("normal", "compact", "roomy")
# The longest is what one act on many takes at most.
SIZES = (25, 50, 100, 200, 500)

Row = TypeVar("Row", bound=Model)


def wants_rows(request: HttpRequest) -> bool:
    """Whether only the rows are asked for, not the page around them."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and not (htmx.boosted or htmx.history_restore_request)


class Listing(Generic[Row]):
    """The list that a request asks for.

    Args:
        rows: every row the operator may see; the list narrows it.
        name: of the list; for the files it is exported to.
        columns: in order; the first names the row and is always shown.
        filters: what the "Add filter" menu offers.
        default_sort: key of a column, with "-" before it to begin with the greatest.
        tabs: key of the Choice that is drawn as tabs with counts, if any.
        ties: fields that order rows which sort alike; their keys where those are alike too.
        by_keys: find the keys of a page with the counts of the tabs, then its rows: for long
            lists of wide rows, which have tabs.
        sums: of the foot, by name, fields added up over the whole filter; read with the counts of
            the tabs, for each value of `apart_by` by itself, such as a currency.
    """

    def __init__(
        self,
        request: HttpRequest,
        rows: QuerySet[Row],
        *,
        name: str,
        columns: Sequence[Column],
        default_sort: str,
        filters: Sequence[Filter] = (),
        tabs: str = "",
        page_size: int = 50,
        ties: Sequence[str] = (),
        by_keys: bool = False,
        sums: Mapping[str, str] = NO_SUMS,
        apart_by: str = "",
    ) -> None:
        self.request = request
        self.all_rows = rows
        self.name = name
        self.columns = columns
        self.filters = filters
        self.default_sort = default_sort
        self.tabs_key = tabs
        self.own_size = page_size
        self.ties = ties
        self.by_keys = by_keys
        self.sums = sums
        self.apart_by = apart_by
        self.view: SavedView | None = None
        self.view_refusal = ""
        try:
            self.view = with_view(request, name)
        except ViewError as refused:
            self.view_refusal = str(refused)

    # --- What the address says --------------------------------------------------------------------

    def values(self, kept_by: Filter) -> list[str]:
        """What the address, or else the default, says of a filter."""
        given = [value for value in self.request.GET.getlist(kept_by.key) if value.strip()]
        default = kept_by.default if isinstance(kept_by, Choice) else ""
        return given or ([default] if default else [])

    def address(self, **changes: Sequence[str]) -> str:
        """This page's address with some parameters replaced; an empty list takes one away."""
        query = self.request.GET.copy()
        for key in {PAGE, FORMAT, ONLY, VIEW} - changes.keys():
            query.pop(key, None)
        for key, values in changes.items():
            query.setlist(key, list(values))
        kept = QueryDict(mutable=True)
        for key, values in query.lists():
            kept.setlist(key, [value for value in values if value])
        text = kept.urlencode()
        return f"{self.request.path}?{text}" if text else self.request.path

    @property
    def here(self) -> str:
        """This page's own address, for refreshing it."""
        return self.request.get_full_path()

    @property
    def reset(self) -> str:
        """The address without any filter."""
        return self.address(**{each.key: [] for each in self.filters})

    @property
    def format(self) -> str:
        """The export that is asked for: csv, xlsx or json, else ""."""
        asked = self.request.GET.get(FORMAT, "")
        return asked if asked in MEDIA_TYPES else ""

    @cached_property
    def sort(self) -> str:
        """Key of the column it is sorted by, with "-" before it where the greatest comes first."""
        asked = self.request.GET.get(SORT, "")
        sortable = {column.key for column in self.columns if column.sort}
        return asked if asked.removeprefix("-") in sortable else self.default_sort

    @cached_property
    def density(self) -> str:
        """How tall the rows are; kept for the session."""
        asked = self.kept(DENSITY)
        return asked[-1] if asked and asked[-1] in DENSITIES else DENSITIES[0]

    @cached_property
    def page_size(self) -> int:
        """Rows of a page: as chosen, kept for the session, else the list's own."""
        asked = self.kept(SIZE)
        return next((size for size in self.sizes if asked[-1:] == [str(size)]), self.own_size)

    @property
    def sizes(self) -> list[int]:
        """What may be chosen: what all lists offer, and the list's own."""
        return sorted({*SIZES, self.own_size})

    @cached_property
    def shown(self) -> set[str]:
        """Keys of the columns on the screen; kept for the session."""
        asked = set(self.kept(COLUMNS))
        lead = self.columns[0].key
        if asked:
            return {column.key for column in self.columns if column.key in asked} | {lead}
        return {column.key for column in self.columns if column.is_shown} | {lead}

    def kept(self, parameter: str) -> list[str]:
        """A parameter of the address, remembered for the next time it is not there."""
        session, place = self.request.session, f"{parameter}:{self.name}"
        asked = self.request.GET.getlist(parameter)[:100]
        if asked and session.get(place) != asked:
            session[place] = asked
        remembered: list[str] = asked or session.get(place, [])
        return remembered

    # --- The rows ---------------------------------------------------------------------------------

    def condition(self, *, besides: str = "") -> Q:
        """What the filters keep. One that cannot be read keeps nothing, and its chip says why."""
        found = Q(pk__in=[]) if self.view_refusal else Q()
        for each in self.filters:
            values = self.values(each)
            if values and each.key != besides:
                try:
                    found &= each.condition(values)
                except BadFilterError:
                    return Q(pk__in=[])
        return found

    @cached_property
    def rows(self) -> QuerySet[Row]:
        """Every row of the filter, in order; rows that sort alike by their ties and their keys."""
        order = [each.expression for each in self.order]
        return self.all_rows.filter(self.condition()).order_by(*order, "pk")

    @property
    def order(self) -> list[Order]:
        """What the rows are sorted by; `ties` keep their way whichever way the column goes."""
        column = next(c for c in self.columns if c.key == self.sort.removeprefix("-"))
        turned = self.sort.startswith("-")
        ways = [(field, field.startswith("-") != turned) for field in column.sort]
        ways += [(field, field.startswith("-")) for field in self.ties]
        return [Order(field.removeprefix("-"), way) for field, way in ways]

    @cached_property
    def page(self) -> Page[Row]:
        """The rows on this page; a number beyond the last means the last."""
        paginator = Paginator(self.rows, self.page_size)
        number = page_number(self.request.GET.get(PAGE, ""))
        keys: list[int] = []
        if self.by_keys:
            assert self.groups is not None, "a list by keys has tabs"
            keys = self.groups.with_page(order=self.order, number=number, size=self.page_size)
        if self.groups is not None:
            # Counted with the tabs; the rows are not counted a second time.
            paginator.__dict__["count"] = self.groups.count
        page = paginator.get_page(number)
        if self.by_keys:
            found = {row.pk: row for row in self.all_rows.filter(pk__in=keys)}
            page.object_list = [found[key] for key in keys if key in found]
        return page

    @property
    def total(self) -> int:
        """How many rows the filter keeps."""
        return self.page.paginator.count

    # --- What the parts draw ----------------------------------------------------------------------

    @cached_property
    def headers(self) -> list[Header]:
        """The shown columns' headers."""
        return [
            column.header(self.sort, is_lead=column is self.columns[0])
            for column in self.columns
            if column.key in self.shown
        ]

    @cached_property
    def chips(self) -> list[Chip]:
        """The filters in force that the address names; tabs speak for themselves."""
        chips = []
        if self.view_refusal:
            chips.append(Chip("View", "", self.address(), refusal=self.view_refusal))
        for each in self.filters:
            if not any(value.strip() for value in self.request.GET.getlist(each.key)):
                continue
            without = self.address(**{each.key: []})
            try:
                each.condition(self.values(each))
            except BadFilterError as error:
                chips.append(Chip(each.label, "", without, refusal=str(error)))
            else:
                if each.key != self.tabs_key:
                    chips.append(Chip(each.label, each.words(self.values(each)), without))
        return chips

    @cached_property
    def groups(self) -> Groups | None:
        """The rows counted and added up by what the tabs choose; None without tabs."""
        main = next((f for f in self.filters if f.key == self.tabs_key), None)
        if not isinstance(main, Choice):
            return None
        rows = self.all_rows.filter(self.condition(besides=main.key))
        chosen = self.values(main)
        return Groups(rows, main, chosen=chosen, sums=self.sums, apart_by=self.apart_by)

    @cached_property
    def tabs(self) -> list[Tab]:
        """The main filter's values, each with its count under the other filters."""
        if self.groups is None:
            return []
        main, counts, chosen = self.groups.main, self.groups.counts, self.groups.chosen
        tabs = [
            Tab(
                option.word,
                sum(counts.get(match, 0) for match in option.matches),
                self.address(**{main.key: [option.value]}),
                chosen == [option.value],
            )
            for option in main.options()
        ]
        if main.default:
            return tabs
        everything = self.address(**{main.key: []})
        return [Tab("All", sum(counts.values()), everything, not chosen), *tabs]

    @cached_property
    def controls(self) -> list[Control]:
        """The filters that the menu asks for."""
        return [Control(f, self.values(f)) for f in self.filters if f.key != self.tabs_key]

    def hidden(self, *left_out: str) -> list[tuple[str, str]]:
        """The address's parameters, for a form to send on with its own."""
        return [
            (key, value)
            for key, values in self.request.GET.lists()
            for value in values
            if value and key not in {PAGE, FORMAT, ONLY, *left_out}
        ]

    @property
    def sent_by_sorting(self) -> list[tuple[str, str]]:
        return self.hidden(SORT)

    @property
    def sent_by_filtering(self) -> list[tuple[str, str]]:
        return self.hidden(*(control.filter.key for control in self.controls))

    @property
    def sent_by_choosing_columns(self) -> list[tuple[str, str]]:
        return self.hidden(COLUMNS)

    @cached_property
    def views(self) -> list[SavedView]:
        """The views of this list that the person may use."""
        return list(views_for(self.request, self.name))

    @property
    def kept_query(self) -> str:
        """What a view of the list as it is now would keep."""
        query = self.request.GET.copy()
        if COLUMNS not in query and self.shown != {c.key for c in self.columns if c.is_shown}:
            query.setlist(COLUMNS, [c.key for c in self.columns if c.key in self.shown])
        return kept_query(query)

    @property
    def exports(self) -> list[tuple[str, str]]:
        """Format and address of each export of the whole filter."""
        return [(name.upper(), self.address(**{FORMAT: [name]})) for name in MEDIA_TYPES]

    @property
    def exports_of_shown(self) -> list[tuple[str, str]]:
        """The same with the columns on the screen only."""
        return [
            (name.upper(), self.address(**{FORMAT: [name], ONLY: ["shown"]}))
            for name in MEDIA_TYPES
        ]

    @property
    def page_sizes(self) -> list[tuple[int, str, bool]]:
        """Number, address and whether it is in force, of each length of a page."""
        return [
            (size, self.address(**{SIZE: [str(size)]}), size == self.page_size)
            for size in self.sizes
        ]

    @property
    def densities(self) -> list[tuple[str, str, bool]]:
        """Word, address and whether it is in force, of each row height."""
        return [
            (density, self.address(**{DENSITY: [density]}), density == self.density)
            for density in DENSITIES
        ]

    @property
    def next_page(self) -> str:
        return self.address(page=[str(self.page.next_page_number())])

    @property
    def previous_page(self) -> str:
        return self.address(page=[str(self.page.previous_page_number())])

    # --- Export -----------------------------------------------------------------------------------

    def export(self) -> HttpResponse:
        """Every row of the filter, in its order, as the file that `format` names."""
        if self.total > EXPORT_ROWS_MAX:
            return too_many(self.total, EXPORT_ROWS_MAX)
        columns = self.exported_columns
        rows = self.records(columns)
        return as_file(self.format, self.name, [c.key for c in columns], rows, self.about())

    @property
    def exported_columns(self) -> list[Column]:
        """All columns, or only those on the screen where the address asks for these."""
        columns = [column for column in self.columns if column.is_exported]
        if self.request.GET.get(ONLY) == "shown":
            return [column for column in columns if column.key in self.shown]
        return columns

    def records(self, columns: Sequence[Column]) -> Iterator[list[object]]:
        for row in self.rows.iterator(chunk_size=2000):
            yield [column.read(row) for column in columns]

    def about(self) -> dict[str, object]:
        """What an export says of itself."""
        return {
            "list": self.name,
            "exported_at": utc_stamp(timezone.now()),
            "filters": {each.key: self.values(each) for each in self.filters if self.values(each)},
            "sort": self.sort,
        }
