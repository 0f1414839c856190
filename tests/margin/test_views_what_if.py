"""What-if on screen and for programs: the same answer, and nothing written."""

from decimal import ROUND_UP, Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from brokerage.digest import digest
from margin.models import MarginCall, MarginResult, MarginRun
from margin.screens import thought
from tests.accounts.people import sign_in
from tests.margin.firm import PERPETUAL, SmallFirm
from tests.margin.kept import holders_of

API = "/api/what-if/"


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """The auditor, who may write nothing, may think of anything."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    return browser


def margined(firm: SmallFirm) -> MarginResult:
    """The first scope of the newest run that holds the perpetual."""
    holders = holders_of(MarginRun.objects.get(number=firm.second_run), [PERPETUAL])
    return next(each for each in holders if each.scope.bucket and each.scope.bucket.code == "FREE")


def shown(browser: Browser, result: MarginResult, **typed: str) -> Any:
    bucket: Any = result.scope.bucket
    address = reverse("margin:what-if", args=[bucket.account.code])
    return browser.get(address, {"bucket": bucket.code, **typed})


def asked(browser: Browser, result: MarginResult, **change: object) -> Any:
    bucket: Any = result.scope.bucket
    said = {"account": bucket.account.code, "bucket": bucket.code, **change}
    return browser.post(API, said, content_type="application/json")


def test_without_a_change_both_sides_are_the_newest_run(firm: SmallFirm, browser: Browser) -> None:
    result = margined(firm)
    said = asked(browser, result).json()
    assert said["now"] == said["after"]
    assert Decimal(said["now"]["equity"]) == result.equity
    assert Decimal(said["now"]["initial_margin"]) == result.initial_margin
    assert Decimal(said["now"]["maintenance_margin"]) == result.maintenance_margin
    assert said["now"]["state"] == result.state
    parts = [Decimal(part["amount"]) for part in said["now"]["components"]
             if part["total"] == "equity"]  # fmt: skip
    assert sum(parts) == result.equity


def test_screen_and_api_say_the_same_and_write_nothing(firm: SmallFirm, browser: Browser) -> None:
    result, before = margined(firm), digest()
    said = asked(
        browser, result,
        trades=[{"asset": PERPETUAL, "quantity": "-0.5", "price": "6000", "fee": "1.00"}],
        money={"USD": "250.00"}, prices={"BTC": "7000"}, haircuts={"BTC": "0.25"},
    ).json()  # fmt: skip
    page = shown(
        browser, result,
        **{
            "trade1-asset": PERPETUAL, "trade1-quantity": "-0.5", "trade1-price": "6000",
            "trade1-fee": "1.00", "money1-asset": "USD", "money1-amount": "250.00",
            "money2-asset": "BTC", "money2-haircut": "0.25",
            "price1-asset": "BTC", "price1-price": "7000",
        },
    )  # fmt: skip
    assert page.status_code == 200
    after = page.context["said"].after
    assert Decimal(said["after"]["equity"]) == after.equity
    assert said["after"]["state"] == after.state
    assert f"{after.equity:,.2f}".lstrip("-") in page.content.decode()
    assert digest() == before


def test_what_could_not_be_booked_is_said_with_its_rule(firm: SmallFirm, browser: Browser) -> None:
    result = margined(firm)
    refused = asked(browser, result, money={"USD": "-100000000"})
    assert (refused.status_code, refused.json()["rule"]) == (409, "claim_below_zero")
    page = shown(browser, result, **{"money1-asset": "USD", "money1-amount": "-100000000"})
    assert page.status_code == 409
    assert "claim_below_zero" in page.content.decode()


def test_what_is_no_number_is_said_beside_its_field(firm: SmallFirm, browser: Browser) -> None:
    page = shown(browser, margined(firm), **{"trade2-asset": PERPETUAL, "trade2-quantity": "some"})
    assert page.status_code == 422
    assert "Enter a number" in page.content.decode()


def test_the_form_alone_is_a_page(firm: SmallFirm, browser: Browser) -> None:
    bucket: Any = margined(firm).scope.bucket
    page = browser.get(reverse("margin:what-if", args=[bucket.account.code]))
    assert page.status_code == 200
    assert "said" not in page.context


def test_an_account_that_is_not_there_is_not_found(firm: SmallFirm, browser: Browser) -> None:
    assert browser.get(reverse("margin:what-if", args=["NOBODY"])).status_code == 404
    said = {"account": "NOBODY", "bucket": "FREE"}
    assert browser.post(API, said, content_type="application/json").status_code == 404
    known: Any = margined(firm).scope.bucket
    said = {"account": known.account.code, "bucket": "NOTHING"}
    assert browser.post(API, said, content_type="application/json").status_code == 404


def test_a_stranger_is_asked_to_sign_in(firm: SmallFirm) -> None:
    bucket: Any = margined(firm).scope.bucket
    page = Browser().get(reverse("margin:what-if", args=[bucket.account.code]))
    assert page.status_code == 302
    answer = Browser().post(API, {"account": bucket.account.code, "bucket": bucket.code})
    assert answer.status_code in (401, 403)


def test_it_takes_a_fixed_number_of_queries(firm: SmallFirm, browser: Browser) -> None:
    few, many = {"USD": "1"}, {"USD": "1", "BTC": "0.1", "USDC": "5"}
    counts = []
    asked(browser, margined(firm), money=few)  # what is said now is read with the first
    for money in (few, many):
        with CaptureQueriesContext(connection) as queries:
            asked(browser, margined(firm), money=money)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("agreed", [Decimal(0), Decimal(100)])
def test_an_open_call_ends_at_what_it_asks_for_and_no_cent_before(
    firm: SmallFirm, browser: Browser, monkeypatch: pytest.MonkeyPatch, agreed: Decimal
) -> None:
    # What was agreed not to be called; that it is read rightly is tested with disputes.
    monkeypatch.setattr(thought, "given_up", lambda calls: dict.fromkeys(calls, agreed))
    calls = MarginCall.objects.open().filter(kind="maintenance").select_related("last_result")
    call = calls.order_by("number")[0]
    result = call.last_result
    missing = result.initial_margin - result.equity - agreed
    assert missing > Decimal("0.01")
    cents = missing.quantize(Decimal("0.01"), rounding=ROUND_UP)
    for amount, words in (
        (cents, f"{call.number}</a> would end."),
        (cents - Decimal("0.01"), "Margin call: stays open,"),
        (cents - Decimal(1), "Margin call: stays open,"),
    ):
        typed = {"money1-asset": "USD", "money1-amount": str(amount)}
        page = shown(browser, result, **typed).content.decode()
        assert words in page
    held = MarginResult.objects.filter(call_amount=0, equity__gt=F("initial_margin"))
    well = held.filter(run=result.run, scope__bucket__code="FREE").order_by("pk")[0]
    page = shown(browser, well).content.decode()
    assert "Margin call: no." in page
    assert "would end" not in page
