"""Prices: which mark a day has, what it was composed from, and what was left out."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from margin.models import Bracket, Mark, Price
from tests.accounts.people import sign_in
from tests.margin.firm import FIRST_DAY, PERPETUAL, SmallFirm


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """K. Lindqvist, who audits and may read everything."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    return browser


def get(browser: Browser, name: str, *arguments: str, **query: str) -> Any:
    answer = browser.get(reverse(name, args=arguments), query)
    assert answer.status_code == 200
    return answer


def test_the_newest_day_shows_every_mark(browser: Browser) -> None:
    answer = get(browser, "margin:prices")
    day = answer.context["days"].day
    shown = {row.mark.pk for row in answer.context["rows"]}
    assert shown == set(Mark.objects.filter(business_day=day).values_list("pk", flat=True))
    assert answer.context["days"].earlier == FIRST_DAY


def test_another_day_is_in_the_address(browser: Browser) -> None:
    answer = get(browser, "margin:prices", day=FIRST_DAY.isoformat())
    assert {row.mark.business_day for row in answer.context["rows"]} == {FIRST_DAY}
    assert browser.get(reverse("margin:prices"), {"day": "yesterday"}).status_code == 404
    assert get(browser, "margin:prices", day="1999-01-04").context["rows"] == []


def test_a_row_says_what_was_left_out_and_why(browser: Browser) -> None:
    rows = {row.mark.asset.code: row for row in get(browser, "margin:prices").context["rows"]}
    assert rows[PERPETUAL].mark.state == Mark.State.INSUFFICIENT
    assert rows[PERPETUAL].used == "none"
    for row in rows.values():
        assert len(row.dropped.split("; ")) == max(1, len(row.mark.dropped))


def test_the_page_of_a_price_accounts_for_every_row_that_came(browser: Browser) -> None:
    for mark in Mark.objects.filter(business_day=FIRST_DAY).select_related("asset"):
        answer = get(browser, "margin:price", mark.asset.code, day=FIRST_DAY.isoformat())
        sources = answer.context["sources"]
        assert (
            len(sources) == Price.objects.filter(asset=mark.asset, business_day=FIRST_DAY).count()
        )
        assert sum(each.is_used for each in sources) == len(mark.used)
        assert all(each.is_used != bool(each.reason) for each in sources)


def test_a_bracket_is_pointed_out_by_the_address(browser: Browser) -> None:
    answer = get(browser, "margin:price", PERPETUAL, bracket="2")
    brackets = answer.context["terms"].brackets
    assert len(brackets) == Bracket.objects.filter(terms__asset__code=PERPETUAL).count()
    assert [step.ceiling for step in brackets[:-1]] == [step.floor for step in brackets[1:]]
    assert brackets[-1].ceiling is None
    assert answer.content.decode().count('aria-current="true"') >= 1
    assert b"charged here" in answer.content
    assert b"charged here" not in get(browser, "margin:price", PERPETUAL).content


def test_an_unknown_price_is_no_page(browser: Browser) -> None:
    assert browser.get(reverse("margin:price", args=["GOLD"])).status_code == 404


def test_the_list_costs_the_same_for_any_number_of_prices(browser: Browser) -> None:
    taken = []
    for query in ({"q": PERPETUAL}, {"q": ""}):
        with CaptureQueriesContext(connection) as captured:
            answer = get(browser, "margin:prices", **query)
        taken.append((len(answer.context["rows"]), len(captured)))
    (one, queries_of_one), (many, queries_of_many) = taken
    assert one < many
    assert queries_of_one == queries_of_many
