"""The board of margin calls: what it lists, in which order, for whom, at which cost."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from accounts.page_tables import tables_of
from brokerage.strip import counted
from margin.levels import SEVERITY
from margin.models import CallEvent, MarginCall
from tests.accounts.people import found_desk, sign_in
from tests.margin.firm import SmallFirm

HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """L. Brandt of operations, signed in."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    return browser


def board(browser: Browser, **query: str) -> Any:
    answer = browser.get(reverse("margin:calls"), query)
    assert answer.status_code == 200
    return answer


def shown(answer: Any) -> list[MarginCall]:
    return [row.call for row in answer.context["rows"]]


def test_a_stranger_is_asked_to_sign_in(firm: SmallFirm) -> None:
    answer = Browser().get(reverse("margin:calls"))
    assert (answer.status_code, answer["Location"].startswith("/sign-in/")) == (302, True)


def test_open_calls_come_worst_first(browser: Browser) -> None:
    calls = shown(board(browser))
    assert {call.pk for call in calls} == set(
        MarginCall.objects.open().values_list("pk", flat=True)
    )
    weights = [(SEVERITY[call.last_result.state], call.amount) for call in calls]
    assert weights == sorted(weights, reverse=True)


def test_ended_calls_are_found_by_their_filter(browser: Browser) -> None:
    calls = shown(board(browser, call="ended"))
    assert calls
    assert all(call.state in MarginCall.ENDED for call in calls)
    assert len(shown(board(browser, call="all"))) == MarginCall.objects.count()


def test_tabs_count_every_call_of_the_other_filters(browser: Browser) -> None:
    answer = board(browser)
    everything, *states = answer.context["listing"].tabs
    assert everything.number == sum(tab.number for tab in states) == len(shown(answer))
    assert [tab.word for tab in states] == ["Deficit", "Liquidate", "Call", "Below initial"]


@pytest.mark.parametrize("column", ["scope", "amount", "equity", "initial_margin", "share", "due"])
def test_every_column_sorts_both_ways(browser: Browser, column: str) -> None:
    up = [call.pk for call in shown(board(browser, sort=column))]
    down = [call.pk for call in shown(board(browser, sort=f"-{column}"))]
    assert sorted(up) == sorted(down)
    if column in ("scope", "amount", "equity"):
        assert up == down[::-1]


def test_the_foot_adds_up_the_whole_filter(browser: Browser) -> None:
    answer = board(browser, state="LIQUIDATE")
    calls = shown(answer)
    assert len(calls) > 1
    assert answer.context["totals"].amount == sum(call.amount for call in calls)
    assert answer.context["totals"].count == len(calls)


def test_a_filter_that_keeps_nothing_is_named(browser: Browser) -> None:
    answer = board(browser, q="nobody")
    assert shown(answer) == []
    assert "No call fits these filters." in answer.content.decode()
    assert "<b>nobody</b>" in answer.content.decode()


def test_a_filter_that_cannot_be_read_says_so(browser: Browser) -> None:
    answer = board(browser, owner="nobody.of.ours")
    assert shown(answer) == []
    assert "Owner has no value “nobody.of.ours”" in answer.content.decode()


def test_owner_filters_find_ones_own_calls(browser: Browser, firm: SmallFirm) -> None:
    assert shown(board(browser, owner="me")) == []
    call = shown(board(browser))[0]
    browser.post(reverse("margin:call-acknowledge", args=[call.number]), {"words": "Reached."})
    assert shown(board(browser, owner="me")) == [call]
    assert call not in shown(board(browser, owner="nobody"))


def test_htmx_gets_the_region_and_nothing_while_nothing_changed(browser: Browser) -> None:
    address = reverse("margin:calls")
    page = browser.get(address)
    region = browser.get(address, headers=HTMX)
    assert b"<html" in page.content
    assert b"<html" not in region.content
    assert region.content.strip().startswith(b'<div id="calls"')
    seen = region.context["region_digest"]
    assert browser.get(address, headers=HTMX | {"X-Live": seen}).status_code == 204
    call = shown(page)[0]
    browser.post(reverse("margin:call-acknowledge", args=[call.number]), {"words": ""})
    assert browser.get(address, headers=HTMX | {"X-Live": seen}).status_code == 200


def test_paused_updates_are_in_the_address(browser: Browser) -> None:
    assert b'id="calls" class="stack" hx-get="/margin/calls/"' in board(browser).content
    assert b'id="calls" class="stack">' in board(browser, live="off").content


def test_the_exports_hold_exactly_the_filter(browser: Browser) -> None:
    calls = shown(board(browser, state="LIQUIDATE", sort="amount"))
    query = {"state": "LIQUIDATE", "sort": "amount"}
    as_csv = browser.get(reverse("margin:calls"), query | {"format": "csv"}).content.decode()
    rows = list(csv.DictReader(io.StringIO(as_csv)))
    assert [row["number"] for row in rows] == [call.number for call in calls]
    assert [Decimal(row["amount"]) for row in rows] == [call.amount for call in calls]
    as_json = json.loads(browser.get(reverse("margin:calls"), query | {"format": "json"}).content)
    assert [row["number"] for row in as_json["rows"]] == [row["number"] for row in rows]
    assert all(isinstance(row["equity"], str) for row in as_json["rows"])


def test_another_legal_entity_sees_none_of_it(firm: SmallFirm) -> None:
    other = found_desk(code="EB-UK")
    browser = Browser()
    sign_in(browser, other[Role.OPERATIONS])
    answer = board(browser)
    assert shown(answer) == []
    assert answer.context["checked"].scopes == 0
    call = MarginCall.objects.open()[0]
    for name in ("margin:call", "margin:call-acknowledge"):
        assert browser.get(reverse(name, args=[call.number])).status_code == 404
    assert browser.post(reverse("margin:call-acknowledge", args=[call.number])).status_code == 404
    assert not CallEvent.objects.filter(event="acknowledged").exists()


def test_an_administrator_reads_no_money(firm: SmallFirm) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.ADMINISTRATOR])
    assert browser.get(reverse("margin:calls")).status_code == 403


def queries_of(browser: Browser, **query: str) -> tuple[int, int]:
    """Rows on the page and queries it took."""
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(reverse("margin:calls"), query, headers=HTMX)
    return len(shown(answer)), len(captured)


def test_the_board_costs_the_same_for_any_number_of_calls(browser: Browser) -> None:
    first = shown(board(browser))[0]
    one, queries_of_one = queries_of(browser, q=first.number, sort="-amount")
    many, queries_of_many = queries_of(browser, q="MC-", sort="-amount")
    assert (one, many > 2) == (1, True)
    assert queries_of_one == queries_of_many


@pytest.mark.parametrize("name", ["margin:calls", "margin:accounts"])
def test_every_column_has_its_cell_in_its_place(browser: Browser, name: str) -> None:
    listing = browser.get(reverse(name)).context["listing"]
    keys = [column.key for column in listing.columns]
    page = browser.get(reverse(name), {"columns": keys})
    drawn = tables_of(page.content.decode())[1][0]
    assert len(drawn.heads) == len(drawn.rows[0]) == len(keys)
    row, figures = page.context["rows"][0], ("equity", "initial_margin", "maintenance_margin")
    result = row.call.last_result if name == "margin:calls" else row.result
    shown = [drawn.rows[0][keys.index(figure)] for figure in figures]
    assert shown == [getattr(result, figure) for figure in figures]


def test_the_rail_counts_no_more_than_it_says(browser: Browser) -> None:
    rows = MarginCall.objects.order_by("pk")
    with CaptureQueriesContext(connection) as queries:
        assert counted(rows) == rows.count()
    assert "LIMIT 1000" in queries[0]["sql"]
    context = {"address": "/", "count": 1000, "label": "Margin calls", "symbol": "bell"}
    assert "999+" in render_to_string("_parts/place.html", context)
    assert "999+" not in render_to_string("_parts/place.html", context | {"count": 999})
