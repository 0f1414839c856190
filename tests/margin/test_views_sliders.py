"""What-if by sliders: the middle is the scope as it stands, the rest is the same evaluation."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from brokerage.digest import digest
from margin.models import MarginResult, MarginRun
from margin.screens.sliders import Slider, change_of, held_in, sliders_of, stands_at
from margin.what_if import Change, what_if
from tests.accounts.people import sign_in
from tests.margin.firm import PERPETUAL, SmallFirm
from tests.margin.kept import holders_of


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """The auditor, who may write nothing, may move anything."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    return browser


def margined(firm: SmallFirm) -> MarginResult:
    holders = holders_of(MarginRun.objects.get(number=firm.second_run), [PERPETUAL])
    return next(each for each in holders if each.scope.bucket and each.scope.bucket.code == "FREE")


def shown(browser: Browser, result: MarginResult, **moved: str) -> Any:
    bucket: Any = result.scope.bucket
    address = reverse("margin:sliders", args=[bucket.account.code])
    return browser.get(address, {"bucket": bucket.code, **moved})


def test_in_the_middle_nothing_changes(firm: SmallFirm, browser: Browser) -> None:
    result = margined(firm)
    said = shown(browser, result).context["said"]
    assert said.change == Change()
    assert said.now.equity == said.after.equity == result.equity
    assert said.now.initial_margin == result.initial_margin


def test_a_slider_says_what_the_typed_change_says(firm: SmallFirm, browser: Browser) -> None:
    result = margined(firm)
    bucket: Any = result.scope.bucket
    held = held_in(bucket)
    moved = {f"p.{PERPETUAL}": "-25", "money": "5000"}
    said = shown(browser, result, **moved).context["said"]
    typed = Change(
        prices={PERPETUAL: held.marks[PERPETUAL] * Decimal("0.75")}, money={"USD": Decimal(5000)}
    )
    thought = what_if(bucket, typed, has_points=False)
    assert said.after == thought.after
    assert said.after.equity != said.now.equity


def test_a_position_is_taken_away_by_its_share(firm: SmallFirm) -> None:
    bucket: Any = margined(firm).scope.bucket
    held = held_in(bucket)
    sliders = sliders_of(held, QueryDict(f"q.{PERPETUAL}=-100"))
    (trade,) = change_of(held, sliders).trades
    assert (trade.asset, trade.quantity) == (
        PERPETUAL, -held.holding.positions[PERPETUAL].quantity,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place"),
    [("", 0), ("7", 7), ("-7", -7), ("500", 80), ("-500", -80), ("1e3", 0), ("٣", 0), ("x", 0)],
)
def test_a_slider_stays_between_its_ends(text: str, place: int) -> None:
    query = QueryDict(mutable=True)
    query["p.X"] = text
    assert stands_at(Slider("p.X", "Price", -80, 80, 0), query) == place


def test_moving_sliders_writes_nothing(firm: SmallFirm, browser: Browser) -> None:
    result, before = margined(firm), digest()["digest"]
    with CaptureQueriesContext(connection) as queries:
        answer = shown(browser, result, **{f"p.{PERPETUAL}": "-60", "money": "-100"})
    assert answer.status_code in (200, 409)
    written = [q["sql"] for q in queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert written == []
    assert digest()["digest"] == before


def test_only_the_result_is_sent_while_a_slider_moves(firm: SmallFirm, browser: Browser) -> None:
    bucket: Any = margined(firm).scope.bucket
    address = reverse("margin:sliders", args=[bucket.account.code])
    answer = browser.get(address, {"bucket": bucket.code}, headers={"HX-Request": "true"})
    assert "<form" not in answer.content.decode()
    assert "Margin call:" in answer.content.decode()
    assert browser.get(address, {"bucket": "NONE"}).status_code == 404
