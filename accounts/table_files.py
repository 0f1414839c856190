"""Any table of any page as a file: `?tables=list` offers them, `?tables=2.csv` is the second.

What a page shows, its file holds: the page is made as ever, with the rights and the filter of
whoever asks, and its tables are read from it. A list of several pages goes through its own export.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils import timezone

from accounts.clock import utc_stamp
from accounts.exports import to_csv, to_json
from accounts.listing_export import MEDIA_TYPES
from accounts.page_tables import PageTable, tables_of
from accounts.workbook import to_xlsx

TABLES: Final = "tables"
LIST: Final = "list"
ONE: Final = re.compile(r"(?P<place>[1-9]\d{0,2}|all)\.(?P<form>csv|xlsx|json)", re.ASCII)
PAGE: Final = "text/html"


@dataclass(frozen=True)
class Offered:
    """A table as the page of tables offers it."""

    name: str
    rows: int
    is_paged: bool
    files: list[tuple[str, str]]


class TableFiles:
    """Answers addresses that ask for the tables of a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.GET.get(TABLES, "")
        if request.method != "GET" or not (asked == LIST or ONE.fullmatch(asked)):
            return self.get_response(request)
        query = request.GET.copy()
        query.pop(TABLES)
        request.GET = query  # type: ignore[assignment]
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith(PAGE)
        if response.streaming or response.status_code != 200 or not is_page:
            return response
        return answer(request, query, asked, response.content.decode())


def answer(request: HttpRequest, query: QueryDict, asked: str, page: str) -> HttpResponse:
    """The tables that are offered, or the file of one or all of them."""
    title, tables = tables_of(page)
    found = ONE.fullmatch(asked)
    if found is None:
        context = {
            "title": title, "offered": offered(tables, query), "here": address(query),
            "all": files("all", query, forms=("xlsx", "json")),
            "has_paged": any(table.is_paged for table in tables),
        }  # fmt: skip
        return render(request, "accounts/tables.html", context)
    place, form = found["place"], found["form"]
    chosen = tables if place == "all" else tables[int(place) - 1 : int(place)]
    if not chosen or (place == "all" and form == "csv"):
        return HttpResponse("There is no such table on this page.\n", status=404)
    if place != "all" and chosen[0].is_paged:
        return HttpResponseRedirect(address(query, format=form))
    return file_of(chosen, form, title=title, path=address(query))


def offered(tables: list[PageTable], query: QueryDict) -> list[Offered]:
    """Each table with the addresses of its files; a list of several pages exports itself."""
    return [
        Offered(table.name, len(table.rows), table.is_paged, files(str(place), query))
        for place, table in enumerate(tables, start=1)
    ]


def files(
    place: str, query: QueryDict, *, forms: tuple[str, ...] = tuple(MEDIA_TYPES)
) -> list[tuple[str, str]]:
    return [(form.upper(), address(query, **{TABLES: f"{place}.{form}"})) for form in forms]


def address(query: QueryDict, **more: str) -> str:
    """The page's own address with more parameters, from wherever it is."""
    asked = query.copy()
    for name, value in more.items():
        asked[name] = value
    return f"?{asked.urlencode()}"


def file_of(tables: list[PageTable], form: str, *, title: str, path: str) -> HttpResponse:
    """One table, or all of them, as a file."""
    if form == "csv":
        content = to_csv(tables[0].columns, tables[0].records)
    elif form == "xlsx":
        content = to_xlsx([(each.name, each.columns, each.records) for each in tables])
    else:
        now = utc_stamp(timezone.now())
        about: dict[str, object] = {"page": title, "filter": path, "exported_at": now}
        parts = [
            to_json(each.columns, each.records, about={**about, "table": each.name}).decode()
            for each in tables
        ]
        content = (parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]").encode()
    words = re.findall(
        r"[a-z0-9]+", f"{title} {tables[0].name if len(tables) == 1 else ''}".lower()
    )
    name = "-".join(dict.fromkeys(words))[:80] or "table"
    return HttpResponse(
        content,
        content_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )
