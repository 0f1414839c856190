"""Lists: what the address asks for is what the page shows and what an export holds."""

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import RequestFactory

from accounts.columns import Column
from accounts.filters import BadFilterError, Choice, Day, Figure, Option, Text
from accounts.listing import EXPORT_ROWS_MAX, Listing, wants_rows
from accounts.models import Role, RoleGrant
from tests.accounts.people import found_desk

COLUMNS = (
    Column("name", "Name", value="operator.full_name", sort=("operator__full_name",)),
    Column("role", "Role", sort=("role", "operator__full_name")),
    Column("number", "Number", value="pk", sort=("pk",), numeric=True),
    Column("desk", "Desk", is_shown=False),
)
PEOPLE = "people"
OFFICE = Option(PEOPLE, "People and control", ("administrator", "compliance", "auditor"))
FILTERS = (
    Choice("role", "Role", "role", [*Role.choices, OFFICE]),
    Text("q", "Name", ("operator__full_name", "operator__username")),
    Figure("least", "Number from", "pk"),
    Day("joined", "Joined", "operator__last_login__date", lookup="gte"),
)

Made = Callable[..., "Listing[RoleGrant]"]


def asked(address: str = "/people/") -> HttpRequest:
    request = RequestFactory().get(address)
    request.session = {}  # type: ignore[assignment]
    return request


def listed(address: str = "/people/", **changes: object) -> "Listing[RoleGrant]":
    settings = {
        "name": "people", "columns": COLUMNS, "filters": FILTERS, "default_sort": "name",
        "tabs": "role",
    } | changes  # fmt: skip
    return Listing(asked(address), RoleGrant.objects.select_related("operator"), **settings)  # type: ignore[arg-type]


@pytest.fixture
def desk(db: None) -> None:
    found_desk()


def names(listing: "Listing[RoleGrant]") -> list[str]:
    return [grant.operator.full_name for grant in listing.rows]


EVERYBODY = [
    "A. Novak", "J. Moreau", "K. Lindqvist", "L. Brandt", "M. Okafor", "P. Castellan",
    "R. Haddad", "S. Iyer",
]  # fmt: skip


# --- Order ----------------------------------------------------------------------------------------


def test_a_list_is_in_its_own_order_until_another_is_asked_for(desk: None) -> None:
    assert names(listed()) == EVERYBODY
    assert names(listed("/people/?sort=-name")) == EVERYBODY[::-1]


def test_an_order_that_does_not_exist_is_the_lists_own(desk: None) -> None:
    assert names(listed("/people/?sort=password")) == EVERYBODY
    assert names(listed("/people/?sort=desk")) == EVERYBODY


def test_rows_that_sort_alike_fall_back_to_the_second_field(desk: None) -> None:
    assert names(listed("/people/?sort=role"))[:2] == ["A. Novak", "R. Haddad"]
    assert names(listed("/people/?sort=-role"))[-2:] == ["R. Haddad", "A. Novak"]


def test_a_header_says_how_the_list_is_sorted_and_what_a_click_would_do(desk: None) -> None:
    headers = {h.key: (h.aria_sort, h.next_sort) for h in listed("/people/?sort=-name").headers}
    assert headers == {
        "name": ("descending", "name"),
        "role": ("", "role"),
        "number": ("", "-number"),
    }


# --- Filters --------------------------------------------------------------------------------------


def test_filters_narrow_together(desk: None) -> None:
    assert names(listed("/people/?role=administrator")) == ["A. Novak", "R. Haddad"]
    assert names(listed("/people/?role=administrator&q=NOVAK")) == ["A. Novak"]
    assert names(listed("/people/?role=risk&role=treasury")) == ["M. Okafor", "S. Iyer"]


def test_one_choice_may_stand_for_several_values(desk: None) -> None:
    assert names(listed(f"/people/?role={PEOPLE}")) == [
        "A. Novak", "J. Moreau", "K. Lindqvist", "R. Haddad",
    ]  # fmt: skip


def test_a_default_applies_until_something_is_chosen(desk: None) -> None:
    filters = (Choice("role", "Role", "role", Role.choices, default="risk"),)
    assert names(listed(filters=filters)) == ["M. Okafor"]
    assert names(listed("/people/?role=auditor", filters=filters)) == ["K. Lindqvist"]
    assert [tab.word for tab in listed(filters=filters).tabs if tab.is_current] == ["Risk"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("role=king", "Role has no value “king”"),
        ("least=many", "Number from “many” is not a number"),
        ("least=NaN", "Number from “NaN” is not a number"),
        ("least=1e999", "Number from “1e999” is not a number"),
        ("joined=6 Feb", "Joined “6 Feb” is not a date"),
    ],
)
def test_a_filter_that_cannot_be_read_keeps_nothing_and_says_why(
    desk: None, query: str, sentence: str
) -> None:
    listing = listed(f"/people/?{query}")
    assert names(listing) == []
    assert [(chip.refusal, chip.without) for chip in listing.chips] == [(sentence, "/people/")]
    assert json.loads(export(f"/people/?{query}&format=json"))["count"] == 0


def test_text_that_no_database_takes_is_refused() -> None:
    text = FILTERS[1]
    for value in ("a\0b", "x" * 201):
        with pytest.raises(BadFilterError):
            text.condition([value])


def test_a_chip_names_its_filter_and_leads_to_the_list_without_it(desk: None) -> None:
    listing = listed("/people/?q=novak&least=1,000&role=risk&sort=-name&page=3")
    assert [(chip.label, chip.words) for chip in listing.chips] == [
        ("Name", "novak"),
        ("Number from", "1,000"),
    ]
    assert listing.chips[0].without == "/people/?least=1%2C000&role=risk&sort=-name"
    assert listing.reset == "/people/?sort=-name"


def test_tabs_count_under_the_other_filters(desk: None) -> None:
    tabs = {tab.word: tab.number for tab in listed("/people/?q=a&role=risk").tabs}
    assert tabs["All"] == 6, "K. Lindqvist and S. Iyer have no a"
    assert tabs["Administrator"] == 2
    assert tabs["Treasury"] == 0
    assert tabs["People and control"] == 3


# --- Pages, columns, density ----------------------------------------------------------------------


def test_pages_hold_their_number_of_rows_and_links_keep_the_rest(desk: None) -> None:
    listing = listed("/people/?page=2&sort=name", page_size=3)
    assert [grant.operator.full_name for grant in listing.page] == EVERYBODY[3:6]
    assert listing.total == 8
    assert listing.next_page == "/people/?page=3&sort=name"
    assert listing.previous_page == "/people/?page=1&sort=name"
    assert listed("/people/?page=99", page_size=3).page.number == 3


def test_chosen_columns_and_row_height_are_kept_for_the_next_time(desk: None) -> None:
    first = listed("/people/?columns=desk&rows=compact")
    assert first.shown == {"name", "desk"}, "the column that names the row is always there"
    assert first.density == "compact"
    second = listed()
    second.request.session = first.request.session
    assert second.shown == {"name", "desk"}
    assert second.density == "compact"


def test_the_length_of_a_page_is_chosen_and_kept(desk: None) -> None:
    first = listed("/people/?size=100", page_size=3)
    assert first.page_size == 100
    assert [row.operator.full_name for row in first.page] == EVERYBODY
    second = listed(page_size=3)
    second.request.session = first.request.session
    assert second.page_size == 100
    assert [size for size, _, is_current in second.page_sizes if is_current] == [100]
    for unknown in ("7", "-1", "all"):
        assert listed(f"/people/?size={unknown}", page_size=3).page_size == 3, unknown


SAID = (
    "", "role=risk", f"role={PEOPLE}&q=a", "role=nobody", "q=zzz", "least=no", "sort=role",
    "sort=-role", "sort=-number&role=administrator",
)  # fmt: skip
PAGES = ("", "2", "3", "99", "0", "-4", "x", "9" * 30, "9" * 5000)


@pytest.mark.parametrize("said", SAID)
def test_one_look_finds_what_two_would(desk: None, said: str) -> None:
    for page, size in product(PAGES, (1, 3, 50)):
        one, two = (
            listed(
                f"/people/?{said}&page={page}", page_size=size, by_keys=way, sums={"all": "pk"},
                apart_by="desk",
            )
            for way in (True, False)
        )  # fmt: skip
        assert list(one.page) == list(two.page), (page, size)
        assert (one.page.number, one.total) == (two.page.number, two.total), (page, size)
        assert one.tabs == two.tabs
        assert groups_of(one) == groups_of(two)


def groups_of(listing: "Listing[RoleGrant]") -> list[list[tuple[str, object]]]:
    assert listing.groups is not None
    return sorted(sorted(group.items()) for group in listing.groups.all)


def test_one_look_is_one_look(desk: None, django_assert_num_queries: Callable[..., Any]) -> None:
    listing = listed("/people/?role=risk", by_keys=True, page_size=2)
    with django_assert_num_queries(2):  # the second reads the rows of the page
        assert [row.role for row in listing.page] == ["risk"]
        assert listing.total == 1
        assert next(tab.number for tab in listing.tabs) == 8


def test_what_is_no_row_height_is_the_usual_one(desk: None) -> None:
    assert listed("/people/?rows=huge").density == "normal"


# --- Exports --------------------------------------------------------------------------------------


def export(address: str, **changes: object) -> str:
    return listed(address, **changes).export().content.decode()


def test_an_export_is_the_whole_filter_in_its_order_on_all_pages(desk: None) -> None:
    rows = list(csv.DictReader(io.StringIO(export("/people/?format=csv&sort=-name", page_size=2))))
    assert [row["name"] for row in rows] == EVERYBODY[::-1]
    assert list(rows[0]) == ["name", "role", "number", "desk"]


def test_json_says_what_it_holds(desk: None) -> None:
    found = json.loads(export("/people/?format=json&role=risk"))
    assert found["rows"][0]["name"] == "M. Okafor"
    assert (found["count"], found["filters"], found["sort"]) == (1, {"role": ["risk"]}, "name")
    assert found["exported_at"].endswith("Z")


def test_an_export_is_a_file_with_a_name(desk: None) -> None:
    answer = listed("/people/?format=csv").export()
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="people-')


def test_a_format_that_does_not_exist_is_no_export(desk: None) -> None:
    assert listed("/people/?format=exe").format == ""


def test_an_export_has_a_limit_and_says_so(desk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXPORT_ROWS_MAX == 100_000
    monkeypatch.setattr("accounts.listing.EXPORT_ROWS_MAX", 6)
    answer = listed("/people/?format=csv").export()
    assert answer.status_code == 422
    assert answer.content.decode() == (
        "Not exported: an export has 6 rows at most and this filter keeps 8. Narrow the filter.\n"
    )


# --- Parts ----------------------------------------------------------------------------------------


def test_the_parts_of_a_list_draw_it_with_all_of_its_state(desk: None) -> None:
    listing = listed("/people/?q=a&sort=-name&joined=2018-02-06")
    context = {"listing": listing, "request": listing.request}
    head = render_to_string("_parts/table_head.html", context)
    assert 'aria-sort="descending"' in head
    assert 'name="sort" form="f" value="name"' in head
    filters = render_to_string("_parts/filters.html", context)
    assert '<input type="hidden" name="q" value="a">' in filters
    assert 'aria-label="Remove filter Joined Tue 6 Feb 2018"' in filters
    controls = render_to_string("_parts/add_filter.html", context)
    assert '<input type="hidden" name="sort" value="-name">' in controls
    assert 'type="hidden" name="q"' not in controls, "the field itself sends it"
    assert 'value="2018-02-06"' in controls


def test_what_somebody_typed_is_escaped_wherever_it_comes_back(desk: None) -> None:
    listing = listed("/people/?q=%22%3E%3Cscript%3E&role=%3Cb%3E")
    context = {"listing": listing, "request": listing.request}
    for part in ("filters", "add_filter", "columns", "export", "pager", "table_head"):
        drawn = render_to_string(f"_parts/{part}.html", context)
        assert "<script>" not in drawn
        assert "<b>" not in drawn.replace("<b>&quot;&gt;&lt;script&gt;</b>", "")


@pytest.mark.parametrize(
    ("boosted", "restoring", "rows"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_only_a_region_that_loads_itself_gets_rows_alone(
    boosted: bool, restoring: bool, rows: bool
) -> None:
    request = asked()
    assert not wants_rows(request)
    request.htmx = SimpleNamespace(boosted=boosted, history_restore_request=restoring)  # type: ignore[attr-defined]
    assert wants_rows(request) is rows


def test_a_row_without_an_owner_has_no_owners_name() -> None:
    row = SimpleNamespace(owner=None, opened_on=date(2018, 2, 6))
    assert Column("owner", "Owner", value="owner.full_name").read(row) is None  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Column("owner", "Owner", value="opened_on.full_name").read(row)  # type: ignore[arg-type]
