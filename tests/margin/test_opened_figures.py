"""Figures besides the totals open too: the ratio, what may leave, and the loan, exactly."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.explanation import Explanation, Made, Part
from accounts.models import Role
from ledger.models import AccountClass, Balance, Posting
from margin.free import free_amount
from margin.holding import newest_gate
from margin.levels import equity_share
from margin.models import MarginCall, MarginResult
from tests.accounts.people import sign_in
from tests.margin.firm import SmallFirm


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """L. Brandt of operations, signed in."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    return browser


def opened(browser: Browser, result: MarginResult, asked: str) -> Any:
    bucket: Any = result.scope.bucket
    address = reverse("margin:account", args=[bucket.account.code])
    answer = browser.get(address, {"scope": bucket.code, "explain": asked})
    assert answer.status_code == 200
    return answer


def results(firm: SmallFirm) -> list[MarginResult]:
    found = MarginResult.objects.filter(run__number=firm.second_run)
    return list(found.select_related("scope__bucket__account__client").order_by("pk"))


def test_what_may_leave_is_the_least_of_its_terms_and_the_gates_stand_beside(
    firm: SmallFirm, browser: Browser
) -> None:
    spares = []
    for result in results(firm)[:8]:
        answer = opened(browser, result, "available")
        said = answer.context["explanation"]
        panel = next(p for p in answer.context["panels"] if p.result.pk == result.pk)
        assert said.adds_up
        assert (said.total, said.made) == (panel.available, Made.LEAST)
        assert said.parts[0].amount == result.equity - result.initial_margin
        bucket: Any = result.scope.bucket
        usd = Balance.objects.filter(account__asset__code="USD")[0].account.asset
        gate = free_amount(bucket, usd, gate=newest_gate())
        assert [part.amount for part in said.beside] == [term.amount for term in gate.terms]
        assert sum("binds" in part.label for part in said.beside) == 1
        spares.append(said.total)
    assert any(spares), "somebody may take something"


def test_the_ratio_opens_into_both_its_numbers_from_either_list(
    firm: SmallFirm, browser: Browser
) -> None:
    call = MarginCall.objects.open().select_related("last_result")[0]
    answer = browser.get(reverse("margin:call", args=[call.number]), {"explain": "share"})
    said = answer.context["explanation"]
    result = call.last_result
    assert (said.total, said.adds_up) == (equity_share(result), True)
    assert [part.amount for part in said.parts] == [result.equity, result.initial_margin]
    assert "explain=share#explain" in browser.get(reverse("margin:calls")).content.decode()
    assert "explain=share#explain" in browser.get(reverse("margin:accounts")).content.decode()


def test_a_loan_opens_into_its_postings(firm: SmallFirm, browser: Browser) -> None:
    loans = Balance.objects.filter(
        account__account_class=AccountClass.LOAN_RECEIVABLE, amount__gt=0
    )
    loan = loans.select_related("account__bucket__scope").order_by("account_id")[0]
    bucket: Any = loan.account.bucket
    result = next(r for r in results(firm) if r.scope_id == bucket.scope.pk)
    said = opened(browser, result, "loan").context["explanation"]
    assert (said.total, said.adds_up) == (loan.amount, True)
    postings = Posting.objects.filter(account=loan.account)
    assert sorted(leaf.amount for part in said.parts for leaf in part.leaves()) == sorted(
        postings.values_list("amount", flat=True)
    )


def test_nothing_opens_where_there_is_nothing(firm: SmallFirm, browser: Browser) -> None:
    free = next(each for each in results(firm) if not each.initial_margin)
    assert opened(browser, free, "share").context["explanation"] is None
    assert opened(browser, free, "weather").context["explanation"] is None


def test_a_figure_that_its_terms_do_not_make_is_said_to_be_wrong() -> None:
    two = (Part("One", Decimal("-1")), Part("Other", Decimal(7)))
    right = Explanation("Why", "now", Decimal(0), "USD", two, "/", made=Made.LEAST)
    assert (right.adds_up, right.binding) == (True, two[0])
    wrong = Explanation("Why", "now", Decimal(1), "USD", two, "/", made=Made.LEAST)
    assert (wrong.adds_up, wrong.difference) == (False, Decimal(1))
    share = Explanation("Why", "now", Decimal("-0.142857"), "", two, "/", made=Made.QUOTIENT)
    assert share.adds_up
